"""Public keys of the owner's profile and certificates of an authority: who gets in by them, and who does not."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from asyncssh import sk_eddsa
from asyncssh.packet import Boolean, String, UInt32
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auth.mandates import Mandate
from auth.model import Denied, Unavailable, User, WorkspaceRecord
from auth.owners import Owner
from auth.profiles import fingerprint
from config.settings import SshSettings
from gateway.demo.sshd import WorkspaceSshd
from gateway.ssh import limits
from gateway.ssh.authorities import Authorities, AuthorityUnreadable, load_authorities
from routing.model import Endpoint
from tests.gateway.ssh.conftest import LOOPBACK, PATIENCE, TOKEN, WORKSPACE, Bench, Gateway

KEY_ONLY = ("-o", "PreferredAuthentications=publickey", "-o", "IdentitiesOnly=yes")


@dataclass
class Owners:
    """Says what a test tells it, and counts how often it is asked."""

    owner: Owner | Denied | Unavailable
    asked: list[str] = field(default_factory=list)
    can_tell: bool = True
    tokens: tuple[Mandate, ...] = ()

    def mandates(self, _workspace_id: str) -> tuple[Mandate, ...]:
        return self.tokens

    async def find_owner(self, workspace_id: str) -> Owner | Denied | Unavailable:
        self.asked.append(workspace_id)
        if workspace_id != "7":
            return Denied("no such workspace")
        return self.owner


def owner(*keys: asyncssh.SSHKey, state: str = "Running") -> Owner:
    """Ada, who owns the workspace `apple` and has these keys in her profile."""
    prints = frozenset(fingerprint(key.public_data) for key in keys)
    return Owner(User(1, "ada"), WorkspaceRecord("7", WORKSPACE, 1, state), prints)


@dataclass
class Keyring:
    """A door that takes keys, one key of ada's, and files of both."""

    gateway: Gateway
    owners: Owners
    key: asyncssh.SSHKey
    folder: Path

    def write(self, key: asyncssh.SSHKey, certificate: asyncssh.SSHCertificate | None = None) -> tuple[str, ...]:
        """What makes ssh use this key."""
        path = self.folder / f"id_{fingerprint(key.public_data).hex()[:8]}"
        path.write_bytes(key.export_private_key())
        path.chmod(0o600)
        (self.folder / f"{path.name}.pub").write_bytes(key.export_public_key())
        if certificate is None:
            return ("-i", str(path))
        certificate.write_certificate(self.folder / f"{path.name}-cert.pub")
        return ("-i", str(path), "-o", f"CertificateFile={path}-cert.pub")


def new_key(kind: str = "ssh-ed25519") -> asyncssh.SSHKey:
    return asyncssh.generate_private_key(kind)


@pytest.fixture
async def ring(bench: Bench, sshd: WorkspaceSshd, tmp_path: Path) -> Keyring:
    return await open_ring(bench, sshd, tmp_path)


async def open_ring(bench: Bench, sshd: WorkspaceSshd, folder: Path, **settings: Any) -> Keyring:
    key = new_key()
    owners = Owners(owner(key))
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port), owners=owners, **settings)
    return Keyring(gateway, owners, key, folder)


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"])
async def test_a_key_of_the_profile_opens_the_workspace_without_a_prompt(ring: Keyring, kind: str) -> None:
    key = new_key(kind)
    ring.owners.owner = owner(key)
    done = await ring.gateway.ssh(*KEY_ONLY, *ring.write(key), "-o", "BatchMode=yes", "echo in")

    assert (done.out, done.err) == (b"in\n", "")
    assert ring.gateway.access.asked == []
    (login,) = ring.gateway.events("ssh.login")
    assert (login["user"], login["auth_method"], login["workspace"]) == ("ada", "publickey", WORKSPACE)


class SecurityKey:
    """Signs as the hardware behind an sk-ssh-ed25519@openssh.com key does (OpenSSH's PROTOCOL.u2f)."""

    def __init__(self, touches: int) -> None:
        self._key = Ed25519PrivateKey.generate()
        self._touches = touches

    def as_key(self) -> asyncssh.SSHKey:
        public = self._key.public_key().public_bytes_raw()
        return sk_eddsa._SKEd25519Key(public, "ssh:", 1, b"handle")

    def sign(self, data: bytes, application: str, _handle: bytes, _flags: int) -> tuple[int, int, bytes, bytes]:
        flags, counter = self._touches, 7
        tail = bytes((flags,)) + UInt32(counter)
        signed = sha256(application.encode()).digest() + tail + sha256(data).digest()
        return flags, counter, self._key.sign(signed), b""


