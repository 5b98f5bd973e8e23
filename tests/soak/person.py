"""A person's browser in a soak: requests whose bodies are streams, with the cookies that come and go."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from gateway.demo.browser import Browser, Page
from tests.soak.ledger import Ended, Refused
from tests.soak.stage import Stage

PATIENCE = 60  # seconds without a byte that was due: nothing takes so long, however busy the machine is
_CLOSINGS = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.ERROR)


class Person:
    """Somebody with a browser: signed in under a name, or nobody the gateway knows."""

    def __init__(self, stage: Stage, browser: Browser, name: str) -> None:
        self.name = name
        self.browser = browser
        self._stage = stage

    async def enter(self, url: str) -> Page:
        """What typing the address does, signing in where that is asked.

        Raises:
            Refused: if it ends with anything but a page.
        """
        async with asyncio.timeout(PATIENCE):
            page = await self.browser.visit(url, self.name)
        if page.status != 200:
            raise Refused(f"entering ended with {page}")
        return page

    @asynccontextmanager
    async def ask(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: AsyncIterator[bytes] | bytes | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A request of a script of a page at that address; the answer's body is still to be read."""
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        sent = {"Origin": origin, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"} | dict(headers or {})
        async with self.browser.session.request(
            method,
            URL(url, encoded=True),
            headers=sent | self.browser.cookie_header(url),
            data=body,
            allow_redirects=False,
        ) as answer:
            for line in answer.headers.getall("Set-Cookie", ()):
                self.browser.cookies.store(url, line)
            yield answer

    async def sign_out(self) -> None:
        """What the button on the portal does.

        Raises:
            Refused: if it does not lead back to the portal.
        """
        home = await self.enter(f"{self._stage.portal}/")
        token = home.text.partition('name="csrf" value="')[2].partition('"')[0]
        page = await self.browser.fetch(
            f"{self._stage.portal}/auth/sign-out",
            method="POST",
            headers={"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"},
            body=f"csrf={token}".encode(),
        )
        if page.status not in {200, 303}:
            raise Refused(f"signing out ended with {page}")


async def chunks(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body of an answer as it comes.

    Raises:
        Refused: if it is none of a workspace.
        TimeoutError: if nothing comes for too long.
    """
    if answer.status != 200:
        raise Refused(f"{answer.status} {answer.headers.get('X-Workspaces-Gateway', '')}")
    while True:
        async with asyncio.timeout(PATIENCE):
            piece = await answer.content.readany()
        if not piece:
            return
        yield piece


async def receive(socket: aiohttp.ClientWebSocketResponse) -> bytes:
    """The next message.

    Raises:
        Ended: if the WebSocket was closed instead.
        TimeoutError: if nothing comes for too long.
    """
    async with asyncio.timeout(PATIENCE):
        message = await socket.receive()
    if message.type in _CLOSINGS:
        raise Ended(f"closed with {socket.close_code}")
    return message.data.encode() if isinstance(message.data, str) else bytes(message.data)


@asynccontextmanager
async def open_person(stage: Stage, name: str = "") -> AsyncIterator[Person]:
    """A browser that nobody has used before."""
    async with Browser(stage.network) as browser:
        yield Person(stage, browser, name)
