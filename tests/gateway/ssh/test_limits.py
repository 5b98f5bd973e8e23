"""The budget of tries is spent by starting them, that of key exchanges by asking for them for nothing."""

from gateway.ssh.limits import IDLE_REKEY_BYTES, IDLE_REKEY_SECONDS, IDLE_REKEYS, RekeyBudget, TryBudget


def test_key_exchanges_are_a_storm_only_if_fast_and_for_nothing() -> None:
    now = [0.0]
    fast, apart, busy = (RekeyBudget(lambda: now[0]) for _ in range(3))

    assert [fast.take(0) for _ in range(IDLE_REKEYS + 1)] == [True] * IDLE_REKEYS + [False]
    assert all(busy.take(number * IDLE_REKEY_BYTES) for number in range(1, 100))
    for _ in range(100):
        now[0] += IDLE_REKEY_SECONDS
        assert apart.take(0)


def test_a_budget_gives_as_many_tries_as_it_has() -> None:
    budget = TryBudget(2)

    assert [budget.take() for _ in range(4)] == [True, True, False, False]


def test_a_budget_is_spent_as_soon_as_the_last_try_has_begun() -> None:
    budget = TryBudget(1)
    assert not budget.is_spent
    budget.take()

    assert budget.is_spent
    assert repr(budget) == "TryBudget(left=0)"
