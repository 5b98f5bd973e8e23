"""Enemies on either side: what they start stays theirs, costs little, and reaches nobody else."""

import asyncio
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest
from asyncssh.packet import Boolean, String, UInt32

from config.settings import SshSettings
from gateway.demo.sshd import WorkspaceSshd
from gateway.ssh import limits
from gateway.ssh.internals.ends import ClientLeg
from gateway.ssh.options import client_leg_options
from gateway.ssh.parting import Parting
from routing.model import Endpoint, WorkspaceState
from tests.gateway.ssh.conftest import LOOPBACK, PATIENCE, WORKSPACE, Bench, Gateway, Peer
from tests.gateway.ssh.test_relay import MARK, channel_open, channel_request, global_request

_ALGORITHMS = (b"curve25519-sha256,kex-strict-c-v00@openssh.com", b"ssh-ed25519", *(b"aes128-gcm@openssh.com",) * 2)
_LISTS = (*_ALGORITHMS, *(b"hmac-sha2-256",) * 2, *(b"none",) * 2, b"", b"")
OFFER = bytes((20,)) + bytes(16) + b"".join(map(String, _LISTS)) + Boolean(False) + UInt32(0)  # noqa: FBT003 - no guess follows
"""A client's KEXINIT (RFC 4253 section 7.1)."""


@contextmanager
def open_files(count: int) -> Iterator[None]:
    """As many are allowed in the block, which the limit of a shell is too low for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def count_sockets() -> int:
    """Of this process, which is the gateway's."""
    found = 0
    for path in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the descriptor of the listing itself
            found += path.is_socket()
    return found


# Names and workspaces


@pytest.mark.parametrize("change", ["removed", "re-created elsewhere", "stopped"])
async def test_a_login_goes_to_the_workspace_that_its_name_meant_when_it_began(
    bench: Bench, gateway: Gateway, change: str
) -> None:
    gateway.access.gate = asyncio.Event()
    ssh = asyncio.get_running_loop().create_task(gateway.ssh("echo in"))
    async with asyncio.timeout(PATIENCE):
        while not gateway.access.asked:  # noqa: ASYNC110 - the fake has no event for it
            await asyncio.sleep(0.01)
    other = await bench.open_sshd()
    if change == "removed":
        del gateway.directory.workspaces[WORKSPACE]
    elif change == "stopped":
        gateway.change_workspace(state=WorkspaceState.STOPPED)
    else:
        gateway.change_workspace(uid="uid-8", id="8", ssh=Endpoint(LOOPBACK, other.port))
    gateway.access.gate.set()

    assert (await ssh).out == b"in\n"
    assert gateway.access.asked == ["7"]


async def test_a_workspace_that_is_gone_is_an_unknown_name(gateway: Gateway) -> None:
    await gateway.ssh("true")
    del gateway.directory.workspaces[WORKSPACE]
    done = await gateway.ssh("true")

    assert done.code == 255
    assert gateway.access.asked == ["7", "0"]


async def test_a_spray_over_names_from_one_address_is_one_guesser(bench: Bench, sshd: WorkspaceSshd) -> None:
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port), max_auth_tries=1)
    for number in range(20):
        with pytest.raises((asyncssh.Error, OSError)):
            async with gateway.connect(username=f"workspace-{number}", password="glpat-stolen"):
                pass

    assert len(gateway.access.asked) <= 5
    assert len(gateway.events("ssh.banned")) == 1
    assert gateway.sample("ssh_connection_attempts_total", result="banned", error_type="BANNED") == 15


# A hostile client


async def test_what_is_sent_right_after_the_login_arrives_in_order(bench: Bench) -> None:
    _, client, workspace = await bench.join()
    sent = [b"\x5e" + UInt32(number) + String(bytes(number)) for number in range(200)]
    for payload in sent:
        client.leg.send(payload)  # without having waited for anything

    assert [await workspace.receive() for _ in sent] == sent


@pytest.mark.parametrize(
    "packets",
    [
        [channel_open("direct-tcpip", 1)],
        [channel_open("direct-streamlocal@openssh.com", 1)],
        [global_request("tcpip-forward", String("") + UInt32(8080))],
        [global_request("streamlocal-forward@openssh.com", String("/run/x"))],
        [channel_open("session", 1), channel_request("auth-agent-req@openssh.com"), channel_request("x11-req")],
    ],
    ids=["direct-tcpip", "direct-streamlocal", "tcpip-forward", "streamlocal-forward", "agent and x11"],
)
async def test_the_gateway_opens_no_socket_whatever_is_forwarded(bench: Bench, packets: list[bytes]) -> None:
    _, client, workspace = await bench.join()
    await client.receive()
    before = count_sockets()
    for packet in packets:
        client.leg.send(packet)
        assert await workspace.receive() == packet

    assert count_sockets() == before


