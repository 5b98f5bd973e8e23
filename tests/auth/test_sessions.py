"""Sessions end when they should, ids stay with their browser, and memory stays bounded."""

import asyncio

import pytest
from pydantic import SecretStr

from auth import sessions as module
from auth.grants import GRANT_LIFETIME
from auth.model import Tokens, User
from auth.sessions import MemorySessions, session_ref
from config.settings import SessionSettings
from tests.clock import Clock

USER = User(7, "jo")
TOKENS = Tokens(SecretStr("access-secret"), SecretStr("refresh-secret"), 1e12)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> MemorySessions:
    return MemorySessions(SessionSettings(idle_timeout=3600, absolute_timeout=8 * 3600), clock)


async def test_a_session_is_found_by_the_hash_of_its_id(store: MemorySessions) -> None:
    """The id itself is no key of the store, so reading the store's keys makes nobody a user."""
    session = await store.create(USER, TOKENS, "browser-1")

    assert await store.get(session_ref(session.id)) == session
    assert await store.get(session.id.get_secret_value()) is None


async def test_every_session_has_a_new_id(store: MemorySessions) -> None:
    """Signing in twice gives two ids that nobody could guess."""
    first, second = await store.create(USER, TOKENS, "browser-1"), await store.create(USER, TOKENS, "browser-1")

    assert first.id != second.id
    assert len(first.id.get_secret_value()) >= 43


async def test_use_keeps_a_session_from_idling_out(store: MemorySessions, clock: Clock) -> None:
    """The idle limit counts from the last use."""
    ref = session_ref((await store.create(USER, TOKENS, "browser-1")).id)

    for _ in range(3):
        clock.now += 3599
        assert await store.get(ref) is not None
    clock.now += 3600
    assert await store.get(ref) is None


async def test_no_use_keeps_a_session_beyond_the_absolute_limit(store: MemorySessions, clock: Clock) -> None:
    """After a working day everybody signs in again."""
    ref = session_ref((await store.create(USER, TOKENS, "browser-1")).id)

    for _ in range(15):
        clock.now += 1800
        assert await store.get(ref) is not None
    clock.now += 1800
    assert await store.get(ref) is None


async def test_an_ended_session_is_gone_and_known_as_ended(store: MemorySessions, clock: Clock) -> None:
    """The edge learns of a sign-out without waiting, for as long as a grant could outlive it."""
    ref = session_ref((await store.create(USER, TOKENS, "browser-1")).id)
    assert not store.is_ended(ref)

    await store.end(ref)

    assert await store.get(ref) is None
    assert store.is_ended(ref)
    clock.now += GRANT_LIFETIME
    assert not store.is_ended(ref)


async def test_signing_out_ends_every_session_of_the_browser(store: MemorySessions) -> None:
    """Ten tabs that signed in at once made ten sessions, and one sign-out ends them all, but no other browser's."""
    here = [session_ref((await store.create(USER, TOKENS, "browser-1")).id) for _ in range(10)]
    elsewhere = session_ref((await store.create(USER, TOKENS, "browser-2")).id)

    await store.end(here[3])

    assert all(store.is_ended(ref) for ref in here)
    assert not store.is_ended(elsewhere)
    assert await store.get(elsewhere) is not None


async def test_one_browser_is_one_person(store: MemorySessions) -> None:
    """Signing in as somebody else ends the sessions of whoever used this browser before."""
    before = session_ref((await store.create(USER, TOKENS, "browser-1")).id)

    await store.create(User(8, "ida"), TOKENS, "browser-1")

    assert store.is_ended(before)


async def test_one_person_has_so_many_sessions_and_no_more(store: MemorySessions) -> None:
    """The one that began first ends, streams included; nobody else's does."""
    other = await store.create(User(8, "eve"), TOKENS, "another browser")
    mine = [await store.create(USER, TOKENS, f"browser-{number}") for number in range(51)]
    refs = [session_ref(session.id) for session in mine]

    assert [await store.get(ref) is None for ref in refs] == [True] + [False] * 50
    assert store.is_ended(refs[0])
    assert await store.get(session_ref(other.id)) is not None


