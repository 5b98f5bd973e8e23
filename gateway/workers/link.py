"""The socket pair between the parent of several workers and one of them: settings go down, one byte each comes up.

A byte says "what you sent runs", or that it cannot be taken up; the end of the connection says "alone". The worker gets
the settings themselves instead of loading them: it may be started when what is written by then was refused.
"""

import asyncio
import pickle
import socket
import struct

from config.settings import Settings

_LENGTH = struct.Struct(">I")
_TAKEN, _REFUSED = b"+", b"-"


class LinkClosed(Exception):
    """The other end is gone."""


class WorkerLink:
    """The parent's end."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)  # noqa: FBT003 - the name of the method is the name of the argument
        self._sock = sock
        self._lock = asyncio.Lock()

    async def give(self, settings: Settings) -> bool:
        """Have the worker run by these; whether it could take them up.

        Raises:
            LinkClosed: if it is no more.
        """
        loop, data = asyncio.get_running_loop(), pickle.dumps(settings)
        async with self._lock:
            try:
                await loop.sock_sendall(self._sock, _LENGTH.pack(len(data)) + data)
                answer = await loop.sock_recv(self._sock, 1)
            except OSError as exc:
                raise LinkClosed from exc
        return _whole(answer, 1) == _TAKEN


class ParentLink:
    """The worker's end."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def find_first(self) -> Settings:
        """The settings to start with; waits for them without an event loop.

        Raises:
            LinkClosed: if there is no parent any more.
        """
        with self._sock.makefile("rb", buffering=0) as stream:
            length = _LENGTH.unpack(_whole(stream.read(_LENGTH.size), _LENGTH.size))[0]
            data = b""
            while len(data) < length:
                data += _whole(stream.read(length - len(data)), 1)
        return _read(data)

    async def find_next(self) -> Settings:
        """The next ones.

        Raises:
            LinkClosed: if there is no parent any more.
        """
        (length,) = _LENGTH.unpack(await self._receive(_LENGTH.size))
        return _read(await self._receive(length))

    def answer(self, *, taken: bool) -> None:
        """Say whether the last ones run."""
        self._sock.send(_TAKEN if taken else _REFUSED)

    async def _receive(self, size: int) -> bytes:
        self._sock.setblocking(False)  # noqa: FBT003 - the name of the method is the name of the argument
        data = b""
        while len(data) < size:
            data += _whole(await asyncio.get_running_loop().sock_recv(self._sock, size - len(data)), 1)
        return data


def _whole(data: bytes | None, least: int) -> bytes:
    if data is None or len(data) < least:
        raise LinkClosed
    return data


def _read(data: bytes) -> Settings:
    # Nobody but the process that started us holds the other end; and these are values, secrets included, as they are.
    settings = pickle.loads(data)  # noqa: S301 - see above
    if not isinstance(settings, Settings):
        raise TypeError("the parent sent something else than settings")
    return settings
