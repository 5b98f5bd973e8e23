"""Figures as lines of text for a person, each no longer than the terminal is wide. Pure."""

from collections.abc import Sequence

from gateway.telemetry.slowest import SlowRequest
from gateway.top.figures import Around, Figures, Http, Process, Ssh

_REQUESTS_MAX = 10  # of each kind: more says less
_UNITS = ("B", "KB", "MB", "GB", "TB")


def draw(figures: Figures, columns: int, rows: int) -> list[str]:
    """The lines of one screen; of slow requests, as many as fit."""
    lines = [
        *_process(figures.process),
        "",
        *_http(figures.http),
        *_ssh(figures.ssh),
        *_around(figures.around),
    ]
    share = min(max((rows - len(lines) - 7) // 2, 2), _REQUESTS_MAX)  # beside headings and the cursor's line
    lines += _requests("Under way for longest", figures.slow.open[:share])
    lines += _requests("Slowest of the last five minutes", figures.slow.ended[:share])
    return [line[:columns] for line in lines]


def _process(told: Process) -> list[str]:
    workers = f", {told.workers} workers" if told.workers else ""
    state = "ready" if told.ready else "NOT READY"
    return [
        f"workspaces gateway {told.version}: {state}{workers}, up {_time(told.up_seconds)}",
        _line(
            "process",
            f"{told.cores * 100:.0f} % of a core",
            f"{_bytes(told.memory_bytes)} memory",
            f"{told.descriptors_ratio * 100:.0f} % of descriptors",
            f"loop late {_seconds(told.loop_lag_p99_seconds)} (p99)",
        ),
    ]


def _http(told: Http) -> list[str]:
    return [
        _line(
            "http",
            f"{told.requests_per_second:.1f} requests/s",
            f"workspaces {told.workspace_requests_per_second:.1f}",
            f"portal {told.portal_requests_per_second:.1f}",
            f"4xx {told.client_errors_per_second:.1f}",
            f"5xx {told.server_errors_per_second:.1f}",
            f"p50 {_seconds(told.p50_seconds)}",
            f"p99 {_seconds(told.p99_seconds)}",
        ),
        _line(
            "",
            f"in {_bytes(told.received_bytes_per_second)}/s",
            f"out {_bytes(told.sent_bytes_per_second)}/s",
            f"{told.clients} clients",
            f"{told.tunnels} WebSockets",
            f"upstream {told.upstream_busy} busy, {told.upstream_idle} idle",
            *_if_any("unreachable", told.upstream_failures_per_second),
            *_if_any("turned away", told.turned_away_per_second),
        ),
    ]


def _ssh(told: Ssh) -> list[str]:
    return [
        _line(
            "ssh",
            f"{told.sessions} sessions",
            f"{told.logging_in} logging in",
            f"{told.channels} channels",
            f"in {_bytes(told.received_bytes_per_second)}/s",
            f"out {_bytes(told.sent_bytes_per_second)}/s",
            f"{told.logins_per_second:.1f} logins/s",
            f"refused {told.refusals_per_second:.1f}",
            f"{told.banned} banned",
        )
    ]


def _around(told: Around) -> list[str]:
    return [
        _line(
            "gitlab",
            f"{told.gitlab_calls_per_second:.1f} calls/s",
            f"failed {told.gitlab_failures_per_second:.1f}",
            f"p90 {_seconds(told.gitlab_p90_seconds)}",
            f"{told.sign_ins_per_second:.1f} sign-ins/s",
            f"failed {told.failed_sign_ins_per_second:.1f}",
        ),
        _line(
            "routes",
            f"{told.routes} hosts",
            f"{told.workspaces} workspaces",
            f"heard of {_time(told.watch_age_seconds)} ago" if told.watch_age_seconds else "",
            *_if_any("log lines lost", told.lost_log_lines_per_second),
        ),
    ]


def _requests(title: str, requests: Sequence[SlowRequest]) -> list[str]:
    if not requests:
        return []
    head = ("seconds", "status", "method", "workspace", "port", "path")
    rows = [head, *map(_row, requests)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head) - 1)]
    return ["", f"{title}:", *("  ".join([*_aligned(row, widths), row[-1]]) for row in rows)]


def _row(request: SlowRequest) -> tuple[str, ...]:
    return (
        f"{request.seconds:.3f}",
        request.code or (str(request.status) if request.status else "-"),
        request.method,
        request.workspace or "-",
        str(request.port) if request.port else "-",
        _printable(request.path),
    )


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Numbers to the right, words to the left."""
    cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
    return [row[0].rjust(widths[0]), *cells[1:]]


def _line(name: str, *facts: str) -> str:
    return f"{name:<9}{'   '.join(fact for fact in facts if fact)}"


def _if_any(name: str, rate: float) -> tuple[str, ...]:
    return (f"{name} {rate:.1f}/s",) if rate else ()


def _bytes(size: float) -> str:
    for unit in _UNITS:
        if size < 1000 or unit == _UNITS[-1]:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError("the last unit takes any size")


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1000:g} ms" if seconds < 1 else f"{seconds:g} s"


def _time(seconds: float) -> str:
    for size, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} s"


def _printable(text: str) -> str:
    """Without anything that a terminal would act on: a path is a stranger's."""
    return "".join(char if char.isprintable() else "?" for char in text)
