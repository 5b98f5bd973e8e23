"""What people do over SSH works through the door, with OpenSSH's own programs, as it works without it."""

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.sshd import WorkspaceSshd
from tests.gateway.ssh.conftest import LOOPBACK, WORKSPACE, Done, Gateway

MEBIBYTE = 1024 * 1024
CIPHERS = pytest.mark.parametrize("cipher", ["aes128-gcm@openssh.com", "aes128-ctr"], ids=["gcm", "ctr"])


async def test_stdout_of_a_command_is_exactly_its_output_and_stderr_is_silent(gateway: Gateway) -> None:
    done = await gateway.ssh("uname -sm")

    assert (done.code, done.out.count(b"\n"), done.err) == (0, 1, "")


async def test_a_client_that_learns_host_keys_finds_no_bad_signature(gateway: Gateway) -> None:
    done = await gateway.ssh("-v", "-o", "UpdateHostKeys=yes", "true")

    assert "bad signature" not in done.err
    assert "client_input_hostkeys: no new or deprecated keys from server" in done.err


@pytest.mark.parametrize(("command", "code"), [("exit 3", 3), ("exit 255", 255), ("no-such-command", 127), ("true", 0)])
async def test_the_exit_status_is_that_of_the_command(gateway: Gateway, command: str, code: int) -> None:
    assert (await gateway.ssh(command)).code == code


async def test_short_commands_one_after_the_other_each_say_their_own(gateway: Gateway) -> None:
    control = f"{gateway.folder}/control"
    async with gateway.listen("-M", "-S", control):
        done = [await gateway.ssh("-S", control, f"echo {n}; echo no {n} >&2; exit {n}") for n in range(25)]

    assert done == [Done(n, f"{n}\n".encode(), f"no {n}\n") for n in range(25)]


async def test_stdout_and_stderr_arrive_apart(gateway: Gateway) -> None:
    done = await gateway.ssh("echo out; echo err >&2")

    assert (done.out, done.err) == (b"out\n", "err\n")


async def test_output_after_the_end_of_the_input_arrives(gateway: Gateway) -> None:
    done = await gateway.ssh("cat; sleep 0.3; echo late", stdin=b"x\n")

    assert done.out == b"x\nlate\n"


async def test_a_command_that_is_no_utf_8_arrives_byte_for_byte(gateway: Gateway) -> None:
    done = await gateway.ssh(os.fsdecode(b"printf %s '\xff\xfe' | od -An -tx1"))

    assert done.out.split() == [b"ff", b"fe"]


async def test_a_terminal_has_the_size_of_the_clients(gateway: Gateway) -> None:
    done = await gateway.run(
        *("script", "-qec", f"stty rows 33 cols 77; {gateway.command_line('-tt', 'stty size; tty')}", "/dev/null"),
        TERM="xterm",
    )

    assert b"33 77\r\n" in done.out  # `script` may echo the end of its own input behind it
    assert b"/dev/pts/" in done.out


async def test_a_new_terminal_size_reaches_the_workspace(gateway: Gateway) -> None:
    watch = "trap 'stty size; exit 9' WINCH; echo ready; while :; do sleep 0.02; done"
    async with (
        gateway.connect() as client,
        client.create_process(watch, term_type="vt100", term_size=(80, 24)) as shell,
    ):
        await shell.stdout.readline()
        shell.change_terminal_size(101, 43)

        assert await shell.stdout.read() == "43 101\r\n"


async def test_a_signal_reaches_the_command_and_its_end_by_it_reaches_the_client(gateway: Gateway) -> None:
    async with gateway.connect() as client, client.create_process("echo ready; exec sleep 60") as process:
        await process.stdout.readline()
        process.send_signal("TERM")
        await process.wait_closed()

        assert process.exit_signal is not None
        assert process.exit_signal[0] == "TERM"


async def test_a_reader_that_leaves_ends_the_writer_at_once(gateway: Gateway) -> None:
    done = await gateway.run("sh", "-c", f"{gateway.command_line('yes')} | head -1")

    assert done.out == b"y\n"


async def test_the_environment_a_client_sends_is_the_workspaces_to_accept(gateway: Gateway) -> None:
    sent = "SetEnv=LC_TEST=one GIT_PROTOCOL=version=2 OTHER=no"
    done = await gateway.ssh("-o", sent, "echo $LC_TEST $GIT_PROTOCOL $OTHER")

    assert done.out == b"one version=2\n"


async def test_commands_come_in_parallel_over_one_connection(gateway: Gateway) -> None:
    control = f"{gateway.folder}/control"
    async with gateway.listen("-M", "-S", control):
        done = await asyncio.gather(*(gateway.ssh("-S", control, f"echo {n}; exit {n}") for n in range(10)))

    assert [(each.code, each.out) for each in done] == [(n, f"{n}\n".encode()) for n in range(10)]
    assert len(gateway.access.asked) == 1


