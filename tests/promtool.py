"""Prometheus' own judge of metrics and rules, from Debian."""

import subprocess
from pathlib import Path


def promtool(*arguments: str | Path, told: str = "") -> tuple[int, str]:
    """Its status and its words, about files or about what it is told."""
    done = subprocess.run(  # noqa: S603 - the tests' own arguments
        ["promtool", *arguments],  # noqa: S607 - wherever Debian put it
        input=told,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr
