"""The sshd inside a stand-in workspace, as GitLab's documentation describes it: one user, an empty password.

`WorkspaceSshd` runs OpenSSH's where it can, which is what workspaces really run, and else `python_sshd`. OpenSSH needs
a user without a password; it gets one in mount and process namespaces of its own, so that the machine's user database
stays as it is and nothing outlives the process.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import asyncssh

from gateway.demo.python_sshd import serve_python_sshd
from gateway.demo.quiet_ports import quiet_ports

USER = "gitlab-workspaces"
LOOPBACK = "127.0.0.1"

_UID = 5001  # as in GitLab's workspace images
_SSHD = Path("/usr/sbin/sshd")
_TOOLS = ("unshare", "setpriv", "mount", "sh")
_PORT_TRIES = 5  # somebody else may take the free port before sshd does
_ACCOUNTS = frozenset(("passwd", "group", "shadow"))
_MACHINES = "etc-of-the-machine"
_START_TIMEOUT = 10  # seconds; it takes a tenth of one

# $1 is the folder with the files below. All of /etc is covered and not the files in it: where one is replaced on the
# machine, as by whoever adds an account, Linux takes away what covers it in other namespaces. sshd runs as the
# workspace's user, as it does in a workspace; so it cannot give a terminal away, and gets terminals of its own that
# belong to that user from the start.
_SCRIPT = f"""
set -e
mount --rbind /etc "$1/{_MACHINES}"
mount --bind "$1/etc" /etc
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts /dev/pts
[ -L /dev/ptmx ] || mount --bind /dev/pts/ptmx /dev/ptmx
setpriv --reuid={_UID} --regid={_UID} --clear-groups {_SSHD} -D -e -f "$1/sshd_config" &
wait $!
"""
_NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_CONFIG = """
ListenAddress {address}
Port {port}
HostKey {folder}/host_key
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication yes
PermitEmptyPasswords yes
KbdInteractiveAuthentication no
AllowAgentForwarding yes
AllowTcpForwarding yes
AllowStreamLocalForwarding yes
GatewayPorts clientspecified
X11Forwarding yes
AcceptEnv LANG LC_* GIT_PROTOCOL
MaxStartups 200
MaxSessions 64
PrintMotd no
UseDNS no
Subsystem sftp internal-sftp
"""


class SshdDidNotStart(Exception):
    """OpenSSH's sshd could not be started; the text is what it said."""


class WorkspaceSshd:
    """An sshd on a free loopback port, with a temporary home folder. Use it with `async with`."""

    def __init__(self, only: Literal["openssh", "asyncssh"] | None = None) -> None:
        self._only = only
        self._stack = AsyncExitStack()
        self._process: _Process | None = None
        self.kind: Literal["openssh", "asyncssh"] = only or "openssh"
        self.port = 0
        self.home = Path()

    def __repr__(self) -> str:
        return f"WorkspaceSshd({self.kind}, port={self.port})"

    async def __aenter__(self) -> Self:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="workspace-sshd-")))
        self.home = _make_home(folder)
        try:
            await self._start(folder)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _exc: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def stop(self) -> None:
        """Ends it at once with everything it started, as the end of a pod does."""
        await self._stack.aclose()

    async def _start(self, folder: Path) -> None:
        if self._only != "asyncssh" and _is_openssh_possible():
            try:
                self.port = await self._start_openssh(folder)
            except SshdDidNotStart:
                if self._only == "openssh":
                    raise
            else:
                self.kind = "openssh"
                return
        elif self._only == "openssh":
            raise SshdDidNotStart(f"needs root, {_SSHD}, {', '.join(_TOOLS)}")
        self.kind = "asyncssh"
        self.port = await self._stack.enter_async_context(serve_python_sshd(USER, self.home))

    async def _start_openssh(self, folder: Path) -> int:
        _write_files(folder, self.home)
        for _ in range(_PORT_TRIES):
            port = quiet_ports(1)[0]
            (folder / "sshd_config").write_text(_CONFIG.format(address=LOOPBACK, port=port, folder=folder))
            process = await _Process.start(folder)
            try:
                await process.wait_listening()
            except SshdDidNotStart as exc:
                await process.end()
                if "in use" not in str(exc):
                    raise
                continue
            self._stack.push_async_callback(process.end)
            return port
        raise SshdDidNotStart("found no free port")


class _Process(asyncio.SubprocessProtocol):
    """The namespaces' first process and what sshd writes to its log."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._log = b""
        self._listening: asyncio.Future[None] = loop.create_future()
        self._exited: asyncio.Future[None] = loop.create_future()
        self._transport: asyncio.SubprocessTransport | None = None

    @classmethod
    async def start(cls, folder: Path) -> "_Process":
        transport, process = await asyncio.get_running_loop().subprocess_exec(
            cls,
            *("setpriv", "--pdeathsig", "KILL", *_NAMESPACES, "sh", "-c", _SCRIPT, "sh", str(folder)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        process._transport = transport  # noqa: SLF001 - its own class
        return process

    async def wait_listening(self) -> None:
        try:
            async with asyncio.timeout(_START_TIMEOUT):
                await self._listening
        except TimeoutError:
            raise SshdDidNotStart(self._log.decode(errors="replace")) from None

    async def end(self) -> None:
        """Kills the process group; the process namespace takes everything else with it."""
        if self._transport is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._transport.get_pid(), signal.SIGKILL)
        await self._exited
        self._transport.close()

    def pipe_data_received(self, _fd: int, data: bytes) -> None:
        if not self._listening.done():
            self._log += data
            if b"Server listening" in self._log:
                self._listening.set_result(None)

    def process_exited(self) -> None:
        self._exited.set_result(None)

    def connection_lost(self, _exc: Exception | None) -> None:
        if not self._listening.done():
            self._listening.set_exception(SshdDidNotStart(self._log.decode(errors="replace").strip()))


def _is_openssh_possible() -> bool:
    return os.geteuid() == 0 and _SSHD.exists() and all(shutil.which(tool) for tool in _TOOLS)


def _make_home(folder: Path) -> Path:
    folder.chmod(0o755)  # the workspace's user must reach its home
    home = folder / "home"
    home.mkdir()
    return home


def _make_etc(folder: Path) -> Path:
    """The machine's own but for the accounts."""
    (folder / _MACHINES).mkdir()
    etc = folder / "etc"
    etc.mkdir()
    for entry in Path("/etc").iterdir():
        if entry.name not in _ACCOUNTS:
            target = entry.readlink() if entry.is_symlink() else folder / _MACHINES / entry.name
            (etc / entry.name).symlink_to(target)
    return etc


def _write_files(folder: Path, home: Path) -> None:
    shell = "/bin/bash" if Path("/bin/bash").exists() else "/bin/sh"
    etc = _make_etc(folder)
    (etc / "passwd").write_text(f"root:x:0:0::/root:/bin/sh\n{USER}:x:{_UID}:{_UID}::{home}:{shell}\n")
    (etc / "group").write_text(f"root:x:0:\n{USER}:x:{_UID}:\n")
    (etc / "shadow").write_text(f"root:*:19000::::::\n{USER}::19000::::::\n")  # an empty password
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(folder / "host_key")
    for path in (etc / "shadow", folder / "host_key"):
        os.chown(path, _UID, _UID)
        path.chmod(0o400)
    os.chown(home, _UID, _UID)
