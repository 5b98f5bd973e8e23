"""Signing in works for people, many at once, and for nobody who borrowed, forged or kept a part of it."""

import asyncio
import json
import logging
import traceback
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from pydantic import SecretStr

from auth.login import SCOPES, STATE_LIFETIME, THEN_MAX, Login
from auth.model import (
    GitLabFault,
    GitLabUnavailable,
    Session,
    SignInDenied,
    SignInElsewhere,
    SignInFailed,
    TokenRefused,
    Tokens,
)
from auth.seal import Sealer
from auth.sessions import session_ref
from gateway.demo.gitlab import Answer, Endpoint, Fault
from tests.auth.conftest import CALLBACK, World

Params = list[tuple[str, str]]


def with_param(params: Params, name: str, value: str) -> Params:
    return [(key, old) for key, old in params if key != name] + [(name, value)]


async def approved(world: World, browser: str = "browser-a", then: str = "") -> Params:
    return await world.approve(await world.login.begin(browser, then), world.jo)


async def test_a_person_signs_in(world: World) -> None:
    """The session is theirs, and they are led on to where they wanted to go."""
    session, then = await world.login.finish(await approved(world, then="sealed-target"), ["browser-a"])

    assert (session.user.id, session.user.username) == (world.jo.id, "jo")
    assert then == "sealed-target"
    assert await world.sessions.get(session_ref(session.id)) == session
    assert (await world.client.find_user(session.tokens.access)).username == "jo"


async def test_the_authorization_request_is_what_gitlab_expects(world: World) -> None:
    """Exactly the registered scopes and redirect URI, PKCE with S256, a nonce, and nothing secret."""
    url = urlsplit(await world.login.begin("browser-a", ""))
    query = parse_qs(url.query, strict_parsing=True)

    assert f"{url.scheme}://{url.netloc}{url.path}" == f"{world.gitlab.url}/oauth/authorize"
    assert query["scope"] == ["openid profile api read_user"] == [" ".join(SCOPES)]
    assert query["redirect_uri"] == [CALLBACK]
    assert query["response_type"] == ["code"]
    assert query["code_challenge_method"] == ["S256"]
    assert len(query["code_challenge"][0]) == 43
    assert {len(values) for values in query.values()} == {1}
    assert "client_secret" not in query


async def test_a_sign_in_under_way_costs_no_memory(world: World) -> None:
    """A thousand anonymous visits leave nothing behind on the server."""
    urls = {await world.login.begin("browser-a", "") for _ in range(1000)}

    assert len(urls) == 1000
    assert len(world.sessions._used) == len(world.sessions._sessions) == 0
    assert world.gitlab.calls == {Endpoint.DISCOVERY: 1}


async def test_ten_tabs_at_once_all_sign_in(world: World) -> None:
    """Tabs of one browser do not disturb each other, in whatever order they come back."""
    begun = [await approved(world, then=f"target-{number}") for number in range(10)]

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(world.login.finish(params, ["browser-a"])) for params in reversed(begun)]

    assert [task.result()[1] for task in tasks] == [f"target-{number}" for number in reversed(range(10))]
    assert len({task.result()[0].id for task in tasks}) == 10


async def test_several_browser_cookies_are_each_tried(world: World) -> None:
    """A tossed cookie of the same name does not keep the right one from counting."""
    session, _ = await world.login.finish(await approved(world), ["tossed", "browser-a"])

    assert session.user.username == "jo"


async def test_the_longest_way_on_fits_through_gitlab(world: World) -> None:
    """The authorization request stays below the 8 KiB that GitLab's nginx takes."""
    assert len(await world.login.begin("b", "x" * THEN_MAX)) < 8192 - len("GET  HTTP/1.1")
    with pytest.raises(ValueError, match="longer"):
        await world.login.begin("b", "x" * (THEN_MAX + 1))


