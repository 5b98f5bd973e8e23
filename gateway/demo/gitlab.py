"""The stand-in GitLab: one aiohttp application on a real socket, an independent witness of what GitLab documents.

    state = GitLabState()
    user = state.add_user("ada")
    gitlab = StandInGitLab(state)
    client_id, client_secret = gitlab.register_application("https://portal.example.com/auth/callback")
    async with gitlab.serve() as url:
        ...

It imports nothing of the gateway, so that both cannot share a misunderstanding. It writes no log: a token that is
sent to it appears nowhere. `switches` makes it fail, `calls` counts what was asked of it.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from gateway.demo import gitlab_pages as pages
from gateway.demo.gitlab_authorize import AuthorizeEndpoint
from gateway.demo.gitlab_graphql import GraphQLEndpoint
from gateway.demo.gitlab_oauth import OAuthEndpoints
from gateway.demo.gitlab_openid import Provider
from gateway.demo.gitlab_rest import RestAPI
from gateway.demo.gitlab_state import GitLabState
from gateway.demo.gitlab_switches import Answer, Endpoint, Fault, Switch, Switches

__all__ = ["Answer", "Endpoint", "Fault", "StandInGitLab", "Switch", "Switches"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_GRACE = 0.05  # seconds for answers under way when it closes; a silent one would take for ever


class StandInGitLab:
    """A GitLab on a port of this machine.

    `root` is a relative URL root such as `/gitlab`; `hostname` is what the URL says in the place of the address, and
    `port` in the place of the port, where something stands before it.
    """

    def __init__(self, state: GitLabState, *, root: str = "", hostname: str = "", port: int = 0) -> None:
        self.state = state
        self.switches = Switches()
        self.provider = Provider()
        self.calls: Counter[Endpoint] = Counter()
        self.most_at_once = 0
        """How many requests were under way at the same time, at most."""
        self._under_way = 0
        self._called = asyncio.Condition()
        self._root = f"/{root.strip('/')}" if root.strip("/") else ""
        self._hostname = hostname
        self._port = port
        self._url = ""
        self._runner: web.AppRunner | None = None
        self._authorize = AuthorizeEndpoint(state, lambda: self.url)

    def __repr__(self) -> str:
        return f"<StandInGitLab {self._url or 'not started'}>"

    @property
    def url(self) -> str:
        """Its base URL without a trailing slash, which is also the issuer of its id_tokens."""
        if not self._url:
            raise RuntimeError("the stand-in GitLab is not started")
        return self._url

    def register_application(self, *redirect_uris: str, is_trusted: bool = False) -> tuple[str, str]:
        """A confidential application with the four documented scopes: its id and its secret."""
        return self.state.oauth.register(redirect_uris, is_trusted=is_trusted)

    def sign_everybody_out(self) -> None:
        """Forget which browser is signed in to GitLab itself (it matters to trusted applications only)."""
        self._authorize.sign_everybody_out()

    @asynccontextmanager
    async def serve(
        self, host: str = "127.0.0.1", port: int = 0, *, tls: ssl.SSLContext | None = None
    ) -> AsyncIterator[str]:
        """Serve while the block runs; its value is the URL."""
        url = await self.start(host, port, tls=tls)
        try:
            yield url
        finally:
            await self.aclose()

    async def start(self, host: str = "127.0.0.1", port: int = 0, *, tls: ssl.SSLContext | None = None) -> str:
        runner = web.AppRunner(self._application(), access_log=None, handler_cancellation=True, shutdown_timeout=_GRACE)
        await runner.setup()
        self._runner = runner
        try:
            await web.TCPSite(runner, host, port, ssl_context=tls).start()
        except BaseException:
            await self.aclose()
            raise
        address = runner.addresses[0]
        scheme = "http" if tls is None else "https"
        self._url = f"{scheme}://{self._hostname or address[0]}:{self._port or address[1]}{self._root}"
        return self._url

    async def aclose(self) -> None:
        """Stop serving; what waits for an answer is cut off. The URL stays known, and nobody answers there."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def wait_called(self, endpoint: Endpoint, times: int = 1) -> None:
        """Wait until that many requests for the endpoint have come, answered or not."""
        async with self._called:
            await self._called.wait_for(lambda: self.calls[endpoint] >= times)

    def _application(self) -> web.Application:
        app = web.Application()
        for endpoint, method, path, handler in self._routes():
            app.router.add_route(method, f"{self._root}{path}", self._watched(endpoint, handler))
        app.router.add_route("*", "/{rest:.*}", _not_found)
        return app

    def _routes(self) -> list[tuple[Endpoint, str, str, Handler]]:
        oauth = OAuthEndpoints(self.state, self.provider, lambda: self.url)
        rest = RestAPI(self.state, lambda: self.url)
        graphql = GraphQLEndpoint(self.state, lambda: self.url)
        return [
            (Endpoint.DISCOVERY, "GET", "/.well-known/openid-configuration", oauth.discovery),
            (Endpoint.DISCOVERY, "GET", "/.well-known/oauth-authorization-server", oauth.discovery),
            (Endpoint.KEYS, "GET", "/oauth/discovery/keys", oauth.keys),
            (Endpoint.AUTHORIZE, "GET", "/oauth/authorize", self._authorize.ask),
            (Endpoint.AUTHORIZE, "POST", "/oauth/authorize", self._authorize.decide),
            (Endpoint.TOKEN, "POST", "/oauth/token", oauth.token),
            (Endpoint.REVOKE, "POST", "/oauth/revoke", oauth.revoke),
            (Endpoint.INTROSPECT, "POST", "/oauth/introspect", oauth.introspect),
            (Endpoint.TOKEN_INFO, "GET", "/oauth/token/info", oauth.token_info),
            (Endpoint.USERINFO, "GET", "/oauth/userinfo", oauth.userinfo),
            (Endpoint.USERINFO, "POST", "/oauth/userinfo", oauth.userinfo),
            (Endpoint.SIGN_IN, "GET", "/users/sign_in", oauth.sign_in),
            (Endpoint.USER, "GET", "/api/v4/user", rest.user),
            (Endpoint.TOKEN_SELF, "GET", "/api/v4/personal_access_tokens/self", rest.token_self),
            (Endpoint.USER_BY_ID, "GET", r"/api/v4/users/{id:\d{1,18}}", rest.user_by_id),
            (Endpoint.USER_KEYS, "GET", "/api/v4/users/{user}/keys", rest.user_keys),
            (Endpoint.GRAPHQL, "POST", "/api/graphql", graphql.post),
            (Endpoint.KEYS_FILE, "GET", r"/{username:[^/]+}.keys", rest.keys_file),
        ]

    def _watched(self, endpoint: Endpoint, handler: Handler) -> Handler:
        """The handler, counted and subject to the switches."""

        async def watched(request: web.Request) -> web.StreamResponse:
            async with self._called:
                self.calls[endpoint] += 1
                self._called.notify_all()
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
            try:
                failure = await self.switches.apply(endpoint, request)
                return failure if failure is not None else await handler(request)
            finally:
                self._under_way -= 1

        return watched


async def _not_found(_request: web.Request) -> web.StreamResponse:
    return pages.not_found_page()