@pytest.mark.parametrize(("touches", "says"), [(1, b"in\n"), (0, b"")], ids=["touched", "not touched"])
async def test_a_security_key_opens_when_somebody_touched_it(
    ring: Keyring, monkeypatch: pytest.MonkeyPatch, touches: int, says: bytes
) -> None:
    hardware = SecurityKey(touches)
    monkeypatch.setattr(sk_eddsa, "sk_sign", hardware.sign)  # of asyncssh's client, which would look for a USB device
    key = hardware.as_key()
    ring.owners.owner = owner(key)
    came: bytes | str = b""
    with suppress(asyncssh.PermissionDenied):
        async with ring.gateway.connect(client_keys=[key], password=None) as client:
            came = (await client.run("echo in", encoding=None)).stdout or b""

    assert came == says
    assert ring.gateway.sample("ssh_auth_attempts_total", method="publickey", result="bad_signature") == 1 - touches


async def test_without_a_way_to_know_owners_no_key_is_offered(gateway: Gateway, tmp_path: Path) -> None:
    ring = Keyring(gateway, Owners(Denied("")), new_key(), tmp_path)
    done = await gateway.ssh(*KEY_ONLY, *ring.write(ring.key), "true")

    assert "Permission denied (keyboard-interactive,password)." in done.err


async def test_keys_are_offered_from_the_first_owner_on_that_is_known(ring: Keyring) -> None:
    ring.owners.can_tell = False
    before = await ring.gateway.ssh(*KEY_ONLY, *ring.write(ring.key), "true")
    ring.owners.can_tell = True
    after = await ring.gateway.ssh(*KEY_ONLY, *ring.write(ring.key), "echo in")

    assert "Permission denied (keyboard-interactive,password)." in before.err
    assert after.out == b"in\n"
    assert ring.owners.asked == ["7"]


async def test_twenty_keys_of_an_agent_cost_one_question_and_lead_to_the_prompt(ring: Keyring) -> None:
    keys = [new_key() for _ in range(20)]
    async with ring.gateway.connect(client_keys=keys) as client:
        assert (await client.run("echo in")).stdout == "in\n"

    assert ring.owners.asked == ["7"]
    assert ring.gateway.access.asked == ["7"]
    assert ring.gateway.sample("ssh_auth_attempts_total", method="publickey", result="unknown_key") == 20


async def test_the_right_key_may_be_the_last_of_many(ring: Keyring) -> None:
    keys = [*(new_key() for _ in range(20)), ring.key]
    async with ring.gateway.connect(client_keys=keys, password=None) as client:
        assert (await client.run("echo in")).stdout == "in\n"


async def test_key_offers_without_end_are_ended(ring: Keyring) -> None:
    keys = [new_key() for _ in range(40)]
    with pytest.raises(asyncssh.DisconnectError, match="Permission denied") as ended:
        async with ring.gateway.connect(client_keys=keys):
            pass

    assert ended.value.code == 14
    assert ring.gateway.sample("ssh_auth_attempts_total", method="publickey", result="unknown_key") == 32
    assert ring.gateway.access.asked == []


class Forger(asyncssh.SSHClient):
    """Shows a key that it does not hold, with a signature of its own making."""

    def __init__(self, user: str, blob: bytes, algorithm: str, signature: bytes) -> None:
        self._request = String(user) + String("ssh-connection") + String("publickey") + Boolean(True)  # noqa: FBT003 - the field that says signed
        self._request += String(algorithm) + String(blob) + String(signature)

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self._conn = conn

    def begin_auth(self, _username: str) -> None:
        self._conn.send_packet(50, self._request)


def forgery(ring: Keyring, signature: bytes, algorithm: str = "ssh-ed25519") -> Forger:
    return Forger(WORKSPACE, ring.key.public_data, algorithm, signature)


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        b"\0\0\0\x0b",
        String("ssh-ed25519") + String(bytes(64)),
        String("ssh-rsa") + String(bytes(256)),
        String("none") + String(""),
    ],
    ids=["empty", "cut short", "zeros", "weak", "none"],
)
async def test_a_forged_signature_opens_nothing_dials_nothing_and_is_a_guess(ring: Keyring, signature: bytes) -> None:
    with pytest.raises(asyncssh.PermissionDenied):
        async with ring.gateway.connect(client_factory=lambda: forgery(ring, signature), password=None):
            pass

    (refused,) = ring.gateway.events("ssh.refused")
    assert (refused["reason"], refused["auth_method"]) == ("bad_signature", "publickey")
    assert ring.gateway.events("ssh.login") == []
    assert ring.gateway.sample("ssh_dial_seconds_count") == 0


