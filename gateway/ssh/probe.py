"""Knocks at an SSH door from outside and says whose key it shows, without logging in."""

import asyncio
from dataclasses import dataclass

import asyncssh

from config.settings import SshSettings
from gateway.ssh.host_keys import load_host_keys
from gateway.ssh.options import HOST_KEYS, KEX


@dataclass(frozen=True, slots=True)
class HostKeys:
    """The public side of some host keys."""

    fingerprints: tuple[tuple[str, str], ...]
    """Algorithm and SHA-256 fingerprint, as `ssh-keygen -l` prints it."""

    def __str__(self) -> str:
        return ", ".join(f"{algorithm} {fingerprint}" for algorithm, fingerprint in self.fingerprints)


def own_keys(settings: SshSettings) -> HostKeys:
    """Those that the gateway would show.

    Raises:
        HostKeyUnreadable: if one of them cannot be used.
    """
    keys = load_host_keys(settings)
    return _describe([key for key in keys if isinstance(key, asyncssh.SSHKey)])  # a certified one is there twice


async def find_shown_keys(address: str, port: int, seconds: float) -> HostKeys:
    """The key that an SSH server shows in the key exchange.

    Raises:
        OSError, TimeoutError: if nothing answers; asyncssh's errors become ConnectionError.
    """
    try:
        async with asyncio.timeout(seconds):
            key = await asyncssh.get_server_host_key(
                address, port, config=None, kex_algs=KEX, server_host_key_algs=HOST_KEYS
            )
    except asyncssh.Error as exc:
        raise ConnectionError(exc.reason) from exc
    if key is None:
        raise ConnectionError("no host key was shown")
    return _describe([key])


def _describe(keys: list[asyncssh.SSHKey]) -> HostKeys:
    return HostKeys(tuple((key.get_algorithm(), key.get_fingerprint()) for key in keys))
