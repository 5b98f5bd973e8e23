"""Which connections towards workspaces are kept, for whom, and for how long."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial

import pytest

from config.settings import HttpSettings
from gateway.descriptors import find_ceiling
from gateway.http.headers import ResponseHead
from gateway.http.outbox import Outbox
from gateway.http.pool import DialError, DialFailure, Pool
from gateway.http.upstream import Origin, UpstreamConnection
from gateway.telemetry.metrics import Metrics
from tests.eventually import eventually
from tests.gateway.http.conftest import free_port, read_head


@dataclass
class Listening:
    """A server that answers everything in the same way, and knows who is connected."""

    port: int
    response: bytes = b"HTTP/1.1 204 No Content\r\n\r\n"
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while True:
                await read_head(reader)
                writer.write(self.response)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    @property
    def open(self) -> int:
        return sum(not writer.transport.is_closing() for writer in self.writers)


@dataclass
class Asking:
    """Who a response is for."""

    ended: asyncio.Future[bool]

    def response_head(self, head: ResponseHead) -> None: ...
    def response_body(self, data: bytes) -> None: ...
    def switched(self, head: ResponseHead, rest: bytes) -> None: ...
    def hold_request(self) -> None: ...
    def release_request(self) -> None: ...
    def crash(self) -> None: ...
    def response_end(self, *, reusable: bool) -> None:
        self.ended.set_result(reusable)

    def upstream_lost(self, reason: str, *, is_untouched: bool) -> None:
        self.ended.set_exception(ConnectionError(reason, is_untouched))


@pytest.fixture
async def server() -> AsyncIterator[Listening]:
    """Something to connect to."""
    listening = Listening(free_port())
    server = await asyncio.start_server(listening.serve, "127.0.0.1", listening.port)
    yield listening
    server.close()
    for writer in listening.writers:
        writer.close()


@pytest.fixture
def metrics() -> Metrics:
    """What is counted."""
    return Metrics()


@pytest.fixture
def pool(metrics: Metrics) -> Pool:
    """Room for two connections per origin, for ten seconds each."""
    return Pool(HttpSettings(pool_size=2, pool_idle_timeout=10, connect_timeout=0.2), find_ceiling(), Outbox(), metrics)


async def use(pool: Pool, origin: Origin, now: float = 0) -> UpstreamConnection:
    """A connection that was used once and given back."""
    connection = await pool.dial(origin)
    asking = Asking(asyncio.get_running_loop().create_future())
    connection.begin(asking, method=b"GET")
    connection.send(b"GET / HTTP/1.1\r\n\r\n")
    assert await asking.ended
    pool.give_back(connection, now)
    return connection


def origin(server: Listening, owner: str = "apple") -> Origin:
    return Origin(owner, "127.0.0.1", server.port)


async def test_newest_is_taken_first(pool: Pool, server: Listening) -> None:
    """The one that is least likely to be closed by the other side."""
    first, second = [await use(pool, origin(server)) for _ in range(2)]

    assert pool.take(origin(server), 0) is second
    assert pool.take(origin(server), 0) is first
    assert pool.take(origin(server), 0) is None


async def test_nobody_takes_another_owner_s(pool: Pool, server: Listening) -> None:
    """The same address under another identity is another place."""
    await use(pool, origin(server))

    assert pool.take(origin(server, "pear"), 0) is None


async def test_no_more_are_kept_than_there_is_room_for(pool: Pool, server: Listening) -> None:
    """The surplus is closed."""
    await asyncio.gather(*[use(pool, origin(server)) for _ in range(4)])

    await eventually(lambda: server.open == 2)
    assert repr(pool) == "<Pool idle=2 origins=1>"


async def test_old_ones_are_closed(pool: Pool, server: Listening) -> None:
    """When their time is over, and they are not taken at that moment either."""
    await use(pool, origin(server), now=0)
    young = await use(pool, origin(server), now=5)

    pool.expire(10)
    await eventually(lambda: server.open == 1)
    assert pool.take(origin(server), 14.9) is young
    pool.give_back(young, 5)
    assert pool.take(origin(server), 15) is None
    await eventually(lambda: server.open == 0)


@pytest.mark.parametrize(
    ("hint", "until"),
    [
        (b"timeout=5", 4),
        (b"timeout=5, max=100", 4),
        (b"max=100,timeout=3", 2),
        (b"Timeout=5", 4),
        (b"timeout=1", 0),
        (b"timeout=0", -1),
        (b"timeout=999", 10),
        (b"timeout=x", 10),
        (b"timeout=99999999", 10),
        (b"xtimeout=5", 10),
        (b"", 10),
    ],
)
async def test_word_of_a_workspace_shortens_the_time(pool: Pool, server: Listening, hint: bytes, until: float) -> None:
    """A second before it closes a connection, that connection is not used any more."""
    server.response = b"HTTP/1.1 204 No Content\r\nKeep-Alive: " + hint + b"\r\n\r\n"
    connection = await use(pool, origin(server))

    assert pool.take(origin(server), until - 0.01) is connection
    pool.give_back(connection, 0)
    assert pool.take(origin(server), until) is None


async def test_closed_by_the_workspace_is_forgotten(pool: Pool, server: Listening) -> None:
    """Nobody is given a connection that has ended."""
    await use(pool, origin(server))

    server.writers[0].close()

    await eventually(lambda: repr(pool) == "<Pool idle=0 origins=0>")


async def test_unsent_bytes_are_not_kept(pool: Pool, server: Listening) -> None:
    """A request that the workspace has not read would stand before the next visitor's."""
    connection = await use(pool, origin(server))
    assert pool.take(origin(server), 0) is connection
    server.writers[0].transport.pause_reading()  # type: ignore[attr-defined]  # a StreamWriter's transport reads, too

    connection.send(bytes(32 << 20))
    pool.give_back(connection, 0)

    assert pool.take(origin(server), 0) is None


