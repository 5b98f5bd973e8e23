"""Two stores on one Redis are one store, and without Redis there is no yes."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from auth.grants import GRANT_LIFETIME
from auth.model import Session, SessionsUnavailable, Tokens, User
from auth.redis_sessions import CONNECTIONS, PREFIX, Password, RedisSessions, open_redis_sessions
from auth.seal import Sealer
from auth.sessions import session_ref
from config.settings import SessionSettings
from tests.clock import RunningClock
from tests.eventually import eventually
from tests.redis_server import RedisServer, run_redis

JO, EVE = User(7, "jo"), User(8, "eve", external=True)
TOKENS = Tokens(SecretStr("access-token"), SecretStr("refresh-token"), 2e9)
KEY = SecretStr("a signing key for tests")


@dataclass
class Pair:
    """Two gateways' stores on one Redis."""

    server: RedisServer
    one: RedisSessions
    other: RedisSessions
    clock: RunningClock
    raw: Redis
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def sign_in(self, user: User = JO, browser: str = "browser") -> Session:
        return await self.one.create(user, TOKENS, browser)

    async def wait_heard(self) -> None:
        """Until both of them are told of sign-outs."""
        async with asyncio.timeout(10):
            while (await self.raw.pubsub_numsub(PREFIX + "ended"))[0][1] < 2:  # noqa: ASYNC110 - Redis tells nobody of it
                await asyncio.sleep(0.02)

    async def open(self, key: SecretStr = KEY) -> RedisSessions:
        settings = SessionSettings(store=self.server.url)
        return await self.stack.enter_async_context(open_redis_sessions(settings, Sealer([key]), self.clock))


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    clock = RunningClock()
    async with run_redis() as server, AsyncExitStack() as stack:
        settings = SessionSettings(store=server.url)
        opened = [
            await stack.enter_async_context(open_redis_sessions(settings, Sealer([KEY]), clock)) for _ in range(2)
        ]
        raw = await stack.enter_async_context(Redis.from_url(server.url))
        yield Pair(server, opened[0], opened[1], clock, raw, stack)


def ref_of(session: Session) -> str:
    return session_ref(session.id)


async def everything(raw: Redis) -> bytes:
    """All that somebody with access to Redis can read."""
    found: list[Any] = []
    for key in await raw.keys("*"):
        kind = await raw.type(key)
        found.append(key)
        if kind == b"hash":
            found += [part for item in (await raw.hgetall(key)).items() for part in item]
        elif kind == b"set":
            found += list(await raw.smembers(key))
        elif kind == b"zset":
            members: Any = await raw.zrange(key, 0, -1)
            found += members
    return b"\n".join(found)


async def test_what_one_made_the_other_knows(pair: Pair) -> None:
    """The same person, tokens and times; an unknown ref is nobody."""
    session = await pair.sign_in(EVE)
    found = await pair.other.get(ref_of(session))

    assert found is not None
    assert (found.id, found.user, found.tokens, found.browser) == (session.id, EVE, TOKENS, "browser")
    assert found.created == session.created
    assert await pair.other.get("0" * 64) is None


async def test_redis_sees_neither_tokens_nor_ids_nor_names(pair: Pair) -> None:
    """Whoever can read it can become nobody. The name is looked for as JSON has it: base64 spells any two letters."""
    session = await pair.sign_in()
    await pair.one.use_once("a secret code", 60)
    seen = await everything(pair.raw)

    assert ref_of(session).encode() in seen
    for secret in ("access-token", "refresh-token", session.id.get_secret_value(), "a secret code", '"jo"'):
        assert secret.encode() not in seen.replace(ref_of(session).encode(), b"")


async def test_another_signing_key_opens_nothing(pair: Pair) -> None:
    """A gateway that is not of the group."""
    session = await pair.sign_in()
    stranger = await pair.open(SecretStr("quite another signing key"))

    assert await stranger.get(ref_of(session)) is None
    await pair.stack.aclose()


async def test_a_record_in_another_place_is_nobodys(pair: Pair) -> None:
    """Who can write to Redis cannot move one person's session under another's ref."""
    mine, theirs = await pair.sign_in(JO, "a"), await pair.sign_in(EVE, "b")
    prefix = "workspaces-gateway:session:"
    await pair.raw.copy(prefix + ref_of(theirs), prefix + ref_of(mine), replace=True)

    assert await pair.other.get(ref_of(mine)) is None