async def test_window_adjustments_without_end_pass_and_cost_the_gateway_nothing_to_keep(bench: Bench) -> None:
    gateway, client, workspace = await bench.join()
    await client.receive()
    for number in range(20_000):
        client.leg.send(b"\x5d" + UInt32(0) + UInt32(1))
        if number % 1000 == 0:
            await asyncio.sleep(0)
    client.leg.send(MARK)
    async with asyncio.timeout(PATIENCE):
        while await workspace.receive() != MARK:
            pass
    (connection,) = gateway.door._connections

    assert connection._upstream is not None
    assert not connection._upstream.is_congested


async def test_a_storm_of_key_exchanges_ends_the_connection_that_makes_it(bench: Bench) -> None:
    _, client, workspace = await bench.join()
    await client.receive()
    async with asyncio.timeout(PATIENCE):
        for _ in range(limits.IDLE_REKEYS + 2):
            if not client.leg.is_open:
                break
            client.leg._send_kexinit()
            client.leg._kexinit_sent = True
            while _is_changing_keys(client):  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0)

    assert await workspace.wait_parting() == Parting(2, "Too many key exchanges")


def _is_changing_keys(peer: Peer) -> bool:
    return peer.leg.is_open and peer.leg.is_rekeying


async def test_key_exchanges_with_data_between_them_are_as_many_as_the_client_wants(bench: Bench) -> None:
    _, client, workspace = await bench.join()
    await client.receive()
    data = b"\x5e" + UInt32(0) + String(bytes(limits.IDLE_REKEY_BYTES))
    async with asyncio.timeout(PATIENCE):
        for _ in range(limits.IDLE_REKEYS + 5):
            client.leg._send_kexinit()
            client.leg._kexinit_sent = True
            client.leg.send(data)
            assert await workspace.receive() == data

    assert client.leg.is_open


async def test_strict_key_exchange_is_offered_and_a_stray_packet_in_it_ends_the_connection(gateway: Gateway) -> None:
    reader, writer = await asyncio.open_connection(LOOPBACK, gateway.door.port)
    await reader.readline()
    writer.write(b"SSH-2.0-terrapin\r\n")
    size = int.from_bytes(await reader.readexactly(4), "big")
    kexinit = await reader.readexactly(size)
    writer.write(framed(bytes((2,)) + String("stray")) + framed(OFFER))  # IGNORE before KEXINIT
    async with asyncio.timeout(PATIENCE):
        rest = await reader.read()
    writer.close()

    assert b"kex-strict-s-v00@openssh.com" in kexinit
    assert b"Strict key exchange violation" in rest


def framed(payload: bytes) -> bytes:
    """As before the first key exchange (RFC 4253 section 6)."""
    padding = 8 - (len(payload) + 5) % 8
    padding += 8 if padding < 4 else 0
    return UInt32(len(payload) + padding + 1) + bytes((padding,)) + payload + bytes(padding)


async def test_a_hundred_silent_connections_keep_nobody_out_for_longer_than_the_grace(
    bench: Bench, sshd: WorkspaceSshd
) -> None:
    gateway = await bench.open_door(
        Endpoint(LOOPBACK, sshd.port),
        login_grace=2,
        startups_begin=100,
        startups_full=100,
        max_startups_per_ip=0,
        max_connections_per_ip=0,
    )
    async with gateway.connect() as before, AsyncExitStack() as stack:
        for text in (b"", b"SSH-2.0-silent\r\n") * 50:
            _, writer = await asyncio.open_connection(LOOPBACK, gateway.door.port)
            stack.callback(writer.close)
            writer.write(text)
        async with asyncio.timeout(PATIENCE):
            while gateway.sample("ssh_connections", state="login") != 100:  # noqa: ASYNC110 - a metric has no event
                await asyncio.sleep(0.01)
        shut = await gateway.ssh("echo in")
        still = await before.run("echo still here")
        async with asyncio.timeout(PATIENCE):
            while gateway.sample("ssh_connections", state="login"):  # noqa: ASYNC110 - a metric has no event
                await asyncio.sleep(0.05)
        again = await gateway.ssh("echo in")

    assert (shut.code, shut.out) == (255, b"")
    assert still.stdout == "still here\n"
    assert again.out == b"in\n"


