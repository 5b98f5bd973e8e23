"""Makes one HTTP call to GitLab: bounded in time and bytes, never redirected, in its turn, and measured.

Everything that can go wrong between two machines becomes `GitLabUnavailable` here and nowhere else. What an answer
that did arrive means is for `gitlab` and `oauth` to say. No token enters an exception, a log line or a metric. The same
question asked by several at once is one call, and a GitLab that fails is spared (`circuit`, `turns`).
"""

import asyncio
import hashlib
import json
import re
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
from pydantic import SecretStr

from auth.circuit import ROOM, Circuit
from auth.flights import Flights
from auth.model import GitLabUnavailable, TokenRefused
from auth.turns import Turns
from config.settings import AuthSettings

Observer = Callable[[str, str, float], None]
"""Told of every call: endpoint, result (ok, refused, limited, failed), seconds.

And with the result `spared`, in no time, of every question that was not asked because GitLab fails or has enough to do.
"""

BODY_MAX = 1 << 20  # bytes; a hundred workspaces take 50 KiB, and a runaway answer must not take the gateway's memory
CONNECTIONS_MAX = 2 * ROOM  # at once; twice, so that those that hang leave room to ask whether GitLab is back
FIELD_MAX = 32 * 1024  # bytes; GitLab's Content-Security-Policy alone may exceed aiohttp's 8 KiB
RETRY_AFTER_MAX = 300  # s; no longer than a person waits, whatever GitLab asks for
RETRY_AFTER_DEFAULT = 5  # s

# GitLab's tokens have no one form (prefixes are the administrator's choice), but all fit a header field.
_TOKEN = re.compile(r"[!-~]{1,4096}\Z")
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "workspaces-gateway"}


@dataclass(frozen=True, slots=True)
class Reply:
    """What GitLab answered, when that is neither an overload nor a failure of its own."""

    endpoint: str
    status: int
    body: bytes
    location: str = ""
    """Where a redirect leads, which nothing here follows."""
    is_page: bool = False
    """Whether it is HTML."""

    @property
    def is_redirect(self) -> bool:
        """GitLab sends whoever may not call it to a page meant for people."""
        return 300 <= self.status < 400

    def get_record(self) -> dict[str, Any] | None:
        """The JSON object in the body, or None for anything else."""
        try:
            record = json.loads(self.body)
        except (ValueError, RecursionError):  # RecursionError: deep nesting
            return None
        return record if isinstance(record, dict) else None

    def find_record(self) -> dict[str, Any]:
        record = self.get_record()
        if record is None:
            raise self.nonsense("no JSON object")
        return record

    def nonsense(self, what: str) -> GitLabUnavailable:
        """The fault for an answer that is not what GitLab documents."""
        return GitLabUnavailable(f"{self.endpoint} answered {self.status} with {what}")


Call = Callable[[], Awaitable[Reply]]


