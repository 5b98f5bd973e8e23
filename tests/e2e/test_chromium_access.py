"""In a real browser, over TLS: people get to where they wanted to be, and what is open ends with the right to it."""

import asyncio
from typing import Any

import yaml
from playwright.async_api import BrowserContext, Page, expect

from gateway.demo.world import EDITOR_PORT
from tests.e2e.conftest import Certificate, Demo, open_browser

EXPIRED = 9 * 3600  # s; grants, sessions and GitLab's tokens end within a working day


async def open_editor(zone: Demo, browser: BrowserContext, path: str = "/") -> Page:
    """Ada in her editor, whose WebSocket is open; signs her in."""
    page = await browser.new_page()
    await page.goto(zone.address(path, port=EDITOR_PORT))
    await page.get_by_role("button", name="ada").click()
    await expect(page.locator("#status")).to_have_text("connected")
    return page


async def test_signing_out_in_one_tab_closes_the_editor_in_another(zone: Demo, browser: BrowserContext) -> None:
    """With a code by which its script can tell why, and it gets no new connection."""
    editor = await open_editor(zone, browser)
    portal = await browser.new_page()
    await portal.goto(zone.world.visit.portal_url)
    await portal.get_by_role("button", name="Sign out", exact=True).click()
    await expect(portal.get_by_role("heading", level=1)).to_have_text("You are signed out")

    await expect(editor.locator("#status")).to_have_text("disconnected (1008)")
    await expect(editor.locator("#status")).to_have_text("disconnected (1006)")  # its own next try
    await editor.reload()
    await expect(editor.get_by_role("heading", level=1)).to_have_text("Sign in to the stand-in GitLab")


async def test_the_switch_closes_a_port_under_a_stranger(zone: Demo, browser: BrowserContext) -> None:
    """A visitor's event stream ends when the owner presses `private`; the owner's own goes on."""
    stream = """() => new Promise(opened => {
        const source = new EventSource("/events?interval=0.2");
        window.ending = new Promise(ended => source.onerror = () => ended("ended"));
        window.next = () => new Promise(come => source.addEventListener("message", () => come("tick"), {once: true}));
        source.onopen = opened;
    })"""
    stranger = await browser.new_page()
    await stranger.goto(zone.address("/"))
    await stranger.get_by_role("link", name="Visit the page").click()
    await stranger.evaluate(stream)
    owner = await browser.new_page()
    await owner.goto(zone.world.visit.portal_url)
    await owner.get_by_role("button", name="ada").click()
    switch = owner.get_by_role("group", name="Who may open http-3000").first
    await switch.get_by_role("button", name="private").click()
    await expect(switch.get_by_role("button", name="private")).to_have_attribute("aria-pressed", "true")

    assert await stranger.evaluate("window.ending") == "ended"
    mine = await browser.new_page()
    await mine.goto(zone.address("/"))
    await mine.evaluate(stream)
    await switch.get_by_role("button", name="internal").click()
    await expect(switch.get_by_role("button", name="internal")).to_have_attribute("aria-pressed", "true")
    await switch.get_by_role("button", name="private").click()
    await expect(switch.get_by_role("button", name="private")).to_have_attribute("aria-pressed", "true")
    assert await mine.evaluate("Promise.race([window.ending, window.next()])") == "tick"


async def test_the_button_starts_a_workspace(zone: Demo, browser: BrowserContext) -> None:
    """From the stopped page to the running editor, at the address that was asked for."""
    page = await browser.new_page()
    address = zone.address("/?folder=/projects/demo", port=EDITOR_PORT, name=zone.world.visit.stopped)
    await page.goto(address)
    await page.get_by_role("button", name="ada").click()
    await page.get_by_role("button", name="Start the workspace").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("This workspace is starting")

    await expect(page.locator("#status")).to_have_text("connected", timeout=20_000)
    assert page.url == address


