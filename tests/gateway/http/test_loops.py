"""Signing in never goes round in circles: whoever comes back a stranger twice reads why."""

from gateway.demo.browser import Browser, Page
from gateway.demo.world import EDITOR_PORT
from tests.gateway.conftest import Live


def forget_grant(browser: Browser, url: str) -> dict[str, str]:
    """A browser that keeps every cookie but the grant."""
    kept = [item for item in browser.cookies.header(url).split("; ") if not item.startswith("workspaces-grant=")]
    return {"Cookie": "; ".join(kept)}


async def enter(live: Live, browser: Browser) -> Page:
    """From the editor's address once around, until it is asked for again without a grant."""
    url = live.url("/", port=EDITOR_PORT)
    headers = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", **forget_grant(browser, url)}
    async with live.person() as plain:
        page = await plain.fetch(url, headers=headers)
    for line in page.headers.getall("Set-Cookie", ()):
        browser.cookies.store(url, line)
    if page.next_url is not None:
        await browser.visit(page.next_url, "ada")
    return page


async def test_the_third_round_is_a_page(live: Live) -> None:
    """Which says what to do; a while later it may be tried again."""
    async with live.person() as ada:
        rounds = [await enter(live, ada) for _ in range(3)]

    assert [page.status for page in rounds] == [303, 303, 400]
    assert rounds[2].headers["X-Workspaces-Gateway"] == "sign_in_loop"
    assert "cookies" in rounds[2].text


async def test_signing_in_again_at_once_is_no_loop(live: Live) -> None:
    """Out and in again within seconds, as people do."""
    async with live.person("ada", at=live.url("/", port=EDITOR_PORT)) as ada:
        await live.sign_out(ada)

        assert (await ada.visit(live.url("/", port=EDITOR_PORT), "ada")).status == 200
