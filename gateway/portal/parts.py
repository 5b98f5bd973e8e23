"""What the portal's handlers work with, and who the browser before them is.

The collaborators are handed over once, under one typed key. A cookie is only ever a claim: each value of its name is
tried, and one that does not look like ours is not even looked up.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from aiohttp import web
from pydantic import SecretStr

from auth.access import AccessPolicy
from auth.cookies import Cookies, values
from auth.gitlab import GitLab
from auth.grants import Grants
from auth.login import Login
from auth.mandates import token_of_session
from auth.model import Session, WorkspaceRecord
from auth.owners import WorkspaceOwners
from auth.seal import Sealer
from auth.sessions import SessionStore, session_ref
from config.settings import Settings
from gateway.idle.watch import IdleWatch
from gateway.portal.home import RouteDirectory
from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Metrics
from gateway.waking import Waker
from routing.visibility_store import VisibilityStore

_OURS = re.compile(rb"[A-Za-z0-9_-]{43}\Z")  # 256 random bits, as `secrets.token_urlsafe(32)` spells them


@dataclass(frozen=True, slots=True, repr=False)
class PortalParts:
    """The collaborators of the portal."""

    current: Callable[[], Settings]
    """The settings of this moment."""
    cookies: Cookies
    sealer: Sealer
    grants: Grants
    sessions: SessionStore
    gitlab: GitLab
    login: Login
    access: AccessPolicy
    owners: WorkspaceOwners
    directory: RouteDirectory
    waker: Waker
    idle: IdleWatch
    visibility: VisibilityStore
    metrics: Metrics
    log: Log
    clock: Callable[[], float]

    @property
    def settings(self) -> Settings:
        return self.current()


PARTS = web.AppKey("parts", PortalParts)


async def get_session(request: web.Request) -> Session | None:
    """The live session of this browser."""
    parts = request.app[PARTS]
    for value in _values(request, parts.cookies.session):
        if session := await parts.sessions.get(session_ref(SecretStr(value))):
            return session
    return None


def learn_owner(parts: PortalParts, session: Session, records: Iterable[WorkspaceRecord]) -> None:
    """GitLab just said that these workspaces are this person's: their SSH keys may open them from now on."""
    for record in records:
        parts.owners.learn(record.id, token_of_session(parts.login, parts.sessions, session_ref(session.id)))


def browser_ids(request: web.Request) -> list[str]:
    """What this browser says to be known by; sign-ins are bound to it, nothing else is."""
    return list(_values(request, request.app[PARTS].cookies.browser))


def cookie_header(request: web.Request) -> bytes:
    """All cookies of the request, as they came."""
    return "; ".join(request.headers.getall("Cookie", [])).encode("utf-8", "surrogateescape")


def _values(request: web.Request, name: str) -> Iterator[str]:
    return (value.decode() for value in values(cookie_header(request), name) if _OURS.match(value))
