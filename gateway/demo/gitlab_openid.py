"""The stand-in GitLab as an OpenID provider: its discovery document, its keys, its id_tokens and claims."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from gateway.demo.gitlab_grants import TokenPair
from gateway.demo.gitlab_model import GitLabUser
from gateway.demo.gitlab_tokens import digest

ID_TOKEN_LIFETIME = 120  # doorkeeper-openid_connect's default
SCOPES = ("api", "read_api", "read_user", "read_repository", "write_repository", "sudo", "openid", "profile", "email")


def new_key() -> RSAKey:
    key = RSAKey.import_key(
        rsa.generate_private_key(public_exponent=65537, key_size=2048), {"use": "sig", "alg": "RS256"}
    )
    key.ensure_kid()
    return key


@cache
def process_key() -> RSAKey:
    """The key a stand-in starts with: one for all of a process, because making one takes a tenth of a second."""
    return new_key()


@dataclass(slots=True)
class Provider:
    """Signs id_tokens with the newest of its keys, and can be told to sign wrong ones."""

    published: list[RSAKey] = field(default_factory=lambda: [process_key()])
    signing: RSAKey = field(default_factory=process_key)
    forged: Mapping[str, object] = field(default_factory=dict)
    """Claims to put into the next id_tokens in the place of the right ones; None leaves a claim out."""

    def rotate_key(self) -> None:
        """Sign with a new key from now on; the old one stays published."""
        self.signing = new_key()
        self.published.insert(0, self.signing)

    def sign_with_unpublished_key(self) -> None:
        self.signing = new_key()

    def jwks(self) -> dict[str, object]:
        return dict(KeySet(list(self.published)).as_dict(private=False))

    def id_token(self, issuer: str, user: GitLabUser, pair: TokenPair) -> str:
        now = int(pair.created)
        claims: dict[str, object] = {
            "iss": issuer,
            "sub": str(user.id),
            "aud": pair.permission.client_id,
            "exp": now + ID_TOKEN_LIFETIME,
            "iat": now,
            "auth_time": int(pair.auth_time),
            "sub_legacy": digest(f"{user.id}-legacy"),
            "email": user.email,
            "email_verified": True,
            "groups_direct": [],
        }
        if pair.is_first and pair.permission.nonce:
            claims["nonce"] = pair.permission.nonce
        told = {name: value for name, value in (claims | dict(self.forged)).items() if value is not None}
        return jwt.encode({"alg": "RS256", "kid": self.signing.kid}, told, self.signing, algorithms=["RS256"])


def userinfo(issuer: str, user: GitLabUser) -> dict[str, object]:
    return {
        "sub": str(user.id),
        "sub_legacy": digest(f"{user.id}-legacy"),
        "name": user.name,
        "nickname": user.username,
        "preferred_username": user.username,
        "email": user.email,
        "email_verified": True,
        "website": "",
        "profile": f"{issuer}/{user.username}",
        "picture": f"{issuer}/uploads/-/system/user/avatar/{user.id}/avatar.png",
        "groups": [],
        "https://gitlab.org/claims/groups/owner": [],
        "https://gitlab.org/claims/groups/maintainer": [],
        "https://gitlab.org/claims/groups/developer": [],
    }


def discovery(issuer: str) -> dict[str, object]:
    """The discovery document; there is no end_session_endpoint and no registration_endpoint."""
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/oauth/authorize",
        "token_endpoint": f"{issuer}/oauth/token",
        "revocation_endpoint": f"{issuer}/oauth/revoke",
        "introspection_endpoint": f"{issuer}/oauth/introspect",
        "userinfo_endpoint": f"{issuer}/oauth/userinfo",
        "jwks_uri": f"{issuer}/oauth/discovery/keys",
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claim_types_supported": ["normal"],
        "claims_supported": [
            *("iss", "sub", "aud", "exp", "iat", "sub_legacy", "name", "nickname", "preferred_username"),
            *("email", "email_verified", "website", "profile", "picture", "groups", "groups_direct"),
            *(f"https://gitlab.org/claims/groups/{role}" for role in ("owner", "maintainer", "developer")),
        ],
        "code_challenge_methods_supported": ["plain", "S256"],
    }
