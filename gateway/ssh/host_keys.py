"""The gateway's private host keys, from the settings. Nothing here ever shows what a key consists of."""

from pathlib import Path

import asyncssh

from config.settings import SshSettings


class HostKeyUnreadable(Exception):
    """A host key cannot be used. The text names where it came from, and never its content."""


def load_host_keys(settings: SshSettings) -> list[asyncssh.SSHKey]:
    """Every configured key, the one of `ssh.host_key` first."""
    keys = []
    if settings.host_key.get_secret_value():
        keys.append(_parse(settings.host_key.get_secret_value(), "ssh.host_key"))
    keys.extend(_parse(_read(path), str(path)) for path in settings.host_key_files)
    if not keys:
        raise HostKeyUnreadable("no SSH host key: set ssh.host_key or ssh.host_key_files")
    return keys


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError as exc:
        raise HostKeyUnreadable(f"{path}: {exc.strerror}") from exc


def _parse(text: str, source: str) -> asyncssh.SSHKey:
    lines = text.replace("\r\n", "\n").strip() + "\n"  # Windows, and shells that drop the last newline of $(cat key)
    try:
        return asyncssh.import_private_key(lines)
    except asyncssh.KeyEncryptionError:
        problem = "is encrypted; use a key without a passphrase"
    except asyncssh.KeyImportError as exc:
        encrypted = "Passphrase" in str(exc)
        problem = (
            "is encrypted; use a key without a passphrase"
            if encrypted
            else "is no private key in PEM or OpenSSH format"
        )
    except Exception:  # noqa: BLE001 - whatever a parser thinks of a damaged key, it may quote it
        problem = "is damaged"
    raise HostKeyUnreadable(f"{source} {problem}")  # outside of the handlers: no cause may carry a piece of the key
