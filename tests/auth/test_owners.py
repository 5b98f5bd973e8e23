"""Whose a workspace is, as the service token or the owner's own sign-in lets GitLab say, and for how long."""

import asyncio
from collections.abc import Callable

import pytest
from pydantic import SecretStr

from auth.mandates import token_of_session
from auth.model import Denied, Unavailable
from auth.owners import Owner, WorkspaceOwners
from auth.profiles import ProfileClient, fingerprint
from auth.sessions import session_ref
from gateway.demo.gitlab import Endpoint, Fault
from gateway.demo.gitlab_model import OWNER
from tests.auth.conftest import World

KEY = "ssh-ed25519 a2V5 jo@laptop"  # the blob is b"key"


def owners(world: World, service_token: str = "") -> WorkspaceOwners:
    return WorkspaceOwners(world.client, ProfileClient(world.client.calls, world.clock), SecretStr(service_token))


@pytest.fixture
def by_service(world: World) -> WorkspaceOwners:
    return serve(world)


@pytest.fixture
async def by_sign_in(world: World) -> WorkspaceOwners:
    return await sign_in(world)


@pytest.fixture(params=[False, True], ids=["service", "sign-in"])
async def either(request: pytest.FixtureRequest, world: World) -> WorkspaceOwners:
    return await sign_in(world) if request.param else serve(world)


def serve(world: World) -> WorkspaceOwners:
    world.state.add_key(world.jo, KEY)
    root = world.state.add_user("root", admin=True)
    return owners(world, world.state.add_token(root, ["read_api"]))


async def sign_in(world: World) -> WorkspaceOwners:
    world.state.add_key(world.jo, KEY)
    made = owners(world)
    session = await world.sign_in()
    made.learn("993", token_of_session(world.login, world.sessions, session_ref(session.id)))
    return made


async def test_the_owner_comes_with_workspace_and_keys(either: WorkspaceOwners) -> None:
    """Everything that a key is measured against."""
    found = await either.find_owner("993")

    assert isinstance(found, Owner)
    assert (found.user.username, found.workspace.name, found.workspace.actual_state) == ("jo", "apple", "Running")
    assert found.keys == {fingerprint(b"key")}


def block(world: World) -> None:
    world.state.block(world.jo)


def remove(world: World) -> None:
    world.state.remove_workspace(993)


@pytest.mark.parametrize("change", [block, remove])
async def test_a_blocked_owner_or_a_removed_workspace_is_denied(
    world: World, either: WorkspaceOwners, change: Callable[[World], None]
) -> None:
    """GitLab goes on showing the keys of a blocked user."""
    change(world)

    assert isinstance(await either.find_owner("993"), Denied)


async def test_a_new_owner_is_found_by_the_service_and_denied_by_the_old_ones_sign_in(
    world: World, by_service: WorkspaceOwners, by_sign_in: WorkspaceOwners
) -> None:
    """Who signed in is believed about nobody's workspace but their own."""
    ida = world.state.add_user("ida")
    world.state.set_access(world.state.projects[world.workspace.project_id], ida, OWNER)
    world.state.set_owner(993, ida)

    found = await by_service.find_owner("993")
    assert isinstance(found, Owner)
    assert found.user.username == "ida"
    assert isinstance(await by_sign_in.find_owner("993"), Denied)


async def test_a_sign_out_takes_the_keys_along(world: World, by_sign_in: WorkspaceOwners) -> None:
    """Nothing is left that could say whether the owner may still work."""
    session = await world.sign_in("browser-b")
    by_sign_in.learn("993", token_of_session(world.login, world.sessions, session_ref(session.id)))
    await world.login.sign_out(session)

    assert isinstance(await by_sign_in.find_owner("993"), Denied)


async def test_an_unknown_workspace_costs_nothing_without_a_service_token(world: World) -> None:
    """A stranger cannot make the gateway ask."""
    assert isinstance(await owners(world).find_owner("993"), Denied)
    assert world.gitlab.calls == {}


@pytest.mark.parametrize("token", ["glpat-wrong", "too weak"])
async def test_a_refused_service_token_is_no_word_about_anybody(world: World, token: str) -> None:
    """Those who are in stay in, and the operator reads which token it is."""
    if token == "too weak":
        token = world.state.add_token(world.jo, ["read_user"])
    found = await owners(world, token).find_owner("993")

    assert isinstance(found, Unavailable)
    assert found.reason.startswith("auth.service_token: ")
    assert token not in found.reason


@pytest.mark.parametrize("endpoint", [Endpoint.GRAPHQL, Endpoint.USER_BY_ID, Endpoint.USER_KEYS])
async def test_half_an_answer_is_none(world: World, by_service: WorkspaceOwners, endpoint: Endpoint) -> None:
    """An owner without keys would be told that the key is wrong."""
    world.gitlab.switches[endpoint].fault = Fault.UNAVAILABLE

    assert isinstance(await by_service.find_owner("993"), Unavailable)


async def test_a_service_user_that_cannot_read_the_workspace_knows_no_owner(world: World) -> None:
    """It needs to be an administrator, or to maintain the agent's project."""
    token = world.state.add_token(world.state.add_user("service"), ["read_api"])

    assert isinstance(await owners(world, token).find_owner("993"), Denied)


async def test_who_can_tell_nothing_says_so(world: World, either: WorkspaceOwners) -> None:
    """With neither a service token nor a sign-in, nobody needs to be asked for a key."""
    assert either.can_tell
    assert not owners(world).can_tell


async def test_no_token_is_shown(by_service: WorkspaceOwners, by_sign_in: WorkspaceOwners) -> None:
    """How owners are known may be seen, with what it is done not."""
    await asyncio.gather(by_service.find_owner("993"), by_sign_in.find_owner("993"))

    assert repr(by_service) == "<WorkspaceOwners by the service token>"
    assert repr(by_sign_in) == "<WorkspaceOwners by 1 sign-ins>"
