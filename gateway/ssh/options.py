"""What the gateway negotiates on either leg: algorithms, host keys and asyncssh's options, all of them explicit.

asyncssh's defaults also offer SHA-1, finite-field Diffie-Hellman and RSA key exchange, read the files of the user it
runs as and listen for agents; none of that may reach a gateway, so nothing here is left to a default that matters.
"""

from collections.abc import Sequence

import asyncssh

from config.settings import SshSettings
from gateway.ssh import limits
from gateway.ssh.host_keys import HostKey

KEX = (  # post-quantum first, as OpenSSH >= 10.1 warns without; no finite field, which costs the server most (DHEat);
    # NIST's curves last, since some distrust them, but clients in FIPS mode have no others
    *("mlkem768x25519-sha256", "curve25519-sha256", "curve25519-sha256@libssh.org"),
    *("ecdh-sha2-nistp256", "ecdh-sha2-nistp384", "ecdh-sha2-nistp521"),
)
CIPHERS = (  # no chacha20: OpenSSH would choose it, at four cipher contexts per packet, and Terrapin concerns it
    *("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr"),
)
MACS = (  # the last two for clients without encrypt-then-MAC, such as dropbear
    *("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512"),
)
HOST_KEYS = (
    *("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    *("rsa-sha2-512", "rsa-sha2-256"),
)
_SECURITY_KEYS = ("sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com")
USER_KEYS = frozenset(  # what a client may log in with; RSA keys are named ssh-rsa, whatever they sign with
    name.encode() for name in (*HOST_KEYS[:4], "ssh-rsa", *_SECURITY_KEYS)
)
USER_CERTIFICATES = frozenset(name.removesuffix(b"@openssh.com") + b"-cert-v01@openssh.com" for name in USER_KEYS)
USER_SIGNATURES = frozenset(name.encode() for name in (*HOST_KEYS, *_SECURITY_KEYS))
HOST_CERTIFICATES = frozenset(f"{name}-cert-v01@openssh.com" for name in HOST_KEYS)
VERSION = "OpenSSH_compatible_WorkspacesGateway"
"""What both peers are told (RFC 4253 section 4.2). OpenSSH uses its extensions, such as eow@openssh.com that ends the
`yes` of `ssh w yes | head -1`, only with peers that begin like this; and the far end, which gets them, knows them."""

_COMMON = {
    "config": None,
    "kex_algs": KEX,
    "encryption_algs": CIPHERS,
    "mac_algs": MACS,
    "compression_algs": ("none",),  # a compressed packet may unpack to any size
    "host_based_auth": False,
    "gss_host": None,
    "tcp_keepalive": True,
    "utf8_decode_errors": "replace",  # texts of a peer are shown, never compared
    "rekey_bytes": limits.REKEY_BYTES,
    "rekey_seconds": limits.REKEY_SECONDS,
}


def client_leg_options(settings: SshSettings, host_keys: Sequence[HostKey]) -> asyncssh.SSHServerConnectionOptions:
    """For the leg on which the gateway is the server."""
    options = asyncssh.SSHServerConnectionOptions(
        **_COMMON,
        signature_algs=(*HOST_KEYS, *_SECURITY_KEYS),
        public_key_auth=True,
        server_host_keys=host_keys,
        send_server_host_keys=True,
        server_version=VERSION,
        login_timeout=settings.login_grace,
        keepalive_interval=settings.keepalive_interval,
        keepalive_count_max=settings.keepalive_count,
        rdns_lookup=False,
        agent_forwarding=False,
        x11_forwarding=False,
        sftp_factory=None,
        allow_scp=False,
    )
    for alg in list(options.server_host_keys):
        if alg.decode() not in {*HOST_KEYS, *HOST_CERTIFICATES}:  # an RSA key brings ssh-rsa along, which is SHA-1
            del options.server_host_keys[alg]
    for blob, key in list(options.all_server_host_keys.items()):
        if key.has_cert:  # what clients learn are keys (OpenSSH's PROTOCOL file, section 2.5)
            del options.all_server_host_keys[blob]
    return options


def workspace_leg_options(settings: SshSettings) -> asyncssh.SSHClientConnectionOptions:
    """For the leg on which the gateway is the client.

    The sshd's host key is not checked: images share theirs, so it proves nothing; the address comes from Kubernetes.
    """
    return asyncssh.SSHClientConnectionOptions(
        **_COMMON,
        signature_algs=HOST_KEYS,
        public_key_auth=False,
        known_hosts=None,
        server_host_key_algs=HOST_KEYS,
        username=settings.backend_username,
        client_version=VERSION,
        client_keys=None,
        agent_path=None,
        agent_forwarding=False,
        x11_forwarding=False,
        preferred_auth=("password", "keyboard-interactive"),
        login_timeout=settings.handshake_timeout,
        keepalive_interval=settings.keepalive_interval,
        keepalive_count_max=settings.keepalive_count,
    )
