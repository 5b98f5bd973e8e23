"""What settings must agree on with each other and with the files they name."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from config.host_key import get_host_key_problem
from config.settings import Settings

Load = Callable[..., Settings]
Faults = Callable[..., list[str]]
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | dsa.DSAPrivateKey

KEYS: dict[str, Callable[[], PrivateKey]] = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "ecdsa-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ecdsa-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ecdsa-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}
FORM = "is not a private key in PEM or OpenSSH format, as `ssh-keygen -t ed25519 -N '' -f FILE` writes it"
PASSPHRASE = "is protected by a passphrase; remove it with `ssh-keygen -p -N '' -f FILE`"

LOCKED = b"""\
-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABDu3bzvDA
76/ndUI3D4YNYxAAAAAQAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIBHtk1uf9o9WWa74
sqE5SKzniLkq+2JK0A1cyH+SKb5jAAAAkDjqOwuViSEIXYjWiSoBQdjt2ANjwopMpsZWEo
g+0SZVvMW40yyW1Zh+lHxLinoIhjqvm1HO6HDnge+JBU0KZcX3eytYCnA7WL5N3Y1knN7V
+MFfCV14yk4URDxAhphkBkmzolrTzZBkmHxK5LB4C/kqDW+F0XqPKdwKVtDFxyl3+iIRSK
GQznUSx1cYnQQQYw==
-----END OPENSSH PRIVATE KEY-----
"""  # made by `ssh-keygen -t ed25519 -N passphrase` for these tests


def written(
    key: PrivateKey,
    form: PrivateFormat = PrivateFormat.OpenSSH,
    encryption: KeySerializationEncryption = NoEncryption(),  # noqa: B008  # stateless
) -> bytes:
    return key.private_bytes(Encoding.PEM, form, encryption)


class TestHostKeys:
    @pytest.mark.parametrize("form", [PrivateFormat.OpenSSH, PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
    @pytest.mark.parametrize("kind", KEYS)
    def test_usual_keys_in_usual_formats_are_accepted(self, kind: str, form: PrivateFormat) -> None:
        """RSA, ECDSA and Ed25519 keys are accepted however a tool writes them."""
        if (kind, form) == ("ed25519", PrivateFormat.TraditionalOpenSSL):
            form = PrivateFormat.PKCS8

        assert get_host_key_problem(written(KEYS[kind](), form)) is None

    @pytest.mark.parametrize("form", [PrivateFormat.OpenSSH, PrivateFormat.PKCS8])
    @pytest.mark.parametrize(
        "damage",
        [bytes.strip, lambda key: key.replace(b"\n", b"\r\n"), lambda key: b"\n" + key.rstrip() + b"\r\n\r\n"],
        ids=["no final newline", "CRLF", "blank lines"],
    )
    def test_line_ends_do_not_matter(self, damage: Callable[[bytes], bytes], form: PrivateFormat) -> None:
        """A key survives what Secrets and editors do to its lines."""
        assert get_host_key_problem(damage(written(KEYS["ed25519"](), form))) is None

    @pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
    def test_passphrase_is_named(self, form: PrivateFormat) -> None:
        """A key with a passphrase is told apart from garbage, with the command that removes it."""
        key = written(KEYS["rsa"](), form, BestAvailableEncryption(b"passphrase"))

        assert get_host_key_problem(key) == get_host_key_problem(LOCKED) == PASSPHRASE

    @pytest.mark.parametrize(
        ("key", "problem"),
        [
            (b"", FORM),
            (b"garbage", FORM),
            (b"\xff\x00", FORM),
            (b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", FORM),
            (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", FORM),
            (b"-----BEGIN OPENSSH PRIVATE KEY-----\n", FORM),
        ],
    )
    def test_garbage_is_no_key(self, key: bytes, problem: str) -> None:
        """What is no key says what a key is."""
        assert get_host_key_problem(key) == problem

    def test_public_key_is_no_host_key(self) -> None:
        """The public half, easily confused, is refused."""
        public = KEYS["rsa"]().public_key()

        assert get_host_key_problem(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)) == FORM
        assert get_host_key_problem(public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)) == FORM

    @pytest.mark.parametrize(
        ("key", "problem"),
        [
            (lambda: dsa.generate_private_key(2048), "is a key of another kind; use RSA, ECDSA or Ed25519"),
            (
                lambda: ec.generate_private_key(ec.SECP256K1()),
                "is an ECDSA key on a curve that SSH does not know; use P-256, P-384 or P-521",
            ),
        ],
    )
    def test_key_that_ssh_cannot_use_is_refused(self, key: Callable[[], PrivateKey], problem: str) -> None:
        """A valid key of a kind that SSH clients refuse is refused here already."""
        assert get_host_key_problem(written(key(), PrivateFormat.PKCS8)) == problem

    def test_text_and_files_are_judged_alike(self, faults: Faults) -> None:
        """Each host key is reported by its own setting, and a file by its path."""
        Path("garbage").write_text("garbage")
        Path("locked").write_bytes(LOCKED)

        assert faults(SSH_HOST_KEY="garbage", SSH_HOST_KEY_FILES="garbage, locked, absent, .") == [
            f"ssh.host_key (environment SSH_HOST_KEY): {FORM}",
            f"ssh.host_key_files[0] (environment SSH_HOST_KEY_FILES): garbage {FORM}",
            f"ssh.host_key_files[1] (environment SSH_HOST_KEY_FILES): locked {PASSPHRASE}",
            "ssh.host_key_files[2] (environment SSH_HOST_KEY_FILES): absent cannot be read: No such file or directory",
            "ssh.host_key_files[3] (environment SSH_HOST_KEY_FILES): . cannot be read: Is a directory",
        ]

    def test_files_alone_are_enough(self, load: Load, host_key: str) -> None:
        """A host key may come from a file only."""
        Path("key").write_text(host_key)

        assert load(SSH_HOST_KEY=None, SSH_HOST_KEY_FILES="key").ssh.host_key_files == (Path("key"),)

    def test_key_is_needed(self, faults: Faults) -> None:
        """Without a host key the SSH door has nothing to show."""
        assert faults(SSH_HOST_KEY=None) == [
            "ssh.host_key (not set; SSH_HOST_KEY): is needed unless ssh.enabled is false: "  # noqa: ISC004  # one line
            "give a private key here or name one in ssh.host_key_files"
        ]


class TestDoors:
    def test_closed_doors_need_nothing(self, load: Load) -> None:
        """With SSH off no host key is needed or judged, with HTTP off no OAuth application."""
        load(SSH_ENABLED="false", SSH_HOST_KEY=None, SSH_BACKEND_USERNAME="", SSH_PORT="9876")
        load(SSH_ENABLED="false", SSH_HOST_KEY="garbage")
        load(
            HTTP_ENABLED="false",
            AUTH_CLIENT_ID=None,
            AUTH_CLIENT_SECRET=None,
            AUTH_REDIRECT_URI="nonsense",
            AUTH_SIGNING_KEY="short",
        )

    def test_one_door_must_be_open(self, faults: Faults) -> None:
        """A gateway without doors is a mistake."""
        assert faults("--http-enabled=false", SSH_ENABLED="0") == [
            "http.enabled (flag --http-enabled): is false, and so is ssh.enabled: nothing would be served"
        ]

    @pytest.mark.parametrize(
        ("variables", "fault"),
        [
            ({"HTTP_PORT": "22"}, "ssh.port (default 22; SSH_PORT or --ssh-port): 22 is also http.port"),
            ({"HTTP_PORT": "9877"}, "http.port (environment HTTP_PORT): 9877 is also admin.port"),
            ({"ADMIN_PORT": "22"}, "ssh.port (default 22; SSH_PORT or --ssh-port): 22 is also admin.port"),
            ({"HTTP_PORT": "22", "HTTP_ADDRESS": "127.0.0.1"}, "22 is also http.port"),
            ({"HTTP_PORT": "22", "HTTP_ADDRESS": "127.0.0.1", "SSH_ADDRESS": "::"}, "22 is also http.port"),
        ],
    )
    def test_two_doors_on_one_port_are_a_fault(self, faults: Faults, variables: dict[str, str], fault: str) -> None:
        """Doors that would fight for a port are told so before the operating system does."""
        (line,) = faults(**variables)

        assert fault in line

    @pytest.mark.parametrize(
        "variables",
        [
            {"HTTP_PORT": "22", "SSH_ENABLED": "false"},
            {"HTTP_PORT": "22", "HTTP_ADDRESS": "127.0.0.1", "SSH_ADDRESS": "127.0.0.2"},
        ],
    )
    def test_doors_that_do_not_meet_may_share_a_port(self, load: Load, variables: dict[str, str]) -> None:
        """A closed door and one on another address take nothing away."""
        assert load(**variables).http.port == 22


class TestSignIn:
    @pytest.mark.parametrize("name", ["CLIENT_ID", "CLIENT_SECRET", "REDIRECT_URI", "SIGNING_KEY"])
    def test_oauth_application_is_needed(self, faults: Faults, name: str) -> None:
        """The HTTP door needs every part of the OAuth application."""
        (fault,) = faults(**{f"AUTH_{name}": None})

        assert fault.startswith(f"auth.{name.lower()} (not set; AUTH_{name}")
        assert fault.endswith("): is needed unless http.enabled is false")

    @pytest.mark.parametrize(
        ("variables", "problems"),
        [
            ({"AUTH_REDIRECT_URI": "workspaces.example.dev/auth/callback"}, ["must be an absolute URL such as https:"]),
            ({"AUTH_REDIRECT_URI": "/auth/callback"}, ["must be an absolute URL such as https:"]),
            (
                {"AUTH_REDIRECT_URI": "https://me:pw@portal.dev/auth/callback"},
                ["must be an absolute URL such as https:"],
            ),
            ({"AUTH_REDIRECT_URI": "https://portal.dev/"}, ["must end in /auth/callback, as the OAuth application"]),
            ({"AUTH_REDIRECT_URI": "https://portal.dev/auth/callback/"}, ["must end in /auth/callback"]),
            ({"AUTH_REDIRECT_URI": "https://portal.dev/auth/callback?a"}, ["must end in /auth/callback"]),
            (
                {"AUTH_REDIRECT_URI": "http://portal.dev/callback"},
                ["must end in /auth/callback", "begins with http:// but auth.protocol is https"],
            ),
            ({"AUTH_PROTOCOL": "http"}, ["begins with https:// but auth.protocol is http"]),
        ],
    )
    def test_redirect_uri_is_the_portals_callback(
        self, faults: Faults, variables: dict[str, str], problems: list[str]
    ) -> None:
        """The redirect URI is an absolute URL of the callback, in the scheme people use."""
        lines = faults(**variables)

        assert len(lines) == len(problems)
        assert all(problem in line for line, problem in zip(lines, problems, strict=True))

    @pytest.mark.parametrize(
        ("variables", "path"),
        [
            ({"AUTH_SIGNING_KEY": "x" * 15}, "auth.signing_key"),
            ({"AUTH_PREVIOUS_SIGNING_KEYS": f"{'x' * 16},{'y' * 15}"}, "auth.previous_signing_keys[1]"),
        ],
    )
    def test_short_signing_key_is_a_fault(self, faults: Faults, variables: dict[str, str], path: str) -> None:
        """A signing key that could be guessed is refused, in use or kept for a rotation."""
        (fault,) = faults(**variables)

        assert fault.startswith(path)
        assert "use 16 characters or more, such as `openssl rand -hex 32` prints" in fault

    def test_key_of_the_least_length_is_accepted(self, load: Load) -> None:
        """Sixteen characters are enough."""
        load(AUTH_SIGNING_KEY="x" * 16, AUTH_PREVIOUS_SIGNING_KEYS="y" * 16)


class TestFiles:
    def test_no_route_file_means_a_cluster(self, load: Load) -> None:
        """Whether there is one is seen when the gateway starts."""
        assert load(ROUTING_FILE=None).routing.file is None

    def test_kubeconfig_must_be_there(self, faults: Faults) -> None:
        """A typing error would send the gateway looking for a cluster around it."""
        (fault,) = faults(ROUTING_FILE=None, KUBECONFIG="absent")
        assert fault == "kubeconfig (environment KUBECONFIG): 'absent' is not a file that can be read"

    def test_kubeconfig_is_not_looked_at_beside_a_route_file(self, load: Load) -> None:
        """A developer's shell may have set one."""
        assert load(KUBECONFIG="one:other").kubeconfig == Path("one:other")

    @pytest.mark.parametrize(("name", "path"), [("ROUTING_FILE", "routing.file"), ("AUTH_CA_FILE", "auth.ca_file")])
    def test_named_file_must_be_there(self, faults: Faults, name: str, path: str) -> None:
        """A file that is not there is said at start and not when it is first used."""
        assert faults(**{name: "absent"}) == [f"{path} (environment {name}): 'absent' is not a file that can be read"]


