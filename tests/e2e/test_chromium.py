"""A real browser signs in to the demo and works in a workspace."""

from playwright.async_api import BrowserContext, expect

from gateway.demo.world import EDITOR_PORT, SITE_PORT
from gateway.idle.ledger import Use
from tests.e2e.conftest import Demo


async def test_a_person_opens_a_workspace_and_is_in_it(demo: Demo, browser: BrowserContext) -> None:
    """At the exact address, query included, with an editor whose WebSocket holds."""
    visit = demo.world.visit
    address = visit.address(visit.running, EDITOR_PORT, "/?folder=/projects/demo&tab=a%20b%2Bc")
    page = await browser.new_page()
    await page.goto(address)
    await page.get_by_role("button", name="ada").click()

    await expect(page.locator("#status")).to_have_text("connected")
    assert page.url == address
    await page.get_by_label("Text to send").fill("hello from a browser")
    await page.get_by_role("button", name="Send").click()
    await expect(page.get_by_label("Echoes")).to_contain_text("hello from a browser")


async def test_somebody_else_finds_nothing(demo: Demo, browser: BrowserContext) -> None:
    """The 404 of an unknown workspace, after signing in."""
    visit = demo.world.visit
    page = await browser.new_page()
    await page.goto(visit.address(visit.running, EDITOR_PORT, "/"))
    async with page.expect_response(lambda response: response.status == 404):
        await page.get_by_role("button", name="grace").click()

    await expect(page.get_by_role("heading", level=1)).to_have_text("Nothing to see here")


async def test_every_cookie_stays_on_its_host_and_away_from_scripts(demo: Demo, browser: BrowserContext) -> None:
    """Host-only, HttpOnly and SameSite=Lax; the workspace's page sees none of them."""
    visit = demo.world.visit
    page = await browser.new_page()
    await page.goto(visit.address(visit.running, EDITOR_PORT, "/"))
    await page.get_by_role("button", name="ada").click()
    await expect(page.locator("#status")).to_have_text("connected")

    ours = [cookie for cookie in await browser.cookies() if cookie["name"].startswith("workspaces-")]
    assert {cookie["name"] for cookie in ours} == {
        "workspaces-session",
        "workspaces-browser",
        "workspaces-known",
        "workspaces-entry",
        "workspaces-entered",
        "workspaces-grant",
    }
    assert all(not cookie["domain"].startswith(".") for cookie in ours)
    assert all(cookie["httpOnly"] and cookie["sameSite"] == "Lax" for cookie in ours)
    assert await page.evaluate("document.cookie") == ""


async def test_a_second_workspace_port_opens_without_another_sign_in(demo: Demo, browser: BrowserContext) -> None:
    """The portal remembers the session; the stopped workspace says that it is stopped."""
    visit = demo.world.visit
    page = await browser.new_page()
    await page.goto(visit.address(visit.running, EDITOR_PORT, "/"))
    await page.get_by_role("button", name="ada").click()
    await expect(page.locator("#status")).to_have_text("connected")

    response = await page.goto(visit.address(visit.stopped, SITE_PORT, "/x?y=1"))
    assert response is not None
    assert (response.status, page.url) == (503, visit.address(visit.stopped, SITE_PORT, "/x?y=1"))
    await expect(page.get_by_role("heading", level=1)).to_have_text("This workspace is stopped")


async def test_the_portal_lists_my_workspaces_and_signs_me_out(demo: Demo, browser: BrowserContext) -> None:
    """Only mine, with the ssh command; after signing out the workspace asks again."""
    visit = demo.world.visit
    page = await browser.new_page()
    await page.goto(visit.portal_url)
    await page.get_by_role("button", name="ada").click()

    await expect(page.get_by_role("heading", name=visit.running)).to_be_visible()
    await expect(page.get_by_role("heading", name=visit.stopped)).to_be_visible()
    await expect(page.get_by_text(visit.others)).to_have_count(0)
    await expect(page.get_by_text(f"{visit.running}@").first).to_be_visible()
    await page.get_by_role("button", name="Sign out", exact=True).click()
    await page.goto(visit.portal_url)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in to the stand-in GitLab")


async def test_a_page_that_somebody_opens_is_use_and_one_that_loads_itself_is_none(
    demo: Demo, browser: BrowserContext
) -> None:
    """By what a real browser says of its requests."""
    idle, visit = demo.world.gateway.idle, demo.world.visit
    assert idle is not None
    number = next(str(each.id) for each in demo.world.state.workspaces.values() if each.name == visit.running)
    page = await browser.new_page()
    await page.goto(visit.address(visit.running, EDITOR_PORT, "/"))
    await page.get_by_role("button", name="ada").click()
    await expect(page.locator("#status")).to_have_text("connected")
    await page.goto(visit.address(visit.running, EDITOR_PORT, "/"))
    opened = idle.ledger.get(number)
    async with page.expect_navigation():
        # Unlike `evaluate`, which acts as if somebody had clicked.
        session = await browser.new_cdp_session(page)
        await session.send("Runtime.evaluate", {"expression": "location.search = '?by-itself'"})
    loaded = idle.ledger.get(number)
    await page.reload()
    reloaded = idle.ledger.get(number)

    assert opened is not None
    assert opened.use is Use.REQUEST
    assert loaded == opened
    assert reloaded is not None
    assert reloaded.at > opened.at
