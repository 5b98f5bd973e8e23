"""The stand-in as an OpenID provider: discovery, keys, id_tokens and userinfo over a real socket."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientSession
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import KeySet

from gateway.demo.gitlab import StandInGitLab
from gateway.demo.gitlab_grants import Permission, TokenPair
from gateway.demo.gitlab_model import GitLabUser
from gateway.demo.gitlab_openid import userinfo
from gateway.demo.gitlab_state import GitLabState

NOW = 1_700_000_000.0


@dataclass
class Site:
    """A served stand-in and a client without any state of its own."""

    gitlab: StandInGitLab
    client: ClientSession
    user: GitLabUser

    async def get(self, path: str, token: str = "") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.client.get(self.gitlab.url + path, headers=headers) as answer:
            return answer.status, await answer.json()

    async def keys(self) -> KeySet:
        _status, keys = await self.get("/oauth/discovery/keys")
        return KeySet.import_key_set(keys)

    async def claims(self, *, is_first: bool = True, nonce: str = "n") -> dict[str, Any]:
        token = self.id_token(is_first=is_first, nonce=nonce)
        return jwt.decode(token, await self.keys(), algorithms=["RS256"]).claims

    def id_token(self, *, is_first: bool = True, nonce: str = "n") -> str:
        permission = Permission(self.user.id, "the-client", "https://p.example.com/cb", ("openid",), nonce)
        pair = TokenPair("access", "refresh", permission, NOW, NOW - 60, is_first=is_first)
        return self.gitlab.provider.id_token(self.gitlab.url, self.user, pair)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    state = GitLabState()
    user = state.add_user("ada")
    gitlab = StandInGitLab(state)
    async with gitlab.serve(), ClientSession() as client:
        yield Site(gitlab, client, user)


@pytest.mark.parametrize("path", ["openid-configuration", "oauth-authorization-server"])
async def test_discovery_names_the_endpoints_under_the_issuer(site: Site, path: str) -> None:
    """The issuer is GitLab's URL exactly; both well-known documents have the same shape."""
    status, told = await site.get(f"/.well-known/{path}")

    assert status == 200
    assert told["issuer"] == site.gitlab.url
    endpoints = [value for name, value in told.items() if name.endswith(("_endpoint", "_uri"))]
    assert len(endpoints) == 6
    assert all(value.startswith(f"{site.gitlab.url}/oauth/") for value in endpoints)
    assert told["code_challenge_methods_supported"] == ["plain", "S256"]
    assert told["id_token_signing_alg_values_supported"] == ["RS256"]


async def test_discovery_offers_no_end_of_session_and_no_registration(site: Site) -> None:
    """GitLab has neither, so nobody may rely on them."""
    _status, told = await site.get("/.well-known/openid-configuration")

    assert "end_session_endpoint" not in told
    assert "registration_endpoint" not in told


async def test_the_keys_are_public(site: Site) -> None:
    """An RSA key with a kid, and nothing of its private half."""
    _status, told = await site.get("/oauth/discovery/keys")

    (key,) = told["keys"]
    assert set(key) == {"kty", "kid", "e", "n", "use", "alg"}


async def test_an_id_token_has_the_documented_claims(site: Site) -> None:
    """`sub` is the user's number as text, and it lives for two minutes."""
    claims = await site.claims()

    assert set(claims) == {
        *("iss", "sub", "aud", "exp", "iat", "auth_time", "sub_legacy", "email", "email_verified", "groups_direct"),
        "nonce",
    }
    assert (claims["iss"], claims["sub"], claims["aud"]) == (site.gitlab.url, str(site.user.id), "the-client")
    assert (claims["iat"], claims["exp"], claims["auth_time"]) == (NOW, NOW + 120, NOW - 60)
    assert claims["nonce"] == "n"


@pytest.mark.parametrize(("is_first", "nonce"), [(True, ""), (False, "n")])
async def test_the_nonce_comes_once_and_only_when_sent(site: Site, *, is_first: bool, nonce: str) -> None:
    """A refreshed id_token has none."""
    assert "nonce" not in await site.claims(is_first=is_first, nonce=nonce)


async def test_a_rotated_key_is_published_beside_the_old_one(site: Site) -> None:
    """Tokens of both are verifiable, by kid."""
    before = site.id_token()

    site.gitlab.provider.rotate_key()

    keys = await site.keys()
    assert len(keys.keys) == 2
    for token in (before, site.id_token()):
        assert jwt.decode(token, keys, algorithms=["RS256"]).claims["sub"] == str(site.user.id)


async def test_it_can_sign_with_a_key_nobody_knows(site: Site) -> None:
    """So that a client's check of signatures can be tested."""
    site.gitlab.provider.sign_with_unpublished_key()

    (published,) = (await site.keys()).keys
    with pytest.raises(BadSignatureError):
        jwt.decode(site.id_token(), published, algorithms=["RS256"])


async def test_it_can_forge_claims(site: Site) -> None:
    """A value replaces a claim, None removes it."""
    site.gitlab.provider.forged = {"aud": "somebody-else", "nonce": None}

    claims = await site.claims()

    assert claims["aud"] == "somebody-else"
    assert "nonce" not in claims


async def test_userinfo_describes_the_user(site: Site) -> None:
    """By GET and by POST."""
    token = site.gitlab.state.add_oauth_token(site.user, ["openid"])
    url, headers = f"{site.gitlab.url}/oauth/userinfo", {"Authorization": f"Bearer {token}"}

    for method in ("GET", "POST"):
        async with site.client.request(method, url, headers=headers) as answer:
            assert answer.status == 200
            assert await answer.json() == userinfo(site.gitlab.url, site.user)


@pytest.mark.parametrize(
    ("scopes", "is_blocked", "status"), [(["api"], False, 403), (["openid"], True, 403), (None, False, 401)]
)
async def test_userinfo_refuses_with_an_empty_body(
    site: Site, scopes: list[str] | None, *, is_blocked: bool, status: int
) -> None:
    """Without the openid scope 403; a token that is none 401."""
    token = site.gitlab.state.add_oauth_token(site.user, scopes) if scopes else "nonsense"
    if is_blocked:
        site.gitlab.state.block(site.user)

    headers = {"Authorization": f"Bearer {token}"}
    async with site.client.get(f"{site.gitlab.url}/oauth/userinfo", headers=headers) as answer:
        assert (answer.status, await answer.read()) == (status, b"")


async def test_a_personal_token_is_no_oauth_token(site: Site) -> None:
    """Userinfo is for OAuth tokens only."""
    token = site.gitlab.state.add_token(site.user, ["api", "openid"])

    headers = {"Authorization": f"Bearer {token}"}
    async with site.client.get(f"{site.gitlab.url}/oauth/userinfo", headers=headers) as answer:
        assert answer.status == 401
