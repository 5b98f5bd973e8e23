"""An sshd made of asyncssh, for machines where OpenSSH's cannot be arranged: commands run as the current user.

It offers what the demo shows: exec and shell with or without a terminal, sftp, scp and forwarding.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import struct
import termios
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import asyncssh

_CHUNK = 64 * 1024
Reader = asyncio.StreamReader | asyncssh.SSHReader[bytes]
Writer = asyncio.StreamWriter | asyncssh.SSHWriter[bytes]
Dial = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
Tunnel = Callable[["asyncssh.SSHReader[bytes]", "asyncssh.SSHWriter[bytes]"], Awaitable[None]]
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@contextlib.asynccontextmanager
async def serve_python_sshd(user: str, home: Path) -> AsyncIterator[int]:
    """Serves on a free loopback port, which it yields."""
    connections: set[asyncssh.SSHServerConnection] = set()
    services = _Services(user, home)
    acceptor = await asyncssh.listen(
        "127.0.0.1",
        0,
        config=None,
        gss_host=None,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        server_factory=lambda: _Visitor(user, connections, services),
        process_factory=services.serve,
        sftp_factory=True,
        allow_scp=True,
        encoding=None,
    )
    try:
        yield acceptor.get_port()
    finally:
        acceptor.close()
        for connection in list(connections):
            connection.abort()
            await connection.wait_closed()
        await services.aclose()


class _Visitor(asyncssh.SSHServer):
    """Lets the workspace's user in without a password, and forward whatever it likes."""

    def __init__(self, user: str, connections: set[asyncssh.SSHServerConnection], services: "_Services") -> None:
        self._user = user
        self._connections = connections
        self._services = services
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._connections.add(conn)

    def connection_lost(self, _exc: Exception | None) -> None:
        if self._connection is not None:
            self._connections.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        return username != self._user

    def connection_requested(self, dest_host: str, dest_port: int, _orig_host: str, _orig_port: int) -> Tunnel:
        return self._services.tunnel(lambda: asyncio.open_connection(dest_host, dest_port))

    def unix_connection_requested(self, dest_path: str) -> Tunnel:
        return self._services.tunnel(lambda: asyncio.open_unix_connection(dest_path))

    def server_requested(self, *_args: object) -> bool:
        return True

    def unix_server_requested(self, *_args: object) -> bool:
        return True


class _Services:
    """Runs what clients ask for in the workspace's home folder."""

    def __init__(self, user: str, home: Path) -> None:
        self._home = home
        self._shell = "/bin/bash" if Path("/bin/bash").exists() else "/bin/sh"
        self._environment = {"HOME": str(home), "USER": user, "LOGNAME": user, "SHELL": self._shell, "PATH": _PATH}
        self._children: set[asyncio.subprocess.Process] = set()
        self._active: set[asyncio.Future[None]] = set()

    async def serve(self, process: "asyncssh.SSHServerProcess[bytes]") -> None:
        """Runs one command, or the login shell, to its end."""
        command = [self._shell, "-c", process.command] if process.command else [self._shell, "-l"]
        with self._counted():
            if process.term_type is None:
                await self._serve_pipes(process, command)
            else:
                await self._serve_terminal(process, command)

    def tunnel(self, dial: Dial) -> Tunnel:
        """Our own, as asyncssh's loses what the far end says before the channel is open: on uvloop, the greeting."""

        async def carry(reader: "asyncssh.SSHReader[bytes]", writer: "asyncssh.SSHWriter[bytes]") -> None:
            with self._counted(), contextlib.suppress(OSError):  # then the channel just closes
                far_reader, far_writer = await dial()
                async with asyncio.TaskGroup() as group:
                    copying = group.create_task(_copy_both_ways(reader, writer, far_reader, far_writer))
                    await writer.channel.wait_closed()
                    copying.cancel()
            writer.close()

        return carry

    async def aclose(self) -> None:
        """Ends what still runs, background jobs included."""
        for child in self._children:
            _kill(child, signal.SIGKILL)
        await asyncio.gather(*self._active)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        """`aclose` waits until the block is left."""
        active = asyncio.get_running_loop().create_future()
        self._active.add(active)
        try:
            yield
        finally:
            self._active.remove(active)
            active.set_result(None)

    async def _serve_pipes(self, process: "asyncssh.SSHServerProcess[bytes]", command: list[str]) -> None:
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            cwd=self._home,
            env=self._environment,
            start_new_session=True,
        )
        assert child.stdin and child.stdout and child.stderr  # noqa: S101, PT018 - all three are pipes
        outputs = ((child.stdout, process.stdout), (child.stderr, process.stderr))
        await self._attend(process, child, _Pipe(child.stdin), outputs)

    async def _serve_terminal(self, process: "asyncssh.SSHServerProcess[bytes]", command: list[str]) -> None:
        master, slave = os.openpty()
        terminal = _Terminal(master, process)
        environment = {**self._environment, "TERM": process.term_type or "dumb"}
        child = await asyncio.create_subprocess_exec(
            *("setsid", "--ctty", *command), stdin=slave, stdout=slave, stderr=slave, cwd=self._home, env=environment
        )
        os.close(slave)
        reader = asyncio.StreamReader()
        source, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(master, "rb", buffering=0)
        )
        try:
            await self._attend(process, child, terminal, ((reader, process.stdout),))
        finally:
            source.close()

    async def _attend(
        self,
        process: "asyncssh.SSHServerProcess[bytes]",
        child: asyncio.subprocess.Process,
        stdin: "_Pipe | _Terminal",
        outputs: tuple[tuple[asyncio.StreamReader, "asyncssh.SSHWriter[bytes]"], ...],
    ) -> None:
        """Carries everything between a channel and a command until the command has ended and its output is sent."""
        self._children.add(child)
        async with asyncio.TaskGroup() as group:
            helpers = (group.create_task(_feed(process, child, stdin)), group.create_task(_hang_up(process, child)))
            async with asyncio.TaskGroup() as copies:
                for reader, writer in outputs:
                    copies.create_task(_copy(reader, writer, end=False))
            code = await child.wait()
            for helper in helpers:
                helper.cancel()
        self._children.remove(child)
        if code >= 0:
            process.exit(code)
        else:
            process.exit_with_signal(signal.Signals(-code).name.removeprefix("SIG"))


