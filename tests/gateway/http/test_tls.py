"""TLS at the HTTP door."""

import asyncio
import io
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from gateway.http.tls import DoorTls, TlsUnusable
from gateway.telemetry.log import open_log

HOST = "3000-apple.ws.example.dev"


@pytest.fixture
def authority() -> trustme.CA:
    """Who the client trusts."""
    return trustme.CA()


def write(folder: Path, authority: trustme.CA, expires: datetime | None = None) -> tuple[Path, Path]:
    """A new certificate for the zone, in the files that the settings name."""
    certificate = authority.issue_cert("*.ws.example.dev", "ws.example.dev", not_after=expires)
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    (folder / "tls.crt").write_bytes(chain)
    (folder / "tls.key").write_bytes(certificate.private_key_pem.bytes())
    return folder / "tls.crt", folder / "tls.key"


@asynccontextmanager
async def serving(tls: DoorTls) -> AsyncIterator[tuple[int, "asyncio.Queue[str | None]"]]:
    """A server with this certificate: its port, and the names that its clients asked for."""
    names: asyncio.Queue[str | None] = asyncio.Queue()

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        names.put_nowait(tls.get_server_name(writer.transport))
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=tls.context)
    async with server:
        yield server.sockets[0].getsockname()[1], names


async def connect(port: int, authority: trustme.CA, name: str = HOST) -> tuple[ssl.SSLObject, asyncio.StreamWriter]:
    """A client of this server that checks its certificate."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    authority.configure_trust(context)
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    return writer.get_extra_info("ssl_object"), writer


async def test_http_1_1_is_agreed_on_and_the_asked_name_is_kept(tmp_path: Path, authority: trustme.CA) -> None:
    """Also with a client that would rather speak HTTP/2."""
    async with serving(DoorTls(*write(tmp_path, authority))) as (port, names):
        connection, writer = await connect(port, authority)
        asked = await names.get()
        writer.close()

    assert (connection.selected_alpn_protocol(), asked) == ("http/1.1", HOST)


async def test_what_is_older_than_tls_1_2_is_refused(tmp_path: Path, authority: trustme.CA) -> None:
    """RFC 8996."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with serving(DoorTls(*write(tmp_path, authority))) as (port, _):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=HOST)


async def test_a_new_certificate_is_taken_up_and_open_connections_stay(tmp_path: Path, authority: trustme.CA) -> None:
    """Within seconds, without a new listener."""
    tls, log = DoorTls(*write(tmp_path, authority)), io.StringIO()
    async with serving(tls) as (port, names), asyncio.TaskGroup() as group:
        following = group.create_task(tls.follow(open_log("info", log)))
        old, old_writer = await connect(port, authority)
        write(tmp_path, authority)
        async with asyncio.timeout(10):
            while '"tls.reloaded"' not in log.getvalue():
                new, new_writer = await connect(port, authority)
                new_writer.close()
                await names.get()
            new, new_writer = await connect(port, authority)
        following.cancel()
        assert new.getpeercert(binary_form=True) != old.getpeercert(binary_form=True)
        assert not old_writer.is_closing()
        old_writer.close()
        new_writer.close()


async def test_a_faulty_new_certificate_is_said_and_not_taken_up(tmp_path: Path, authority: trustme.CA) -> None:
    """The old one goes on."""
    tls, log = DoorTls(*write(tmp_path, authority)), io.StringIO()
    async with serving(tls) as (port, _), asyncio.TaskGroup() as group:
        following = group.create_task(tls.follow(open_log("info", log)))
        (tmp_path / "tls.key").write_text("-----BEGIN PRIVATE KEY-----\nhushhush\n-----END PRIVATE KEY-----\n")
        async with asyncio.timeout(10):
            while '"tls.unusable"' not in log.getvalue():
                _, writer = await connect(port, authority)
                writer.close()
        following.cancel()
        connection, writer = await connect(port, authority)
        writer.close()

    assert connection.version() in ("TLSv1.2", "TLSv1.3")
    assert "hushhush" not in log.getvalue()


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("missing", "No such file or directory"),
        ("garbage", "are no certificate and its key in PEM"),
        ("of another certificate", "do not match"),
    ],
)
def test_an_unusable_key_names_both_files_and_shows_neither(
    tmp_path: Path, authority: trustme.CA, broken: str, why: str
) -> None:
    """At start it is an error, and says what is wrong."""
    certificate, key = write(tmp_path, authority)
    match broken:
        case "missing":
            key.unlink()
        case "garbage":
            key.write_text("-----BEGIN PRIVATE KEY-----\nhushhush\n-----END PRIVATE KEY-----\n")
        case _:
            key.write_bytes(authority.issue_cert("x.example").private_key_pem.bytes())
    with pytest.raises(TlsUnusable) as told:
        DoorTls(certificate, key)

    assert str(certificate) in str(told.value)
    assert str(key) in str(told.value)
    assert why in str(told.value)
    assert "hushhush" not in str(told.value)


def test_it_is_known_when_the_certificate_ends(tmp_path: Path, authority: trustme.CA) -> None:
    """The first of the file, which is the door's own."""
    end = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)

    assert DoorTls(*write(tmp_path, authority, end)).expires == end.timestamp()
