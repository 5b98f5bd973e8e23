"""What the files hold that the settings of the SSH door name: host keys, and the authorities of user certificates."""

from collections.abc import Sequence
from dataclasses import dataclass

from config.settings import SshSettings
from gateway.ssh.authorities import Authorities, load_authorities
from gateway.ssh.host_keys import HostKey, load_host_keys
from gateway.watch import FileWatch


@dataclass(frozen=True, slots=True, repr=False)
class KeyFiles:
    """All of them, read and found usable."""

    host_keys: Sequence[HostKey]
    authorities: Authorities
    watch: FileWatch
    """Knows what the files were when they were read."""


def load_key_files(settings: SshSettings) -> KeyFiles:
    """Read them.

    Raises:
        HostKeyUnreadable, AuthorityUnreadable: if one cannot be used.
    """
    watch = FileWatch(*settings.host_key_files, *settings.host_certificate_files, *settings.user_ca_files)
    watch.mark()
    return KeyFiles(load_host_keys(settings), load_authorities(settings), watch)
