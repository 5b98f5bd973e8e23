"""Host headers and host templates: one canonical form, or refused."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.hostname import InvalidHost, InvalidTemplate, is_within, parse_host, render_host, zone_of

NAME = "3000-apple-bear-blue.ws.example.dev"


@pytest.mark.parametrize(
    ("value", "host"),
    [
        (b"3000-apple-bear-blue.ws.example.dev", NAME),
        (b"3000-APPLE-bear-Blue.WS.example.dev", NAME),
        (b"3000-apple-bear-blue.ws.example.dev.", NAME),
        (b"3000-apple-bear-blue.ws.example.dev:443", NAME),
        (b"3000-apple-bear-blue.ws.example.dev:0443", NAME),
        (b"3000-apple-bear-blue.ws.example.dev.:8443", NAME),
        (b"localhost", "localhost"),
        (b"xn--bcher-kva.example", "xn--bcher-kva.example"),
        (b"127.0.0.1:9876", "127.0.0.1"),
        (b"[::1]:9876", "[::1]"),
        (b"[0:0:0:0:0:0:0:1]", "[::1]"),
        (b"a" * 63 + b".example", "a" * 63 + ".example"),
    ],
)
def test_a_host_has_one_canonical_form(value: bytes, host: str) -> None:
    """Case, one trailing dot and the port make no difference."""
    assert parse_host(value) == host


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b".",
        b"..",
        b"ws.example.dev..",
        b".ws.example.dev",
        b"ws..example.dev",
        b"ws.example.dev:99999",
        b"ws.example.dev:",
        b"ws.example.dev:12a",
        b"ws.example.dev:-1",
        b"ws.example.dev:000443",
        b"user@ws.example.dev",
        b"ws.example.dev/path",
        b"ws_1.example.dev",
        b"-ws.example.dev",
        b"ws-.example.dev",
        b"w%73.example.dev",
        b"ws.example.dev, evil.example",
        b"ws.example.dev evil",
        b"\tws.example.dev",
        b"ws.example.dev\0.evil",
        "b\u00fccher.example".encode(),
        "ws\u3002example".encode(),
        b"a" * 64 + b".example",
        b"a." * 126 + b"toolong",
        b"[::1",
        b"[::g]",
        b"[127.0.0.1]",
        b"::1",
    ],
)
def test_what_is_no_host_name_is_refused(value: bytes) -> None:
    """Everything that two readers could take for two hosts."""
    with pytest.raises(InvalidHost):
        parse_host(value)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_canonical_host_or_refused(value: bytes) -> None:
    """A canonical host is its own canonical form, whatever it came from."""
    try:
        host = parse_host(value)
    except InvalidHost:
        return

    assert parse_host(host.encode()) == host


@pytest.mark.parametrize(
    "template",
    [
        "{{.port}}-apple-bear-blue.ws.example.dev",
        "{{ .port }}-apple-bear-blue.ws.example.dev",
        "{{- .port -}}-apple-bear-blue.ws.example.dev",
        "  {{.port}}-apple-bear-blue.ws.example.dev\n",
        "{{.port -}}  -apple-bear-blue.ws.example.dev",
        "{{.port}}-Apple-Bear-Blue.ws.example.dev.",
        "{{.port}}-apple-bear-blue.ws.example.dev:8443",
        "3000-apple-bear-blue.ws.example.dev",
    ],
)
def test_a_host_template_is_rendered_as_gitlab_writes_it(template: str) -> None:
    """With the spaces and trim marks that Go's templates allow, and also without any action."""
    assert render_host(template, 3000) == NAME


def test_a_template_without_a_zone_gives_a_single_label() -> None:
    """GitLab writes a template that ends in a dot where no DNS zone is set."""
    assert render_host("{{.port}}-apple-bear-blue.", 3000) == "3000-apple-bear-blue"


@pytest.mark.parametrize(
    "template",
    [
        "{{.name}}-x.example",
        '{{printf "%d" .port}}-x.example',
        "{{.port}}{{range .}}x{{end}}.example",
        "{{.port|html}}.example",
        "{{-.port}}.example",
        "{{.port}}-x.example}}",
        "{{\u00a0.port}}-x.example",
        "{{-\u2003.port}}-x.example",
        "{{.port}}-x_y.example",
        "{{.port}}-" + "x" * 64 + ".example",
        "{{.port}}-b\u00fccher.example",
        "",
    ],
)
def test_a_template_with_anything_else_is_refused(template: str) -> None:
    """An annotation is a stranger's text and is never executed."""
    with pytest.raises(InvalidTemplate):
        render_host(template, 3000)


@pytest.mark.parametrize("text", ["a%s.b", "{{%s.port", "{{.port%s-x}}", "%s{{-.port}}", "{{.port -}}%s.", "{{%s"])
@pytest.mark.parametrize("blank", [" ", "{{.port}} ", "{{- .port -}} ", " {{", "\n"])
def test_a_long_template_costs_no_time(text: str, blank: str) -> None:
    """An annotation may have 256 KiB, and whoever reads it reads the routes of everybody."""
    template = text % (blank * (262_144 // len(blank)))
    started = time.process_time()
    with pytest.raises(InvalidTemplate):
        render_host(template, 3000)

    assert time.process_time() - started < 0.5  # of processor time; one that looks back over blanks takes minutes


@pytest.mark.parametrize("template", ["169.254.169.254", "10.0.0.{{.port}}", "[::1]", "1", "x.{{.port}}"])
def test_a_template_that_renders_to_an_address_is_refused(template: str) -> None:
    """Probes come by address, and nobody else's business is there."""
    with pytest.raises(InvalidTemplate):
        render_host(template, 80)


@pytest.mark.parametrize(
    ("host", "zone", "inside"),
    [
        ("a.ws.example.dev", "ws.example.dev", True),
        ("b.a.ws.example.dev", "ws.example.dev", True),
        ("ws.example.dev", "ws.example.dev", False),
        ("evilws.example.dev", "ws.example.dev", False),
        ("a.ws.example.dev.evil", "ws.example.dev", False),
        ("a.ws.example.dev", "", False),
    ],
)
def test_a_host_is_within_a_zone_only_below_it(host: str, zone: str, inside: bool) -> None:  # noqa: FBT001 - a table cell
    """A suffix that does not start at a dot is another domain."""
    assert is_within(host, zone) is inside


def test_the_zone_of_a_host_is_what_follows_its_first_label() -> None:
    """A single label has none."""
    assert (zone_of(NAME), zone_of("localhost")) == ("ws.example.dev", "")
