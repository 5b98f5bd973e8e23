"""Behind Debian's haproxy, with either version of its header, the real address is what is counted and logged."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway.demo.quiet_ports import quiet_ports
from gateway.demo.sshd import WorkspaceSshd
from routing.model import Endpoint
from tests.gateway.ssh.conftest import LOOPBACK, PATIENCE, TOKEN, WORKSPACE, Bench, Gateway

CLIENT = "127.0.0.7"  # where ssh dials from, as its BindAddress; haproxy dials from 127.0.0.1

CONFIG = """\
global
  log stderr format raw local0
defaults
  mode tcp
  timeout connect 5s
  timeout client 1m
  timeout server 1m
frontend clients
  bind 127.0.0.1:{front}
  default_backend gateway
backend gateway
  server gateway 127.0.0.1:{back} {send} {check}
"""


@asynccontextmanager
async def haproxy(gateway: Gateway, send: str, folder: Path, check: str = "") -> AsyncIterator[int]:
    """A haproxy before the door; the port it listens on."""
    (front,) = quiet_ports(1)
    (folder / "haproxy.cfg").write_text(CONFIG.format(front=front, back=gateway.door.port, send=send, check=check))
    async with gateway.start("/usr/sbin/haproxy", "-db", "-f", str(folder / "haproxy.cfg")):
        async with asyncio.timeout(PATIENCE):
            while not await _listens(front):  # noqa: ASYNC110 - haproxy says nothing when it is ready
                await asyncio.sleep(0.02)
        yield front


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    return True


async def ssh(gateway: Gateway, port: int, command: str = "echo in", token: str = TOKEN) -> tuple[bytes, str]:
    options = ("-o", "HostKeyAlias=gateway", "-o", f"BindAddress={CLIENT}", "-o", "NumberOfPasswordPrompts=1")
    key = gateway.folder / "known_hosts"
    key.write_text(f"gateway {key.read_text().partition(' ')[2].splitlines()[0]}\n")
    argv = ("ssh", "-p", str(port), *gateway.options, *options, f"{WORKSPACE}@{LOOPBACK}", command)
    done = await gateway.run(*argv, token=token)
    return done.out, done.err


@pytest.mark.parametrize("send", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"])
async def test_a_login_through_haproxy_is_that_of_the_client_behind_it(
    bench: Bench, sshd: WorkspaceSshd, tmp_path: Path, send: str
) -> None:
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port), proxy_protocol=(ip_network("127.0.0.1/32"),))
    async with haproxy(gateway, send, tmp_path) as port:
        out, err = await ssh(gateway, port)

    assert (out, err) == (b"in\n", "")
    assert gateway.events("ssh.login")[0]["client"] == CLIENT


async def test_who_guesses_through_haproxy_is_banned_and_nobody_else(
    bench: Bench, sshd: WorkspaceSshd, tmp_path: Path
) -> None:
    trusted = (ip_network("127.0.0.1/32"),)
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port), proxy_protocol=trusted, ban_failures=1)
    async with haproxy(gateway, "send-proxy-v2", tmp_path) as port:
        await ssh(gateway, port, token="glpat-wrong")
        out, err = await ssh(gateway, port)
        async with gateway.connect(port=port, local_addr=("127.0.0.8", 0)) as other:
            answer = await other.run("echo in")

    assert (out, "Permission denied" in err) == (b"", False)
    assert answer.stdout == "in\n"
    assert [line["client"] for line in gateway.events("ssh.banned")] == [CLIENT]


@pytest.mark.parametrize("send", ["send-proxy", "send-proxy-v2"])
async def test_haproxys_own_checks_find_the_door_open_and_make_no_noise(
    bench: Bench, sshd: WorkspaceSshd, tmp_path: Path, send: str
) -> None:
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port), proxy_protocol=(ip_network("127.0.0.1/32"),))
    async with haproxy(gateway, send, tmp_path, check="check inter 50ms check-send-proxy") as port:
        async with asyncio.timeout(PATIENCE):
            while gateway.sample("ssh_connection_attempts_total", result="no_login", error_type="NO_LOGIN") < 5:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.02)
        out, _ = await ssh(gateway, port)

    assert out == b"in\n"
    assert {line["level"] for name in ("ssh.connected",) for line in gateway.events(name)} == {"debug"}
    assert [line for line in gateway.events("ssh.closed") if line["level"] != "debug"][1:] == []
    assert gateway.sample("ssh_auth_attempts_total", method="password", result="token_refused") == 0


async def test_haproxy_is_not_believed_where_it_is_not_listed(
    bench: Bench, sshd: WorkspaceSshd, tmp_path: Path
) -> None:
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port), proxy_protocol=(ip_network("192.0.2.0/24"),))
    async with haproxy(gateway, "send-proxy", tmp_path) as port:
        out, err = await ssh(gateway, port)

    assert out == b""
    assert gateway.events("ssh.login") == []
    assert "Connection" in err
