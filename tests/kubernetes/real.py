"""A real kube-apiserver on a real etcd, on loopback ports, and kubectl to write to it.

No controllers and no nodes: the tests write EndpointSlices themselves. The programs are those of KUBEBUILDER_ASSETS, as
for every test of the Kubernetes project (envtest); `.ci/kubernetes-programs` makes such a folder.
"""

import asyncio
import json
import os
import secrets
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from gateway.demo.quiet_ports import quiet_ports
from tests.helm.engine import open_helm
from tests.kubernetes.clusters import ClusterUnderTest, Rights, write_kubeconfig
from tests.kubernetes.objects import Object

GATEWAY = "gitlab-workspaces"  # the namespace and the ServiceAccount's surroundings, as the chart has them
START_SECONDS = 90.0  # ten on a quiet machine


@dataclass(frozen=True)
class Programs:
    """Where the programs are."""

    apiserver: Path
    etcd: Path
    kubectl: Path


def find_programs() -> Programs:
    """Those of KUBEBUILDER_ASSETS."""
    folder = Path(os.environ["KUBEBUILDER_ASSETS"])
    return Programs(folder / "kube-apiserver", folder / "etcd", folder / "kubectl")


@dataclass
class RealServer:
    """One API server with its etcd."""

    programs: Programs
    folder: Path
    port: int
    etcd_port: int
    _apiserver: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> Path:
        return self.folder / "apiserver.crt"  # it signs its own certificate

    @property
    def admin(self) -> Path:
        return self.folder / "admin.yaml"

    def start(self) -> None:
        """Run the API server, and wait until it is ready."""
        folder = self.folder
        flags = {
            "etcd-servers": f"http://127.0.0.1:{self.etcd_port}",
            "bind-address": "127.0.0.1",
            "advertise-address": "127.0.0.1",
            "secure-port": str(self.port),
            "cert-dir": str(folder),
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": str(folder / "sa.pub"),
            "service-account-signing-key-file": str(folder / "sa.key"),
            "authorization-mode": "RBAC",
            "token-auth-file": str(folder / "tokens.csv"),
            "service-cluster-ip-range": "10.96.0.0/16",
            "disable-admission-plugins": "ServiceAccount",  # there are no controllers to make one for each namespace
        }
        command = [str(self.programs.apiserver), *(f"--{name}={value}" for name, value in flags.items())]
        with (folder / "apiserver.log").open("ab") as log:
            self._apiserver = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - built for this test
        self._wait_ready()

    def kill(self) -> None:
        if self._apiserver is not None:
            self._apiserver.kill()
            self._apiserver.wait()
            self._apiserver = None

    def compact(self) -> None:
        """Have etcd forget every change up to now, by its JSON gateway."""
        url = f"http://127.0.0.1:{self.etcd_port}/v3"
        revision = _post(f"{url}/kv/range", {"key": "AA=="})["header"]["revision"]
        _post(f"{url}/kv/compaction", {"revision": revision, "physical": True})

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        command = [str(self.programs.kubectl), "--kubeconfig", str(self.admin), "get", "--raw", "/readyz"]
        while subprocess.run(command, capture_output=True, check=False).returncode:  # noqa: S603 - kubectl, by its path
            assert time.monotonic() < deadline, (self.folder / "apiserver.log").read_text()[-2000:]
            assert self._apiserver is not None
            assert self._apiserver.poll() is None, (self.folder / "apiserver.log").read_text()[-2000:]
            time.sleep(0.2)


