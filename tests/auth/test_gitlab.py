"""GitLab's answers become values, its refusals say why, and everything else is GitLab being unavailable."""

import asyncio
import logging
import ssl
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from pydantic import SecretStr

from auth.gitlab import open_gitlab
from auth.model import GitLabFault, GitLabUnavailable, ScopeMissing, TokenRefused, User, WorkspaceRecord
from config.settings import AuthSettings
from gateway.demo.gitlab import Answer, Endpoint, Fault, StandInGitLab
from gateway.demo.gitlab_state import GitLabState
from tests.auth.conftest import World


def observe(_endpoint: str, _result: str, _seconds: float) -> None:
    pass


async def test_a_user_is_whom_the_token_belongs_to(world: World) -> None:
    """The REST answer becomes a User, with all that decides about entering."""
    ida = world.state.add_user("ida", external=True)
    token = SecretStr(world.state.add_token(ida, ["read_user"]))

    assert await world.client.find_user(token) == User(ida.id, "ida", "active", bot=False, external=True)


async def test_a_project_token_is_a_bot(world: World) -> None:
    """The user behind a project access token is told apart from people."""
    project = world.state.add_project("jo/p")
    user = await world.client.find_user(SecretStr(world.state.add_token(world.state.add_bot(project))))

    assert user.bot
    assert not user.is_member


async def test_ownership_takes_one_round_trip(world: World) -> None:
    """Visitor and workspace come together."""
    ownership = await world.client.find_ownership(SecretStr(world.state.add_token(world.jo)), "993")

    assert ownership.is_owner
    assert ownership.visitor == User(world.jo.id, "jo")
    assert ownership.workspace == WorkspaceRecord(
        "993", "apple", world.jo.id, "Running", "Running", desired_since=world.clock()
    )
    assert world.gitlab.calls == {Endpoint.GRAPHQL: 1}
    assert world.calls == [("graphql", "ok")]


async def test_readable_is_not_owned(world: World) -> None:
    """An administrator can read any workspace, and owns none of them."""
    root = world.state.add_user("root", admin=True)
    ownership = await world.client.find_ownership(SecretStr(world.state.add_token(root)), "993")

    assert ownership.workspace is not None
    assert not ownership.is_owner


async def test_a_stranger_sees_no_workspace(world: World) -> None:
    """Whoever may not read it gets the same as for one that does not exist."""
    token = SecretStr(world.state.add_token(world.state.add_user("eve")))

    assert (await world.client.find_ownership(token, "993")).workspace is None
    assert (await world.client.find_ownership(token, "994")).workspace is None


@pytest.mark.parametrize(
    "workspace_id", ["", "0", "0993", "993 ", "-993", "993\n", "٩٩٣", "abc", "9" * 5000, '993"}'], ids=repr
)
async def test_an_id_that_is_none_costs_the_same_and_finds_nothing(world: World, workspace_id: str) -> None:
    """GitLab is asked all the same, and never about another workspace than the one named."""
    ownership = await world.client.find_ownership(SecretStr(world.state.add_token(world.jo)), workspace_id)

    assert ownership.workspace is None
    assert world.gitlab.calls == {Endpoint.GRAPHQL: 1}


async def test_only_own_workspaces_are_listed(world: World) -> None:
    """The home page lists what belongs to the token's user."""
    world.state.add_workspace(world.state.add_user("eve"), "pear", id=994)
    world.state.add_workspace(world.jo, "plum", id=995, actual_state="Stopped")

    records = await world.client.find_workspaces(SecretStr(world.state.add_token(world.jo)))

    assert {(record.id, record.name, record.actual_state) for record in records} == {
        ("993", "apple", "Running"),
        ("995", "plum", "Stopped"),
    }


@pytest.mark.parametrize("token", ["", " ", "\n", "glpat-a b", "glpat-a\r\nX-Evil: 1", "glpat-é", "\0", "x" * 5000])
async def test_what_cannot_be_a_token_is_refused_without_a_call(world: World, token: str) -> None:
    """An empty token would ask GitLab as nobody; a line break would write headers."""
    for question in (world.client.find_user(SecretStr(token)), world.client.find_ownership(SecretStr(token), "993")):
        with pytest.raises(TokenRefused):
            await question

    assert not world.gitlab.calls


async def test_white_space_around_a_pasted_token_is_forgiven(world: World) -> None:
    """A token copied with its line end works."""
    token = SecretStr(f" {world.state.add_token(world.jo)}\n")

    assert (await world.client.find_ownership(token, "993")).is_owner


async def test_an_unknown_or_revoked_token_is_refused(world: World) -> None:
    """401 everywhere means the token is not valid."""
    revoked = world.state.add_token(world.jo)
    world.state.revoke(revoked)

    for text in ("glpat-unknown", revoked):
        for question in (world.client.find_user(SecretStr(text)), world.client.find_ownership(SecretStr(text), "1")):
            with pytest.raises(TokenRefused) as caught:
                await question
            assert type(caught.value) is TokenRefused


