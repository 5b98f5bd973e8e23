"""Which differences between two settings a running gateway can take up."""

from collections.abc import Callable

import pytest

from config.changes import find_changes, find_restarts
from config.names import NAMES
from config.section import Change
from config.settings import Settings

Load = Callable[..., Settings]


def test_every_difference_is_found_by_its_path(load: Load) -> None:
    """Also one in a secret, and in a list."""
    changed = load(
        "--log-level=debug", "--http-trusted-proxies=10.0.0.0/8", AUTH_CLIENT_SECRET="another", HTTP_PORT="9999"
    )

    assert find_changes(load(), changed) == (
        "auth.client_secret",
        "http.port",
        "http.trusted_proxies",
        "log_level",
    )
    assert find_changes(load(), load()) == ()


def test_only_what_needs_a_restart_is_told_as_such(load: Load) -> None:
    """A port does, a log level does not."""
    assert find_restarts(load(), load("--log-level=debug", "--http-port=9999")) == ("http.port",)
    assert find_restarts(load(), load("--log-level=debug")) == ()


@pytest.mark.parametrize("name", ["http.tls_certificate", "http.tls_key"])
def test_tls_is_neither_switched_on_nor_off(load: Load, name: str) -> None:
    """Another certificate is taken up, but a door that speaks TLS goes on to."""
    one, two = (["--http-tls-certificate", f"{path}.pem", "--http-tls-key", f"{path}.key"] for path in ("a", "b"))

    assert name in find_restarts(load(), load(*one))
    assert name in find_restarts(load(*one), load())
    assert find_restarts(load(*one), load(*two)) == ()


def test_what_needs_a_restart_is_where_to_listen_and_whom_to_ask() -> None:
    """The list in full: whoever adds to it takes something away from operators."""
    restart = {path for path, name in NAMES.items() if name.change is Change.RESTART}

    doors = {f"{door}.{key}" for door in ("http", "ssh") for key in ("enabled", "address", "port")}
    gitlab = {f"auth.{key}" for key in ("host", "redirect_uri", "protocol", "ca_file", "timeout")}
    routes = {"routing.file", "routing.zones", "watch_namespaces", "kubeconfig"}
    tracing = {"tracing.endpoint", "tracing.sample_ratio"}
    rest = {"admin.address", "admin.port", "sessions.store", "workers", "metrics_path"}
    assert restart == doors | gitlab | routes | tracing | rest
