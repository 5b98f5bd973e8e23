"""Sessions in Redis, for several gateways that act as one. Tokens are sealed before they leave the process.

    session:<ref>    hash: record (sealed), tokens (sealed), seen; lives as long as it may be idle
    browser:<hash>   set of the refs that one browser signed in with
    user:<hash>      sorted set of the refs of one person by when they began
    ended            sorted set of refs by the time of their sign-out; published too, so that all know it at once
    used:<hash>      what was used once

Whatever goes wrong with Redis is `SessionsUnavailable`, which is never a yes. `is_ended` is answered from memory.
"""

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

from cachetools import TTLCache
from pydantic import SecretStr
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import RedisError

from auth.grants import GRANT_LIFETIME
from auth.model import Session, SessionsUnavailable, Tokens, User
from auth.seal import Sealer
from auth.sessions import ENDED_MAX, SessionStore, session_ref
from config.settings import SessionSettings

PREFIX = "workspaces-gateway:"
ANSWER_SECONDS = 2  # a Redis next door answers in a millisecond; people wait behind this
CONNECTIONS = 64  # each for one command at a time, of a millisecond; a Redis takes 10,000, from all replicas together
QUEUE_SECONDS = 5  # for one of them to be free: a crowd of thousands after an outage stands in line
REFRESH_SECONDS = 30  # a gateway that dies while it refreshes a token holds the others up for no longer than this
RECONNECT_SECONDS = 0.5  # a sign-out at another gateway is to be known within a second
_NEVER = 2**53  # Unix time; the store, not the seal, says how long a session lives

# Nothing may bring back a session that ended meanwhile: both change one only where there is one.
_TOUCH = "if redis.call('exists', KEYS[1]) == 1 then redis.call('hset', KEYS[1], ARGV[1], ARGV[2]) end"


@dataclass(frozen=True, slots=True)
class _Record:
    """What does not change about a session."""

    id: str
    user_id: int
    username: str
    external: bool
    created: float
    browser: str


class Password(CredentialProvider):
    """What a connection says to Redis when it is made; those that are open have said theirs."""

    def __init__(self, password: SecretStr) -> None:
        self.adopt(password)

    def adopt(self, password: SecretStr) -> None:
        """Say this one from now on; nothing where it is empty."""
        self._password = password

    def get_credentials(self) -> tuple[str] | tuple[()]:  # type: ignore[override]  # an empty one is not sent at all
        text = self._password.get_secret_value()
        return (text,) if text else ()

    async def get_credentials_async(self) -> tuple[str] | tuple[()]:  # type: ignore[override]  # as above
        """The same; the library's own would write a line that is no JSON to the log, for each connection."""
        return self.get_credentials()


