"""In a real browser, over TLS: a hostile workspace on a sibling host gets nothing of a visitor's other workspaces.

Grace owns the hostile one. Its server and its pages are the test's own, so they may do whatever a browser lets them.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import BrowserContext, Page, expect

from gateway.demo.world import EDITOR_PORT, SITE_PORT, ZONE
from tests.e2e.conftest import Certificate, Demo, open_browser

OURS = ("session", "browser", "known", "entry", "grant", "seen", "entered")

WORKER = """
const seen = [];
self.oninstall = () => self.skipWaiting();
self.onactivate = event => event.waitUntil(clients.claim());
self.onfetch = event => {
  const url = new URL(event.request.url);
  if (url.pathname.startsWith("/.workspaces-gateway/")) seen.push(event.request.url);
  if (url.href === location.origin + "/caught") event.respondWith(Response.json(seen));
};
"""
"""Answers one path itself, and keeps the addresses of the reserved path that it sees go by."""


@dataclass
class Evil:
    """The hostile workspace: its public address, and what its server was told."""

    url: str
    paths: list[str]


@pytest.fixture
async def evil(zone: Demo) -> AsyncIterator[Evil]:
    """A public port of Grace's, with a server of the test's own behind it."""
    visit = zone.world.visit
    state = Evil(visit.address(visit.others, SITE_PORT, "/"), [])

    async def answer(request: web.Request) -> web.Response:
        state.paths.append(request.path)
        if request.path.endswith("worker.js"):
            return web.Response(text=WORKER, content_type="text/javascript", headers={"Service-Worker-Allowed": "/"})
        return web.Response(text="<!doctype html><h1>evil</h1>", content_type="text/html")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()

    def change(entry: dict[str, Any]) -> None:
        site = next(port for port in entry["ports"] if port["target_port"] == SITE_PORT)
        site["visibility"], site["port"] = "public", runner.addresses[0][1]

    zone.declare(visit.others, change)
    yield state
    await runner.cleanup()


async def open_editor(zone: Demo, browser: BrowserContext) -> Page:
    """Ada in her editor, signed in if need be."""
    page = await browser.new_page()
    await page.goto(zone.address(port=EDITOR_PORT))
    if await page.get_by_role("button", name="ada").count():
        await page.get_by_role("button", name="ada").click()
    await expect(page.locator("#status")).to_have_text("connected")
    return page


async def visit_evil(evil: Evil, browser: BrowserContext) -> Page:
    """The hostile page, past the warning."""
    page = await browser.new_page()
    await page.goto(evil.url)
    await page.get_by_role("link", name="Visit the page").click()
    await expect(page.get_by_role("heading", name="evil")).to_be_visible()
    return page


async def ours(browser: BrowserContext) -> dict[tuple[str, str], dict[str, Any]]:
    """The gateway's cookies in the browser, by host and name."""
    cookies = await browser.cookies()
    return {(cookie["domain"], cookie["name"]): dict(cookie) for cookie in cookies if "workspaces-" in cookie["name"]}


async def test_cookies_are_of_one_host_secure_and_out_of_reach(zone: Demo, browser: BrowserContext) -> None:
    """With the prefix by which the browser itself refuses them from any sibling."""
    page = await open_editor(zone, browser)
    cookies = await ours(browser)

    assert {name for _, name in cookies} == {f"__Host-workspaces-{noun}" for noun in OURS if noun != "seen"}
    assert {host for host, _ in cookies} == {ZONE, zone.address(port=EDITOR_PORT).split("/")[2].partition(":")[0]}
    assert all(
        cookie["secure"] and cookie["httpOnly"] and cookie["sameSite"] == "Lax" and cookie["path"] == "/"
        for cookie in cookies.values()
    )
    assert await page.evaluate("document.cookie") == ""


async def test_a_siblings_page_cannot_toss_a_cookie_of_ours(zone: Demo, evil: Evil, browser: BrowserContext) -> None:
    """The browser refuses the names; names that only look like ours change nothing."""
    await open_editor(zone, browser)
    before = await ours(browser)
    page = await visit_evil(evil, browser)
    await page.evaluate(
        """([zone, nouns]) => {
             for (const noun of nouns)
               for (const prefix of ["__Host-", "__host-", "__Secure-", "__%48ost-", ""])
                 document.cookie = `${prefix}workspaces-${noun}=tossed; path=/; domain=${zone}; secure`;
             document.cookie = `=__Host-workspaces-session=tossed; path=/; domain=${zone}; secure`;
           }""",
        [ZONE, OURS],
    )

    after = await ours(browser)
    assert not any(name.startswith("__Host-") and cookie["value"] == "tossed" for (_, name), cookie in after.items())
    assert {key: after[key]["value"] for key in before} == {key: cookie["value"] for key, cookie in before.items()}
    await open_editor(zone, browser)
    portal = await browser.new_page()
    await portal.goto(zone.world.visit.portal_url)
    await expect(portal.get_by_text("Signed in as")).to_contain_text("ada")


