"""Nothing weak is offered on either leg, and nothing of the machine the gateway runs on is used."""

import re
from typing import Any

import asyncssh
import pytest

from config.settings import SshSettings
from gateway.ssh.options import CIPHERS, HOST_KEYS, KEX, MACS, client_leg_options, workspace_leg_options
from tests.gateway.ssh.conftest import Gateway

SECURITY_KEYS = {"sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"}


def _client_leg() -> Any:
    keys = [asyncssh.generate_private_key(kind) for kind in ("ssh-rsa", "ssh-ed25519")]
    return client_leg_options(SshSettings(), keys)


def _workspace_leg() -> Any:
    return workspace_leg_options(SshSettings())


@pytest.mark.parametrize("options", [_client_leg(), _workspace_leg()], ids=["client", "workspace"])
def test_the_algorithms_of_both_legs_are_those_chosen_here(options: Any) -> None:
    assert tuple(alg.decode() for alg in options.kex_algs) == KEX
    assert tuple(alg.decode() for alg in options.encryption_algs) == CIPHERS
    assert tuple(alg.decode() for alg in options.mac_algs) == MACS
    assert {alg.decode() for alg in options.signature_algs} - {*HOST_KEYS} <= SECURITY_KEYS
    assert options.compression_algs == [b"none"]


@pytest.mark.parametrize("weak", ["sha1", "md5", "cbc", "chacha20", "group", "ssh-rsa", "umac", "rsa2048", "arcfour"])
def test_no_weak_algorithm_is_among_them(weak: str) -> None:
    offered = (*KEX, *CIPHERS, *MACS, *HOST_KEYS, *(alg.decode() for alg in _client_leg().server_host_keys))

    assert not [alg for alg in offered if weak in alg]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("agent_forwarding", False),
        ("x11_forwarding", False),
        ("sftp_factory", None),
        ("allow_scp", False),
        ("rdns_lookup", False),
        ("gss_host", None),
        ("host_based_auth", False),
        ("public_key_auth", True),
        ("authorized_client_keys", ()),
        ("process_factory", None),
        ("session_factory", None),
        ("login_timeout", 60),
        ("keepalive_interval", 30),
        ("keepalive_count_max", 4),
    ],
)
def test_the_clients_leg_does_nothing_itself(setting: str, value: object) -> None:
    assert getattr(_client_leg(), setting) == value


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("client_keys", None),
        ("agent_path", None),
        ("agent_forward_path", None),
        ("agent_identities", None),
        ("pkcs11_provider", None),
        ("x11_forwarding", False),
        ("gss_host", None),
        ("host_based_auth", False),
        ("public_key_auth", False),
        ("known_hosts", None),
        ("proxy_command", None),
        ("username", "gitlab-workspaces"),
    ],
)
def test_the_workspaces_leg_brings_nothing_along(setting: str, value: object) -> None:
    assert getattr(_workspace_leg(), setting) == value


@pytest.mark.parametrize("option", [f"Ciphers={alg}" for alg in CIPHERS] + ["Compression=yes"])
async def test_openssh_agrees_with_each_choice(gateway: Gateway, option: str) -> None:
    done = await gateway.ssh("-v", "-o", option, "uname")

    assert done.code == 0
    assert re.search(r"server->client cipher: \S+ MAC: \S+ compression: none", done.err)


@pytest.mark.parametrize(
    "option",
    [
        *("Ciphers=chacha20-poly1305@openssh.com", "MACs=hmac-sha1", "KexAlgorithms=diffie-hellman-group14-sha1"),
        *("KexAlgorithms=diffie-hellman-group-exchange-sha256", "Ciphers=aes128-cbc"),
    ],
)
async def test_openssh_finds_nothing_weak_to_agree_on(gateway: Gateway, option: str) -> None:
    more = ("-o", "Ciphers=aes128-ctr") if option.startswith("MACs") else ()
    done = await gateway.ssh("-o", option, *more, "true")

    assert done.code == 255
    assert "no matching" in done.err
