"""The programs people use wake a stopped workspace of the demo as ssh does, and do what they came for."""

import asyncio
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.e2e.conftest import Demo

CONTENT = bytes(range(256)) * 400
PATIENCE = 45  # s; the demo's workspace starts within one


@dataclass
class Desk:
    """A folder that the user in the workspace may write to as well."""

    folder: Path
    demo: Demo

    @property
    def place(self) -> str:
        return f"{self.demo.world.visit.stopped}@127.0.0.1"

    @property
    def ssh(self) -> tuple[str, ...]:
        known = f"UserKnownHostsFile={self.folder}/known"
        port = f"Port={self.demo.world.visit.ssh_port}"
        return ("-F", "/dev/null", "-o", "StrictHostKeyChecking=no", "-o", known, "-o", port)

    async def run(self, *argv: str) -> str:
        """What the program says on standard error; fails with it where the program does."""
        token = self.demo.world.visit.users[0].token.get_secret_value()
        askpass = self.folder / "askpass"
        askpass.write_text(f"#!/bin/sh\necho '{token}'\n")
        askpass.chmod(0o700)
        program = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(self.folder),
                "SSH_ASKPASS": str(askpass),
                "SSH_ASKPASS_REQUIRE": "force",
                "DROPBEAR_PASSWORD": token,
                "GIT_SSH_COMMAND": shlex.join(("ssh", *self.ssh)),
            },
            start_new_session=True,  # without a terminal of the test run to ask on
        )
        async with asyncio.timeout(PATIENCE):
            _, told = await program.communicate()
        assert program.returncode == 0, told.decode()
        return told.decode()


@pytest.fixture
def desk(demo: Demo) -> Iterator[Desk]:
    folder = Path(mkdtemp(prefix="workspaces-waking-", dir="/tmp"))
    folder.chmod(0o777)
    (folder / "here").write_bytes(CONTENT)
    yield Desk(folder, demo)
    shutil.rmtree(folder)


async def test_scp_wakes_it(desk: Desk) -> None:
    """And every byte arrives."""
    told = await desk.run("scp", *desk.ssh, str(desk.folder / "here"), f"{desk.place}:{desk.folder}/there")

    assert "starting it" in told
    assert (desk.folder / "there").read_bytes() == CONTENT


async def test_rsync_wakes_it(desk: Desk) -> None:
    """And every byte arrives."""
    shell = shlex.join(("ssh", *desk.ssh))
    told = await desk.run("rsync", "-e", shell, str(desk.folder / "here"), f"{desk.place}:{desk.folder}/there")

    assert "starting it" in told
    assert (desk.folder / "there").read_bytes() == CONTENT


async def test_git_wakes_it(desk: Desk) -> None:
    """A clone of what is in the workspace."""
    bare = desk.folder / "repository"
    port = desk.demo.world.visit.ssh_port
    make = (
        f"git init --quiet --bare {bare} && chmod -R a+rwX {bare} && "
        f"git config --file {desk.folder}/.gitconfig safe.directory '*'"
    )
    await desk.run("sh", "-c", make)
    told = await desk.run(
        *("git", "clone", "--upload-pack", "git -c safe.directory=* upload-pack"),
        *(f"ssh://{desk.place}:{port}{bare}", str(desk.folder / "clone")),
    )

    assert "starting it" in told
    assert (desk.folder / "clone" / ".git").is_dir()


async def test_dropbear_wakes_it(desk: Desk) -> None:
    """A client that guesses the key exchange ahead, and wrongly so (RFC 4253 section 7)."""
    told = await desk.run("dbclient", "-y", "-y", "-p", str(desk.demo.world.visit.ssh_port), desk.place, "true")

    assert "starting it" in told