ATTACKS: dict[str, Callable[[Params], Params]] = {
    "no state": lambda p: [pair for pair in p if pair[0] != "state"],
    "empty state": lambda p: with_param(p, "state", ""),
    "forged state": lambda p: with_param(p, "state", "A" * 400),
    "one character of the state changed": lambda p: with_param(p, "state", dict(p)["state"][:-9] + "AAAAAAAAA"),
    "a url as state": lambda p: with_param(p, "state", "https://3000-a.zone.test/"),
    "two states": lambda p: [*p, ("state", dict(p)["state"])],
    "two codes": lambda p: [*p, ("code", "other")],
    "no code": lambda p: [pair for pair in p if pair[0] != "code"],
    "an unknown code": lambda p: with_param(p, "code", "0" * 64),
    "another issuer": lambda p: [*p, ("iss", "https://evil.test")],
    "an error and a code": lambda p: [*p, ("error", "server_error")],
    "a strange error": lambda p: [*p, ("error", "<script>" * 1000)],
    "nothing": lambda _: [],
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
async def test_a_tampered_answer_fails(world: World, attack: Callable[[Params], Params]) -> None:
    """Nothing that a link can carry signs anybody in."""
    params = attack(await approved(world))

    with pytest.raises(SignInFailed):
        await world.login.finish(params, ["browser-a"])
    assert not world.sessions._sessions


@pytest.mark.parametrize("browsers", [[], [""], ["browser-b"], ["browser-"], ["browser-a\udcff"]])
async def test_an_attackers_answer_signs_no_victim_in(world: World, browsers: list[str]) -> None:
    """Login CSRF: code and state of one browser are refused in every other, and the code is not even used."""
    params = await approved(world, "browser-a", "target")

    with pytest.raises(SignInElsewhere) as caught:
        await world.login.finish(params, browsers)

    assert caught.value.then == "target"
    assert Endpoint.TOKEN not in world.gitlab.calls
    assert (await world.login.finish(params, ["browser-a"]))[1] == "target"


async def test_an_answer_works_once(world: World) -> None:
    """Replaying the callback, at once or later, fails before GitLab is asked."""
    params = await approved(world)
    await world.login.finish(params, ["browser-a"])
    asked = world.gitlab.calls[Endpoint.TOKEN]

    for _ in range(2):
        with pytest.raises(SignInFailed, match="used before"):
            await world.login.finish(params, ["browser-a"])
    assert world.gitlab.calls[Endpoint.TOKEN] == asked


async def test_of_parallel_replays_one_wins(world: World) -> None:
    """A race does not make one answer two sessions."""
    params = await approved(world)
    results = await asyncio.gather(
        *(world.login.finish(params, ["browser-a"]) for _ in range(10)), return_exceptions=True
    )

    assert sum(isinstance(result, SignInFailed) for result in results) == 9


async def test_a_code_of_another_sign_in_fails(world: World) -> None:
    """Code injection: PKCE ties a code to the state it was asked with."""
    stolen, own = await approved(world, "victim"), await approved(world, "attacker")

    with pytest.raises(SignInFailed):
        await world.login.finish(with_param(own, "code", dict(stolen)["code"]), ["attacker"])


async def test_a_state_lives_ten_minutes(world: World) -> None:
    """A sign-in left lying around is void."""
    params = await approved(world)
    world.clock.now += STATE_LIFETIME

    with pytest.raises(SignInFailed, match="too old"):
        await world.login.finish(params, ["browser-a"])


async def test_a_state_of_another_gateway_is_void(world: World) -> None:
    """Only our key makes states."""
    other = Login(
        world.settings, world.client, Sealer([SecretStr("another-key-0123456789")]), world.sessions, world.clock
    )
    params = await world.approve(await other.begin("browser-a", ""), world.jo)

    with pytest.raises(SignInFailed):
        await world.login.finish(params, ["browser-a"])


async def test_the_issuer_may_be_named(world: World) -> None:
    """A GitLab that follows RFC 9207 is understood."""
    params = [*await approved(world), ("iss", world.gitlab.url)]

    assert (await world.login.finish(params, ["browser-a"]))[0].user.username == "jo"


async def test_declining_is_denied(world: World) -> None:
    """Who presses Deny at GitLab is told that, not that something broke."""
    params = await world.approve(await world.login.begin("browser-a", ""), world.jo, decision="deny")

    with pytest.raises(SignInDenied):
        await world.login.finish(params, ["browser-a"])


async def test_a_user_blocked_meanwhile_is_denied(world: World) -> None:
    """GitLab answers a blocked user's code with a redirect to a page, which is not followed."""
    params = await approved(world)
    world.state.block(world.jo)

    with pytest.raises(SignInDenied):
        await world.login.finish(params, ["browser-a"])
    assert Endpoint.SIGN_IN not in world.gitlab.calls


@pytest.mark.parametrize(
    "told",
    [
        {"bot": True},
        {"state": "blocked"},
        {"state": "deactivated"},
        {"state": "banned"},
        {"state": "ACTIVE"},
    ],
    ids=str,
)
async def test_only_active_people_sign_in(world: World, told: dict[str, object]) -> None:
    """Bots and whoever is not simply active get no session, and the tokens made for them are revoked."""
    body = {"id": world.jo.id, "username": "jo", "state": "active", "external": False} | told
    world.gitlab.switches[Endpoint.USER].fault = Answer(200, json.dumps(body))

    with pytest.raises(SignInDenied):
        await world.login.finish(await approved(world), ["browser-a"])
    assert not world.sessions._sessions
    assert world.gitlab.calls[Endpoint.REVOKE] == 1


async def test_id_token_and_access_token_must_agree(world: World) -> None:
    """An access token of one person with an id_token of another is neither's sign-in."""
    body = {"id": world.jo.id + 1, "username": "ida", "state": "active", "external": False}
    world.gitlab.switches[Endpoint.USER].fault = Answer(200, json.dumps(body))

    with pytest.raises(SignInFailed, match="different people"):
        await world.login.finish(await approved(world), ["browser-a"])


@pytest.mark.parametrize(
    "forged",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another"},
        {"iss": "https://evil.test"},
        {"sub": "999"},
        {"exp": 1},
        {"iat": 9_999_999_999},
    ],
    ids=str,
)
async def test_a_wrong_id_token_fails(world: World, forged: dict[str, object]) -> None:
    """What the token endpoint says is checked, even though it came straight from GitLab."""
    world.gitlab.provider.forged = forged

    with pytest.raises(SignInFailed):
        await world.login.finish(await approved(world), ["browser-a"])
    assert not world.sessions._sessions


