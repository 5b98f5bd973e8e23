"""A program reaches a private port with a GitLab token, and only with one that may."""

import asyncio
import json

import aiohttp
import pytest

from auth.programs import GRANTED_SECONDS, REFUSED_SECONDS
from gateway.demo.browser import Page
from gateway.demo.gitlab import Endpoint, Fault
from gateway.demo.world import EDITOR_PORT
from tests.gateway.conftest import Live, events

HEADER = "X-Workspaces-Token"


async def ask(live: Live, token: str, path: str = "/headers", *, name: str = "") -> Page:
    async with live.person() as program:
        return await program.fetch(live.url(path, name=name), headers={HEADER: token})


@pytest.fixture
async def private(live: Live) -> Live:
    """The demo with ada's site private."""
    live.open_port("private")
    await live.wait_visible("private")
    return live


async def test_the_owners_token_opens_a_private_port(private: Live) -> None:
    """As the owner, who the workspace is told."""
    page = await ask(private, private.token("ada"))

    assert page.status == 200
    assert ["X-Workspaces-User", 'id=1, username="ada"'] in json.loads(page.body)


async def test_the_token_never_reaches_the_workspace(private: Live) -> None:
    """In no spelling, on no port, public or not, and not the log either."""
    token = private.token("ada")
    for visibility in ("private", "public"):
        private.open_port(visibility)
        await private.wait_visible(visibility)
        async with private.person() as program:
            spellings = {HEADER: token, "x_workspaces_token": token, "X.Workspaces.Token": token}
            page = await program.fetch(private.url("/headers"), headers=spellings)

        assert page.status == 200
        assert token not in page.text
    assert token not in private.log.getvalue()


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_program_may_change_things(private: Live, method: str) -> None:
    """No page of another site can send the header, so no Origin is asked for."""
    async with private.person() as program:
        headers = {HEADER: private.token("ada"), "Origin": "https://elsewhere.example"}
        page = await program.fetch(private.url("/upload"), method=method, headers=headers, body=b"x" * 1000)

    assert page.status == 200
    assert json.loads(page.body)["bytes"] == 1000


async def test_authorization_belongs_to_the_workspace(private: Live) -> None:
    """It passes unread beside the token."""
    async with private.person() as program:
        headers = {HEADER: private.token("ada"), "Authorization": "Bearer of-the-app"}
        page = await program.fetch(private.url("/headers"), headers=headers)

    assert ["Authorization", "Bearer of-the-app"] in json.loads(page.body)


async def test_somebody_elses_token_finds_nothing(private: Live) -> None:
    """The same bytes as for a workspace that does not exist, and GitLab is asked for both."""
    foreign = await ask(private, private.token("grace"))
    before = private.metric("gitlab_calls_total", endpoint="graphql", result="ok")
    unknown = await ask(private, private.token("grace"), name="no-such-workspace")

    assert (foreign.status, unknown.status) == (404, 404)
    assert _anonymised(foreign) == _anonymised(unknown)
    assert len(private.logged("audit.entry_denied")) == 2
    assert private.metric("gitlab_calls_total", endpoint="graphql", result="ok") == before + 1


@pytest.mark.parametrize("name", ["", "no-such-workspace"])
@pytest.mark.parametrize("token", ["not-a-token", "two words"])
async def test_a_bad_token_is_told_so_and_tells_nothing(private: Live, token: str, name: str) -> None:
    """401 whether the workspace exists or not."""
    page = await ask(private, token, name=name)

    assert page.status == 401
    assert page.headers["X-Workspaces-Gateway"] == "token_refused"


@pytest.mark.parametrize("scopes", [("read_user",), ("read_repository",)])
async def test_a_token_without_the_scope_is_refused(private: Live, scopes: tuple[str, ...]) -> None:
    """It needs api or read_api, as for SSH."""
    ada = private.state.get_user("ada")
    assert ada is not None

    assert (await ask(private, private.state.add_token(ada, scopes))).status == 401