async def test_a_token_without_the_scope_is_told_so(world: World) -> None:
    """A person with a read_user token learns which scope is missing, instead of `not valid`."""
    personal = SecretStr(world.state.add_token(world.jo, ["read_user"]))
    oauth = SecretStr(world.state.add_oauth_token(world.jo, ["read_user"]))
    repository = SecretStr(world.state.add_token(world.jo, ["read_repository"]))

    for question in (
        world.client.find_ownership(personal, "993"),
        world.client.find_ownership(oauth, "993"),
        world.client.find_user(repository),
    ):
        with pytest.raises(ScopeMissing):
            await question


async def test_a_blocked_users_token_is_refused(world: World) -> None:
    """403 to everything: the user, not the token, is the reason."""
    token = SecretStr(world.state.add_token(world.jo))
    world.state.block(world.jo)

    for question in (world.client.find_user(token), world.client.find_ownership(token, "993")):
        with pytest.raises(TokenRefused):
            await question


async def test_a_refusal_stays_one_when_its_reason_cannot_be_had(world: World) -> None:
    """If GitLab fails while explaining a refusal, the token is refused all the same."""
    world.gitlab.switches[Endpoint.TOKEN_SELF].fault = Fault.UNAVAILABLE

    with pytest.raises(TokenRefused):
        await world.client.find_ownership(SecretStr("glpat-unknown"), "993")


@pytest.mark.parametrize(
    "fault",
    [
        Fault.RATE_LIMITED,
        Fault.RATE_LIMITED_BARE,
        Fault.UNAVAILABLE,
        Fault.ERROR_PAGE,
        Fault.MAINTENANCE_PAGE,
        Fault.CLOSED,
        Answer(200, ""),
        Answer(200, "null"),
        Answer(200, "[]"),
        Answer(200, "{"),
        Answer(200, '"' * 3),
        Answer(200, "[" * 100_000),
        Answer(200, "{}"),
        Answer(200, '{"data": null}'),
        Answer(200, '{"data": [], "id": "1", "username": "jo", "state": "active"}'),
        Answer(200, '{"data": {"currentUser": "jo"}, "id": true, "username": "jo", "state": "active"}'),
        Answer(200, '{"data": {"currentUser": {"id": "gid://gitlab/Bot/1", "username": "jo"}}, "id": 1}'),
        Answer(200, '{"data": {"currentUser": {"id": "gid://gitlab/User/x", "username": "jo"}}, "username": 1}'),
        Answer(201, '{"id": 1, "username": "jo", "state": "active"}'),
        Answer(302, "", headers=(("Location", "https://evil.test/"),)),
        Answer(404, '{"message": "404 Not Found"}'),
        Answer(422, '{"errors": [{"message": "no"}]}'),
        Answer(200, "x" * 10_000_000),
    ],
    ids=lambda fault: fault.name if isinstance(fault, Fault) else f"{fault.status} {fault.body[:30]}",
)
async def test_no_answer_is_never_a_yes(world: World, fault: Fault | Answer) -> None:
    """Overload, failure, HTML, nonsense, giants and redirects are GitLab being unavailable: fail closed."""
    token = SecretStr(world.state.add_token(world.jo))
    world.gitlab.switches.everywhere.fault = fault

    for question in (
        world.client.find_user(token),
        world.client.find_ownership(token, "993"),
        world.client.find_workspaces(token),
    ):
        with pytest.raises(GitLabUnavailable):
            await question


async def test_the_answer_to_nobody_is_a_refusal(world: World) -> None:
    """GraphQL answers a token it overlooked as to an anonymous visitor, with status 200."""
    world.gitlab.switches[Endpoint.GRAPHQL].fault = Answer(200, '{"data": {"currentUser": null, "workspace": null}}')

    with pytest.raises(TokenRefused):
        await world.client.find_ownership(SecretStr("glpat-x"), "993")


async def test_a_missing_licence_is_told_to_the_operator(world: World) -> None:
    """GitLab's own words reach the log, not the visitor."""
    world.state.has_licence = False

    with pytest.raises(GitLabUnavailable) as caught:
        await world.client.find_ownership(SecretStr(world.state.add_token(world.jo)), "993")

    assert "licensed feature" in caught.value.operator
    assert "licensed" not in caught.value.person


@pytest.mark.parametrize(("told", "expected"), [(30, 30), (0, 1), (99_999_999, 300)])
async def test_retry_after_is_passed_on_within_reason(world: World, told: int, expected: int) -> None:
    """GitLab may ask for patience, but not for more than a person has."""
    world.gitlab.switches.retry_after = told
    world.gitlab.switches.everywhere.fault = Fault.RATE_LIMITED

    with pytest.raises(GitLabUnavailable) as caught:
        await world.client.find_user(SecretStr("glpat-x"))

    assert caught.value.retry_after == expected
    assert world.calls == [("user", "limited")]


