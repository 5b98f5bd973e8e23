"""Host keys survive what shells and Windows do to them; one that cannot be used is named and never shown."""

import base64
import math
import re
import subprocess
import traceback
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from pydantic import SecretStr

from config.settings import SshSettings
from gateway.demo.sshd import WorkspaceSshd
from gateway.ssh.host_keys import HostKeyUnreadable, find_expiry, load_host_keys
from routing.model import Endpoint
from tests.gateway.ssh.conftest import LOOPBACK, Bench

KEY = asyncssh.generate_private_key("ssh-ed25519")
OPENSSH = KEY.export_private_key().decode()
PKCS8 = asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_private_key("pkcs8-pem").decode()
ENCRYPTED = KEY.export_private_key("pkcs8-pem", passphrase="secret").decode()
BODY = OPENSSH.splitlines()[1:-1]


@pytest.mark.parametrize(
    "text",
    [OPENSSH, OPENSSH.rstrip("\n"), OPENSSH.replace("\n", "\r\n"), f"\n  {OPENSSH}\n\n", PKCS8, PKCS8.rstrip()],
    ids=["as is", "lost newline", "CRLF", "padded", "PKCS 8", "PKCS 8 without newline"],
)
def test_a_key_is_read_however_it_was_pasted(text: str) -> None:
    assert len(load_host_keys(SshSettings(host_key=SecretStr(text)))) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (OPENSSH.replace(BODY[1], BODY[1][::-1]), "ssh.host_key"),
        (OPENSSH.replace(BODY[0], BODY[0][:40]), "ssh.host_key"),
        ("\n".join(BODY), "ssh.host_key is no private key in PEM or OpenSSH format"),
        (OPENSSH[:-40], "ssh.host_key"),
        (ENCRYPTED, "ssh.host_key is encrypted; use a key without a passphrase"),
        (KEY.export_public_key().decode(), "ssh.host_key is no private key in PEM or OpenSSH format"),
        ("\udcff" + OPENSSH, "ssh.host_key"),
    ],
    ids=["damaged", "cut line", "no frame", "cut end", "encrypted", "public", "binary"],
)
def test_a_key_that_cannot_be_used_is_named_and_not_shown(text: str, problem: str) -> None:
    with pytest.raises(HostKeyUnreadable) as caught:
        load_host_keys(SshSettings(host_key=SecretStr(text)))

    shown = "".join(traceback.format_exception(caught.value, chain=True))
    assert problem in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert not [piece for piece in re.findall(r"[A-Za-z0-9+/=]{12,}", text) if piece in shown]


def test_a_key_of_ssh_keygen_with_a_passphrase_says_so(tmp_path: Path) -> None:
    path = tmp_path / "key"
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", path), check=True)  # noqa: S603, S607 - the one of the machine

    with pytest.raises(HostKeyUnreadable, match="is encrypted; use a key without a passphrase"):
        load_host_keys(SshSettings(host_key_files=(path,)))


def test_a_file_is_named_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(base64.b64decode(BODY[0] + "=="))

    with pytest.raises(HostKeyUnreadable, match=rf"{tmp_path}/bad "):
        load_host_keys(SshSettings(host_key_files=(tmp_path / "bad",)))
    with pytest.raises(HostKeyUnreadable, match=f"{tmp_path}/none: No such file"):
        load_host_keys(SshSettings(host_key_files=(tmp_path / "none",)))


def test_no_key_at_all_says_what_to_set() -> None:
    with pytest.raises(HostKeyUnreadable, match=r"set ssh\.host_key or ssh\.host_key_files"):
        load_host_keys(SshSettings())


async def test_every_type_of_key_is_used_and_announced(bench: Bench, sshd: WorkspaceSshd, tmp_path: Path) -> None:
    files = []
    for kind in ("ecdsa-sha2-nistp256", "ssh-rsa"):
        files.append(tmp_path / kind)
        asyncssh.generate_private_key(kind).write_private_key(files[-1])
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port), host_key_files=tuple(files))
    learned = await gateway.ssh("-v", "-o", "UpdateHostKeys=yes", "true")
    known_hosts = gateway.folder / "known_hosts"
    known = known_hosts.read_text()

    assert learned.err.count("Learned new hostkey") == 2, learned.err
    assert {line.split()[1] for line in known.splitlines()} == {"ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"}
    for alg in ("rsa-sha2-256", "rsa-sha2-512", "ecdsa-sha2-nistp256", "ssh-ed25519"):
        known_hosts.write_text(known)  # ssh forgets the keys it was told not to use
        done = await gateway.ssh("-v", "-o", f"HostKeyAlgorithms={alg}", "-o", "UpdateHostKeys=yes", "true")
        assert (done.code, "bad signature" in done.err) == (0, False), done.err
        assert f"host key algorithm: {alg}" in done.err
    assert (await gateway.ssh("-o", "HostKeyAlgorithms=ssh-rsa", "true")).code == 255