async def test_fresh_tokens_reach_the_other(pair: Pair) -> None:
    """And never bring an ended session back."""
    session, fresh = await pair.sign_in(), Tokens(SecretStr("new"), SecretStr("newer"), 3e9)
    await pair.one.put_tokens(ref_of(session), fresh)
    found = await pair.other.get(ref_of(session))
    await pair.other.end(ref_of(session))
    await pair.one.put_tokens(ref_of(session), fresh)

    assert found is not None
    assert found.tokens == fresh
    assert await pair.one.get(ref_of(session)) is None


async def test_one_refreshes_at_a_time(pair: Pair) -> None:
    """Whichever gateway it is on."""
    inside = 0
    most = 0

    async def refresh(store: RedisSessions) -> None:
        nonlocal inside, most
        async with store.refreshing("a ref"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.02)
            inside -= 1

    await asyncio.gather(*(refresh(store) for store in (pair.one, pair.other) * 3))
    assert most == 1


async def test_what_is_used_once_is_used_for_all(pair: Pair) -> None:
    """Ten at once on two gateways: one of them is first."""
    answers = await asyncio.gather(*(store.use_once("code", 30) for store in (pair.one, pair.other) * 5))

    assert sorted(answers) == [False] * 9 + [True]


async def test_a_use_is_forgotten_in_time(pair: Pair) -> None:
    """The key may come again when nothing of its first use can live."""
    assert await pair.one.use_once("code", 0.05)
    await asyncio.sleep(0.1)

    assert await pair.other.use_once("code", 30)


async def test_a_sign_out_is_known_everywhere_at_once(pair: Pair) -> None:
    """Of all sessions of that browser, and of no other; whoever subscribed is told."""
    told = asyncio.Event()
    pair.other.subscribe(told.set)
    session, sibling, stranger = await pair.sign_in(), await pair.sign_in(), await pair.sign_in(browser="else")
    await pair.wait_heard()
    await pair.one.end(ref_of(session))
    async with asyncio.timeout(1):
        await told.wait()

    for store in (pair.one, pair.other):
        assert [store.is_ended(ref_of(item)) for item in (session, sibling, stranger)] == [True, True, False]
        assert await store.get(ref_of(sibling)) is None
        assert await store.get(ref_of(stranger)) is not None


async def test_a_gateway_that_starts_later_knows_past_sign_outs(pair: Pair) -> None:
    """For as long as a grant of theirs could live, and no longer."""
    session = await pair.sign_in()
    await pair.one.end(ref_of(session))
    later = await pair.open()
    async with asyncio.timeout(10):
        while not later.is_ended(ref_of(session)):  # noqa: ASYNC110 - the store tells only of what is new to it
            await asyncio.sleep(0.02)
    pair.clock.ahead += GRANT_LIFETIME + 1

    assert not later.is_ended(ref_of(session))
    await pair.stack.aclose()


async def test_somebody_else_in_the_same_browser_ends_the_first(pair: Pair) -> None:
    """One browser is one person."""
    first = await pair.one.create(JO, TOKENS, "browser")
    await pair.other.create(EVE, TOKENS, "browser")

    assert await pair.one.get(ref_of(first)) is None


async def test_one_person_has_so_many_sessions_and_no_more(pair: Pair) -> None:
    """Over all gateways; the one that began first ends, and nobody else's does."""
    other = await pair.sign_in(EVE, "another browser")
    refs = []
    for number in range(51):
        pair.clock.ahead += 1
        store = (pair.one, pair.other)[number % 2]
        refs.append(ref_of(await store.create(JO, TOKENS, f"browser-{number}")))

    assert [await pair.one.get(ref) is None for ref in refs] == [True] + [False] * 50
    assert pair.other.is_ended(refs[0])
    assert await pair.other.get(ref_of(other)) is not None


async def test_sessions_that_ended_are_not_looked_at_again(pair: Pair) -> None:
    """Or somebody who signs in and out all day would make each sign-in cost more than the one before."""
    for number in range(10):
        session = await pair.sign_in(JO, f"browser-{number}")
        await pair.one.end(ref_of(session))
    await pair.sign_in(JO)

    (key,) = [key for key in await pair.raw.keys("*") if b":user:" in key]
    assert await pair.raw.zcard(key) == 1


