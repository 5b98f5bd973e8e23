"""Certificates that browsers would not accept, on real TLS servers."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from gateway.check.certificates import look_at_certificates
from gateway.check.model import Finding, Status
from tests.gateway.check.conftest import Looker

PORTAL, ZONE = "workspaces.localhost", "*.workspaces.localhost"


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@asynccontextmanager
async def serving(certificate: trustme.LeafCert | None) -> AsyncIterator[int]:
    """A server with this certificate, or one that knows no TLS; its port."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if certificate is None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with suppress(ConnectionError, ssl.SSLError):
            await reader.read()
        writer.transport.abort()

    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def look(alone: Looker, folder: Path, authority: trustme.CA, certificate: trustme.LeafCert | None) -> Finding:
    """What is found where everybody trusts the authority."""
    authority.cert_pem.write_to_path(folder / "ca.pem")
    async with serving(certificate) as port:
        uri = f"https://{PORTAL}:{port}/auth/callback"
        alone.change(auth={"protocol": "https", "redirect_uri": uri, "ca_file": folder / "ca.pem"})
        return await look_at_certificates(alone.site)


async def test_certificates_for_all_names_are_accepted(alone: Looker, tmp_path: Path, authority: trustme.CA) -> None:
    """With the day on which they end."""
    found = await look(alone, tmp_path, authority, authority.issue_cert(PORTAL, ZONE))

    assert (found.status, found.advice) == (Status.OK, "")
    assert "workspaces.localhost is valid until 3000-01-01" in found.detail
    assert "check-of-the-gateway.workspaces.localhost is valid until" in found.detail


async def test_a_certificate_that_ends_soon_is_said(alone: Looker, tmp_path: Path, authority: trustme.CA) -> None:
    """While it is still good."""
    ends = datetime.now(UTC) + timedelta(days=3, hours=1)

    found = await look(alone, tmp_path, authority, authority.issue_cert(PORTAL, ZONE, not_after=ends))

    assert found.status is Status.OK
    assert "valid for 3 more days" in found.advice


async def test_an_expired_certificate_is_said(alone: Looker, tmp_path: Path, authority: trustme.CA) -> None:
    """And for what it was."""
    ended = datetime.now(UTC) - timedelta(days=1)
    before = ended - timedelta(days=90)

    certificate = authority.issue_cert(PORTAL, ZONE, not_before=before, not_after=ended)
    found = await look(alone, tmp_path, authority, certificate)

    assert (found.status, found.advice) == (Status.FAULT, "renew it")
    assert "has expired" in found.detail


async def test_a_certificate_without_the_wildcard_is_said(alone: Looker, tmp_path: Path, authority: trustme.CA) -> None:
    """The portal alone is not enough."""
    found = await look(alone, tmp_path, authority, authority.issue_cert(PORTAL))

    assert found.status is Status.FAULT
    assert "check-of-the-gateway.workspaces.localhost shows is for other names" in found.detail
    assert "(it is for workspaces.localhost)" in found.detail
    assert "ingress.tls" in found.advice


async def test_an_authority_that_nobody_knows_is_said(alone: Looker, tmp_path: Path, authority: trustme.CA) -> None:
    """As the certificate that an ingress brings itself."""
    found = await look(alone, tmp_path, authority, trustme.CA().issue_cert(PORTAL, ZONE))

    assert found.status is Status.FAULT
    assert "authority that is not trusted here" in found.detail
    assert "auth.ca_file" in found.advice


async def test_a_port_without_tls_is_said(alone: Looker, tmp_path: Path, authority: trustme.CA) -> None:
    """Where https was promised."""
    found = await look(alone, tmp_path, authority, None)

    assert found.status is Status.FAULT
    assert "speaks no TLS" in found.detail


async def test_a_port_where_nobody_is_is_said(alone: Looker) -> None:
    """The discard port, on this machine."""
    alone.change(auth={"protocol": "https", "redirect_uri": f"https://{PORTAL}:9/auth/callback"})

    found = await look_at_certificates(alone.site)

    assert found.status is Status.FAULT
    assert "does not answer on port 9: ConnectionRefusedError" in found.detail


async def test_a_server_that_says_nothing_is_said(alone: Looker) -> None:
    """After a while."""
    alone.lose_patience()
    with socket.socket() as listening:  # takes connections by itself, and nobody reads them
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        alone.change(auth={"protocol": "https", "redirect_uri": f"https://{PORTAL}:{port}/auth/callback"})
        found = await look_at_certificates(alone.site)

    assert found.status is Status.FAULT
    assert f"does not answer on port {port}: TimeoutError" in found.detail


async def test_development_without_tls_is_pointed_out(alone: Looker) -> None:
    """It is no fault of what was asked for."""
    assert (await look_at_certificates(alone.site)).status is Status.UNKNOWN
