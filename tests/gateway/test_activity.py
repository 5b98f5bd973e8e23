"""Operators see on the admin port who uses which workspace."""

import json
from typing import Any

import aiohttp
import asyncssh

from gateway.demo.world import EDITOR_PORT
from gateway.idle.watch import IdleWatch
from tests.gateway.conftest import Live


async def activity(live: Live) -> dict[str, dict[str, Any]]:
    """What /activity says, by the name of the workspace."""
    async with aiohttp.ClientSession() as client, client.get(f"{live.world.visit.admin_url}/activity") as response:
        assert response.content_type == "application/json"
        return {each["workspace"]: each for each in json.loads(await response.read())["workspaces"]}


def watch_of(live: Live) -> IdleWatch:
    assert live.world.gateway.idle is not None
    return live.world.gateway.idle.watch


async def test_every_workspace_that_runs_is_told_of_and_no_other(live: Live) -> None:
    """With nothing known of what was before."""
    await watch_of(live).look()
    told = await activity(live)

    assert set(told) == {live.world.visit.running, live.world.visit.others}
    assert told[live.world.visit.others]["last_use"] is None


async def test_a_persons_visit_is_told_by_what_it_was(live: Live) -> None:
    """A page that she opens, and a login by ssh that follows it."""
    await watch_of(live).look()
    async with live.person("ada", at=live.url("/", port=EDITOR_PORT)):
        visited = (await activity(live))[live.world.visit.running]
    visit = live.world.visit
    async with asyncssh.connect(
        visit.ssh_host,
        visit.ssh_port,
        username=visit.running,
        password=live.token("ada"),
        known_hosts=None,
        config=None,
        client_keys=None,
        agent_path=None,
    ):
        pass
    connected = (await activity(live))[live.world.visit.running]

    assert (visited["last_use"], connected["last_use"]) == ("request", "ssh")


async def test_the_time_out_of_an_annotation_is_told(live: Live) -> None:
    """And how long there is until then."""
    live.declare(lambda entry: entry.update(idle_timeout="30m"))
    await watch_of(live).look()
    told = (await activity(live))[live.world.visit.running]

    assert told["timeout_seconds"] == 1800
    assert 1700 < told["stops_in_seconds"] <= 1800


async def test_an_annotation_that_is_no_duration_is_said_once(live: Live) -> None:
    """However often it is read."""
    live.declare(lambda entry: entry.update(idle_timeout="soon"))
    for _ in range(3):
        await watch_of(live).look()

    (line,) = live.logged("idle.annotation_not_understood")
    assert line["workspace"] == live.world.visit.running
    assert "soon" in line["reason"]


async def test_how_long_workspaces_have_been_unused_is_a_histogram(live: Live) -> None:
    """Of those that run, at the time of the scrape."""
    await watch_of(live).look()

    assert live.metric("workspace_idle_seconds_count") == 2
    assert live.metric("workspace_idle_seconds_bucket", le="60.0") == 2
