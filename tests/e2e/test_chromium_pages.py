"""Every page of the gateway as a person meets it: kept as pictures, and checked for accessibility.

The pictures are written to tests/output, for people to look at.
"""

import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from config.settings import SessionSettings, VisibilityRule, VisibilitySettings
from gateway.demo.gitlab import Fault
from gateway.demo.world import EDITOR_PORT, SITE_PORT
from tests.e2e.conftest import CHROMIUM, QUIET, Certificate, Demo, open_demo

OUTPUT = Path(__file__).parents[1] / "output"
LOOKS = {
    "light": ("light", 1100),
    "dark": ("dark", 1100),
    "phone": ("light", 390),
    "phone-dark": ("dark", 390),
}
NOBODYS_PORT = 5000  # declared, and nothing listens on it


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium(certificate: Certificate) -> AsyncIterator[Browser]:
    """One for all pages, because it takes longer to start than a page to be looked at."""
    async with async_playwright() as playwright:
        pin = f"--ignore-certificate-errors-spki-list={certificate.pin}"
        launched = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, pin])
        yield launched
        await launched.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(chromium: Browser) -> AsyncIterator[Page]:
    """In a profile of its own."""
    context = await chromium.new_context()
    yield await context.new_page()
    await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def shown(certificate: Certificate) -> AsyncIterator[Demo]:
    """The demo with a port on which nothing listens, a policy that limits sharing, and few sign-ins at once."""
    policy = VisibilitySettings(rules=(VisibilityRule(namespace="gl-rd-ns-plum-*", max="internal"),))
    sessions = SessionSettings(sign_in_burst=3, sign_ins_per_minute=1)
    async with open_demo(certificate, visibility=policy, sessions=sessions) as demo:

        def change(entry: dict[str, Any]) -> None:
            entry["ports"].append({"name": "api", "port": 9, "target_port": NOBODYS_PORT, "visibility": "internal"})

        demo.declare(demo.world.visit.running, change)
        yield demo


async def sign_in(demo: Demo, page: Page) -> None:
    """As ada, through the portal."""
    await page.goto(demo.world.visit.portal_url)
    await page.get_by_role("button", name="ada").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("My workspaces")


async def show_home(demo: Demo, page: Page) -> None:
    await sign_in(demo, page)
    await page.locator("summary").first.click()


async def show_empty_home(demo: Demo, page: Page) -> None:
    demo.world.state.add_user("eve", name="Eve")
    await page.goto(demo.world.visit.portal_url)
    await page.get_by_role("button", name="eve").click()


async def show_unknown(demo: Demo, page: Page) -> None:
    await sign_in(demo, page)
    await page.goto(demo.address(name="no-such-workspace"))


async def show_stopped(demo: Demo, page: Page) -> None:
    await sign_in(demo, page)
    await page.goto(demo.address(port=EDITOR_PORT, name=demo.world.visit.stopped))


async def show_stopped_to_others(demo: Demo, page: Page) -> None:
    stopped = demo.world.visit.stopped
    demo.declare(stopped, lambda entry: entry["ports"][1].update(visibility="internal"))
    await page.goto(demo.address(name=stopped))
    await page.get_by_role("button", name="grace").click()


async def show_starting(demo: Demo, page: Page) -> None:
    await sign_in(demo, page)
    demo.declare(demo.world.visit.stopped, lambda entry: entry.update(state="starting"))
    await page.goto(demo.address(port=EDITOR_PORT, name=demo.world.visit.stopped))


async def show_nothing_listens(demo: Demo, page: Page) -> None:
    await sign_in(demo, page)
    await page.goto(demo.address(port=NOBODYS_PORT))


async def show_declined(demo: Demo, page: Page) -> None:
    await page.goto(demo.world.visit.portal_url)
    await page.get_by_role("button", name="Deny").click()


async def show_sign_in_failed(demo: Demo, page: Page) -> None:
    await page.goto(f"{demo.world.visit.portal_url}/auth/callback?state=x")


