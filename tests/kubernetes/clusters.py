"""A cluster as the tests handle it, whichever API server stands behind it: our own stand-in, or the real one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import yaml

from tests.kubernetes.objects import Object
from tests.kubernetes.stand_in import Right, StandIn, run_stand_in

_READ = frozenset(("get", "list", "watch"))


@dataclass(frozen=True)
class Rights:
    """What the gateway may do, in the words of the chart's values."""

    namespaces: tuple[str, ...] = ()
    """Empty means all of them."""
    visibility: bool = True
    slices: bool = True


class ClusterUnderTest(Protocol):
    """What tests do with a cluster."""

    async def apply(self, *manifests: Object) -> None:
        """What `kubectl apply` does."""

    async def delete(self, manifest: Object) -> None: ...

    async def read(self, manifest: Object) -> Object:
        """The object as it is now."""

    async def connect(self, rights: Rights) -> Path:
        """A kubeconfig with a token that has these rights and no others."""

    async def stop(self) -> None:
        """The API server is killed."""

    async def start(self) -> None:
        """It is there again, at the same address."""

    async def forget(self) -> None:
        """Forget the changes up to now, as etcd does every few minutes."""


def plural_of(manifest: Object) -> str:
    return {"Service": "services", "EndpointSlice": "endpointslices"}[manifest["kind"]]


def write_kubeconfig(path: Path, server: str, token: str, ca_file: Path | None = None) -> Path:
    """A kubeconfig of one cluster and one token."""
    cluster = {"server": server} | ({"certificate-authority": str(ca_file)} if ca_file else {})
    told = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tested", "cluster": cluster}],
        "users": [{"name": "gateway", "user": {"token": token}}],
        "contexts": [{"name": "tested", "context": {"cluster": "tested", "user": "gateway"}}],
        "current-context": "tested",
    }
    path.write_text(yaml.safe_dump(told))
    return path


class StandInCluster(ClusterUnderTest):
    """The stand-in."""

    def __init__(self, server: StandIn, folder: Path) -> None:
        self.server = server
        self._folder = folder

    async def apply(self, *manifests: Object) -> None:
        for manifest in manifests:
            self.server.store.put(plural_of(manifest), manifest)

    async def delete(self, manifest: Object) -> None:
        self.server.store.delete(_place(manifest))

    async def read(self, manifest: Object) -> Object:
        return self.server.store.find(_place(manifest))

    async def connect(self, rights: Rights) -> Path:
        token = f"token-{len(self.server.tokens)}"
        granted = []
        for namespace in rights.namespaces or ("",):
            granted.append(Right(_READ | ({"patch"} if rights.visibility else set()), "services", namespace))
            if rights.slices:
                granted.append(Right(_READ, "endpointslices", namespace))
        self.server.tokens[token] = tuple(granted)
        return write_kubeconfig(self._folder / f"{token}.yaml", f"http://127.0.0.1:{self.server.port}", token)

    async def stop(self) -> None:
        await self.server.stop()

    async def start(self) -> None:
        await self.server.start()

    async def forget(self) -> None:
        self.server.store.compact()
        await asyncio.sleep(0)


@asynccontextmanager
async def open_stand_in_cluster(folder: Path) -> AsyncIterator[StandInCluster]:
    async with run_stand_in() as server:
        yield StandInCluster(server, folder)


def _place(manifest: Object) -> tuple[str, str, str]:
    return plural_of(manifest), manifest["metadata"]["namespace"], manifest["metadata"]["name"]
