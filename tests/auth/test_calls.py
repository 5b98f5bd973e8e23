"""Calls to a GitLab that fails, limits or comes back: as few as tell what has to be known. Counted by the stand-in."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from pydantic import SecretStr

from auth.circuit import FAILURES, FAILURES_OF_ONE, LONGEST_PAUSE, ROOM
from auth.gitlab import GitLabClient, open_gitlab
from auth.model import GitLabUnavailable, User
from config.settings import AuthSettings
from gateway.demo.gitlab import Answer, Endpoint, Fault, StandInGitLab
from gateway.demo.gitlab_state import GitLabState
from tests.clock import Clock

TRIES = 4  # of one question where connections break without a word: ours twice, and aiohttp repeats each GET by itself
FAULTS = [
    Fault.UNAVAILABLE,
    Fault.ERROR_PAGE,
    Fault.MAINTENANCE_PAGE,
    Fault.CLOSED,
    Answer(500, "", "text/plain"),
]


@dataclass
class Outage:
    """A GitLab that can be broken, and the client in front of it on a clock of its own."""

    clock: Clock
    state: GitLabState
    gitlab: StandInGitLab
    client: GitLabClient
    observed: Counter[tuple[str, str]]

    def token(self, name: str) -> SecretStr:
        """A token of a new person."""
        return SecretStr(self.state.add_token(self.state.add_user(name)))

    async def ask(self, tokens: list[SecretStr]) -> list[User | BaseException]:
        """Everybody asks at once who they are."""
        return await asyncio.gather(*(self.client.find_user(token) for token in tokens), return_exceptions=True)


@pytest.fixture
async def outage() -> AsyncIterator[Outage]:
    clock, state, observed = Clock(), GitLabState(), Counter[tuple[str, str]]()
    gitlab = StandInGitLab(state)
    gitlab.switches.retry_after = 2
    async with gitlab.serve() as url:
        settings = AuthSettings(host=url, timeout=5)
        async with open_gitlab(settings, lambda *told: observed.update([told[:2]]), clock) as client:
            yield Outage(clock, state, gitlab, client, observed)


async def test_one_question_asked_by_many_at_once_is_one_call(outage: Outage) -> None:
    """Ten tabs that are restored together, say."""
    answers = await outage.ask([outage.token("ada")] * 100)

    assert len({answer.id for answer in answers if isinstance(answer, User)}) == 1
    assert len(answers) == 100
    assert outage.gitlab.calls[Endpoint.USER] == 1


async def test_another_persons_question_is_another_one(outage: Outage) -> None:
    """Nobody is ever given somebody else's answer."""
    names = [f"user-{number}" for number in range(20)]
    answers = await outage.ask([outage.token(name) for name in names])

    assert [answer.username for answer in answers if isinstance(answer, User)] == names


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_an_outage_costs_gitlab_a_few_calls_and_then_one_now_and_then(
    outage: Outage, fault: Fault | Answer
) -> None:
    """Whoever is not asked about hears so at once, with a time to come back."""
    tokens = [outage.token(f"user-{number}") for number in range(300)]
    outage.gitlab.switches.everywhere.fault = fault
    for _ in range(2):
        assert all(isinstance(answer, GitLabUnavailable) for answer in await outage.ask(tokens))
    first = outage.gitlab.calls.total()
    for _ in range(3):
        outage.clock.now += 2 * LONGEST_PAUSE
        await outage.ask(tokens)

    tries = TRIES if fault is Fault.CLOSED else 1
    assert first <= (ROOM + FAILURES) * tries
    assert outage.gitlab.calls.total() - first <= 3 * tries
    assert outage.observed["user", "spared"] >= 5 * len(tokens) - outage.gitlab.calls.total()


async def test_a_gitlab_that_comes_back_is_not_run_over(outage: Outage) -> None:
    """One question first; then each answer lets one more at once in."""
    tokens = [outage.token(f"user-{number}") for number in range(300)]
    outage.gitlab.switches.everywhere.fault = Fault.ERROR_PAGE
    await outage.ask(tokens)
    outage.gitlab.switches.reset()
    outage.clock.now += 2 * LONGEST_PAUSE
    before = outage.gitlab.calls.total()
    answers = await outage.ask(tokens)

    assert sum(isinstance(answer, User) for answer in answers) == 1
    assert outage.gitlab.calls.total() - before == 1
    assert any(isinstance(answer, User) for answer in (await outage.ask(tokens))[:2])
    for _ in range(20):
        answers = await outage.ask(tokens)
    assert all(isinstance(answer, User) for answer in answers)


