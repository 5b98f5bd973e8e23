"""What is written in one turn of the event loop, over real sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from gateway.http.outbox import Outbox, Outlet

LARGE = bytes(1 << 22)
"""More than the kernel takes at once."""


class Ends:
    """An outlet and the peer that reads what comes out of it."""

    def __init__(self, outlet: Outlet, transport: asyncio.Transport, peer: asyncio.StreamReader) -> None:
        self.outlet = outlet
        self.transport = transport
        self.peer = peer

    async def heard(self) -> bytes:
        """Everything up to the end of the connection."""
        async with asyncio.timeout(10):
            return await self.peer.read()


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    """An outlet whose outbox nobody else uses."""
    accepted: asyncio.Queue[asyncio.Transport] = asyncio.Queue()

    class Accepting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted.put_nowait(transport)  # type: ignore[arg-type]  # uvloop's transports are so by shape

    server = await asyncio.get_running_loop().create_server(Accepting, "127.0.0.1", 0)
    peer, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    transport = await accepted.get()
    yield Ends(Outlet(Outbox(), transport), transport, peer)
    transport.abort()
    writer.close()
    server.close()


async def test_what_is_written_in_a_turn_goes_out_when_it_ends(ends: Ends) -> None:
    """Not before, and not later."""
    ends.outlet.write(b"head")
    ends.outlet.write(b"body")
    before = ends.outlet.is_flushed
    await asyncio.sleep(0)

    assert not before
    assert ends.outlet.is_flushed
    assert await ends.peer.readexactly(8) == b"headbody"


async def test_a_lot_goes_out_at_once(ends: Ends) -> None:
    """Whoever writes it reads on in the same turn, and has to hear from the transport that nobody takes it."""
    ends.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    for _ in range(len(LARGE) // 1024):
        ends.outlet.write(LARGE[:1024])

    assert ends.transport.get_write_buffer_size()


async def test_closing_comes_after_what_was_written(ends: Ends) -> None:
    """However large it is."""
    ends.outlet.write(LARGE)
    ends.outlet.write(b"end")
    ends.outlet.close()

    assert await ends.heard() == LARGE + b"end"


async def test_the_end_of_writing_comes_after_what_was_written(ends: Ends) -> None:
    """The other direction stays open."""
    ends.outlet.write(b"last words")
    ends.outlet.write_eof()

    assert await ends.heard() == b"last words"
    assert not ends.transport.is_closing()


async def test_nothing_is_written_to_a_connection_that_was_broken_off(ends: Ends) -> None:
    """Whoever lost the right to an answer in the same turn does not get it."""
    ends.outlet.write(b"secret")
    ends.transport.abort()

    assert await ends.heard() == b""


async def test_an_outlet_is_not_flushed_while_its_peer_reads_nothing(ends: Ends) -> None:
    """What the kernel does not take waits in the transport."""
    ends.peer._transport.pause_reading()  # type: ignore[attr-defined]  # a stream reader has no public way to stop
    ends.outlet.write(LARGE)
    ends.outlet.write(LARGE)
    ends.outlet.flush()

    assert not ends.outlet.is_flushed


async def test_one_that_cannot_write_keeps_nobody_else_from_it(ends: Ends) -> None:
    """What went wrong is told, and the others of the same turn go out."""

    class Broken:
        def is_closing(self) -> bool:
            return False

        def write(self, _data: bytes) -> None:
            raise RuntimeError("no")

    outbox, told = Outbox(), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context["exception"]))
    broken, sound = Outlet(outbox, Broken()), Outlet(outbox, ends.transport)  # type: ignore[arg-type]  # it is a stand-in
    broken.write(b"lost")
    sound.write(b"said")
    said = await ends.peer.readexactly(4)

    assert said == b"said"
    assert [type(each) for each in told] == [RuntimeError]
