"""Nothing is lost: a gigabyte each way, many times, counted and hashed; with slow readers and with changing keys."""

import asyncio
import re
from collections.abc import Callable

import pytest

from tests.gateway.ssh.conftest import Done, Gateway

GIGABYTE = 1_000_000_000
REPEATS = 20
PATIENCE = 600  # seconds for a gigabyte; it takes a hundredth of it
CIPHER = "aes128-gcm@openssh.com"
COMMANDS = 1000
AT_ONCE = 8  # logins: fewer than any limit

# A stream that does not repeat, so that a piece lost, doubled or moved changes its digest.
STREAM = "openssl enc -aes-128-ctr -nosalt -K 00 -iv 00 -in /dev/zero 2>/dev/null | head -c {size}"
DIGEST = "tee >(wc -c >&3) | openssl dgst -sha256 -r"  # to be run by bash, with 3 open
SLOWLY = "perl -e 'while (sysread STDIN, $part, 262144) { syswrite STDOUT, $part; select undef, undef, undef, .001 }'"
READERS = {"quick": DIGEST, "slow": f"{SLOWLY} | {DIGEST}"}

pytestmark = pytest.mark.timeout(PATIENCE + 30)


def arrived(done: Done) -> tuple[int, str]:
    """How many bytes came and their digest, from what the reader said in whatever order."""
    (size,), (digest,) = re.findall(rb"^\d+$", done.out, re.MULTILINE), re.findall(rb"[0-9a-f]{64}", done.out)
    return int(size), digest.decode()


async def bash(gateway: Gateway, script: str) -> Done:
    return await gateway.run("bash", "-c", f"exec 3>&1; {script}; wait", patience=PATIENCE)


@pytest.fixture(scope="module")
def digests() -> dict[int, str]:
    """By size, as far as known."""
    return {}


async def expected(gateway: Gateway, digests: dict[int, str], size: int) -> tuple[int, str]:
    """What arrives where no SSH is between."""
    if size not in digests:
        counted, digests[size] = arrived(await bash(gateway, f"{STREAM.format(size=size)} | {DIGEST}"))
        assert counted == size
    return size, digests[size]


def down(gateway: Gateway, size: int, reader: str, *options: str) -> str:
    return f"{gateway.command_line(*options, STREAM.format(size=size))} | {READERS[reader]}"


def up(gateway: Gateway, size: int, reader: str, *options: str) -> str:
    remote = f"exec 3>&1; {READERS[reader]}; wait"
    return f"{STREAM.format(size=size)} | {gateway.command_line(*options, remote)}"


@pytest.mark.parametrize("repeat", range(REPEATS))
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("direction", [down, up])
async def test_a_gigabyte_arrives_whole(
    gateway: Gateway, digests: dict[int, str], direction: Callable[..., str], reader: str, repeat: int
) -> None:
    del repeat
    wanted = await expected(gateway, digests, GIGABYTE)
    done = await bash(gateway, direction(gateway, GIGABYTE, reader, "-c", CIPHER))

    assert (arrived(done), done.err) == (wanted, "")


@pytest.mark.parametrize("cipher", [CIPHER, "aes128-ctr"])
async def test_transfers_that_cross_arrive_whole_while_keys_change_every_64_kib(
    gateway: Gateway, digests: dict[int, str], cipher: str
) -> None:
    size = GIGABYTE // 20
    wanted = await expected(gateway, digests, size)
    options = ("-v", "-c", cipher, "-o", "RekeyLimit=64K")
    there = gateway.command_line(*options, "cat")
    done = await bash(gateway, f"{STREAM.format(size=size)} | {there} | {DIGEST}")

    assert arrived(done) == wanted
    assert done.err.count("SSH2_MSG_NEWKEYS received") > size // 65536 // 2


async def test_a_thousand_commands_each_end_with_their_own_words_and_status(gateway: Gateway) -> None:
    numbers, done = iter(range(COMMANDS)), dict[int, Done]()

    async def run_some() -> None:
        for number in numbers:
            done[number] = await gateway.ssh(f"echo {number}; echo no {number} >&2; exit {number % 256}")

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(run_some())

    assert done == {n: Done(n % 256, f"{n}\n".encode(), f"no {n}\n") for n in range(COMMANDS)}
