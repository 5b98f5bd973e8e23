"""The portal's API for programs, and for scripts of the portal's own pages.

    GET /api/v1/workspaces                        my workspaces and their ports
    PUT /api/v1/workspaces/<name>/ports/<port>    {"visibility": "private" | "internal" | "public"}

A program says who it is with `X-Workspaces-Token`; a script has its session, and for a change the token of the page in
`X-CSRF-Token`. Answers are JSON, failures included.
"""

from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from aiohttp import web
from pydantic import SecretStr

from auth.model import Session, TokenRefused
from auth.share import Share
from gateway.answers import BAD_REQUEST, CROSS_SITE, TOKEN_REFUSED, Answer, sign_in_needed
from gateway.pages import PortView, WorkspaceView
from gateway.portal.csrf import is_form_token, is_same_origin
from gateway.portal.home import workspace_views
from gateway.portal.parts import PARTS, get_session
from gateway.portal.replies import json_reply, reply, request_id
from gateway.portal.sharing import Wish, share

_TOKEN = "X-Workspaces-Token"  # noqa: S105 - the name of a header
TOKEN_SHARE = web.AppKey("token_share", Share)


async def list_workspaces(request: web.Request) -> web.Response:
    """GET /api/v1/workspaces."""
    parts = request.app[PARTS]
    token = await _find_token(request)
    if isinstance(token, Answer):
        return reply(request, token)
    try:
        async with _slot(request):
            records = await parts.gitlab.find_workspaces(token)
    except TokenRefused:
        return reply(request, TOKEN_REFUSED)
    views = workspace_views(records, parts.directory, parts.access, parts.settings, parts.idle.get_standing)
    return json_reply(request, {"workspaces": [_workspace(view) for view in views]})


async def put_port(request: web.Request) -> web.Response:
    """PUT /api/v1/workspaces/<name>/ports/<port>."""
    token = await _find_token(request)
    if isinstance(token, Answer):
        return reply(request, token)
    try:
        told = await request.json()
    except ValueError:
        return reply(request, BAD_REQUEST)
    if not isinstance(told, dict) or told.keys() != {"visibility"}:
        return reply(request, BAD_REQUEST)
    name, port = request.match_info["name"], request.match_info["port"]
    wish = Wish(name, port, str(told["visibility"]), "api", request_id(request))
    async with _slot(request):
        result = await share(request.app[PARTS], token, wish)
    if isinstance(result, Answer):
        return reply(request, result)
    return json_reply(request, {"workspace": name, "port": result.port, "visibility": result.declared})


async def _find_token(request: web.Request) -> SecretStr | Answer:
    """The GitLab token of whoever asks, or what is said to whoever did not say who that is."""
    parts = request.app[PARTS]
    if token := request.headers.get(_TOKEN):
        return SecretStr(token)
    session = await get_session(request)
    if session is None:
        return sign_in_needed(f"{parts.settings.auth.portal_url}/auth/start")
    if request.method != "GET" and not _is_own_script(request, session):
        return CROSS_SITE
    try:
        return await parts.login.fresh_token(session)
    except TokenRefused:
        return sign_in_needed(f"{parts.settings.auth.portal_url}/auth/start")


def _slot(request: web.Request) -> AbstractAsyncContextManager[None]:
    """Whoever has a session is no stranger; anybody can make up a token."""
    return request.app[TOKEN_SHARE].slot() if request.headers.get(_TOKEN) else nullcontext()


def _is_own_script(request: web.Request, session: Session) -> bool:
    token = request.headers.get("X-CSRF-Token")
    return is_same_origin(request) and is_form_token(request.app[PARTS], session, token)


def _workspace(view: WorkspaceView) -> dict[str, Any]:
    told: dict[str, Any] = {"name": view.name, "state": view.state, "ports": [_port(port) for port in view.ports]}
    if view.ssh_command:
        told["ssh"] = {"command": view.ssh_command, "config": view.ssh_config}
    return told


def _port(view: PortView) -> dict[str, Any]:
    told: dict[str, Any] = {"port": view.port, "name": view.name, "url": view.url, "visibility": view.visibility}
    if view.limit != "public":
        told |= {"limit": view.limit, "limit_reason": view.limit_reason}
    return told
