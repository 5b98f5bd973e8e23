"""The programs people use over SSH, through the demo's gateway with a GitLab token as the password."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.conftest import Demo


@dataclass
class Terminal:
    """A person's terminal: their files, their known hosts, their token behind SSH_ASKPASS."""

    folder: Path
    options: list[str]
    port: int
    workspace: str
    environ: dict[str, str]

    @property
    def ssh(self) -> str:
        return " ".join(["ssh", *self.options, "-p", str(self.port)])

    async def run(self, *command: str, stdin: bytes = b"") -> tuple[int, bytes, bytes]:
        """Exit status, output and errors of a local command."""
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=self.folder,
            env=self.environ,
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(40):
            output, errors = await process.communicate(stdin or None)  # uvloop fails to write even nothing to the dead
        return process.returncode or 0, output, errors


@pytest.fixture
async def terminal(demo: Demo, tmp_path: Path) -> AsyncIterator[Terminal]:
    """ada's terminal."""
    visit = demo.world.visit
    (tmp_path / "token").write_text(visit.users[0].token.get_secret_value() + "\n")
    askpass = tmp_path / "askpass"
    askpass.write_text(f"#!/bin/sh\ncat {tmp_path}/token\n")
    askpass.chmod(0o700)
    options = ["-F", "/dev/null", "-oStrictHostKeyChecking=no", f"-oUserKnownHostsFile={tmp_path}/known_hosts"]
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "SSH_ASKPASS": str(askpass),
        "SSH_ASKPASS_REQUIRE": "force",
        "GIT_CONFIG_GLOBAL": "/dev/null",
    }
    yield Terminal(tmp_path, [*options, "-oLogLevel=ERROR"], visit.ssh_port, visit.running, environ)
    assert visit.users[0].token.get_secret_value() not in demo.log.getvalue()


async def test_ssh_gives_output_errors_and_exit_status(terminal: Terminal) -> None:
    """Each on its own, complete."""
    command = "head -c 5000000 /dev/zero; echo oops >&2; exit 42"
    status, output, errors = await terminal.run(*terminal.ssh.split(), f"{terminal.workspace}@127.0.0.1", command)

    assert (status, len(output), errors) == (42, 5_000_000, b"oops\n")


@pytest.mark.parametrize("legacy", [[], ["-O"]])
async def test_scp_copies_there_and_back(terminal: Terminal, legacy: list[str]) -> None:
    """Over SFTP and with the old protocol."""
    (terminal.folder / "there").write_bytes(os.urandom(2_000_000))
    scp = ["scp", *legacy, *terminal.options, "-P", str(terminal.port)]
    place = f"{terminal.workspace}@127.0.0.1:copied"

    assert await terminal.run(*scp, "there", place) == (0, b"", b"")
    assert await terminal.run(*scp, place, "back") == (0, b"", b"")
    assert (terminal.folder / "back").read_bytes() == (terminal.folder / "there").read_bytes()


async def test_sftp_runs_a_batch(terminal: Terminal) -> None:
    """As the first and only channel."""
    (terminal.folder / "there").write_text("by sftp")
    batch = b"put there remote\nget remote back\n"
    sftp = ["sftp", "-q", *terminal.options, "-P", str(terminal.port), f"{terminal.workspace}@127.0.0.1"]
    status, _, errors = await terminal.run(*sftp, stdin=batch)

    assert (status, errors) == (0, b"")
    assert (terminal.folder / "back").read_text() == "by sftp"


async def test_rsync_synchronises_a_tree(terminal: Terminal) -> None:
    """There, and back into another folder."""
    for number in range(50):
        (terminal.folder / "tree" / str(number)).mkdir(parents=True)
        (terminal.folder / "tree" / str(number) / "file").write_bytes(os.urandom(10_000))
    remote = f"{terminal.workspace}@127.0.0.1:"

    assert (await terminal.run("rsync", "-a", "-e", terminal.ssh, "tree", remote))[0] == 0
    assert (await terminal.run("rsync", "-a", "-e", terminal.ssh, f"{remote}tree", "copy"))[0] == 0
    assert await terminal.run("diff", "-r", "tree", "copy/tree") == (0, b"", b"")


async def test_git_clones_over_ssh(terminal: Terminal) -> None:
    """A repository that was made in the workspace."""
    ssh = [*terminal.ssh.split(), f"{terminal.workspace}@127.0.0.1"]
    commit = "git -c user.name=a -c user.email=a@example.com -C project commit -q --allow-empty -m first"
    made, _, _ = await terminal.run(*ssh, f"git init -q -b main project && {commit}")
    url = f"ssh://{terminal.workspace}@127.0.0.1:{terminal.port}/~/project"
    cloned, _, errors = await terminal.run("git", "-c", f"core.sshCommand={terminal.ssh}", "clone", "-q", url, "clone")
    _, subject, _ = await terminal.run("git", "-C", "clone", "log", "-1", "--format=%s")

    assert (made, cloned, errors, subject) == (0, 0, b"", b"first\n")