@contextmanager
def run_real_server(programs: Programs, folder: Path) -> Iterator[RealServer]:
    """An API server without objects while the block runs."""
    token = secrets.token_hex(16)
    ports = quiet_ports(3)
    server = RealServer(programs, folder, ports[0], ports[1])
    (folder / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
    for command in (["genrsa", "-out", "sa.key", "2048"], ["rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub"]):
        subprocess.run(["openssl", *command], cwd=folder, capture_output=True, check=True)  # noqa: S603, S607 - Debian's
    write_kubeconfig(server.admin, server.url, token, server.ca_file)
    clients, peers = (f"http://127.0.0.1:{port}" for port in ports[1:])
    flags = {
        "data-dir": str(folder / "etcd"),
        "listen-client-urls": clients,
        "advertise-client-urls": clients,
        "listen-peer-urls": peers,
        "initial-advertise-peer-urls": peers,
        "initial-cluster": f"default={peers}",
    }
    command = [str(programs.etcd), *(f"--{name}={value}" for name, value in flags.items())]
    with (folder / "etcd.log").open("ab") as log, subprocess.Popen(command, stdout=log, stderr=log) as etcd:  # noqa: S603 - by its path
        try:
            server.start()
            yield server
        finally:
            server.kill()
            etcd.kill()


class RealCluster(ClusterUnderTest):
    """A real API server, written to by kubectl."""

    def __init__(self, server: RealServer, folder: Path) -> None:
        self.server = server
        self._folder = folder
        self._applied: dict[tuple[str, str, str], Object] = {}
        self._accounts = 0

    async def apply(self, *manifests: Object) -> None:
        for namespace in {manifest["metadata"].get("namespace") for manifest in manifests} - {None}:
            await self.make_namespace(namespace)
        await self.kubectl("apply", "--filename=-", told=yaml.safe_dump_all(manifests))
        self._applied |= {_identity(manifest): manifest for manifest in manifests}

    async def make_namespace(self, name: str) -> None:
        """A namespace, if it is not there yet."""
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        await self.kubectl("apply", "--filename=-", told=yaml.safe_dump(manifest))

    async def delete(self, manifest: Object) -> None:
        self._applied.pop(_identity(manifest), None)
        await self.kubectl("delete", "--wait=false", "--filename=-", told=yaml.safe_dump(manifest))

    async def read(self, manifest: Object) -> Object:
        kind, namespace, name = _identity(manifest)
        found: Object = json.loads(await self.kubectl("get", kind, name, f"--namespace={namespace}", "--output=json"))
        return found

    async def connect(self, rights: Rights) -> Path:
        """The token of a ServiceAccount with the roles that the chart gives it."""
        self._accounts += 1
        release = f"gateway-{secrets.token_hex(4)}"
        values = {
            "watchNamespaces": list(rights.namespaces),
            "rbac": {"enabled": True, "visibility": rights.visibility, "endpointSlices": rights.slices},
            "fullnameOverride": release,
        }
        made = await asyncio.to_thread(_render, values, release)
        account = next(each for each in made if each["kind"] == "ServiceAccount")["metadata"]["name"]
        for namespace in rights.namespaces:
            await self.make_namespace(namespace)
        for manifest in made:
            if manifest["kind"] == "ServiceAccount":
                manifest["metadata"].setdefault("namespace", GATEWAY)
        await self.apply(*made)
        token = (await self.kubectl("create", "token", account, f"--namespace={GATEWAY}")).strip()
        return write_kubeconfig(self._folder / f"{release}.yaml", self.server.url, token, self.server.ca_file)

    async def stop(self) -> None:
        await asyncio.to_thread(self.server.kill)

    async def start(self) -> None:
        await asyncio.to_thread(self.server.start)

    async def forget(self) -> None:
        await asyncio.to_thread(self.server.compact)

    async def clear(self) -> None:
        """Delete what was applied."""
        if self._applied:
            manifests = yaml.safe_dump_all(self._applied.values())
            await self.kubectl("delete", "--wait=false", "--ignore-not-found", "--filename=-", told=manifests)

    async def kubectl(self, *arguments: str, told: str = "") -> str:
        """What kubectl prints."""
        process = await asyncio.create_subprocess_exec(
            str(self.server.programs.kubectl),
            *("--kubeconfig", str(self.server.admin), *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, complaint = await process.communicate(told.encode())
        assert process.returncode == 0, complaint.decode()
        return output.decode()


@asynccontextmanager
async def open_real_cluster(server: RealServer, folder: Path) -> AsyncIterator[RealCluster]:
    cluster = RealCluster(server, folder)
    try:
        yield cluster
    finally:
        await cluster.clear()


def _render(values: Object, release: str) -> list[Object]:
    with open_helm() as helm:
        objects = helm.template(values | {"ingress": {"enabled": False}}, name=release, namespace=GATEWAY)
    kinds = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
    return sorted((each for each in objects if each["kind"] in kinds), key=lambda each: kinds.index(each["kind"]))


def _identity(manifest: Object) -> tuple[str, str, str]:
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def _post(url: str, body: Object) -> Object:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310 - etcd on loopback
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - see above
        told: Object = json.load(response)
        return told
