"""A stand-in workspace has an sshd as GitLab describes it, and nothing of it is left afterwards."""

import os
from pathlib import Path
from typing import Literal

import asyncssh
import pytest

from gateway.demo.sshd import USER, SshdDidNotStart, WorkspaceSshd

Kind = Literal["openssh", "asyncssh"]
KINDS: tuple[Kind, ...] = ("openssh", "asyncssh")


async def _connect(sshd: WorkspaceSshd, user: str = USER) -> asyncssh.SSHClientConnection:
    return await asyncssh.connect(
        "127.0.0.1",
        sshd.port,
        username=user,
        password="",
        config=None,
        known_hosts=None,
        client_keys=None,
        agent_path=None,
        gss_host=None,
    )


@pytest.mark.parametrize("kind", KINDS)
class TestEitherKind:
    async def test_the_workspaces_user_enters_with_an_empty_password(self, kind: Kind) -> None:
        async with WorkspaceSshd(kind) as sshd, await _connect(sshd) as client:
            done = await client.run("echo out; echo err >&2; pwd; exit 3")

            assert sshd.kind == kind
            assert (done.stdout, done.stderr, done.exit_status) == (f"out\n{sshd.home}\n", "err\n", 3)

    async def test_nobody_else_enters(self, kind: Kind) -> None:
        async with WorkspaceSshd(kind) as sshd:
            with pytest.raises(asyncssh.PermissionDenied):
                await _connect(sshd, "root")

    async def test_input_reaches_a_command_and_its_end_does_too(self, kind: Kind) -> None:
        async with WorkspaceSshd(kind) as sshd, await _connect(sshd) as client:
            done = await client.run("cat; echo late", input="in\n")

        assert done.stdout == "in\nlate\n"

    async def test_a_terminal_has_a_size_and_learns_a_new_one(self, kind: Kind) -> None:
        watch = "stty size; trap 'stty size; exit 4' WINCH; echo ready; while :; do sleep 0.02; done"
        async with WorkspaceSshd(kind) as sshd, await _connect(sshd) as client:
            process = await client.create_process(watch, term_type="vt100", term_size=(80, 24))
            assert await process.stdout.readline() == "24 80\r\n"
            await process.stdout.readline()
            process.change_terminal_size(100, 40)

            assert await process.stdout.read() == "40 100\r\n"
            assert (await process.wait()).exit_status == 4

    async def test_a_shell_takes_commands_from_its_input(self, kind: Kind) -> None:
        async with WorkspaceSshd(kind) as sshd, await _connect(sshd) as client:
            done = await client.run(input="echo $((6 * 7))\nexit 5\n")

        assert (done.stdout, done.exit_status) == ("42\n", 5)

    async def test_a_signal_ends_a_command_and_is_told(self, kind: Kind) -> None:
        async with WorkspaceSshd(kind) as sshd, await _connect(sshd) as client:
            process = await client.create_process("echo ready; exec sleep 60")
            await process.stdout.readline()
            process.terminate()
            done = await process.wait()

        assert done.exit_signal is not None
        assert done.exit_signal[0] == "TERM"

    async def test_files_are_copied_by_sftp(self, kind: Kind) -> None:
        async with WorkspaceSshd(kind) as sshd, await _connect(sshd) as client, client.start_sftp_client() as sftp:
            async with sftp.open(str(sshd.home / "file"), "wb") as file:
                await file.write(b"content")

            assert "file" in await sftp.listdir(str(sshd.home))

    async def test_the_workspace_dials_what_is_forwarded(self, kind: Kind) -> None:
        async with WorkspaceSshd(kind) as sshd, await _connect(sshd) as client:
            reader, writer = await client.open_connection("127.0.0.1", sshd.port, encoding="ascii")
            greeting = await reader.readline()
            writer.close()

        assert greeting.startswith("SSH-2.0-")

    async def test_nothing_is_left_of_it(self, kind: Kind) -> None:
        async with WorkspaceSshd(kind) as sshd, await _connect(sshd) as client:
            process = await client.create_process("sleep 12345 & echo $$; exec sleep 12346")
            await process.stdout.readline()
            home = sshd.home
            await sshd.stop()

        assert not home.parent.exists()
        assert not _is_running("sleep\x0012345")
        assert not _is_running("sleep\x0012346")

    async def test_three_run_side_by_side(self, kind: Kind) -> None:
        async with WorkspaceSshd(kind) as one, WorkspaceSshd(kind) as two, WorkspaceSshd(kind) as three:
            assert len({each.port for each in (one, two, three)}) == 3


async def test_openssh_is_preferred_and_leaves_the_machines_users_alone() -> None:
    before = Path("/etc/passwd").read_bytes()  # noqa: ASYNC240 - a test may block
    async with WorkspaceSshd() as sshd, await _connect(sshd) as client:
        done = await client.run("id -un; id -u; grep -c . /etc/passwd")
        during = Path("/etc/passwd").read_bytes()  # noqa: ASYNC240 - as above

    assert repr(sshd) == f"WorkspaceSshd(openssh, port={sshd.port})"
    assert done.stdout == f"{USER}\n5001\n2\n"
    assert before == during


async def test_openssh_keeps_its_accounts_when_the_machine_replaces_its_own() -> None:
    """A file that is renamed onto another takes what covers that one away in every namespace, but not from a folder."""
    async with WorkspaceSshd("openssh") as sshd, await _connect(sshd) as client:
        done = await client.run("cut -d' ' -f2 /proc/mounts; ls -d /etc/ssl")

        places = str(done.stdout).splitlines()
        assert {"/etc", "/etc/ssl"} <= set(places)
        assert not {"/etc/passwd", "/etc/group", "/etc/shadow"} & set(places)


async def test_openssh_that_cannot_be_arranged_is_an_error_only_where_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(SshdDidNotStart, match="needs root"):
        await WorkspaceSshd("openssh").__aenter__()
    async with WorkspaceSshd() as sshd:
        assert sshd.kind == "asyncssh"


def _is_running(command: str) -> bool:
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if command in process.read_text():
                return True
        except OSError:
            continue
    return False
