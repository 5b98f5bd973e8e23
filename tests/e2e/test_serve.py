"""`python -m gateway serve` with a configuration on disk: what it does, and what it says when it cannot."""

import asyncio
import os
import socket
import ssl
from pathlib import Path

import aiohttp
import pytest
import trustme

from tests.e2e.conftest import CLIENT_SECRET, SIGNING_KEY, Setup

NAVIGATE = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}


async def test_it_opens_its_doors_and_drains_on_sigterm(setup: Setup) -> None:
    """Exit status 0, and not one secret in anything it said."""
    async with setup.serve() as process:
        status, _, text = await setup.get(f"http://127.0.0.1:{setup.ports.admin}/readyz")
        process.terminate()
        output, _ = await process.communicate()

    assert (status, text) == (200, "ready\n")
    assert process.returncode == 0
    assert b'"gateway.closed"' in output
    assert not any(secret.encode() in output for secret in (SIGNING_KEY, CLIENT_SECRET, "PRIVATE KEY"))


async def test_gitlab_away_leaves_the_doors_open_and_sign_in_unavailable(setup: Setup) -> None:
    """The public port still tries its workspace, the portal says 503 with a time to come back."""
    async with setup.serve():
        base = f"http://127.0.0.1:{setup.ports.http}"
        public, _, _ = await setup.get(f"{base}/", Host=f"3000-apple-bear-blue.workspaces.localhost:{setup.ports.http}")
        status, headers, page = await setup.get(
            f"{base}/auth/start", Host=f"workspaces.localhost:{setup.ports.http}", **NAVIGATE
        )

    assert public == 502
    assert (status, headers["Retry-After"].isdigit()) == (503, True)
    assert "GitLab is not reachable" in page


async def test_probes_are_answered_when_clients_have_taken_every_descriptor_they_may(setup: Setup) -> None:
    """Nobody new is served, nothing spins, and when they leave all is as before."""
    setup.under = ["prlimit", "--nofile=160:160"]
    async with setup.serve() as process:
        clients = [await asyncio.open_connection("127.0.0.1", setup.ports.http) for _ in range(300)]
        told = [await reader.readexactly(20) for reader, _ in clients[200:]]
        spent = processor_seconds(process.pid)
        alive = [await setup.get(f"http://127.0.0.1:{setup.ports.admin}/healthz") for _ in range(20)]
        await asyncio.sleep(1)  # the passing of time is what is tested
        spent = processor_seconds(process.pid) - spent
        for _, writer in clients:
            writer.close()
        async with asyncio.timeout(20):
            while await ask(setup) != 404:
                pass  # it has not noticed yet that all of them left

    assert set(told) == {b"HTTP/1.1 503 Service"}
    assert {(status, text) for status, _, text in alive} == {(200, "alive\n")}
    assert spent < 0.5


async def ask(setup: Setup) -> int:
    """The status of an answer to a request for nobody's host; 0 where there is none."""
    try:
        return (await setup.get(f"http://127.0.0.1:{setup.ports.http}/", Host="unknown.example"))[0]
    except aiohttp.ClientError:
        return 0