async def test_five_forgeries_ban_their_address(ring: Keyring) -> None:
    for _ in range(5):
        with pytest.raises(asyncssh.PermissionDenied):
            async with ring.gateway.connect(client_factory=lambda: forgery(ring, b""), password=None):
                pass

    assert len(ring.gateway.events("ssh.banned")) == 1


async def test_a_signature_of_another_connection_is_worth_nothing(ring: Keyring) -> None:
    stolen = ring.key.sign(b"a challenge of another server", b"ssh-ed25519")
    with pytest.raises(asyncssh.PermissionDenied):
        async with ring.gateway.connect(client_factory=lambda: forgery(ring, stolen), password=None):
            pass


async def test_rsa_with_sha1_is_refused_even_with_the_right_key(
    bench: Bench, sshd: WorkspaceSshd, tmp_path: Path
) -> None:
    ring = await open_ring(bench, sshd, tmp_path)
    key = new_key("ssh-rsa")
    ring.owners.owner = owner(key)
    with pytest.raises(asyncssh.PermissionDenied):
        async with ring.gateway.connect(client_keys=[key], signature_algs=["ssh-rsa"], password=None):
            pass

    assert ring.gateway.events("ssh.login") == []


@pytest.mark.parametrize("answer", [Denied("blocked"), Unavailable("502")])
async def test_where_no_owner_can_be_told_a_token_still_opens(ring: Keyring, answer: Denied | Unavailable) -> None:
    ring.owners.owner = answer
    async with ring.gateway.connect(client_keys=[ring.key]) as client:
        assert (await client.run("echo in")).stdout == "in\n"


async def test_a_key_to_one_workspace_is_none_to_another(ring: Keyring) -> None:
    ring.gateway.directory.workspaces["berry"] = replace(ring.gateway.workspace, id="8", name="berry", uid="uid-8")
    with pytest.raises(asyncssh.PermissionDenied):
        async with ring.gateway.connect(username="berry", client_keys=[ring.key], password=None):
            pass


async def test_an_unknown_name_asks_nobody_and_takes_as_long(bench: Bench, sshd: WorkspaceSshd, tmp_path: Path) -> None:
    ring = await open_ring(bench, sshd, tmp_path, failure_delay=0.3)
    for name in ("nobody", WORKSPACE):
        started = time.monotonic()
        with pytest.raises(asyncssh.PermissionDenied):
            async with ring.gateway.connect(username=name, client_keys=[new_key(), new_key()], password=None):
                pass
        assert time.monotonic() - started >= 0.3

    assert ring.owners.asked == ["7"]


@pytest.mark.parametrize("state", ["Stopped", "Failed"])
async def test_who_signed_reads_that_the_workspace_does_not_run_and_nobody_else(ring: Keyring, state: str) -> None:
    ring.owners.owner = owner(ring.key, state=state)
    stranger = await ring.gateway.ssh(*KEY_ONLY, *ring.write(new_key()), "true")
    done = await ring.gateway.ssh(*KEY_ONLY, *ring.write(ring.key), "true")

    assert state not in stranger.err
    assert done.err.splitlines()[0] == f"workspace apple is {state}"
    assert done.code == 255


async def test_a_workspace_that_was_started_a_moment_ago_opens_at_once(ring: Keyring) -> None:
    ring.owners.owner = owner(ring.key, state="Starting")
    before = await ring.gateway.ssh(*KEY_ONLY, *ring.write(ring.key), "true")
    ring.owners.owner = owner(ring.key)
    after = await ring.gateway.ssh(*KEY_ONLY, *ring.write(ring.key), "echo in")

    assert (before.code, after.out) == (255, b"in\n")


async def test_a_key_that_left_the_profile_ends_the_session(bench: Bench, sshd: WorkspaceSshd, tmp_path: Path) -> None:
    ring = await open_ring(bench, sshd, tmp_path, recheck_interval=0.05)
    async with ring.gateway.connect(client_keys=[ring.key], password=None) as client:
        ring.owners.owner = owner(new_key())
        async with asyncio.timeout(PATIENCE):
            await client.wait_closed()

    await ring.gateway.door.drain(10)
    assert ring.gateway.events("ssh.closed")[0]["reason"] == "Access to the workspace was withdrawn"
    assert ring.gateway.sample("ssh_ended_total", reason="withdrawn") == 1


