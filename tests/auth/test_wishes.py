"""What GitLab is told for an owner, by which token, and what it says against it."""

from collections.abc import Callable

import pytest
from pydantic import SecretStr

from auth.mandates import Mandate, mandate_of_session, mandate_of_token
from auth.model import Denied, TokenRefused, Unavailable, WorkspaceRecord
from auth.sessions import session_ref
from auth.wishes import NotTold, Told, Wishes
from gateway.demo.gitlab import Endpoint, Fault
from tests.auth.conftest import World


@pytest.fixture
def wishes(world: World) -> Wishes:
    world.state.set_actual_state(993, "Stopped")
    world.state.want_state(993, "Stopped")
    return Wishes(world.client)


def mandate(world: World, *scopes: str) -> Mandate:
    """A token of the owner, with these scopes."""
    return mandate_of_token(SecretStr(world.state.add_token(world.jo, scopes or ("api",))))


def service(world: World, scope: str = "api") -> Mandate:
    """One of an administrator, such as `auth.service_token`."""
    token = SecretStr(world.state.add_token(world.state.add_user("root", admin=True), (scope,)))

    async def find_token() -> SecretStr:
        return token

    return Mandate("service", find_token)


async def of_nobody() -> SecretStr:
    raise TokenRefused("signed out")


def changes(world: World) -> int:
    """How often the desired state was asked for; every call to GraphQL but the questions before them."""
    return sum(endpoint == "graphql" for endpoint, _ in world.calls)


async def test_the_owners_own_token_starts_it(world: World, wishes: Wishes) -> None:
    """One question whose it is, one change."""
    told = await wishes.tell("Running", "993", world.jo.id, (mandate(world),))

    assert isinstance(told, Told)
    assert (told.by, told.is_new, told.workspace.actual_state) == ("token", True, "Stopped")
    assert world.state.workspaces[993].desired_state == "Running"
    assert changes(world) == 2


async def test_so_does_a_sign_in_and_it_stops_it_too(world: World, wishes: Wishes) -> None:
    """The scopes of the gateway's application include api."""
    session = await world.sign_in()
    signed_in = mandate_of_session(world.login, world.sessions, session_ref(session.id))
    started = await wishes.tell("Running", "993", world.jo.id, (signed_in,))
    stopped = await wishes.tell("Stopped", "993", world.jo.id, (signed_in,))

    assert isinstance(started, Told)
    assert isinstance(stopped, Told)
    assert world.state.workspaces[993].desired_state == "Stopped"


@pytest.mark.parametrize("wanted", ["Running", "RestartRequested"])
async def test_what_gitlab_wants_already_it_is_not_told_again(world: World, wishes: Wishes, wanted: str) -> None:
    """A restart leads to the same and must not be cut short."""
    world.state.want_state(993, wanted)
    told = await wishes.tell("Running", "993", world.jo.id, (mandate(world),))

    assert isinstance(told, Told)
    assert not told.is_new
    assert changes(world) == 1
    assert world.state.workspaces[993].desired_state == wanted


@pytest.mark.parametrize("kind", ["personal", "oauth"])
async def test_a_token_that_may_only_read_is_told_from_a_refusal(world: World, wishes: Wishes, kind: str) -> None:
    """GraphQL has the same words for both."""
    scopes = ("read_api",)
    token = (
        world.state.add_oauth_token(world.jo, scopes) if kind == "oauth" else world.state.add_token(world.jo, scopes)
    )
    told = await wishes.tell("Running", "993", world.jo.id, (mandate_of_token(SecretStr(token)),))

    assert isinstance(told, NotTold)
    assert told.lacks_scope
    assert world.state.workspaces[993].desired_state == "Stopped"


async def test_the_next_token_is_tried_where_one_may_not(world: World, wishes: Wishes) -> None:
    """A person's token that only reads, a sign-in that ended, then the gateway's own."""
    ended = Mandate("session", of_nobody)
    told = await wishes.tell("Running", "993", world.jo.id, (mandate(world, "read_api"), ended, service(world)))

    assert isinstance(told, Told)
    assert told.by == "service"


async def test_of_many_that_may_not_the_missing_scope_is_told(world: World, wishes: Wishes) -> None:
    """A person can do something about it."""
    tokens = (Mandate("session", of_nobody), mandate(world, "read_api"), Mandate("session", of_nobody))
    told = await wishes.tell("Running", "993", world.jo.id, tokens)

    assert isinstance(told, NotTold)
    assert told.lacks_scope


async def test_without_any_token_nobody_is_asked(world: World, wishes: Wishes) -> None:
    """As where a key logs in and the owner has not signed in."""
    assert isinstance(await wishes.tell("Running", "993", world.jo.id, ()), Denied)
    assert isinstance(await wishes.find_record("993", world.jo.id, ()), Denied)
    assert world.calls == []


async def test_nothing_is_done_for_somebody_whose_it_is_not(world: World, wishes: Wishes) -> None:
    """An administrator's token may read and change it, but acts for its owner alone."""
    eve = world.state.add_user("eve")
    told = await wishes.tell("Running", "993", eve.id, (service(world),))
    found = await wishes.find_record("993", eve.id, (service(world, "read_api"),))

    assert isinstance(told, Denied)
    assert isinstance(found, Denied)
    assert world.state.workspaces[993].desired_state == "Stopped"


def revoke(world: World) -> None:
    world.state.block(world.jo)


def remove(world: World) -> None:
    world.state.remove_workspace(993)


@pytest.mark.parametrize("change", [revoke, remove])
async def test_a_blocked_owner_and_a_removed_workspace_are_denied(
    world: World, wishes: Wishes, change: Callable[[World], None]
) -> None:
    """By the very question that would have come before the change."""
    own = mandate(world)
    change(world)

    assert isinstance(await wishes.tell("Running", "993", world.jo.id, (own,)), Denied)


async def test_gitlabs_words_against_it_are_passed_on(world: World, wishes: Wishes) -> None:
    """No other token would change them, so none is tried."""
    world.state.want_state(993, "Terminated")
    told = await wishes.tell("Running", "993", world.jo.id, (mandate(world), service(world)))

    assert told == NotTold("is 'Terminated', and cannot be updated. Create a new workspace instead.")
    assert changes(world) == 2


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.MAINTENANCE_PAGE, Fault.RATE_LIMITED])
async def test_a_gitlab_that_does_not_answer_is_unavailable(world: World, wishes: Wishes, fault: Fault) -> None:
    """Whichever of the two is asked."""
    world.gitlab.switches[Endpoint.GRAPHQL].fault = fault

    assert isinstance(await wishes.tell("Running", "993", world.jo.id, (mandate(world),)), Unavailable)
    assert isinstance(await wishes.find_record("993", world.jo.id, (mandate(world),)), Unavailable)


async def test_the_record_says_what_is_wanted_and_since_when(world: World, wishes: Wishes) -> None:
    """By GitLab's own clock."""
    world.clock.now += 60
    world.state.want_state(993, "Running")
    record = await wishes.find_record("993", world.jo.id, (mandate(world, "read_api"),))

    assert isinstance(record, WorkspaceRecord)
    assert (record.desired_state, record.desired_since) == ("Running", world.clock())