async def test_owner_that_is_gone_keeps_nothing(pool: Pool, server: Listening) -> None:
    """And others keep theirs."""
    await use(pool, origin(server))
    pear = await use(pool, origin(server, "pear"))

    pool.close_owner("apple")

    await eventually(lambda: server.open == 1)
    assert pool.take(origin(server, "pear"), 0) is pear


async def test_closed_pool_keeps_nothing(pool: Pool, server: Listening) -> None:
    """Whoever it belonged to."""
    await use(pool, origin(server))
    await use(pool, origin(server, "pear"))

    pool.close()

    await eventually(lambda: server.open == 0)


async def test_closed_port_is_refused(pool: Pool) -> None:
    """A reason that is told apart from silence."""
    with pytest.raises(DialError) as error:
        await pool.dial(Origin("apple", "127.0.0.1", free_port()))

    assert error.value.failure is DialFailure.REFUSED


@pytest.mark.parametrize("address", ["/nonexistent/socket"])
async def test_missing_socket_is_unreachable(pool: Pool, address: str) -> None:
    """A port of 0 means a path."""
    with pytest.raises(DialError) as error:
        await pool.dial(Origin("portal", address, 0))

    assert error.value.failure is DialFailure.UNREACHABLE


def has_heard(connection: UpstreamConnection, said: bytes) -> bool:
    return connection._is_untouched is (said == b"")


async def test_hang_up_tells_whether_anything_was_said(pool: Pool, server: Listening) -> None:
    """Only an untouched request may be repeated."""
    for said in (b"", b"H"):
        server.response = said
        connection = await pool.dial(origin(server))
        asking = Asking(asyncio.get_running_loop().create_future())
        connection.begin(asking, method=b"GET")
        connection.send(b"GET / HTTP/1.1\r\n\r\n")
        await eventually(lambda: len(server.writers) > 0)
        await eventually(partial(has_heard, connection, said))
        server.writers.pop().close()

        with pytest.raises(ConnectionError) as error:
            await asking.ended
        assert error.value.args[1] is (said == b"")


async def test_connections_are_counted_by_what_became_of_them(pool: Pool, server: Listening, metrics: Metrics) -> None:
    """Kept, in use, taken again, dialled, and not to be had."""

    def told(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"workspaces_gateway_http_upstream_{name}", labels)

    first, _ = [await use(pool, origin(server)) for _ in range(2)]
    pool.take(origin(server), 0)
    with pytest.raises(DialError):
        await pool.dial(Origin("apple", "127.0.0.1", free_port()))

    assert (told("connections", state="idle"), told("connections", state="busy")) == (1, 1)
    assert (told("dials_total", result="ok"), told("dials_total", result="refused")) == (2, 1)
    assert told("reuses_total") == 1
    first.abort()
