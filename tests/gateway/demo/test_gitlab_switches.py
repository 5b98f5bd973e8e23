"""Every way in which the stand-in can be made to fail, and what it counts."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiohttp import ClientConnectionError, ClientSession, ClientTimeout

from gateway.demo.gitlab import Answer, Endpoint, Fault, StandInGitLab
from gateway.demo.gitlab_state import GitLabState

REST = "/api/v4/user"
GRAPHQL = "/api/graphql"


@dataclass
class Site:
    """A served stand-in and a client that holds a valid token."""

    gitlab: StandInGitLab
    client: ClientSession

    async def get(self, path: str = REST, timeout: float = 10) -> tuple[int, str, str]:  # noqa: ASYNC109 - aiohttp's
        """Status, content type and text; GraphQL is asked for the current user."""
        method, body = ("POST", {"query": "{ currentUser { id } }"}) if path == GRAPHQL else ("GET", None)
        limit = ClientTimeout(total=timeout)
        async with self.client.request(method, self.gitlab.url + path, json=body, timeout=limit) as answer:
            return answer.status, answer.content_type, await answer.text()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    state = GitLabState()
    gitlab = StandInGitLab(state)
    token = state.add_token(state.add_user("ada"))
    async with gitlab.serve(), ClientSession(headers={"Authorization": f"Bearer {token}"}) as client:
        yield Site(gitlab, client)


@pytest.mark.parametrize(
    ("fault", "path", "status", "content_type", "text"),
    [
        (Fault.UNAUTHORIZED, REST, 401, "application/json", '{"message": "401 Unauthorized"}'),
        (Fault.UNAUTHORIZED, GRAPHQL, 401, "application/json", '{"errors": [{"message": "Invalid token"}]}'),
        (Fault.FORBIDDEN, REST, 403, "application/json", '{"message": "403 Forbidden"}'),
        (Fault.FORBIDDEN, GRAPHQL, 403, "application/json", '{"errors": [{"message": "API not accessible for user"}]}'),
        (Fault.RATE_LIMITED, REST, 429, "text/plain", "Retry later"),
        (Fault.RATE_LIMITED, GRAPHQL, 429, "text/plain", "Retry later"),
        (Fault.RATE_LIMITED_BARE, REST, 429, "text/plain", "Retry later"),
        (Fault.UNAVAILABLE, REST, 503, "application/json", '{"message": "503 Service Unavailable"}'),
        (Fault.UNAVAILABLE, GRAPHQL, 503, "application/json", '{"errors": [{"message": "Request timed out'),
        (Fault.ERROR_PAGE, GRAPHQL, 502, "text/html", "<!DOCTYPE html>"),
        (Fault.MAINTENANCE_PAGE, GRAPHQL, 200, "text/html", "<!DOCTYPE html>"),
        (Answer(418, "tea", "text/plain"), REST, 418, "text/plain", "tea"),
    ],
)
async def test_a_fault_answers_as_gitlab_would(
    site: Site, fault: Fault | Answer, path: str, *, status: int, content_type: str, text: str
) -> None:
    """REST and GraphQL word the same failure differently; a proxy before GitLab answers with a page."""
    site.gitlab.switches.everywhere.fault = fault

    answer = await site.get(path)

    assert answer[:2] == (status, content_type)
    assert answer[2].startswith(text)


async def test_a_rate_limit_comes_with_its_headers(site: Site) -> None:
    """The six documented ones, or none of them when the limit is the application's."""
    site.gitlab.switches.retry_after = 17
    names = {f"RateLimit-{name}" for name in ("Name", "Limit", "Observed", "Remaining", "Reset", "ResetTime")}

    site.gitlab.switches.everywhere.fault = Fault.RATE_LIMITED
    async with site.client.get(site.gitlab.url + REST) as answer:
        assert names <= set(answer.headers)
        assert answer.headers["Retry-After"] == "17"
    site.gitlab.switches.everywhere.fault = Fault.RATE_LIMITED_BARE
    async with site.client.get(site.gitlab.url + REST) as answer:
        assert names.isdisjoint(answer.headers)
        assert "Retry-After" not in answer.headers


