"""What Prometheus is told after people were there, judged by its own promtool; and what strangers cannot make of it."""

import re
from contextlib import suppress

import aiohttp
import asyncssh

from gateway.demo.world import LOOPBACK
from tests.gateway.conftest import Live
from tests.promtool import promtool


async def scrape(live: Live) -> str:
    """The page that Prometheus reads."""
    async with aiohttp.ClientSession() as client, client.get(f"{live.world.visit.admin_url}/metrics") as response:
        return await response.text()


async def log_in(live: Live, name: str, token: str) -> str:
    """What a command in a workspace says, over SSH."""
    async with asyncssh.connect(
        LOOPBACK, live.world.visit.ssh_port, username=name, password=token, known_hosts=None, config=None
    ) as connection:
        return str((await connection.run("echo in", check=True)).stdout)


async def come_in(live: Live) -> None:
    """An owner by both doors, in every way that counts something."""
    ada = live.world.visit.users[0]
    async with live.person("ada") as browser:
        for _ in range(2):
            assert (await browser.fetch(live.url("/"))).status == 200
    assert await log_in(live, live.world.visit.running, ada.token.get_secret_value()) == "in\n"


async def besiege(live: Live, mark: str) -> None:
    """A stranger who makes up whatever a stranger can: hosts, methods, paths, names, tokens."""
    fields = {"X-Workspaces-Token": f"glpat-{mark}", "User-Agent": mark, "Cookie": f"{mark}={mark}"}
    async with aiohttp.ClientSession() as client:
        for host in (f"{mark}.example", live.url("/", name=mark).split("/")[2], live.url("/").split("/")[2]):
            for method in ("GET", "PROPFIND", mark.upper()):
                where = f"http://{LOOPBACK}:{live.world.settings.http.port}/{mark}?{mark}"
                async with client.request(method, where, headers={**fields, "Host": host}) as response:
                    await response.read()
    for name in (mark, live.world.visit.running, f"{mark}@{mark}"):
        with suppress(asyncssh.Error, OSError):  # refused, or banned by now
            await log_in(live, name, f"glpat-{mark}")


def series(page: str) -> set[str]:
    """What is told apart in a page of metrics."""
    return {line.rpartition(" ")[0] for line in page.splitlines() if not line.startswith("#")}


async def test_promtool_finds_nothing_to_say(live: Live) -> None:
    """About names, units and help, once there is something of everything."""
    await come_in(live)
    await besiege(live, "mallory")
    status, said = promtool("check", "metrics", told=await scrape(live))

    assert (status, said) == (0, "")


def test_promtool_would_say_something() -> None:
    """Its silence means something: a counter without its suffix is found."""
    status, said = promtool("check", "metrics", told="# HELP calls Calls.\n# TYPE calls counter\ncalls 1\n")

    assert status != 0
    assert "_total" in said


async def test_strangers_add_no_series(live: Live) -> None:
    """However many names, hosts, methods and tokens they make up: a label has few values, whoever comes."""
    for mark in ("mallory", "mallory"):  # the second time its address is banned
        await besiege(live, mark)
    once = series(await scrape(live))
    for mark in ("trudy", "oscar", "chuck"):
        await besiege(live, mark)

    assert series(await scrape(live)) == once
    assert not re.search("mallory|trudy|oscar|chuck", "".join(once))
    assert live.metric("ssh_bans_total") == 1
    assert live.metric("http_requests_total", to="gateway", status="404") > 0


async def test_no_series_names_who_or_what_was_there(live: Live) -> None:
    """Neither user nor workspace nor address nor host."""
    await come_in(live)
    told = series(await scrape(live))
    labels = {value for line in told for value in re.findall(r'="([^"]*)"', line)}

    assert labels
    names = [user.username for user in live.world.visit.users]
    for word in (*names, live.world.visit.running, LOOPBACK, ".localhost"):
        assert not [label for label in labels if word in label], word


async def test_what_is_described_is_what_is_told(live: Live) -> None:
    """By name, kind and labels, so that the table in the README and the alerts can be believed."""
    await come_in(live)
    described = {metric.name: metric for metric in live.world.gateway.metrics.catalogue.described}
    families = dict(re.findall(r"^# TYPE (\S+) (\S+)$", await scrape(live), re.MULTILINE))

    assert families == {metric.name: metric.kind for metric in described.values()}
    for line in series(await scrape(live)):
        name, labels = label_names(line)
        bare = re.sub("_(bucket|sum|count)$", "", name)
        metric = described.get(name) or described[bare]
        assert set(labels) - {"le"} == set(metric.labels), line


def label_names(line: str) -> tuple[str, list[str]]:
    name, _, rest = line.partition("{")
    return name, re.findall(r'(\w+)="', rest)