async def test_keys_and_tokens_have_budgets_of_their_own(ring: Keyring) -> None:
    done = await ring.gateway.ssh(
        *ring.write(new_key()), "-o", "NumberOfPasswordPrompts=10", "true", token="glpat-wrong"
    )

    assert len([line for line in ring.gateway.events("ssh.refused") if line["auth_method"] != "publickey"]) == 3
    assert ":14: Permission denied" in done.err


async def test_a_key_is_checked_while_no_token_is(ring: Keyring) -> None:
    ring.gateway.access.gate = asyncio.Event()
    with pytest.raises(asyncssh.PermissionDenied):
        async with ring.gateway.connect(client_keys=[new_key()], password=None):
            pass

    assert ring.gateway.access.most_open_questions == 0


# Certificates


def certify(
    authority: asyncssh.SSHKey, key: asyncssh.SSHKey, principals: list[str] | None = None, **options: Any
) -> asyncssh.SSHCertificate:
    names = ["ada"] if principals is None else principals
    return authority.generate_user_certificate(key, "a certificate", principals=names, **options)


@dataclass
class Certified:
    """A door that believes one authority."""

    ring: Keyring
    authority: asyncssh.SSHKey

    async def log_in(self, certificate: asyncssh.SSHCertificate, key: asyncssh.SSHKey) -> str:
        async with self.ring.gateway.connect(client_keys=[(key, certificate)], password=None) as client:
            return str((await client.run("echo in")).stdout)


@pytest.fixture(params=["ssh-ed25519", "ssh-rsa"])
async def certified(request: pytest.FixtureRequest, bench: Bench, sshd: WorkspaceSshd, tmp_path: Path) -> Certified:
    authority = new_key(request.param)
    (tmp_path / "ca.pub").write_bytes(b"# ours\n\n" + authority.export_public_key())
    ring = await open_ring(bench, sshd, tmp_path, user_ca_files=(tmp_path / "ca.pub",))
    return Certified(ring, authority)


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp384"])
async def test_a_certificate_for_the_owner_opens_the_workspace(certified: Certified, kind: str) -> None:
    key = new_key(kind)
    arguments = certified.ring.write(key, certify(certified.authority, key))
    done = await certified.ring.gateway.ssh(*KEY_ONLY, *arguments, "echo in")

    assert (done.out, done.err) == (b"in\n", "")
    assert certified.ring.gateway.events("ssh.login")[0]["auth_method"] == "certificate"


@pytest.mark.parametrize(
    ("principals", "options"),
    [
        (["grace"], {}),
        ([WORKSPACE], {}),
        ([], {}),
        (None, {"valid_before": "-1m"}),
        (None, {"valid_after": "+1h", "valid_before": "+2h"}),
        (None, {"source_address": ["192.0.2.0/24"]}),
        (None, {"force_command": "true"}),
    ],
    ids=["another user", "the workspace", "nobody", "expired", "not yet", "elsewhere", "forced command"],
)
async def test_a_certificate_that_says_otherwise_opens_nothing(
    certified: Certified, principals: list[str] | None, options: dict[str, Any]
) -> None:
    key = new_key()
    if "valid_before" in options and "valid_after" not in options:
        options = {**options, "valid_after": "-1h"}
    with pytest.raises(asyncssh.PermissionDenied):
        await certified.log_in(certify(certified.authority, key, principals, **options), key)


async def test_a_certificate_for_this_address_opens_it(certified: Certified) -> None:
    key = new_key()
    certificate = certify(certified.authority, key, source_address=["127.0.0.0/8"])

    assert await certified.log_in(certificate, key) == "in\n"


async def test_a_certificate_of_another_authority_or_for_a_host_opens_nothing(certified: Certified) -> None:
    key = new_key()
    for certificate in (
        certify(new_key(), key),
        certified.authority.generate_host_certificate(key, "a host", principals=["ada"]),
    ):
        with pytest.raises(asyncssh.PermissionDenied):
            await certified.log_in(certificate, key)


