"""The part of the stand-in GitLab's REST API that a gateway asks (https://docs.gitlab.com/api/rest/)."""

from collections.abc import Callable

from aiohttp import web

from gateway.demo.gitlab_credentials import insufficient_scope, rest_caller
from gateway.demo.gitlab_model import GitLabKey, GitLabUser, iso
from gateway.demo.gitlab_state import GitLabState
from gateway.demo.gitlab_tokens import Token

USER_SCOPES = ("api", "read_api", "read_user")
PUBLIC_FIELDS = ("id", "username", "name", "state", "locked", "avatar_url", "web_url", "created_at", "bot")
PER_PAGE = 20
MAX_PER_PAGE = 100

NEEDS_PERSONAL_TOKEN = {"message": "400 Bad request - This endpoint requires token type to be a personal access token"}


class RestAPI:
    """Handlers that answer from the state."""

    def __init__(self, state: GitLabState, base: Callable[[], str]) -> None:
        self._state = state
        self._base = base

    async def user(self, request: web.Request) -> web.Response:
        caller = rest_caller(self._state, request)
        if isinstance(caller, web.Response):
            return caller
        token, user = caller
        if not token.has_scope(*USER_SCOPES):
            return insufficient_scope(*USER_SCOPES)
        return web.json_response(self._user(user))

    async def token_self(self, request: web.Request) -> web.Response:
        caller = rest_caller(self._state, request)
        if isinstance(caller, web.Response):
            return caller
        if caller[0].kind != "personal":
            return web.json_response(NEEDS_PERSONAL_TOKEN, status=400)
        return web.json_response(_token(caller[0]))

    async def user_by_id(self, request: web.Request) -> web.Response:
        """Somebody's public profile; of the state of their account all callers are told."""
        if "Authorization" not in request.headers and "PRIVATE-TOKEN" not in request.headers:
            return web.json_response({"message": "403 Forbidden - Not authorized!"}, status=403)
        caller = rest_caller(self._state, request)
        if isinstance(caller, web.Response):
            return caller
        token, asker = caller
        if not token.has_scope(*USER_SCOPES):
            return insufficient_scope(*USER_SCOPES)
        user = self._state.get_user(int(request.match_info["id"]))
        if user is None:
            return web.json_response({"message": "404 User Not Found"}, status=404)
        told = self._user(user)
        return web.json_response(told if asker.admin else {name: told[name] for name in PUBLIC_FIELDS})

    async def user_keys(self, request: web.Request) -> web.Response:
        """The keys of somebody's profile. A token is not needed, but a bad one is refused."""
        if "Authorization" in request.headers or "PRIVATE-TOKEN" in request.headers:
            caller = rest_caller(self._state, request)
            if isinstance(caller, web.Response):
                return caller
            if not caller[0].has_scope(*USER_SCOPES):
                return insufficient_scope(*USER_SCOPES)
        user = self._state.get_user(request.match_info["user"])
        if user is None:
            return web.json_response({"message": "404 User Not Found"}, status=404)
        return _page(request, user.keys)

    async def keys_file(self, request: web.Request) -> web.Response:
        user = self._state.get_user(request.match_info["username"])
        if user is None or user.username != request.match_info["username"]:
            return web.Response(status=404, text="Not found\n")
        return web.Response(text="".join(f"{key.key}\n" for key in user.keys))

    def _user(self, user: GitLabUser) -> dict[str, object]:
        told: dict[str, object] = {
            "id": user.id,
            "username": user.username,
            "name": user.name,
            "state": user.state,
            "locked": False,
            "avatar_url": None,
            "web_url": f"{self._base()}/{user.username}",
            "created_at": iso(user.created),
            "bot": user.bot,
            "email": user.email,
            "external": user.external,
            "two_factor_enabled": False,
        }
        return told | ({"is_admin": True} if user.admin else {})


def _page(request: web.Request, keys: tuple[GitLabKey, ...]) -> web.Response:
    page, per_page = _number(request, "page", 1), min(_number(request, "per_page", PER_PAGE), MAX_PER_PAGE)
    pages = max(1, -(-len(keys) // per_page))
    shown = keys[(page - 1) * per_page : page * per_page]
    near = {"first": 1, "prev": page - 1, "next": page + 1, "last": pages}
    links = {rel: number for rel, number in near.items() if 1 <= number <= pages}
    headers = {
        "X-Page": str(page),
        "X-Per-Page": str(per_page),
        "X-Next-Page": str(links.get("next", "")),
        "X-Prev-Page": str(links.get("prev", "")),
        "X-Total": str(len(keys)),
        "X-Total-Pages": str(pages),
        "Link": ", ".join(
            f'<{request.url.update_query(page=number, per_page=per_page)}>; rel="{rel}"'
            for rel, number in links.items()
        ),
    }
    return web.json_response([_key(key) for key in shown], headers=headers)


def _number(request: web.Request, name: str, default: int) -> int:
    value = request.query.get(name, "")
    return max(1, int(value)) if value.isdecimal() else default


def _key(key: GitLabKey) -> dict[str, object]:
    return {
        "id": key.id,
        "title": key.title,
        "created_at": iso(key.created),
        "expires_at": iso(key.expires) if key.expires is not None else None,
        "key": key.key,
        "usage_type": key.usage_type,
    }


def _token(token: Token) -> dict[str, object]:
    return {
        "id": token.id,
        "name": token.name,
        "revoked": token.is_revoked,
        "created_at": iso(token.created),
        "description": "",
        "scopes": list(token.scopes),
        "user_id": token.user_id,
        "last_used_at": iso(token.last_used) if token.last_used is not None else None,
        "active": True,
        "expires_at": token.expires_on.isoformat() if token.expires_on is not None else None,
    }