class RedisSessions(SessionStore):
    """Sessions that any gateway on the same Redis with the same signing key knows."""

    def __init__(
        self, redis: Redis, password: "Password", settings: SessionSettings, sealer: Sealer, clock: Callable[[], float]
    ) -> None:
        """`password` is what connections of `redis` say."""
        self._password = password
        self._redis = redis
        self._settings = settings
        self._sealer = sealer
        self._clock = clock
        self._ended: TTLCache[str, bool] = TTLCache(ENDED_MAX, GRANT_LIFETIME, timer=clock)
        self._observers: list[Callable[[], None]] = []
        self._closing = asyncio.Event()
        self.is_listening = False
        """Whether sign-outs at other gateways are heard of."""
        self.failures = 0
        """Questions that Redis did not answer."""

    def __repr__(self) -> str:
        return "<RedisSessions>"

    def adopt(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._password.adopt(settings.password)

    async def create(self, user: User, tokens: Tokens, browser: str) -> Session:
        now = self._clock()
        session = Session(SecretStr(secrets.token_urlsafe(32)), user, tokens, now, now, browser)
        ref = session_ref(session.id)
        with self._translated():
            for sibling in await self._siblings(browser):
                other = await self._load(sibling)
                if other is not None and other.user.id != user.id:
                    await self._end((sibling,), browser)
            mine = await self._sessions_of(user.id)
            for first in mine[: max(0, len(mine) + 1 - self._settings.max_per_user)]:
                await self._end((session_ref(first.id),), first.browser)
            await self._save(ref, session)
        return session

    async def get(self, ref: str) -> Session | None:
        with self._translated():
            session, now = await self._load(ref), self._clock()
            if session is None:
                return None
            if now - session.last_seen >= self._idle or now - session.created >= self._settings.absolute_timeout:
                await self._redis.delete(_key("session", ref))
                return None
            await self._touch(ref, "seen", repr(now))
            await self._redis.expire(_key("session", ref), int(self._idle) + 1)
            return session

    async def put_tokens(self, ref: str, tokens: Tokens) -> None:
        with self._translated():
            await self._touch(ref, "tokens", self._seal_tokens(tokens))

    async def end(self, ref: str) -> None:
        with self._translated():
            session = await self._load(ref)
            if session is not None:
                await self._end(await self._siblings(session.browser) or (ref,), session.browser)

    async def end_all(self, user_id: int) -> None:
        with self._translated():
            for session in await self._sessions_of(user_id):
                await self._end((session_ref(session.id),), session.browser)

    async def use_once(self, key: str, ttl: float) -> bool:
        name = _key("used", hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest())
        with self._translated():
            return await self._redis.set(name, b"1", nx=True, px=max(1, int(ttl * 1000))) is True

    def is_ended(self, ref: str) -> bool:
        return ref in self._ended

    def subscribe(self, observer: Callable[[], None]) -> None:
        self._observers.append(observer)

    def refreshing(self, ref: str) -> AbstractAsyncContextManager[None]:
        return self._lock(ref)

    async def listen(self) -> None:
        """Hear of every sign-out on any gateway; what was missed while Redis was away is made up for."""
        while not self._closing.is_set():
            with suppress(RedisError, OSError):
                await self._listen()
            self.is_listening = False
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), RECONNECT_SECONDS)

    def stop_listening(self) -> None:
        """Beside a cancellation, which can get lost between a time-out of the client and its own clean-up."""
        self._closing.set()

    async def _listen(self) -> None:
        async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
            await channel.subscribe(PREFIX + "ended")
            since = self._clock() - GRANT_LIFETIME
            self._note_ended(cast(list[bytes], await self._redis.zrangebyscore(PREFIX + "ended", since, "+inf")))
            self.is_listening = True
            while not self._closing.is_set():
                message = await channel.get_message(timeout=ANSWER_SECONDS / 2)
                if message is not None:
                    self._note_ended(message["data"].split())

    def _note_ended(self, refs: list[bytes]) -> None:
        fresh = [ref for ref in (raw.decode("latin-1") for raw in refs) if ref not in self._ended]
        self._ended.update(dict.fromkeys(fresh, True))
        if fresh:
            for observer in self._observers:
                observer()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Whatever Redis or the network says becomes one fault, without a word of what was asked."""
        try:
            yield
        except (RedisError, OSError) as exc:  # of which a TimeoutError is one
            self.failures += 1
            raise SessionsUnavailable(f"the session store did not answer: {type(exc).__name__}") from exc

    @property
    def _idle(self) -> float:
        return self._settings.idle_timeout

    @asynccontextmanager
    async def _lock(self, ref: str) -> AsyncIterator[None]:
        lock = self._redis.lock(_key("refreshing", ref), timeout=REFRESH_SECONDS, blocking_timeout=REFRESH_SECONDS)
        with self._translated():
            if not await lock.acquire():
                raise SessionsUnavailable("another gateway has been refreshing this session for too long")
        try:
            yield
        finally:
            with suppress(RedisError, OSError):  # it ends by itself
                await lock.release()

    async def _siblings(self, browser: str) -> tuple[str, ...]:
        refs = await cast(Awaitable[set[bytes]], self._redis.smembers(_key("browser", browser)))
        return tuple(ref.decode("latin-1") for ref in refs)

    async def _sessions_of(self, user_id: int) -> list[Session]:
        """The living ones, in the order in which they began; the others are forgotten, so that they stay few."""
        key, living = _user_key(user_id), []
        for ref in cast(list[bytes], await self._redis.zrange(key, 0, -1)):
            session = await self._load(ref.decode("latin-1"))
            if session is None:
                await self._redis.zrem(key, ref)
            else:
                living.append(session)
        return living

    async def _end(self, refs: tuple[str, ...], browser: str) -> None:
        now = self._clock()
        async with self._redis.pipeline(transaction=True) as pipe:
            for ref in refs:
                pipe.delete(_key("session", ref))
                pipe.srem(_key("browser", browser), ref)
                pipe.zadd(PREFIX + "ended", {ref: now})
            pipe.zremrangebyscore(PREFIX + "ended", "-inf", now - GRANT_LIFETIME)
            pipe.publish(PREFIX + "ended", " ".join(refs))
            await pipe.execute()
        self._note_ended([ref.encode() for ref in refs])  # here it is true at once

    async def _save(self, ref: str, session: Session) -> None:
        user = session.user
        record = _Record(
            session.id.get_secret_value(), user.id, user.username, user.external, session.created, session.browser
        )
        fields = {
            "record": self._sealer.seal_record("stored session", record, _NEVER),
            "tokens": self._seal_tokens(session.tokens),
            "seen": repr(session.last_seen),
        }
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(_key("session", ref), mapping=cast(Any, fields))
            pipe.expire(_key("session", ref), int(self._idle) + 1)
            pipe.sadd(_key("browser", session.browser), ref)
            pipe.expire(_key("browser", session.browser), int(self._settings.absolute_timeout) + 1)
            pipe.zadd(_user_key(user.id), {ref: session.created})
            pipe.expire(_user_key(user.id), int(self._settings.absolute_timeout) + 1)
            await pipe.execute()

    async def _load(self, ref: str) -> Session | None:
        told = await cast(Awaitable[dict[bytes, bytes]], self._redis.hgetall(_key("session", ref)))
        record = self._sealer.open_record("stored session", _Record, _text(told, b"record"), self._clock())
        tokens = self._open_tokens(_text(told, b"tokens"))
        # Sealed by another key, or for another session that somebody with access to Redis put in its place.
        if record is None or tokens is None or session_ref(SecretStr(record.id)) != ref:
            return None
        user = User(record.user_id, record.username, external=record.external)
        seen = float(_text(told, b"seen") or 0)
        return Session(SecretStr(record.id), user, tokens, record.created, seen, record.browser)

    async def _touch(self, ref: str, field: str, value: str) -> None:
        await self._redis.eval(_TOUCH, 1, _key("session", ref), field, value)

    def _seal_tokens(self, tokens: Tokens) -> str:
        told = {"access": tokens.access.get_secret_value(), "refresh": tokens.refresh.get_secret_value()}
        return self._sealer.seal("stored tokens", json.dumps({**told, "expires": tokens.expires}).encode())

    def _open_tokens(self, text: str) -> Tokens | None:
        opened = self._sealer.open("stored tokens", text)
        if opened is None:
            return None
        told = json.loads(opened)
        return Tokens(SecretStr(told["access"]), SecretStr(told["refresh"]), told["expires"])


def connect(settings: SessionSettings, password: Password) -> Redis:
    """A client of the configured Redis, which is asked nothing yet."""
    pool = BlockingConnectionPool.from_url(
        settings.store,
        max_connections=CONNECTIONS,
        timeout=QUEUE_SECONDS,
        credential_provider=password,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 1),  # once, for a kept connection that turned out dead
    )
    return Redis.from_pool(pool)


@asynccontextmanager
async def open_redis_sessions(
    settings: SessionSettings, sealer: Sealer, clock: Callable[[], float] = time.time
) -> AsyncIterator[RedisSessions]:
    """A store on the configured Redis while the block runs. Redis need not be there yet."""
    password = Password(settings.password)
    async with connect(settings, password) as redis, asyncio.TaskGroup() as group:
        store = RedisSessions(redis, password, settings, sealer, clock)
        listening = group.create_task(store.listen())
        try:
            yield store
        finally:
            store.stop_listening()
            listening.cancel()


def _key(kind: str, name: str) -> str:
    return f"{PREFIX}{kind}:{name}"


def _user_key(user_id: int) -> str:
    return _key("user", hashlib.sha256(f"user {user_id}".encode()).hexdigest())


def _text(told: dict[bytes, bytes], name: bytes) -> str:
    return told.get(name, b"").decode("latin-1")