async def test_authorities_are_read_again_when_their_file_changes(certified: Certified) -> None:
    gateway, path = certified.ring.gateway, certified.ring.folder / "ca.pub"
    new, key = new_key(), new_key()
    path.write_text("damaged")
    await _wait_event(gateway, "ssh.authorities_unreadable")
    still = await certified.log_in(certify(certified.authority, key), key)
    path.write_bytes(new.export_public_key())
    await _wait_event(gateway, "ssh.authorities_loaded")

    assert [still, await certified.log_in(certify(new, key), key)] == ["in\n"] * 2
    with pytest.raises(asyncssh.PermissionDenied):
        await certified.log_in(certify(certified.authority, key), key)


async def _wait_event(gateway: Gateway, name: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while not gateway.events(name):  # noqa: ASYNC110 - the log has no event for it
            await asyncio.sleep(0.02)


async def test_the_authoritys_own_key_opens_nothing(certified: Certified) -> None:
    with pytest.raises(asyncssh.PermissionDenied):
        async with certified.ring.gateway.connect(client_keys=[certified.authority], password=None):
            pass


def test_a_certificate_signed_with_sha1_or_changed_afterwards_opens_nothing() -> None:
    authority, key = new_key("ssh-rsa"), new_key()
    authorities = Authorities([authority])
    good = certify(authority, key, sig_alg="rsa-sha2-512").public_data
    weak = certify(authority, key, sig_alg="ssh-rsa").public_data
    changed = good.replace(String("ada"), String("eve"))

    assert authorities.get_credential(good, LOOPBACK) is not None
    assert authorities.get_credential(weak, LOOPBACK) is None
    assert changed != good
    assert authorities.get_credential(changed, LOOPBACK) is None


@pytest.mark.parametrize("blob", [b"", b"\xff" * 40, String("ssh-ed25519-cert-v01@openssh.com"), String("x") * 9])
def test_what_is_no_certificate_is_none(blob: bytes) -> None:
    assert Authorities([new_key()]).get_credential(blob, LOOPBACK) is None


def test_an_authority_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pub").write_text("ssh-ed25519 nonsense")
    with pytest.raises(AuthorityUnreadable, match=r"ca\.pub: every line must be a public key"):
        load_authorities(SshSettings(user_ca_files=(tmp_path / "ca.pub",)))
    with pytest.raises(AuthorityUnreadable, match="missing: No such file"):
        load_authorities(SshSettings(user_ca_files=(tmp_path / "missing",)))


async def test_a_token_is_in_no_line_about_keys(ring: Keyring) -> None:
    async with ring.gateway.connect(client_keys=[new_key()]):
        pass

    assert TOKEN not in ring.gateway.log.getvalue()


async def test_offers_for_many_workspaces_leave_gitlab_to_others(bench: Bench, sshd: WorkspaceSshd) -> None:
    most, open_questions, gate = 0, 0, asyncio.Event()

    class Slow(Owners):
        """Answers only when the test is done counting."""

        async def find_owner(self, workspace_id: str) -> Owner | Denied | Unavailable:
            nonlocal most, open_questions
            open_questions += 1
            most = max(most, open_questions)
            if open_questions == limits.OWNER_QUESTIONS:
                asyncio.get_running_loop().call_later(0.1, gate.set)
            await gate.wait()
            open_questions -= 1
            return await super().find_owner(workspace_id)

    owners = Slow(owner(new_key()))
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port), owners=owners, max_startups_per_ip=0)
    names = [f"w{number}" for number in range(2 * limits.OWNER_QUESTIONS)]
    for name in names:
        gateway.directory.workspaces[name] = replace(gateway.workspace, id=name, name=name)
    key = new_key()
    await asyncio.gather(*(_offer(gateway, name, key) for name in names))

    assert most == limits.OWNER_QUESTIONS
    assert len(owners.asked) == len(names)


async def _offer(gateway: Gateway, name: str, key: asyncssh.SSHKey) -> None:
    with pytest.raises(asyncssh.PermissionDenied):
        async with gateway.connect(username=name, client_keys=[key], password=None):
            pass


def test_damaged_certificates_are_none_and_raise_nothing() -> None:
    """As found by changing bytes at random; a negative modulus among them."""
    authority, key = new_key("ssh-rsa"), new_key("ssh-rsa")
    authorities, good = Authorities([authority]), certify(authority, key).public_data
    for at in range(0, len(good), 3):
        for byte in (0x00, 0x80, 0xFF):
            damaged = good[:at] + bytes((byte,)) + good[at + 1 :]
            assert damaged == good or authorities.get_credential(damaged, LOOPBACK) is None
