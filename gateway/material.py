"""What the files hold that the settings name: read as a whole before any of it is used.

So a gateway, or the parent of several, knows that settings can be taken up before anything changes.
"""

from dataclasses import dataclass

from config.settings import HttpSettings, Settings
from gateway.http.tls import Certificate, TlsUnusable, load_certificate
from gateway.ssh.authorities import AuthorityUnreadable
from gateway.ssh.host_keys import HostKeyUnreadable
from gateway.ssh.key_files import KeyFiles, load_key_files

MATERIAL_FAULTS = (TlsUnusable, HostKeyUnreadable, AuthorityUnreadable)
"""What `read_material` raises."""


@dataclass(frozen=True, slots=True, repr=False)
class Material:
    """Certificates and keys, found usable; None for a door that has none."""

    tls: Certificate | None
    ssh: KeyFiles | None


def read_material(settings: Settings) -> Material:
    """Read everything that these settings name.

    Raises:
        TlsUnusable, HostKeyUnreadable, AuthorityUnreadable: if something cannot be used.
    """
    ssh = load_key_files(settings.ssh) if settings.ssh.enabled else None
    return Material(_read_certificate(settings.http), ssh)


def _read_certificate(http: HttpSettings) -> Certificate | None:
    if not http.enabled or http.tls_certificate is None or http.tls_key is None:
        return None
    return load_certificate(http.tls_certificate, http.tls_key)
