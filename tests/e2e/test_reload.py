"""The command takes up what an operator writes while it runs, or refuses all of it and says why."""

import asyncio
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import CLIENT_SECRET, SIGNING_KEY, Setup, running
from tests.e2e.test_workers import read_event, workers_of

HOST = "3000-apple-bear-blue.workspaces.localhost"


async def metric(setup: Setup, name: str) -> float:
    """The value of a metric of the configuration."""
    _, _, text = await setup.get(f"http://127.0.0.1:{setup.ports.admin}/metrics")
    found = re.search(rf"^workspaces_gateway_config_{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


async def get(setup: Setup) -> int:
    """The status of a public port: 200 for the page before it, 303 where one has to sign in."""
    url = f"http://127.0.0.1:{setup.ports.http}/"
    status, _, _ = await setup.get(url, Host=HOST, Accept="text/html", **{"Sec-Fetch-Mode": "navigate"})
    return status


async def rewrite(setup: Setup, process: asyncio.subprocess.Process, **sections: dict[str, Any]) -> None:
    """Change the file that runs, and ask for it to be read."""
    for name, values in sections.items():
        setup.settings[name] = setup.settings.get(name, {}) | values
    setup.write()
    process.send_signal(signal.SIGHUP)


async def test_a_change_of_the_file_is_taken_up_without_being_asked_for(setup: Setup) -> None:
    """The log says which settings are others now, and never what they are."""
    async with setup.serve() as process:
        before = await get(setup)
        setup.settings["visibility"] = {"max": "private"}
        setup.settings["auth"]["client_secret"] = "another-secret-that-nobody-may-read"
        setup.write()
        reloaded = await read_event(process, "config.reloaded")
        after = await get(setup)

        assert reloaded["changed"] == ["auth.client_secret", "visibility.max"]
        assert (before, after) == (200, 303)
        assert await metric(setup, 'reloads_total{result="taken up"}') == 1
        assert await metric(setup, "last_reload_successful") == 1


async def test_sighup_reads_all_files_again_also_where_nothing_changed(setup: Setup) -> None:
    """So that an operator who is not sure may ask for it."""
    async with setup.serve() as process:
        first = await metric(setup, "last_reload_success_timestamp_seconds")
        process.send_signal(signal.SIGHUP)
        reloaded = await read_event(process, "config.reloaded")

        assert reloaded["changed"] == []
        assert await metric(setup, "last_reload_success_timestamp_seconds") > first > 0


async def test_a_configuration_with_a_fault_is_refused_as_a_whole(setup: Setup) -> None:
    """Every fault is said and no secret, the old one goes on, and one without faults is taken up again."""
    async with setup.serve() as process:
        faulty = {"max": "private"}, {"signing_key": "short"}, {"head_timeout": "soon"}
        await rewrite(setup, process, visibility=faulty[0], auth=faulty[1], http=faulty[2])
        refused = await read_event(process, "config.refused")
        goes_on = await get(setup)
        figures = [await metric(setup, name) for name in ("last_reload_successful", 'reloads_total{result="refused"}')]
        await rewrite(setup, process, auth={"signing_key": SIGNING_KEY}, http={"head_timeout": 5})
        reloaded = await read_event(process, "config.reloaded")

        said = "\n".join(refused["faults"])
        assert "auth.signing_key" in said
        assert "http.head_timeout" in said
        assert CLIENT_SECRET not in said
        assert goes_on == 200
        assert (figures[0], figures[1] >= 1) == (0, True)
        assert reloaded["changed"] == ["http.head_timeout", "visibility.max"]
        assert await get(setup) == 303
        assert await metric(setup, "last_reload_successful") == 1


async def test_what_needs_a_restart_is_named_and_nothing_beside_it_taken_up(setup: Setup) -> None:
    """What runs is one configuration that was written, never parts of two."""
    async with setup.serve() as process:
        await rewrite(setup, process, visibility={"max": "private"}, admin={"port": 1}, routing={"zones": "a.example"})
        refused = await read_event(process, "config.refused")
        goes_on = await get(setup)

    problem = "changes with a restart only; until then, or until it is set back, nothing else is taken up"
    assert refused["faults"] == [f"admin.port: {problem}", f"routing.zones: {problem}"]
    assert goes_on == 200


async def test_an_unusable_key_of_the_new_configuration_keeps_all_of_it_out(setup: Setup) -> None:
    """Its files are read before anything changes."""
    async with setup.serve() as process:
        (setup.folder / "broken").write_text("no key")
        await rewrite(
            setup, process, visibility={"max": "private"}, ssh={"user_ca_files": [str(setup.folder / "broken")]}
        )
        refused = await read_event(process, "config.refused")

        assert "broken" in refused["faults"][0]
        assert await get(setup) == 200


def mount(folder: Path, number: int, secrets: dict[str, str]) -> None:
    """What the kubelet does when a Secret changed: a new hidden folder, and the link `..data` leads to it."""
    made = folder / f"..{number}"
    made.mkdir()
    for name, text in secrets.items():
        (made / name).write_text(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..next").symlink_to(made.name)
    (folder / "..next").replace(folder / "..data")


async def test_a_mounted_secret_is_taken_up_when_it_changes(setup: Setup, tmp_path: Path) -> None:
    """Which no variable of a process could."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    del setup.settings["auth"]["client_secret"]
    mount(folder, 1, {"auth.client_secret": "first"})
    setup.flags = [f"--secrets-dir={folder}"]
    async with setup.serve() as process:
        mount(folder, 2, {"auth.client_secret": "second"})
        reloaded = await read_event(process, "config.reloaded")

    assert reloaded["changed"] == ["auth.client_secret"]


@pytest.fixture
def two_workers(setup: Setup) -> Setup:
    """That serve SSH alone."""
    setup.settings |= {"http": {"enabled": False}, "workers": 2, "log_level": "info"}
    return setup


async def greet(setup: Setup) -> bytes:
    """The first line of the SSH door, or nothing from somebody who is not greeted."""
    reader, writer = await asyncio.open_connection("127.0.0.1", setup.ports.ssh)
    try:
        async with asyncio.timeout(10):
            return await reader.readline()
    finally:
        writer.close()


async def greetings(setup: Setup) -> set[bool]:
    """Whether clients are greeted, by so many of them that each worker had one."""
    return {line.startswith(b"SSH-2.0-") for line in [await greet(setup) for _ in range(12)]}


async def test_all_workers_take_it_up_and_so_do_their_successors(two_workers: Setup) -> None:
    """And none a configuration that was refused: a successor gets what is in force, whatever is written by then."""
    async with two_workers.serve() as process:
        before = await greetings(two_workers)
        await rewrite(two_workers, process, ssh={"proxy_protocol": ["127.0.0.0/8"], "proxy_timeout": 0.2})
        await read_event(process, "config.reloaded")
        after = await greetings(two_workers)
        await rewrite(two_workers, process, ssh={"proxy_protocol": [], "port": "many"})
        await read_event(process, "config.refused")
        os.kill(workers_of(process)[0], signal.SIGKILL)
        await read_event(process, "worker.started")
        successors = await greetings(two_workers)

        assert (before, after, successors) == ({True}, {False}, {False})
        assert await metric(two_workers, "last_reload_successful") == 0
        assert await metric(two_workers, 'reloads_total{result="taken up"}') == 1


async def test_a_worker_that_dies_as_it_is_told_has_a_successor_that_knows(two_workers: Setup) -> None:
    """The reload does not wait for it."""
    async with two_workers.serve() as process:
        worker = workers_of(process)[0]
        os.kill(worker, signal.SIGSTOP)
        await rewrite(two_workers, process, ssh={"proxy_protocol": ["127.0.0.0/8"], "proxy_timeout": 0.2})
        os.kill(worker, signal.SIGKILL)
        seen = {await anext(events): None for events in [names(process)] for _ in range(3)}

        assert set(seen) >= {"config.reloaded", "worker.started"}
        assert await greetings(two_workers) == {False}


async def names(process: asyncio.subprocess.Process) -> Any:
    """The names of what is logged of workers and the configuration, one after the other."""
    assert process.stdout is not None
    while True:
        async with asyncio.timeout(20):
            event = json.loads(await process.stdout.readline())["event"]
        if event.startswith(("worker.", "config.")):
            yield event


async def test_sighup_to_the_whole_group_is_for_the_parent(two_workers: Setup) -> None:
    """No worker dies of it."""
    async with two_workers.serve() as process:
        children = workers_of(process)
        os.killpg(process.pid, signal.SIGHUP)
        await read_event(process, "config.reloaded")

        assert workers_of(process) == children
        assert await greetings(two_workers) == {True}


async def test_settings_that_change_nothing_are_named(setup: Setup) -> None:
    """A route file makes those of a cluster idle; a variable such as KUBECONFIG is no reason not to start."""
    setup.settings["watch_namespaces"] = ["team-a"]
    setup.environ["KUBECONFIG"] = "/nowhere"
    async with running(*setup.write(), environ=setup.environ) as process:
        unused = await read_event(process, "config.unused")

    assert unused["settings"] == ["kubeconfig", "watch_namespaces"]
