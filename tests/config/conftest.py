"""A complete, valid environment, and what becomes of it when a test changes something."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from config.load import SettingsError, load_settings
from config.settings import Settings


@pytest.fixture(scope="session")
def host_key() -> str:
    """An Ed25519 host key as `ssh-keygen` writes it."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


@pytest.fixture
def environ(tmp_path: Path, host_key: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What a deployment of the original sets, and a route file; the current folder is the test's own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "routes.yaml").touch()
    return {
        "AUTH_HOST": "https://gitlab.example.com",
        "AUTH_CLIENT_ID": "0123abc",
        "AUTH_CLIENT_SECRET": "client-secret-of-the-test",
        "AUTH_REDIRECT_URI": "https://workspaces.example.dev/auth/callback",
        "AUTH_SIGNING_KEY": "signing-key-of-the-test",
        "SSH_HOST_KEY": host_key,
        "ROUTING_FILE": "routes.yaml",
        "PATH": "/usr/bin",
    }


@pytest.fixture
def load(environ: dict[str, str]) -> Callable[..., Settings]:
    """Loads the complete environment with these changes to it (None removes a variable) over a `gateway.yaml`."""

    def run(*argv: str, file: str | bytes | None = None, **changes: str | None) -> Settings:
        if file is not None:
            Path("gateway.yaml").write_bytes(file if isinstance(file, bytes) else file.encode())
            argv = ("--config", "gateway.yaml", *argv)
        variables = {name: text for name, text in {**environ, **changes}.items() if text is not None}
        return load_settings(argv, variables)

    return run


@pytest.fixture
def load_file(load: Callable[..., Settings], environ: dict[str, str]) -> Callable[..., Settings]:
    """Loads a `gateway.yaml` in an environment that sets nothing."""
    nothing = dict.fromkeys(environ)
    return lambda file, *argv: load(*argv, file=file, **nothing)


@pytest.fixture
def faults(load: Callable[..., Settings]) -> Callable[..., list[str]]:
    """The lines of the SettingsError that the same call of `load` must end in."""

    def run(*argv: str, file: str | bytes | None = None, **changes: str | None) -> list[str]:
        with pytest.raises(SettingsError) as caught:
            load(*argv, file=file, **changes)
        return str(caught.value).splitlines()

    return run
