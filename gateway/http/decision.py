"""The values a decision about a request can be: pass it on, answer it, redirect it, or ask somebody first."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache

from pydantic import SecretStr

from auth.model import Grant
from gateway.answers import Answer
from gateway.http.upstream import Origin
from routing.model import Route

_PLAIN = re.compile(r"[ !#-\[\]-~]*\Z")  # a string of RFC 8941 that needs no escape


@dataclass(frozen=True, slots=True)
class Forward:
    """Pass the request on."""

    origin: Origin
    route: Route | None
    """None for the portal."""
    grant: Grant | None = None
    """Who was let in and why; None for a visitor of a public port who did not sign in."""
    cookies: tuple[str, ...] = ()
    """Set-Cookie values to add to the response."""
    target: bytes = b""
    """What to ask the workspace for, where that is not what the client asked for."""
    prefix: bytes = b""
    """What was cut off the path for that."""
    token: SecretStr | None = None
    """What a program was let in by; the grant is then a note of that, and no cookie."""

    @property
    def user(self) -> bytes:
        """The X-Workspaces-User value (a dictionary as of RFC 8941); empty for a visitor who did not sign in."""
        return _user(self.grant.user_id, self.grant.username) if self.grant else b""


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer it here."""

    answer: Answer
    cookies: tuple[str, ...] = ()
    denied: str = ""
    """Why somebody was turned away who had said who they are; for the audit log."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """Send a navigation elsewhere with 303, so that its method never follows it."""

    location: str
    cookies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """Somebody else must be asked first."""

    question: Callable[[], Awaitable["Decision"]]


@lru_cache(maxsize=4096)  # people who are here now
def _user(number: int, name: str) -> bytes:
    if not _PLAIN.match(name):  # GitLab gives no such names; one that came all the same must not write a header
        return b"id=%d" % number
    return b'id=%d, username="%b"' % (number, name.encode())


Outcome = Forward | Reply | Redirect
Decision = Outcome | Ask