async def test_a_jar_that_a_sibling_overfills_costs_at_most_a_sign_in(
    zone: Demo, evil: Evil, browser: BrowserContext
) -> None:
    """Whatever the browser throws away for the junk, ada comes back, and as nobody but herself."""
    await open_editor(zone, browser)
    page = await visit_evil(evil, browser)
    await page.evaluate(
        """zone => {
             for (let number = 0; number < 400; number++)
               document.cookie = `junk${number}=junk; path=/; domain=${zone}; secure`;
           }""",
        ZONE,
    )
    assert len(await browser.cookies()) < 400  # or it was not full
    await browser.clear_cookies(name="__Host-workspaces-grant")  # what another browser might have thrown away
    await browser.clear_cookies(name="__Host-workspaces-session")

    await open_editor(zone, browser)
    portal = await browser.new_page()
    await portal.goto(zone.world.visit.portal_url)
    await expect(portal.get_by_text("Signed in as")).to_contain_text("ada")


async def test_a_siblings_page_reads_nothing_and_changes_nothing(
    zone: Demo, evil: Evil, browser: BrowserContext
) -> None:
    """By fetch, form, WebSocket or event stream, though the browser sends the visitor's cookies along."""
    await open_editor(zone, browser)
    page = await visit_evil(evil, browser)
    editor = zone.address(port=EDITOR_PORT)
    ask = """([address, init]) => fetch(address, {credentials: "include", ...init})
               .then(response => response.type === "opaque" ? "opaque" : response.text(), () => "refused")"""

    assert await page.evaluate(ask, [editor, {}]) == "refused"
    assert await page.evaluate(ask, [editor, {"mode": "no-cors"}]) == "opaque"
    assert await page.evaluate(ask, [editor, {"mode": "no-cors", "method": "POST"}]) == "opaque"
    assert await page.evaluate(ask, [editor, {"method": "PUT", "headers": {"X-A": "b"}}]) == "refused"
    portal = f"{zone.world.visit.portal_url}/api/v1/workspaces"
    assert await page.evaluate(ask, [portal, {}]) == "refused"
    socket = await page.evaluate(
        """address => new Promise(ended => {
             const socket = new WebSocket(address);
             socket.onopen = () => ended("open"); socket.onclose = event => ended(event.code);
           })""",
        editor.replace("https", "wss") + "ws",
    )
    assert socket == 1006
    await page.evaluate(
        """address => { const form = document.body.appendChild(document.createElement("form"));
                        form.method = "post"; form.action = address; form.submit(); }""",
        f"{editor}?form",
    )
    await page.wait_for_url(f"{editor}?form")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Another site asked for this")
    unsafe = [line for line in zone.requests(editor.split("/")[2].partition(":")[0]) if line["method"] != "GET"]
    assert {(line["method"], line["status"]) for line in unsafe} == {("POST", 403), ("OPTIONS", 401)}


async def test_a_service_worker_rules_no_other_host_and_no_path_of_ours(
    zone: Demo, evil: Evil, browser: BrowserContext
) -> None:
    """It sees its own host alone, and cannot be registered from the reserved path."""
    page = await visit_evil(evil, browser)
    register = """([script, scope]) => navigator.serviceWorker.register(script, {scope}).then(
                    () => navigator.serviceWorker.ready.then(() => "registered"), error => error.name)"""
    reserved = f"/.workspaces-gateway/ports/{SITE_PORT}/worker.js"

    assert await page.evaluate(register, [reserved, "/.workspaces-gateway/"]) == "TypeError"
    assert "/worker.js" not in evil.paths
    assert await page.evaluate(register, ["/worker.js", "/"]) == "registered"
    assert await page.evaluate("fetch('/caught').then(answer => answer.json())") == []
    editor = await open_editor(zone, browser)
    assert await editor.evaluate("navigator.serviceWorker.controller") is None
    assert await editor.evaluate("fetch('/caught').then(answer => answer.status)") == 404
    elsewhere = f"{zone.address(port=EDITOR_PORT)}caught"
    assert await page.evaluate("url => fetch(url).then(() => 'read', () => 'refused')", elsewhere) == "refused"


async def test_what_a_service_worker_sees_of_an_entry_is_worth_nothing_elsewhere(
    zone: Demo, evil: Evil, browser: BrowserContext, certificate: Certificate
) -> None:
    """A worker of the host that somebody enters sees the code; in another browser, or twice, it opens nothing."""
    page = await visit_evil(evil, browser)
    await page.evaluate("navigator.serviceWorker.register('/worker.js').then(() => navigator.serviceWorker.ready)")

    def close(entry: dict[str, Any]) -> None:
        next(port for port in entry["ports"] if port["target_port"] == SITE_PORT)["visibility"] = "internal"

    zone.declare(zone.world.visit.others, close)
    await page.goto(f"{evil.url}private")
    await page.get_by_role("button", name="ada").click()
    await expect(page.get_by_role("heading", name="evil")).to_be_visible()

    (code,) = await page.evaluate("fetch('/caught').then(answer => answer.json())")
    assert "/enter?code=" in code
    assert await page.evaluate("document.cookie") == ""
    async with open_browser(certificate) as thief:
        other = await thief.new_page()
        await other.goto(code)
        await expect(other.get_by_role("heading", level=1)).to_have_text("Signing in did not work")
        assert await ours(thief) == {}
    await page.goto(code)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Signing in did not work")
