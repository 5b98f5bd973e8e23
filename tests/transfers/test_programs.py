"""The programs that people copy with bring 200 MiB there and back, each in its own way."""

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.sshd import WorkspaceSshd
from tests.gateway.ssh.conftest import LOOPBACK, WORKSPACE, Done, Gateway

SIZE = 200 * 1024 * 1024
PATIENCE = 300  # seconds for one copy; it takes a few
SESSIONS = 10
THERE = f"{WORKSPACE}@{LOOPBACK}:"

pytestmark = pytest.mark.timeout(PATIENCE)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that cannot be compressed."""
    path = tmp_path_factory.mktemp("original") / "file"
    path.write_bytes(os.urandom(SIZE))
    return path


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def run(gateway: Gateway, *argv: str, **environment: Any) -> Done:
    done = await gateway.run(*argv, patience=PATIENCE, **environment)
    assert done.code == 0, done.err
    return done


async def shell(gateway: Gateway, script: str, **environment: Any) -> Done:
    return await run(gateway, "sh", "-ec", script, **environment)


@pytest.mark.parametrize("mode", [(), ("-O",)], ids=["sftp", "legacy"])
async def test_scp(gateway: Gateway, sshd: WorkspaceSshd, original: Path, mode: tuple[str, ...]) -> None:
    back = gateway.folder / "back"
    await run(gateway, "scp", "-q", *mode, *gateway.options, str(original), f"{THERE}file")
    await run(gateway, "scp", "-q", *mode, *gateway.options, f"{THERE}file", str(back))

    assert digest(sshd.home / "file") == digest(back) == digest(original)


async def test_sftp(gateway: Gateway, sshd: WorkspaceSshd, original: Path) -> None:
    back = gateway.folder / "back"
    batch = f"put {original} file\nget file {back}\n".encode()  # by -b it would be asked for no password
    await run(gateway, "sftp", "-q", *gateway.options, f"{WORKSPACE}@{LOOPBACK}", stdin=batch)

    assert digest(sshd.home / "file") == digest(back) == digest(original)


async def test_rsync(gateway: Gateway, sshd: WorkspaceSshd, original: Path) -> None:
    back, ssh = gateway.folder / "back", " ".join(("ssh", *gateway.options))
    await run(gateway, "rsync", "-e", ssh, str(original), f"{THERE}file")
    await run(gateway, "rsync", "-e", ssh, f"{THERE}file", str(back))

    assert digest(sshd.home / "file") == digest(back) == digest(original)


async def test_git(gateway: Gateway, original: Path) -> None:
    identity = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    ssh = " ".join(("ssh", *gateway.options))
    environment = {"GIT_SSH_COMMAND": ssh, "GIT_CONFIG_GLOBAL": "/dev/null", **identity}
    url, folder = f"ssh://{WORKSPACE}@{LOOPBACK}/~/repo.git", gateway.folder
    await gateway.ssh("git init -q --bare repo.git")
    first = f"git clone -q {url} {folder}/one; cd {folder}/one; cp {original} file; git add file"
    await shell(gateway, f"{first}; git commit -qm one; git push -q origin HEAD", **environment)
    await shell(gateway, f"git clone -q {url} {folder}/two; cd {folder}/two; git fsck --strict", **environment)

    assert digest(folder / "two" / "file") == digest(original)


@pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="sshfs needs /dev/fuse, which this machine does not have")
async def test_sshfs(gateway: Gateway, sshd: WorkspaceSshd, original: Path) -> None:
    place, back = gateway.folder / "mounted", gateway.folder / "back"
    place.mkdir()
    async with gateway.mount(place):
        await shell(gateway, f"cp {original} {place}/file; cp {place}/file {back}")

    assert digest(sshd.home / "file") == digest(back) == digest(original)


async def test_ten_sessions_of_one_connection(gateway: Gateway, original: Path) -> None:
    control, copies = f"{gateway.folder}/control", [gateway.folder / str(n) for n in range(SESSIONS)]
    echo = gateway.command_line("-S", control, "cat")
    async with gateway.listen("-M", "-S", control, "-c", "aes128-gcm@openssh.com"):
        await asyncio.gather(*(shell(gateway, f"{echo} < {original} > {copy}") for copy in copies))

    assert {digest(copy) for copy in copies} == {digest(original)}
