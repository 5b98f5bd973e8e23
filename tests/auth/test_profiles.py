"""The keys of a profile become fingerprints of those that may log in, and nothing that is not understood is one."""

import base64
from collections.abc import Callable

import pytest
from pydantic import SecretStr

from auth.model import GitLabUnavailable, ScopeMissing, TokenRefused, User
from auth.profiles import ProfileClient, fingerprint
from gateway.demo.gitlab import Answer, Endpoint, Fault
from tests.auth.conftest import World

Ask = Callable[[], ProfileClient]


def key(number: int) -> tuple[str, bytes]:
    """A public key as GitLab shows it, and its fingerprint."""
    blob = b"key %d" % number
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} somebody@somewhere", fingerprint(blob)


@pytest.fixture
def profiles(world: World) -> ProfileClient:
    return ProfileClient(world.client.calls, world.clock)


@pytest.fixture
def token(world: World) -> SecretStr:
    return SecretStr(world.state.add_token(world.jo, ["read_api"]))


async def test_keys_that_sign_only_or_have_expired_do_not_log_in(
    world: World, profiles: ProfileClient, token: SecretStr
) -> None:
    """The uses auth and auth_and_signing count until the moment the key expires."""
    now = world.clock.now
    world.state.add_key(world.jo, key(1)[0])
    world.state.add_key(world.jo, key(2)[0], usage_type="auth", expires=now + 1)
    world.state.add_key(world.jo, key(3)[0], usage_type="signing")
    world.state.add_key(world.jo, key(4)[0], expires=now)

    assert await profiles.find_keys(token, world.jo.id) == {key(1)[1], key(2)[1]}


@pytest.mark.parametrize(("count", "pages"), [(0, 1), (99, 1), (100, 2), (230, 3)])
async def test_all_pages_are_read(
    world: World, profiles: ProfileClient, token: SecretStr, count: int, pages: int
) -> None:
    """A page that is not full is the last."""
    for number in range(count):
        world.state.add_key(world.jo, key(number)[0])

    assert len(await profiles.find_keys(token, world.jo.id)) == count
    assert world.gitlab.calls[Endpoint.USER_KEYS] == pages


@pytest.mark.parametrize("text", ["", "ssh-ed25519", "ssh-ed25519 !!!", "ssh-ed25519 é", "ssh-ed25519 QQ"])
async def test_a_key_that_is_none_is_passed_over(
    world: World, profiles: ProfileClient, token: SecretStr, text: str
) -> None:
    """One damaged key does not lock out the others."""
    world.state.add_key(world.jo, text)
    world.state.add_key(world.jo, key(1)[0])

    assert await profiles.find_keys(token, world.jo.id) == {key(1)[1]}


@pytest.mark.parametrize("expires", ["soon", 7, "", "9999999-01-01"])
async def test_an_expiry_that_is_none_has_passed(
    world: World, profiles: ProfileClient, token: SecretStr, expires: object
) -> None:
    """What cannot be read is never a yes."""
    body = f'[{{"key": "{key(1)[0]}", "usage_type": "auth", "expires_at": {expires!r}}}]'.replace("'", '"')
    world.gitlab.switches[Endpoint.USER_KEYS].fault = Answer(200, body)

    assert await profiles.find_keys(token, world.jo.id) == frozenset()


async def test_an_account_is_found_with_its_state(world: World, profiles: ProfileClient, token: SecretStr) -> None:
    """Active or not, a bot or not; nobody where there is nobody."""
    ida = world.state.add_user("ida")
    world.state.block(ida)

    # What is missing from a public profile is read the narrower way.
    assert await profiles.get_profile(token, ida.id) == User(ida.id, "ida", "blocked", external=True)
    assert await profiles.get_profile(token, 999_999) is None
    assert await profiles.find_keys(token, 999_999) == frozenset()


@pytest.mark.parametrize(
    ("scopes", "fault"), [(["openid"], ScopeMissing), (None, TokenRefused)], ids=["scope missing", "no such token"]
)
async def test_a_refused_token_is_told_apart(
    world: World, profiles: ProfileClient, scopes: list[str] | None, fault: type[TokenRefused]
) -> None:
    """Refused is not unavailable."""
    asked_with = SecretStr("glpat-none" if scopes is None else world.state.add_token(world.jo, scopes))
    with pytest.raises(fault):
        await profiles.find_keys(asked_with, world.jo.id)
    with pytest.raises(fault):
        await profiles.get_profile(asked_with, world.jo.id)


@pytest.mark.parametrize(
    "fault", [Fault.UNAVAILABLE, Fault.RATE_LIMITED, Fault.MAINTENANCE_PAGE, Answer(200, "{}"), Answer(200, "[1]")]
)
async def test_anything_else_is_gitlab_being_unavailable(
    world: World, profiles: ProfileClient, token: SecretStr, fault: Fault | Answer
) -> None:
    """Half an answer is none."""
    world.gitlab.switches.everywhere.fault = fault
    with pytest.raises(GitLabUnavailable):
        await profiles.find_keys(token, world.jo.id)
    with pytest.raises(GitLabUnavailable):
        await profiles.get_profile(token, world.jo.id)


async def test_a_profile_of_another_user_is_no_answer(world: World, profiles: ProfileClient, token: SecretStr) -> None:
    """An account is only believed to be the one that was asked for."""
    world.gitlab.switches[Endpoint.USER_BY_ID].fault = Answer(200, '{"id": 2, "username": "x", "state": "active"}')
    with pytest.raises(GitLabUnavailable):
        await profiles.get_profile(token, 1)
