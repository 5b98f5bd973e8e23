"""ssh-audit looks at the gateway: what it offers before anybody has logged in."""

import asyncio
import io
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from pydantic import SecretStr

from auth.model import Verdict
from config.settings import SshSettings
from gateway.ssh.server import SshDoor
from gateway.telemetry.log import open_log
from gateway.telemetry.metrics import Metrics
from routing.model import Workspace

LOOPBACK = "127.0.0.1"
POLICY = Path(__file__).parent / "audit_policy.txt"
PATIENCE = 45  # seconds; it takes a few
HOST_KEYS: dict[str, dict[str, Any]] = {"ssh-ed25519": {}, "ecdsa-sha2-nistp256": {}, "ssh-rsa": {"key_size": 3072}}


class NobodysPlace:
    """No workspaces, and nobody who could enter one."""

    synced = True

    def get_workspace(self, _name: str) -> Workspace | None:
        return None

    def subscribe(self, _observer: Callable[[], None]) -> None:
        """Nothing changes."""

    async def decide_workspace(self, _token: SecretStr, _workspace_id: str) -> Verdict:
        raise AssertionError("an audit shows no token")


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    """Of a gateway with a host key of each usual type."""
    for kind, size in HOST_KEYS.items():
        asyncssh.generate_private_key(kind, **size).write_private_key(tmp_path / kind)
    files = tuple(tmp_path / kind for kind in HOST_KEYS)
    settings = SshSettings(address=LOOPBACK, host_key_files=files).model_copy(update={"port": 0})
    place = NobodysPlace()
    async with SshDoor(settings, place, place, Metrics(), open_log("info", io.StringIO())) as door:
        yield door.port


async def audit(port: int, *options: str) -> tuple[int | None, str]:
    """The exit status and the report."""
    program = Path(sys.executable).parent / "ssh-audit"
    process = await asyncio.create_subprocess_exec(
        program,
        *("--no-colors", "--port", str(port), *options, LOOPBACK),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(PATIENCE):
        report, _ = await process.communicate()
    return process.returncode, report.decode()


async def test_policy_is_kept(port: int) -> None:
    """Exactly the algorithms and key sizes of our policy are offered, in its order."""
    status, report = await audit(port, "--policy", str(POLICY))

    assert status == 0, report


async def test_nothing_but_nist_curves_is_a_failure(port: int) -> None:
    """ssh-audit distrusts NIST's curves, which FIPS-mode clients cannot do without, and fails nothing else."""
    _, report = await audit(port, "--json", "--skip-rate-test")

    found = json.loads(report)
    failed = {
        each["algorithm"] for kind in ("kex", "key", "enc", "mac") for each in found[kind] if "fail" in each["notes"]
    }
    assert failed == {"ecdh-sha2-nistp256", "ecdh-sha2-nistp384", "ecdh-sha2-nistp521", "ecdsa-sha2-nistp256"}