class Calls:
    """Sends requests to one GitLab. `base` is its address with the relative URL root."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        base: str,
        timeout: float,
        observe: Observer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.base = base.rstrip("/")
        self._http = http
        self._timeout = timeout
        self._observe = observe
        self._circuit = Circuit(clock)
        self._turns = Turns(self._circuit)
        self._flights: Flights[bytes, Reply] = Flights()
        self._strangers = count()

    def __repr__(self) -> str:
        return f"<Calls to {self.base}>"

    async def ask(
        self,
        endpoint: str,
        url: str,
        *,
        token: SecretStr | None = None,
        document: Mapping[str, Any] | None = None,
    ) -> Reply:
        """Read something: GET, or POST of a JSON document. Repeated once if a kept connection turned out dead.

        Whoever asks the same with the same token while the answer is on its way shares it.
        """
        method = "GET" if document is None else "POST"
        headers = _HEADERS if token is None else {**_HEADERS, "Authorization": f"Bearer {_clean(token)}"}
        asker = "" if token is None else _hash(headers["Authorization"]).hex()
        call: Call = partial(self._repeated, endpoint, method, url, headers=headers, json=document)
        if token is not None:
            call = partial(_expect_data, call)
        question = _hash(f"{asker} {url} {json.dumps(document)}")
        return await self._flights.join(question, lambda: self._in_turn(asker, endpoint, call))

    async def submit(self, endpoint: str, url: str, form: Mapping[str, str]) -> Reply:
        """Change something: POST of a form. Never repeated, because codes and refresh tokens work once."""
        call = partial(self._measured, endpoint, "POST", url, headers=_HEADERS, data=form)
        return await self._in_turn("", endpoint, partial(_expect_data, call))

    async def _in_turn(self, asker: str, endpoint: str, call: Call) -> Reply:
        """Without a token GitLab limits by address and perhaps path, so that each endpoint is an asker of its own."""
        is_asked = False
        try:
            async with self._turns.turn(asker or endpoint) as opening:
                is_asked = True
                try:
                    reply = await call()
                except _Limited as fault:
                    self._circuit.note_limited(opening, asker or endpoint, fault.retry_after)
                    raise
                except _Failed as fault:
                    self._circuit.note_failure(opening, asker or f"{endpoint} {next(self._strangers)}", fault.pause)
                    raise
                self._circuit.note_answer(opening, asker or endpoint, is_known=reply.status < 300)
                return reply
        finally:
            if not is_asked:
                self._observe(endpoint, "spared", 0)

    async def _repeated(self, endpoint: str, method: str, url: str, **content: Any) -> Reply:
        try:
            return await self._measured(endpoint, method, url, **content)
        except _DeadConnection:
            return await self._measured(endpoint, method, url, **content)

    async def _measured(self, endpoint: str, method: str, url: str, **content: Any) -> Reply:
        started, result = time.monotonic(), "failed"
        try:
            reply, retry_after = await self._exchange(endpoint, method, url, **content)
            result = _result(reply.status)
        finally:
            self._observe(endpoint, result, time.monotonic() - started)
        if result == "limited":
            raise _Limited(f"{endpoint} answered {reply.status}", retry_after or RETRY_AFTER_DEFAULT)
        if result == "failed":
            raise _Failed(f"{endpoint} answered {reply.status}", retry_after)
        return reply

    async def _exchange(self, endpoint: str, method: str, url: str, **content: Any) -> tuple[Reply, int]:
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._http.request(method, url, allow_redirects=False, **content) as response,
            ):
                body = await _read(endpoint, response)
                is_page = response.content_type == "text/html"
                reply = Reply(endpoint, response.status, body, response.headers.get("Location", ""), is_page)
                return reply, _retry_after(response.headers.get("Retry-After", ""))
        except TimeoutError as exc:
            raise _Failed(f"{endpoint} did not answer within {self._timeout:g} s") from exc
        except aiohttp.ServerDisconnectedError as exc:
            raise _DeadConnection(f"{endpoint} closed the connection") from exc
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            # Only the kind: the text of some of these quotes the request. ValueError: a malformed answer.
            raise _Failed(f"{endpoint} could not be asked: {type(exc).__name__}") from exc


class _Limited(GitLabUnavailable):
    """GitLab said 429: it is well, and this asker asks too much."""


class _Failed(GitLabUnavailable):
    """GitLab did not answer, or with a failure of its own."""

    def __init__(self, operator: str, pause: int = 0) -> None:
        """`pause` is for how many seconds GitLab wants to be left alone, where it said so."""
        super().__init__(operator, pause or RETRY_AFTER_DEFAULT)
        self.pause = pause


class _DeadConnection(_Failed):
    """GitLab closed the connection without a word, as it does with one kept alive for too long."""


@asynccontextmanager
async def open_calls(
    settings: AuthSettings, observe: Observer, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[Calls]:
    """Connections to GitLab while the block runs: no cookies, no proxy of the environment, no decompression."""
    tls = _tls_context(settings.ca_file)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls, limit=CONNECTIONS_MAX),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),  # `_exchange` has the one that counts, body included
        trust_env=False,
        auto_decompress=False,
        max_line_size=FIELD_MAX,
        max_field_size=FIELD_MAX,
    ) as http:
        yield Calls(http, settings.host, settings.timeout, observe, clock)


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context


def _clean(token: SecretStr) -> str:
    """The token as a header field. An empty one would make GitLab answer as to nobody; a line break would inject."""
    text = token.get_secret_value().strip()
    if not _TOKEN.match(text):
        raise TokenRefused("the token is empty or cannot be one")
    return text


async def _expect_data(call: Call) -> Reply:
    """A page for people with status 200 is what a proxy before GitLab shows while GitLab is maintained."""
    reply = await call()
    if reply.status == 200 and reply.is_page:
        raise _Failed(f"{reply.endpoint} answered 200 with a page for people")
    return reply


async def _read(endpoint: str, response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > BODY_MAX:
            response.close()
            raise GitLabUnavailable(f"{endpoint} answered with more than {BODY_MAX} bytes")
    return bytes(body)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _result(status: int) -> str:
    if status == 429:
        return "limited"
    if status >= 500:
        return "failed"
    return "ok" if status < 300 else "refused"


def _retry_after(value: str) -> int:
    """Seconds, as GitLab writes it; 0 for a date (RFC 9110, section 10.2.3) or nothing."""
    if not (value.isascii() and value.isdecimal() and len(value) < 10):
        return 0
    return min(max(int(value), 1), RETRY_AFTER_MAX)
