"""The locks before every form of the portal: a token that only this portal can make, and the browser's word.

A form is read here too, since a body that is no form is nobody's fault but the client's.
"""

from collections.abc import Mapping
from hmac import compare_digest

from aiohttp import web

from auth.model import Session
from auth.sessions import session_ref
from gateway.portal.parts import PARTS, PortalParts


def form_token(parts: PortalParts, session: Session) -> str:
    """What the forms carry: only this portal can make it, and only for this session."""
    return parts.sealer.seal("form", session_ref(session.id).encode())


def is_form_token(parts: PortalParts, session: Session, token: object) -> bool:
    opened = parts.sealer.open("form", token) if isinstance(token, str) else None
    return compare_digest(opened or b"", session_ref(session.id).encode())


def is_same_origin(request: web.Request) -> bool:
    """A second lock beside the token, as far as the browser tells.

    `Origin: null` says nothing: it is what a browser sends from our own page, because of its Referrer-Policy
    (https://fetch.spec.whatwg.org/#append-a-request-origin-header).
    """
    site, origin = request.headers.get("Sec-Fetch-Site", ""), request.headers.get("Origin", "")
    return site in ("", "same-origin") and origin in ("", "null", request.app[PARTS].settings.auth.portal_url)


async def read_form(request: web.Request) -> Mapping[str, object] | None:
    """The fields of a posted form, or None for anything else."""
    try:
        return await request.post()
    except (ValueError, LookupError):  # LookupError: a character set nobody knows
        return None