async def test_a_person_signs_out_everywhere(pair: Pair) -> None:
    """In every browser, at whichever gateway, and nobody else."""
    other = await pair.sign_in(EVE, "another browser")
    mine = [ref_of(await pair.sign_in(JO, f"browser-{number}")) for number in range(3)]
    await pair.other.end_all(JO.id)

    assert [await pair.one.get(ref) for ref in mine] == [None] * 3
    assert await pair.one.get(ref_of(other)) is not None


@pytest.mark.parametrize(("gap", "times", "lives"), [(3599, 3, True), (3601, 1, False), (3500, 9, False)])
async def test_a_session_ends_when_idle_or_old(pair: Pair, gap: float, times: int, lives: bool) -> None:  # noqa: FBT001 - a table
    """Being asked for counts as being used; eight hours are the end of it all the same."""
    session = await pair.sign_in()
    found: Session | None = session
    for _ in range(times):
        pair.clock.ahead += gap
        found = await pair.other.get(ref_of(session))

    assert (found is not None) == lives


async def test_nothing_stays_in_redis_for_ever(pair: Pair) -> None:
    """Each key has an end, or is cut to what counts."""
    session = await pair.sign_in()
    await pair.one.use_once("code", 30)
    for key in await pair.raw.keys("*"):
        assert await pair.raw.ttl(key) > 0
    await pair.one.end(ref_of(session))
    pair.clock.ahead += GRANT_LIFETIME + 1
    await pair.one.end(ref_of(await pair.sign_in()))

    assert await pair.raw.zcard("workspaces-gateway:ended") == 1


async def test_without_redis_nothing_is_a_yes(pair: Pair) -> None:
    """Each question is answered by the same fault, in seconds, without a word of what was asked."""
    session = await pair.sign_in()
    await pair.server.stop()
    questions = [
        pair.one.get(ref_of(session)),
        pair.one.create(JO, TOKENS, "browser"),
        pair.one.use_once("code", 30),
        pair.one.end(ref_of(session)),
        pair.one.put_tokens(ref_of(session), TOKENS),
    ]
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*questions, return_exceptions=True)

    assert [type(answer) for answer in answers] == [SessionsUnavailable] * 5
    assert not pair.one.is_ended(ref_of(session))
    assert "code" not in "".join(map(str, answers))


async def test_redis_that_comes_back_is_used_again(pair: Pair) -> None:
    """Sign-outs are heard of again, too."""
    await eventually(lambda: pair.one.is_listening)
    assert pair.one.failures == 0
    await pair.server.stop()
    with pytest.raises(SessionsUnavailable):
        await pair.one.get("0" * 64)
    await eventually(lambda: not pair.one.is_listening)
    assert pair.one.failures == 1
    await pair.server.start()
    told = asyncio.Event()
    pair.other.subscribe(told.set)
    session = await pair.sign_in()
    await pair.wait_heard()
    await eventually(lambda: pair.one.is_listening)
    await pair.one.end(ref_of(session))

    async with asyncio.timeout(1):
        await told.wait()


def test_the_store_shows_nothing_of_itself() -> None:
    """Its address stays out of logs."""
    store = RedisSessions(Redis(), Password(SecretStr("")), SessionSettings(), Sealer([KEY]), time.time)

    assert repr(store) == "<RedisSessions>"


async def test_a_crowd_that_asks_at_once_shares_some_connections(pair: Pair) -> None:
    """Fifty gateways must not take more than a Redis has; everybody is answered."""
    session = await pair.sign_in()
    ref = session_ref(session.id)
    found = await asyncio.gather(*(pair.one.get(ref) for _ in range(5 * CONNECTIONS)))

    assert all(found)
    assert (await pair.raw.info("clients"))["connected_clients"] < 2 * CONNECTIONS


async def test_the_client_writes_no_lines_of_its_own(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    """They would stand on standard error between lines of JSON, one for each connection."""
    await asyncio.gather(*(pair.one.get("nobody's") for _ in range(CONNECTIONS)))

    assert caplog.messages == []
