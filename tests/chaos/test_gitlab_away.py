"""What happens when GitLab is slow, silent, away, overloaded, broken or somebody else.

Whoever is in goes on: pages, WebSockets, SSH sessions, public ports. Nobody new gets in: browsers and programs hear 503
with a time to come back, SSH a sentence. When it is back, so are people, without anybody's help.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest
import trustme

from gateway.demo.gitlab import Fault
from tests.chaos.conftest import (
    Stage,
    assert_nobody_gets_in,
    assert_people_who_are_in_go_on,
    open_stage,
    wait_for,
)
from tests.e2e.conftest import Setup


@dataclass(frozen=True)
class Trouble:
    """A way for GitLab to be no use."""

    name: str
    begin: Callable[[Stage], Awaitable[None]]
    end: Callable[[Stage], Awaitable[None]]

    def __str__(self) -> str:
        return self.name


def fault(name: str, kind: Fault) -> Trouble:
    async def begin(stage: Stage) -> None:
        stage.gitlab.switches.retry_after = 1
        stage.gitlab.switches.everywhere.fault = kind

    async def end(stage: Stage) -> None:
        stage.gitlab.switches.reset()

    return Trouble(name, begin, end)


def broken_link(name: str, act: Callable[[Stage], None]) -> Trouble:
    async def begin(stage: Stage) -> None:
        act(stage)

    async def end(stage: Stage) -> None:
        stage.link.mend()

    return Trouble(name, begin, end)


def slow(stage: Stage) -> None:
    stage.link.delay = 3  # more than auth.timeout here


def narrow(stage: Stage) -> None:
    stage.link.rate = 50  # bytes a second: no answer is whole within auth.timeout


TROUBLES = [
    broken_link("slow", slow),
    broken_link("behind a narrow link", narrow),
    broken_link("silent", lambda stage: stage.link.silence()),
    broken_link("cut off", lambda stage: stage.link.cut()),
    fault("429", Fault.RATE_LIMITED),
    fault("503", Fault.UNAVAILABLE),
    fault("an error page", Fault.ERROR_PAGE),
    fault("a maintenance page with status 200", Fault.MAINTENANCE_PAGE),
]


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
async def test_without_gitlab_whoever_is_in_goes_on_and_nobody_else_gets_in(stage: Stage, trouble: Trouble) -> None:
    """And everybody is told, at once or within `auth.timeout`; afterwards all is as before."""
    async with stage.person("ada") as ada, ada.open_socket(stage.url(path="/ws")) as socket, stage.person() as grace:
        ssh = await stage.ssh(stage.token(stage.ada))
        await trouble.begin(stage)
        await assert_people_who_are_in_go_on(ada, stage, socket, ssh)
        await assert_nobody_is_let_in(stage)
        await assert_nobody_gets_in(stage)
        await assert_people_who_are_in_go_on(ada, stage, socket, ssh)
        await trouble.end(stage)

        async def is_back() -> bool:
            return await stage.program(stage.token(stage.ada)) == 200

        await wait_for(is_back, "the way in")
        assert (await grace.visit(stage.url(), "grace")).status == 404  # signed in, and still no owner
        (await stage.ssh(stage.token(stage.ada))).close()
        ssh.close()


async def assert_nobody_is_let_in(stage: Stage) -> None:
    """Not even who might be: a sign-in and a program with a good token get 503 and a time, SSH a sentence."""
    async with stage.person() as browser:
        challenged = await browser.navigate(stage.url())
        assert challenged.next_url is not None
        page = await browser.navigate(challenged.next_url)
        for _ in range(3):  # where it may begin, as what begins a sign-in is remembered for an hour, it ends at GitLab
            if page.next_url is None or page.next_url.startswith(stage.gitlab.url):
                break
            page = await browser.navigate(page.next_url)
    assert page.status in {302, 303, 503}
    assert page.status != 503 or int(page.headers["Retry-After"]) > 0
    assert await stage.program(stage.token(stage.ada)) == 503
    with pytest.raises(asyncssh.DisconnectError, match="GitLab is not reachable, try again"):
        await stage.ssh(stage.token(stage.ada))


@dataclass(frozen=True)
class Certificates:
    """One that the gateway trusts, and one of a stranger for the same name."""

    authority: Path
    right: ssl.SSLContext
    wrong: ssl.SSLContext


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    ours, theirs = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(tmp_path / "authority.pem")
    contexts = []
    for authority in (ours, theirs):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        contexts.append(context)
    return Certificates(tmp_path / "authority.pem", *contexts)


async def test_a_gitlab_with_a_wrong_certificate_is_told_nothing_and_believed_nothing(
    setup: Setup, certificates: Certificates
) -> None:
    """No token, no code and no secret is sent to whoever answers in GitLab's place."""
    setup.settings["auth"]["ca_file"] = str(certificates.authority)
    async with open_stage(setup, tls=certificates.right) as stage:
        assert await stage.program(stage.token(stage.ada)) == 200
        await stage.gitlab.aclose()
        await stage.gitlab.start(port=stage.link.target, tls=certificates.wrong)
        asked = stage.gitlab.calls.total()

        assert await stage.program(stage.token(stage.ada)) == 503
        await assert_nobody_gets_in(stage)
        assert stage.gitlab.calls.total() == asked
        assert await stage.metric("gitlab_calls_total") > 0


async def test_an_outage_is_said_at_once_when_it_is_known(stage: Stage) -> None:
    """The first wait for `auth.timeout`; of those who come later at most one does, to find out whether it is back."""
    tokens = [stage.token(stage.state.add_user(f"user-{number}")) for number in range(20)]
    stage.link.silence()
    await asyncio.gather(*(stage.program(token) for token in tokens[:10]))
    before = await stage.metric("gitlab_calls_total", 'result="spared"')
    statuses = await asyncio.gather(*(stage.program(token) for token in tokens[10:]))

    assert set(statuses) == {503}
    assert await stage.metric("gitlab_calls_total", 'result="spared"') - before >= 9