async def test_a_person_signs_out_everywhere(store: MemorySessions) -> None:
    """In every browser, and nobody else."""
    other = await store.create(User(8, "eve"), TOKENS, "another browser")
    mine = [session_ref((await store.create(USER, TOKENS, f"browser-{number}")).id) for number in range(3)]
    await store.end_all(USER.id)
    await store.end_all(999)

    assert all([await store.get(ref) is None and store.is_ended(ref) for ref in mine])
    assert await store.get(session_ref(other.id)) is not None


async def test_ending_made_up_sessions_costs_nothing(store: MemorySessions) -> None:
    """Guessed ids do not fill the list of ended sessions."""
    await store.end("made up")

    assert not store.is_ended("made up")


async def test_refreshed_tokens_are_kept(store: MemorySessions) -> None:
    """The next request of the session sees the new tokens."""
    ref = session_ref((await store.create(USER, TOKENS, "browser-1")).id)
    fresh = Tokens(SecretStr("a2"), SecretStr("r2"), 5.0)

    await store.put_tokens(ref, fresh)

    session = await store.get(ref)
    assert session is not None
    assert session.tokens == fresh


async def test_tokens_do_not_revive_an_ended_session(store: MemorySessions) -> None:
    """A refresh that finishes after sign-out changes nothing."""
    ref = session_ref((await store.create(USER, TOKENS, "browser-1")).id)
    await store.end(ref)

    await store.put_tokens(ref, TOKENS)

    assert await store.get(ref) is None


async def test_a_key_is_used_once_within_its_time(store: MemorySessions, clock: Clock) -> None:
    """The second use is refused until the key would be void anyway."""
    assert await store.use_once("code-1", 30)
    assert not await store.use_once("code-1", 30)
    assert await store.use_once("code-2", 30)
    clock.now += 30
    assert await store.use_once("code-1", 30)


async def test_used_keys_are_forgotten_when_void(store: MemorySessions, clock: Clock) -> None:
    """Memory follows the traffic of the last minutes, not that of all time."""
    for number in range(100):
        await store.use_once(f"old-{number}", 30)
    clock.now += 31

    await store.use_once("new", 30)

    assert len(store._used) == 1


async def test_a_flood_is_bounded_in_memory(store: MemorySessions, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limits the oldest entries make room: sessions and used keys alike."""
    monkeypatch.setattr(module, "USED_MAX", 10)
    monkeypatch.setattr(module, "SESSIONS_MAX", 10)
    first = session_ref((await store.create(USER, TOKENS, "browser-1")).id)

    for number in range(30):
        await store.use_once(str(number), 600)
        await store.create(USER, TOKENS, f"browser-{number}")

    assert len(store._browsers) == 10
    assert len(store._used) == 10
    assert len(store._sessions) == 10
    assert await store.get(first) is None


async def test_one_refresh_at_a_time_per_session(store: MemorySessions) -> None:
    """The lock is one per session and disappears with its last user."""
    order: list[str] = []

    async def refresh(ref: str, name: str) -> None:
        async with store.refreshing(ref):
            order.append(f"{name} in")
            await asyncio.sleep(0)
            order.append(f"{name} out")

    async with asyncio.TaskGroup() as group:
        for name in "abc":
            group.create_task(refresh("one", name))

    assert order == ["a in", "a out", "b in", "b out", "c in", "c out"]
    assert len(store._locks) == 0


async def test_nothing_secret_shows_in_a_repr(store: MemorySessions) -> None:
    """Neither the store nor a session prints an id or a token."""
    session = await store.create(USER, TOKENS, "browser-1")
    shown = repr(session) + repr(store) + str(session)

    assert session.id.get_secret_value() not in shown
    assert "access-secret" not in shown
    assert "refresh-secret" not in shown
