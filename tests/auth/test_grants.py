"""Targets, codes and grants live exactly as long as they should, and only as what they are."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from auth import grants as module
from auth.grants import CODE_LIFETIME, GRANT_LIFETIME, TARGET_LIFETIME, Grants, new_nonce, nonce_hash
from auth.model import EntryCode, Grant, Target, Visibility
from auth.seal import Sealer
from tests.clock import Clock

TARGET = Target("3000-a.zone.test", "https://3000-a.zone.test/x?y=%20+é", nonce_hash("n"))
CODE = EntryCode(
    "id-1", TARGET.host, TARGET.url, TARGET.nonce_hash, "993", "uid-1", 7, "jo", "ref-1", Visibility.PRIVATE
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def grants(clock: Clock) -> Grants:
    return Grants(Sealer([SecretStr("signing-key-0123456789")]), clock)


def test_a_target_comes_back_within_ten_minutes(grants: Grants, clock: Clock) -> None:
    """A person may take ten minutes to sign in, and not a second more."""
    text = grants.seal_target(TARGET)

    clock.now += TARGET_LIFETIME - 1
    assert grants.get_target(text) == TARGET
    clock.now += 1
    assert grants.get_target(text) is None


def test_an_entry_code_comes_back_within_thirty_seconds(grants: Grants, clock: Clock) -> None:
    """A code that lies around, in a log or a history, is soon worth nothing."""
    text = grants.seal_code(CODE)

    clock.now += CODE_LIFETIME - 1
    assert grants.get_code(text) == CODE
    clock.now += 1
    assert grants.get_code(text) is None


def test_a_grant_is_for_what_the_code_was_for(grants: Grants, clock: Clock) -> None:
    """Nothing of the code is lost or widened, and its life starts now."""
    expected = Grant(
        CODE.host, "993", "uid-1", 7, "jo", "ref-1", Visibility.PRIVATE, clock.now, clock.now + GRANT_LIFETIME
    )

    assert grants.grant_for(CODE) == expected


def test_a_cached_grant_still_expires(grants: Grants, clock: Clock) -> None:
    """The cache of verified grants never outlives the grant."""
    cookie = grants.seal_grant(grants.grant_for(CODE)).encode()
    assert grants.get_grant(cookie) is not None

    clock.now += GRANT_LIFETIME - 0.1
    assert grants.get_grant(cookie) is not None
    clock.now += 0.1
    assert grants.get_grant(cookie) is None


def test_a_grant_that_was_cached_late_still_expires_in_time(grants: Grants, clock: Clock) -> None:
    """A cache entry made near the end of a grant's life does not prolong it."""
    cookie = grants.seal_grant(grants.grant_for(CODE)).encode()

    clock.now += GRANT_LIFETIME - 1
    assert grants.get_grant(cookie) is not None
    clock.now += 2
    assert grants.get_grant(cookie) is None


def test_a_clock_that_is_set_back_lengthens_no_grant(grants: Grants, clock: Clock) -> None:
    """One from the future is void; the clock of another gateway may be a minute ahead."""
    text = grants.seal_grant(grants.grant_for(CODE)).encode()

    clock.now -= 60
    assert grants.get_grant(text) is not None
    clock.now -= 1
    assert grants.get_grant(text) is None


def test_a_known_grant_is_not_opened_again(grants: Grants) -> None:
    """The second look at the same cookie gives the very same value: the hot path does no cryptography."""
    cookie = grants.seal_grant(grants.grant_for(CODE)).encode()

    assert grants.get_grant(cookie) is grants.get_grant(cookie)


def test_a_renewed_grant_has_a_whole_life_and_the_same_bounds(grants: Grants, clock: Clock) -> None:
    """Renewal changes when, and never who, where or what."""
    grant = grants.grant_for(CODE)
    clock.now += 400

    assert grants.renewed(grant) == replace(grant, issued=clock.now, expires=clock.now + GRANT_LIFETIME)
    assert grant.is_due(clock.now)
    assert not grants.renewed(grant).is_due(clock.now)


def test_a_grant_renewed_by_an_older_answer_lives_from_that_answer_on(grants: Grants, clock: Clock) -> None:
    """It is due as soon as GitLab must be asked again."""
    grant = grants.grant_for(CODE)
    clock.now += 300
    renewed = grants.renewed(grant, clock.now - 200)

    assert (renewed.issued, renewed.expires) == (clock.now - 200, clock.now - 200 + GRANT_LIFETIME)


def test_one_kind_never_passes_as_another(grants: Grants) -> None:
    """A code pasted where a grant or a target belongs opens nothing."""
    code, target = grants.seal_code(CODE), grants.seal_target(TARGET)

    assert grants.get_grant(code.encode()) is None
    assert grants.get_target(code) is None
    assert grants.get_code(target) is None


@given(st.binary(max_size=300))
def test_no_cookie_bytes_raise(cookie: bytes) -> None:
    """Whatever bytes a client puts into the grant cookie, the answer is no, not an error."""
    assert Grants(Sealer([SecretStr("signing-key-0123456789")])).get_grant(cookie) is None


def test_guesses_do_not_fill_the_cache(grants: Grants) -> None:
    """Refused cookies are not remembered, so they can neither cost memory nor push a real grant out."""
    for number in range(50):
        grants.get_grant(b"guess-%d" % number)

    assert not grants._verified


def test_the_cache_of_grants_is_bounded(grants: Grants, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit the oldest is forgotten, and merely opened again."""
    monkeypatch.setattr(module, "GRANT_CACHE_SIZE", 10)
    cookies = [grants.seal_grant(grants.grant_for(CODE)).encode() for _ in range(30)]

    assert all(grants.get_grant(cookie) for cookie in cookies)
    assert list(grants._verified) == cookies[-10:]
    assert grants.get_grant(cookies[0]) is not None


def test_nonces_are_unguessable_and_their_hash_tells_nothing() -> None:
    """Each nonce is new; its hash is stable and is not the nonce."""
    nonce = new_nonce()

    assert nonce != new_nonce()
    assert len(nonce) >= 43
    assert nonce_hash(nonce) == nonce_hash(nonce) != nonce
    assert nonce_hash("\udcff")