async def test_five_thousand_silent_connections_cost_no_more_than_those_that_are_let_in(
    bench: Bench, sshd: WorkspaceSshd
) -> None:
    """With the limits of the settings, but for those of one address; a third of them stop after their KEXINIT."""
    gateway = await bench.open_door(
        Endpoint(LOOPBACK, sshd.port), login_grace=5, max_startups_per_ip=0, max_connections_per_ip=0
    )
    version = b"SSH-2.0-silent\r\n"
    async with gateway.connect() as before, AsyncExitStack() as stack:
        stack.enter_context(open_files(8192))
        highest, waiting = 0.0, gateway.metrics.ssh_connections.labels("login")._value  # all others need no reading
        for text in (b"", version, version + framed(OFFER)) * 1667:
            _, writer = await asyncio.open_connection(LOOPBACK, gateway.door.port)
            stack.callback(writer.close)
            writer.write(text)
            highest = max(highest, waiting.get())
        still = await before.run("echo still here")
        async with asyncio.timeout(PATIENCE):
            while gateway.sample("ssh_connections", state="login"):  # noqa: ASYNC110 - a metric has no event
                await asyncio.sleep(0.05)
        again = await gateway.ssh("echo in")

    assert still.stdout == "still here\n"
    assert again.out == b"in\n"
    assert 50 <= highest <= SshSettings().startups_full
    assert gateway.sample("ssh_startups_dropped_total") >= 5001 - 2 * SshSettings().startups_full


class Undecided(asyncssh.SSHClient):
    """Exchanges keys and says a name, and then nothing more."""

    async def password_auth_requested(self) -> str:
        await asyncio.Event().wait()
        return ""


async def test_clients_that_stop_after_the_key_exchange_leave_with_the_grace(bench: Bench, sshd: WorkspaceSshd) -> None:
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port), login_grace=2, max_startups_per_ip=0)
    async with gateway.connect() as before:
        undecided = (
            asyncssh.connect(
                LOOPBACK,
                gateway.door.port,
                client_factory=Undecided,
                username=WORKSPACE,
                preferred_auth=("password",),
                **dict.fromkeys(("config", "known_hosts", "client_keys", "agent_path", "gss_host")),
            )
            for _ in range(30)
        )
        async with asyncio.timeout(PATIENCE):
            ends = await asyncio.gather(*undecided, return_exceptions=True)
        still = await before.run("echo still here")

    assert all(isinstance(end, asyncssh.ConnectionLost) for end in ends), ends
    assert still.stdout == "still here\n"
    assert gateway.sample("ssh_connections", state="login") == 0
    assert gateway.access.asked == ["7"]


async def test_many_prompts_at_once_ask_gitlab_one_after_the_other(gateway: Gateway) -> None:
    """As many connections as may log in at once from one address, each with another token."""
    results = await asyncio.gather(*(_try_token(gateway, f"glpat-{number}") for number in range(10)))

    assert results == [False] * 10
    assert gateway.access.most_open_questions <= 10


async def _try_token(gateway: Gateway, token: str) -> bool:
    try:
        async with gateway.connect(password=token):
            return True
    except (asyncssh.Error, OSError):
        return False


# A hostile workspace


@pytest.mark.parametrize(
    "packets",
    [
        [b"\x61" + UInt32(0), MARK],
        [channel_request("exit-status") + UInt32(1), channel_request("exit-status") + UInt32(2)],
        [b"\x60" + UInt32(0), MARK],
        [b"\x5d" + UInt32(0) + UInt32(0xFFFFFFFF)] * 50,
        [b"\x5e" + UInt32(0) + String(bytes(200_000))] * 10,
        [b"\x5b" + UInt32(9) + UInt32(9) + UInt32(1) + UInt32(1)],
        [b"\x64" + UInt32(77)],
    ],
    ids=[
        "data after close",
        "two exit statuses",
        "data after eof",
        "window overflow",
        "beyond the window",
        "confirms nothing",
        "answers nothing",
    ],
)
async def test_what_a_workspace_says_on_its_channels_is_for_the_client_to_judge(
    bench: Bench, packets: list[bytes]
) -> None:
    gateway, client, workspace = await bench.join()
    await client.receive()
    for packet in packets:
        workspace.leg.send(packet)

    assert [await client.receive() for _ in packets] == packets
    assert gateway.sample("ssh_connections", state="open") == 1


