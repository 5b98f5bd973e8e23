"""The verdict: what GitLab says about a person and a workspace, and nothing else, lets anybody in."""

import asyncio
from dataclasses import dataclass, replace

import pytest
from pydantic import SecretStr

from auth.access import RECHECK_INTERVAL, UNAVAILABLE_INTERVAL, GrantKeeper
from auth.model import (
    NOBODYS_WORKSPACE,
    Denied,
    Grant,
    Granted,
    Session,
    Unavailable,
    Verdict,
    Visibility,
)
from auth.sessions import session_ref
from config.section import Level
from config.settings import VisibilitySettings
from gateway.demo.gitlab import Endpoint, Fault
from tests.auth.conftest import World


@dataclass(frozen=True)
class Port:
    declared: str = "private"
    workspace_id: str = "993"
    agent_id: str = "1"
    namespace: str = "gl-rd-ns-a"
    port: int = 3000
    port_name: str = "http-3000"


PRIVATE, INTERNAL, PUBLIC = Port("private"), Port("internal"), Port("public")
NOBODYS = Port("private", workspace_id="994")


def token_of(world: World, who: str) -> SecretStr:
    """A token of one of the people of these tests."""
    state = world.state
    people = {
        "owner": lambda: world.jo,
        "member": lambda: state.add_user("mia"),
        "external": lambda: state.add_user("ext", external=True),
        "admin": lambda: state.add_user("root", admin=True),
        "bot": lambda: state.add_bot(state.add_project("jo/p")),
    }
    return SecretStr(state.add_token(people[who]()))


@pytest.mark.parametrize(
    ("who", "port", "is_granted"),
    [
        ("owner", PRIVATE, True),
        ("owner", INTERNAL, True),
        ("owner", PUBLIC, True),
        ("owner", NOBODYS, False),
        ("member", PRIVATE, False),
        ("member", INTERNAL, True),
        ("member", PUBLIC, True),
        ("external", PRIVATE, False),
        ("external", INTERNAL, False),
        ("external", PUBLIC, True),
        ("admin", PRIVATE, False),
        ("admin", INTERNAL, True),
        ("bot", PRIVATE, False),
        ("bot", INTERNAL, False),
        ("bot", PUBLIC, True),
        ("member", replace(INTERNAL, port=60001), False),
        ("member", replace(PUBLIC, port_name="editor-server"), False),
        ("owner", replace(PUBLIC, port_name="editor-server"), True),
        ("member", Port("nonsense"), False),
    ],
    ids=str,
)
async def test_who_may_use_which_port(world: World, who: str, port: Port, is_granted: bool) -> None:  # noqa: FBT001 - a column
    """private: its owner. internal: members too. public: any active user. Nobody else, ever."""
    verdict = await world.policy().decide_port(token_of(world, who), port)

    assert isinstance(verdict, Granted if is_granted else Denied)


async def test_an_external_owner_may_use_their_own_internal_port(world: World) -> None:
    """A port opened to others is not closed to its owner."""
    ext = world.state.add_user("ext", external=True)
    world.state.set_owner(993, ext)
    world.state.set_access(world.state.projects[world.workspace.project_id], ext, 30)
    verdict = await world.policy().decide_port(SecretStr(world.state.add_token(ext)), INTERNAL)

    assert isinstance(verdict, Granted)
    assert verdict.workspace is not None


async def test_an_owner_who_lost_the_project_is_denied(world: World) -> None:
    """GitLab shows a workspace to its owner only while they are Developer."""
    world.state.set_access(world.state.projects[world.workspace.project_id], world.jo, 0)

    assert isinstance(await world.policy().decide_port(token_of(world, "owner"), PRIVATE), Denied)


@pytest.mark.parametrize("most", ["private", "internal"])
async def test_the_operators_cap_counts(world: World, most: Level) -> None:
    """A public port under a cap is what the cap says."""
    policy = world.policy(VisibilitySettings(max=most))
    verdict = await policy.decide_port(token_of(world, "external"), PUBLIC)

    assert isinstance(verdict, Denied)
    assert policy.visibility(PUBLIC).name.lower() == most


