"""The check's terminal: both clients tell the same of the same server, and neither shows the token."""

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncssh
import pytest
from pydantic import SecretStr

from gateway.demo.terminal import Login, Outcome, _options, run_over_ssh, run_with_asyncssh, run_with_openssh

TOKEN = SecretStr("glpat-right")
Run = Callable[[Login, str], Awaitable[Outcome]]


class _Server(asyncssh.SSHServer):
    """Takes one token for `apple`, and turns away who asks for `stopped` before any login."""

    def password_auth_supported(self) -> bool:
        return True

    def begin_auth(self, username: str) -> bool:
        if username == "stopped":
            raise asyncssh.DisconnectError(asyncssh.DISC_BY_APPLICATION, "This workspace is stopped.")
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == ("apple", TOKEN.get_secret_value())


async def _run(process: asyncssh.SSHServerProcess[str]) -> None:
    process.stdout.write(f"{process.command}\n")
    process.stderr.write("to-stderr\n")
    if process.command == "hang":
        await process.stdin.read()
        await asyncio.Event().wait()
    process.exit(7)


@pytest.fixture(name="port")
async def _port() -> AsyncIterator[int]:
    key = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.create_server(_Server, "127.0.0.1", 0, server_host_keys=[key], process_factory=_run)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


async def _openssh(login: Login, command: str) -> Outcome:
    program = shutil.which("ssh")
    if program is None:
        pytest.skip("OpenSSH is not installed")
    return await run_with_openssh(program, login, command)


BOTH = pytest.mark.parametrize("run", [_openssh, run_with_asyncssh, run_over_ssh])


@BOTH
async def test_a_command_runs_with_its_streams_and_exit_code(port: int, run: Run) -> None:
    """All three arrive apart."""
    outcome = await run(Login("127.0.0.1", port, "apple", TOKEN), "echo it")

    assert (outcome.status, outcome.stdout, outcome.is_refused) == (7, "echo it\n", False)
    assert "to-stderr\n" in outcome.stderr


@BOTH
async def test_a_wrong_token_is_refused(port: int, run: Run) -> None:
    """With the words that OpenSSH has for it."""
    outcome = await run(Login("127.0.0.1", port, "apple", SecretStr("wrong")), "echo it")

    assert outcome.is_refused
    assert "permission denied" in outcome.stderr.lower()
    assert outcome.stdout == ""


@BOTH
async def test_the_reason_of_a_disconnect_is_told(port: int, run: Run) -> None:
    """What the server said stands on stderr."""
    outcome = await run(Login("127.0.0.1", port, "stopped", TOKEN), "echo it")

    assert outcome.is_refused
    assert "This workspace is stopped." in outcome.stderr


@BOTH
async def test_a_closed_port_is_an_outcome(unused_tcp_port: int, run: Run) -> None:
    """It is neither an exception nor a login."""
    outcome = await run(Login("127.0.0.1", unused_tcp_port, "apple", TOKEN), "echo it")

    assert outcome.is_refused
    assert re.search("refused|connect call failed", outcome.stderr.lower())


@BOTH
async def test_a_time_limit_ends_a_command_that_does_not(
    port: int, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing of it stays behind."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await run(Login("127.0.0.1", port, "apple", TOKEN), "hang")

    assert os.listdir(tmp_path) == []  # noqa: PTH208 - nothing else of this loop waits


def test_no_argument_and_no_repr_holds_the_token(tmp_path: Path) -> None:
    """Everybody on the machine may read the arguments of a process."""
    login = Login("127.0.0.1", 22, "apple", TOKEN)

    assert TOKEN.get_secret_value() not in repr(login)
    assert not [option for option in _options(login, tmp_path) if TOKEN.get_secret_value() in option]
