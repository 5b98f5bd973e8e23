"""What operators can draw curves of: every metric of the door moves with what it counts, and none names anybody."""

import re
from typing import Any

import asyncssh
import pytest

from gateway.demo.sshd import WorkspaceSshd
from gateway.ssh.parting import Parting
from routing.model import Endpoint
from tests.gateway.ssh.conftest import LOOPBACK, WORKSPACE, Bench, Gateway
from tests.gateway.ssh.test_relay import MARK


async def test_a_login_is_timed_in_its_parts(gateway: Gateway) -> None:
    for _ in range(2):
        await gateway.ssh("-c", "aes128-gcm@openssh.com", "true")

    for name in ("ssh_login_seconds", "ssh_auth_seconds", "ssh_pod_dial_seconds"):
        assert gateway.sample(f"{name}_count") == 2, name
    assert gateway.sample("ssh_token_memory_total", result="miss") == 1
    assert gateway.sample("ssh_token_memory_total", result="hit") == 1
    assert gateway.sample("ssh_ciphers_total", alg="aes128-gcm@openssh.com") == 2


async def test_bans_are_counted_and_end_with_their_time(bench: Bench, sshd: WorkspaceSshd) -> None:
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port), ban_failures=1, ban_seconds=1)
    with pytest.raises(asyncssh.PermissionDenied):
        async with gateway.connect(password="glpat-wrong"):
            pass

    assert (gateway.sample("ssh_bans_total"), gateway.sample("ssh_banned_sources")) == (1, 1)


@pytest.mark.parametrize(("code", "counted"), [(11, "11"), (4_000_000_000, "other"), (0, "other")])
@pytest.mark.parametrize("side", ["client", "workspace"])
async def test_ends_are_counted_by_code_and_side(bench: Bench, side: str, code: int, counted: str) -> None:
    gateway, client, workspace = await bench.join()
    client.leg.send(MARK)
    assert await workspace.receive() == MARK
    ends, hears = (client, workspace) if side == "client" else (workspace, client)
    ends.leg.disconnect(code, "enough")
    assert await hears.wait_parting() == Parting(code, "enough")
    await gateway.door.drain(10)

    assert gateway.sample("ssh_disconnects_total", code=counted, side=side) == 1


async def test_the_gateways_own_ends_are_its_own(gateway: Gateway) -> None:
    async with gateway.connect():
        await gateway.door.aclose()

    assert gateway.sample("ssh_disconnects_total", code="11", side="gateway") == 1


async def test_no_metric_names_a_user_a_workspace_or_an_address(bench: Bench) -> None:
    gateway, client, workspace = await bench.join()
    for peer in (client, workspace):
        peer.leg.send(b"\x5a" + _string(b"invented-by-a-peer@example.com") + bytes(12))
    await workspace.receive()
    shown = gateway.metrics.render().decode()

    for word in ("ada", WORKSPACE, LOOPBACK, "uid-7", "invented"):
        assert not re.search(rf'"[^"]*{re.escape(word)}[^"]*"', shown), word
    assert gateway.sample("ssh_channels_opened_total", type="other", direction="received", result="passed") == 1


def _string(text: bytes) -> Any:
    return len(text).to_bytes(4, "big") + text
