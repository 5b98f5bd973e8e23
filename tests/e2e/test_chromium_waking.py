"""In a real browser, with `http.wake: auto`: what its owner opens by hand starts, and nothing else does."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import BrowserContext, Page, expect

from config.settings import Settings
from gateway.demo import lifecycle
from gateway.demo.gitlab_model import GitLabWorkspace
from gateway.demo.gitlab_state import GitLabState
from gateway.demo.world import EDITOR_PORT
from tests.e2e.conftest import Certificate, Demo, open_demo

IDLE = 6000  # ms; Chromium takes a page's own acts for its person's for 5 s, and what a test evaluates for such an act
STOPPED = "This workspace is stopped"


def with_auto(settings: Settings, _state: GitLabState) -> Settings:
    return settings.model_copy(update={"http": settings.http.model_copy(update={"wake": "auto"})})


@pytest.fixture
async def auto(certificate: Certificate) -> AsyncIterator[Demo]:
    """Over TLS, without which browsers do not say what a person did."""
    async with open_demo(certificate, with_auto) as opened:
        yield opened


def sleeper(demo: Demo) -> GitLabWorkspace:
    name = demo.world.visit.stopped
    return next(item for item in demo.world.state.workspaces.values() if item.name == name)


def address(demo: Demo) -> str:
    return demo.address("/?folder=/projects/a%20b", port=EDITOR_PORT, name=demo.world.visit.stopped)


def ways(demo: Demo) -> list[str]:
    return [line["way"] for line in demo.logged("audit.workspace_started")]


async def open_portal(demo: Demo, browser: BrowserContext) -> Page:
    """Ada on the list of her workspaces."""
    page = await browser.new_page()
    await page.goto(demo.world.visit.portal_url)
    await page.get_by_role("button", name="ada").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("My workspaces")
    return page


async def test_an_address_that_is_typed_starts_it_through_the_sign_in_too(auto: Demo, browser: BrowserContext) -> None:
    """From a browser that nobody has used to the editor, without a button but the one on GitLab's page."""
    page = await browser.new_page()
    await page.goto(address(auto))
    await page.get_by_role("button", name="ada").click()
    await expect(page.locator("#status")).to_have_text("connected", timeout=30_000)

    assert page.url == address(auto)
    assert ways(auto) == ["navigation"]


async def test_a_link_of_the_portal_starts_it(auto: Demo, browser: BrowserContext) -> None:
    """As the list says."""
    page = await open_portal(auto, browser)
    card = page.get_by_role("region", name=auto.world.visit.stopped)
    await expect(card).to_contain_text("Opening one of its ports starts it too.")
    await card.get_by_role("link", name="editor-server").click()
    await expect(page.locator("#status")).to_have_text("connected", timeout=30_000)

    assert ways(auto) == ["navigation"]


async def test_no_page_starts_it_by_itself(auto: Demo, browser: BrowserContext) -> None:
    """A reload by script, a frame, a fetch, an image, a prefetch; with nobody at the keyboard."""
    page = await open_portal(auto, browser)
    await page.goto(auto.address("/"))
    other = await browser.new_page()
    url = address(auto)
    await other.goto(auto.address("/"))
    script = """async url => {
        await fetch(url, {mode: "no-cors", credentials: "include"}).catch(() => null);
        await new Promise(done => { const image = new Image(); image.onerror = image.onload = done; image.src = url; });
        const link = document.createElement("link");
        link.rel = "prefetch";
        link.href = url;
        document.head.append(link);
        await new Promise(done => {
            const frame = document.createElement("iframe");
            frame.onload = done;
            frame.src = url;
            document.body.append(frame);
        });
    }"""
    await other.evaluate(script, url)
    async with other.expect_navigation():
        await other.evaluate(f"url => {{ setTimeout(() => {{ location.href = url; }}, {IDLE}); }}", url)
    await expect(other.get_by_role("heading", level=1)).to_have_text(STOPPED)
    async with other.expect_navigation():
        await other.evaluate(f"() => {{ setTimeout(() => location.reload(), {IDLE}); }}")
    await expect(other.get_by_role("heading", level=1)).to_have_text(STOPPED)
    await expect(other.get_by_role("button", name="Start the workspace")).to_be_visible()

    assert sleeper(auto).desired_state == "Stopped"
    assert ways(auto) == []


async def test_a_page_that_follows_does_not_start_what_is_stopped_under_it(
    auto: Demo, browser: BrowserContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner opened it, and stops it from elsewhere while it starts: it comes to rest, and stays there."""
    monkeypatch.setattr(lifecycle, "STARTING_SECONDS", 1_000_000.0)
    page = await open_portal(auto, browser)
    auto.world.state.want_state(sleeper(auto).id, "Running")
    auto.declare(auto.world.visit.stopped, lambda entry: entry.update(state="starting"))
    await page.goto(address(auto))
    await expect(page.get_by_role("heading", level=1)).to_have_text("This workspace is starting")
    auto.world.state.want_state(sleeper(auto).id, "Stopped")
    auto.declare(auto.world.visit.stopped, lambda entry: entry.update(state="stopped"))
    await expect(page.get_by_role("heading", level=1)).to_have_text(STOPPED, timeout=20_000)
    await asyncio.sleep(4)  # longer than such a page waits between two looks

    assert sleeper(auto).desired_state == "Stopped"
    assert ways(auto) == []
