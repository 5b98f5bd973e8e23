"""In a real browser: what is open ends with the right to it, siblings keep apart, and every page can be read."""

import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Page, expect

from gateway.demo.world import EDITOR_PORT, SITE_PORT
from tests.e2e.conftest import Demo

OUTPUT = Path(__file__).parents[1] / "output"
LOOKS = {
    "light": ("light", 1100),
    "dark": ("dark", 1100),
    "phone": ("light", 390),
}


async def open_editor(demo: Demo, browser: BrowserContext, username: str = "ada") -> Page:
    """A person in their editor, whose WebSocket is open."""
    visit = demo.world.visit
    page = await browser.new_page()
    await page.goto(visit.address(visit.running if username == "ada" else visit.others, EDITOR_PORT, "/"))
    await page.get_by_role("button", name=username).click()
    await expect(page.locator("#status")).to_have_text("connected")
    return page


async def listen(page: Page, address: str) -> None:
    """Have the page open a WebSocket and remember how it ends."""
    await page.evaluate(
        """address => new Promise(opened => {
             const socket = new WebSocket(address);
             window.ending = new Promise(ended => socket.onclose = event => ended(event.code));
             socket.onopen = () => opened("open"); socket.onerror = () => opened("refused");
           })""",
        address,
    )


async def test_signing_out_in_one_tab_closes_the_editor_in_another(demo: Demo, browser: BrowserContext) -> None:
    """With a code by which its script can tell why."""
    editor = await open_editor(demo, browser)
    await listen(editor, await editor.evaluate("location.origin.replace('http', 'ws') + '/ws'"))
    portal = await browser.new_page()
    await portal.goto(demo.world.visit.portal_url)
    await portal.get_by_role("button", name="Sign out").click()
    await expect(portal.get_by_role("heading", level=1)).to_have_text("You are signed out")

    assert await editor.evaluate("window.ending") == 1008


async def test_the_switch_closes_a_port_under_a_stranger(demo: Demo, browser: BrowserContext) -> None:
    """A visitor's event stream ends when the owner presses `private`."""
    visit, stranger = demo.world.visit, await browser.new_page()
    await stranger.goto(visit.address(visit.running, SITE_PORT, "/"))
    await stranger.get_by_role("link", name="Visit the page").click()
    await stranger.evaluate(
        """() => new Promise(opened => {
             const source = new EventSource("/events?interval=0.2");
             window.ending = new Promise(ended => source.onerror = () => ended("ended"));
             source.onopen = opened;
           })"""
    )
    owner = await browser.new_page()
    await owner.goto(visit.portal_url)
    await owner.get_by_role("button", name="ada").click()
    switch = owner.get_by_role("group", name="Who may open http-3000").first
    await switch.get_by_role("button", name="private").click()
    await expect(switch.get_by_role("button", name="private")).to_have_attribute("aria-pressed", "true")

    assert await stranger.evaluate("window.ending") == "ended"


async def test_another_workspaces_page_reaches_nothing_of_mine(demo: Demo, browser: BrowserContext) -> None:
    """Neither by a WebSocket nor by a request, though the browser would send my cookies along."""
    visit = demo.world.visit
    await open_editor(demo, browser)
    evil = await browser.new_page()
    await evil.goto(visit.address(visit.running, SITE_PORT, "/"))
    other = visit.address(visit.others, SITE_PORT, "")
    await evil.route(f"{other}/**", lambda route: route.fulfill(body="<h1>evil</h1>", content_type="text/html"))
    await evil.goto(f"{other}/")
    editor = visit.address(visit.running, EDITOR_PORT, "/")
    await listen(evil, editor.replace("http", "ws", 1) + "ws")

    assert await evil.evaluate("window.ending") == 1006
    post = "fetch(address, {credentials: 'include', method: 'POST'}).then(() => 'read', () => 'refused')"
    answer = await evil.evaluate(f"address => {post}", editor)
    assert answer == "refused"


async def test_a_cookie_tossed_by_a_sibling_changes_nothing(demo: Demo, browser: BrowserContext) -> None:
    """A page of one host sets our cookies' names for the whole zone; the editor opens all the same."""
    visit, page = demo.world.visit, await open_editor(demo, browser)
    zone = visit.portal_url.partition("://")[2].partition(":")[0]
    await page.evaluate(
        """zone => ["grant", "entry", "session", "browser", "entered"].forEach(name => {
             document.cookie = `workspaces-${name}=tossed; path=/; domain=${zone}`;
           })""",
        zone,
    )
    await page.goto(visit.address(visit.running, EDITOR_PORT, "/"))

    await expect(page.locator("#status")).to_have_text("connected")


async def test_the_button_starts_a_workspace(demo: Demo, browser: BrowserContext) -> None:
    """From the stopped page to the running editor, at the address that was asked for."""
    visit, page = demo.world.visit, await browser.new_page()
    address = visit.address(visit.stopped, EDITOR_PORT, "/?folder=/projects/demo")
    await page.goto(address)
    await page.get_by_role("button", name="ada").click()
    await page.get_by_role("button", name="Start the workspace").click()

    await expect(page.locator("#status")).to_have_text("connected", timeout=20_000)
    assert page.url == address


@pytest.fixture
async def pages(demo: Demo, browser: BrowserContext) -> dict[str, Page]:
    """One tab for each page of the gateway that a person meets."""
    visit = demo.world.visit
    opened: dict[str, Page] = {}
    addresses = {
        "interstitial": visit.address(visit.running, SITE_PORT, "/"),
        "stopped": visit.address(visit.stopped, EDITOR_PORT, "/"),
        "unknown": visit.address("no-such-workspace", SITE_PORT, "/"),
        "home": visit.portal_url,
        "sign-in-failed": f"{visit.portal_url}/auth/callback?state=x",
    }
    await open_editor(demo, browser)
    for name, address in addresses.items():
        opened[name] = await browser.new_page()
        await opened[name].goto(address)
    return opened


async def test_pictures_of_every_page_are_kept(pages: dict[str, Page]) -> None:
    """In light, in dark and as wide as a phone; no page is wider than what it is shown on."""
    OUTPUT.mkdir(exist_ok=True)
    for name, page in pages.items():
        for look, (scheme, width) in LOOKS.items():
            await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            await page.set_viewport_size({"width": width, "height": 800})
            await page.screenshot(path=OUTPUT / f"{name}-{look}.png", full_page=True)
            root = "document.documentElement"
            overflow = await page.evaluate(f"{root}.scrollWidth - {root}.clientWidth")
            assert overflow <= 0, (name, look)


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, from npm, kept in the user's cache."""
    npm, folder = shutil.which("npm"), Path.home() / ".cache" / "workspaces-gateway-tests"
    source = folder / "node_modules" / "axe-core" / "axe.min.js"
    if npm is None and not source.exists():
        pytest.skip("npm is not here to bring axe-core")
    if npm is not None and not source.exists():
        install = [npm, "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(folder), "axe-core@4"]
        subprocess.run(install, check=True, timeout=50)  # noqa: S603 - a fixed command
    return source.read_text()


async def test_an_accessibility_check_finds_nothing_serious(pages: dict[str, Page], axe: str) -> None:
    """On no page, neither in light nor in dark."""
    found = []
    for name, page in pages.items():
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            await page.evaluate(axe)
            violations = await page.evaluate("axe.run().then(result => result.violations)")
            found += [
                (name, scheme, violation["id"], [node["html"] for node in violation["nodes"]])
                for violation in violations
                if violation["impact"] in ("serious", "critical")
            ]

    assert not found
