"""Builds the doors, HTTP with the portal behind it and SSH, from what both need, and opens each while a block runs.

How a door and what stands behind it take up new settings is said where it is built.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from socket import socket

from auth.access import AccessPolicy, GrantKeeper
from auth.cookies import Cookies
from auth.gitlab import GitLabClient
from auth.grants import Grants
from auth.login import Login
from auth.owners import WorkspaceOwners
from auth.seal import Sealer
from auth.share import SSH_TOKENS, Share
from auth.shared_access import SharedAccess
from config.settings import HttpSettings, Settings
from gateway.http.door import HttpDoor
from gateway.http.gate import Gate
from gateway.http.record import Recorder
from gateway.http.tls import DoorTls
from gateway.http.upstream import Origin
from gateway.idle.opening import Idle
from gateway.material import Material
from gateway.portal.app import build_portal
from gateway.portal.parts import PortalParts
from gateway.portal.sign_in_limit import SIGN_IN_LIMIT
from gateway.portal.site import serve_portal
from gateway.routes.source import RouteSource
from gateway.running import running
from gateway.session_store import open_sessions
from gateway.ssh.server import SshDoor
from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.spans import Tracing
from gateway.waking import Waker
from routing.table import RouteTable

Adopter = Callable[[Settings, Material], object]
"""Has one part take up new settings and what they name."""


@dataclass(frozen=True, slots=True, repr=False)
class Parts:
    """What both doors are built from."""

    current: Callable[[], Settings]
    """The settings in force."""
    on_adopt: Callable[[Adopter], None]
    """Remembers how a part takes up new ones."""
    table: RouteTable
    routes: RouteSource
    gitlab: GitLabClient
    policy: AccessPolicy
    owners: WorkspaceOwners
    waker: Waker
    idle: Idle
    metrics: Metrics
    log: Log
    tracing: Tracing | None
    clock: Callable[[], float]
    """Unix time."""


@asynccontextmanager
async def open_http(parts: Parts, sockets: Sequence[socket]) -> AsyncIterator[tuple[HttpDoor, Gate]]:
    """The HTTP door with its portal, and the gate that decides at it.

    Raises:
        TlsUnusable: if the certificate cannot be used.
        ExtraMissing: if the package for Redis is not installed.
    """
    settings = parts.current()
    async with AsyncExitStack() as stack:
        sealer = Sealer(settings.auth.signing_keys)
        grants = Grants(sealer, parts.clock)
        store = open_sessions(settings.sessions, sealer, parts.clock, parts.metrics)
        sessions = await stack.enter_async_context(store)
        login = Login(settings.auth, parts.gitlab, sealer, sessions, parts.clock)
        cookies = Cookies(secure=settings.auth.protocol == "https")
        site = build_portal(
            PortalParts(
                current=parts.current,
                cookies=cookies,
                sealer=sealer,
                grants=grants,
                sessions=sessions,
                gitlab=parts.gitlab,
                login=login,
                access=parts.policy,
                owners=parts.owners,
                directory=parts.table,
                waker=parts.waker,
                idle=parts.idle.watch,
                visibility=parts.routes.visibility,
                metrics=parts.metrics,
                log=parts.log,
                clock=parts.clock,
            )
        )
        path = await stack.enter_async_context(serve_portal(site))
        gate = Gate(
            settings,
            table=parts.table,
            policy=parts.policy,
            keeper=GrantKeeper(parts.policy, login, sessions, parts.clock),
            grants=grants,
            sessions=sessions,
            cookies=cookies,
            login=login,
            portal=Origin("portal", str(path), 0),
            waker=parts.waker,
            idle=parts.idle.watch,
            metrics=parts.metrics,
            clock=parts.clock,
        )
        tls = await stack.enter_async_context(_open_tls(settings.http, parts))
        door = HttpDoor(
            settings.http,
            gate,
            Recorder(parts.metrics, parts.log),
            parts.idle.uses,
            scheme=settings.auth.protocol,
            sockets=sockets,
            tls=tls,
            tracing=parts.tracing,
        )
        await stack.enter_async_context(door)

        def adopt(new: Settings, material: Material) -> None:
            sealer.adopt(new.auth.signing_keys)
            grants.forget()
            sessions.adopt(new.sessions)
            login.adopt(new.auth)
            site[SIGN_IN_LIMIT].adopt(new)
            gate.adopt(new)
            door.adopt(new.http)
            if tls is not None and material.tls is not None:
                tls.adopt(material.tls)

        parts.on_adopt(adopt)
        await stack.enter_async_context(running(gate.streams.watch()))
        yield door, gate


@asynccontextmanager
async def open_ssh(parts: Parts, sockets: Sequence[socket]) -> AsyncIterator[SshDoor]:
    """The SSH door.

    Raises:
        HostKeyUnreadable, AuthorityUnreadable, IncompatibleAsyncssh: if SSH cannot be served.
    """
    settings = parts.current()
    door = SshDoor(
        settings.ssh,
        parts.table,
        SharedAccess(parts.policy, Share(SSH_TOKENS)),
        parts.metrics,
        parts.log,
        uses=parts.idle.uses,
        owners=parts.owners,
        waker=parts.waker,
        portal_url=settings.auth.portal_url if settings.http.enabled else "",
        sockets=sockets,
        tracing=parts.tracing,
    )

    def adopt(new: Settings, material: Material) -> None:
        if material.ssh is not None:
            door.adopt(new.ssh, material.ssh)

    async with door:
        parts.on_adopt(adopt)
        yield door


@asynccontextmanager
async def _open_tls(http: HttpSettings, parts: Parts) -> AsyncIterator[DoorTls | None]:
    if http.tls_certificate is None or http.tls_key is None:
        yield None
        return
    tls = DoorTls(http.tls_certificate, http.tls_key)
    parts.metrics.certificate_expiry.labels("tls").set_function(lambda: tls.expires)
    async with running(tls.follow(parts.log)):
        yield tls