def certify(key: asyncssh.SSHKey, path: Path, authority: asyncssh.SSHKey, **options: Any) -> Path:
    authority.generate_host_certificate(key, "gateway", **options).write_certificate(path)
    return path


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"])
async def test_a_client_that_knows_only_the_authority_trusts_a_certified_key(
    bench: Bench, sshd: WorkspaceSshd, tmp_path: Path, kind: str
) -> None:
    authority, key = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key(kind)
    key.write_private_key(tmp_path / "key")
    files = (certify(key, tmp_path / "key-cert.pub", authority, principals=[LOOPBACK]),)
    gateway = await bench.open_door(
        Endpoint(LOOPBACK, sshd.port),
        host_key=SecretStr(""),
        host_key_files=(tmp_path / "key",),
        host_certificate_files=files,
    )
    known_hosts = gateway.folder / "known_hosts"
    known_hosts.write_text(f"@cert-authority [{LOOPBACK}]:{gateway.door.port} {authority.export_public_key().decode()}")
    by_certificate = await gateway.ssh("-v", "-o", "UpdateHostKeys=yes", "echo in")
    known_hosts.write_text(f"[{LOOPBACK}]:{gateway.door.port} {key.export_public_key().decode()}")
    by_key = await gateway.ssh("-v", "-o", "UpdateHostKeys=yes", "echo in")

    assert (by_certificate.out, by_key.out) == (b"in\n", b"in\n"), by_certificate.err
    assert gateway.sample("certificate_expiry_timestamp_seconds", certificate="ssh_host") == 0  # it never does
    assert "-cert-v01@openssh.com" in by_certificate.err.partition("host key algorithm: ")[2].splitlines()[0]
    assert "bad signature" not in by_certificate.err + by_key.err


def test_a_certificate_that_fits_no_key_or_no_host_is_named(tmp_path: Path) -> None:
    authority, key, other = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(3))
    key.write_private_key(tmp_path / "key")
    authority.generate_user_certificate(key, "me", principals=["me"]).write_certificate(tmp_path / "user")
    (tmp_path / "text").write_text("no certificate")
    cases = {
        certify(other, tmp_path / "other", authority): "certifies none of the host keys",
        tmp_path / "user": "is no host certificate",
        tmp_path / "text": "is no host certificate",
        tmp_path / "absent": "No such file",
    }
    for path, problem in cases.items():
        settings = SshSettings(host_key_files=(tmp_path / "key",), host_certificate_files=(path,))
        with pytest.raises(HostKeyUnreadable, match=f"{path}.*{problem}"):
            load_host_keys(settings)


def test_an_expired_certificate_is_the_clients_to_judge(tmp_path: Path) -> None:
    authority, key = (asyncssh.generate_private_key("ssh-rsa") for _ in range(2))
    key.write_private_key(tmp_path / "key")
    path = certify(key, tmp_path / "old", authority, valid_after="-2h", valid_before="-1h")

    assert len(load_host_keys(SshSettings(host_key_files=(tmp_path / "key",), host_certificate_files=(path,)))) == 2


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"])
def test_it_is_known_when_the_first_certificate_expires(tmp_path: Path, kind: str) -> None:
    authority, key = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key(kind)
    key.write_private_key(tmp_path / "key")
    files = tuple(
        certify(key, tmp_path / f"until-{end}", authority, principals=["gateway", "other"], **valid)
        for end, valid in enumerate(({}, {"valid_before": 2_000_000_000}, {"valid_before": 2_100_000_000}))
    )

    assert find_expiry(load_host_keys(SshSettings(host_key_files=(tmp_path / "key",)))) == math.inf
    for certificates, end in ((files[:1], math.inf), (files, 2_000_000_000)):
        settings = SshSettings(host_key_files=(tmp_path / "key",), host_certificate_files=certificates)
        assert find_expiry(load_host_keys(settings)) == end
