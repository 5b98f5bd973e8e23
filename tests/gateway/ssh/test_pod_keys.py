"""A workspace whose sshd shows another host key than before is told of, or kept shut; a pinned key is the only one."""

import asyncssh
import pytest

from gateway.demo.sshd import WorkspaceSshd
from gateway.ssh.pod_keys import PodKey, PodKeys
from routing.model import Endpoint, Workspace, WorkspaceState
from tests.gateway.ssh.conftest import LOOPBACK, Bench, Gateway

ONE, OTHER = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ecdsa-sha2-nistp256")
PUBLIC = ONE.export_public_key().decode()
TEXT = "the sshd of workspace apple has another host key than"


def workspace(uid: str = "uid-7", pin: str = "") -> Workspace:
    return Workspace("7", uid, "apple", "ns", "1", WorkspaceState.RUNNING, None, pin)


def test_the_first_key_is_remembered_by_uid_and_a_change_told_once() -> None:
    keys = PodKeys("warn")
    seen = [
        keys.judge(workspace(uid), key).verdict for uid, key in (("a", ONE), ("a", ONE), ("b", OTHER), ("a", OTHER))
    ]

    assert seen == [PodKey.EXPECTED, PodKey.EXPECTED, PodKey.EXPECTED, PodKey.CHANGED]
    assert keys.judge(workspace("a"), OTHER).verdict is PodKey.EXPECTED
    assert repr(keys) == "PodKeys(known=2)"


def test_where_changes_are_refused_the_old_key_still_opens() -> None:
    keys = PodKeys("refuse")
    seen = [keys.judge(workspace(), key) for key in (ONE, OTHER, OTHER, ONE)]

    assert [each.is_refused for each in seen] == [False, True, True, False]
    assert seen[1].expected == ONE.get_fingerprint()
    assert seen[1].seen == OTHER.get_fingerprint()


@pytest.mark.parametrize(
    "pin",
    [
        PUBLIC,
        " ".join(PUBLIC.split()[:2]),
        ONE.get_fingerprint(),
        f"{OTHER.export_public_key().decode()}{PUBLIC}",
        f"SHA256:else, {ONE.get_fingerprint()}",
    ],
    ids=["public key", "without a comment", "fingerprint", "two lines", "two with a comma"],
)
def test_a_pinned_key_is_expected_and_no_other(pin: str) -> None:
    keys = PodKeys("warn")

    assert keys.judge(workspace(pin=pin), ONE).verdict is PodKey.EXPECTED
    third = asyncssh.generate_private_key("ssh-ed25519")
    assert keys.judge(workspace(pin=pin), third).verdict is PodKey.NOT_PINNED


@pytest.mark.parametrize("pin", ["nonsense", "ssh-ed25519", "ssh-ed25519 !!!", "ssh-ed25519 é", "SHA256:", ","])
def test_a_pin_that_cannot_be_read_fits_no_key(pin: str) -> None:
    assert PodKeys("warn").judge(workspace(pin=pin), ONE).is_refused


async def host_key(sshd: WorkspaceSshd, gateway: Gateway) -> str:
    """As ssh-keyscan sees it."""
    scan = await gateway.run("ssh-keyscan", "-p", str(sshd.port), "-t", "ed25519", LOOPBACK)
    return scan.out.decode().partition(" ")[2]


async def test_a_changed_key_is_shown_once_logged_and_counted(
    bench: Bench, sshd: WorkspaceSshd, gateway: Gateway
) -> None:
    first = await gateway.ssh("echo in")
    another = await bench.open_sshd()
    gateway.change_workspace(ssh=Endpoint(LOOPBACK, another.port))
    second, third = await gateway.ssh("echo in"), await gateway.ssh("echo in")

    assert [each.out for each in (first, second, third)] == [b"in\n"] * 3
    assert [each.err.strip() for each in (first, second, third)] == ["", f"{TEXT} before", ""]
    (event,) = gateway.events("audit.ssh_pod_host_key")
    assert event["seen"] != event["expected"]
    assert gateway.sample("ssh_pod_host_key_changes_total", result="warned") == 1
    assert sshd.port != another.port


async def test_a_changed_key_keeps_a_workspace_shut_where_the_settings_say_so(
    bench: Bench, sshd: WorkspaceSshd
) -> None:
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port), pod_host_key_change="refuse")
    await gateway.ssh("true")
    gateway.change_workspace(ssh=Endpoint(LOOPBACK, (await bench.open_sshd()).port))
    done = await gateway.ssh("echo in")

    assert (done.code, done.out) == (255, b"")
    assert done.err.splitlines()[0] == f"{TEXT} before"
    assert f":9: {TEXT} before" in done.err
    assert gateway.sample("ssh_pod_host_key_changes_total", result="refused") == 1


async def test_a_pinned_key_opens_and_any_other_does_not(gateway: Gateway, sshd: WorkspaceSshd) -> None:
    gateway.change_workspace(ssh_host_key=await host_key(sshd, gateway))
    opens = await gateway.ssh("echo in")
    gateway.change_workspace(ssh_host_key=PUBLIC)
    shut = await gateway.ssh("echo in")

    assert (opens.out, opens.err, shut.out, shut.code) == (b"in\n", "", b"", 255)
    assert shut.err.splitlines()[0] == f"{TEXT} its annotation says"


async def test_a_workspace_made_anew_has_a_key_of_its_own(bench: Bench, gateway: Gateway) -> None:
    await gateway.ssh("true")
    gateway.change_workspace(uid="uid-8", ssh=Endpoint(LOOPBACK, (await bench.open_sshd()).port))
    done = await gateway.ssh("echo in")

    assert (done.out, done.err) == (b"in\n", "")
