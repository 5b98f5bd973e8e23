"""The network between two programs, which a test can slow, silence, cut and mend while both go on.

async with open_link(port) as link:      # whatever connects to link.port gets to `port`
    link.delay = 0.5
    link.silence()
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

_CHUNK = 65_536
_NO_LINGER = struct.pack("ii", 1, 0)  # a close that the other side learns of as a reset


@dataclass
class Link:
    """A TCP relay to one port of this machine."""

    target: int
    port: int = 0
    """Where it listens."""
    delay: float = 0.0
    """Seconds that each piece of data takes in each direction."""
    rate: float = 0.0
    """Bytes a second in each direction of each connection; 0 is as fast as it goes."""
    accepted: int = 0
    """How many connections there were."""
    is_cut: bool = False
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _flows: asyncio.Event = field(default_factory=asyncio.Event)
    _serving: set[asyncio.Task[object]] = field(default_factory=set)
    """Held here, as asyncio forgets the task of a client that is gone, and the garbage collector then ends it."""

    def __post_init__(self) -> None:
        self._flows.set()

    def cut(self) -> None:
        """Every connection is reset, and so is each new one."""
        self.is_cut = True
        for writer in self._writers:
            _reset(writer)

    def silence(self) -> None:
        """Connections are accepted and stay, and nothing arrives on any of them."""
        self._flows.clear()

    def mend(self) -> None:
        """All is well again; what was held up arrives now."""
        self.is_cut, self.delay, self.rate = False, 0.0, 0.0
        self._flows.set()

    async def wait_idle(self) -> None:
        """Until nobody is connected."""
        while self._serving:
            await asyncio.wait(self._serving)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client."""
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        try:
            await self._relay(reader, writer)
        finally:
            await _close(writer)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            _reset(writer)
            return
        try:
            others_reader, others_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            _reset(writer)
            return
        self._writers |= {writer, others_writer}
        async with asyncio.TaskGroup() as group:
            group.create_task(self._copy(reader, others_writer, writer))
            group.create_task(self._copy(others_reader, writer, others_writer))
        self._writers -= {writer, others_writer}
        await _close(others_writer)

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, other: asyncio.StreamWriter
    ) -> None:
        """From `reader` to `writer`; `other` is the way back, which breaks with this one."""
        try:
            while data := await reader.read(_CHUNK if not self.rate else max(1, int(self.rate / 10))):
                if pause := self.delay + (len(data) / self.rate if self.rate else 0.0):
                    await asyncio.sleep(pause)
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
            writer.write_eof()
        except (ConnectionError, RuntimeError):  # RuntimeError: uvloop, of a transport that is closed
            for each in (writer, other):
                _reset(each)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock: socket.socket | None = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    writer.transport.abort()


@asynccontextmanager
async def open_link(target: int) -> AsyncIterator[Link]:
    """A link to a port of this machine while the block runs."""
    link = Link(target)
    server = await asyncio.start_server(link.serve, "127.0.0.1", 0)
    link.port = server.sockets[0].getsockname()[1]
    try:
        yield link
    finally:
        server.close()
        link.mend()
        link.cut()
        await server.wait_closed()
        await link.wait_idle()
