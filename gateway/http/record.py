"""What is counted and logged about every exchange and tunnel of the HTTP door.

Queries, cookies and tokens never come here; a path is cut, and JSON escapes whatever it holds.
"""

import time
from functools import lru_cache
from http import HTTPStatus
from json.encoder import encode_basestring_ascii

from gateway.http.decision import Forward
from gateway.http.headers import RequestHead
from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.slowest import PATH_MAX, Slowest, SlowRequest
from gateway.telemetry.tally import Buckets, Count

REVOKED = "revoked"
"""The code of an exchange or tunnel that was closed because its visitor lost the right to be there."""
_KNOWN_STATUSES = frozenset((*HTTPStatus, 499))  # 499: a client that left before its answer
_PATH_MAX = 1024  # characters of a path in the log: enough to recognise it, too few to flood the log
_PATH_TEXT_MAX = 2 * _PATH_MAX  # characters of a path as JSON, so that a line fits into one write (`lines.LINE_MAX`)


class Recorder:
    """Writes one log line per request, and counts it."""

    def __init__(self, metrics: Metrics, log: Log) -> None:
        self.metrics = metrics
        self._log = log
        self._received = metrics.http_bytes.labels("received")
        self._sent = metrics.http_bytes.labels("sent")
        self._answered: dict[tuple[str, int], tuple[Count, Buckets]] = {}
        """By who answered and the status."""
        self.slowest = Slowest()
        self._second = 0
        self._second_text = ""

    def request(
        self,
        head: RequestHead,
        *,
        request_id: str,
        trace_id: str,
        client: str,
        forward: Forward | None,
        status: int,
        code: str,
        seconds: float,
        received: int,
        sent: int,
    ) -> None:
        """One exchange has ended. `code` names the gateway's own answer or how the exchange broke off."""
        to = "gateway" if forward is None else "workspace" if forward.route else "portal"
        requests, durations = self._answered.get((to, status)) or self._open_answered(to, status)
        requests.value += 1
        durations.add(seconds)
        self._received.value += received
        self._sent.value += sent
        if code:
            self._count_revoked(code)
        if seconds > self.slowest.least:
            self.slowest.add(describe(head, forward, request_id=request_id, status=status, code=code, seconds=seconds))
        route = forward.route if forward else None
        grant = forward.grant if forward else None
        who = ""
        if route:
            user_id, user = (grant.user_id, grant.username) if grant else (None, "")
            who = _who_text(route.workspace.name, route.port, user_id, user)
        path = encode_basestring_ascii(head.path[:_PATH_MAX].decode("latin-1"))
        if len(path) > _PATH_TEXT_MAX:
            path = encode_basestring_ascii(head.path[: _PATH_TEXT_MAX // 6].decode("latin-1"))  # as \u00ff, at worst
        if trace_id:
            who += f', "trace_id": "{trace_id}"'
        # By hand, because a general renderer costs a fifth of a request. Only what a client wrote needs quoting, and
        # llhttp knows every method by name.
        self._log.info_line(
            f'{{"event": "http.request", "level": "info", "timestamp": "{self._now()}", "request_id": "{request_id}", '
            f'"client": "{client}", "method": "{head.method.decode()}", "host": "{head.host}", '
            f'"path": {path}, "status": {status}, "code": "{code}", '
            f'"seconds": {seconds:.6f}, "received": {received}, "sent": {sent}{who}}}\n'
        )

    def entry_denied(self, head: RequestHead, request_id: str, client: str, reason: str) -> None:
        """Somebody whom GitLab knows may not be where they wanted to be."""
        self.metrics.entries.labels("denied").inc()
        self._log.info("audit.entry_denied", request_id=request_id, client=client, host=head.host, reason=reason)

    def refused(self, client: str, status: int, reason: str) -> None:
        """Something arrived that is no request."""
        self.metrics.http_requests.labels("gateway", str(status)).value += 1
        self._log.info("http.refused", client=client, status=status, reason=reason)

    def turned_away(self, code: str, clients: int) -> None:
        """So many clients found no room lately."""
        self.metrics.http_turned_away.labels(code).inc(clients)
        self._log.warning("http.turned_away", code=code, clients=clients)

    def tunnel_opened(self) -> None:
        self.metrics.http_tunnels.inc()
        self.metrics.http_tunnels_opened.inc()

    def tunnel_closed(
        self,
        head: RequestHead,
        forward: Forward,
        *,
        request_id: str,
        client: str,
        code: str,
        seconds: float,
        up: int,
        down: int,
    ) -> None:
        self.metrics.http_tunnels.dec()
        self._received.value += up
        self._sent.value += down
        self._count_revoked(code)
        self._log.info(
            "http.tunnel_closed",
            request_id=request_id,
            client=client,
            host=head.host,
            code=code,
            seconds=round(seconds, 3),
            received=up,
            sent=down,
            **_who(forward),
        )

    def upstream_failed(self, reason: str, error: str, request_id: str) -> None:
        self.metrics.upstream_failures.labels(reason).inc()
        self._log.info("http.upstream_failed", request_id=request_id, reason=reason, error=error)

    def crashed(self, request_id: str) -> None:
        """A fault of ours; called while the exception is being handled."""
        self.metrics.http_crashes.inc()
        self._log.exception("http.crashed", request_id=request_id)

    def _count_revoked(self, code: str) -> None:
        if code == REVOKED:
            self.metrics.http_revoked.inc()

    def _open_answered(self, to: str, status: int) -> tuple[Count, Buckets]:
        counted = self.metrics.http_requests.labels(to, _status_text(status)), self.metrics.http_seconds.labels(to)
        self._answered[to, status] = counted
        return counted

    def _now(self) -> str:
        """The time as structlog writes it; its second is spelled out once a second."""
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self.slowest.expire()
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._second_text}.{int((now - second) * 1_000_000):06d}Z"


def describe(
    head: RequestHead, forward: Forward | None, *, request_id: str, status: int, code: str, seconds: float
) -> SlowRequest:
    """A request as people see it who look for slow ones."""
    route = forward.route if forward else None
    return SlowRequest(
        seconds=seconds,
        method=head.method.decode(),
        workspace=route.workspace.name if route else "",
        port=route.port if route else 0,
        path=head.path[:PATH_MAX].decode("latin-1"),
        status=status,
        code=code,
        request_id=request_id,
    )


def _status_text(status: int) -> str:
    """A status that means something, or the class of one that a workspace made up, as there might be hundreds."""
    return str(status) if status in _KNOWN_STATUSES else f"{status // 100}xx"


@lru_cache(maxsize=4096)  # who is here now
def _who_text(workspace: str, port: int, user_id: int | None, user: str) -> str:
    text = f', "workspace": {encode_basestring_ascii(workspace)}, "port": {port}'
    return text if user_id is None else f'{text}, "user_id": {user_id}, "user": {encode_basestring_ascii(user)}'


def _who(forward: Forward | None) -> dict[str, str | int]:
    if forward is None or forward.route is None:
        return {}
    facts: dict[str, str | int] = {"workspace": forward.route.workspace.name, "port": forward.route.port}
    if forward.grant:
        facts |= {"user_id": forward.grant.user_id, "user": forward.grant.username}
    return facts
