"""Every metric of the gateway: its name, its labels and what it means.

Labels are bounded: never a user, a workspace, an address or a host. Names keep to the practices of Prometheus
(https://prometheus.io/docs/practices/naming/): base units, and `_total` behind what only ever grows.
"""

import platform
from collections.abc import Callable, Iterable
from importlib.metadata import version

from prometheus_client import generate_latest

from gateway import __version__
from gateway.descriptors import find_used_ratio
from gateway.telemetry.catalogue import Catalogue, Fold

# Upper ends of buckets: from an answer of the gateway itself to a download, and from a cached verdict to the grace.
_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 600)
_LAG_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5)
_WAKE_SECONDS = (5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600)  # a pod takes seconds, or minutes with its image
_IDLE_SECONDS = (60, 300, 900, 1800, 3600, 2 * 3600, 4 * 3600, 8 * 3600, 24 * 3600, 7 * 24 * 3600)
_LOGIN_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)

_BUILD = {
    "version": __version__,
    "python": platform.python_version(),
    "asyncssh": version("asyncssh"),
    "httptools": version("httptools"),
}


class Metrics:
    """What one process counts, in a registry of its own."""

    def __init__(self) -> None:
        self.catalogue = Catalogue()
        self.registry = self.catalogue.registry
        self._describe_process()
        self._describe_http()
        self._describe_entry()
        self._describe_routes()
        self._describe_ssh()
        self._describe_idle()

    def render(self) -> bytes:
        """The Prometheus text exposition of everything counted so far."""
        return generate_latest(self.registry)

    def _describe_process(self) -> None:
        made = self.catalogue
        self.loop_lag = made.histogram("loop_lag_seconds", "How late the event loop wakes up.", _LAG_SECONDS)
        self.tasks = made.gauge("tasks", "Tasks of the event loop: without clients it is the same again and again.")
        self.ready = made.gauge("ready", "1 while traffic should come here, as /readyz says.", fold=Fold.MIN)
        self.workers = made.gauge("workers", "Worker processes, where there are several.", "state")
        self.worker_deaths = made.counter("worker_deaths", "Workers that ended unasked and were replaced.")
        self.certificate_expiry = made.gauge(
            "certificate_expiry_timestamp_seconds",
            "When the certificate in use expires: tls of the HTTP door, ssh_host of host keys.",
            "certificate",
            fold=Fold.MIN,
        )
        self.descriptors = made.gauge(
            "descriptors_used_ratio", "Open descriptors of those that the fullest process may have.", fold=Fold.MAX
        )
        self.descriptors.set_function(find_used_ratio)
        made.gauge("build_info", "1, with the versions of what runs.", *_BUILD, fold=Fold.MAX).labels(**_BUILD).set(1)
        self.log_dropped = made.counters("log_lines_dropped", "Log lines that could not be written.", "reason")
        self.config_reloads = made.counters("config_reloads", "Configurations loaded while it ran.", "result")
        self.config_successful = made.gauge(
            "config_last_reload_successful", "1, or 0 where the last one was refused.", fold=Fold.MIN
        )
        self.config_successful.set(1)
        self.config_time = made.gauge(
            "config_last_reload_success_timestamp_seconds", "When the one in force was loaded.", fold=Fold.MAX
        )
        self.config_time.set_to_current_time()
        made.process()

    def _describe_http(self) -> None:
        made = self.catalogue
        self.http_requests = made.counters(
            "http_requests", "Requests answered: by the gateway itself, its portal or a workspace.", "to", "status"
        )
        self.http_seconds = made.histograms(
            "http_request_seconds", "From request head to the end of the answer.", _SECONDS, "to"
        )
        self.http_connections = made.gauge("http_connections", "Open connections of HTTP clients, idle ones too.")
        self.http_tunnels = made.gauge("http_tunnels", "Open WebSocket tunnels.")
        self.http_tunnels_opened = made.counter("http_tunnels_opened", "WebSocket tunnels opened.")
        self.http_turned_away = made.counters("http_turned_away", "Clients for whom there was no room.", "code")
        self.http_revoked = made.counter("http_revoked", "Requests and tunnels closed because a right was lost.")
        self.http_bytes = made.counters(
            "http_bytes", "Bytes of bodies and tunnels, received from clients and sent to them.", "direction"
        )
        self.http_crashes = made.counter("http_crashes", "Requests that met a fault of the gateway's own.")
        self.http_grant_memory = made.counters(
            "http_grant_memory", "Requests with a grant that was remembered (hit), or looked at (miss).", "result"
        )
        self.http_token_memory = made.counters(
            "http_token_memory", "Tokens of programs whose verdict was known (hit), or asked for (miss).", "result"
        )
        self.http_grant_renewals = made.counters(
            "http_grant_renewals", "Grants past half their life that GitLab was asked about.", "result"
        )
        self.http_upstream_connections = made.gauge(
            "http_upstream_connections", "Connections to workspaces and the portal; a tunnel's is busy.", "state"
        )
        self.http_upstream_reuses = made.counter("http_upstream_reuses", "Requests sent on a kept connection.")
        self.http_upstream_dials = made.counters("http_upstream_dials", "New connections tried.", "result")
        self.upstream_failures = made.counters(
            "http_upstream_failures", "Requests whose workspace could not be reached, or broke off (broken).", "reason"
        )

    def _describe_entry(self) -> None:
        made = self.catalogue
        self.sign_ins = made.counters(
            "sign_ins",
            "Sign-ins: ok, denied by GitLab, failed, unavailable (GitLab), limited (too many at once).",
            "result",
        )
        self.entries = made.counters("entries", "Decisions whether a visitor may enter a host.", "verdict")
        self.wakes = made.counters("wakes", "Owners who wanted a stopped workspace to run.", "way", "result")
        self.wake_seconds = made.histograms(
            "wake_seconds", "From asking GitLab for a start to its owner being in.", _WAKE_SECONDS, "way"
        )
        self.session_store_up = made.gauge(
            "session_store_up", "1 while sign-outs of other gateways are heard of.", "store", fold=Fold.MIN
        )
        self.session_store_failures = made.counters(
            "session_store_failures", "Questions that the session store did not answer.", "store"
        )
        self.gitlab_calls = made.counters(
            "gitlab_calls", "Calls to GitLab; `spared` are those not made, as it fails.", "endpoint", "result"
        )
        self.gitlab_seconds = made.histograms(
            "gitlab_call_seconds", "Duration of a call to GitLab.", _SECONDS, "endpoint"
        )

    def _describe_routes(self) -> None:
        made = self.catalogue
        self.routes = made.gauge("routes", "Hostnames in the route table.", fold=Fold.MAX)
        self.workspaces = made.gauge("workspaces", "Workspaces in the route table.", fold=Fold.MAX)
        self.route_conflicts = made.counter("route_conflicts", "Claims refused because an older Service holds them.")
        self.route_contested = made.gauge(
            "route_contested", "Names that a Service claims and an older one holds.", fold=Fold.MAX
        )
        self.route_failures = made.counter("route_failures", "Declarations that could not become routes.")
        self.watch_age = made.gauge(
            "watch_age_seconds", "Since the API server last spoke on the most silent watch.", fold=Fold.MAX
        )
        self.watches = made.gauge(
            "watches",
            "Watches of Kubernetes objects: starting, live, away (the API server), forbidden.",
            "state",
            fold=Fold.MAX,
        )

    def _describe_ssh(self) -> None:
        made = self.catalogue
        self.ssh_connections = made.gauge(
            "ssh_connections", "Open SSH connections, in their login or past it.", "state"
        )
        self.ssh_attempts = made.counters(
            "ssh_connection_attempts",
            "Connections to the SSH door, and why those that got no session did not.",
            "result",
            "error_type",
        )
        self.ssh_auth_attempts = made.counters(
            "ssh_auth_attempts", "Tokens and keys tried, and what came of it.", "method", "result"
        )
        self.ssh_token_memory = made.counters(
            "ssh_token_memory", "Tokens whose verdict was known (hit), or asked for (miss).", "result"
        )
        self.ssh_login_seconds = made.histogram("ssh_login_seconds", "From accept to a login.", _LOGIN_SECONDS)
        self.ssh_auth_seconds = made.histogram(
            "ssh_auth_seconds",
            "From a token or a signature to its answer, the workspace's login included.",
            _LOGIN_SECONDS,
        )
        self.ssh_bans = made.counter("ssh_bans", "Addresses that were banned.")
        self.ssh_banned = made.gauge("ssh_banned_sources", "Addresses that are banned now.")
        self.ssh_disconnects = made.counters(
            "ssh_disconnects", "Ends of sessions by disconnect code and whose end it was.", "code", "side"
        )
        self.ssh_ended = made.counters("ssh_ended", "Open sessions that the gateway ended, and why.", "reason")
        self.ssh_ciphers = made.counters("ssh_ciphers", "Ciphers of clients that logged in.", "alg")
        self.ssh_dial_failures = made.counters("ssh_pod_dial_failures", "Workspaces without a usable sshd.", "reason")
        self.ssh_dial_seconds = made.histogram(
            "ssh_pod_dial_seconds", "From dialling a workspace to being logged in there, or not.", _LOGIN_SECONDS
        )
        self.ssh_pod_key_changes = made.counters("ssh_pod_host_key_changes", "Workspaces with another key.", "result")
        self.ssh_channels = made.counters("ssh_channels_opened", "Channels asked for.", "type", "direction", "result")
        self.ssh_channels_open = made.gauge("ssh_channels_open", "Channels that are open.")
        self.ssh_bytes = made.counters(
            "ssh_relay_bytes", "Payload bytes relayed, received from clients and sent to them.", "direction"
        )
        self.ssh_packets = made.counters(
            "ssh_relay_packets", "Packets relayed, past asyncssh (fast) or through it (slow).", "direction", "path"
        )
        self.ssh_rekeys = made.counters("ssh_rekeys", "Changes of keys after the login, by whose leg.", "leg")
        self.ssh_backpressure = made.counters(
            "ssh_backpressure_seconds", "Seconds in which the client or the workspace took nothing.", "leg"
        )
        self.ssh_kex = made.counters("ssh_kex", "Key exchanges of clients that logged in.", "alg", "strict")
        self.ssh_startups_dropped = made.counter("ssh_startups_dropped", "Clients for whom too many were logging in.")
        self.ssh_health_probes = made.counter("ssh_health_probes", "Connections that ended without a byte received.")
        self.ssh_drain_remaining = made.gauge("ssh_drain_remaining", "Connections that a drain still waits for.")

    def _describe_idle(self) -> None:
        made = self.catalogue
        self.measure_idle: Callable[[], Iterable[float]] = tuple
        """Seconds for which each running workspace was idle, at the time of a scrape."""
        made.survey(
            "workspace_idle_seconds",
            "For how long workspaces that run have been unused, as of now.",
            _IDLE_SECONDS,
            self._read_idle,
        )
        self.idle_stops = made.counters("idle_stops", "Workspaces that were unused for too long.", "result")

    def _read_idle(self) -> Iterable[float]:
        return self.measure_idle()
