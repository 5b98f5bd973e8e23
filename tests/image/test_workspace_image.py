"""The image of a workspace as the chart's README has it: its sshd lets the gateway in, started as GitLab starts it."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh
import pytest

from config.settings import SshSettings
from gateway.demo.world import free_ports
from gateway.ssh.internals.ends import WorkspaceLeg
from gateway.ssh.upstream import Upstreams
from routing.model import Endpoint, Workspace, WorkspaceState
from tests.image.dockerfile import ROOT, Stage, read_dockerfile
from tests.image.scratch import build, command_in, debian_release

USER = "gitlab-workspaces"
READY_SECONDS = 30


@pytest.fixture(scope="session")
def stage() -> Stage:
    """The README's own lines."""
    blocks = re.findall(
        r"^```dockerfile\n(.*?)^```$", (ROOT / "helm" / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert len(blocks) == 1
    return read_dockerfile(blocks[0])[0]


@pytest.fixture(scope="session")
def root(stage: Stage, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert debian_release(stage.base) in base.joinpath("etc/os-release").read_text()
    return build([stage], base, tmp_path_factory.mktemp("workspace"))


@asynccontextmanager
async def sshd(root: Path, stage: Stage, volume: Path) -> AsyncIterator[int]:
    """An sshd as the start script of a workspace runs it; its port."""
    port = free_ports().ssh
    words = ["sh", "-c", f'exec "$(command -v sshd)" -D -e -p {port}']
    env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    process = await asyncio.create_subprocess_exec(
        *command_in(root, stage, words, env=env, volume=volume),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(READY_SECONDS):
            while b"listening on" not in (line := await process.stderr.readline()):
                assert line, "sshd ended"
        yield port
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_the_gateway_gets_in_without_a_password(root: Path, stage: Stage, volume: Path) -> None:
    """As the SSH door dials a workspace before it lets anybody in."""
    async with sshd(root, stage, volume) as port:
        address = Endpoint("127.0.0.1", port)
        workspace = Workspace("1", "a-uid", "apple", "a-namespace", "1", WorkspaceState.RUNNING, address)
        leg = await Upstreams(SshSettings()).dial(workspace)
        assert isinstance(leg, WorkspaceLeg), leg
        leg.kill()


async def test_commands_run_as_the_user_of_the_workspace(root: Path, stage: Stage, volume: Path) -> None:
    """With git there, and the exit status of what was run."""
    async with (
        sshd(root, stage, volume) as port,
        asyncssh.connect(
            "127.0.0.1", port, username=USER, password="", known_hosts=None, config=None, client_keys=None
        ) as connection,
    ):
        done = await connection.run("id --user && git --version && exit 7")

    assert done.exit_status == 7
    assert str(done.stdout).splitlines()[0] == "5001"
    assert "git version" in str(done.stdout)
