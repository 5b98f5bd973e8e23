"""OpenSSH's own regression tests, as Debian packages them, with the gateway in the middle of every connection.

Each script runs in network and process namespaces of its own: its ports are fixed, and it leaves programs behind.
"""

import os
import shlex
import signal
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SUITE = Path("/usr/lib/openssh/regress")
PROGRAMS = ("mkdtemp", "netcat")  # of the suite, which looks for them where it writes
ALONE = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
PORT = 4242
SHOWN = 60  # last lines of each log, where a script fails

LONG = {  # seconds; each takes a fraction of them, and they come first, to end with the others
    "rekey": 900,
    "forward-control": 900,
    "multiplex": 300,
    "exit-status": 300,
    "percent": 600,
    "sftp": 300,
    "scp": 300,
}
SCRIPTS = (
    *LONG,
    *("agent", "allow-deny-users", "authinfo", "banner", "broken-pipe", "brokenkeys", "cert-file", "channel-timeout"),
    *("connect", "connect-privsep", "connect-uri", "connection-timeout", "dynamic-forward", "envpass"),
    *("exit-status-signal", "forcecommand", "forwarding", "host-expand", "hostkey-rotate", "key-options", "keyscan"),
    *("knownhosts", "knownhosts-command", "localcommand", "login-timeout", "proto-mismatch", "proto-version"),
    *("proxy-connect", "putty-ciphers", "putty-kex", "putty-transfer", "reexec", "scp-uri", "scp3", "sftp-badcmds"),
    *("sftp-batch", "sftp-cmds", "sftp-glob", "sftp-perm", "sftp-uri", "stderr-after-eof", "stderr-data", "transfer"),
    *("yes-head",),
)
PATIENCE = 180  # seconds for all others

NOT_RUN = {  # patterns of names, and why
    "agent-restrict": "behind a second hop a restricted key signs only for publickey-hostbound, which asyncssh lacks",
    "cert-hostkey": "the gateway has no host certificates",
    "cert-userkey": "sshd's settings judge the client's certificate, which stays at the gateway",
    "cfgmatch": "Match blocks of sshd judge the client's address and key, which stay at the gateway",
    "dhgex": "no finite-field key exchange is offered",
    "hostbased": "off in the suite itself unless the machine is prepared for it",
    "hostkey-agent": "the gateway reads its host keys itself",
    "integrity": "wants each of sshd's own MACs, and the names it expects for a damaged packet",
    "kextype": "wants each of sshd's own key exchanges",
    "keys-command": "off in the suite itself without sudo",
    "keytype": "sshd is told to accept one type of key, which is not that of the gateway's own",
    "limit-keytype": "sshd is told to accept some types of keys, which are not that of the gateway's own",
    "multipubkey": "sshd asks for two keys, and the gateway has one",
    "principals-command": "off in the suite itself without sudo",
    "reconfigure": "the gateway has no SIGHUP that re-reads sshd's file",
    "sftp-chroot": "off in the suite itself without sudo",
    "sshfp-connect": "off in the suite itself unless a DNS zone is prepared for it",
    "try-ciphers": "wants each of sshd's own ciphers",
    **dict.fromkeys(
        ("addrmatch", "cfginclude", "cfgmatchlisten", "cfgparse", "servcfginclude", "sshcfgparse"), "only reads files"
    ),
    **dict.fromkeys(("agent-*", "krl", "keygen-*", "portnum", "sshsig"), "makes no connection"),
    **dict.fromkeys(("cipher-speed", "conch-*", "ssh-com*"), "measures, or tests programs that are not OpenSSH"),
    **dict.fromkeys(("test-exec", "*-wrapper", "ssh2putty", "valgrind-unit"), "a part of the suite, no test"),
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
        "TEST_SSH_PLINK": "plink",
        "TEST_SSH_PUTTYGEN": "puttygen",
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
            return process.wait(LONG.get(script, PATIENCE))
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
    [pytest.param(name, marks=pytest.mark.timeout(LONG.get(name, PATIENCE) + 30)) for name in SCRIPTS],
)
def test_script_passes(script: str, folder: Path) -> None:
    """What OpenSSH's authors hold true of ssh and sshd is true with the gateway between them."""
    status = _run(script, folder)

    assert status == 0, _show(folder)
    assert "SKIPPED" not in (folder / "output").read_text(errors="replace")


def test_every_script_is_run_or_has_a_reason() -> None:
    """The suite of a newer OpenSSH may hold more."""
    names = {path.stem for path in SUITE.glob("*.sh")}

    assert set(SCRIPTS) <= names
    assert [name for name in sorted(names - set(SCRIPTS)) if not any(fnmatch(name, each) for each in NOT_RUN)] == []
