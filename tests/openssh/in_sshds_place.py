"""Called as sshd is called: puts the gateway before the real sshd and serves clients as that sshd would.

-i         standard input and output are the client, and behind the gateway is `sshd -i`
otherwise  a daemon on the configured port, with the real sshd 1000 ports above
"""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, create_subprocess_exec
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TextIO, cast

import uvloop

from routing.model import Endpoint
from tests.openssh.door import LOOPBACK, Door, Visit
from tests.openssh.pump import End, open_pipes, open_socket, pump
from tests.openssh.sshd_settings import SSHD, CommandLine, SshdSettings, parse_command_line, read_settings

_POD_PORTS_ABOVE = 1000  # the suite itself uses the ports right above its own
_FATAL = 255  # how sshd ends when a client did not get in


class _Sshd:
    """The real one, and what both of its forms share."""

    def __init__(self, command: CommandLine, settings: SshdSettings, pod_keys: Path, log: TextIO) -> None:
        self.settings = settings
        self.pod_keys = pod_keys
        self._log = log
        self._streams: set[asyncio.Task[None]] = set()
        keys = ("-o", f"AuthorizedKeysFile {settings.authorized_keys} {pod_keys}")  # the first value counts
        self.arguments = (*(("-E", str(command.log)) if command.log else ("-e",)), *keys, *command.configuration)

    async def serve_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """By an `sshd -i`, which finds pipes, as it does under a ProxyCommand, and not the sockets of a library."""
        self._streams.add(cast("asyncio.Task[None]", asyncio.current_task()))
        (stdin, to_sshd), (from_sshd, stdout) = os.pipe(), os.pipe()
        process = await create_subprocess_exec(SSHD, "-i", *self.arguments, stdin=stdin, stdout=stdout)
        os.close(stdin)
        os.close(stdout)
        await pump(End(reader, writer), await open_pipes(from_sshd, to_sshd))
        await process.wait()

    async def wait_streams(self) -> None:
        """Until every `sshd -i` has ended."""
        await asyncio.gather(*self._streams)

    def say(self, text: str) -> None:
        print("gateway:", text, file=self._log, flush=True)


async def _serve_standard_streams(sshd: _Sshd) -> int:
    async with AsyncExitStack() as stack:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Visit] = loop.create_future()

        pod = await asyncio.start_server(sshd.serve_stream, LOOPBACK, 0)
        stack.callback(pod.close)
        door = Door(sshd.settings, Endpoint(LOOPBACK, _port(pod)), sshd.pod_keys, sshd.say, closed=ended.set_result)
        gateway = await loop.create_server(door.accept, LOOPBACK, 0)
        stack.callback(gateway.close)
        await pump(await open_pipes(0, 1), await open_socket(LOOPBACK, _port(gateway)))
        visit = await ended
        await visit.wait_gone()
        await sshd.wait_streams()
        return 0 if visit.is_admitted else _FATAL


async def _serve_port(sshd: _Sshd) -> int:
    """Until it is told to end; the connections that then remain end with it."""
    settings = sshd.settings
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    pod_port = settings.port + _POD_PORTS_ABOVE
    alone = ("-D", "-p", str(pod_port), "-o", "PidFile none")
    process = await create_subprocess_exec(SSHD, *alone, *sshd.arguments, stdin=DEVNULL, stdout=DEVNULL)
    door = Door(settings, Endpoint(LOOPBACK, pod_port), sshd.pod_keys, sshd.say)
    gateway = await loop.create_server(door.accept, LOOPBACK, settings.port)
    settings.pid_file.write_text(f"{os.getpid()}\n")
    try:
        await told.wait()
    finally:
        settings.pid_file.unlink()
        gateway.close()
        process.terminate()
        await process.wait()
    return 0


def _port(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


def _become_daemon() -> None:
    """Leaves the caller, who goes on, and takes nothing of its terminal along."""
    if os.fork():
        os._exit(0)
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)


def main(arguments: list[str]) -> int:
    command = parse_command_line(arguments)
    settings = read_settings(command)
    with (
        NamedTemporaryFile(dir=settings.pid_file.parent, prefix="pod-keys-") as pod_keys,
        (command.log or Path(os.devnull)).open("a") as log,
    ):
        sshd = _Sshd(command, settings, Path(pod_keys.name), log)
        if command.is_inetd:
            return uvloop.run(_serve_standard_streams(sshd))
        _become_daemon()
        return uvloop.run(_serve_port(sshd))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
