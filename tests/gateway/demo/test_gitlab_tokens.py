"""Personal access tokens: their life, their rotation, and that they are kept as hashes."""

from datetime import UTC, date, datetime

import pytest

from gateway.demo.gitlab_tokens import OAUTH_LIFETIME, Refusal, Token, TokenStore
from tests.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime(2026, 12, 30, 12, tzinfo=UTC).timestamp())


@pytest.fixture
def store(clock: Clock) -> TokenStore:
    return TokenStore(clock)


def personal(store: TokenStore, *, prefix: str = "glpat-", expires_on: date | None = None) -> str:
    return store.issue_personal(1, ("api",), prefix=prefix, name="a token", expires_on=expires_on)


def test_a_token_dies_at_the_start_of_its_last_date(store: TokenStore, clock: Clock) -> None:
    """At 00:00 UTC of `expires_at`, not at the end of that day."""
    token = personal(store, expires_on=date(2026, 12, 31))

    clock.now = datetime(2026, 12, 30, 23, 59, 59, tzinfo=UTC).timestamp()
    assert isinstance(store.use(token), Token)
    clock.now += 1
    assert store.use(token) is Refusal.EXPIRED


def test_a_token_without_a_date_lives_on(store: TokenStore, clock: Clock) -> None:
    """`expires_at` may be null."""
    token = personal(store)

    clock.now += 10 * 365 * 86400
    assert isinstance(store.use(token), Token)


def test_an_oauth_token_lives_two_hours(store: TokenStore, clock: Clock) -> None:
    """7200 seconds, and nobody can configure it."""
    token = store.issue_oauth(1, ("api",), client_id="c", family=1)

    clock.now += OAUTH_LIFETIME - 1
    assert isinstance(store.use(token), Token)
    clock.now += 1
    assert store.use(token) is Refusal.EXPIRED


@pytest.mark.parametrize("prefix", ["glpat-", "company_", ""])
def test_the_prefix_is_up_to_the_administrator(store: TokenStore, prefix: str) -> None:
    """So nobody may tell a token by its form."""
    token = personal(store, prefix=prefix)

    assert token.startswith(prefix)
    assert isinstance(store.use(token), Token)


def test_a_rotated_token_gives_way_to_its_successor(store: TokenStore) -> None:
    """The new one works as the old one did."""
    old = personal(store)

    new = store.rotate(old)

    assert store.look_up(old) is Refusal.REVOKED
    assert isinstance(store.use(new), Token)


def test_presenting_a_rotated_token_revokes_its_family(store: TokenStore) -> None:
    """Reuse means that it leaked, so a retry is not harmless."""
    old = personal(store)
    new = store.rotate(old)

    assert store.use(old) is Refusal.REVOKED
    assert store.use(new) is Refusal.REVOKED


def test_presenting_a_revoked_token_harms_no_other(store: TokenStore) -> None:
    """Only rotation makes a family."""
    mine, other = personal(store), personal(store)
    store.revoke_family(1)

    assert store.use(mine) is Refusal.REVOKED
    assert isinstance(store.use(other), Token)


def test_an_unknown_token_is_unknown(store: TokenStore) -> None:
    """Also one with bytes that are no text."""
    assert store.use("nonsense") is Refusal.UNKNOWN
    assert store.use("\udcff") is Refusal.UNKNOWN


def test_the_store_holds_no_token(store: TokenStore) -> None:
    """As GitLab's database holds none."""
    token = personal(store)

    assert token not in str(vars(store))