async def test_a_rotated_signing_key_is_looked_up_at_once(world: World) -> None:
    """GitLab may change its key at any time: one question more, and nobody notices."""
    await world.sign_in()
    world.gitlab.provider.rotate_key()

    assert await world.sign_in() is not None
    assert world.gitlab.calls[Endpoint.KEYS] == 2


async def test_a_key_that_gitlab_does_not_publish_fails_after_one_look(world: World) -> None:
    """A forger cannot make the gateway ask for keys again and again."""
    await world.sign_in()
    world.gitlab.provider.sign_with_unpublished_key()

    with pytest.raises(SignInFailed):
        await world.sign_in()
    assert world.gitlab.calls[Endpoint.KEYS] == 2


async def test_metadata_and_keys_are_asked_for_once_an_hour(world: World) -> None:
    """Sign-ins are cheap, and an upgrade of GitLab is noticed."""
    for _ in range(3):
        await world.sign_in()
    assert world.gitlab.calls[Endpoint.DISCOVERY] == world.gitlab.calls[Endpoint.KEYS] == 1

    world.clock.now += 3600
    await world.sign_in()
    assert world.gitlab.calls[Endpoint.DISCOVERY] == world.gitlab.calls[Endpoint.KEYS] == 2


TOKEN_FAULTS: list[Fault | Answer] = [
    Fault.RATE_LIMITED,
    Fault.UNAVAILABLE,
    Fault.ERROR_PAGE,
    Fault.MAINTENANCE_PAGE,
    Fault.CLOSED,
    Answer(200, "x" * 10_000_000),
    Answer(200, "{}"),
    Answer(200, '{"access_token": "", "token_type": "Bearer", "expires_in": 7200}'),
    Answer(200, '{"access_token": "a", "token_type": "mac", "expires_in": 7200}'),
    Answer(200, '{"access_token": "a", "token_type": "Bearer"}'),
    Answer(200, '{"access_token": "a", "token_type": "Bearer", "expires_in": 0}'),
    Answer(200, '{"access_token": "a", "token_type": "Bearer", "expires_in": "7200"}'),
    Answer(200, '{"access_token": "a", "token_type": "Bearer", "expires_in": 1e999}'),
    Answer(200, '{"access_token": ["a"], "token_type": "Bearer", "expires_in": 7200}'),
    Answer(401, '{"error": "invalid_client"}'),
    Answer(400, '{"error": "unsupported_grant_type"}'),
    Answer(400, "[]"),
]


