"""What the doors see of people's work, and how it is told from what programs do by themselves.

Requests are noted as they come. Streams are not followed but looked at now and then: how much came from the client
since the last look, against what a page or a program sends that was left alone. So nothing is added to what moves
bytes.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakValueDictionary

from config.settings import IdleSettings
from gateway.idle.ledger import Ledger, Use
from gateway.idle.pulse import Pulse

LOOK_SECONDS = 15.0  # between two looks: a small part of any time-out, and a millisecond for a thousand streams
GREETING_SECONDS = 60.0  # in which a new WebSocket says hello: a page that connects again by itself is no person
QUIET_MIN = 0.05  # of the time between two looks: with fewer pauses in its output, typing can go unnoticed
BURST = 0.5  # of a minute's rate, which a page may send at once: recorded ones were never above a fifth
_MINUTE = 60.0


class Stream(Protocol):
    """A tunnel or an SSH connection."""

    @property
    def data_bytes(self) -> int:
        """From the client so far, but for what the protocol sends: pings, keepalives, window adjusts."""

    @property
    def typed_bytes(self) -> int:
        """The same without answers to output."""

    @property
    def pulse(self) -> Pulse:
        """By which the two were told apart."""

    @property
    def runs(self) -> int:
        """Programs that the client had run so far, each of which is use."""

    @property
    def has_terminal(self) -> bool:
        """Whether its client is a terminal, which sends nothing by itself."""


@dataclass(slots=True)
class _Watched:
    """A stream, as of the last look."""

    workspace_id: str
    use: Use
    looked: float
    quiet: float
    """Seconds in which answers could be told from other bytes, so far."""
    runs: int = 0
    sent: int = 0
    typed: int = 0
    excess: float = 0.0
    """Bytes beyond the rate that no quiet time has made up for yet."""


class Uses:
    """Tells the ledger what people do."""

    def __init__(self, settings: IdleSettings, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger
        self._watched: dict[Stream, _Watched] = {}
        self._pulses: WeakValueDictionary[tuple[str, int], Pulse] = WeakValueDictionary()
        self.polls: defaultdict[str, int] = defaultdict(int)
        """Requests of pages and programs by workspace, in this minute: only many of them tell a person. Whoever passes
        one on adds it here, as there are thousands a second."""
        self._polled = ledger.now()

    def __repr__(self) -> str:
        return f"<Uses streams={len(self._watched)}>"

    def adopt(self, settings: IdleSettings) -> None:
        """Tell use from what goes on by itself by these settings from now on."""
        self._settings = settings

    def act(self, workspace_id: str) -> None:
        """A person opened a page there, or changed something."""
        self._ledger.note(workspace_id, Use.REQUEST)

    def find_pulse(self, workspace_id: str, user_id: int | None) -> Pulse:
        """That of a workspace for all tunnels of one person: an editor answers on one what it was told on another.

        Of nobody who is known, each has its own: what a workspace is made to say to a stranger hides no keys.
        """
        if user_id is None:
            return Pulse(self._ledger.now)
        key = (workspace_id, user_id)
        pulse = self._pulses.get(key)
        if pulse is None:
            pulse = self._pulses[key] = Pulse(self._ledger.now)
        return pulse

    def open_tunnel(self, tunnel: Stream, workspace_id: str) -> None:
        """A WebSocket was opened. That alone is nobody's work: pages do it again and again by themselves."""
        greeted = self._ledger.now() + GREETING_SECONDS
        self._watched[tunnel] = _Watched(workspace_id, Use.WEBSOCKET, greeted, tunnel.pulse.measure_quiet())

    def open_ssh(self, connection: Stream, workspace_id: str) -> None:
        """Somebody logged in."""
        self._ledger.note(workspace_id, Use.SSH)
        self._watched[connection] = _Watched(
            workspace_id, Use.SSH, self._ledger.now(), connection.pulse.measure_quiet()
        )

    def close(self, stream: Stream) -> None:
        """It ended; what it carried since the last look still counts."""
        watched = self._watched.pop(stream, None)
        if watched is not None:
            self._judge(stream, watched, self._ledger.now())

    def look(self) -> None:
        """Judge everything since the last look."""
        now = self._ledger.now()
        for stream, watched in self._watched.items():
            self._judge(stream, watched, now)
        if now - self._polled >= _MINUTE:
            self._judge_polls((now - self._polled) / _MINUTE)
            self._polled = now

    def _judge_polls(self, minutes: float) -> None:
        polls, self.polls = self.polls, defaultdict(int)
        for workspace_id, count in polls.items():
            if count > self._settings.polls_per_minute * minutes:
                self._ledger.note(workspace_id, Use.REQUEST)

    def _judge(self, stream: Stream, watched: _Watched, now: float) -> None:
        seconds, quiet = now - watched.looked, stream.pulse.measure_quiet()
        sent, typed = stream.data_bytes - watched.sent, stream.typed_bytes - watched.typed
        is_told = quiet - watched.quiet >= QUIET_MIN * seconds
        watched.sent, watched.typed, watched.quiet = stream.data_bytes, stream.typed_bytes, quiet
        if seconds < 0:
            return
        watched.looked = now
        # Where nothing can be told, a workspace that runs for nobody costs less than one that is taken from somebody.
        has_run, watched.runs = stream.runs > watched.runs, stream.runs
        if self._is_used(stream, watched, typed if is_told else sent, seconds) or has_run:
            watched.excess = 0
            self._ledger.note(watched.workspace_id, watched.use)

    def _is_used(self, stream: Stream, watched: _Watched, sent: int, seconds: float) -> bool:
        if watched.use is Use.SSH and self._settings.ssh_open_counts:
            return True
        if stream.has_terminal:
            return sent > 0
        rate = self._settings.heartbeat_rate
        watched.excess = max(0.0, watched.excess + sent - rate * seconds / _MINUTE)
        return watched.excess > rate * BURST