@pytest.mark.parametrize("port", [PRIVATE, INTERNAL, PUBLIC], ids=str)
async def test_refused_and_unavailable_are_two_things(world: World, port: Port) -> None:
    """A token that GitLab refuses is denied; a GitLab that does not answer is unavailable. Neither is a yes."""
    policy, token = world.policy(), token_of(world, "owner")
    refused = await policy.decide_port(SecretStr("glpat-unknown"), port)
    world.state.block(world.jo)
    blocked = await policy.decide_port(token, port)
    world.state.unblock(world.jo)
    world.gitlab.switches.everywhere.fault = Fault.RATE_LIMITED
    limited = await policy.decide_port(token, port)

    assert isinstance(refused, Denied)
    assert isinstance(blocked, Denied)
    assert refused.is_token_refused
    assert blocked.is_token_refused
    assert isinstance(limited, Unavailable)
    assert limited.retry_after == 30


async def test_a_whole_workspace_is_its_owners(world: World) -> None:
    """SSH is for the owner only, however open the ports are."""
    policy = world.policy()
    granted = await policy.decide_workspace(token_of(world, "owner"), "993")

    assert isinstance(granted, Granted)
    assert granted.workspace is not None
    assert granted.workspace.name == "apple"
    for who in ("member", "admin", "bot", "external"):
        assert isinstance(await policy.decide_workspace(token_of(world, who), "993"), Denied)


async def test_an_unknown_workspace_costs_what_a_foreign_one_does(world: World) -> None:
    """One question to GitLab either way, so that time tells nothing."""
    policy, token = world.policy(), token_of(world, "member")
    foreign = await policy.decide_workspace(token, "993")
    asked = world.gitlab.calls.copy()
    unknown = await policy.decide_workspace(token, NOBODYS_WORKSPACE)

    assert foreign == unknown
    assert asked == {Endpoint.GRAPHQL: 1}
    assert world.gitlab.calls == {Endpoint.GRAPHQL: 2}


async def test_a_person_is_told_what_is_wrong_with_their_token(world: World) -> None:
    """A refusal of the token itself is told apart from one of the workspace, and a missing scope has a hint."""
    policy = world.policy()
    unknown = await policy.decide_workspace(SecretStr("glpat-unknown"), "993")
    narrow = await policy.decide_workspace(SecretStr(world.state.add_token(world.jo, ["read_user"])), "993")

    assert isinstance(unknown, Denied)
    assert isinstance(narrow, Denied)
    assert (unknown.is_token_refused, unknown.hint) == (True, "")
    assert (narrow.is_token_refused, narrow.hint) == (True, "token needs the read_api scope")
    world.gitlab.switches.everywhere.fault = Fault.CLOSED

    assert isinstance(await policy.decide_workspace(SecretStr("glpat-x"), "993"), Unavailable)


def grant_of(session: Session, uid: str = "uid-1") -> Grant:
    return Grant(
        host="3000-apple.zone.test",
        workspace_id="993",
        workspace_uid=uid,
        user_id=session.user.id,
        username=session.user.username,
        session_ref=session_ref(session.id),
        issued=session.created,
        expires=session.created + 600,
        visibility=Visibility.PRIVATE,
    )


async def rechecks(keeper: GrantKeeper, grant: Grant, times: int) -> list[Verdict]:
    return await asyncio.gather(*(keeper.recheck(grant, PRIVATE) for _ in range(times)))


async def test_a_recheck_asks_gitlab_once_in_five_minutes(world: World) -> None:
    """However many requests an open editor makes, at once or one after another."""
    session, keeper = await world.sign_in(), world.keeper()
    for expected in (1, 2):
        verdicts = await rechecks(keeper, grant_of(session), 20) + await rechecks(keeper, grant_of(session), 1)

        assert all(isinstance(verdict, Granted) for verdict in verdicts)
        assert world.gitlab.calls[Endpoint.GRAPHQL] == expected
        world.clock.now += RECHECK_INTERVAL


async def test_a_block_in_gitlab_is_noticed_within_five_minutes(world: World) -> None:
    """The bound that the design promises."""
    session, keeper = await world.sign_in(), world.keeper()
    await keeper.recheck(grant_of(session), PRIVATE)
    world.state.block(world.jo)
    world.clock.now += RECHECK_INTERVAL

    assert isinstance(await keeper.recheck(grant_of(session), PRIVATE), Denied)


async def test_a_remembered_yes_says_when_it_was_given(world: World) -> None:
    """A grant renewed by it lives from then on, or the five minutes would be ten."""
    session, keeper = await world.sign_in(), world.keeper()
    first = await keeper.recheck(grant_of(session), PRIVATE)
    given = world.clock.now
    world.clock.now += RECHECK_INTERVAL - 1
    again = await keeper.recheck(grant_of(session), PRIVATE)

    assert isinstance(first, Granted)
    assert first.asked == given
    assert again == first