async def show_gitlab_away(demo: Demo, page: Page) -> None:
    await sign_in(demo, page)
    demo.world.gitlab.switches.everywhere.fault = Fault.UNAVAILABLE
    await page.goto(demo.address(port=EDITOR_PORT))


async def show_interstitial(demo: Demo, page: Page) -> None:
    await page.goto(demo.address(port=SITE_PORT))


async def show_signed_out(demo: Demo, page: Page) -> None:
    await sign_in(demo, page)
    await page.get_by_role("button", name="Sign out", exact=True).click()


async def show_loop(demo: Demo, page: Page) -> None:
    await sign_in(demo, page)
    for _ in range(3):
        await page.goto(demo.address(port=EDITOR_PORT))
        await page.context.clear_cookies(name="__Host-workspaces-grant")


async def show_too_many(demo: Demo, page: Page) -> None:
    for _ in range(4):
        await page.goto(demo.world.visit.portal_url)


async def show_cross_site(demo: Demo, page: Page) -> None:
    await sign_in(demo, page)
    await page.goto(demo.address(port=EDITOR_PORT))
    others = demo.world.visit.others
    demo.declare(others, lambda entry: entry["ports"][1].update(visibility="public"))
    await page.goto(demo.address("/status/200", name=others))
    await page.get_by_role("link", name="Visit the page").click()
    await page.set_content(f'<form method="post" action="{demo.address(port=EDITOR_PORT)}"><button>Go</button></form>')
    await page.get_by_role("button").click()


PAGES: Mapping[str, tuple[Callable[[Demo, Page], Awaitable[None]], str]] = MappingProxyType(
    {
        "home": (show_home, "My workspaces"),
        "home-empty": (show_empty_home, "My workspaces"),
        "unknown": (show_unknown, "Nothing to see here"),
        "stopped": (show_stopped, "This workspace is stopped"),
        "stopped-to-others": (show_stopped_to_others, "This workspace is stopped"),
        "starting": (show_starting, "This workspace is starting"),
        "nothing-listens": (show_nothing_listens, "Nothing listens on this port"),
        "sign-in-denied": (show_declined, "GitLab did not let you in"),
        "sign-in-failed": (show_sign_in_failed, "Signing in did not work"),
        "sign-in-loop": (show_loop, "Signing in leads back here again and again"),
        "gitlab-away": (show_gitlab_away, "GitLab is not reachable"),
        "interstitial": (show_interstitial, "You are about to visit somebody's development server"),
        "signed-out": (show_signed_out, "You are signed out"),
        "too-many-sign-ins": (show_too_many, "Too many sign-ins at once"),
        "cross-site": (show_cross_site, "Another site asked for this"),
    }
)


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


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_can_be_read_by_everybody(shown: Demo, page: Page, axe: str, name: str) -> None:
    """In light and dark, on a desk and a phone; nothing is wider than its screen, and axe finds nothing serious."""
    show, title = PAGES[name]
    found = []
    await show(shown, page)
    await page.route("**", lambda route: route.fulfill(status=204))  # a page that asks again stays as it is
    await expect(page.get_by_role("heading", level=1)).to_have_text(title)
    OUTPUT.mkdir(exist_ok=True)
    for look, (scheme, width) in LOOKS.items():
        await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        await page.set_viewport_size({"width": width, "height": 800})
        await page.screenshot(path=OUTPUT / f"{name}-{look}.png", full_page=True)
        root = "document.documentElement"
        assert await page.evaluate(f"{root}.scrollWidth - {root}.clientWidth") <= 0, look
        await page.evaluate(axe)
        violations = await page.evaluate("axe.run().then(result => result.violations)")
        found += [
            (look, violation["id"], [node["html"] for node in violation["nodes"]])
            for violation in violations
            if violation["impact"] in ("serious", "critical")
        ]

    assert not found