@pytest.mark.parametrize("kind", [20, 21, 30, 31, 50, 51, 52, 53, 60, 61])
@pytest.mark.parametrize("side", ["client", "workspace"])
async def test_a_message_of_another_layer_never_crosses(bench: Bench, kind: int, side: str) -> None:
    gateway, client, workspace = await bench.join()
    other, other_client, other_workspace = await bench.join()
    await client.receive()
    await other_client.receive()
    sender, receiver = (client, workspace) if side == "client" else (workspace, client)
    asyncssh.connection.SSHConnection.send_packet(sender.leg, kind, bytes(64))
    other_workspace.leg.send(MARK)

    assert await other_client.receive() == MARK
    async with asyncio.timeout(PATIENCE):
        while receiver.received.empty() and not receiver.parting.done():
            sender.leg.send(MARK)
            await asyncio.sleep(0.01)
    while not receiver.received.empty():
        assert receiver.received.get_nowait() == MARK
    assert other.sample("ssh_connections", state="open") == 1
    assert len(gateway.events("ssh.failed")) == 0


async def test_the_farewell_of_a_workspace_is_made_safe_for_a_terminal(bench: Bench) -> None:
    _, client, workspace = await bench.join()
    workspace.leg.send(MARK)
    assert await client.receive()
    text = "\x1b]0;owned\x07\r\n" + "x" * 10_000
    workspace.leg._send_disconnect = lambda *_: None  # type: ignore[method-assign]  # as the packet is made by hand
    asyncssh.connection.SSHConnection.send_packet(workspace.leg, 1, UInt32(2) + String(text) + String(""))
    parting = await client.wait_parting()

    assert parting is not None
    assert parting.text.isprintable()
    assert len(parting.text) <= limits.PARTING_TEXT


class _CountingSshd(asyncssh.SSHServer):
    """Lets everybody in, and counts who came and who logged in."""

    came = 0
    logged_in = 0

    def connection_made(self, _conn: asyncssh.SSHServerConnection) -> None:
        type(self).came += 1

    def begin_auth(self, _username: str) -> bool:
        return False

    def auth_completed(self) -> None:
        type(self).logged_in += 1


@asynccontextmanager
async def _counting(host_key: asyncssh.SSHKey) -> AsyncIterator[tuple[type[_CountingSshd], int]]:
    class Sshd(_CountingSshd):
        """Of this test."""

    options = client_leg_options(SshSettings(), [host_key])
    server = await asyncio.get_running_loop().create_server(lambda: ClientLeg(options, Sshd()), LOOPBACK, 0)
    async with server:
        yield Sshd, server.sockets[0].getsockname()[1]


async def test_no_connection_to_an_sshd_ends_before_it_has_logged_in(bench: Bench, host_key: asyncssh.SSHKey) -> None:
    """sshd's PerSourcePenalties would count them against the one address that all users share."""
    async with _counting(host_key) as (sshd, port):
        gateway = await bench.open_door(Endpoint(LOOPBACK, port), ban_failures=0)
        for _ in range(20):
            async with gateway.connect():
                pass
            with pytest.raises(asyncssh.PermissionDenied):
                async with gateway.connect(password="glpat-wrong"):
                    pass
        await gateway.door.drain(PATIENCE)

    assert (sshd.came, sshd.logged_in) == (20, 20)


async def test_two_users_of_two_workspaces_share_nothing(bench: Bench, sshd: WorkspaceSshd) -> None:
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port))
    berry = replace(gateway.workspace, name="berry", id="8", uid="uid-8")
    gateway.directory.workspaces["berry"] = berry
    with pytest.raises(asyncssh.PermissionDenied):
        async with gateway.connect(username="berry"):
            pass

    assert gateway.access.asked == ["8"]


# Liveness


@pytest.mark.parametrize("options", [(), ("-o", "ServerAliveInterval=1")], ids=["gateway's", "client's too"])
async def test_an_idle_session_outlives_many_keepalives(
    bench: Bench, sshd: WorkspaceSshd, options: tuple[str, ...]
) -> None:
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port), keepalive_interval=0.05, keepalive_count=2)
    done = await gateway.ssh(*options, "sleep 1.5; echo awake")

    assert (done.code, done.out) == (0, b"awake\n")


async def test_a_shell_shows_its_prompt_without_a_key_pressed(gateway: Gateway) -> None:
    argv = ("ssh", "-tt", *gateway.options, f"{WORKSPACE}@{LOOPBACK}")
    async with gateway.start(*argv) as ssh:
        assert ssh.stdout is not None
        async with asyncio.timeout(PATIENCE):
            prompt = await ssh.stdout.read(1)

    assert prompt


async def test_a_client_with_nothing_but_the_post_quantum_exchange_gets_in(gateway: Gateway) -> None:
    async with gateway.connect(kex_algs=["mlkem768x25519-sha256"]) as client:
        assert (await client.run("echo in")).stdout == "in\n"
