"""What two readings of the admin port say together: how much there is now, and how fast it grows. Pure."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.telemetry.slowest import Slow
from gateway.top.reading import Reading

_ERRORS = ("failed", "spared")  # of calls to GitLab


@dataclass(frozen=True, slots=True)
class Process:
    version: str
    ready: bool
    workers: int
    """0 where there is one process alone."""
    up_seconds: float
    """Of the youngest worker."""
    cores: float
    memory_bytes: float
    descriptors_ratio: float
    loop_lag_p99_seconds: float | None
    """None where nothing was measured meanwhile."""


@dataclass(frozen=True, slots=True)
class Http:
    requests_per_second: float
    workspace_requests_per_second: float
    portal_requests_per_second: float
    client_errors_per_second: float
    """Answers of 400 to 499."""
    server_errors_per_second: float
    """Answers of 500 and above."""
    received_bytes_per_second: float
    sent_bytes_per_second: float
    p50_seconds: float | None
    p99_seconds: float | None
    clients: int
    tunnels: int
    upstream_busy: int
    upstream_idle: int
    upstream_failures_per_second: float
    turned_away_per_second: float


@dataclass(frozen=True, slots=True)
class Ssh:
    sessions: int
    logging_in: int
    channels: int
    logins_per_second: float
    refusals_per_second: float
    received_bytes_per_second: float
    sent_bytes_per_second: float
    banned: int


@dataclass(frozen=True, slots=True)
class Around:
    """What the gateway depends on."""

    gitlab_calls_per_second: float
    gitlab_failures_per_second: float
    gitlab_p90_seconds: float | None
    sign_ins_per_second: float
    failed_sign_ins_per_second: float
    routes: int
    workspaces: int
    watch_age_seconds: float
    lost_log_lines_per_second: float


@dataclass(frozen=True, slots=True)
class Figures:
    process: Process
    http: Http
    ssh: Ssh
    around: Around
    slow: Slow


def compare(before: Reading, after: Reading) -> Figures:
    """What happened between two readings, and what there is in the second."""
    pair = _Pair(before, after)
    return Figures(_process(pair), _http(pair), _ssh(pair), _around(pair), after.slow)


@dataclass(frozen=True, slots=True)
class _Pair:
    before: Reading
    after: Reading

    def now(self, name: str, **labels: str) -> int:
        return int(self.after.sum(name, **labels))

    def rate(self, name: str, **labels: str) -> float:
        """A second; what began anew meanwhile, with its process, counts from nothing."""
        before, after = (reading.sum(name, **labels) for reading in (self.before, self.after))
        grown = after - before if after >= before else after
        return grown / max(self.after.at - self.before.at, 0.001)

    def rates(self, name: str, label: str, values: Iterable[str]) -> float:
        """Of several values of a label together."""
        return sum(self.rate(name, **{label: value}) for value in values)

    def quantile(self, share: float, name: str) -> float | None:
        """Within that much a share of what happened meanwhile lay: the upper end of its bucket.

        None where nothing happened; beyond the last bucket, its lower end.
        """
        before, after = (reading.by(f"{name}_bucket", "le") for reading in (self.before, self.after))
        grown = [(float(end), max(0.0, count - before.get(end, 0.0))) for end, count in after.items()]
        total = max((count for _, count in grown), default=0.0)
        if total <= 0:
            return None
        ends = sorted(grown)
        found = next(end for end, count in ends if count >= share * total)
        return found if found != float("inf") else ends[-2][0]


def _process(pair: _Pair) -> Process:
    after = pair.after
    return Process(
        version=after.labels("build_info")["version"],
        ready=after.sum("ready") == 1,
        workers=pair.now("workers"),
        up_seconds=time.time() - after.sum("process_start_time_seconds"),
        cores=pair.rate("process_cpu_seconds_total"),
        memory_bytes=after.sum("process_resident_memory_bytes"),
        descriptors_ratio=after.sum("descriptors_used_ratio"),
        loop_lag_p99_seconds=pair.quantile(0.99, "loop_lag_seconds"),
    )


def _http(pair: _Pair) -> Http:
    statuses = pair.after.by("http_requests_total", "status")
    return Http(
        requests_per_second=pair.rate("http_requests_total"),
        workspace_requests_per_second=pair.rate("http_requests_total", to="workspace"),
        portal_requests_per_second=pair.rate("http_requests_total", to="portal"),
        client_errors_per_second=pair.rates("http_requests_total", "status", [s for s in statuses if s[0] == "4"]),
        server_errors_per_second=pair.rates("http_requests_total", "status", [s for s in statuses if s[0] >= "5"]),
        received_bytes_per_second=pair.rate("http_bytes_total", direction="received"),
        sent_bytes_per_second=pair.rate("http_bytes_total", direction="sent"),
        p50_seconds=pair.quantile(0.5, "http_request_seconds"),
        p99_seconds=pair.quantile(0.99, "http_request_seconds"),
        clients=pair.now("http_connections"),
        tunnels=pair.now("http_tunnels"),
        upstream_busy=pair.now("http_upstream_connections", state="busy"),
        upstream_idle=pair.now("http_upstream_connections", state="idle"),
        upstream_failures_per_second=pair.rate("http_upstream_failures_total"),
        turned_away_per_second=pair.rate("http_turned_away_total"),
    )


def _ssh(pair: _Pair) -> Ssh:
    return Ssh(
        sessions=pair.now("ssh_connections", state="open"),
        logging_in=pair.now("ssh_connections", state="login"),
        channels=pair.now("ssh_channels_open"),
        logins_per_second=pair.rate("ssh_connection_attempts_total", result="opened"),
        refusals_per_second=pair.rate("ssh_connection_attempts_total", result="refused"),
        received_bytes_per_second=pair.rate("ssh_relay_bytes_total", direction="received"),
        sent_bytes_per_second=pair.rate("ssh_relay_bytes_total", direction="sent"),
        banned=pair.now("ssh_banned_sources"),
    )


def _around(pair: _Pair) -> Around:
    results = pair.after.by("sign_ins_total", "result")
    return Around(
        gitlab_calls_per_second=pair.rate("gitlab_calls_total"),
        gitlab_failures_per_second=pair.rates("gitlab_calls_total", "result", _ERRORS),
        gitlab_p90_seconds=pair.quantile(0.9, "gitlab_call_seconds"),
        sign_ins_per_second=pair.rate("sign_ins_total", result="ok"),
        failed_sign_ins_per_second=pair.rates("sign_ins_total", "result", [r for r in results if r != "ok"]),
        routes=pair.now("routes"),
        workspaces=pair.now("workspaces"),
        watch_age_seconds=pair.after.sum("watch_age_seconds"),
        lost_log_lines_per_second=pair.rate("log_lines_dropped_total"),
    )
