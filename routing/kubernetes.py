"""The API server of a Kubernetes cluster, by kubernetes-asyncio: where it is, who we are, and how its answers read.

The library finds the cluster and keeps the credentials fresh (ServiceAccount tokens are renewed on disk, a kubeconfig
may run a program for them). Its model objects are passed by: see `routing.cluster_api`.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from kubernetes_asyncio.client import ApiClient, Configuration
from kubernetes_asyncio.config import ConfigException, load_incluster_config, load_kube_config

from routing.cluster_api import (
    AGENT_LABEL,
    SERVICES,
    ClusterApi,
    ClusterAway,
    ClusterNotFound,
    ClusterRefused,
    Conflicting,
    Expired,
    Forbidden,
    Manifest,
    Missing,
    Resource,
)
from routing.portions import portions
from routing.rights import REVIEWS, Right, read_review, review_of

_ANSWER_SECONDS = aiohttp.ClientTimeout(total=30, sock_connect=5)  # a page of a list takes well under a second
# A bookmark comes about every minute; whoever says nothing for longer than two is behind a connection that is dead.
_WATCH_SECONDS = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=150)
_WATCH_ENDS = 290  # seconds after which the server ends a watch: load moves on to another one, if there are several
_LINE_MAX = 4 << 20  # etcd takes no object larger than 1.5 MiB
_MESSAGE_MAX = 500  # characters of a refusal that are worth a line in a log
_FIELD_MANAGER = "workspaces-gateway"  # whose the annotation is, in the eyes of a server-side apply
_WRITTEN = {"PATCH": "application/merge-patch+json", "POST": "application/json"}
_REFUSALS = {403: Forbidden, 404: Missing, 409: Conflicting, 410: Expired}


@asynccontextmanager
async def open_cluster(kubeconfig: Path | None) -> AsyncIterator["Kubernetes"]:
    """The cluster that a kubeconfig names, or the one this process runs in. It need not be reachable yet.

    Raises:
        ClusterNotFound: if there is neither, or the kubeconfig cannot be used.
    """
    configuration = Configuration()
    configuration.connection_pool_maxsize = 0  # no limit: each namespace has a watch that keeps its connection
    try:
        if kubeconfig is None:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # the library's own gap
        else:
            await load_kube_config(str(kubeconfig), client_configuration=configuration, persist_config=False)
        client = ApiClient(configuration)
    except (ConfigException, yaml.YAMLError, OSError, ValueError, LookupError, TypeError, AttributeError) as exc:
        raise ClusterNotFound(_explain(kubeconfig, exc)) from exc
    try:
        yield Kubernetes(client)
    finally:
        await client.close()


def _explain(kubeconfig: Path | None, exc: Exception) -> str:
    if kubeconfig is not None:
        # What the library says of another kind of file is about its own code, or quotes what may be a secret.
        why = str(exc) if isinstance(exc, ConfigException | OSError) else "it is not a kubeconfig"
        return f"kubeconfig: {kubeconfig} cannot be used: {why}"
    return (
        "there is nowhere to take routes from: set routing.file to a route file, or kubeconfig to the kubeconfig of a "
        f"cluster; a pod finds its own cluster by its ServiceAccount, and here is none ({exc})"
    )


class Kubernetes(ClusterApi):
    """One cluster's API server."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    def __repr__(self) -> str:
        return f"<Kubernetes {self._client.configuration.host}>"

    async def list_page(self, resource: Resource, namespace: str, limit: int, token: str) -> Manifest:
        query = {"labelSelector": AGENT_LABEL, "limit": str(limit)} | ({"continue": token} if token else {})
        return await self._ask("GET", resource.path(namespace), query)

    async def watch(self, resource: Resource, namespace: str, version: str) -> AsyncIterator[list[Manifest]]:
        query = {
            "labelSelector": AGENT_LABEL,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(_WATCH_ENDS),
        }
        async with self._request("GET", resource.path(namespace), query, limits=_WATCH_SECONDS) as response:
            yield []  # it is there, even if nothing happens for a while
            rest = b""
            async for data in response.content.iter_any():
                *lines, rest = (rest + data).split(b"\n")
                if len(rest) > _LINE_MAX:
                    raise ClusterAway("an event is larger than any object can be")
                for portion in portions(lines):
                    yield [_read_event(line) for line in portion]

    async def get_service(self, namespace: str, name: str) -> Manifest:
        return await self._ask("GET", SERVICES.path(namespace, name), {})

    async def patch_service(self, namespace: str, name: str, patch: Manifest) -> Manifest:
        return await self._ask("PATCH", SERVICES.path(namespace, name), {"fieldManager": _FIELD_MANAGER}, patch)

    async def check_allowed(self, right: Right) -> bool:
        """Whether these credentials carry a right.

        Raises:
            ClusterFault: if the server does not say.
        """
        return read_review(await self._ask("POST", REVIEWS.path(""), {}, review_of(right)))

    async def _ask(self, method: str, path: str, query: dict[str, str], body: Manifest | None = None) -> Manifest:
        async with self._request(method, path, query, body, limits=_ANSWER_SECONDS) as response:
            return _read_object(await response.read())

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        body: Manifest | None = None,
        *,
        limits: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        client, headers = self._client, {"Accept": "application/json", "User-Agent": _FIELD_MANAGER}
        if body is not None:
            headers["Content-Type"] = _WRITTEN[method]
        try:
            await client.update_params_for_auth(headers, [], ["BearerToken"])
            response: aiohttp.ClientResponse = await client.rest_client.request(
                method,
                f"{client.configuration.host}{path}",
                query_params=dict(query),
                headers=headers,
                body=body,
                _preload_content=False,
                _request_timeout=limits,
            )
            async with response:
                if response.status not in (200, 201):
                    raise _refusal(response, await response.read())
                yield response
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            raise ClusterAway(f"{client.configuration.host}: {str(exc) or type(exc).__name__}") from exc
        except (ConfigException, asyncio.IncompleteReadError) as exc:
            raise ClusterAway(f"credentials: {exc}") from exc


def _read_event(line: bytes) -> Manifest:
    event = _read_object(line)
    if event.get("type") == "ERROR":
        status = event.get("object") or {}
        code = int(status.get("code") or 0)
        raise _REFUSALS.get(code, ClusterRefused)(code, _message(status))
    return event


def _read_object(data: bytes) -> Manifest:
    try:
        told: Any = json.loads(data)
    except ValueError as exc:
        raise ClusterAway("the answer is no JSON") from exc
    if not isinstance(told, dict):
        raise ClusterAway("the answer is no object of the Kubernetes API")
    return told


def _refusal(response: aiohttp.ClientResponse, body: bytes) -> ClusterRefused:
    try:
        message = _message(_read_object(body))
    except ClusterAway:
        message = response.reason or ""
    after = response.headers.get("Retry-After", "")
    seconds = min(float(after), 60.0) if after.isdecimal() else 0.0  # longer, and nobody knows why nothing happens
    return _REFUSALS.get(response.status, ClusterRefused)(response.status, message, seconds)


def _message(status: Manifest) -> str:
    return str(status.get("message", ""))[:_MESSAGE_MAX]
