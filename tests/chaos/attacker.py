"""Clients that take their time: `python -m tests.chaos.attacker KIND PORT NUMBER [TOKEN NAME]`.

    idle           each asks once over HTTP and keeps its connection
    flood          connections that come and go, so many a second
    ssh-version    a byte of the version line each second
    ssh-kex        a byte of the key exchange each second
    ssh-auth       the key exchange, and then silence
    ssh-undrained  a command that never ends, whose output nobody reads

It goes on until it is killed. Whoever is turned away stays away, but for those of ssh-auth, who come again.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

import asyncssh

from gateway.descriptors import raise_limit

HOST = "127.0.0.1"
ASK = b"GET / HTTP/1.1\r\nHost: nobody.example\r\nAccept: text/plain\r\n\r\n"
VERSION = b"SSH-2.0-slow\r\n"
KEXINIT = (1500).to_bytes(4, "big") + b"\x06\x14" + bytes(1498)
AT_ONCE = 100  # connections that are being made; more would be a flood


async def _idle(port: int) -> None:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(ASK)
    await reader.readuntil(b"\r\n\r\n")
    _held.append(writer)


async def _drip(port: int, before: bytes, text: bytes) -> None:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(before)
    _held.append((reader, writer))
    _dripping.append((writer, iter(text)))


class _Undecided(asyncssh.SSHClient):
    async def password_auth_requested(self) -> str:
        await asyncio.Event().wait()
        return ""


def _login(port: int, **more: object) -> Awaitable[asyncssh.SSHClientConnection]:
    nothing = dict.fromkeys(("config", "known_hosts", "client_keys", "agent_path", "gss_host"))
    return asyncssh.connect(HOST, port, **nothing, **more)


async def _undrained(port: int, token: str, name: str) -> None:
    connection = await _login(port, username=name, password=token)
    process = await connection.create_process("cat /dev/zero", encoding=None, window=1 << 20)
    process.stdout.channel.pause_reading()
    _held.append((connection, process))


_held: list[object] = []
_dripping: list[tuple[asyncio.StreamWriter, Iterator[int]]] = []


async def _flood(port: int, rate: int) -> None:
    async def one() -> None:
        with suppress(OSError):
            _, writer = await asyncio.open_connection(HOST, port)
            writer.write(ASK[:20])
            writer.close()

    async with asyncio.TaskGroup() as group:
        while True:
            for _ in range(rate // 20):
                group.create_task(one())
            await asyncio.sleep(0.05)


async def _all(number: int, make: Callable[[], Awaitable[None]]) -> None:
    room = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with room:
            with suppress(OSError, asyncssh.Error, asyncio.IncompleteReadError):
                await make()

    async with asyncio.TaskGroup() as group:
        for _ in range(number):
            group.create_task(one())


async def main(kind: str, port: int, number: int, token: str = "", name: str = "") -> None:
    """Begin, and never end."""
    raise_limit()
    one: dict[str, Callable[[], Awaitable[None]]] = {
        "idle": lambda: _idle(port),
        "ssh-version": lambda: _drip(port, b"", VERSION),
        "ssh-kex": lambda: _drip(port, VERSION, KEXINIT),
        "ssh-undrained": lambda: _undrained(port, token, name),
    }
    async with asyncio.TaskGroup() as group:
        if kind == "flood":
            group.create_task(_flood(port, number))
        elif kind == "ssh-auth":
            for _ in range(number):
                group.create_task(_undecided(port))
        else:
            await _all(number, one[kind])
        while True:
            await asyncio.sleep(1)
            for writer, rest in _dripping:
                if not writer.is_closing():
                    writer.write(bytes([next(rest, 0)]))


async def _undecided(port: int) -> None:
    while True:  # as soon as one is turned away the next one comes
        with suppress(OSError, asyncssh.Error):
            await _login(port, username="apple", client_factory=_Undecided, preferred_auth=("password",))
        await asyncio.sleep(0.5)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:]))