def processor_seconds(pid: int) -> float:
    """How long a process has kept a processor busy so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize(("off", "on"), [("http", "ssh"), ("ssh", "http")])
async def test_either_door_runs_without_the_other(setup: Setup, off: str, on: str) -> None:
    """And asks for nothing that only the other one needs."""
    setup.settings[off] = {"enabled": False}
    if off == "http":
        setup.settings["auth"] = {"host": setup.settings["auth"]["host"]}
    ports = {"http": setup.ports.http, "ssh": setup.ports.ssh}
    async with setup.serve():
        _, writer = await asyncio.open_connection("127.0.0.1", ports[on])
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", ports[off])


async def test_a_flag_wins_over_the_environment_and_the_environment_over_the_file(setup: Setup) -> None:
    """All three name another admin port."""
    wanted = setup.settings["admin"]["port"]
    setup.settings["admin"]["port"] = 1
    setup.environ["ADMIN_PORT"] = "2"
    setup.flags = [f"--admin-port={wanted}"]
    async with setup.serve():
        status, _, _ = await setup.get(f"http://127.0.0.1:{wanted}/healthz")

    assert status == 200


@pytest.mark.parametrize("door", ["http", "ssh", "admin"])
async def test_an_occupied_port_is_said_and_ends_it(setup: Setup, door: str) -> None:
    """With the door and the port, and without a traceback."""
    port = setup.settings[door]["port"]
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        status, said = await setup.fail()

    assert status == 1
    assert str(port) in said
    assert "in use" in said
    assert "Traceback" not in said


async def test_every_fault_is_said_at_once_and_no_secret_with_it(setup: Setup) -> None:
    """A wrong port, an unknown key, a key that is no key: three lines."""
    setup.settings["http"]["port"] = 99999
    setup.settings["htpp"] = {}
    setup.settings["ssh"]["host_key"] = "-----BEGIN OPENSSH PRIVATE KEY-----\nhushhush\n"
    status, said = await setup.fail()

    assert status == 1
    assert all(path in said for path in ("http.port", "htpp", "ssh.host_key"))
    assert not any(secret in said for secret in ("hushhush", SIGNING_KEY, CLIENT_SECRET, "Traceback"))


async def test_a_route_file_with_two_equal_hosts_serves_the_first(setup: Setup) -> None:
    """The second is refused, logged and counted."""
    first = setup.routes["workspaces"][0]
    setup.routes["workspaces"].append({**first, "name": "cherry-crab-red", "id": 994})
    async with setup.serve():
        _, _, metrics = await setup.get(f"http://127.0.0.1:{setup.ports.admin}/metrics")

    assert "workspaces_gateway_route_conflicts_total 2.0" in metrics
    assert "workspaces_gateway_routes 2.0" in metrics


async def test_it_tells_how_late_its_event_loop_is(setup: Setup) -> None:
    """From its first moments on."""
    nothing, metrics = "workspaces_gateway_loop_lag_seconds_count 0.0", ""
    async with setup.serve(), asyncio.timeout(30):
        while not metrics or nothing in metrics:
            _, _, metrics = await setup.get(f"http://127.0.0.1:{setup.ports.admin}/metrics")

    assert "workspaces_gateway_loop_lag_seconds_count " in metrics


async def test_the_tasks_of_its_loop_are_told(setup: Setup) -> None:
    """Without clients they are few: the parts of the gateway itself."""
    async with setup.serve():
        _, _, metrics = await setup.get(f"http://127.0.0.1:{setup.ports.admin}/metrics")
    [told] = [line.split()[1] for line in metrics.splitlines() if line.startswith("workspaces_gateway_tasks ")]

    assert 0 < float(told) < 100


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("user_ca_files", "no_key.pub: every line must be a public key"),
        ("host_certificate_files", "no_key.pub is no host certificate"),
    ],
)
async def test_what_ssh_cannot_use_ends_it_at_start(setup: Setup, setting: str, words: str) -> None:
    """Told in one line, though other parts run by then."""
    (setup.folder / "no_key.pub").write_text("just words\n")
    setup.settings["ssh"][setting] = [str(setup.folder / "no_key.pub")]
    status, said = await setup.fail()

    assert status == 1
    assert words in said.splitlines()[-1]
    assert "Traceback" not in said


async def test_a_broken_route_file_ends_it_at_start(setup: Setup) -> None:
    """With the place of the fault."""
    setup.routes["workspaces"][0]["ports"][0]["port"] = "many"
    status, said = await setup.fail()

    assert status == 1
    assert "workspaces.0.ports.0.port" in said


async def test_a_route_file_that_breaks_later_changes_nothing(setup: Setup) -> None:
    """The routes stay, and a repaired file is read."""
    async with setup.serve() as process:
        assert process.stdout is not None
        (setup.folder / "routes.yaml").write_text("workspaces: [")
        await wait_for(process.stdout, b'"routes.unreadable"')
        public, _, _ = await setup.get(
            f"http://127.0.0.1:{setup.ports.http}/", Host="3000-apple-bear-blue.workspaces.localhost"
        )
        (setup.folder / "routes.yaml").write_text("workspaces: []")
        await wait_for(process.stdout, b'"routes.applied"')
        gone, _, _ = await setup.get(
            f"http://127.0.0.1:{setup.ports.http}/", Host="3000-apple-bear-blue.workspaces.localhost"
        )

    assert (public, gone) == (502, 404)


@pytest.mark.parametrize(
    ("asked", "host", "status"),
    [
        ("3000-apple-bear-blue", "3000-apple-bear-blue", 502),
        ("3000-apple-bear-blue", "60001-apple-bear-blue", 421),
    ],
)
async def test_tls_at_the_door_serves_only_the_host_of_the_handshake(
    setup: Setup, asked: str, host: str, status: int
) -> None:
    """What was checked against one certificate must not be used for another host."""
    authority = trustme.CA()
    certificate = authority.issue_cert("*.workspaces.localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(setup.folder / "tls.pem")
    setup.settings["http"] |= dict.fromkeys(("tls_certificate", "tls_key"), str(setup.folder / "tls.pem"))
    setup.settings["auth"] |= {"protocol": "https", "redirect_uri": "https://workspaces.localhost/auth/callback"}
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with setup.serve():
        name = f"{asked}.workspaces.localhost"
        reader, writer = await asyncio.open_connection("127.0.0.1", setup.ports.http, ssl=context, server_hostname=name)
        writer.write(f"GET / HTTP/1.1\r\nHost: {host}.workspaces.localhost\r\n\r\n".encode())
        answer = await reader.readline()
        writer.close()

    assert answer.startswith(f"HTTP/1.1 {status} ".encode())


async def test_an_address_that_is_no_ascii_leaves_nothing_of_it_behind(setup: Setup) -> None:
    """Neither on the page nor in anything the gateway says: codes come in addresses."""
    async with setup.serve() as process:
        reader, writer = await asyncio.open_connection("127.0.0.1", setup.ports.http)
        host = f"Host: workspaces.localhost:{setup.ports.http}\r\nConnection: close\r\n\r\n".encode()
        writer.write(b"GET /auth/callback?code=THECODE&state=\xe9 HTTP/1.1\r\n" + host)
        answer = await reader.read()
        writer.close()
        process.terminate()
        said, _ = await process.communicate()

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"X-Workspaces-Gateway: bad_request" in answer
    assert b"THECODE" not in answer + said


async def wait_for(output: asyncio.StreamReader, text: bytes) -> None:
    """Read lines until one holds this text."""
    async with asyncio.timeout(5):
        while text not in await output.readline():
            continue
