"""The cookie jar: a cookie goes back to the host that set it, and to no other."""

import pytest

from gateway.demo.cookies import CookieJar

HOST = "http://a.workspaces.localhost:9876"


def jar_with(*lines: str, url: str = HOST + "/") -> CookieJar:
    jar = CookieJar()
    for line in lines:
        jar.store(url, line)
    return jar


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        (HOST + "/", True),
        (HOST + "/deep/path?query", True),
        ("http://a.workspaces.localhost:1/", True),
        ("http://b.workspaces.localhost:9876/", False),
        ("http://workspaces.localhost:9876/", False),
        ("http://x.a.workspaces.localhost:9876/", False),
    ],
)
def test_a_cookie_goes_to_its_own_host_only(url: str, *, sent: bool) -> None:
    """Neither siblings nor parents nor children get it; a port makes no difference."""
    assert jar_with("grant=1; Path=/; HttpOnly; SameSite=Lax").header(url) == ("grant=1" if sent else "")


@pytest.mark.parametrize(
    "line",
    [
        "a=1; Domain=workspaces.localhost",
        "a=1; domain=a.workspaces.localhost",
        "a=1; Secure",
        "__Host-a=1; Path=/",
        "__Secure-a=1",
        "=1",
        "",
    ],
)
def test_a_cookie_that_breaks_a_rule_is_not_kept(line: str) -> None:
    """No Domain, no Secure over http, no prefix without what it promises, no empty name."""
    assert jar_with(line).header(HOST + "/") == ""


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("__Host-a=1; Secure; Path=/", True),
        ("__Host-a=1; Secure; Path=/x", False),
        ("__Host-a=1; Secure", False),
        ("__Secure-a=1; Secure", True),
        ("a=1; Secure", True),
    ],
)
def test_prefixes_over_https_need_what_they_promise(line: str, *, kept: bool) -> None:
    """As browsers have it."""
    assert bool(jar_with(line, url="https://a.localhost/x").header("https://a.localhost/x")) is kept


@pytest.mark.parametrize(
    ("line", "path", "sent"),
    [
        ("a=1; Path=/x", "/x", True),
        ("a=1; Path=/x", "/x/y", True),
        ("a=1; Path=/x", "/xy", False),
        ("a=1; Path=/x/", "/x/y", True),
        ("a=1", "/auth/other", True),
        ("a=1", "/", False),
    ],
)
def test_a_path_limits_a_cookie(line: str, path: str, *, sent: bool) -> None:
    """Without one, the folder of the page that set it does."""
    assert bool(jar_with(line, url=HOST + "/auth/start").header(HOST + path)) is sent


@pytest.mark.parametrize(
    "end",
    [
        "Max-Age=0",
        "Max-Age=-1",
        "Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        "Max-Age=0; Expires=Fri, 31 Dec 9999 23:59:59 GMT",
    ],
)
def test_a_cookie_is_expired_on_purpose(end: str) -> None:
    """By either attribute; Max-Age wins."""
    assert jar_with("a=1; Path=/", f"a=; Path=/; {end}").header(HOST + "/") == ""


@pytest.mark.parametrize("life", ["Max-Age=600", "Expires=Fri, 31 Dec 9999 23:59:59 GMT", "Expires=nonsense"])
def test_a_cookie_with_time_left_is_kept(life: str) -> None:
    """Nonsense is no date in the past."""
    assert jar_with(f"a=1; {life}").header(HOST + "/") == "a=1"


def test_a_later_cookie_replaces_an_earlier_one_and_longer_paths_come_first() -> None:
    """A value with an equals sign stays whole."""
    jar = jar_with("a=1; Path=/", "a=2==; Path=/", "b=3; Path=/x")

    assert jar.header(HOST + "/x") == "b=3; a=2=="


def test_its_repr_holds_no_value() -> None:
    """A session is a secret."""
    assert repr(jar_with("a=secret; Path=/")) == "<CookieJar [('a.workspaces.localhost', '/', 'a')]>"
