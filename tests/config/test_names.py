"""Every setting has a key, a variable and a flag that follow from its place in the model."""

import re

import pytest

from config.names import NAMES, describe_settings, keys_of, path_of, settings_help


@pytest.mark.parametrize(
    ("path", "env", "flag", "default"),
    [
        ("auth.client_id", "AUTH_CLIENT_ID", "--auth-client-id", ""),
        ("auth.client_secret", "AUTH_CLIENT_SECRET", "--auth-client-secret", ""),
        ("auth.host", "AUTH_HOST", "--auth-host", ""),
        ("auth.protocol", "AUTH_PROTOCOL", "--auth-protocol", "https"),
        ("auth.redirect_uri", "AUTH_REDIRECT_URI", "--auth-redirect-uri", ""),
        ("auth.signing_key", "AUTH_SIGNING_KEY", "--auth-signing-key", ""),
        ("http.enabled", "HTTP_ENABLED", "--http-enabled", "true"),
        ("http.port", "HTTP_PORT", "--http-port", "9876"),
        ("kubeconfig", "KUBECONFIG", "--kubeconfig", ""),
        ("log_level", "LOG_LEVEL", "--log-level", "info"),
        ("metrics_path", "METRICS_PATH", "--metrics-path", "/metrics"),
        ("ssh.backend_port", "SSH_BACKEND_PORT", "--ssh-backend-port", "60022"),
        ("ssh.backend_username", "SSH_BACKEND_USERNAME", "--ssh-backend-username", "gitlab-workspaces"),
        ("ssh.enabled", "SSH_ENABLED", "--ssh-enabled", "true"),
        ("ssh.host_key", "SSH_HOST_KEY", "--ssh-host-key", ""),
        ("ssh.port", "SSH_PORT", "--ssh-port", "22"),
        ("watch_namespaces", "WATCH_NAMESPACES", "--watch-namespaces", ""),
    ],
)
def test_setting_is_called_as_in_the_original(path: str, env: str, flag: str, default: str) -> None:
    """The settings of GitLab's own proxy have its names and its defaults."""
    name = NAMES[path]

    assert (name.env, name.flag, name.default) == (env, flag, default)


def test_no_two_settings_share_a_name() -> None:
    """Dots, dashes and underscores never make two settings the same variable or flag."""
    names = describe_settings()

    assert len({name.env for name in names}) == len({name.flag for name in names}) == len(names)


def test_secrets_are_known_by_their_type() -> None:
    """Every setting that holds a secret is recognised as one."""
    secrets = {name.path for name in describe_settings() if name.is_secret}

    auth = {f"auth.{name}" for name in ("client_secret", "service_token", "signing_key", "previous_signing_keys")}
    assert secrets == {*auth, "ssh.host_key", "sessions.password"}


def test_help_lists_every_setting() -> None:
    """The help names each flag, variable and default, what it is for, and how the sources rank."""
    text = settings_help()

    assert all(f"  {name.flag}  {name.env}" in text for name in describe_settings())
    assert "  --http-port  HTTP_PORT  [9876]  (restart)\n" in text
    assert "  --http-drain-grace  HTTP_DRAIN_GRACE  [30]\n" in text
    assert "Seals grants and sign-in state." in text
    assert "--config FILE" in text


def test_help_fits_a_terminal() -> None:
    """No line of the help is longer than 120 characters, and none ends in a space."""
    assert [line for line in settings_help().splitlines() if re.search(r".{121}|\s$", line)] == []


@pytest.mark.parametrize("path", ["log_level", "auth.host", "routing.zones[1]", "visibility.rules[0].max"])
def test_path_and_keys_are_two_forms_of_one_thing(path: str) -> None:
    """What operators read and what the tree is walked by turn into each other."""
    assert path_of(keys_of(path)) == path