async def test_gitlab_away_is_503(private: Live) -> None:
    """Never a yes, and never a no that a program would believe."""
    private.world.gitlab.switches[Endpoint.GRAPHQL].fault = Fault.UNAVAILABLE
    page = await ask(private, private.token("ada"))

    assert page.status == 503
    assert "Retry-After" in page.headers


async def test_gitlab_is_asked_once_a_minute_however_many_requests_there_are(private: Live) -> None:
    """Ten at once, then ten more; after a minute once more."""
    token = private.token("ada")
    before = private.metric("gitlab_calls_total", endpoint="graphql", result="ok")
    for _ in range(2):
        pages = await asyncio.gather(*(ask(private, token) for _ in range(10)))
        assert {page.status for page in pages} == {200}
    assert private.metric("gitlab_calls_total", endpoint="graphql", result="ok") == before + 1
    private.clock.ahead += GRANTED_SECONDS
    await ask(private, token)

    assert private.metric("gitlab_calls_total", endpoint="graphql", result="ok") == before + 2


async def test_a_refused_token_may_be_good_ten_seconds_later(private: Live) -> None:
    """The no is remembered for as long, so that a loop of a script costs little."""
    token = private.token("grace")
    assert (await ask(private, token)).status == 404
    workspace = next(item for item in private.state.workspaces.values() if item.name == private.world.visit.running)
    grace = private.state.get_user("grace")
    assert grace is not None
    private.state.set_owner(workspace.id, grace)
    private.state.set_access(private.state.projects[workspace.project_id], grace, 50)

    assert (await ask(private, token)).status == 404
    private.clock.ahead += REFUSED_SECONDS
    assert (await ask(private, token)).status == 200


async def test_a_yes_to_an_internal_port_is_none_when_it_is_private(private: Live) -> None:
    """At once, not after the minute for which it was remembered."""
    private.open_port("internal")
    await private.wait_visible("internal")
    assert (await ask(private, private.token("grace"))).status == 200
    private.open_port("private")
    await private.wait_visible("private")

    assert (await ask(private, private.token("grace"))).status == 404


async def test_a_revoked_token_ends_the_programs_streams(private: Live) -> None:
    """Within the minute for which a yes is remembered, and the seconds between two rounds."""
    token, url = private.token("ada"), private.url("/events?interval=0.1")
    async with private.person() as program, events(program, url, **{HEADER: token}) as ticks:
        private.state.revoke(token)
        private.clock.ahead += GRANTED_SECONDS
        await private.streams.recheck()

        while await ticks.is_open():
            pass


async def test_a_program_opens_a_websocket(private: Live) -> None:
    """To the editor, without a cookie and without an Origin."""
    url, headers = private.url("/ws", port=EDITOR_PORT), {HEADER: private.token("ada")}
    async with private.person() as program, program.session.ws_connect(url, headers=headers) as socket:
        await socket.send_str("hello")
        message = await socket.receive(timeout=3)

    assert (message.type, message.data) == (aiohttp.WSMsgType.TEXT, "hello")


async def test_the_token_outweighs_a_cookie(private: Live) -> None:
    """What a program says explicitly is what counts: grace's token in ada's browser finds nothing."""
    async with private.person("ada") as ada:
        page = await ada.fetch(private.url("/"), headers={HEADER: private.token("grace")})

    assert page.status == 404


async def test_the_editor_opens_to_its_owners_token_alone(private: Live) -> None:
    """Whatever the port declares."""
    async with private.person() as program:
        url = private.url("/", port=EDITOR_PORT)
        mine = await program.fetch(url, headers={HEADER: private.token("ada")})
        hers = await program.fetch(url, headers={HEADER: private.token("grace")})

    assert (mine.status, hers.status) == (200, 404)


def _anonymised(page: Page) -> tuple[list[str], bytes]:
    return sorted(page.headers), page.body.replace(page.headers["X-Request-Id"].encode(), b"-")


async def test_questions_about_tokens_are_told_from_answers_that_were_known(private: Live) -> None:
    """So that operators see what remembering spares GitLab."""
    for _ in range(3):
        await ask(private, private.token("ada"))

    known = private.metric("http_token_memory_total", result="hit")
    assert (known, private.metric("http_token_memory_total", result="miss")) == (2, 1)
