"""The image as the Dockerfile's own steps make it here, and what runs in it; `make test-image`.

Each test has the one root; building it takes a minute or two.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import graphql
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.demo.world import Ports, free_ports
from tests.image.dockerfile import ROOT, Stage, read_dockerfile
from tests.image.scratch import build, command_in

FORBIDDEN = ("cc", "gcc", "g++", "make", "ld", "as", "pip", "pip3", "git", "curl", "wget")
READY_SECONDS = 60  # a first start, on a machine that others use


@pytest.fixture(scope="session")
def image() -> Stage:
    return read_dockerfile((ROOT / "Dockerfile").read_text())[-1]


@pytest.fixture(scope="session")
def root(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of the image."""
    return build(read_dockerfile((ROOT / "Dockerfile").read_text()), base, tmp_path_factory.mktemp("image"))


@asynccontextmanager
async def running(
    root: Path, image: Stage, volume: Path, *words: str, **env: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program in the image; it is gone afterwards."""
    process = await asyncio.create_subprocess_exec(
        *command_in(root, image, words, env=env, volume=volume),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def run(root: Path, image: Stage, volume: Path, *words: str, **env: str) -> tuple[int, str]:
    """Its exit status and what it said."""
    async with running(root, image, volume, *words, **env) as process, asyncio.timeout(120):
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode()


def user_ids(pid: int) -> set[int]:
    """Real, effective, saved and of the file system."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {int(number) for line in lines if line.startswith("Uid:") for number in line.split()[1:]}


def configure(volume: Path, ports: Ports) -> None:
    """What the chart would mount, with a GitLab that is not there."""
    key = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    settings = {
        "auth": {
            "host": "http://127.0.0.1:9",
            "client_id": "an-application",
            "client_secret": "a-secret",
            "redirect_uri": "https://workspaces.example.dev/auth/callback",
            "signing_key": "a-signing-key-of-some-length",
        },
        "http": {"address": "127.0.0.1", "port": ports.http},
        "ssh": {"address": "127.0.0.1", "host_key": key.decode()},
        "admin": {"address": "127.0.0.1", "port": ports.admin},
        "routing": {"file": "/mnt/routes.yaml"},
    }
    (volume / "gateway.yaml").write_text(yaml.safe_dump(settings))
    (volume / "routes.yaml").write_text("workspaces: []\n")


async def test_it_serves_is_healthy_and_drains(root: Path, image: Stage, volume: Path) -> None:
    """By its own entry point and health check, as its user, with a root that is read-only; SIGTERM ends it with 0."""
    ports = free_ports()
    configure(volume, ports)
    env = {"SSH_PORT": str(ports.ssh), "ADMIN_PORT": str(ports.admin)}
    async with running(root, image, volume, *image.entrypoint, "--config=/mnt/gateway.yaml", **env) as process:
        await _wait_open(process)
        healthy = await run(root, image, volume, *image.health, ADMIN_PORT=str(ports.admin))
        async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{ports.admin}/readyz") as answer:
            ready = answer.status
        uids = user_ids(process.pid)
        process.terminate()
        output, _ = await process.communicate()

    assert healthy == (0, "")
    assert ready == 200
    assert uids == {10001}
    assert process.returncode == 0, output.decode()


async def test_it_takes_what_gitlabs_chart_gives(root: Path, image: Stage, volume: Path) -> None:
    """Variables from its Secret, flags behind them, and a host key that a shell has taken the last newline from."""
    ports = free_ports()
    configure(volume, ports)
    told = yaml.safe_load((volume / "gateway.yaml").read_text())
    env = {f"AUTH_{name.upper()}": text for name, text in told["auth"].items()}
    env |= {"SSH_HOST_KEY": told["ssh"]["host_key"].rstrip(), "SSH_PORT": str(ports.ssh), "LOG_LEVEL": "info"}
    flags = [f"-http-port={ports.http}", "--metrics-path=/metrics", f"--admin-port={ports.admin}"]
    flags += ["--routing-file", "/mnt/routes.yaml"]
    async with running(root, image, volume, *image.entrypoint, *flags, **env) as process:
        await _wait_open(process)
        async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{ports.http}/metrics") as answer:
            probed = answer.status

    assert probed == 200


async def test_the_health_check_fails_where_nothing_answers(root: Path, image: Stage, volume: Path) -> None:
    """Else it would say nothing."""
    status, _ = await run(root, image, volume, *image.health, ADMIN_PORT="9")

    assert status != 0


async def test_it_explains_what_is_missing(root: Path, image: Stage, volume: Path) -> None:
    """A container that was given nothing ends with every fault, and no traceback."""
    status, output = await run(root, image, volume, *image.entrypoint)

    assert status == 1
    assert "auth.host" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("command", ["check", "ports", "ssh-config"])
async def test_other_commands_run_in_it(root: Path, image: Stage, volume: Path, command: str) -> None:
    """As `kubectl exec … -- python3 -m gateway check` does."""
    status, output = await run(root, image, volume, "python3", "-m", "gateway", command, "--help")

    assert status == 0
    assert "usage:" in output


async def test_the_demo_keeps_its_promises_in_it(root: Path, image: Stage, volume: Path) -> None:
    """With the Python and the wheels of the image: a browser, a WebSocket and SSH, from sign-in to exit status.

    The demo's stand-in GitLab needs one pure package more than the image has; it is lent to it.
    """
    shutil.copytree(Path(graphql.__file__).parent, volume / "lent" / "graphql")
    path = f"{image.env['PYTHONPATH']}:/mnt/lent"
    status, output = await run(root, image, volume, "python3", "-m", "gateway", "demo", "--check", PYTHONPATH=path)

    assert status == 0, output


def test_there_is_no_compiler_and_no_installer_in_it(root: Path) -> None:
    """Nothing to build with, nothing to fetch with."""
    folders = [root / "usr/bin", root / "usr/sbin", root / "usr/local/bin", root / "opt/gateway/bin"]

    assert not [str(folder / name) for folder in folders for name in FORBIDDEN if (folder / name).exists()]
    assert not list(root.glob("opt/gateway/lib/python3*/site-packages/pip"))
    assert not list(root.glob("usr/lib/python3*/site-packages/pip"))
    assert not list((root / "var/lib/apt/lists").glob("*_Packages"))


def test_its_user_can_change_nothing(root: Path, image: Stage) -> None:
    """Neither the code nor the packages belong to it."""
    user = int(image.user.partition(":")[0])
    found = [path for path in (root / "opt/gateway").rglob("*") if not path.is_symlink()]

    assert len(found) > 1000
    assert not [path for path in found if path.stat().st_uid == user or path.stat().st_mode & 0o022]


def test_everything_is_compiled(root: Path) -> None:
    """A container could not keep what it compiles, and would compile at each start."""
    modules = (root / "opt/gateway/app").rglob("*.py")
    compiled = {path.name.partition(".")[0] for path in (root / "opt/gateway/app").rglob("*.pyc")}

    assert {path.stem for path in modules} == compiled


async def _wait_open(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    said = b""
    async with asyncio.timeout(READY_SECONDS):
        while line := await process.stdout.readline():
            said += line
            if b'"gateway.open"' in line:
                return
    pytest.fail(f"it ended before it was open: {said.decode()}")
