"""What the gateway's process takes: memory, descriptors, processor time, and the tasks of its loop."""

import os
from collections.abc import Mapping
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


async def read_metrics(admin: str) -> Mapping[str, float]:
    """What the admin port at this address says, by the names of the samples, added up over their labels."""
    # A connection of its own each time, closed before anybody counts descriptors.
    async with aiohttp.ClientSession() as client, client.get(f"{admin}/metrics") as answer:
        text = await answer.text()
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name.removeprefix("workspaces_gateway_")
            sums[name] = sums.get(name, 0.0) + sample.value
    return sums


async def look(pid: int, admin: str) -> Vitals:
    """At the process with this id, whose admin port has this address."""
    metrics = await read_metrics(admin)
    process = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return Vitals(
        resident=int(status["VmRSS"].split()[0]) * 1024,
        descriptors=len(list((process / "fd").iterdir())),
        tasks=int(metrics["tasks"]),
        cpu=(int(fields[11]) + int(fields[12])) / _TICK,
    )
