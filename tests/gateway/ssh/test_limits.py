"""The budget of tries is spent by starting them."""

from gateway.ssh.limits import TryBudget


def test_a_budget_gives_as_many_tries_as_it_has() -> None:
    budget = TryBudget(2)

    assert [budget.take() for _ in range(4)] == [True, True, False, False]


def test_a_budget_is_spent_as_soon_as_the_last_try_has_begun() -> None:
    budget = TryBudget(1)
    assert not budget.is_spent
    budget.take()

    assert budget.is_spent
    assert repr(budget) == "TryBudget(left=0)"
