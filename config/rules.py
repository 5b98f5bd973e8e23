"""What settings must agree on with each other and with the files they name.

A rule looks at settings that are valid one by one and yields a breach for each thing that still cannot work.
Nothing here changes a setting, and the only I/O is to read the files an operator named.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from config.host_key import get_host_key_problem
from config.settings import SIGNING_KEY_MIN, Settings, SshSettings
from config.values import split_url

CALLBACK_PATH = "/auth/callback"

_EVERYWHERE = frozenset({"", "0.0.0.0", "::"})  # noqa: S104  # compared with, not bound to


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that does not hold."""

    paths: tuple[str, ...]
    """The settings it is about: the first is to blame, and all must be valid for the rule to mean anything."""
    problem: str


def find_breaches(settings: Settings) -> Iterator[Breach]:
    """Everything that keeps these settings from working together."""
    if not settings.http.enabled and not settings.ssh.enabled:
        yield Breach(("http.enabled", "ssh.enabled"), "is false, and so is ssh.enabled: nothing would be served")
    if settings.http.enabled:
        yield from _sign_in(settings)
        yield from _tls(settings)
    if settings.ssh.enabled:
        yield from _ssh_door(settings)
    yield from _workers(settings)
    yield from _ports(settings)
    yield from _files(settings)


def find_unused(settings: Settings) -> tuple[str, ...]:
    """Settings that say something and change nothing, because of another one."""
    if settings.routing.file is None:
        return ()
    return tuple(path for path in ("kubeconfig", "watch_namespaces") if getattr(settings, path))


def _sign_in(settings: Settings) -> Iterator[Breach]:
    auth = settings.auth
    required = {
        "client_id": auth.client_id,
        "client_secret": auth.client_secret.get_secret_value(),
        "redirect_uri": auth.redirect_uri,
        "signing_key": auth.signing_key.get_secret_value(),
    }
    for key, value in required.items():
        if not value:
            yield Breach((f"auth.{key}", "http.enabled"), "is needed unless http.enabled is false")
    if auth.redirect_uri:
        yield from _redirect_uri(settings)
    if auth.signing_key.get_secret_value():
        yield from _key_length("auth.signing_key", auth.signing_key.get_secret_value())
    for index, previous in enumerate(auth.previous_signing_keys):
        yield from _key_length(f"auth.previous_signing_keys[{index}]", previous.get_secret_value())


def _tls(settings: Settings) -> Iterator[Breach]:
    http = settings.http
    if (http.tls_certificate is None) != (http.tls_key is None):
        missing, given = ("tls_key", "tls_certificate") if http.tls_key is None else ("tls_certificate", "tls_key")
        yield Breach((f"http.{missing}", f"http.{given}"), f"is needed where http.{given} is set")
    if http.tls_certificate is not None and settings.auth.protocol == "http":
        yield Breach(("auth.protocol", "http.tls_certificate"), "is http, but with http.tls_certificate it is https")


def _workers(settings: Settings) -> Iterator[Breach]:
    if settings.workers > 1 and settings.http.enabled and settings.sessions.store == "memory":
        problem = "is more than 1, which needs the sessions in Redis: see sessions.store"
        yield Breach(("workers", "sessions.store"), problem)


def _key_length(path: str, key: str) -> Iterator[Breach]:
    if len(key) < SIGNING_KEY_MIN:
        problem = f"is too short; use {SIGNING_KEY_MIN} characters or more, such as `openssl rand -hex 32` prints"
        yield Breach((path, "http.enabled"), problem)


def _redirect_uri(settings: Settings) -> Iterator[Breach]:
    paths = ("auth.redirect_uri", "auth.protocol", "http.enabled")
    try:
        parts = split_url(settings.auth.redirect_uri)
    except ValueError:
        yield Breach(paths, f"must be an absolute URL such as https://workspaces.example.dev{CALLBACK_PATH}")
        return
    if not parts.path.endswith(CALLBACK_PATH) or parts.query or parts.fragment:
        yield Breach(paths, f"must end in {CALLBACK_PATH}, as the OAuth application in GitLab says it")
    if parts.scheme != settings.auth.protocol:
        yield Breach(paths, f"begins with {parts.scheme}:// but auth.protocol is {settings.auth.protocol}")


def _ssh_door(settings: Settings) -> Iterator[Breach]:
    ssh = settings.ssh
    if not ssh.backend_username:
        yield Breach(("ssh.backend_username", "ssh.enabled"), "must not be empty")
    if not ssh.host_key.get_secret_value() and not ssh.host_key_files:
        needed = "is needed unless ssh.enabled is false: give a private key here or name one in ssh.host_key_files"
        yield Breach(("ssh.host_key", "ssh.host_key_files", "ssh.enabled"), needed)
    yield from _host_keys(ssh)
    if ssh.user_ca_files and not settings.auth.service_token.get_secret_value() and not settings.http.enabled:
        problem = "is needed for ssh.user_ca_files where http.enabled is false: nothing else says whose a workspace is"
        yield Breach(("auth.service_token", "ssh.user_ca_files", "http.enabled", "ssh.enabled"), problem)


def _host_keys(ssh: SshSettings) -> Iterator[Breach]:
    text = ssh.host_key.get_secret_value()
    problems = {"ssh.host_key": get_host_key_problem(text.encode(errors="replace")) if text else None}
    for index, path in enumerate(ssh.host_key_files):
        problems[f"ssh.host_key_files[{index}]"] = _get_file_problem(path)
    yield from (Breach((path, "ssh.enabled"), problem) for path, problem in problems.items() if problem)


def _get_file_problem(path: Path) -> str | None:
    if not str(path).isprintable() or "PRIVATE KEY" in str(path):
        return "must be the path of a file; the text of a key belongs into ssh.host_key"
    try:
        problem = get_host_key_problem(path.read_bytes())
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    return f"{path} {problem}" if problem else None


def _ports(settings: Settings) -> Iterator[Breach]:
    doors = {"admin": settings.admin} | {
        name: door for name, door in (("http", settings.http), ("ssh", settings.ssh)) if door.enabled
    }
    taken: list[tuple[str, str, int]] = []
    for name, door in doors.items():
        for other, address, port in taken:
            if port == door.port and _is_shared(address, door.address):
                paths = (f"{name}.port", f"{other}.port", f"{name}.enabled", f"{name}.address", f"{other}.address")
                yield Breach(paths, f"{port} is also {other}.port; every door needs a port of its own")
        taken.append((name, door.address, door.port))


def _is_shared(one: str, other: str) -> bool:
    return one == other or not _EVERYWHERE.isdisjoint((one, other))


def _files(settings: Settings) -> Iterator[Breach]:
    files = [("auth.ca_file", settings.auth.ca_file), ("routing.file", settings.routing.file)]
    if settings.routing.file is None:  # with a route file nobody looks at a cluster
        files.append(("kubeconfig", settings.kubeconfig))
    if settings.ssh.enabled:
        for name in ("user_ca_files", "host_certificate_files"):
            files += [(f"ssh.{name}[{index}]", file) for index, file in enumerate(getattr(settings.ssh, name))]
    for path, file in files:
        if file is not None and not file.is_file():
            yield Breach((path,), f"{str(file)!r} is not a file that can be read")