class _Pipe:
    """Standard input of a command without a terminal."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def end(self) -> None:
        self._writer.close()

    def resize(self) -> None:
        """Nothing has a size here."""


class _Terminal:
    """The near end of a pseudo-terminal."""

    def __init__(self, master: int, process: "asyncssh.SSHServerProcess[bytes]") -> None:
        self._master = master
        self._process = process
        self.resize()

    async def write(self, data: bytes) -> None:
        os.write(self._master, data)  # what a person types fits a terminal's buffer

    def end(self) -> None:
        os.write(self._master, b"\x04")  # Ctrl-D, which is how a terminal says it

    def resize(self) -> None:
        columns, rows, width, height = self._process.term_size
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, width, height))


async def _hang_up(process: "asyncssh.SSHServerProcess[bytes]", child: asyncio.subprocess.Process) -> None:
    """Tells a command that its client has gone, as a terminal would."""
    await process.wait_closed()
    _kill(child, signal.SIGHUP)


async def _feed(
    process: "asyncssh.SSHServerProcess[bytes]", child: asyncio.subprocess.Process, stdin: _Pipe | _Terminal
) -> None:
    """Gives the command its input, and what else the client says about it."""
    while True:
        try:
            data = await process.stdin.read(_CHUNK)
        except asyncssh.TerminalSizeChanged:
            stdin.resize()
        except asyncssh.SignalReceived as exc:
            _kill(child, getattr(signal, f"SIG{exc.signal}", signal.SIGTERM))
        except asyncssh.BreakReceived:
            continue
        except (OSError, asyncssh.Error):
            _kill(child, signal.SIGHUP)
            return
        else:
            with contextlib.suppress(OSError):  # a command need not read its input
                if not data:
                    stdin.end()
                    return
                await stdin.write(data)


async def _copy_both_ways(
    reader: Reader, writer: Writer, far_reader: asyncio.StreamReader, far_writer: asyncio.StreamWriter
) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(reader, far_writer))
            group.create_task(_copy(far_reader, writer))
    finally:
        far_writer.close()
        writer.close()


async def _copy(reader: Reader, writer: Writer, *, end: bool = True) -> None:
    with contextlib.suppress(OSError, asyncssh.Error):  # a terminal ends with EIO; a client may leave
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        if end:
            writer.write_eof()


def _kill(child: asyncio.subprocess.Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)
