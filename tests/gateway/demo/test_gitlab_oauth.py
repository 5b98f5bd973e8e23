"""Signing in over real sockets: authorize, token, refresh, revoke, as a browser and a client see them."""

import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import parse_qs, quote_plus, urlsplit

import pytest
from aiohttp import ClientSession, CookieJar, encode_basic_auth

from gateway.demo.gitlab import StandInGitLab
from gateway.demo.gitlab_model import GitLabUser, UserState
from gateway.demo.gitlab_state import GitLabState

CALLBACK = "https://portal.example.com/auth/callback"
SCOPE = "openid profile api read_user"
VERIFIER = "v" * 64
S256 = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
FORM = "application/x-www-form-urlencoded"


@dataclass
class Site:
    """A served stand-in, a browser, and the application that people sign in to."""

    gitlab: StandInGitLab
    browser: ClientSession
    user: GitLabUser
    client_id: str
    client_secret: str

    @property
    def request(self) -> dict[str, str]:
        return {
            "client_id": self.client_id,
            "redirect_uri": CALLBACK,
            "response_type": "code",
            "scope": SCOPE,
            "state": "a state/+",
            "nonce": "a nonce",
            "code_challenge": S256,
            "code_challenge_method": "S256",
        }

    @property
    def secrets(self) -> dict[str, str]:
        return {"client_id": self.client_id, "client_secret": self.client_secret}

    async def ask(self, **changed: str) -> tuple[int, str, str]:
        """Status, Location and text of the authorisation page."""
        params = {name: value for name, value in (self.request | changed).items() if value}
        url = f"{self.gitlab.url}/oauth/authorize"
        async with self.browser.get(url, params=params, allow_redirects=False) as answer:
            return answer.status, answer.headers.get("Location", ""), await answer.text()

    async def decide(self, **changed: str) -> tuple[int, str, str]:
        """Status, Location and text after a button was pressed."""
        form = self.request | {"user_id": str(self.user.id)} | changed
        url = f"{self.gitlab.url}/oauth/authorize"
        async with self.browser.post(url, data=form, allow_redirects=False) as answer:
            return answer.status, answer.headers.get("Location", ""), await answer.text()

    async def code(self, **changed: str) -> str:
        _status, location, _text = await self.decide(**changed)
        return parse_qs(urlsplit(location).query)["code"][0]

    async def token(self, form: dict[str, str], authorization: str = "") -> tuple[int, dict[str, object]]:
        url, headers = f"{self.gitlab.url}/oauth/token", {"Authorization": authorization} if authorization else {}
        async with self.browser.post(url, data=form, headers=headers, allow_redirects=False) as answer:
            return answer.status, await answer.json()

    async def redeem(self, code: str, /, **changed: str) -> tuple[int, dict[str, object]]:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
        return await self.token(self.secrets | form | changed)

    async def refresh(self, refresh: object, /, **changed: str) -> tuple[int, dict[str, object]]:
        form = {"grant_type": "refresh_token", "refresh_token": str(refresh), "redirect_uri": CALLBACK}
        return await self.token(self.secrets | form | changed)

    async def user_status(self, access: object) -> int:
        headers = {"Authorization": f"Bearer {access}"}
        async with self.browser.get(f"{self.gitlab.url}/api/v4/user", headers=headers) as answer:
            return answer.status


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    state = GitLabState()
    user = state.add_user("ada", name="Ada <Lovelace>")
    gitlab = StandInGitLab(state)
    client_id, client_secret = gitlab.register_application(CALLBACK)
    async with gitlab.serve(), ClientSession(cookie_jar=CookieJar(unsafe=True)) as browser:
        yield Site(gitlab, browser, user, client_id, client_secret)


async def test_the_page_offers_every_account_but_bots(site: Site) -> None:
    """Names are escaped, and the title says that this is no real GitLab."""
    site.gitlab.state.add_user("robot", bot=True)

    status, _location, text = await site.ask()

    assert status == 200
    assert "<title>Sign in to the stand-in GitLab" in text
    assert "Ada &lt;Lovelace&gt;" in text
    assert "@ada" in text
    assert "robot" not in text


