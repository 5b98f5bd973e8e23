"""Keeps signed-in browsers: a record under the hash of an id that only the browser's cookie holds.

Also the one place that remembers things across requests for sign-in: what was used once, what was signed out, and
who is refreshing a session's tokens. Everything is bounded; the reasons stand at the limits.
"""

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Protocol
from weakref import WeakValueDictionary

from cachetools import TTLCache
from pydantic import SecretStr

from auth.grants import GRANT_LIFETIME
from auth.model import Session, Tokens, User
from config.settings import SessionSettings

SESSIONS_MAX = 50_000  # about 2 KiB each; only GitLab users can make one, and beyond it the longest idle one goes
USED_MAX = 100_000  # about 200 B each; see `use_once` for what the oldest is worth to a thief
ENDED_MAX = 100_000  # about 200 B each; more sign-outs than that in ten minutes would be twice all the sessions


class SessionStore(Protocol):
    """What sign-in, the portal and the edge need of a store; `ref` is always `session_ref` of a session's id."""

    def adopt(self, settings: SessionSettings) -> None:
        """Go by these settings from now on, also for the sessions that there are."""

    async def create(self, user: User, tokens: Tokens, browser: str) -> Session:
        """A new session under a new id: whatever a browser held before sign-in is worth nothing after it.

        One browser is one person: sessions of somebody else in the same browser end. So does the first of this
        person's when there are more than `sessions.max_per_user`, or one account could push out everybody's.
        """

    async def get(self, ref: str) -> Session | None:
        """The session if it still lives; being asked for counts as being used."""

    async def put_tokens(self, ref: str, tokens: Tokens) -> None:
        """Keep refreshed tokens; nothing happens if the session ended meanwhile."""

    async def end(self, ref: str) -> None:
        """Sign out this session and those of the same browser, which ten tabs opened at once may have made.

        From now on `is_ended` is true of them, for as long as a grant of theirs could live.
        """

    async def end_all(self, user_id: int) -> None:
        """Sign this person out in every browser."""

    async def use_once(self, key: str, ttl: float) -> bool:
        """True for the first caller with this key within `ttl` seconds, false for every other."""

    def is_ended(self, ref: str) -> bool:
        """Whether the session was signed out lately; asked for every request, so it never waits."""

    def subscribe(self, observer: Callable[[], None]) -> None:
        """Have `observer` called whenever `is_ended` has become true of some session."""

    def refreshing(self, ref: str) -> AbstractAsyncContextManager[None]:
        """The lock under which this session's tokens are refreshed: GitLab voids a refresh token once it is used."""


class MemorySessions(SessionStore):
    """Sessions of one process, ordered by when they were last seen."""

    def __init__(self, settings: SessionSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._browsers: dict[str, set[str]] = {}
        self._users: dict[int, dict[str, None]] = {}
        """Refs by person, in the order in which they began."""
        self._used: OrderedDict[str, float] = OrderedDict()
        self._ended: TTLCache[str, bool] = TTLCache(ENDED_MAX, GRANT_LIFETIME, timer=clock)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # gone with the last who waits
        self._observers: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        return f"<MemorySessions {len(self._sessions)} sessions>"

    def adopt(self, settings: SessionSettings) -> None:
        self._settings = settings

    async def create(self, user: User, tokens: Tokens, browser: str) -> Session:
        now = self._clock()
        self._drop_idle(now)
        for sibling in self._siblings(browser):
            if self._sessions[sibling].user.id != user.id:
                self._end_one(sibling)
        while len(mine := self._users.get(user.id, {})) >= self._settings.max_per_user:
            self._end_one(next(iter(mine)))
        session = Session(SecretStr(secrets.token_urlsafe(32)), user, tokens, now, now, browser)
        ref = session_ref(session.id)
        self._sessions[ref] = session
        self._users.setdefault(user.id, {})[ref] = None
        self._browsers.setdefault(browser, set()).add(ref)
        return session

    async def get(self, ref: str) -> Session | None:
        session, now = self._sessions.get(ref), self._clock()
        if session is None:
            return None
        if self._has_expired(session, now):
            self._drop(ref)
            return None
        session = self._sessions[ref] = replace(session, last_seen=now)
        self._sessions.move_to_end(ref)
        return session

    async def put_tokens(self, ref: str, tokens: Tokens) -> None:
        if session := self._sessions.get(ref):
            self._sessions[ref] = replace(session, tokens=tokens)

    async def end(self, ref: str) -> None:
        # Only a session that was here is noted: made-up ids from cookies must not fill the list.
        if session := self._sessions.get(ref):
            for sibling in self._siblings(session.browser):
                self._end_one(sibling)

    async def end_all(self, user_id: int) -> None:
        for ref in tuple(self._users.get(user_id, ())):
            self._end_one(ref)

    async def use_once(self, key: str, ttl: float) -> bool:
        """Forgets the oldest key when it is full of living ones.

        A forgotten key could be used twice, but only by the browser whose cookie it is bound to, and GitLab itself
        refuses a second use of an authorization code. Refusing everybody instead would let a flood stop all sign-ins.
        """
        now = self._clock()
        if self._used.get(key, 0) > now:
            return False
        self._used[key] = now + ttl
        self._used.move_to_end(key)
        while len(self._used) > USED_MAX or next(iter(self._used.values())) <= now:
            self._used.popitem(last=False)
        return True

    def is_ended(self, ref: str) -> bool:
        return ref in self._ended

    def subscribe(self, observer: Callable[[], None]) -> None:
        self._observers.append(observer)

    def refreshing(self, ref: str) -> AbstractAsyncContextManager[None]:
        return self._locks.setdefault(ref, asyncio.Lock())

    def _siblings(self, browser: str) -> tuple[str, ...]:
        return tuple(self._browsers.get(browser, ()))

    def _end_one(self, ref: str) -> None:
        self._drop(ref)
        self._ended[ref] = True
        for observer in self._observers:
            observer()

    def _drop(self, ref: str) -> None:
        session = self._sessions.pop(ref)
        siblings = self._browsers[session.browser]
        siblings.discard(ref)
        if not siblings:
            del self._browsers[session.browser]
        mine = self._users[session.user.id]
        del mine[ref]
        if not mine:
            del self._users[session.user.id]

    def _has_expired(self, session: Session, now: float) -> bool:
        idle, age = now - session.last_seen, now - session.created
        return idle >= self._settings.idle_timeout or age >= self._settings.absolute_timeout

    def _drop_idle(self, now: float) -> None:
        while self._sessions:
            ref, oldest = next(iter(self._sessions.items()))
            if len(self._sessions) < SESSIONS_MAX and not self._has_expired(oldest, now):
                break
            self._drop(ref)


def session_ref(session_id: SecretStr) -> str:
    """What names a session everywhere but in its own cookie: enough to find it, useless to become it."""
    return hashlib.sha256(session_id.get_secret_value().encode("utf-8", "surrogateescape")).hexdigest()
