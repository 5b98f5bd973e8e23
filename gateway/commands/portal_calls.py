"""A call to the portal's API from a command line, with the GitLab token of whoever runs it.

The token comes from the environment or is asked for, and never from an argument, which everybody on a machine can
read.
"""

import getpass
import os
import warnings
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from gateway.localhost import LocalhostResolver

TOKEN_VARIABLE = "WORKSPACES_TOKEN"  # noqa: S105 - the name of the variable, not a token
PORTAL_VARIABLE = "WORKSPACES_PORTAL"
WHERE_FROM = (
    f"The portal is --portal or ${PORTAL_VARIABLE}, the GitLab token (scope api or read_api) ${TOKEN_VARIABLE}"
    " or typed in."
)
_EXAMPLE = "https://workspaces.example.dev"
_SECONDS = 30  # GitLab is asked once or twice on the way


class Refused(Exception):
    """The portal said no, or nothing that could be understood."""


@dataclass(frozen=True, slots=True)
class PortalCalls:
    """One portal, asked by one person."""

    portal: str
    token: str = field(repr=False)

    async def workspaces(self) -> list[dict[str, Any]]:
        """My workspaces as the API tells of them."""
        told: list[dict[str, Any]] = (await self.ask("GET", "/api/v1/workspaces"))["workspaces"]
        return told

    async def ask(self, method: str, path: str, document: dict[str, str] | None = None) -> dict[str, Any]:
        """Raises Refused for anything but a JSON object with status 200."""
        url = f"{self.portal}{path}"
        headers = {"X-Workspaces-Token": self.token.strip(), "Accept": "application/json"}
        try:
            async with (
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(resolver=LocalhostResolver()),
                    timeout=aiohttp.ClientTimeout(total=_SECONDS),
                    trust_env=True,
                ) as http,
                http.request(method, url, headers=headers, json=document, allow_redirects=False) as response,
            ):
                told = await response.json(content_type=None)
        except aiohttp.InvalidURL as exc:
            raise Refused(f"{self.portal} is no address of a portal; write it like {_EXAMPLE}") from exc
        except (aiohttp.ClientConnectionError, TimeoutError) as exc:
            raise Refused(f"{self.portal} could not be asked: {_why(exc)}") from exc
        except (aiohttp.ClientError, ValueError) as exc:
            # Only the kind: some of these quote the request, which holds the token.
            raise Refused(f"{url} did not answer as a portal does: {type(exc).__name__}") from exc
        if response.status != 200 or not isinstance(told, dict):
            raise Refused(
                told.get("message", "") if isinstance(told, dict) else f"the portal answered {response.status}"
            )
        return told


def _why(exc: aiohttp.ClientConnectionError | TimeoutError) -> str:
    match exc:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return "its certificate is not trusted here, or it does not speak TLS"
        case aiohttp.ClientConnectorDNSError():
            return "the name does not resolve"
        case aiohttp.ClientConnectorError():
            return os.strerror(exc.errno) if exc.errno else "nothing listens there"
        case TimeoutError():
            return f"no answer within {_SECONDS} s"
        case _:
            return "it hung up"


def add_portal_option(parser: ArgumentParser, environ: Mapping[str, str]) -> None:
    parser.add_argument("--portal", default=environ.get(PORTAL_VARIABLE, ""), help=f"such as {_EXAMPLE}")


def portal_of(parser: ArgumentParser, options: Namespace, environ: Mapping[str, str]) -> PortalCalls:
    """The portal that the command line names; asks for the token where the environment has none."""
    if not options.portal:
        parser.error(f"which portal? say --portal or set {PORTAL_VARIABLE}")
    try:
        token = environ.get(TOKEN_VARIABLE) or _ask_for_token()
    except (getpass.GetPassWarning, EOFError):
        parser.error(f"which token? set {TOKEN_VARIABLE}, as there is no terminal to type it in unseen")
    return PortalCalls(options.portal.rstrip("/"), token)


def _ask_for_token() -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)  # or it would go on and show what is typed
        return getpass.getpass("GitLab token: ")