@pytest.mark.parametrize("value", ["", "soon", "-1", "1.5", "Tue, 05 Jan 2021 11:00:00 GMT", "٣", "9" * 50])
async def test_a_strange_retry_after_gives_the_default(world: World, value: str) -> None:
    """Whatever stands there, the answer to the visitor is a small number."""
    world.gitlab.switches.everywhere.fault = Answer(429, "Retry later", headers=(("Retry-After", value),))

    with pytest.raises(GitLabUnavailable) as caught:
        await world.client.find_user(SecretStr("glpat-x"))

    assert caught.value.retry_after == 5


async def test_a_dead_kept_connection_is_tried_once_more(world: World) -> None:
    """GitLab closing an idle connection at the wrong moment is nobody's outage; staying closed is one."""
    token = SecretStr(world.state.add_token(world.jo))
    world.gitlab.switches[Endpoint.GRAPHQL].fault = Fault.CLOSED
    world.gitlab.switches[Endpoint.GRAPHQL].times = 1

    assert (await world.client.find_ownership(token, "993")).is_owner


async def test_a_silent_gitlab_costs_bounded_time(world: World) -> None:
    """The time-out counts from the question to the last byte of the answer."""
    settings = world.settings.model_copy(update={"timeout": 0.05})
    world.gitlab.switches.everywhere.fault = Fault.SILENT

    async with open_gitlab(settings, observe) as client, asyncio.timeout(10):
        with pytest.raises(GitLabUnavailable, match=r"within 0\.05 s"):
            await client.find_user(SecretStr("glpat-x"))


async def test_nobody_listening_is_unavailable(world: World) -> None:
    """A GitLab that is away is told apart from one that refuses."""
    await world.gitlab.aclose()

    with pytest.raises(GitLabUnavailable, match="could not be asked"):
        await world.client.find_user(SecretStr("glpat-x"))


@pytest.mark.parametrize("root", ["/gitlab", "/a/b/"])
async def test_gitlab_may_live_under_a_relative_root(root: str) -> None:
    """`auth.host` with a path works, with and without a slash at its end."""
    state = GitLabState()
    token = SecretStr(state.add_token(state.add_user("jo")))
    gitlab = StandInGitLab(state, root=root)
    async with gitlab.serve() as url, open_gitlab(AuthSettings(host=f"{url}/"), observe) as client:
        assert (await client.find_user(token)).username == "jo"
        assert (await client.find_ownership(token, "")).visitor.username == "jo"


@pytest.fixture
async def private_ca(tmp_path: Path) -> AsyncIterator[tuple[str, Path]]:
    """A GitLab whose certificate only a private authority vouches for."""
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    async with StandInGitLab(GitLabState()).serve(tls=tls) as url:
        yield url, file


async def test_a_private_authority_is_trusted_when_named(private_ca: tuple[str, Path]) -> None:
    """`auth.ca_file` adds to what the system trusts."""
    url, file = private_ca
    async with open_gitlab(AuthSettings(host=url, ca_file=file), observe) as client:
        with pytest.raises(TokenRefused):
            await client.find_user(SecretStr("glpat-x"))


async def test_an_unknown_authority_is_not_trusted(private_ca: tuple[str, Path]) -> None:
    """There is no silent insecure mode."""
    async with open_gitlab(AuthSettings(host=private_ca[0]), observe) as client:
        with pytest.raises(GitLabUnavailable, match="Certificate"):
            await client.find_user(SecretStr("glpat-x"))


async def test_a_proxy_of_the_environment_is_not_used(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY cannot send tokens elsewhere."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    assert (await world.client.find_user(SecretStr(world.state.add_token(world.jo)))).username == "jo"


async def test_no_cookie_of_gitlab_is_kept(world: World) -> None:
    """One user's GitLab cookie can never go along with another user's question."""
    world.gitlab.switches[Endpoint.USER].fault = Answer(200, "{}", headers=(("Set-Cookie", "_gitlab_session=x"),))
    with pytest.raises(GitLabUnavailable):
        await world.client.find_user(SecretStr("glpat-x"))

    assert not list(world.client.calls._http.cookie_jar)


async def test_a_token_is_in_no_exception_and_no_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong, its text, its causes and the log lines do not hold the token."""
    caplog.set_level(logging.DEBUG)
    token = SecretStr("glpat-very-secret")
    faults = [*Fault, Answer(200, "nonsense"), Answer(302), Answer(200, "{}")]
    faults.remove(Fault.SILENT)
    for fault in faults:
        world.gitlab.switches.everywhere.fault = fault
        for question in (world.client.find_user(token), world.client.find_ownership(token, "993")):
            with pytest.raises(GitLabFault) as caught:
                await question
            assert "very-secret" not in "".join(traceback.format_exception(caught.value))

    assert "very-secret" not in caplog.text
