"""The REST API over a real socket: whose a token is, what is said to bad ones, and SSH keys in pages."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pytest
from aiohttp import ClientSession

from gateway.demo.gitlab import StandInGitLab
from gateway.demo.gitlab_model import GitLabUser, UserState
from gateway.demo.gitlab_state import GitLabState

USER = "/api/v4/user"
TOKEN_SELF = "/api/v4/personal_access_tokens/self"


@dataclass
class Site:
    """A served stand-in with a user, and a client."""

    gitlab: StandInGitLab
    client: ClientSession
    user: GitLabUser

    @property
    def state(self) -> GitLabState:
        return self.gitlab.state

    async def get(self, path: str, token: str = "", header: str = "Bearer") -> tuple[int, Any]:
        """Status and JSON of the answer."""
        name, value = ("Authorization", f"Bearer {token}") if header == "Bearer" else (header, token)
        headers = {name: value} if token else {}
        async with self.client.get(self.gitlab.url + path, headers=headers) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    state = GitLabState()
    user = state.add_user("ada")
    gitlab = StandInGitLab(state)
    async with gitlab.serve(), ClientSession() as client:
        yield Site(gitlab, client, user)


@pytest.mark.parametrize(
    ("kind", "header", "status"),
    [
        ("personal", "PRIVATE-TOKEN", 200),
        ("personal", "Bearer", 200),
        ("oauth", "Bearer", 200),
        ("oauth", "PRIVATE-TOKEN", 401),
    ],
)
async def test_which_header_takes_which_token(site: Site, kind: str, header: str, status: int) -> None:
    """PRIVATE-TOKEN takes personal tokens, Bearer takes all."""
    token = site.state.add_token(site.user) if kind == "personal" else site.state.add_oauth_token(site.user)

    assert (await site.get(USER, token, header))[0] == status


@pytest.mark.parametrize("parameter", ["private_token", "access_token"])
async def test_a_token_in_the_query_is_not_taken(site: Site, parameter: str) -> None:
    """GitLab would take it, and its logs would keep it."""
    token = site.state.add_token(site.user)

    assert await site.get(f"{USER}?{parameter}={token}") == (401, {"message": "401 Unauthorized"})


@pytest.mark.parametrize(
    ("scopes", "status"),
    [
        (["api"], 200),
        (["read_api"], 200),
        (["read_user"], 200),
        (["openid", "read_user"], 200),
        (["openid"], 403),
        (["read_repository"], 403),
        ([], 403),
    ],
)
async def test_the_user_needs_one_of_three_scopes(site: Site, scopes: list[str], status: int) -> None:
    """Otherwise the answer names the scopes that would do."""
    answer, told = await site.get(USER, site.state.add_token(site.user, scopes))

    assert answer == status
    if status == 403:
        assert told["error"] == "insufficient_scope"
        assert "read_api" in told["scope"]


async def test_the_user_is_described(site: Site) -> None:
    """Number, name, state, and whether they are a bot or external."""
    token = site.state.add_token(site.state.add_user("eve", external=True, admin=True))

    _status, told = await site.get(USER, token)

    expected = {"username": "eve", "state": "active", "bot": False, "external": True, "is_admin": True}
    assert expected.items() <= told.items()


async def test_a_project_token_is_a_bots(site: Site) -> None:
    """It never equals the owner of anything."""
    bot = site.state.add_bot(site.state.add_project("g/p"))

    _status, told = await site.get(USER, site.state.add_token(bot))

    assert (told["id"], told["bot"]) == (bot.id, True)


@pytest.mark.parametrize("state", ["blocked", "ldap_blocked", "deactivated", "banned", "blocked_pending_approval"])
async def test_a_blocked_users_token_gets_403(site: Site, state: UserState) -> None:
    """On every REST endpoint, whatever the reason."""
    token = site.state.add_token(site.user)
    site.state.block(site.user, state)

    for path in (USER, TOKEN_SELF):
        status, told = await site.get(path, token)
        assert status == 403
        assert told["message"].startswith("403 Forbidden - ")


async def test_what_is_said_to_bad_tokens(site: Site) -> None:
    """None, unknown, revoked and expired are told apart."""
    revoked = site.state.add_token(site.user)
    site.state.revoke(revoked)
    expired = site.state.add_token(site.user, expires_on=datetime.now(UTC).date())

    assert await site.get(USER) == (401, {"message": "401 Unauthorized"})
    assert await site.get(USER, "nonsense") == (401, {"message": "401 Unauthorized"})
    for token, word in ((revoked, "revoked"), (expired, "expired")):
        status, told = await site.get(USER, token)
        assert (status, told["error"]) == (401, "invalid_token")
        assert word in told["error_description"]


async def test_a_personal_token_describes_itself(site: Site) -> None:
    """With any scope, so that a person can be told what their token lacks."""
    token = site.state.add_token(site.user, ["read_repository"], expires_on=date(2999, 12, 31), name="laptop")

    status, told = await site.get(TOKEN_SELF, token)

    assert status == 200
    expected = {
        "name": "laptop",
        "revoked": False,
        "active": True,
        "scopes": ["read_repository"],
        "user_id": site.user.id,
        "expires_at": "2999-12-31",
    }
    assert expected.items() <= told.items()
    assert (await site.get(TOKEN_SELF, site.state.add_token(site.user)))[1]["expires_at"] is None


async def test_an_oauth_token_does_not_describe_itself(site: Site) -> None:
    """400: the endpoint is for personal tokens."""
    status, told = await site.get(TOKEN_SELF, site.state.add_oauth_token(site.user))

    assert status == 400
    assert "personal access token" in told["message"]


async def test_a_user_can_demand_proof_of_possession(site: Site) -> None:
    """Then a personal token alone is not enough, and an OAuth token still is."""
    site.state.require_dpop(site.user)

    status, told = await site.get(USER, site.state.add_token(site.user))

    assert (status, told["error"]) == (401, "dpop_error")
    assert (await site.get(USER, site.state.add_oauth_token(site.user)))[0] == 200


@pytest.mark.parametrize("by", ["id", "username"])
async def test_keys_need_no_token(site: Site, by: str) -> None:
    """They are found by number and by name, with their use and their end."""
    site.state.add_key(site.user, "ssh-ed25519 AAAA ada", usage_type="signing", expires=0)

    status, told = await site.get(f"/api/v4/users/{getattr(site.user, by)}/keys")

    assert status == 200
    (key,) = told
    assert (key["key"], key["usage_type"]) == ("ssh-ed25519 AAAA ada", "signing")
    assert key["expires_at"] == "1970-01-01T00:00:00.000Z"


async def test_keys_come_in_pages(site: Site) -> None:
    """20 at a time unless asked, with headers that say where one is and links to what is near."""
    for number in range(45):
        site.state.add_key(site.user, f"ssh-ed25519 {number}")
    url = f"{site.gitlab.url}/api/v4/users/ada/keys"

    async with site.client.get(url, params={"page": "2"}) as answer:
        assert [key["key"] for key in await answer.json()] == [f"ssh-ed25519 {n}" for n in range(20, 40)]
        shown = {name: answer.headers[name] for name in ("X-Page", "X-Next-Page", "X-Prev-Page", "X-Total-Pages")}
        assert shown == {"X-Page": "2", "X-Next-Page": "3", "X-Prev-Page": "1", "X-Total-Pages": "3"}
        following = answer.links["next"]["url"]
        assert set(answer.links) == {"first", "prev", "next", "last"}
    async with site.client.get(following) as answer:
        assert len(await answer.json()) == 5
        assert answer.headers["X-Next-Page"] == ""
        assert "next" not in answer.links


async def test_a_page_holds_at_most_100(site: Site) -> None:
    """Asking for more gives 100."""
    for number in range(101):
        site.state.add_key(site.user, f"ssh-ed25519 {number}")

    assert len((await site.get("/api/v4/users/ada/keys?per_page=1000"))[1]) == 100


async def test_a_profile_shows_the_state_of_its_account_to_everybody_with_a_token(site: Site) -> None:
    """A blocked user is still found, and said to be blocked; only an administrator is told who is external."""
    someone = site.state.add_token(site.state.add_user("grace"), ["read_api"])
    root = site.state.add_token(site.state.add_user("root", admin=True))
    site.state.block(site.user)
    path = f"/api/v4/users/{site.user.id}"

    assert (await site.get(path))[0] == 403
    status, told = await site.get(path, someone)
    assert (status, told["username"], told["state"], told["bot"]) == (200, "ada", "blocked", False)
    assert "external" not in told
    assert (await site.get(path, root))[1]["external"] is False
    assert (await site.get("/api/v4/users/999", someone)) == (404, {"message": "404 User Not Found"})
    assert (await site.get(path, site.state.add_token(site.state.add_user("no"), ["openid"])))[0] == 403


async def test_keys_of_nobody_are_not_found(site: Site) -> None:
    """404 by the API and by the file."""
    assert await site.get("/api/v4/users/nobody/keys") == (404, {"message": "404 User Not Found"})
    async with site.client.get(f"{site.gitlab.url}/nobody.keys") as answer:
        assert answer.status == 404


async def test_a_bad_token_is_refused_where_none_is_needed(site: Site) -> None:
    """A token that is presented is checked."""
    assert (await site.get("/api/v4/users/ada/keys", "nonsense"))[0] == 401
    assert (await site.get("/api/v4/users/ada/keys", site.state.add_token(site.user, ["openid"])))[0] == 403
    assert (await site.get("/api/v4/users/ada/keys", site.state.add_token(site.user, ["read_user"])))[0] == 200


async def test_the_keys_file_has_one_key_a_line(site: Site) -> None:
    """Plain text, found by the user's name only."""
    site.state.add_key(site.user, "ssh-ed25519 A")
    site.state.add_key(site.user, "ssh-rsa B")

    async with site.client.get(f"{site.gitlab.url}/ada.keys") as answer:
        assert (answer.content_type, await answer.text()) == ("text/plain", "ssh-ed25519 A\nssh-rsa B\n")
    async with site.client.get(f"{site.gitlab.url}/{site.user.id}.keys") as answer:
        assert answer.status == 404
