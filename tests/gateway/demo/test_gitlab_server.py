"""The stand-in as a server: its URL, a relative root, TLS, its end, and that it keeps tokens to itself."""

import logging
import ssl

import pytest
import trustme
from aiohttp import ClientConnectionError, ClientSession

from gateway.demo.gitlab import StandInGitLab
from gateway.demo.gitlab_state import GitLabState


@pytest.mark.parametrize(
    ("root", "path"), [("", ""), ("/", ""), ("/gitlab", "/gitlab"), ("gitlab/", "/gitlab"), ("/a/b", "/a/b")]
)
async def test_it_can_live_under_a_relative_root(root: str, path: str) -> None:
    """Every address it tells has the root in it, and nothing answers outside."""
    async with StandInGitLab(GitLabState(), root=root).serve() as url, ClientSession() as client:
        assert url.endswith(path)
        async with client.get(f"{url}/.well-known/openid-configuration") as answer:
            assert (await answer.json())["token_endpoint"] == f"{url}/oauth/token"
        outside = url.removesuffix(path) + "/outside/api/v4/user"
        async with client.get(outside) as answer:
            assert (answer.status, answer.content_type) == (404, "text/html")


async def test_a_hostname_of_ones_own_is_in_the_url() -> None:
    """For a demonstration in a browser."""
    gitlab = StandInGitLab(GitLabState(), hostname="gitlab.localhost")

    async with gitlab.serve() as url:
        assert url.startswith("http://gitlab.localhost:")


async def test_it_can_speak_tls() -> None:
    """For the tests of a private certificate authority."""
    authority = trustme.CA()
    server, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(trusting)

    async with StandInGitLab(GitLabState()).serve(tls=server) as url, ClientSession() as client:
        assert url.startswith("https://")
        async with client.get(f"{url}/users/sign_in", ssl=trusting) as answer:
            assert answer.status == 200


async def test_it_can_stop_and_start_again_on_its_port() -> None:
    """As a GitLab that was down; in between nobody answers."""
    gitlab = StandInGitLab(GitLabState())
    url = await gitlab.start()
    port = int(url.rpartition(":")[2])
    async with ClientSession() as client:
        await gitlab.aclose()
        await gitlab.aclose()
        with pytest.raises(ClientConnectionError):
            await client.get(url)
        assert await gitlab.start(port=port) == url
        async with client.get(f"{url}/users/sign_in") as answer:
            assert answer.status == 200
    await gitlab.aclose()


async def test_a_taken_port_is_an_error() -> None:
    """And leaves nothing open."""
    async with StandInGitLab(GitLabState()).serve() as url:
        with pytest.raises(OSError, match="in use"):
            await StandInGitLab(GitLabState()).start(port=int(url.rpartition(":")[2]))


def test_its_url_is_unknown_before_it_starts() -> None:
    """Asking for it is a mistake of the caller."""
    with pytest.raises(RuntimeError, match="not started"):
        _ = StandInGitLab(GitLabState()).url


async def test_no_token_appears_in_a_log_or_repr(caplog: pytest.LogCaptureFixture) -> None:
    """Neither of aiohttp nor of asyncio, at any level."""
    caplog.set_level(logging.DEBUG)
    state = GitLabState()
    token = state.add_token(state.add_user("ada"))
    gitlab = StandInGitLab(state)

    async with gitlab.serve() as url, ClientSession() as client:
        for address in (f"{url}/api/v4/user", f"{url}/nowhere?private_token={token}"):
            async with client.get(address, headers={"PRIVATE-TOKEN": token}) as answer:
                await answer.read()

    assert token not in caplog.text
    assert token not in f"{gitlab!r} {state!r} {state.tokens!r} {gitlab.switches!r}"