@pytest.mark.parametrize(
    "fault", TOKEN_FAULTS, ids=lambda fault: fault.name if isinstance(fault, Fault) else fault.body[:60]
)
async def test_a_broken_token_endpoint_is_gitlabs_fault(world: World, fault: Fault | Answer) -> None:
    """HTML, giants, nonsense and refusals of our own credentials are not the person's doing."""
    params = await approved(world)
    world.gitlab.switches[Endpoint.TOKEN].fault = fault

    with pytest.raises(GitLabUnavailable):
        await world.login.finish(params, ["browser-a"])
    assert world.gitlab.calls[Endpoint.TOKEN] == 1
    assert not world.sessions._sessions


async def test_a_redirecting_token_endpoint_is_not_followed(world: World) -> None:
    """The code and our secret go to GitLab's token endpoint and nowhere else."""
    params = await approved(world)
    location = f"{world.gitlab.url}/users/sign_in"
    world.gitlab.switches[Endpoint.TOKEN].fault = Answer(307, headers=(("Location", location),))

    with pytest.raises(SignInDenied):
        await world.login.finish(params, ["browser-a"])
    assert Endpoint.SIGN_IN not in world.gitlab.calls


async def test_fewer_scopes_than_asked_for_are_denied(world: World) -> None:
    """A token that cannot ask GraphQL would only fail later, without an explanation."""
    body = {"access_token": "a", "token_type": "bearer", "expires_in": 7200, "scope": "openid read_user"}
    params = await approved(world)
    world.gitlab.switches[Endpoint.TOKEN].fault = Answer(200, json.dumps(body))

    with pytest.raises(SignInDenied, match="scopes"):
        await world.login.finish(params, ["browser-a"])


async def test_gitlab_may_be_away_at_the_start(world: World) -> None:
    """Nothing is fetched before it is needed, and a failure is not remembered for longer than moments."""
    world.gitlab.switches.everywhere.fault = Fault.UNAVAILABLE
    with pytest.raises(GitLabUnavailable):
        await world.login.begin("browser-a", "")
    world.gitlab.switches.reset()
    world.clock.now += 2

    assert (await world.sign_in()).user.username == "jo"


async def test_those_who_wait_behind_a_failure_do_not_wait_again(world: World) -> None:
    """A GitLab that times out costs everybody one time-out, not one after another."""
    world.gitlab.switches[Endpoint.DISCOVERY].fault = Fault.UNAVAILABLE
    results = await asyncio.gather(*(world.login.begin("b", "") for _ in range(20)), return_exceptions=True)

    assert all(isinstance(result, GitLabUnavailable) for result in results)
    assert world.gitlab.calls[Endpoint.DISCOVERY] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": None},
        {"issuer": ""},
        {"token_endpoint": None},
        {"token_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "//evil"},
        {"jwks_uri": 1},
    ],
    ids=str,
)
async def test_a_strange_discovery_document_is_gitlabs_fault(world: World, change: dict[str, object]) -> None:
    """Only http and https addresses are gone to."""
    url = world.gitlab.url
    right = {"issuer": url, "authorization_endpoint": f"{url}/oauth/authorize", "token_endpoint": f"{url}/oauth/token"}
    more = {"revocation_endpoint": f"{url}/oauth/revoke", "jwks_uri": f"{url}/oauth/discovery/keys"}
    world.gitlab.switches[Endpoint.DISCOVERY].fault = Answer(200, json.dumps(right | more | change))

    with pytest.raises(GitLabUnavailable):
        await world.login.begin("browser-a", "")


async def test_a_young_token_is_not_refreshed(world: World) -> None:
    """GitLab is asked for a new token only near the end of the old one."""
    session = await world.sign_in()
    world.clock.now += 7200 - 61

    assert await world.login.fresh_token(session) == session.tokens.access
    assert world.gitlab.calls[Endpoint.TOKEN] == 1


async def test_twenty_callers_cause_one_refresh(world: World) -> None:
    """A refresh token works once; whoever comes second uses what the first one got."""
    session = await expiring_session(world, left=59)

    tokens = await asyncio.gather(*(world.login.fresh_token(session) for _ in range(20)))

    assert world.gitlab.calls[Endpoint.TOKEN] == 2
    assert len(set(tokens)) == 1
    assert tokens[0] != session.tokens.access
    assert (await world.client.find_user(tokens[0])).username == "jo"