async def test_the_page_loads_nothing_and_runs_nothing(site: Site) -> None:
    """Its policy forbids it, and it has neither a script nor a link."""
    async with site.browser.get(f"{site.gitlab.url}/oauth/authorize", params=site.request) as answer:
        text, policy = await answer.text(), answer.headers["Content-Security-Policy"]

    assert policy.startswith("default-src 'none'")
    assert not any(word in text for word in ("<script", "<link", "<img", " on", "src="))


async def test_a_person_comes_back_with_a_code_and_the_state(site: Site) -> None:
    """To exactly the registered address, with the state unchanged."""
    status, location, _text = await site.decide()

    assert status == 302
    assert location.startswith(CALLBACK + "?")
    values = parse_qs(urlsplit(location).query)
    assert values["state"] == ["a state/+"]
    assert len(values["code"][0]) == 64


async def test_denying_comes_back_as_access_denied(site: Site) -> None:
    """With the state, and without a code."""
    _status, location, _text = await site.decide(decision="deny")

    values = parse_qs(urlsplit(location).query)
    assert values["error"] == ["access_denied"]
    assert values["error_description"]
    assert values["state"] == ["a state/+"]
    assert "code" not in values


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"client_id": "unknown"}, 401),
        ({"redirect_uri": CALLBACK + "/"}, 400),
        ({"redirect_uri": CALLBACK + "?x=1"}, 400),
        ({"redirect_uri": CALLBACK.upper()}, 400),
        ({"redirect_uri": "https://evil.example.com/"}, 400),
        ({"redirect_uri": ""}, 400),
    ],
)
async def test_a_stranger_gets_a_page_and_no_redirect(site: Site, changed: dict[str, str], status: int) -> None:
    """An unknown application or address is the person's to see; sending them there would be an open redirect."""
    for asked in (await site.ask(**changed), await site.decide(**changed)):
        assert asked[:2] == (status, "")


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"scope": "api read_api"}, "invalid_scope"),
        ({"scope": "openid email"}, "invalid_scope"),
        ({"scope": "nonsense"}, "invalid_scope"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": ""}, "unsupported_response_type"),
        ({"code_challenge_method": "S512"}, "invalid_code_challenge_method"),
        ({"code_challenge_method": ""}, "invalid_code_challenge_method"),
    ],
)
async def test_a_wrong_request_comes_back_as_an_error(site: Site, changed: dict[str, str], error: str) -> None:
    """No person is asked; a scope that the application is not registered for is refused."""
    for status, location, _text in (await site.ask(**changed), await site.decide(**changed)):
        assert status == 302
        assert parse_qs(urlsplit(location).query)["error"] == [error]


@pytest.mark.parametrize("scope", ["openid profile api read_user", "read_user api", "openid"])
async def test_any_subset_of_the_registered_scopes_is_granted(site: Site, scope: str) -> None:
    """In any order, and exactly that."""
    status, told = await site.redeem(await site.code(scope=scope))

    assert (status, told["scope"]) == (200, scope)


@pytest.mark.parametrize(("mode", "joint"), [("query", "?"), ("fragment", "#")])
async def test_the_answer_comes_as_the_response_mode_says(site: Site, mode: str, joint: str) -> None:
    """In the query or after the hash."""
    _status, location, _text = await site.decide(response_mode=mode)

    assert location.startswith(f"{CALLBACK}{joint}code=")


async def test_the_answer_can_come_as_a_form(site: Site) -> None:
    """response_mode=form_post: a page that posts to the application."""
    status, location, text = await site.decide(response_mode="form_post")

    assert (status, location) == (200, "")
    assert f'action="{CALLBACK}"' in text
    assert 'name="code"' in text


async def test_a_trusted_application_skips_the_page_when_signed_in(site: Site) -> None:
    """The first time a person picks an account, then GitLab remembers the browser until it is signed out."""
    site.client_id, site.client_secret = site.gitlab.register_application(CALLBACK, is_trusted=True)
    assert (await site.ask())[0] == 200

    await site.decide()
    assert (await site.ask())[0] == 302
    site.gitlab.sign_everybody_out()
    assert (await site.ask())[0] == 200


