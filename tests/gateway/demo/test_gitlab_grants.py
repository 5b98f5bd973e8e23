"""The authorisation server's rules, decided without a socket: codes, PKCE, rotation, revocation."""

import base64
import hashlib
from dataclasses import dataclass, replace

import pytest

from gateway.demo.gitlab_grants import (
    CODE_LIFETIME,
    INVALID_CLIENT,
    INVALID_GRANT,
    UNAUTHORIZED_CLIENT,
    Application,
    AuthorizationServer,
    OAuthFault,
    Permission,
    TokenPair,
    answers_challenge,
    missing,
)
from gateway.demo.gitlab_tokens import Refusal, Token, TokenStore, digest
from tests.clock import Clock

CALLBACK = "https://portal.example.com/auth/callback"
VERIFIER = "v" * 43
S256 = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@dataclass
class Site:
    """An authorisation server with one application and one person's permission."""

    clock: Clock
    tokens: TokenStore
    server: AuthorizationServer
    client: Application
    permission: Permission

    def first_pair(self) -> tuple[str, TokenPair]:
        code = self.server.issue_code(self.permission)
        pair = self.server.exchange(self.client, code, CALLBACK, VERIFIER)
        assert isinstance(pair, TokenPair)
        return code, pair

    def refreshed(self, pair: TokenPair) -> TokenPair:
        fresh = self.server.refresh(self.client, pair.refresh, CALLBACK)
        assert isinstance(fresh, TokenPair)
        return fresh

    def use(self, access: str) -> None:
        token = self.tokens.use(access)
        assert isinstance(token, Token)
        self.server.confirm(token)


@pytest.fixture
def site() -> Site:
    clock = Clock()
    tokens = TokenStore(clock)
    server = AuthorizationServer(tokens, clock)
    client_id, secret = server.register((CALLBACK,), is_trusted=False)
    client = server.authenticate(client_id, secret)
    assert isinstance(client, Application)
    return Site(clock, tokens, server, client, Permission(1, client_id, CALLBACK, ("api",), "n", S256, "S256"))


@pytest.mark.parametrize(
    ("challenge", "method", "verifier", "expected"),
    [
        (S256, "S256", VERIFIER, True),
        (S256, "S256", "w" * 43, False),
        (S256, "S256", "", False),
        (S256, "plain", VERIFIER, False),
        (VERIFIER, "plain", VERIFIER, True),
        (VERIFIER, "S256", VERIFIER, False),
        ("v" * 42, "plain", "v" * 42, False),
        ("v" * 129, "plain", "v" * 129, False),
        ("v" * 128, "plain", "v" * 128, True),
        ("", "", "", True),
        ("", "", VERIFIER, False),
    ],
)
def test_a_verifier_must_fit_its_challenge(challenge: str, method: str, verifier: str, *, expected: bool) -> None:
    """RFC 7636: S256 and plain, 43 to 128 characters, and no verifier where there was no challenge."""
    permission = Permission(1, "client", CALLBACK, ("api",), "", challenge, method)

    assert answers_challenge(permission, verifier) is expected


def test_a_code_gives_one_pair_of_tokens(site: Site) -> None:
    """The pair is for what was permitted, and the access token works at once."""
    _code, pair = site.first_pair()

    token = site.tokens.look_up(pair.access)
    assert isinstance(token, Token)
    assert (token.user_id, token.scopes, token.kind) == (1, ("api",), "oauth")
    assert len(pair.access) == len(pair.refresh) == 64


def test_a_replayed_code_revokes_what_it_gave(site: Site) -> None:
    """Somebody else has the code, so neither of the two may keep the tokens, refreshed ones included."""
    code, pair = site.first_pair()
    fresh = site.refreshed(pair)

    assert site.server.exchange(site.client, code, CALLBACK, VERIFIER) == INVALID_GRANT
    assert site.tokens.look_up(fresh.access) is Refusal.REVOKED
    assert site.server.refresh(site.client, fresh.refresh, CALLBACK) == INVALID_GRANT


def test_a_code_lives_ten_minutes(site: Site) -> None:
    """To the second."""
    early, late = site.server.issue_code(site.permission), site.server.issue_code(site.permission)

    site.clock.now += CODE_LIFETIME - 1
    assert isinstance(site.server.exchange(site.client, early, CALLBACK, VERIFIER), TokenPair)
    site.clock.now += 1
    assert site.server.exchange(site.client, late, CALLBACK, VERIFIER) == INVALID_GRANT


