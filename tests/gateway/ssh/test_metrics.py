"""What operators can draw curves of: every metric of the door moves with what it counts, and none names anybody."""

import asyncio
import re
import time
from contextlib import AsyncExitStack
from typing import Any

import asyncssh
import pytest

from auth.model import Unavailable
from gateway.demo.sshd import WorkspaceSshd
from gateway.ssh.options import KEX
from gateway.ssh.parting import Parting
from routing.model import Endpoint
from tests.gateway.ssh.conftest import LOOPBACK, PATIENCE, WORKSPACE, Bench, Gateway
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
    assert gateway.sample("ssh_ended_total", reason="closing") == 1


@pytest.mark.parametrize("alg", KEX)
async def test_key_exchanges_of_logins_are_counted_by_algorithm(gateway: Gateway, alg: str) -> None:
    async with gateway.connect(kex_algs=[alg]):
        pass

    assert gateway.sample("ssh_kex_total", alg=alg, strict="yes") == 1


async def test_a_client_without_the_strict_key_exchange_is_counted_as_one(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asyncssh.SSHClientConnection, "_get_extra_kex_algs", lambda _: [b"ext-info-c"])
    async with gateway.connect(kex_algs=["curve25519-sha256"]):
        pass

    assert gateway.sample("ssh_kex_total", alg="curve25519-sha256", strict="no") == 1


@pytest.mark.parametrize("leg", ["client", "workspace"])
async def test_a_change_of_keys_is_counted_by_the_leg_that_has_it(bench: Bench, leg: str) -> None:
    gateway, client, workspace = await bench.join()
    await client.receive()
    changing, other = (client, workspace) if leg == "client" else (workspace, client)
    changing.leg._send_kexinit()
    changing.leg._kexinit_sent = True
    changing.leg.send(MARK)  # waits until it is over

    assert await other.receive() == MARK
    assert gateway.sample("ssh_rekeys_total", leg=leg) == 1
    assert gateway.sample("ssh_rekeys_total", leg="workspace" if leg == "client" else "client") == 0


@pytest.mark.parametrize(
    ("algorithms", "path"),
    [(("aes128-gcm@openssh.com", "hmac-sha2-256"), "fast"), (("aes128-ctr", "hmac-sha2-256"), "slow")],
)
async def test_every_packet_is_counted_by_its_way(gateway: Gateway, algorithms: tuple[str, str], path: str) -> None:
    sent, (cipher, mac) = bytes(4 << 20), algorithms
    done = await gateway.ssh("-c", cipher, "-m", mac, "cat", stdin=sent)
    await gateway.door.drain(10)
    packets = {
        (direction, way): gateway.sample("ssh_relay_packets_total", direction=direction, path=way)
        for direction in ("received", "sent")
        for way in ("fast", "slow")
    }

    assert done.out == sent
    for direction in ("received", "sent"):
        assert packets[direction, path] >= len(sent) // 32768, packets
        assert gateway.sample("ssh_relay_bytes_total", direction=direction) > len(sent)
        assert packets[direction, "slow"] > 0, "what opens and closes a channel is looked at"
    assert path == "fast" or packets["received", "fast"] == packets["sent", "fast"] == 0


async def test_time_in_which_a_leg_takes_nothing_is_counted_as_its_own(bench: Bench) -> None:
    gateway, client, workspace = await bench.join()
    await client.receive()
    client.leg.set_reading(reading=False)
    payload = b"\x5e" + bytes(4) + _string(bytes(32768))
    began = time.monotonic()
    async with asyncio.timeout(20):
        while not workspace.leg.is_congested:
            workspace.leg.send(payload)
            await asyncio.sleep(0)
        client.leg.set_reading(reading=True)
        while not gateway.sample("ssh_backpressure_seconds_total", leg="client"):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
    seconds = time.monotonic() - began

    assert gateway.sample("ssh_backpressure_seconds_total", leg="client") <= seconds
    assert gateway.sample("ssh_backpressure_seconds_total", leg="workspace") == 0


async def test_what_a_drain_waits_for_is_seen_while_it_waits(gateway: Gateway) -> None:
    assert gateway.sample("ssh_drain_remaining") == 0
    async with asyncio.TaskGroup() as group, gateway.connect(), gateway.connect():
        assert gateway.sample("ssh_drain_remaining") == 0
        draining = group.create_task(gateway.door.drain(PATIENCE))
        await asyncio.sleep(0)

        assert gateway.sample("ssh_drain_remaining") == 2
    await draining

    assert gateway.sample("ssh_drain_remaining") == 0


async def test_clients_for_whom_too_many_log_in_are_counted(bench: Bench, sshd: WorkspaceSshd) -> None:
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port), max_startups_per_ip=2)
    async with AsyncExitStack() as stack:
        for _ in range(5):
            reader, writer = await asyncio.open_connection(LOOPBACK, gateway.door.port)
            stack.callback(writer.close)
            await reader.readline()

    assert gateway.sample("ssh_startups_dropped_total") == 3
    assert _attempts(gateway, "dropped", "TOO_MANY_STARTUPS") == 3


async def test_a_probe_is_counted_as_one_and_a_client_that_says_something_is_not(gateway: Gateway) -> None:
    for said in (b"", b"SSH-2.0-x\r\n"):
        reader, writer = await asyncio.open_connection(LOOPBACK, gateway.door.port)
        writer.write(said)
        await writer.drain()
        writer.write_eof()
        async with asyncio.timeout(PATIENCE):
            await reader.read()
        writer.close()
    await gateway.door.drain(PATIENCE)

    assert gateway.sample("ssh_health_probes_total") == 1
    assert _attempts(gateway, "no_login", "NO_LOGIN") == 2


FAILED = {
    "AUTH_FAILED": {"password": "glpat-wrong"},
    "WS_NOTFOUND": {"username": "pear"},
    "USER_FORMAT": {"username": "../apple"},
    "NO_AUTH": {"password": None},
}


@pytest.mark.parametrize(("error_type", "options"), FAILED.items(), ids=FAILED)
async def test_an_attempt_is_counted_by_what_the_client_did_wrong(
    gateway: Gateway, error_type: str, options: dict[str, Any]
) -> None:
    with pytest.raises(asyncssh.PermissionDenied):
        async with gateway.connect(**options):
            pass
    await gateway.door.drain(PATIENCE)

    assert _attempts(gateway, "refused", error_type) == 1


async def test_an_attempt_is_counted_by_what_was_wrong_inside(gateway: Gateway) -> None:
    gateway.access.state = "Stopped"
    await gateway.ssh("true")
    gateway.access.state = "Running"
    gateway.change_workspace(ssh=None)
    await gateway.ssh("true")
    gateway.access.answer = Unavailable("no route to GitLab")
    await gateway.ssh("true", token="glpat-never-asked-before")
    gateway.access.answer = ValueError("a fault of ours")
    await gateway.ssh("true", token="glpat-another")
    await gateway.door.drain(PATIENCE)

    for error_type in ("WS_NOT_RUNNING", "CONN_FAILED", "GITLAB_UNAVAILABLE", "INTERNAL"):
        assert _attempts(gateway, "refused", error_type) == 1, error_type


def _attempts(gateway: Gateway, result: str, error_type: str) -> float:
    return gateway.sample("ssh_connection_attempts_total", result=result, error_type=error_type)


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