async def test_an_application_may_come_to_be_trusted(site: Site) -> None:
    """From then on the page is skipped for whoever is signed in."""
    await site.decide()
    site.gitlab.state.oauth.trust(site.client_id)

    assert (await site.ask())[0] == 302


async def test_an_untrusted_application_always_asks(site: Site) -> None:
    """Also a browser that is signed in."""
    await site.decide()

    assert (await site.ask())[0] == 200


@pytest.mark.parametrize("state", ["blocked", "ldap_blocked", "deactivated", "banned"])
async def test_an_inactive_user_cannot_sign_in(site: Site, state: UserState) -> None:
    """GitLab sends them to its own sign-in page."""
    site.gitlab.state.block(site.user, state)

    assert (await site.decide())[:2] == (302, f"{site.gitlab.url}/users/sign_in")


async def test_the_token_answer_has_the_documented_fields(site: Site) -> None:
    """And the access token is accepted."""
    status, told = await site.redeem(await site.code())

    assert status == 200
    assert set(told) == {
        *("access_token", "token_type", "expires_in", "refresh_token", "scope", "created_at", "id_token"),
    }
    assert (told["token_type"], told["expires_in"], told["scope"]) == ("Bearer", 7200, SCOPE)
    assert await site.user_status(told["access_token"]) == 200


async def test_without_openid_there_is_no_id_token(site: Site) -> None:
    """It is the scope that adds it."""
    _status, told = await site.redeem(await site.code(scope="api"))

    assert "id_token" not in told


@pytest.mark.parametrize("secret_of", [str, quote_plus])
async def test_the_client_may_use_basic_authentication(site: Site, secret_of: type[str]) -> None:
    """client_secret_basic beside client_secret_post."""
    form = {"grant_type": "authorization_code", "code": await site.code(), "redirect_uri": CALLBACK}
    form["code_verifier"] = VERIFIER

    status, _told = await site.token(form, encode_basic_auth(site.client_id, secret_of(site.client_secret)))

    assert status == 200


@pytest.mark.parametrize(
    ("changed", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "unknown"}, 401, "invalid_client"),
        ({"client_id": "", "client_secret": ""}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": ""}, 400, "invalid_request"),
        ({"code": ""}, 400, "invalid_request"),
        ({"redirect_uri": ""}, 400, "invalid_request"),
        ({"redirect_uri": CALLBACK + "/"}, 400, "invalid_grant"),
        ({"code": "unknown"}, 400, "invalid_grant"),
        ({"code_verifier": "w" * 64}, 400, "invalid_grant"),
        ({"code_verifier": ""}, 400, "invalid_request"),
    ],
)
async def test_a_wrong_exchange_has_its_own_error(site: Site, changed: dict[str, str], status: int, error: str) -> None:
    """JSON with `error` and `error_description`."""
    answer, told = await site.redeem(await site.code(), **changed)

    assert (answer, told["error"]) == (status, error)
    assert told["error_description"]


async def test_garbage_in_basic_authentication_is_no_client(site: Site) -> None:
    """It is refused like an unknown one."""
    headers = {"Authorization": "Basic %%%"}
    async with site.browser.post(f"{site.gitlab.url}/oauth/token", headers=headers) as answer:
        assert answer.status == 401
        assert (await answer.json())["error"] == "invalid_client"


async def test_a_replayed_code_takes_its_tokens_with_it(site: Site) -> None:
    """The second use is refused, and what the first gave stops working."""
    code = await site.code()
    _status, told = await site.redeem(code)

    status, error = await site.redeem(code)

    assert (status, error["error"]) == (400, "invalid_grant")
    assert await site.user_status(told["access_token"]) == 401
    assert (await site.refresh(told["refresh_token"]))[0] == 400