@pytest.mark.parametrize("mode", [(), ("-O",)], ids=["sftp", "legacy"])
async def test_scp_copies_both_ways(gateway: Gateway, sshd: WorkspaceSshd, mode: tuple[str, ...]) -> None:
    here, data = gateway.folder / "here", os.urandom(100_000)
    here.write_bytes(data)
    there = f"{WORKSPACE}@{LOOPBACK}:there"
    up = await gateway.run("scp", *mode, *gateway.options, str(here), there)
    down = await gateway.run("scp", *mode, *gateway.options, there, f"{here}.back")

    assert (up.code, down.code) == (0, 0), up.err + down.err
    assert _content(sshd.home / "there") == _content(Path(f"{here}.back")) == data


async def test_sftp_may_be_the_first_and_only_thing_a_connection_does(gateway: Gateway) -> None:
    done = await gateway.run("sftp", *gateway.options, f"{WORKSPACE}@{LOOPBACK}", stdin=b"mkdir folder\nls\nbye\n")

    assert done.code == 0
    assert b"folder" in done.out


async def test_rsync_copies_a_tree_and_the_second_time_nothing(gateway: Gateway, sshd: WorkspaceSshd) -> None:
    tree = gateway.folder / "tree" / "deep"
    tree.mkdir(parents=True)
    (tree / "a").write_bytes(b"a" * 70_000)
    shell = " ".join(("ssh", *gateway.options))
    command = ("rsync", "-ai", "-e", shell, f"{gateway.folder}/tree/", f"{WORKSPACE}@{LOOPBACK}:tree/")
    first, second = await gateway.run(*command), await gateway.run(*command)

    assert (first.code, second.code, second.out) == (0, 0, b""), first.err
    assert _content(sshd.home / "tree/deep/a") == b"a" * 70_000


@pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="sshfs needs /dev/fuse, which this machine does not have")
async def test_a_folder_of_the_workspace_is_mounted(gateway: Gateway, sshd: WorkspaceSshd) -> None:
    place, data = gateway.folder / "mounted", os.urandom(300_000)
    place.mkdir()
    async with gateway.mount(place):
        await asyncio.to_thread((place / "there").write_bytes, data)
        assert _content(sshd.home / "there") == data
        (sshd.home / "back").write_bytes(data[::-1])
        assert await asyncio.to_thread((place / "back").read_bytes) == data[::-1]


async def test_git_clones_and_pushes(gateway: Gateway) -> None:
    await gateway.ssh("git init -q --bare repo.git")
    identity = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    ssh = " ".join(("ssh", *gateway.options))
    environment: dict[str, Any] = {"GIT_SSH_COMMAND": ssh, "GIT_CONFIG_GLOBAL": "/dev/null", **identity}
    clone = f"{gateway.folder}/clone"
    done = await gateway.run("git", "clone", "-q", f"ssh://{WORKSPACE}@{LOOPBACK}/~/repo.git", clone, **environment)
    assert done.code == 0, done.err
    script = f"cd {clone} && git commit -q --allow-empty -m x && git push -q origin HEAD && git ls-remote origin"
    done = await gateway.run("sh", "-c", script, **environment)

    assert done.code == 0, done.err
    assert b"refs/heads/" in done.out


@CIPHERS
async def test_many_mebibytes_arrive_intact_in_both_directions(gateway: Gateway, cipher: str) -> None:
    data = os.urandom(40 * MEBIBYTE)
    up, down = await asyncio.gather(
        gateway.ssh("-c", cipher, "sha256sum", stdin=data),
        gateway.ssh("-c", cipher, f"head -c {len(data)} /dev/urandom > random; sha256sum random >&2; cat random"),
    )

    assert up.out.split()[0].decode() == hashlib.sha256(data).hexdigest()
    assert len(down.out) == len(data)
    assert down.err.split()[0] == hashlib.sha256(down.out).hexdigest()


@CIPHERS
async def test_keys_are_changed_many_times_during_transfers_that_cross(gateway: Gateway, cipher: str) -> None:
    data = os.urandom(3 * MEBIBYTE)
    done = await gateway.ssh("-c", cipher, "-v", "-o", "RekeyLimit=64K", "cat", stdin=data)

    assert done.out == data
    assert done.err.count("rekey") > 20


@CIPHERS
async def test_a_slow_reader_gets_every_byte(gateway: Gateway, cipher: str) -> None:
    size = 12 * MEBIBYTE
    slowly = "python3 -c 'import os,time\nn=0\nwhile b:=os.read(0,1<<18):\n n+=len(b); time.sleep(.005)\nprint(n)'"
    done = await gateway.run(
        "sh", "-c", f"{gateway.command_line('-c', cipher, f'head -c {size} /dev/zero')} | {slowly}"
    )

    assert int(done.out) == size


def _content(path: Path) -> bytes:
    return path.read_bytes()