async def test_everything_works_without_scripts_and_without_a_mouse(zone: Demo, certificate: Certificate) -> None:
    """Signing in, the switch, and a start that is followed to the page that was asked for."""
    address = zone.address("/", name=zone.world.visit.stopped)
    async with open_browser(certificate, scripts=False) as browser:
        page = await browser.new_page()
        await page.goto(zone.world.visit.portal_url)
        await page.get_by_role("button", name="ada").press("Enter")
        switch = page.get_by_role("group", name="Who may open http-3000").first
        await switch.get_by_role("button", name="internal").press("Enter")
        await expect(switch.get_by_role("button", name="internal")).to_have_attribute("aria-pressed", "true")
        await page.goto(address)
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("button", name="Start the workspace")).to_be_focused()
        await page.keyboard.press("Enter")

        await expect(page).to_have_title("plum-owl-grey - demo site", timeout=20_000)
        assert page.url == address


async def test_a_page_that_waits_disturbs_nobody_until_there_is_something_else(
    zone: Demo, browser: BrowserContext
) -> None:
    """It asks for itself by a script, and is loaded again only when the answer is another."""
    stopped, page = zone.world.visit.stopped, await browser.new_page()
    await open_editor(zone, browser)
    told = yaml.safe_load(zone.world.routes.read_text())
    like = next(entry for entry in told["workspaces"] if entry["name"] == zone.world.visit.running)
    zone.declare(stopped, lambda entry: entry.update(state="starting"))
    await page.goto(zone.address(port=EDITOR_PORT, name=stopped))
    await page.evaluate("window.isTheSamePage = true")
    for _ in range(2):
        async with page.expect_response(lambda response: response.status == 503):
            pass

    assert await page.evaluate("window.isTheSamePage")
    zone.declare(stopped, lambda entry: entry.update(state="running", ports=like["ports"]))
    await expect(page.locator("#status")).to_have_text("connected")


async def test_a_fragment_survives_wherever_nobody_has_to_press_a_button(zone: Demo, browser: BrowserContext) -> None:
    """Into a second port, through a new sign-in, and past an ended grant; a browser keeps it over redirects."""
    await open_editor(zone, browser)
    zone.world.state.oauth.trust(zone.world.settings.auth.client_id)
    second, page = zone.address("/a?b=c#L10-L20"), await browser.new_page()
    zone.declare(zone.world.visit.running, lambda entry: entry["ports"][1].update(visibility="private"))
    await page.goto(second)

    assert page.url == second
    assert await page.evaluate("location.hash") == "#L10-L20"
    for ahead in (900, EXPIRED):
        zone.clock.ahead += ahead
        await browser.clear_cookies(name="__Host-workspaces-entered")  # its ten seconds are the browser's own
        again, address = await browser.new_page(), zone.address(f"/?ahead={ahead}#here", port=EDITOR_PORT)
        await again.goto(address)
        await expect(again.locator("#status")).to_have_text("connected")
        assert again.url == address


async def test_ten_tabs_over_ten_workspaces_all_come_back_after_expiry(zone: Demo, browser: BrowserContext) -> None:
    """At once, each at its own address, as when a browser restores its windows in the morning."""
    world = zone.world
    ada = next(user for user in world.state.users.values() if user.username == "ada")
    told = yaml.safe_load(world.routes.read_text())
    like: dict[str, Any] = next(entry for entry in told["workspaces"] if entry["name"] == world.visit.running)
    names = [f"tab-{number}" for number in range(10)]
    for name in names:
        number, template = world.state.add_workspace(ada, name).id, like["host_template"].replace(like["name"], name)
        told["workspaces"].append({**like, "name": name, "id": number, "host_template": template})
    world.routes.write_text(yaml.safe_dump(told))
    world.gateway.reload_routes()
    await open_editor(zone, browser)
    world.state.oauth.trust(world.settings.auth.client_id)
    addresses = [zone.address(f"/?folder=/{name}#{name}", port=EDITOR_PORT, name=name) for name in names]
    tabs = [await browser.new_page() for _ in names]

    for _ in range(2):  # the first time it is all new, the second time all of it has ended
        await asyncio.gather(*(tab.goto(address) for tab, address in zip(tabs, addresses, strict=True)))
        for tab, address in zip(tabs, addresses, strict=True):
            await expect(tab.locator("#status")).to_have_text("connected")
            assert tab.url == address
        zone.clock.ahead += EXPIRED
