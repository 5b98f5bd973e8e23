"""The tokens by which the gateway may act for the owner of a workspace, each asked for when it is needed."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from pydantic import SecretStr

from auth.login import Login
from auth.model import TokenRefused
from auth.sessions import SessionStore

TokenSource = Callable[[], Awaitable[SecretStr]]
"""Gives a token. Raises TokenRefused once there is none any more, as when its person signed out."""


@dataclass(frozen=True, slots=True)
class Mandate:
    """One way to act for an owner."""

    kind: Literal["token", "session", "service"]
    """What the person brought along, their sign-in on the portal, or the gateway's own `auth.service_token`."""
    find_token: TokenSource


def mandate_of_token(token: SecretStr) -> Mandate:
    """Of somebody who is there and has shown this token."""
    return Mandate("token", partial(_same, token))


def mandate_of_session(login: Login, sessions: SessionStore, session_ref: str) -> Mandate:
    """Of a signed-in browser, for as long as it stays that."""
    return Mandate("session", token_of_session(login, sessions, session_ref))


def token_of_session(login: Login, sessions: SessionStore, session_ref: str) -> TokenSource:
    """The token of a signed-in browser, for as long as it stays that."""
    return partial(_fresh_token, login, sessions, session_ref)


async def _same(token: SecretStr) -> SecretStr:
    return token


async def _fresh_token(login: Login, sessions: SessionStore, session_ref: str) -> SecretStr:
    session = await sessions.get(session_ref)
    if session is None:
        raise TokenRefused("the session ended")
    return await login.fresh_token(session)