async def expiring_session(world: World, left: float) -> Session:
    """A session whose access token has `left` seconds to live."""
    session = await world.sign_in()
    ref = session_ref(session.id)
    await world.sessions.put_tokens(ref, replace(session.tokens, expires=world.clock.now + left))
    current = await world.sessions.get(ref)
    assert current is not None
    return current


async def test_a_void_refresh_token_ends_the_session(world: World) -> None:
    """When GitLab will not go on, neither does the session."""
    session = await world.sign_in()
    ref = session_ref(session.id)
    await world.sessions.put_tokens(ref, Tokens(SecretStr("a"), SecretStr("void"), world.clock.now))
    current = await world.sessions.get(ref)
    assert current is not None

    with pytest.raises(TokenRefused):
        await world.login.fresh_token(current)
    assert await world.sessions.get(ref) is None
    assert world.sessions.is_ended(ref)


async def test_a_user_blocked_between_refreshes_loses_the_session(world: World) -> None:
    """A redirect from the token endpoint means blocked, and that ends the session."""
    session = await expiring_session(world, left=59)
    world.state.block(world.jo)

    with pytest.raises(TokenRefused):
        await world.login.fresh_token(session)
    assert world.sessions.is_ended(session_ref(session.id))


async def test_a_hiccup_of_gitlab_does_not_end_a_session(world: World) -> None:
    """While the old token lives it is used; after that GitLab is unavailable; then all is well again."""
    session = await expiring_session(world, left=30)
    world.gitlab.switches[Endpoint.TOKEN].fault = Fault.UNAVAILABLE

    assert await world.login.fresh_token(session) == session.tokens.access
    world.clock.now += 30
    with pytest.raises(GitLabUnavailable):
        await world.login.fresh_token(session)
    world.gitlab.switches.reset()
    assert await world.login.fresh_token(session) != session.tokens.access


async def test_an_ended_session_gives_no_token(world: World) -> None:
    """Somebody who still holds the value of an ended session cannot refresh with it."""
    session = await expiring_session(world, left=30)
    await world.sessions.end(session_ref(session.id))

    with pytest.raises(TokenRefused):
        await world.login.fresh_token(session)


async def test_signing_out_ends_session_and_tokens(world: World) -> None:
    """After sign-out neither the gateway nor GitLab accepts what the session held."""
    session = await world.sign_in()

    await world.login.sign_out(session)

    assert world.sessions.is_ended(session_ref(session.id))
    with pytest.raises(TokenRefused):
        await world.client.find_user(session.tokens.access)


async def test_signing_out_works_without_gitlab(world: World) -> None:
    """The session ends here, whatever becomes of the revocation."""
    session = await world.sign_in()
    world.gitlab.switches.everywhere.fault = Fault.CLOSED

    await world.login.sign_out(session)

    assert world.sessions.is_ended(session_ref(session.id))


async def test_sign_in_gives_a_new_id_each_time(world: World) -> None:
    """Session fixation: whatever id a browser came with, it leaves with one nobody knew before."""
    first, second = await world.sign_in(), await world.sign_in()

    assert first.id != second.id


async def test_nothing_secret_is_in_an_exception_a_log_or_the_url(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Client secret, code, verifier and tokens stay where they belong, whatever goes wrong."""
    caplog.set_level(logging.DEBUG)
    url = await world.login.begin("browser-secret", "")
    secret = world.settings.client_secret.get_secret_value()
    texts = [url]
    for fault in [*TOKEN_FAULTS, Answer(400, '{"error": "invalid_grant"}'), Answer(302)]:
        params = await approved(world)
        world.gitlab.switches[Endpoint.TOKEN].fault = fault
        with pytest.raises(GitLabFault) as caught:
            await world.login.finish(params, ["browser-a"])
        texts += traceback.format_exception(caught.value)
        texts = [text for text in texts if dict(params)["code"] in text or secret in text or "browser-secret" in text]
        assert not texts

    assert secret not in caplog.text
    assert dict(parse_qsl(urlsplit(url).query))["state"] not in caplog.text
