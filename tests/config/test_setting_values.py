"""The forms a single setting may take."""

import re
from collections.abc import Callable
from ipaddress import ip_network

import pytest
from pydantic import SecretStr

from config import values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://gitlab.example.com", "https://gitlab.example.com"),
        ("https://gitlab.example.com/", "https://gitlab.example.com"),
        ("http://localhost:3000/gitlab/", "http://localhost:3000/gitlab"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
    ],
)
def test_base_url_has_no_trailing_slash(text: str, expected: str) -> None:
    """GitLab's address may have a port and a relative URL root."""
    assert values.base_url(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://gitlab.example.com", "https://gitlab.example.com"),
        ("HTTPS://GitLab.example.com", "https://gitlab.example.com"),
        ("https://gitlab.example.com:443", "https://gitlab.example.com"),
        ("http://gitlab.example.com:80", "http://gitlab.example.com"),
        ("http://gitlab.example.com:443", "http://gitlab.example.com:443"),
        ("vscode-webview://panel", "vscode-webview://panel"),
    ],
)
def test_origin_is_spelled_as_browsers_send_it(text: str, expected: str) -> None:
    """An origin is lower case and without the default port of its scheme."""
    assert values.origin(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("workspaces.example.dev", "workspaces.example.dev"),
        ("Workspaces.Example.DEV.", "workspaces.example.dev"),
        ("localhost", "localhost"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        (".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61]), ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])),
    ],
)
def test_zone_is_canonical(text: str, expected: str) -> None:
    """A zone is lower case and has no trailing dot."""
    assert values.zone(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("10.0.0.0/8", "10.0.0.0/8"), ("10.1.2.3", "10.1.2.3/32"), ("2001:db8::/32", "2001:db8::/32"), ("::1", "::1/128")],
)
def test_network_is_an_address_or_a_range(text: str, expected: str) -> None:
    """A single address is a network of one."""
    assert values.network(text) == ip_network(expected)


@pytest.mark.parametrize("text", ["one\ntwo\n", "one\ntwo", "one\r\ntwo\r\n", "\n  one\n  two\n\n", "one\rtwo"])
def test_host_key_gets_back_its_lines(text: str) -> None:
    """Line ends, indentation and the final newline that a key lost on its way are restored."""
    assert values.host_key_text(SecretStr(text)).get_secret_value() == "one\ntwo\n"


BASE_URL = "must be an http or https URL such as https://gitlab.example.com"
ORIGIN = "must be an origin such as https://gitlab.example.com, that is scheme://host[:port]"
ORIGIN_PATH = "must be an origin, that is scheme://host[:port] without a path or a trailing slash"
PATH = "must be a path that begins with a slash, such as /metrics"


@pytest.mark.parametrize(
    ("form", "text", "problem"),
    [
        (values.base_url, "gitlab.example.com", BASE_URL),
        (values.base_url, "ftp://gitlab.example.com", BASE_URL),
        (values.base_url, "https://", BASE_URL),
        (values.base_url, "https://gitlab.example.com:99999", BASE_URL),
        (values.base_url, "https://[2001:db8::1", BASE_URL),
        (values.base_url, "https://gitlab .example.com", BASE_URL),
        (values.base_url, "https://gitlab.example.com/?a=b", f"{BASE_URL}, without ? or #"),
        (values.base_url, "https://me:secret@gitlab.example.com", "must not contain a user name or password"),
        (values.origin, "*", ORIGIN),
        (values.origin, "null", ORIGIN),
        (values.origin, "gitlab.example.com", ORIGIN),
        (values.origin, "https://me@gitlab.example.com", ORIGIN),
        (values.origin, "https://gitlab.example.com/", ORIGIN_PATH),
        (values.origin, "https://gitlab.example.com/ide?x", ORIGIN_PATH),
        (values.zone, "*.example.dev", "'*.example.dev' must be written without the leading *."),
        (values.zone, "a_b.dev", "'a_b.dev' is not a DNS name such as workspaces.example.dev"),
        (values.zone, "a..dev", "'a..dev' is not a DNS name such as workspaces.example.dev"),
        (values.zone, "-a.dev", "'-a.dev' is not a DNS name such as workspaces.example.dev"),
        (values.zone, "https://a.dev", "'https://a.dev' is not a DNS name such as workspaces.example.dev"),
        (values.zone, "10.0.0.1", "'10.0.0.1' is not a DNS name such as workspaces.example.dev"),
        (values.zone, "a.dev\n", "'a.dev\\n' is not a DNS name such as workspaces.example.dev"),
        (values.zone, "bücher.example", "'bücher.example' is not a DNS name such as workspaces.example.dev"),
        (values.namespace, "a b", "'a b' is not the name of a Kubernetes namespace (a-z, 0-9 and - only)"),
        (values.namespace, "A", "'A' is not the name of a Kubernetes namespace (a-z, 0-9 and - only)"),
        (values.network, "10.0.0.1/8", "'10.0.0.1/8' has address bits beyond its prefix length; write 10.0.0.0/8"),
        (values.network, "10.0.0/8", "'10.0.0/8' is not a network such as 10.0.0.0/8 or 2001:db8::/32"),
        (values.network, "nginx", "'nginx' is not a network such as 10.0.0.0/8 or 2001:db8::/32"),
        (values.url_path, "metrics", PATH),
        (values.url_path, "/metrics?x", PATH),
        (values.url_path, "/my metrics", PATH),
        (values.switch, "yes", "must be true or false"),
        (values.comma_list, [""], "is given but names nothing; name something or leave it out"),
    ],
)
def test_other_forms_are_refused(form: Callable[[object], object], text: object, problem: str) -> None:
    """A form that would be misunderstood later is refused with what would be right."""
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}$"):
        form(text)


@pytest.mark.parametrize("form", [values.switch, values.comma_list, values.network])
def test_values_of_another_kind_are_left_to_the_type(form: Callable[[object], object]) -> None:
    """What is no text is not judged here."""
    assert form(7) == 7


@pytest.mark.parametrize("text", ["", "ssh.example.dev", "SSH.example.dev", "192.0.2.7", "2001:db8::7", "localhost"])
def test_a_host_name_is_what_stands_after_the_at_sign(text: str) -> None:
    """Kept as it was written."""
    assert values.host_name(text) == text


@pytest.mark.parametrize(
    "text", ["me@host", "host:22", "ssh://host", "-oProxyCommand=x", "two hosts", "host\nPort 1", "a/b"]
)
def test_a_host_name_is_nothing_else(text: str) -> None:
    """It is printed into commands and files of ssh."""
    with pytest.raises(ValueError, match="must be a host name"):
        values.host_name(text)


def test_a_time_without_use_is_never_or_at_least_a_minute() -> None:
    """Somebody may have meant minutes."""
    assert [values.idle_timeout(seconds) for seconds in (0, 60, 7200)] == [0, 60, 7200]
    with pytest.raises(ValueError, match=r"^must be 0 for never, or at least 60$"):
        values.idle_timeout(30)