async def test_a_refresh_gives_a_new_pair_and_ends_the_old(site: Site) -> None:
    """The old access token at once, the old refresh token when the new access token is first used."""
    _status, old = await site.redeem(await site.code())

    status, new = await site.refresh(old["refresh_token"])

    assert status == 200
    assert await site.user_status(old["access_token"]) == 401
    assert (await site.refresh(old["refresh_token"]))[0] == 200
    assert await site.user_status(new["access_token"]) == 200
    assert (await site.refresh(old["refresh_token"]))[1]["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"redirect_uri": ""}, "invalid_request"),
        ({"redirect_uri": CALLBACK + "/"}, "invalid_grant"),
        ({"refresh_token": "unknown"}, "invalid_grant"),
        ({"client_secret": "wrong"}, "invalid_client"),
    ],
)
async def test_a_wrong_refresh_has_its_own_error(site: Site, changed: dict[str, str], error: str) -> None:
    """And leaves the pair as it was."""
    _status, told = await site.redeem(await site.code())

    assert (await site.refresh(told["refresh_token"], **changed))[1]["error"] == error
    assert await site.user_status(told["access_token"]) == 200


@pytest.mark.parametrize("grant_type", ["authorization_code", "refresh_token"])
async def test_a_user_blocked_meanwhile_is_sent_to_the_sign_in_page(site: Site, grant_type: str) -> None:
    """A redirect to HTML from an endpoint that gives JSON: a client that follows it misreads a page."""
    code = await site.code()
    form = site.secrets | {"grant_type": grant_type, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    if grant_type == "refresh_token":
        _status, told = await site.redeem(code)
        form |= {"refresh_token": str(told["refresh_token"])}
    else:
        form |= {"code": code}
    site.gitlab.state.block(site.user)

    async with site.browser.post(f"{site.gitlab.url}/oauth/token", data=form) as answer:
        assert answer.history[0].status == 302
        assert answer.url.path == "/users/sign_in"
        assert answer.content_type == "text/html"


async def test_revoking_answers_with_an_empty_object(site: Site) -> None:
    """And the token is refused from then on."""
    _status, told = await site.redeem(await site.code())
    form = site.secrets | {"token": str(told["access_token"])}

    async with site.browser.post(f"{site.gitlab.url}/oauth/revoke", data=form) as answer:
        assert (answer.status, await answer.json()) == (200, {})
    assert await site.user_status(told["access_token"]) == 401


async def test_revoking_needs_the_application_of_the_token(site: Site) -> None:
    """403, and the token lives."""
    _status, told = await site.redeem(await site.code())
    form = {"client_id": site.client_id, "client_secret": "wrong", "token": str(told["access_token"])}

    async with site.browser.post(f"{site.gitlab.url}/oauth/revoke", data=form) as answer:
        assert (answer.status, (await answer.json())["error"]) == (403, "unauthorized_client")
    assert await site.user_status(told["access_token"]) == 200


async def test_introspection_tells_the_application_about_its_token(site: Site) -> None:
    """Active with its scopes, or only that it is not active."""
    _status, told = await site.redeem(await site.code())
    url = f"{site.gitlab.url}/oauth/introspect"

    async with site.browser.post(url, data=site.secrets | {"token": str(told["access_token"])}) as answer:
        shown = await answer.json()
        assert (shown["active"], shown["scope"], shown["client_id"]) == (True, SCOPE, site.client_id)
    async with site.browser.post(url, data=site.secrets | {"token": "unknown"}) as answer:
        assert await answer.json() == {"active": False}
    async with site.browser.post(url, data={"token": str(told["access_token"])}) as answer:
        assert answer.status == 401


async def test_token_info_tells_whose_a_token_is(site: Site) -> None:
    """The owner, the scopes as a list, the seconds left and the application."""
    _status, told = await site.redeem(await site.code(scope="api"))
    headers = {"Authorization": f"Bearer {told['access_token']}"}

    async with site.browser.get(f"{site.gitlab.url}/oauth/token/info", headers=headers) as answer:
        info = await answer.json()

    assert (info["resource_owner_id"], info["scope"]) == (site.user.id, ["api"])
    assert info["application"] == {"uid": site.client_id}
    assert 7190 < info["expires_in"] <= 7200


async def test_token_info_refuses_a_bad_token(site: Site) -> None:
    """With a JSON error and a challenge."""
    headers = {"Authorization": "Bearer nonsense"}
    async with site.browser.get(f"{site.gitlab.url}/oauth/token/info", headers=headers) as answer:
        assert (answer.status, (await answer.json())["error"]) == (401, "invalid_token")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
