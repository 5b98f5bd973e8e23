"""The gateway's cookies are spelt so that only the host itself can set them, and read without being fooled."""

import time
from http.cookies import SimpleCookie

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.cookies import Cookies, expire_old, values

SECURE, PLAIN = Cookies(secure=True), Cookies(secure=False)
NAME = SECURE.session


def test_names_have_the_host_prefix_when_secure() -> None:
    """A browser enforces __Host- : no Domain, Secure, Path=/."""
    assert SECURE.session == "__Host-workspaces-session"
    assert [SECURE.browser, SECURE.entry, SECURE.grant] == [
        "__Host-workspaces-browser",
        "__Host-workspaces-entry",
        "__Host-workspaces-grant",
    ]


def test_names_lack_the_prefix_over_plain_http() -> None:
    """Development over http works, because a browser would refuse the prefix there."""
    assert PLAIN.grant == "workspaces-grant"


@pytest.mark.parametrize(
    ("cookies", "expected"),
    [
        (SECURE, "__Host-workspaces-grant=v-_1; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure"),
        (PLAIN, "workspaces-grant=v-_1; Path=/; Max-Age=600; HttpOnly; SameSite=Lax"),
    ],
)
def test_a_cookie_is_issued_without_a_domain(cookies: Cookies, expected: str) -> None:
    """Host-only, out of reach of scripts, and not sent by other sites."""
    assert cookies.issue(cookies.grant, "v-_1", 600) == expected


def test_expiring_keeps_the_attributes_the_prefix_demands() -> None:
    """A browser ignores the removal of a __Host- cookie that lacks Secure or Path."""
    assert SECURE.expire(NAME) == f"{NAME}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure"


@pytest.mark.parametrize("value", ["a;b", "a\r\nSet-Cookie: x=y", "a b", 'a"', "a,b", "a\\b", "é", "a\n", "\0"])
def test_a_value_that_would_break_the_header_is_refused(value: str) -> None:
    """Nothing can be smuggled into Set-Cookie through a value."""
    with pytest.raises(ValueError, match="cannot stand"):
        SECURE.issue(NAME, value, 1)


def test_our_names_and_the_old_ones_are_known() -> None:
    """The edge removes all of these between client and workspace, in both directions."""
    assert SECURE.names == {
        b"__Host-workspaces-session",
        b"__Host-workspaces-browser",
        b"__Host-workspaces-known",
        b"__Host-workspaces-entry",
        b"__Host-workspaces-grant",
        b"__Host-workspaces-seen",
        b"__Host-workspaces-entered",
        b"gitlab-workspace-session",
        b"gitlab-workspaces-session",
    }


def test_old_cookies_are_expired_on_host_and_wildcard_domain() -> None:
    """The old proxy's cookies lie on the wildcard domain, in two spellings of their name."""
    lines = expire_old("3000-a.workspaces.example.dev")

    assert len(lines) == 4
    assert sum("Domain=.workspaces.example.dev" in line for line in lines) == 2
    assert all("Max-Age=0" in line for line in lines)


def test_old_cookies_of_a_single_label_host_have_no_domain() -> None:
    """`localhost` has no parent to clean."""
    assert all("Domain" not in line for line in expire_old("localhost"))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"__Host-workspaces-session=a", [b"a"]),
        (b"x=1; __Host-workspaces-session=a; y=2", [b"a"]),
        (b"__Host-workspaces-session=evil; __Host-workspaces-session=mine", [b"evil", b"mine"]),
        (b"__Host-workspaces-session=a;__Host-workspaces-session=b", [b"a", b"b"]),
        (b"\t __Host-workspaces-session=a \t", [b"a"]),
        (b"__Host-workspaces-session=a=b==", [b"a=b=="]),
        (b"__Host-workspaces-session=", [b""]),
        (b'__Host-workspaces-session="a"', [b'"a"']),
        (b"__host-workspaces-session=a", []),
        (b"__Host-workspaces-sessionx=a", []),
        (b"x__Host-workspaces-session=a", []),
        (b"=__Host-workspaces-session=a", []),
        (b"__%48ost-workspaces-session=a", []),
        (b"__Host-workspaces-session =a", []),
        (b"\xa0__Host-workspaces-session=a", []),
        (b"__Host-workspaces-session", []),
        (b"", []),
        (b";;; ;=;", []),
    ],
)
def test_values_of_exactly_this_name_are_found(header: bytes, expected: list[bytes]) -> None:
    """Every value under the name is given, lookalikes are not."""
    assert values(header, NAME) == expected


@given(st.lists(st.text("abcXYZ019-_", min_size=1), max_size=8))
def test_what_is_issued_is_read_back(tokens: list[str]) -> None:
    """Values survive the way through a browser, all of them, in order."""
    header = "; ".join(SECURE.issue(NAME, token, 5).partition(";")[0] for token in tokens)

    assert values(header.encode(), NAME) == [token.encode() for token in tokens]


@given(st.text("!#$%&'()*+-./09:<=>?@AZ[]^_`az{|}~", max_size=40))
def test_an_issued_cookie_is_one_cookie_to_others_too(value: str) -> None:
    """An independent parser sees one cookie, with our attributes."""
    parsed = SimpleCookie(PLAIN.issue("workspaces-grant", value, 5))

    assert list(parsed) == ["workspaces-grant"]
    assert parsed["workspaces-grant"]["samesite"] == "Lax"


def test_a_cookie_bomb_costs_milliseconds() -> None:
    """Reading is linear: a megabyte of crumbs is far below a person's notice."""
    header = b"__Host-workspaces-session=a; " + b";=" * 500_000
    started = time.process_time()

    assert values(header, NAME) == [b"a"]
    assert time.process_time() - started < 1
