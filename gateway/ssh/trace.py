"""What is traced of an SSH connection: its login, with the questions to GitLab in it, and then its session.

Two spans, because a session may last for days and is told when it is over.
"""

from gateway.telemetry.spans import Span, Tracing
from gateway.telemetry.trace_context import current_trace


class ConnectionTrace:
    """The spans of one connection, if it is one of those that are recorded."""

    def __init__(self, tracing: Tracing | None) -> None:
        self._tracing = tracing
        self._span: Span | None = None
        self._client: dict[str, str | int] = {}

    def begin(self, address: str, port: int) -> None:
        """A client is here."""
        if self._tracing is not None:
            self._client = {"client.address": address, "client.port": port, "network.protocol.name": "ssh"}
            self._span = self._tracing.begin("SSH login", "server", self._client)

    def follow(self) -> None:
        """What the running task does from now on, it does for this connection."""
        current_trace.set(self._span.context if self._span else None)

    def open(self, workspace: str) -> None:
        """The client is in."""
        if self._tracing is not None and self._span is not None:
            login = self._span
            login.end({"workspaces_gateway.workspace": workspace})
            self._span = self._tracing.begin("SSH session", "server", self._client, parent=login.context)

    def end(self, workspace: str, *, failure: str, received: int, sent: int) -> None:
        """The connection is over; `failure` says why nobody got in, where nobody did."""
        if self._span is not None:
            self._span.end(
                {
                    "workspaces_gateway.workspace": workspace,
                    "workspaces_gateway.received": received,
                    "workspaces_gateway.sent": sent,
                },
                failure=failure,
            )
