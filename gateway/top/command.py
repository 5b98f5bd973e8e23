"""Asks the admin port again and again, and shows what two answers say together.

python -m gateway top [--once] [--json] [--interval SECONDS] [--url URL]
"""

import argparse
import asyncio
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TextIO

import aiohttp

from gateway.top.figures import Figures, compare
from gateway.top.reading import NoGateway, Reading, read
from gateway.top.screen import draw

USAGE = """\
python -m gateway top [--once] [--json] [--interval SECONDS] [--url URL]

Shows what the gateway on this machine does now: requests, WebSockets, SSH sessions, calls to GitLab, and the requests
that are slow. It asks the admin port, every two seconds; Ctrl-C ends it. In a cluster:

  kubectl exec -it deploy/gitlab-workspaces-proxy -- python3 -m gateway top

  --once      show one screen, after one interval, and end
  --json      one JSON object per interval and line, for programs
  --interval SECONDS   default 2
  --url URL   of the admin port; default http://127.0.0.1:9877, or with the port of $ADMIN_PORT
"""

_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"  # ECMA-48: CUP, EL, ED
_CLEAR = "\x1b[2J"


def run_top(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """The exit status: 0, or 1 where no gateway answers at the beginning."""
    parser = argparse.ArgumentParser(prog="python -m gateway top", usage=USAGE, allow_abbrev=False, add_help=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--interval", type=seconds, default=2.0)
    parser.add_argument("--url", default=f"http://127.0.0.1:{environ.get('ADMIN_PORT', '9877')}")
    options = parser.parse_args(argv)
    if options.help:
        sys.stdout.write(f"usage: {USAGE}")
        return 0
    shown = _Json(sys.stdout) if options.json else _Screen(sys.stdout)
    try:
        with suppress(KeyboardInterrupt, BrokenPipeError):
            asyncio.run(_show(shown, options.url.rstrip("/"), options.interval, is_once=options.once))
    except NoGateway as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    return 0


class _Screen:
    """A terminal that is painted over, or, where there is none, one block of lines after the other."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._is_first = True

    def show(self, figures: Figures) -> None:
        self._write(draw(figures, *shutil.get_terminal_size()) if self._output.isatty() else draw(figures, 200, 60))

    def lose(self, reason: str) -> None:
        self._write([reason])

    def _write(self, lines: Sequence[str]) -> None:
        if self._output.isatty():
            begin = _CLEAR + _HOME if self._is_first else _HOME
            self._output.write(begin + "".join(f"{line}{_CLEAR_LINE}\n" for line in lines) + _CLEAR_BELOW)
        else:
            self._output.write(("" if self._is_first else "\n") + "".join(f"{line}\n" for line in lines))
        self._is_first = False
        self._output.flush()


class _Json:
    """One object a line."""

    def __init__(self, output: TextIO) -> None:
        self._output = output

    def show(self, figures: Figures) -> None:
        self._write(asdict(figures))

    def lose(self, reason: str) -> None:
        self._write({"error": reason})

    def _write(self, record: Mapping[str, object]) -> None:
        self._output.write(json.dumps(record) + "\n")
        self._output.flush()


async def _show(shown: _Screen | _Json, url: str, interval: float, *, is_once: bool) -> None:
    async with aiohttp.ClientSession(trust_env=False) as http:
        before: Reading | None = await read(http, url)
        while True:
            await asyncio.sleep(interval)
            try:
                after = await read(http, url)
            except NoGateway as exc:
                if is_once:
                    raise
                shown.lose(str(exc))  # it may be restarting
                before = None
                continue
            if before is not None:
                shown.show(compare(before, after))
            if is_once and before is not None:
                return
            before = after


def seconds(text: str) -> float:
    """An interval of the command line."""
    interval = float(text)
    if not 0.1 <= interval <= 3600:  # more often would be a load, and more seldom is Prometheus' work
        raise argparse.ArgumentTypeError("0.1 to 3600 seconds")
    return interval