async def test_a_no_is_not_remembered(world: World) -> None:
    """One hiccup of GitLab must not shut a person out who was let in again since."""
    session, keeper = await world.sign_in(), world.keeper()
    world.gitlab.switches[Endpoint.GRAPHQL].fault = Fault.UNAUTHORIZED
    assert isinstance(await keeper.recheck(grant_of(session), PRIVATE), Denied)
    world.gitlab.switches.reset()

    assert isinstance(await keeper.recheck(grant_of(session), PRIVATE), Granted)


async def test_a_changed_owner_is_noticed_within_five_minutes(world: World) -> None:
    """A workspace given away is no longer open to who had it."""
    session, keeper = await world.sign_in(), world.keeper()
    await keeper.recheck(grant_of(session), PRIVATE)
    world.state.set_owner(993, world.state.add_user("ida"))
    world.clock.now += RECHECK_INTERVAL

    assert isinstance(await keeper.recheck(grant_of(session), PRIVATE), Denied)


async def test_a_sign_out_is_noticed_at_once(world: World) -> None:
    """A remembered yes does not outlive its session, and GitLab need not be asked."""
    session, keeper = await world.sign_in(), world.keeper()
    await keeper.recheck(grant_of(session), PRIVATE)
    await world.sessions.end(session_ref(session.id))
    asked = world.gitlab.calls.total()

    assert isinstance(await keeper.recheck(grant_of(session), PRIVATE), Denied)
    assert world.gitlab.calls.total() == asked


async def test_a_yes_is_for_one_workspace_port_and_visibility(world: World) -> None:
    """Another port, a re-created workspace, or a lowered visibility is another question."""
    session, keeper = await world.sign_in(), world.keeper()
    mia = world.state.add_user("mia")
    world.state.set_owner(993, mia)

    assert isinstance(await keeper.recheck(grant_of(session), INTERNAL), Granted)
    assert isinstance(await keeper.recheck(grant_of(session), PRIVATE), Denied)
    assert isinstance(await keeper.recheck(grant_of(session, "uid-2"), PRIVATE), Denied)
    assert isinstance(await keeper.recheck(grant_of(session), replace(PRIVATE, port=3001)), Denied)
    assert world.gitlab.calls[Endpoint.GRAPHQL] == 4


async def test_a_grant_of_somebody_else_is_denied(world: World) -> None:
    """A grant and its session are of one person."""
    session, keeper = await world.sign_in(), world.keeper()

    assert isinstance(await keeper.recheck(replace(grant_of(session), user_id=999), PRIVATE), Denied)


async def test_an_outage_is_neither_yes_nor_no_and_no_stampede(world: World) -> None:
    """While GitLab is away it is asked every few seconds at most; then the yes is back."""
    session, keeper = await world.sign_in(), world.keeper()
    world.gitlab.switches[Endpoint.GRAPHQL].fault = Fault.UNAVAILABLE

    verdicts = await rechecks(keeper, grant_of(session), 20)

    assert all(isinstance(verdict, Unavailable) for verdict in verdicts)
    assert world.gitlab.calls[Endpoint.GRAPHQL] == 1
    world.gitlab.switches.reset()
    world.clock.now += UNAVAILABLE_INTERVAL
    assert isinstance(await keeper.recheck(grant_of(session), PRIVATE), Granted)


async def test_an_open_editor_keeps_its_session_and_its_token_fresh(world: World) -> None:
    """Seven hours of work: no sign-in, a new token every two hours."""
    session, keeper = await world.sign_in(), world.keeper()
    for _ in range(7 * 12):
        world.clock.now += RECHECK_INTERVAL
        assert isinstance(await keeper.recheck(grant_of(session), PRIVATE), Granted)

    assert world.gitlab.calls[Endpoint.TOKEN] == 1 + 3


async def test_a_token_that_cannot_be_refreshed_is_a_no(world: World) -> None:
    """The user revoked the application in GitLab: out at the next recheck."""
    session, keeper = await world.sign_in(), world.keeper()
    await keeper.recheck(grant_of(session), PRIVATE)
    world.state.revoke(session.tokens.access.get_secret_value())
    world.clock.now += RECHECK_INTERVAL

    assert isinstance(await keeper.recheck(grant_of(session), PRIVATE), Denied)
