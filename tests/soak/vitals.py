"""What the gateway's process takes: memory, descriptors, processor time, and the tasks of its loop."""

import os
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Vitals:
    """At one moment."""

    resident: int
    """Bytes."""
    descriptors: int
    tasks: int
    cpu: float
    """Seconds since the start."""

    def __str__(self) -> str:
        return f"RSS {self.resident / (1 << 20):.1f} MiB, {self.descriptors} descriptors, {self.tasks} tasks"


async def look(pid: int, admin: str) -> Vitals:
    """At the process with this id, whose admin port has this address."""
    # A connection of its own each time, closed before the descriptors are counted.
    async with aiohttp.ClientSession() as client, client.get(f"{admin}/metrics") as answer:
        text = await answer.text()
    [tasks] = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "workspaces_gateway_tasks"
    ]
    process = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return Vitals(
        resident=int(status["VmRSS"].split()[0]) * 1024,
        descriptors=len(list((process / "fd").iterdir())),
        tasks=int(tasks),
        cpu=(int(fields[11]) + int(fields[12])) / _TICK,
    )
