"""A workspace that cannot be entered becomes a text its owner reads, whatever its sshd does or does not do."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import asyncssh
import pytest
from asyncssh.packet import String, UInt32

from gateway.demo.quiet_ports import quiet_ports
from gateway.demo.sshd import WorkspaceSshd
from gateway.ssh import limits
from routing.model import Endpoint
from tests.gateway.ssh.conftest import LOOPBACK, WORKSPACE, Bench, Gateway
from tests.gateway.ssh.test_hostile import OFFER, framed

NO_SSHD = "no sshd listens in workspace apple; its image must have one to be reached by SSH"
NO_ANSWER = "workspace apple does not answer"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _hangs_up(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    return


async def _speaks_http(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-1.5-old\r\nHTTP/1.1 400 Bad Request\r\n\r\n")
    await writer.drain()


async def _greets_for_ever(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"welcome to the machine\r\n" * 1000)
        await writer.drain()


async def _declares_four_gibibytes(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-giant\r\n\xff\xff\xff\xff" + bytes(1000))
    await writer.drain()


async def _offers_keys_for_ever(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-offering\r\n")
    while True:
        writer.write(framed(OFFER) * 100)
        await writer.drain()


async def _curses(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    text = b"\x1b]0;owned\x07" * 1000
    payload = b"\1" + UInt32(2) + String(text) + String("")
    writer.write(b"SSH-2.0-cursing\r\n" + framed(payload))
    await writer.drain()


@asynccontextmanager
async def _serving(serve: Serve) -> AsyncIterator[Endpoint]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await serve(reader, writer)
        writer.close()

    async with await asyncio.start_server(handle, LOOPBACK, 0) as server:
        yield Endpoint(LOOPBACK, server.sockets[0].getsockname()[1])


async def test_a_service_without_an_ssh_port_is_a_workspace_without_an_sshd(bench: Bench) -> None:
    gateway = await bench.open_door(None)
    done = await gateway.ssh("true")

    assert (done.code, done.err.splitlines()[0]) == (255, NO_SSHD)
    assert f":11: {NO_SSHD}" in done.err
    assert gateway.sample("ssh_pod_dial_failures_total", reason="no_sshd") == 1


async def test_a_refused_connection_means_that_no_sshd_listens(bench: Bench) -> None:
    gateway = await bench.open_door(Endpoint(LOOPBACK, 1))
    done = await gateway.ssh("true")

    assert (done.code, done.err.splitlines()[0]) == (255, NO_SSHD)


async def test_an_sshd_that_starts_a_moment_later_is_waited_for(
    bench: Bench, sshd: WorkspaceSshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Endpoint(LOOPBACK, *quiet_ports(1))
    monkeypatch.setattr(limits, "SSHD_START", 0.5)
    gateway = await bench.open_door(late)
    async with asyncio.TaskGroup() as group:
        logging_in = group.create_task(gateway.ssh("echo in"))
        async with asyncio.timeout(10):
            while not gateway.access.asked:  # noqa: ASYNC110 - the fake has no event for it
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)  # the first try has been refused by then, or finds what it is to find
        server = await asyncio.start_server(_passing_to(sshd.port), LOOPBACK, late.port)
    server.close()

    assert logging_in.result().out == b"in\n"


def _passing_to(port: int) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(LOOPBACK, port)
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(reader, inner_writer))
            group.create_task(_copy(inner_reader, writer))

    return serve


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.mark.parametrize(
    "serve",
    [_silent, _hangs_up, _speaks_http, _greets_for_ever, _declares_four_gibibytes, _offers_keys_for_ever, _curses],
)
async def test_what_is_no_sshd_does_not_answer(bench: Bench, serve: Serve) -> None:
    async with _serving(serve) as address:
        gateway = await bench.open_door(address, handshake_timeout=0.5)
        done = await gateway.ssh("true")

    assert (done.code, done.err.splitlines()[0]) == (255, NO_ANSWER)
    assert "owned" not in done.err
    assert gateway.sample("ssh_pod_dial_failures_total", reason="handshake") == 1


async def test_an_address_that_swallows_everything_does_not_answer(bench: Bench) -> None:
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind((LOOPBACK, 0))
        full.listen(0)  # the system drops what comes after those that wait
        for waiting in (first, second):
            waiting.settimeout(0)
            waiting.connect_ex(full.getsockname())
        gateway = await bench.open_door(Endpoint(LOOPBACK, full.getsockname()[1]), connect_timeout=0.3)
        done = await gateway.ssh("true")

    assert (done.code, done.err.splitlines()[0]) == (255, NO_ANSWER)
    assert gateway.sample("ssh_pod_dial_failures_total", reason="unreachable") == 1


async def test_an_image_without_the_expected_user_is_named(bench: Bench, sshd: WorkspaceSshd) -> None:
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port), backend_username="somebody-else")
    done = await gateway.ssh("true")

    text = "the sshd of workspace apple has no user somebody-else that may log in without a password"
    assert (done.code, done.err.splitlines()[0]) == (255, text)
    assert gateway.sample("ssh_pod_dial_failures_total", reason="login_refused") == 1


class _WantsEmptyAnswers(asyncssh.SSHServer):
    """An sshd that insists on being given an empty password, one way or the other."""

    def __init__(self, *, by_password: bool) -> None:
        self._by_password = by_password

    def password_auth_supported(self) -> bool:
        return self._by_password

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == ("gitlab-workspaces", "")

    def kbdint_auth_supported(self) -> bool:
        return True

    def get_kbdint_challenge(self, _username: str, _lang: str, _methods: str) -> asyncssh.auth.KbdIntChallenge:
        return "", "", "", [(prompt, False) for prompt in ("Password:", "Again:")]

    def validate_kbdint_response(self, _username: str, responses: asyncssh.auth.KbdIntResponse) -> bool:
        return not self._by_password and list(responses) == ["", ""]


@pytest.mark.parametrize("method", ["password", "keyboard-interactive"])
async def test_an_sshd_that_asks_gets_empty_answers(bench: Bench, method: str) -> None:
    async with asyncssh.listen(
        LOOPBACK,
        0,
        config=None,
        gss_host=None,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        server_factory=lambda: _WantsEmptyAnswers(by_password=method == "password"),
        process_factory=lambda process: process.exit(3),
    ) as server:
        gateway = await bench.open_door(Endpoint(LOOPBACK, server.get_port()))
        done = await gateway.ssh("anything")

    assert done.code == 3


async def test_the_end_of_the_pod_ends_the_session_with_a_word(gateway: Gateway, sshd: WorkspaceSshd) -> None:
    argv = ("ssh", *gateway.options, f"{WORKSPACE}@{LOOPBACK}", "echo ready; exec sleep 60")
    async with gateway.start(*argv) as ssh:
        assert ssh.stdout is not None
        await ssh.stdout.readline()
        await sshd.stop()
        _, err = await ssh.communicate()

    assert ssh.returncode == 255
    assert b":10: workspace connection lost" in err