class TestTls:
    def test_a_certificate_and_its_key_are_accepted(self, load: Load) -> None:
        """As paths; whether they can be used is seen when the door opens."""
        http = load(HTTP_TLS_CERTIFICATE="tls.crt", HTTP_TLS_KEY="tls.key").http
        assert (http.tls_certificate, http.tls_key) == (Path("tls.crt"), Path("tls.key"))

    @pytest.mark.parametrize(("given", "missing"), [("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")])
    def test_one_without_the_other_is_a_fault(self, faults: Faults, given: str, missing: str) -> None:
        """The missing one is named."""
        (fault,) = faults(**{f"HTTP_{given.upper()}": "file"})
        assert fault.startswith(f"http.{missing} ")
        assert f"is needed where http.{given} is set" in fault

    def test_tls_at_the_door_means_https(self, faults: Faults) -> None:
        """Cookies without Secure over TLS would be a mistake."""
        changes = {"AUTH_PROTOCOL": "http", "AUTH_REDIRECT_URI": "http://workspaces.example.dev/auth/callback"}
        (fault,) = faults(HTTP_TLS_CERTIFICATE="tls.crt", HTTP_TLS_KEY="tls.key", **changes)
        assert fault.startswith("auth.protocol ")


class TestSshKeys:
    def test_authorities_need_to_know_owners(self, load: Load, faults: Faults) -> None:
        """A certificate names a user, and somebody must say whose a workspace is."""
        Path("ca.pub").write_text("ssh-ed25519 AAAA")

        assert faults(SSH_USER_CA_FILES="ca.pub", HTTP_ENABLED="false") == [
            "auth.service_token (not set; AUTH_SERVICE_TOKEN): is needed for ssh.user_ca_files where http.enabled is "  # noqa: ISC004  # one line
            "false: nothing else says whose a workspace is"
        ]
        assert load(SSH_USER_CA_FILES="ca.pub").ssh.user_ca_files == (Path("ca.pub"),)
        assert load(SSH_USER_CA_FILES="ca.pub", HTTP_ENABLED="false", AUTH_SERVICE_TOKEN="glpat-x").ssh.user_ca_files

    def test_files_must_be_there(self, faults: Faults) -> None:
        """Each is named with its place in the list."""
        assert faults(SSH_USER_CA_FILES="none", SSH_HOST_CERTIFICATE_FILES="nothing") == [
            "ssh.user_ca_files[0] (environment SSH_USER_CA_FILES): 'none' is not a file that can be read",
            "ssh.host_certificate_files[0] (environment SSH_HOST_CERTIFICATE_FILES): "  # noqa: ISC004  # one line
            "'nothing' is not a file that can be read",
        ]

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("SSH_MAX_KEY_OFFERS", "0"),
            ("SSH_MAX_AUTH_TRIES", "0"),
            ("SSH_MAX_CHANNELS", "0"),
            ("SSH_IDLE_TIMEOUT", "-1"),
            ("SSH_MAX_SESSION", "inf"),
            ("SSH_POD_HOST_KEY_CHANGE", "ignore"),
            ("SSH_FORWARD_LOCAL", "maybe"),
            ("SSH_FORWARD_REMOTE", "yes"),
            ("SSH_FORWARD_SOCKETS", "2"),
            ("SSH_FORWARD_AGENT", "no"),
            ("SSH_FORWARD_X11", "off"),
        ],
    )
    def test_a_value_out_of_range_is_a_fault_of_its_own(self, faults: Faults, variable: str, value: str) -> None:
        """One fault, and it names the variable."""
        (fault,) = faults(**{variable: value})

        assert f"(environment {variable})" in fault

    def test_the_defaults_are_what_is_documented(self, load: Load) -> None:
        """Everything works, nothing is ended, and what is dangerous is bounded."""
        ssh = load().ssh

        assert (ssh.max_auth_tries, ssh.max_key_offers, ssh.max_channels) == (3, 32, 512)
        assert (ssh.login_grace, ssh.keepalive_interval, ssh.keepalive_count) == (60, 30, 4)
        assert (ssh.startups_begin, ssh.startups_rate, ssh.startups_full, ssh.max_startups_per_ip) == (50, 30, 200, 10)
        assert (ssh.max_connections, ssh.max_connections_per_ip) == (4000, 100)
        assert (ssh.max_sessions_per_user, ssh.max_sessions_per_workspace) == (50, 50)
        assert (ssh.ban_failures, ssh.ban_window, ssh.ban_seconds, ssh.ban_max) == (5, 900, 1800, 86_400)
        assert (ssh.grant_memory, ssh.refusal_memory, ssh.recheck_interval) == (60, 10, 300)
        assert (ssh.connect_timeout, ssh.handshake_timeout, ssh.proxy_timeout) == (5, 10, 1)
        assert (ssh.idle_timeout, ssh.max_session, ssh.pod_host_key_change) == (0, 0, "warn")
        assert ssh.forward_local
        assert ssh.forward_remote
        assert ssh.forward_sockets
        assert ssh.forward_agent
        assert ssh.forward_x11