async def test_a_silent_gitlab_is_not_waited_for_by_one_after_the_other(outage: Outage) -> None:
    """Whoever waits for a turn is told as soon as the first have waited in vain."""
    settings = AuthSettings(host=outage.gitlab.url, timeout=0.2)
    tokens = [outage.token(f"user-{number}") for number in range(500)]
    outage.gitlab.switches.everywhere.fault = Fault.SILENT
    async with open_gitlab(settings, lambda *_: None) as client:
        answers = await asyncio.gather(*map(client.find_user, tokens), return_exceptions=True)

    assert all(isinstance(answer, GitLabUnavailable) for answer in answers)
    assert outage.gitlab.calls[Endpoint.USER] <= ROOM + FAILURES


async def test_who_is_told_to_slow_down_is_not_asked_about_until_then(outage: Outage) -> None:
    """Retry-After of a 429; others are asked about as ever."""
    ada, grace = outage.token("ada"), outage.token("grace")
    outage.gitlab.switches.retry_after = 60
    outage.gitlab.switches[Endpoint.USER].fault = Fault.RATE_LIMITED
    outage.gitlab.switches[Endpoint.USER].times = 1
    first, *_ = await outage.ask([ada])
    again, *_ = await outage.ask([ada])
    other, *_ = await outage.ask([grace])

    assert isinstance(first, GitLabUnavailable)
    assert isinstance(again, GitLabUnavailable)
    assert (first.retry_after, again.retry_after) == (60, 60)
    assert isinstance(other, User)
    outage.clock.now += 60
    assert isinstance((await outage.ask([ada]))[0], User)
    assert outage.gitlab.calls[Endpoint.USER] == 3


async def test_a_gitlab_that_limits_everybody_is_asked_once_by_each_until_then(outage: Outage) -> None:
    """As when a proxy before it counts all that come from the gateway."""
    tokens = [outage.token(f"user-{number}") for number in range(300)]
    await outage.ask(tokens)
    outage.gitlab.calls.clear()
    outage.gitlab.switches.everywhere.fault = Fault.RATE_LIMITED
    for _ in range(30):
        await outage.ask(tokens)

    assert outage.gitlab.calls[Endpoint.USER] <= 2 * ROOM + 30


async def test_a_kept_connection_that_died_is_no_sign_of_an_outage(outage: Outage) -> None:
    """As after a restart of GitLab, which every kept connection tells of by itself."""
    tokens = [outage.token(f"user-{number}") for number in range(ROOM)]
    for token in tokens:
        outage.gitlab.switches[Endpoint.USER].fault = Fault.CLOSED
        outage.gitlab.switches[Endpoint.USER].times = 1
        assert isinstance((await outage.ask([token]))[0], User)

    assert not outage.observed["user", "spared"]


async def test_an_unknown_token_is_no_sign_of_an_outage(outage: Outage) -> None:
    """A flood of made-up tokens is answered by a GitLab that is well."""
    made_up = [SecretStr(f"glpat-{number}") for number in range(200)]
    await outage.ask(made_up)

    assert isinstance((await outage.ask([outage.token("ada")]))[0], User)


async def test_strangers_whom_gitlab_limits_slow_down_nobody_else(outage: Outage) -> None:
    """GitLab limits made-up tokens by our address and good ones by their person; a flood of the former says nothing
    about the latter, and could otherwise have everybody asked about one after the other."""
    people = [outage.token(f"user-{number}") for number in range(ROOM)]
    outage.gitlab.switches.everywhere.fault = Fault.RATE_LIMITED
    await outage.ask([SecretStr(f"glpat-made-up-{number}") for number in range(2 * FAILURES_OF_ONE)])

    outage.gitlab.switches.everywhere.fault = None
    answers = await outage.ask(people)

    assert [answer for answer in answers if not isinstance(answer, User)] == []
