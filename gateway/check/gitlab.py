"""Is GitLab there, and does it know the OAuth application and the token that the gateway has?"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import time
from urllib.parse import urlencode, urlsplit

import aiohttp

from auth.calls import Calls, open_calls
from auth.gitlab import GitLabClient
from auth.login import SCOPES
from auth.model import GitLabFault, GitLabUnavailable, SignInDenied, SignInFailed
from auth.oauth import OAuthClient
from gateway.check.model import Finding, fault, ok, unknown
from gateway.check.site import Site

_NO_CODE = "a-code-that-gitlab-has-never-issued"
_APPLICATION = "Admin area > Applications, or those of the group or user that owns it"


async def look_for_gitlab(site: Site) -> Finding:
    """Its discovery document, under the address and by the certificates that the gateway would use."""
    host = site.settings.auth.host
    async with _asking(site) as (_, oauth):
        try:
            metadata = await oauth.find_metadata()
        except GitLabUnavailable as exc:
            return fault(f"{host}: {exc.operator}", _what_to_do(exc))
    if metadata.issuer.rstrip("/") != host:
        return fault(
            f"GitLab calls itself {metadata.issuer}, and auth.host is {host}",
            "set auth.host to GitLab's external_url, relative URL root included",
        )
    return ok(f"{host} answers as GitLab does")


async def look_for_application(site: Site) -> Finding:
    """The id and the secret, by a code that cannot be right: whoever gets as far as the code has shown both."""
    async with _asking(site) as (_, oauth):
        try:
            await oauth.exchange_code(_NO_CODE, _NO_CODE)
        except SignInFailed:
            return ok(f"GitLab knows auth.client_id {site.settings.auth.client_id} and its secret")
        except (GitLabUnavailable, SignInDenied) as exc:
            return fault(
                exc.operator,
                f"compare auth.client_id and auth.client_secret with the application ({_APPLICATION}); after a change "
                "of the Secret, restart the pods",
            )
    return fault("GitLab took a code that it never issued", "whatever answers at auth.host is not GitLab")


async def look_at_redirect(site: Site) -> Finding:
    """The redirect URI and the scopes, by the question that a sign-in begins with."""
    auth = site.settings.auth
    async with _asking(site) as (calls, oauth):
        try:
            endpoint = (await oauth.find_metadata()).authorization_endpoint
            query = {"client_id": auth.client_id, "redirect_uri": auth.redirect_uri, "scope": " ".join(SCOPES)}
            url = f"{endpoint}?{urlencode({**query, 'response_type': 'code', 'state': 'check'})}"
            reply = await calls.ask("authorize", url)
        except GitLabUnavailable as exc:
            return unknown(f"the question could not be asked: {exc.operator}")
    if reply.status == 200:
        return ok(f"GitLab would ask for consent and send people back to {auth.redirect_uri}")
    if reply.location.startswith(auth.redirect_uri) and "invalid_scope" in urlsplit(reply.location).query:
        wanted = ", ".join(SCOPES)
        return fault("the application lacks a scope that is asked for", f"give it {wanted} ({_APPLICATION})")
    if reply.is_redirect:
        return unknown(
            "GitLab tells only people who are signed in whether redirect URI and scopes are right",
            f"sign in to GitLab and open {url} : it asks for consent, or says what is wrong",
        )
    return fault(
        f"GitLab refuses the redirect URI {auth.redirect_uri} ({reply.status})",
        f"enter exactly this one in the application ({_APPLICATION}), or set auth.redirect_uri to what stands there",
    )


async def look_at_service_token(site: Site) -> Finding:
    """Whether GitLab takes it for the question that it is there for."""
    token, idle = site.settings.auth.service_token, site.settings.idle
    stops = bool(idle.timeout or idle.maximum or idle.rules)
    if not token.get_secret_value():
        without = "; workspaces that nobody uses are stopped only while their owner is signed in" if stops else ""
        return unknown(
            f"auth.service_token is not set: whose a workspace is, the gateway learns from sign-ins{without}"
        )
    async with _asking(site) as (calls, _):
        gitlab = GitLabClient(calls)
        try:
            await gitlab.find_workspaces(token)
            if stops and await gitlab.may_only_read(token):
                told = "auth.service_token may read and not stop workspaces that nobody uses"
                return fault(told, "make a new one with the scope api, or set no idle time-outs")
        except GitLabFault as exc:
            return fault(f"auth.service_token: {exc.operator}", "make a new one with the scope read_api")
    return ok("GitLab takes auth.service_token")


def _what_to_do(exc: GitLabUnavailable) -> str:
    match exc.__cause__:
        case aiohttp.ClientConnectorCertificateError():
            return "GitLab's certificate is not trusted here: name its authority's certificates in auth.ca_file"
        case aiohttp.ClientConnectorDNSError():
            return "the name in auth.host does not resolve here: check it, and the DNS of this machine or cluster"
        case aiohttp.ClientConnectorError() | TimeoutError():
            return "nothing answers there: check auth.host, firewalls and egress rules between here and GitLab"
        case None:
            return "something answers there that is not GitLab, or not all of it: check auth.host and its URL root"
        case _:
            return "check auth.host, and what stands between here and GitLab"


@asynccontextmanager
async def _asking(site: Site) -> AsyncIterator[tuple[Calls, OAuthClient]]:
    async with open_calls(site.settings.auth, lambda _endpoint, _result, _seconds: None) as calls:
        yield calls, OAuthClient(calls, site.settings.auth, time)
