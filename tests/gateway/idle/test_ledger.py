"""When a workspace was last used."""

import pytest

from gateway.idle.ledger import LastUse, Ledger, Use
from tests.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock(now=1000)


@pytest.fixture
def ledger(clock: Clock) -> Ledger:
    return Ledger(clock)


def test_a_workspace_is_idle_since_its_last_use(ledger: Ledger, clock: Clock) -> None:
    ledger.note("993", Use.SSH)
    clock.now += 90

    assert ledger.idle("993") == 90
    assert ledger.get("993") == LastUse(1000, Use.SSH)


def test_of_a_workspace_whose_past_is_unknown_the_time_counts_from_the_first_look(ledger: Ledger, clock: Clock) -> None:
    ledger.begin("993")
    clock.now += 60
    ledger.begin("993")

    assert ledger.idle("993") == 60


def test_what_was_seen_before_the_first_look_counts(ledger: Ledger, clock: Clock) -> None:
    ledger.note("993", Use.REQUEST)
    clock.now += 5
    ledger.begin("993")

    assert ledger.idle("993") == 5


def test_a_workspace_that_does_not_run_is_not_idle(ledger: Ledger) -> None:
    """And begins anew when it runs again."""
    ledger.note("993", Use.SSH)
    ledger.keep_only(["994"])

    assert ledger.idle("993") is None
    assert ledger.all_idle() == ()


def test_news_are_what_was_used_here_since_they_were_taken(ledger: Ledger) -> None:
    """What another gateway told is no news to it."""
    ledger.note("993", Use.SSH)
    ledger.note("994", Use.ELSEWHERE)
    ledger.begin("995")

    assert [ledger.take_news(), ledger.take_news()] == [frozenset({"993"}), frozenset()]
