"""A small API server of our own, for tests that need not wait for a real one, and are tried on a real one too.

It knows Services and EndpointSlices: lists in pages, watches with bookmarks, merge patches, tokens with rights.
"""

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.kubernetes.objects import Object
from tests.kubernetes.store import EXPIRED, Place, Refused, Store

BOOKMARK_SECONDS = 0.2  # a real one takes a minute
_KINDS = {"services": "", "endpointslices": "discovery.k8s.io"}
_LISTS = {"services": ("v1", "ServiceList"), "endpointslices": ("discovery.k8s.io/v1", "EndpointSliceList")}


@dataclass(frozen=True)
class Right:
    """What a token may do."""

    verbs: frozenset[str]
    plural: str
    namespace: str
    """Empty for all."""


@dataclass
class StandIn:
    """One API server on a loopback port, which can be taken away and brought back."""

    store: Store = field(default_factory=Store)
    tokens: dict[str, tuple[Right, ...]] = field(default_factory=dict)
    port: int = 0
    asked: list[str] = field(default_factory=list)
    """Verb and resource of every request."""
    bookmark_seconds: float = BOOKMARK_SECONDS
    _runner: web.AppRunner | None = None
    _waiting: set[asyncio.Event] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.store.changed = self._tell

    async def start(self) -> None:
        """Listen, on the same port as before."""
        app = web.Application()
        for prefix in ("/api/v1", "/apis/discovery.k8s.io/v1"):
            app.router.add_get(prefix + "/{plural}", self._list_or_watch)
            app.router.add_get(prefix + "/namespaces/{namespace}/{plural}", self._list_or_watch)
            app.router.add_get(prefix + "/namespaces/{namespace}/{plural}/{name}", self._get)
            app.router.add_patch(prefix + "/namespaces/{namespace}/{plural}/{name}", self._patch)
        app.router.add_post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", self._review)
        self._runner = web.AppRunner(app, shutdown_timeout=0.05, access_log=None)  # 0 would mean for ever
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Gone, and every connection with it."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _tell(self) -> None:
        for event in self._waiting:
            event.set()

    async def _list_or_watch(self, request: web.Request) -> web.StreamResponse:
        try:
            if request.query.get("watch") == "true":
                self._check(request, "watch")
                return await self._watch(request)
            self._check(request, "list")
            return web.json_response(self._list(request))
        except Refused as refused:
            return web.json_response(refused.status, status=refused.code)

    async def _get(self, request: web.Request) -> web.Response:
        try:
            self._check(request, "get")
            return web.json_response(self.store.find(_place(request)))
        except Refused as refused:
            return web.json_response(refused.status, status=refused.code)

    async def _patch(self, request: web.Request) -> web.Response:
        try:
            self._check(request, "patch")
            assert request.content_type == "application/merge-patch+json", request.content_type
            return web.json_response(self.store.patch(_place(request), await request.json()))
        except Refused as refused:
            return web.json_response(refused.status, status=refused.code)

    async def _review(self, request: web.Request) -> web.Response:
        try:
            token = self._token(request)
        except Refused as refused:
            return web.json_response(refused.status, status=refused.code)
        assert request.content_type == "application/json", request.content_type
        review = await request.json()
        asked = review["spec"]["resourceAttributes"]
        assert asked["group"] == _KINDS[asked["resource"]], asked
        allowed = self._is_granted(token, asked["verb"], asked["resource"], asked["namespace"])
        return web.json_response({**review, "status": {"allowed": allowed}}, status=201)

    def _token(self, request: web.Request) -> str:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.tokens:
            raise Refused(401, "Unauthorized", "Unauthorized")
        return token

    def _is_granted(self, token: str, verb: str, plural: str, namespace: str) -> bool:
        return any(
            verb in right.verbs and right.plural == plural and right.namespace in ("", namespace)
            for right in self.tokens[token]
        )

    def _check(self, request: web.Request, verb: str) -> None:
        plural, namespace = request.match_info["plural"], request.match_info.get("namespace", "")
        self.asked.append(f"{verb} {plural}")
        token = self._token(request)
        if self._is_granted(token, verb, plural, namespace):
            return
        place = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
        message = f'{plural} is forbidden: User "{token}" cannot {verb} resource "{plural}" in API group '
        raise Refused(403, "Forbidden", f'{message}"{_KINDS[plural]}" {place}')

    def _list(self, request: web.Request) -> Object:
        plural, namespace, label = _selection(request)
        limit = int(request.query["limit"])
        version, after = self.store.version, None
        if token := request.query.get("continue"):
            version, *place = json.loads(b64decode(token))
            after = (plural, *place)
            if version < self.store.oldest:
                raise EXPIRED
        # Not a snapshot as etcd's is: what changes between two pages shows, and is told by the watch once more.
        items = self.store.list(plural, namespace, label, after, limit + 1)
        metadata = {"resourceVersion": str(version)}
        if len(items) > limit:
            last = items[limit - 1]["metadata"]
            metadata["continue"] = b64encode(json.dumps([version, last["namespace"], last["name"]]).encode()).decode()
        api_version, kind = _LISTS[plural]
        return {"kind": kind, "apiVersion": api_version, "metadata": metadata, "items": items[:limit]}

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        version = int(request.query["resourceVersion"])
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        changed = asyncio.Event()
        self._waiting.add(changed)
        try:
            async with asyncio.timeout(float(request.query.get("timeoutSeconds", "3600"))):
                await self._tell_changes(request, response, version, changed)
        except TimeoutError:
            pass
        except Refused as refused:
            await response.write(_line("ERROR", refused.status))
        except ConnectionError:
            pass  # the client has gone
        finally:
            self._waiting.discard(changed)
        return response

    async def _tell_changes(
        self, request: web.Request, response: web.StreamResponse, version: int, changed: asyncio.Event
    ) -> None:
        plural, namespace, label = _selection(request)
        loop = asyncio.get_running_loop()
        due = loop.time() + self.bookmark_seconds
        while True:
            changed.clear()
            lines = [_line(kind, told) for kind, told in self.store.since(version, plural, namespace, label)]
            version = self.store.version
            if loop.time() >= due:
                lines.append(_line("BOOKMARK", {"metadata": {"resourceVersion": str(version)}}))
                due = loop.time() + self.bookmark_seconds
            if lines:
                await response.write(b"".join(lines))
            try:
                async with asyncio.timeout_at(due):
                    await changed.wait()
            except TimeoutError:
                pass


def _selection(request: web.Request) -> tuple[str, str, str]:
    return request.match_info["plural"], request.match_info.get("namespace", ""), request.query.get("labelSelector", "")


def _place(request: web.Request) -> Place:
    return request.match_info["plural"], request.match_info["namespace"], request.match_info["name"]


def _line(kind: str, told: Object) -> bytes:
    return json.dumps({"type": kind, "object": told}).encode() + b"\n"


@asynccontextmanager
async def run_stand_in() -> AsyncIterator[StandIn]:
    """An API server without objects while the block runs."""
    server = StandIn()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
