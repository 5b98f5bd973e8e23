"""A person reads once before a public port whose server it is; nothing else ever meets that page."""

import html
import re

import pytest

from gateway.demo.browser import Browser, Page
from tests.gateway.conftest import Live

PATH = "/headers?a=%2F+b"


async def go_on(live: Live, browser: Browser, page: Page) -> Page:
    """Press the button of the page."""
    target = html.unescape(re.findall(r'href="([^"]*/continue[^"]*)"', page.text)[0])
    return await browser.navigate(live.url(target), site="same-origin")


def is_warning(page: Page) -> bool:
    return page.headers.get("X-Workspaces-Gateway") == "interstitial"


async def test_the_first_visit_meets_the_page_and_the_second_does_not(live: Live) -> None:
    """The button leads to the exact address."""
    async with live.person() as stranger:
        warning = await stranger.navigate(live.url(PATH))
        onward = await go_on(live, stranger, warning)
        page = await stranger.navigate(live.url(PATH))

    assert (warning.status, is_warning(warning)) == (200, True)
    assert onward.next_url == live.url(PATH)
    assert not is_warning(page)
    assert "workspaces-seen" not in page.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Accept": "*/*"},
        {"Sec-Fetch-Mode": "cors", "Accept": "text/html"},
        {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
        {"X-Workspaces-Token": "any", "Accept": "text/html"},
    ],
)
async def test_programs_scripts_and_frames_never_meet_it(live: Live, headers: dict[str, str]) -> None:
    """They could not press a button."""
    async with live.person() as stranger:
        page = await stranger.fetch(live.url("/headers"), headers=headers)

    assert (page.status, is_warning(page)) == (200, False)


async def test_another_host_has_a_page_of_its_own(live: Live) -> None:
    """Trust in one port of one workspace is no trust in another."""
    others = live.world.visit.others
    live.declare(lambda entry: entry["ports"][1].update(visibility="public"), others)
    await live.wait_visible("public", name=others)
    async with live.person() as stranger:
        await go_on(live, stranger, await stranger.navigate(live.url("/")))

        assert is_warning(await stranger.navigate(live.url("/", name=others)))


async def test_a_recreated_workspace_is_warned_about_again(live: Live) -> None:
    """Somebody else may live there now."""
    async with live.person() as stranger:
        await go_on(live, stranger, await stranger.navigate(live.url("/")))
        assert not is_warning(await stranger.navigate(live.url("/")))
        live.declare(lambda entry: entry.update(uid="another", ports=entry["ports"][:2]))
        live.open_port("internal")
        await live.wait_visible("internal")
        live.open_port("public")
        await live.wait_visible("public")

        assert is_warning(await stranger.navigate(live.url("/")))


async def test_nobody_can_send_somebody_else_past_it(live: Live) -> None:
    """A link that was made for one browser leads nowhere in another, and nowhere on another host."""
    async with live.person() as attacker, live.person() as victim:
        warning = await attacker.navigate(live.url("/"))
        page = await go_on(live, victim, warning)

        assert page.status == 400
        assert not victim.cookies.header(live.url("/"))


@pytest.mark.parametrize("target", ["", "https://evil.example/", "//evil.example", "garbage"])
async def test_the_way_on_is_no_open_redirect(live: Live, target: str) -> None:
    """Only what this host sealed for this browser is followed."""
    async with live.person() as stranger:
        await stranger.navigate(live.url("/"))
        page = await stranger.navigate(live.url(f"/.workspaces-gateway/continue?to={target}"))

    assert page.status == 400


async def test_whoever_is_signed_in_here_is_not_warned(live: Live) -> None:
    """The owner knows whose server it is."""
    live.open_port("private")
    await live.wait_visible("private")
    async with live.person("ada") as ada:
        live.open_port("public")
        await live.wait_visible("public")

        assert not is_warning(await ada.navigate(live.url("/")))
