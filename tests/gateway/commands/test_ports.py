"""`python -m gateway ports` as a person types it, against a running gateway."""

import os

import pytest

from gateway.demo.world import SITE_PORT
from tests.gateway.conftest import Live, run_command


async def ports(live: Live, *arguments: str, token: str | None = None, portal: bool = True) -> tuple[int, str, str]:
    """Status, output and errors of the command."""
    environ = {"PATH": os.environ["PATH"], "WORKSPACES_TOKEN": live.token("ada") if token is None else token}
    if portal:
        # The name needs no DNS: the portal answers to its Host, which a proxy setting keeps.
        environ["WORKSPACES_PORTAL"] = live.world.visit.portal_url
    return await run_command("ports", *arguments, environ=environ)


async def test_list_shows_what_is_open_to_whom(live: Live) -> None:
    """One line a port, with its address."""
    status, output, _ = await ports(live, "list")

    lines = [line.split() for line in output.splitlines()]
    assert status == 0
    assert [live.world.visit.running, "3000", "http-3000", "public", live.url("/")] in lines
    assert {line[0] for line in lines} == {live.world.visit.running, live.world.visit.stopped}


async def test_set_changes_it(live: Live) -> None:
    """And says what it is now."""
    status, output, _ = await ports(live, "set", live.world.visit.running, str(SITE_PORT), "internal")

    assert (status, output) == (0, f"port 3000 of {live.world.visit.running} is internal\n")
    await live.wait_visible("internal")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("set", "apple-bear-blue", "60001", "public"), "only lock"),
        (("set", "no-such-workspace", "3000", "public"), "no such workspace"),
    ],
)
async def test_a_refusal_is_a_sentence(live: Live, arguments: tuple[str, ...], words: str) -> None:
    """Status 1, and what the portal said."""
    status, output, errors = await ports(live, *arguments)

    assert (status, output) == (1, "")
    assert words in errors


async def test_a_wrong_token_is_refused_and_not_shown(live: Live) -> None:
    """Wherever it came from."""
    status, output, errors = await ports(live, "list", token="glpat-wrong-token")

    assert status == 1
    assert "glpat" not in output + errors
    assert "does not accept the token" in errors


@pytest.mark.parametrize(
    "arguments", [(), ("list", "--token", "x"), ("set", "apple", "x", "public"), ("set", "apple", "1", "open")]
)
async def test_a_wrong_command_is_explained(live: Live, arguments: tuple[str, ...]) -> None:
    """There is no argument for the token."""
    status, _, errors = await ports(live, *arguments)

    assert status == 2
    assert errors.startswith("usage: python -m gateway ports")
    assert errors.splitlines()[-1].startswith("python -m gateway ports")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://127.0.0.1:1", "http://127.0.0.1:1 could not be asked: Connection refused"),
        ("http://no-such-portal.invalid", "could not be asked: the name does not resolve"),
        ("workspaces.example.dev", "is no address of a portal; write it like https://"),
    ],
)
async def test_a_portal_that_cannot_be_asked_is_said(live: Live, address: str, words: str) -> None:
    """With what is wrong, not with the name of an exception."""
    status, _, errors = await ports(live, "--portal", address, "list", portal=False)

    assert status == 1
    assert words in errors
    assert "Error" not in errors


async def test_a_token_that_nobody_can_type_is_asked_for_by_name(live: Live) -> None:
    """Without a terminal there is nobody to ask."""
    status, output, errors = await ports(live, "list", token="")

    assert (status, output) == (2, "")
    assert "set WORKSPACES_TOKEN" in errors
    assert "Traceback" not in errors


async def test_a_portal_that_is_none_is_said(live: Live) -> None:
    """Not a traceback."""
    status, _, errors = await ports(live, "--portal", live.world.visit.admin_url, "list", portal=False)

    assert status == 1
    assert "Traceback" not in errors
