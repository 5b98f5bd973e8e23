"""A person at a terminal: run one command in a workspace over SSH, with a GitLab token as the password.

OpenSSH's own client where it is installed, since that is what people use; asyncssh elsewhere. The token reaches
neither an argument list nor an environment: the client asks a script for it that reads a file only we can read.
"""

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncssh
from pydantic import SecretStr

_REFUSED = 255
"""What OpenSSH exits with when it was ssh that failed and not the command."""


@dataclass(frozen=True, slots=True)
class Login:
    """Whom to log in as, and where."""

    host: str
    port: int
    workspace: str
    token: SecretStr


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a terminal would show of one command."""

    status: int
    stdout: str
    stderr: str

    @property
    def is_refused(self) -> bool:
        """The command was not run."""
        return self.status == _REFUSED

    def __str__(self) -> str:
        return f"exit {self.status}, stdout {self.stdout.strip()!r}, stderr {self.stderr.strip()!r}"


async def run_over_ssh(login: Login, command: str) -> Outcome:
    """The outcome of `command`; a refused login is an outcome too, with its reason on stderr."""
    program = await asyncio.to_thread(shutil.which, "ssh")
    if program is None:
        return await run_with_asyncssh(login, command)
    return await run_with_openssh(program, login, command)


async def run_with_openssh(program: str, login: Login, command: str) -> Outcome:
    with _askpass(login.token) as folder:
        process = await asyncio.create_subprocess_exec(
            program,
            *_options(login, folder),
            f"{login.workspace}@{login.host}",
            command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.defpath, "SSH_ASKPASS": str(folder / "askpass"), "SSH_ASKPASS_REQUIRE": "force"},
        )
        try:
            stdout, stderr = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    return Outcome(process.returncode or 0, stdout.decode(errors="replace"), stderr.decode(errors="replace"))


async def run_with_asyncssh(login: Login, command: str) -> Outcome:
    client = _Client(login.token)
    try:
        async with asyncssh.connect(
            login.host,
            login.port,
            username=login.workspace,
            client_factory=lambda: client,
            known_hosts=None,  # the first visit, as with OpenSSH's accept-new
            config=None,
            client_keys=None,
            agent_path=None,
        ) as connection:
            done = await connection.run(command)
    except (asyncssh.Error, OSError) as error:
        return Outcome(_REFUSED, "", f"{client.banner}{error}")
    status = done.exit_status if done.exit_status is not None else _REFUSED
    return Outcome(status, str(done.stdout or ""), client.banner + str(done.stderr or ""))


class _Client(asyncssh.SSHClient):
    """Gives the token once, and keeps what the server says before a login."""

    def __init__(self, token: SecretStr) -> None:
        self.banner = ""
        self._token: SecretStr | None = token

    def auth_banner_received(self, msg: str, lang: str) -> None:
        del lang
        self.banner += msg

    def password_auth_requested(self) -> str | None:
        token, self._token = self._token, None
        return token.get_secret_value() if token is not None else None

    def kbdint_auth_requested(self) -> str | None:
        return None  # the gateway takes the same token both ways, and a second try would prove nothing


def _options(login: Login, folder: Path) -> list[str]:
    """Nothing of the person's own SSH set-up is read or written."""
    settings = {
        "UserKnownHostsFile": str(folder / "known_hosts"),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "accept-new",
        "IdentityFile": "none",
        "IdentityAgent": "none",
        "PubkeyAuthentication": "no",
        "PreferredAuthentications": "password,keyboard-interactive",
        "NumberOfPasswordPrompts": "1",
        "ControlPath": "none",
    }
    options = ["-F", "/dev/null", "-T", "-p", str(login.port)]
    for name, value in settings.items():
        options += ["-o", f"{name}={value}"]
    return options


@contextmanager
def _askpass(token: SecretStr) -> Iterator[Path]:
    """A folder that only we may enter, with the token and the script that tells it to ssh."""
    with TemporaryDirectory(prefix="workspaces-gateway-check-") as name:
        folder = Path(name)
        secret, script = folder / "secret", folder / "askpass"
        secret.touch(mode=0o600)
        secret.write_text(token.get_secret_value() + "\n")
        script.write_text('#!/bin/sh\nexec cat "${0%/*}/secret"\n')
        script.chmod(0o700)
        yield folder
