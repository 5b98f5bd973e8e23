"""Spells the gateway's cookies: their names, their attributes, and every value a browser sent under a name.

Pure and byte-exact. All are host-only: with the `__Host-` prefix a browser takes them only from the host itself, over
HTTPS and for the whole path (RFC 6265bis, section 4.1.3.2), so no workspace can toss one at a sibling or the portal.
"""

import re
from dataclasses import dataclass
from functools import cached_property

OLD_NAMES = ("gitlab-workspace-session", "gitlab-workspaces-session")
"""Cookies of GitLab's own proxy, set for the whole wildcard domain: expired on sight, never believed."""

_OLD_ATTRIBUTES = "Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]*\Z")  # cookie-octet, RFC 6265 section 4.1.1: no CR, LF, semicolon or comma


@dataclass(frozen=True)
class Cookies:
    """The gateway's cookies; `secure` is false only for development over plain HTTP."""

    secure: bool

    @property
    def session(self) -> str:
        """On the portal: the id of the session."""
        return self._name("session")

    @property
    def browser(self) -> str:
        """On the portal: tells browsers apart while they sign in."""
        return self._name("browser")

    @property
    def known(self) -> str:
        """On the portal: that somebody signed in with this browser before."""
        return self._name("known")

    @property
    def entry(self) -> str:
        """On a workspace host: the nonce that targets and entry codes are bound to."""
        return self._name("entry")

    @property
    def grant(self) -> str:
        """On a workspace host: the sealed grant."""
        return self._name("grant")

    @property
    def seen(self) -> str:
        """On a workspace host: that the warning before a public port was read."""
        return self._name("seen")

    @property
    def entered(self) -> str:
        """On a workspace host: how often this browser was let in during the last seconds."""
        return self._name("entered")

    @cached_property
    def names(self) -> frozenset[bytes]:
        """Every name that is ours or was our predecessor's: none of them passes between client and workspace."""
        ours = (self.session, self.browser, self.known, self.entry, self.grant, self.seen, self.entered)
        return frozenset(name.encode() for name in (*ours, *OLD_NAMES))

    def issue(self, name: str, value: str, max_age: int) -> str:
        """The value of a Set-Cookie header."""
        if not _VALUE.match(value):
            raise ValueError(f"the value for cookie {name} cannot stand in a Set-Cookie header")
        return f"{name}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax" + (
            "; Secure" if self.secure else ""
        )

    def expire(self, name: str) -> str:
        """A Set-Cookie value that removes one of our cookies."""
        return self.issue(name, "", 0)

    def _name(self, noun: str) -> str:
        # A browser refuses __Host- over plain HTTP, so development does without the prefix.
        return f"{'__Host-' if self.secure else ''}workspaces-{noun}"


def expire_old(host: str) -> tuple[str, ...]:
    """Set-Cookie values that remove the old proxy's cookies from a host and from its wildcard domain."""
    parent = host.partition(".")[2]
    scopes = ("", f"; Domain=.{parent}") if parent else ("",)
    return tuple(f"{name}=; {_OLD_ATTRIBUTES}{scope}" for name in OLD_NAMES for scope in scopes)


def values(cookie_header: bytes, name: str) -> list[bytes]:
    """Every value sent under exactly this name, in order.

    Several are possible (a sibling host may have set one with a Domain), and none is believed for its place.
    """
    prefix = name.encode() + b"="
    pairs = (pair.strip(b" \t") for pair in cookie_header.split(b";"))
    return [pair[len(prefix) :] for pair in pairs if pair.startswith(prefix)]
