"""The metrics that the gateway counts, and what Prometheus reads of them.

Labels are bounded: never a user, a workspace, an address or a host.
"""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from gateway.tally import Spread, Tally

_PREFIX = "workspaces_gateway"
# Upper ends of buckets: from an answer of the gateway itself to a download, and from a cached verdict to the grace.
_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 600)
_LAG_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5)
_LOGIN_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)


class Metrics:
    """Every metric of the gateway, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.http_requests = self._tally("http_requests", "Requests answered.", "to", "status")
        self.http_seconds = Spread(
            f"{_PREFIX}_http_request_seconds",
            "From request head to the end of the answer.",
            ("to",),
            _SECONDS,
            self.registry,
        )
        self.http_connections = self._gauge("http_connections", "Open client connections.")
        self.http_tunnels = self._gauge("http_tunnels", "Open WebSocket tunnels.")
        self.http_tunnels_opened = self._counter("http_tunnels_opened", "Tunnels opened.")
        self.http_turned_away = self._counter("http_turned_away", "Clients for whom there was no room.", "code")
        self.http_revoked = self._counter("http_revoked", "Requests and tunnels closed because a right was lost.")
        self.http_bytes = self._tally("http_bytes", "Body and tunnel bytes relayed.", "direction")
        self.upstream_failures = self._counter("http_upstream_failures", "Workspaces that did not answer.", "reason")
        self.sign_ins = self._counter("sign_ins", "Sign-ins finished.", "result")
        self.entries = self._counter("entries", "Decisions whether a visitor may enter a host.", "verdict")
        self.loop_lag = Spread(
            f"{_PREFIX}_loop_lag_seconds", "How late the event loop wakes up.", (), _LAG_SECONDS, self.registry
        ).labels()
        self.tasks = self._gauge("tasks", "Tasks of the event loop: without clients it is the same again and again.")
        self.routes = self._gauge("routes", "Hostnames in the route table.")
        self.workspaces = self._gauge("workspaces", "Workspaces in the route table.")
        self.route_conflicts = self._counter("route_conflicts", "Claims refused because an older Service holds them.")
        self.route_contested = self._gauge("route_contested", "Names that a Service claims and an older one holds.")
        self.watch_age = self._gauge("watch_age_seconds", "Since the API server last spoke on the most silent watch.")
        self.watches = self._gauge("watches", "Watches of Kubernetes objects.", "state")
        self.route_failures = self._counter("route_failures", "Declarations that could not become routes.")
        self.gitlab_calls = self._counter("gitlab_calls", "Calls to GitLab.", "endpoint", "result")
        self.gitlab_seconds = self._histogram(
            "gitlab_call_seconds", "Duration of a call to GitLab.", _SECONDS, "endpoint"
        )
        self.ssh_connections = self._gauge("ssh_connections", "Open SSH connections.", "state")
        self.ssh_attempts = self._counter(
            "ssh_connection_attempts", "SSH connections ended or opened.", "result", "error_type"
        )
        self.ssh_auth_attempts = self._counter("ssh_auth_attempts", "Authentication attempts.", "method", "result")
        self.ssh_token_memory = self._counter("ssh_token_memory", "Tokens whose verdict was known, or not.", "result")
        self.ssh_login_seconds = self._histogram("ssh_login_seconds", "From accept to a login.", _LOGIN_SECONDS)
        self.ssh_auth_seconds = self._histogram(
            "ssh_auth_seconds",
            "From a token or a signature to its answer, the workspace's login included.",
            _LOGIN_SECONDS,
        )
        self.ssh_bans = self._counter("ssh_bans", "Addresses that were banned.")
        self.ssh_banned = self._gauge("ssh_banned_sources", "Addresses that are banned now.")
        self.ssh_disconnects = self._counter("ssh_disconnects", "Ends of open connections.", "code", "side")
        self.ssh_ciphers = self._counter("ssh_ciphers", "Ciphers of clients that logged in.", "alg")
        self.ssh_dial_failures = self._counter("ssh_pod_dial_failures", "Workspaces without a usable sshd.", "reason")
        self.ssh_dial_seconds = self._histogram(
            "ssh_pod_dial_seconds", "From dialling a workspace to being logged in there, or not.", _LOGIN_SECONDS
        )
        self.ssh_pod_key_changes = self._counter("ssh_pod_host_key_changes", "Workspaces with another key.", "result")
        self.ssh_channels = self._counter("ssh_channels_opened", "Channels asked for.", "type", "direction", "result")
        self.ssh_channels_open = self._gauge("ssh_channels_open", "Channels that are open.")
        self.ssh_bytes = self._tally("ssh_relay_bytes", "Payload bytes relayed.", "direction")
        self.ssh_packets = self._tally("ssh_relay_packets", "Packets relayed.", "direction", "path")
        self.ssh_rekeys = self._tally("ssh_rekeys", "Changes of keys after the login.", "leg")
        self.ssh_backpressure = self._tally("ssh_backpressure_seconds", "Time in which a leg took nothing.", "leg")
        self.ssh_kex = self._counter("ssh_kex", "Key exchanges of clients that logged in.", "alg", "strict")
        self.ssh_startups_dropped = self._counter("ssh_startups_dropped", "Clients for whom too many were logging in.")
        self.ssh_health_probes = self._counter("ssh_health_probes", "Connections that ended without a byte received.")
        self.ssh_drain_remaining = self._gauge("ssh_drain_remaining", "Connections that a drain still waits for.")

    def render(self) -> bytes:
        """The Prometheus text exposition of everything counted so far."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{_PREFIX}_{name}", text, labels, registry=self.registry)

    def _tally(self, name: str, text: str, *labels: str) -> Tally:
        return Tally(f"{_PREFIX}_{name}", text, labels, self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"{_PREFIX}_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, bounds: Sequence[float], *labels: str) -> Histogram:
        return Histogram(f"{_PREFIX}_{name}", text, labels, registry=self.registry, buckets=bounds)
