"""`python -m gateway check` as an operator types it, against a running gateway."""

import io
import json
from pathlib import Path
from typing import Any

import yaml

from config.settings import Settings
from gateway.check.command import Report, look
from gateway.check.model import Finding, Result, Step, fault, ok
from gateway.check.site import Site
from gateway.check.steps import steps_for
from gateway.localhost import LocalhostResolver
from tests.gateway.check.conftest import Looked, changed
from tests.gateway.conftest import run_command


def written(settings: Settings, folder: Path) -> str:
    """A file with these settings."""
    auth, ssh = settings.auth, settings.ssh
    (folder / "host_key").write_text(ssh.host_key.get_secret_value())
    told: dict[str, Any] = {
        "auth": {
            "host": auth.host,
            "client_id": auth.client_id,
            "client_secret": auth.client_secret.get_secret_value(),
            "redirect_uri": auth.redirect_uri,
            "signing_key": auth.signing_key.get_secret_value(),
            "protocol": auth.protocol,
        },
        "http": {"port": settings.http.port},
        "ssh": {"port": ssh.port, "host_key_files": [str(folder / "host_key")]},
        "routing": {"file": str(settings.routing.file)},
    }
    (folder / "gateway.yaml").write_text(yaml.safe_dump(told))
    return str(folder / "gateway.yaml")


async def check(*arguments: str) -> tuple[int, str, str]:
    """Status, output and errors of the command."""
    return await run_command("check", *arguments, environ={"PATH": ""})


async def test_a_gateway_that_works_has_no_fault(looked: Looked, tmp_path: Path) -> None:
    """Status 0, one line a step, and not one secret in them."""
    settings = looked.world.settings
    status, output, _ = await check("--config", written(settings, tmp_path))

    lines = output.splitlines()
    assert status == 0, output
    assert lines[-1] == f"no fault in {len(steps_for(settings)) + 1} steps"
    assert lines[1].split() == ["GitLab", "ok", settings.auth.host, "answers", "as", "GitLab", "does"]
    for secret in (settings.auth.client_secret, settings.auth.signing_key, settings.ssh.host_key):
        assert secret.get_secret_value().strip() not in output


async def test_a_fault_gives_status_1_and_what_to_do(looked: Looked, tmp_path: Path) -> None:
    """The steps that rest on it are left out, the others are not."""
    config = written(looked.world.settings, tmp_path)
    status, output, progress = await check("--config", config, "--json", "--auth-client-id", "wrong")

    told = json.loads(output)
    found = {step["name"]: step for step in told["steps"]}
    assert (status, told["ok"]) == (1, False)
    assert found["OAuth application"]["status"] == "fault"
    assert "auth.client_secret" in found["OAuth application"]["advice"]
    assert found["redirect URI and scopes"]["status"] == "unknown"
    assert "because of: OAuth application" in found["redirect URI and scopes"]["detail"]
    assert found["ports of a workspace"]["status"] == "ok"
    assert "looking at: OAuth application" in progress


async def test_another_workspace_can_be_named(looked: Looked, tmp_path: Path) -> None:
    """The stopped one, say."""
    config = written(looked.world.settings, tmp_path)
    status, output, _ = await check("--config", config, "--workspace", looked.world.visit.stopped)

    assert status == 1
    assert f"nothing listens on any port of {looked.world.visit.stopped}" in output


async def test_settings_that_are_none_are_all_said(looked: Looked, tmp_path: Path) -> None:
    """And nothing is looked at."""
    config = written(looked.world.settings, tmp_path)
    status, output, _ = await check("--config", config, "--http-port=99999", "--auth-protocol=ftp", "--json")

    steps = json.loads(output)["steps"]
    assert (status, len(steps)) == (1, 1)
    assert "http.port" in steps[0]["detail"]
    assert "auth.protocol" in steps[0]["detail"]


async def test_help_is_given() -> None:
    """Whatever else is typed."""
    status, output, _ = await check("--help")

    assert status == 0
    assert "--workspace NAME" in output


def test_a_closed_door_is_not_looked_at(looked: Looked) -> None:
    """Without HTTP there is no portal, no name and no application."""
    names = {step.name for step in steps_for(changed(looked.world.settings, http={"enabled": False}))}

    assert "portal" not in names
    assert "OAuth application" not in names
    assert "SSH door" in names


def test_every_step_rests_on_steps_before_it(looked: Looked) -> None:
    """So that leaving one out never depends on what comes later."""
    seen: set[str] = set()
    for step in steps_for(looked.world.settings):
        assert set(step.needs) <= seen
        seen.add(step.name)


async def test_each_step_is_said_before_it_is_looked_at() -> None:
    """Whoever waits knows what for."""
    output = io.StringIO()
    seen: list[str] = []

    async def slow(_site: Site) -> Finding:
        seen.append(output.getvalue())
        return ok("there")

    await results(output, Step("first", slow), Step("second", slow))

    assert [text.split()[-1] for text in seen] == ["first", "second"]
    assert output.getvalue().count("there") == 2


async def test_what_rests_on_a_fault_is_left_out_all_the_way() -> None:
    """Also what rests on what was left out."""

    async def broken(_site: Site) -> Finding:
        return fault("broken", "mend it")

    async def fine(_site: Site) -> Finding:
        return ok("there")

    steps = (Step("a", broken), Step("b", fine, ("a",)), Step("c", fine, ("b",)), Step("d", fine))
    found = await results(io.StringIO(), *steps)

    assert [result.finding.status.value for result in found] == ["fault", "unknown", "unknown", "ok"]


async def results(output: io.StringIO, *steps: Step) -> list[Result]:
    settings = Settings.model_validate({"auth": {"host": "https://gitlab.example.com"}})
    report = Report(as_json=False, output=output, progress=io.StringIO())
    return [result async for result in look(Site(settings, LocalhostResolver()), steps, report)]
