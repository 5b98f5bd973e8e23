"""A gateway of its own process, before clients that connect and have nothing to say."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from tests.e2e.conftest import Setup

THOUSANDS = 4000
IDLE_BYTES = 10 << 10  # of memory for each; `http.max_connections` reckons with half of it


def resident(pid: int) -> int:
    """The memory that a process has now, in bytes."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) << 10


async def connections(setup: Setup) -> int:
    """How many clients the gateway says are connected."""
    _, _, text = await setup.get(f"http://127.0.0.1:{setup.ports.admin}/metrics")
    found = re.search(r"^workspaces_gateway_http_connections (\d+)", text, re.MULTILINE)
    assert found is not None
    return int(found[1])


async def test_thousands_of_idle_clients_cost_little_and_hinder_nobody(setup: Setup) -> None:
    """Each has asked once and kept its connection; somebody else is answered as if they were not there."""
    setup.settings["http"]["max_connections_per_ip"] = 0
    ask = b"GET / HTTP/1.1\r\nHost: nobody.example\r\nAccept: text/plain\r\n\r\n"
    async with setup.serve() as process, asyncio.TaskGroup() as group:
        assert process.stdout is not None
        reading = group.create_task(process.stdout.read())  # a log that nobody reads would stop it
        before, clients = resident(process.pid), []
        for _ in range(THOUSANDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", setup.ports.http)
            writer.write(ask)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 404 ")
            clients.append(writer)
        held = await connections(setup)
        grown = resident(process.pid) - before
        status, _, _ = await setup.get(f"http://127.0.0.1:{setup.ports.http}/", Host="nobody.example")
        for writer in clients:
            writer.close()
        async with asyncio.timeout(20):
            while await connections(setup) > 1:
                pass  # it has not noticed yet that all of them left
        reading.cancel()

    assert (held, status) == (THOUSANDS, 404)
    assert grown / THOUSANDS < IDLE_BYTES


@pytest.fixture
async def with_tls(setup: Setup, tmp_path: Path) -> AsyncIterator[tuple[Setup, ssl.SSLContext]]:
    """A door with TLS that waits for one second, and what a client needs to trust it."""
    authority = trustme.CA()
    certificate = authority.issue_cert("*.workspaces.localhost", "workspaces.localhost")
    (tmp_path / "tls.crt").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    (tmp_path / "tls.key").write_bytes(certificate.private_key_pem.bytes())
    setup.settings["auth"]["protocol"] = "https"
    setup.settings["auth"]["redirect_uri"] = f"https://workspaces.localhost:{setup.ports.http}/auth/callback"
    setup.settings["http"] |= {
        "tls_certificate": str(tmp_path / "tls.crt"),
        "tls_key": str(tmp_path / "tls.key"),
        "head_timeout": 1,
        "keep_alive_timeout": 1,
    }
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with setup.serve():
        yield setup, trusting


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/1.1\r\n\r\n"])
async def test_half_a_handshake_is_not_waited_for(with_tls: tuple[Setup, ssl.SSLContext], said: bytes) -> None:
    """Silence, the beginning of a handshake, or something else altogether ends the connection."""
    setup, _ = with_tls
    reader, writer = await asyncio.open_connection("127.0.0.1", setup.ports.http)
    writer.write(said)

    async with asyncio.timeout(20):
        rest = await reader.read()
    writer.close()

    assert b"HTTP" not in rest


async def test_silence_after_the_handshake_is_not_waited_for(with_tls: tuple[Setup, ssl.SSLContext]) -> None:
    """Nor a client that does not answer when it is told so."""
    setup, trusting = with_tls
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", setup.ports.http, ssl=trusting, server_hostname="workspaces.localhost"
    )

    async with asyncio.timeout(20):
        assert await reader.read() == b""
    writer.close()
