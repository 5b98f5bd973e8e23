"""The stand-in for the HTTP servers of one workspace: an editor on one port, a developer's site on another.

They know nothing of the gateway, as a real workspace knows nothing of it, and import nothing of it. Nothing is
limited, buffered whole or logged, so whatever is lost or slow between a client and here is not their doing.
"""

import asyncio
import hashlib
import math
from collections.abc import Iterator
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from aiohttp import hdrs, web

from gateway.demo.workspace_pages import editor_page, site_page

_GRACE = 0.1
"""Seconds; what is open when a workspace ends (event streams, WebSockets) would not end by itself."""

_PATTERN = hashlib.shake_256(b"workspaces-gateway demo").digest(65521)
"""65521 is prime: a lost or repeated piece of any usual buffer size shifts all that follows."""


class WorkspaceServers:
    """Both servers of a workspace on free ports of `address`, from `async with` to its end."""

    def __init__(self, name: str = "workspace", address: str = "127.0.0.1") -> None:
        self._name = name
        self._address = address
        self._running = AsyncExitStack()
        self._ports: tuple[int, int] | None = None

    def __repr__(self) -> str:
        return f"<WorkspaceServers {self._name!r} ports={self._ports}>"

    @property
    def editor_port(self) -> int:
        return self._find_ports()[0]

    @property
    def site_port(self) -> int:
        return self._find_ports()[1]

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as starting:  # the second port may fail when the first is open already
            editor = await self._serve(starting, editor_app(self._name))
            site = await self._serve(starting, site_app(self._name))
            self._running = starting.pop_all()
        self._ports = (editor, site)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ports = None
        await self._running.aclose()

    async def _serve(self, stack: AsyncExitStack, app: web.Application) -> int:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_GRACE, handler_cancellation=True)
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        await web.TCPSite(runner, self._address, 0).start()
        port: int = runner.addresses[0][1]
        return port

    def _find_ports(self) -> tuple[int, int]:
        if self._ports is None:
            raise RuntimeError("the servers of this workspace are not running")
        return self._ports


_NAME = web.AppKey("name", str)


def editor_app(name: str) -> web.Application:
    """What stands in for an editor server: a page, and the WebSocket that it lives on."""
    app = web.Application(client_max_size=0)
    app[_NAME] = name
    app.router.add_get("/", _show_editor)
    app.router.add_get("/ws", _echo)
    return app


def site_app(name: str) -> web.Application:
    """What stands in for the server that a developer starts; its index page names every path."""
    app = web.Application(client_max_size=0)
    app[_NAME] = name
    app.router.add_get("/", _show_site)
    app.router.add_get("/download", _download)
    app.router.add_post("/upload", _upload)
    app.router.add_put("/upload", _upload)
    app.router.add_get("/events", _send_events)
    app.router.add_get("/ws", _echo)
    app.router.add_get("/headers", _show_headers)
    app.router.add_get("/redirect", _redirect)
    app.router.add_route("*", "/status/{code:[2-5][0-9][0-9]}", _answer_status)
    app.router.add_get("/cookies/set", _set_cookies)
    return app


async def _show_editor(request: web.Request) -> web.Response:
    page = editor_page(request.app[_NAME], request.query.get("folder", ""))
    return web.Response(text=page, content_type="text/html")


async def _echo(request: web.Request) -> web.WebSocketResponse:
    offered = [name.strip() for name in request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "").split(",")]
    socket = web.WebSocketResponse(protocols=[name for name in offered if name], max_msg_size=0)
    await socket.prepare(request)
    async for message in socket:
        if message.type is web.WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is web.WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


async def _show_site(request: web.Request) -> web.Response:
    return web.Response(text=site_page(request.app[_NAME]), content_type="text/html")


async def _download(request: web.Request) -> web.StreamResponse:
    """`?bytes=N` bytes that are the same every time. X-SHA256 is their hash, computed before the first is sent."""
    size = int(_find_number(request, "bytes", default=0))
    digest = await asyncio.to_thread(_hash_pattern, size)  # a gigabyte takes a second, in which others are served
    response = web.StreamResponse(headers={"X-SHA256": digest})
    response.content_type = "application/octet-stream"
    response.content_length = size
    await response.prepare(request)
    if request.method != hdrs.METH_HEAD:
        for piece in pattern(size):
            await response.write(piece)
    return response


async def _upload(request: web.Request) -> web.Response:
    digest, size = hashlib.sha256(), 0
    async for piece in request.content.iter_any():
        digest.update(piece)
        size += len(piece)
    return web.json_response({"bytes": size, "sha256": digest.hexdigest()})


async def _send_events(request: web.Request) -> web.StreamResponse:
    """One numbered event every `?interval=` seconds, the first at once; `?count=` of them, or for ever."""
    interval, count = _find_number(request, "interval", default=1), _find_number(request, "count", default=math.inf)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    number = 0
    while number < count:
        number += 1
        await response.write(f"id: {number}\ndata: tick {number}\n\n".encode())
        if number < count:
            await asyncio.sleep(interval)
    return response


async def _show_headers(request: web.Request) -> web.Response:
    """A list of [name, value] in the order, spelling and number in which they arrived."""
    return web.json_response([[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.raw_headers])


async def _redirect(request: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": request.query.get("to", "/")})


async def _answer_status(request: web.Request) -> web.Response:
    code = int(request.match_info["code"])
    return web.Response(status=code, text=None if code in {204, 205, 304} else f"status {code}\n")


async def _set_cookies(request: web.Request) -> web.Response:
    """One Set-Cookie line for each `?line=`, exactly as given, so that any cookie can be tried."""
    response = web.Response(text="cookies set\n")
    for line in request.query.getall("line", ["demo=1; Path=/"]):
        response.headers.add(hdrs.SET_COOKIE, line)
    return response


def pattern(size: int) -> Iterator[bytes]:
    """The `size` bytes of a download, piece by piece."""
    whole, rest = divmod(size, len(_PATTERN))
    for _ in range(whole):
        yield _PATTERN
    yield _PATTERN[:rest]


def _hash_pattern(size: int) -> str:
    digest = hashlib.sha256()
    for piece in pattern(size):
        digest.update(piece)
    return digest.hexdigest()


def _find_number(request: web.Request, name: str, default: float) -> float:
    text = request.query.get(name)
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"{name} is no number\n") from error
    if not math.isfinite(number) or number < 0:
        raise web.HTTPBadRequest(text=f"{name} is no size or time\n")
    return number
