"""Carries bytes between two ends until both directions have ended, each by itself."""

import asyncio
import os
from asyncio.streams import FlowControlMixin
from contextlib import suppress
from dataclasses import dataclass

_CHUNK = 64 * 1024


@dataclass(frozen=True)
class End:
    """Where bytes come from and where they go: a socket, or the pipes of a program."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


async def pump(one: End, other: End) -> None:
    """Joins two ends. That a direction has ended is passed on like its bytes."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_carry(one.reader, other.writer))
            group.create_task(_carry(other.reader, one.writer))
    finally:
        one.writer.close()
        other.writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):  # whoever no longer listens also ends the direction
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    with suppress(ConnectionError, RuntimeError):  # the end of what is closed already
        writer.write_eof()


async def open_pipes(source: int, target: int) -> End:
    """The end made of two file descriptors."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(source, "rb", 0))
    transport, protocol = await loop.connect_write_pipe(FlowControlMixin, os.fdopen(target, "wb", 0))
    transport.set_write_buffer_limits(0)  # so that `drain` means written: the program may end right after it
    return End(reader, asyncio.StreamWriter(transport, protocol, None, loop))


async def open_socket(address: str, port: int) -> End:
    return End(*await asyncio.open_connection(address, port))
