"""OpenSSH's own regression tests, as Debian packages them, with the gateway in the middle of every connection.

Each script runs in network and process namespaces of its own: its ports are fixed, and it leaves programs behind.
"""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SUITE = Path("/usr/lib/openssh/regress")
PROGRAMS = ("mkdtemp", "netcat")  # of the suite, which looks for them where it writes
ALONE = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
PORT = 4242
SHOWN = 60  # last lines of each log, where a script fails

SCRIPTS = {  # and the seconds each may take, several times what it does; the longest come first, to end with the others
    "rekey": 900,
    "forward-control": 900,
    "multiplex": 300,
    "exit-status": 180,
    "percent": 180,
    "agent": 180,
    "login-timeout": 120,
    "banner": 120,
    "broken-pipe": 120,
    "connect": 120,
    "connect-uri": 120,
    "dynamic-forward": 120,
    "envpass": 120,
    "exit-status-signal": 120,
    "forwarding": 120,
    "hostkey-rotate": 120,
    "keyscan": 120,
    "proto-mismatch": 120,
    "proto-version": 120,
    "proxy-connect": 120,
    "scp-uri": 120,
    "scp3": 120,
    "sftp-uri": 120,
    "stderr-after-eof": 120,
    "stderr-data": 120,
    "transfer": 120,
    "yes-head": 120,
}

SSHD = """#!/bin/sh
for argument; do
  case $argument in -t | -T | -V | -G) exec /usr/sbin/sshd "$@" ;; esac
done
PYTHONPATH={root} exec {python} -m tests.openssh.in_sshds_place "$@"
"""
TELNET = """#!/bin/sh
exec {folder}/netcat "$@"
"""
# The first process of its namespace, which must take note of the end of every orphan: bash does.
RUN = """
mount -t tmpfs tmpfs /run && mkdir /run/sshd && ip link set lo up || exit 77
sh test-exec.sh "$OBJ" "$1"
exit $?
"""


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a script writes, with the programs it is to use. Its path has no words that scripts look for in files."""
    folder = tmp_path_factory.mktemp("obj")
    for name in PROGRAMS:
        (folder / name).symlink_to(SUITE / name)
    (folder / "bin").mkdir()
    (folder / "bin" / "ssh").symlink_to(Path(__file__).parent / "ssh")
    python, root = shlex.quote(sys.executable), shlex.quote(str(ROOT))
    _write_program(folder / "bin" / "sshd", SSHD.format(python=python, root=root))
    _write_program(folder / "bin" / "telnet", TELNET.format(folder=folder))
    return folder


def _write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _environment(folder: Path) -> dict[str, str]:
    return {
        "PATH": f"{folder}/bin:{os.environ['PATH']}:/usr/sbin:/sbin",
        "HOME": str(Path.home()),
        "USER": "root",
        "OBJ": str(folder),
        "BUILDDIR": str(SUITE),
        "TEST_SHELL": "sh",
        "TEST_SSH_SSH": f"{folder}/bin/ssh",
        "TEST_SSH_SSHD": f"{folder}/bin/sshd",
        "TEST_SSH_SFTPSERVER": "/usr/lib/openssh/sftp-server",
        "TEST_SSH_PORT": str(PORT),
        "TEST_SSH_UNSAFE_PERMISSIONS": "1",
    }


def _run(script: str, folder: Path) -> int:
    """The exit status; that of a process killed where it took too long."""
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - the suite's own scripts
            [*ALONE, "bash", "-c", RUN, "bash", str(SUITE / f"{script}.sh")],
            cwd=SUITE,
            env=_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(SCRIPTS[script])
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return process.wait()


def _show(folder: Path) -> str:
    """The end of whatever the script, ssh, sshd and the gateway wrote."""
    logs = [path for path in (folder / "output", *sorted(folder.glob("failed-*.log"))) if path.exists()]
    return "\n".join(
        f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-SHOWN:]) for path in logs
    )


@pytest.mark.parametrize(
    "script",
    [pytest.param(name, marks=pytest.mark.timeout(seconds + 30)) for name, seconds in SCRIPTS.items()],
)
def test_script_passes(script: str, folder: Path) -> None:
    """What OpenSSH's authors hold true of ssh and sshd is true with the gateway between them."""
    assert _run(script, folder) == 0, _show(folder)
