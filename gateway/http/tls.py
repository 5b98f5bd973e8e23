"""TLS at the HTTP door: a certificate that can be replaced while it serves, and the host that each client asked for.

TLS 1.2 and later, HTTP/1.1 by ALPN. The server name that a client gave in its handshake is kept with the connection,
because a request for another host on the same connection would have been checked against the wrong certificate.
"""

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

from cryptography.x509 import load_pem_x509_certificate

from gateway.telemetry.log import Log
from gateway.watch import FileWatch
from routing.hostname import InvalidHost, parse_host


class TlsUnusable(Exception):
    """The certificate or key cannot be used. Names the files, never their content."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key, read from their files."""

    certificate: Path
    key: Path
    context: ssl.SSLContext
    expires: float
    """Unix time."""
    watch: FileWatch
    """Knows what the files were when they were read."""


class DoorTls:
    """The certificate of the door, and the names its clients asked for."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Load both files (PEM; the certificate with its chain).

        Raises:
            TlsUnusable: if they cannot be read or do not belong together.
        """
        self._latest = load_certificate(certificate, key)
        self._watch = self._latest.watch
        self._names: WeakKeyDictionary[ssl.SSLObject, str] = WeakKeyDictionary()
        self.context = self._latest.context
        self.context.sni_callback = self._greet

    def __repr__(self) -> str:
        return f"<DoorTls {self._latest.certificate}>"

    @property
    def expires(self) -> float:
        """Unix time at which the certificate ends that new connections get."""
        return self._latest.expires

    def adopt(self, loaded: Certificate) -> None:
        """Greet with this one from now on, and follow its files."""
        self._latest = loaded
        self._watch.move_to(loaded.watch)

    def get_server_name(self, transport: asyncio.BaseTransport) -> str | None:
        """The canonical name in the client's handshake (RFC 6066, section 3); None where it gave none."""
        connection = transport.get_extra_info("ssl_object")
        return self._names.get(connection) if connection is not None else None

    async def follow(self, log: Log) -> None:
        """Take up a new certificate whenever the files change, for ever; a faulty one is said and not taken up.

        Open connections keep the one they were made with.
        """
        async for _ in self._watch.changes():
            try:
                self._watch.mark()
                self._latest = load_certificate(self._latest.certificate, self._latest.key)
            except TlsUnusable as exc:
                log.warning("tls.unusable", error=str(exc))
            else:
                log.info("tls.reloaded", certificate=str(self._latest.certificate))

    def _greet(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _context: ssl.SSLContext) -> None:
        """Called in every handshake: the listener's context stays, the one that serves is the latest."""
        connection.context = self._latest.context
        if not name or not isinstance(connection, ssl.SSLObject):
            return
        try:
            self._names[connection] = parse_host(name.encode())
        except (InvalidHost, UnicodeEncodeError):
            self._names[connection] = ""  # equal to no host


def load_certificate(certificate: Path, key: Path) -> Certificate:
    """Read both files (PEM; the certificate with its chain).

    Raises:
        TlsUnusable: if they cannot be read or do not belong together.
    """
    watch = FileWatch(certificate, key)
    watch.mark()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996 deprecates what is older
    context.set_alpn_protocols(["http/1.1"])  # RFC 7301; browsers would take h2 otherwise
    try:
        context.load_cert_chain(certificate, key, password="")  # instead of asking for one
    except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError
        raise TlsUnusable(f"{certificate} and {key}: {_why(exc)}") from exc
    expires = load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc.timestamp()
    return Certificate(certificate, key, context, expires, watch)


def _why(exc: OSError | ValueError) -> str:
    if isinstance(exc, ssl.SSLError) and exc.reason == "KEY_VALUES_MISMATCH":
        return "do not match"
    if isinstance(exc, OSError) and not isinstance(exc, ssl.SSLError) and exc.strerror:
        return exc.strerror
    return "are no certificate and its key in PEM, without a passphrase"
