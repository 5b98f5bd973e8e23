"""The check's browser: it follows a sign-in as a person would, and keeps apart what belongs to different hosts."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from gateway.demo.browser import Browser, Network, TooManyRedirects
from gateway.demo.forms import NoSuchChoice

FORM = """<form method="post" action="/oauth/authorize?x=1">
<input type="hidden" name="n" value="a b"><button>@ada</button></form>"""


async def _answer(request: web.Request) -> web.StreamResponse:
    """One server under many names; every path is one behaviour."""
    match request.path:
        case "/start":
            return web.Response(
                status=303,
                headers={"Location": f"http://gitlab.localhost:{request.url.port}/oauth/authorize"},
            )
        case "/oauth/authorize" if request.method == "GET":
            return web.Response(text=FORM, content_type="text/html")
        case "/oauth/authorize":
            sent = "|".join([(await request.text()), request.headers["Origin"], request.headers["Sec-Fetch-Site"]])
            return web.Response(
                status=302, headers={"Location": "/end?q=%2F", "Set-Cookie": "s=1; Path=/", "X-Sent": sent}
            )
        case "/loop":
            return web.Response(status=302, headers={"Location": "/loop"})
        case "/temporary":
            return web.Response(status=307)
        case _:
            return web.json_response(
                {"target": request.raw_path, "host": request.host, "headers": dict(request.headers)}
            )


@pytest.fixture(name="port")
async def _port() -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", _answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@pytest.fixture(name="browser")
async def _browser(port: int) -> AsyncIterator[Browser]:
    async with Browser(Network(("127.0.0.1", port), "workspaces.test", "portal.test")) as browser:
        yield browser


async def test_names_of_the_gateway_are_dialled_at_its_door(browser: Browser) -> None:
    """Neither needs to resolve, and the Host header says what the address says."""
    workspace = await browser.fetch("http://3000-a.workspaces.test:1/")
    portal = await browser.fetch("http://portal.test/")

    assert '"host": "3000-a.workspaces.test:1"' in workspace.text
    assert '"host": "portal.test"' in portal.text


async def test_a_target_is_sent_byte_for_byte(browser: Browser) -> None:
    """Nothing is decoded, encoded or sorted."""
    page = await browser.fetch("http://portal.test/a%2fb//c?z=%20+&a=%C3%A9")

    assert '"target": "/a%2fb//c?z=%20+&a=%C3%A9"' in page.text


async def test_a_navigation_says_that_it_is_one(browser: Browser) -> None:
    """And a fetch does not."""
    assert '"Sec-Fetch-Mode": "navigate"' in (await browser.navigate("http://portal.test/")).text
    assert "Sec-Fetch" not in (await browser.fetch("http://portal.test/")).text


async def test_a_visit_signs_in_and_ends_where_the_redirects_end(browser: Browser, port: int) -> None:
    """The form is sent with its fields, and cookies go back to their host."""
    page = await browser.visit(f"http://portal.test:{port}/start", "ada")

    assert (page.status, page.url) == (200, f"http://gitlab.localhost:{port}/end?q=%2F")
    assert '"Cookie": "s=1"' in page.text
    assert '"Sec-Fetch-Site": "cross-site"' in page.text
    assert "Cookie" not in (await browser.fetch("http://portal.test/")).text


async def test_a_form_is_posted_as_a_browser_does(browser: Browser, port: int) -> None:
    """Fields encoded once, with the Origin of the page that held the form."""
    origin = f"http://gitlab.localhost:{port}"
    page = await browser._submit(await browser.navigate(f"{origin}/oauth/authorize"), "ada")

    assert page.headers["X-Sent"] == f"n=a+b|{origin}|same-origin"


async def test_a_visit_says_when_the_person_is_not_offered(browser: Browser, port: int) -> None:
    """It does not sign in as somebody else."""
    with pytest.raises(NoSuchChoice, match="grace"):
        await browser.visit(f"http://portal.test:{port}/start", "grace")


async def test_a_loop_of_redirects_ends(browser: Browser) -> None:
    """After as many as browsers allow."""
    with pytest.raises(TooManyRedirects, match="20"):
        await browser.visit("http://portal.test/loop", "ada")


async def test_a_redirect_to_nowhere_is_a_page(browser: Browser) -> None:
    """Without a Location there is nothing to follow."""
    assert (
        str(await browser.visit("http://portal.test/temporary?secret", "ada"))
        == "307 from http://portal.test/temporary"
    )
