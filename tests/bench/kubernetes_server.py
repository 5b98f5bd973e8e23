"""The stand-in API server with many workspaces, as a program that `kubernetes_bench` gives its orders to."""

import asyncio
import json
import sys
import time

import uvloop

from tests.kubernetes.objects import Object, endpoint_slice, service
from tests.kubernetes.stand_in import Right, StandIn

_READ = frozenset(("get", "list", "watch"))
_TICK = 0.02  # seconds between two handfuls of changes


def made(number: int, port_name: str = "") -> Object:
    """A workspace's Service, as large as real ones are: a third of it says who wrote which field."""
    name = f"apple-{number}"
    manifest = service(name, f"gl-rd-ns-{name}", workspace_id=str(number + 1), ports=(60001, 3000))
    if port_name:
        manifest["spec"]["ports"][-1]["name"] = port_name
    fields: Object = {f"f:{key}": {} for key in (*manifest["metadata"]["annotations"], *manifest["metadata"]["labels"])}
    manifest["metadata"]["managedFields"] = [
        {"manager": manager, "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields}
        for manager in ("agentk", "kube-controller-manager")
    ]
    return manifest


def fill(server: StandIn, count: int) -> None:
    for number in range(count):
        server.store.put("services", made(number))
        server.store.put("endpointslices", endpoint_slice(f"apple-{number}", f"gl-rd-ns-apple-{number}", True))  # noqa: FBT003 - a pod that is ready
    server.store.changes.clear()
    server.store.oldest = server.store.version


async def change(server: StandIn, rate: int, seconds: int) -> Object:
    began, number = time.time(), 0
    while number < rate * seconds:
        due = min(int((time.time() - began) * rate), rate * seconds)
        for _ in range(number, due):
            server.store.put("services", made(number, f"t{time.time():.4f}".replace(".", "-")))
            number += 1
        await asyncio.sleep(_TICK)
    return {"changes": number, "seconds": time.time() - began}


async def forget(server: StandIn) -> Object:
    await server.stop()
    server.store.delete(("services", "gl-rd-ns-apple-0", "apple-0"))
    server.store.compact()
    await server.start()
    return {}


async def main(count: int) -> None:
    server = StandIn(bookmark_seconds=5)
    fill(server, count)
    server.tokens["bench"] = tuple(Right(_READ, plural, "") for plural in ("services", "endpointslices"))
    await server.start()
    say(str(server.port))
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        match json.loads(line):
            case {"do": "change", "rate": rate, "seconds": seconds}:
                say(json.dumps(await change(server, rate, seconds)))
            case {"do": "forget"}:
                say(json.dumps(await forget(server)))


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