async def test_an_answer_of_ones_own_brings_its_headers(site: Site) -> None:
    """For what no fault covers."""
    site.gitlab.switches.everywhere.fault = Answer(503, "{}", headers=(("Retry-After", "soon"),))

    async with site.client.get(site.gitlab.url + REST) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "soon")


async def test_a_closed_connection_gives_no_byte(site: Site) -> None:
    """The client sees a disconnect."""
    site.gitlab.switches.everywhere.fault = Fault.CLOSED

    with pytest.raises(ClientConnectionError):
        await site.get()


async def test_a_silent_gitlab_never_answers(site: Site) -> None:
    """Only the client's own time-out ends it."""
    site.gitlab.switches.everywhere.fault = Fault.SILENT

    with pytest.raises(TimeoutError):
        await site.get(timeout=0.05)


async def test_closing_does_not_wait_for_a_silent_answer() -> None:
    """The client is cut off, and the stand-in is gone at once."""
    gitlab = StandInGitLab(GitLabState())
    gitlab.switches.everywhere.fault = Fault.SILENT
    started = time.monotonic()

    async with ClientSession() as client:
        site = Site(gitlab, client)
        await gitlab.start()
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(_outcome(site))
            await gitlab.wait_called(Endpoint.GRAPHQL)
            await gitlab.aclose()

    assert asked.result() == "ServerDisconnectedError"
    assert time.monotonic() - started < 5


async def _outcome(site: Site) -> str:
    try:
        await site.get(GRAPHQL)  # a client repeats a GET by itself, and never a POST
    except ClientConnectionError as fault:
        return type(fault).__name__
    return "answered"


async def test_latency_delays_the_answer(site: Site) -> None:
    """By at least what was set, and the answer is the usual one."""
    site.gitlab.switches[Endpoint.USER].latency = 0.05
    started = time.monotonic()

    status, _type, _text = await site.get()

    assert status == 200
    assert time.monotonic() - started >= 0.05


async def test_a_gate_holds_requests_until_it_opens(site: Site) -> None:
    """So that a test can act while a call to GitLab is under way, without sleeping."""
    gate = site.gitlab.switches[Endpoint.USER].gate = asyncio.Event()

    async with asyncio.TaskGroup() as group:
        asked = group.create_task(site.get())
        await site.gitlab.wait_called(Endpoint.USER)
        assert not asked.done()
        gate.set()

    assert asked.result()[0] == 200


async def test_a_switch_is_for_its_endpoint(site: Site) -> None:
    """The others go on, and its own fault goes before the one for everywhere."""
    site.gitlab.switches[Endpoint.GRAPHQL].fault = Fault.UNAVAILABLE

    assert (await site.get(GRAPHQL))[0] == 503
    assert (await site.get(REST))[0] == 200
    site.gitlab.switches.everywhere.fault = Fault.FORBIDDEN
    assert (await site.get(GRAPHQL))[0] == 503
    assert (await site.get(REST))[0] == 403


async def test_a_fault_can_be_for_some_requests_only(site: Site) -> None:
    """The third is well again."""
    switch = site.gitlab.switches.everywhere
    switch.fault, switch.times = Fault.UNAVAILABLE, 2

    assert [(await site.get())[0] for _ in range(3)] == [503, 503, 200]


async def test_a_reset_mends_everything(site: Site) -> None:
    """Of every endpoint."""
    site.gitlab.switches[Endpoint.USER].fault = Fault.SILENT
    site.gitlab.switches.everywhere.fault = Fault.CLOSED

    site.gitlab.switches.reset()

    assert (await site.get())[0] == 200


async def test_calls_are_counted_by_endpoint(site: Site) -> None:
    """Failing ones too, so that retries can be counted."""
    await site.get(REST)
    site.gitlab.switches.everywhere.fault = Fault.UNAVAILABLE
    await site.get(REST)
    await site.get(GRAPHQL)

    assert site.gitlab.calls == {Endpoint.USER: 2, Endpoint.GRAPHQL: 1}
    site.gitlab.calls.clear()
    assert site.gitlab.calls[Endpoint.USER] == 0
