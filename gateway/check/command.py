"""Runs the steps one after the other, says each as it comes, and makes an exit status of them.

python -m gateway check --config FILE [--secrets-dir FOLDER] [--workspace NAME] [--json] [--SETTING VALUE ...]
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import uvloop

from config.load import SettingsError, load_settings
from gateway.check.model import Finding, Result, Status, Step, fault, ok, unknown
from gateway.check.site import Site
from gateway.check.steps import steps_for
from gateway.localhost import LocalhostResolver

STEP_SECONDS = 30  # the slowest asks GitLab twice, and each question has auth.timeout
_WIDTH = 25  # of a step's name

USAGE = """\
python -m gateway check --config FILE [--secrets-dir FOLDER] [--workspace NAME] [--json] [--SETTING VALUE ...]

Looks whether a gateway with these settings works, and says what to do about what does not: GitLab, the OAuth
application, where routes come from, names, certificates, the doors as people reach them, the host key, and the ports of
a workspace. It changes nothing. Status 0 if no step found a fault. Run it where the gateway runs, with its settings.

  --workspace NAME   try the ports of this workspace instead of those of the first that runs
  --json             the result as JSON; progress goes to standard error
"""


@dataclass(frozen=True, slots=True)
class Report:
    """Says how a check goes and how it went."""

    as_json: bool
    output: TextIO
    progress: TextIO

    def begin(self, name: str) -> None:
        """Before the step, so that whoever waits knows what for."""
        stream = self.progress if self.as_json else self.output
        stream.write(f"{name.ljust(_WIDTH)} " if stream is self.output else f"looking at: {name}\n")
        stream.flush()

    def end(self, result: Result) -> None:
        if self.as_json:
            return
        finding = result.finding
        word = "FAULT" if finding.status is Status.FAULT else finding.status.value
        self.output.write(f"{word.ljust(8)}{finding.detail}\n")
        if finding.advice:
            self.output.write(f"{' ' * (_WIDTH + 1)}{'-> '.rjust(8)}{finding.advice}\n")
        self.output.flush()

    def close(self, results: Sequence[Result]) -> None:
        faults = sum(result.finding.status is Status.FAULT for result in results)
        if self.as_json:
            told = {"ok": not faults, "steps": [_record(result) for result in results]}
            self.output.write(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
        else:
            self.output.write(f"\n{'no fault' if not faults else f'{faults} to mend'} in {len(results)} steps\n")


def run_check_command(argv: Sequence[str]) -> int:
    """The exit status: 0 without a fault, 1 with one, 2 for a command line that is none."""
    parser = argparse.ArgumentParser(prog="python -m gateway check", usage=USAGE, allow_abbrev=False, add_help=False)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--workspace", default="")
    if {"-h", "--help", "-help"} & set(argv):
        sys.stdout.write(f"usage: {USAGE}")
        return 0
    options, rest = parser.parse_known_args(argv)
    report = Report(options.json, sys.stdout, sys.stderr)
    results = uvloop.run(_check(rest, options.workspace, report))
    report.close(results)
    return 1 if any(result.finding.status is Status.FAULT for result in results) else 0


async def _check(argv: Sequence[str], workspace: str, report: Report) -> list[Result]:
    report.begin("settings")
    try:
        settings = load_settings(argv)
    except SettingsError as exc:
        finding = fault("; ".join(map(str, exc.faults)), "mend each of them; `serve --help` lists every setting")
        report.end(Result("settings", finding, 0))
        return [Result("settings", finding, 0)]
    results = [Result("settings", ok("all of them are valid"), 0)]
    report.end(results[0])
    site = Site(settings, LocalhostResolver(), workspace=workspace)
    return [*results, *[result async for result in look(site, steps_for(settings), report)]]


async def look(site: Site, steps: Sequence[Step], report: Report) -> AsyncIterator[Result]:
    """Each step in order; a fault never stops the rest, but those that rest on it are left out."""
    faulty: set[str] = set()
    for step in steps:
        report.begin(step.name)
        started = time.monotonic()
        missing = [name for name in step.needs if name in faulty]
        finding = unknown(f"not looked at, because of: {', '.join(missing)}") if missing else await _try(step, site)
        if missing or finding.status is Status.FAULT:
            faulty.add(step.name)
        result = Result(step.name, finding, round(time.monotonic() - started, 3))
        report.end(result)
        yield result


async def _try(step: Step, site: Site) -> Finding:
    try:
        async with asyncio.timeout(STEP_SECONDS):
            return await step.look(site)
    except TimeoutError:
        return fault(f"no end within {STEP_SECONDS} s", "something between here and there takes packets and drops them")


def _record(result: Result) -> dict[str, Any]:
    finding = result.finding
    told: dict[str, Any] = {"name": result.name, "status": finding.status.value, "detail": finding.detail}
    return told | ({"advice": finding.advice} if finding.advice else {}) | {"seconds": result.seconds}
