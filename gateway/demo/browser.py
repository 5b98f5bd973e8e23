"""A browser as small as a check needs: host-only cookies, redirects one by one, forms, WebSockets; no script.

Unlike a person's browser it shows every hop, and dials the gateway's names at one address without asking DNS.
"""

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlencode, urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDictProxy
from yarl import URL

from gateway.demo.cookies import CookieJar
from gateway.demo.forms import find_submission

_HOPS = 20
"""What Chromium and Firefox allow before they speak of a redirect loop."""

_NAVIGATION = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-User": "?1",
    "Upgrade-Insecure-Requests": "1",
}


@dataclass(frozen=True, slots=True)
class Page:
    """One answer, whole."""

    url: str
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    @property
    def next_url(self) -> str | None:
        """Where a redirect leads, as an absolute address."""
        if self.status not in {301, 302, 303, 307, 308} or "Location" not in self.headers:
            return None
        return urljoin(self.url, self.headers["Location"])

    def __str__(self) -> str:
        """For people: queries may hold one-time codes, so they are left out."""
        where = f"{self.status} from {without_query(self.url)}"
        return f"{where} to {without_query(self.next_url)}" if self.next_url else where


class TooManyRedirects(Exception):
    """A chain of redirects did not end."""


@dataclass(frozen=True, slots=True)
class Network:
    """Where the gateway is. Names of its zone and its portal are dialled at `address`, all others on this machine."""

    address: tuple[str, int]
    zone: str
    portal_host: str

    def is_gateway(self, host: str) -> bool:
        return host == self.portal_host or host.endswith(f".{self.zone}")


class Browser:
    """One person's browser: what it stores is shared by all its requests and by nobody else."""

    def __init__(self, network: Network) -> None:
        self.cookies = CookieJar()
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=_Resolver(network), use_dns_cache=False),
            cookie_jar=aiohttp.DummyCookieJar(),  # ours keeps cookies to the host that set them
            timeout=aiohttp.ClientTimeout(total=None),  # the caller's limit covers a whole visit
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding",),  # the bytes as they are
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()

    async def fetch(
        self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Page:
        """One exchange as a program or a script on a page would make it. Redirects are not followed."""
        sent = dict(headers or {}) | self.cookie_header(url)
        async with self.session.request(
            method, URL(url, encoded=True), headers=sent, data=body, allow_redirects=False
        ) as answer:
            content = await answer.read()
        for line in answer.headers.getall("Set-Cookie", ()):
            self.cookies.store(url, line)
        return Page(url, answer.status, answer.headers, content)

    async def navigate(self, url: str, *, site: str = "none") -> Page:
        """What typing an address does, up to the first answer."""
        return await self.fetch(url, headers=_NAVIGATION | {"Sec-Fetch-Site": site})

    async def visit(self, url: str, username: str) -> Page:
        """What typing an address does, up to a page that stays. Signs in as `username` where GitLab asks."""
        page, site = await self.navigate(url), "none"
        for _ in range(_HOPS):
            if page.next_url is not None:
                page = await self.navigate(page.next_url, site=site)
            elif page.status == 200 and urlsplit(page.url).path.endswith("/oauth/authorize"):
                # From here on the journey was started by GitLab's page, which is another site than the gateway.
                page, site = await self._submit(page, username), "cross-site"
            else:
                return page
        raise TooManyRedirects(f"still redirected after {_HOPS} answers: {page}")

    @asynccontextmanager
    async def open_socket(
        self, url: str, protocols: Sequence[str] = ()
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A WebSocket as a script of the page at `url` would open it."""
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        async with self.session.ws_connect(
            URL(url, encoded=True), protocols=protocols, origin=origin, headers=self.cookie_header(url), max_msg_size=0
        ) as opened:
            yield opened

    async def _submit(self, page: Page, choice: str) -> Page:
        submission = find_submission(page.text, choice)
        target, fields = urljoin(page.url, submission.action), urlencode(submission.fields)
        headers = _NAVIGATION | {"Sec-Fetch-Site": "same-origin"}
        if submission.method == "GET":
            return await self.fetch(f"{without_query(target)}?{fields}", headers=headers)
        headers |= {
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": "{0.scheme}://{0.netloc}".format(urlsplit(page.url)),
        }
        return await self.fetch(target, method="POST", headers=headers, body=fields.encode())

    def cookie_header(self, url: str) -> dict[str, str]:
        cookies = self.cookies.header(url)
        return {"Cookie": cookies} if cookies else {}


def without_query(url: str) -> str:
    return url.partition("#")[0].partition("?")[0]


class _Resolver(AbstractResolver):
    """Answers every name at once; `.localhost` names do not resolve everywhere."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        address, dialled = self._network.address if self._network.is_gateway(host) else ("127.0.0.1", port)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [ResolveResult(hostname=host, host=address, port=dialled, family=family, proto=0, flags=flags)]

    async def close(self) -> None:
        """Nothing is open."""
