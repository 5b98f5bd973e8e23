"""Sharing through the Redis that holds the sessions.

used          hash: number of a workspace -> a mark that changes whenever somebody uses it
unused        hash: number of a workspace -> seconds, as of the last minute
remembering   who wrote those, for a minute
turn:<number> who acts on it
"""

import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from auth.redis_sessions import PREFIX, Password, connect
from config.settings import SessionSettings
from gateway.idle.sharing import Heard, Sharing, SharingUnavailable

_USED, _UNUSED = PREFIX + "idle:used", PREFIX + "idle:unused"
_REMEMBERING, _TURN = PREFIX + "idle:remembering", PREFIX + "idle:turn:"
_REMEMBER_SECONDS = 60  # between two writings: a gateway that starts believes a workspace so much younger at most
_BATCH = 1000  # fields in one question: some milliseconds of Redis and of the loop


class RedisSharing(Sharing):
    """Tells and hears through one Redis."""

    def __init__(self, redis: Redis, password: Password) -> None:
        """`password` is what connections of `redis` say."""
        self._redis = redis
        self._password = password
        self._run, self._count = secrets.token_hex(4), itertools.count()
        self._marks: dict[str, bytes | None] = {}
        """As of the last exchange."""

    def __repr__(self) -> str:
        return f"<RedisSharing workspaces={len(self._marks)}>"

    def adopt(self, settings: SessionSettings) -> None:
        self._password.adopt(settings.password)

    async def exchange(self, used: Collection[str], running: Collection[str]) -> Heard:
        with _translated():
            await self._tell(used)
            heard, fresh = set(), []
            for batch in _batches(running):
                marks = await cast(Awaitable[list[bytes | None]], self._redis.hmget(_USED, batch))
                for number, mark in zip(batch, marks, strict=True):
                    if number not in self._marks:
                        fresh.append(number)
                    elif self._marks[number] != mark:
                        heard.add(number)
                    self._marks[number] = mark
            idle = await self._find_unused([number for number in fresh if number not in used])
            await self._forget([number for number in self._marks if number not in running])
        return Heard(frozenset(heard), idle)

    async def remember(self, idle: Mapping[str, float]) -> None:
        with _translated():
            if not await self._redis.set(_REMEMBERING, self._run, nx=True, ex=_REMEMBER_SECONDS):
                return
            for batch in _batches(idle):
                seconds = {number: f"{idle[number]:.0f}" for number in batch}
                await self._redis.hset(_UNUSED, mapping=cast(Any, seconds))

    async def check_used(self, workspace_id: str) -> bool:
        with _translated():
            mark = await cast(Awaitable[bytes | None], self._redis.hget(_USED, workspace_id))
        is_used, self._marks[workspace_id] = mark != self._marks.get(workspace_id), mark
        return is_used

    async def take_turn(self, workspace_id: str, seconds: float) -> bool:
        with _translated():
            taken = await self._redis.set(_TURN + workspace_id, self._run, nx=True, px=int(seconds * 1000))
        return taken is True

    async def _tell(self, used: Collection[str]) -> None:
        if not used:
            return
        marks = {number: f"{self._run}-{next(self._count)}".encode() for number in used}
        await self._redis.hset(_USED, mapping=cast(Any, marks))
        self._marks.update(marks)  # our own, so no news to us

    async def _find_unused(self, numbers: list[str]) -> dict[str, float]:
        idle = {}
        for batch in _batches(numbers):
            told = await cast(Awaitable[list[bytes | None]], self._redis.hmget(_UNUSED, batch))
            idle.update({number: float(text) for number, text in zip(batch, told, strict=True) if text})
        return idle

    async def _forget(self, numbers: list[str]) -> None:
        for batch in _batches(numbers):
            await self._redis.hdel(_USED, *batch)
            await self._redis.hdel(_UNUSED, *batch)
            for number in batch:
                del self._marks[number]


@asynccontextmanager
async def open_redis_sharing(settings: SessionSettings) -> AsyncIterator[RedisSharing]:
    """By the Redis of the sessions, which need not be there yet."""
    password = Password(settings.password)
    async with connect(settings, password) as redis:
        yield RedisSharing(redis, password)


def _batches(numbers: Collection[str]) -> Iterator[list[str]]:
    listed = list(numbers)
    return (listed[start : start + _BATCH] for start in range(0, len(listed), _BATCH))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError, ValueError) as exc:  # of which a TimeoutError is one; a ValueError: no number
        raise SharingUnavailable(f"the Redis of the sessions did not answer: {type(exc).__name__}") from exc