@pytest.mark.parametrize(
    ("redirect_uri", "verifier", "expected"),
    [
        (CALLBACK + "/", VERIFIER, INVALID_GRANT),
        (CALLBACK.replace("https", "http"), VERIFIER, INVALID_GRANT),
        (CALLBACK, "w" * 43, INVALID_GRANT),
        (CALLBACK, "", missing("code_verifier")),
    ],
)
def test_a_wrong_exchange_is_refused_and_does_not_spend_the_code(
    site: Site, redirect_uri: str, verifier: str, expected: OAuthFault
) -> None:
    """The right one may still come after it."""
    code = site.server.issue_code(site.permission)

    assert site.server.exchange(site.client, code, redirect_uri, verifier) == expected
    assert isinstance(site.server.exchange(site.client, code, CALLBACK, VERIFIER), TokenPair)


def test_a_code_is_for_the_application_that_asked(site: Site) -> None:
    """Another application with the same redirect URI gets nothing for it."""
    code = site.server.issue_code(site.permission)
    other = replace(site.client, client_id="other")

    assert site.server.exchange(other, code, CALLBACK, VERIFIER) == INVALID_GRANT


def test_a_refresh_ends_the_old_access_token(site: Site) -> None:
    """Whoever still uses it must notice."""
    _code, pair = site.first_pair()

    fresh = site.refreshed(pair)

    assert site.tokens.look_up(pair.access) is Refusal.REVOKED
    assert isinstance(site.tokens.look_up(fresh.access), Token)


def test_an_answer_to_a_refresh_may_get_lost(site: Site) -> None:
    """Until the new access token is used, the old refresh token gives another pair."""
    _code, pair = site.first_pair()
    site.refreshed(pair)

    again = site.refreshed(pair)

    assert isinstance(site.tokens.look_up(again.access), Token)


def test_the_first_use_of_the_new_access_token_ends_the_old_refresh_token(site: Site) -> None:
    """Then the old one is worth nothing, and the new one goes on."""
    _code, pair = site.first_pair()
    fresh = site.refreshed(pair)

    site.use(fresh.access)

    assert site.server.refresh(site.client, pair.refresh, CALLBACK) == INVALID_GRANT
    assert isinstance(site.server.refresh(site.client, fresh.refresh, CALLBACK), TokenPair)


@pytest.mark.parametrize("redirect_uri", ["", CALLBACK + "?x=1"])
def test_a_refresh_names_the_same_redirect_uri(site: Site, redirect_uri: str) -> None:
    """GitLab asks for it and compares it."""
    _code, pair = site.first_pair()

    assert site.server.refresh(site.client, pair.refresh, redirect_uri) == INVALID_GRANT


def test_a_refresh_token_is_for_its_application(site: Site) -> None:
    """Another one is refused, and the pair goes on for its own."""
    _code, pair = site.first_pair()

    assert site.server.refresh(replace(site.client, client_id="other"), pair.refresh, CALLBACK) == INVALID_GRANT
    assert isinstance(site.server.refresh(site.client, pair.refresh, CALLBACK), TokenPair)


@pytest.mark.parametrize("which", ["access", "refresh"])
def test_revoking_either_token_ends_both(site: Site, which: str) -> None:
    """They are one record."""
    _code, pair = site.first_pair()

    assert site.server.revoke(site.client, getattr(pair, which)) is None
    assert site.tokens.look_up(pair.access) is Refusal.REVOKED
    assert site.server.refresh(site.client, pair.refresh, CALLBACK) == INVALID_GRANT


def test_revoking_an_unknown_token_is_no_fault(site: Site) -> None:
    """RFC 7009: the client's wish, that the token be invalid, is fulfilled."""
    assert site.server.revoke(site.client, "never-issued") is None


def test_only_its_application_may_revoke_a_token(site: Site) -> None:
    """Neither another application nor nobody."""
    _code, pair = site.first_pair()
    other = replace(site.client, client_id="other")

    assert site.server.revoke(other, pair.access) == UNAUTHORIZED_CLIENT
    assert site.server.revoke(None, pair.access) == UNAUTHORIZED_CLIENT
    assert isinstance(site.tokens.look_up(pair.access), Token)


def test_a_renewed_secret_replaces_the_old_one(site: Site) -> None:
    """As when an administrator renews it on GitLab's page while the gateway runs."""
    client_id, old = site.server.register((CALLBACK,), is_trusted=False)

    new = site.server.change_secret(client_id)

    assert site.server.authenticate(client_id, old) == INVALID_CLIENT
    assert isinstance(site.server.authenticate(client_id, new), Application)


def test_no_repr_shows_a_token(site: Site) -> None:
    """They may be printed by a failing test."""
    code, pair = site.first_pair()
    shown = f"{pair!r} {site.tokens!r} {site.tokens.look_up(pair.access)!r} {site.server.get_application('x')!r}"

    assert not any(secret in shown for secret in (code, pair.access, pair.refresh, digest(pair.access)))
