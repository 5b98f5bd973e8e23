"""A real editor, recorded: left alone it is no use of its workspace, and the slowest typist is."""

import asyncio
import csv
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from config.settings import IdleSettings
from gateway.http.tunnel import Tunnel
from gateway.idle.ledger import Ledger
from gateway.idle.uses import LOOK_SECONDS, Uses
from tests.clock import Clock

EDITOR = Path(__file__).parent / "recordings" / "editor.csv"
OPCODES = {"continuation": 0, "text": 1, "binary": 2, "close": 8, "ping": 9, "pong": 10}
NUMBER = "993"


@dataclass(frozen=True)
class Moment:
    """One line of a recording."""

    seconds: float
    connection: str
    """Empty where a part begins."""
    direction: str
    kind: str
    size: int


class Nowhere(asyncio.Transport):
    """Takes what is written to it."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Gone."""


def read_part(name: str) -> list[Moment]:
    """What was recorded from the beginning of a part to that of the next, counted from its beginning."""
    with EDITOR.open(newline="") as file:
        moments = [
            Moment(float(row["seconds"]), row["connection"], row["direction"], row["kind"], int(row["size"] or 0))
            for row in csv.DictReader(file)
        ]
    begun = itertools.dropwhile(lambda moment: moment.connection or moment.kind != name, moments)
    first = next(begun)
    part = itertools.takewhile(lambda moment: moment.connection, begun)
    return [
        Moment(each.seconds - first.seconds, each.connection, each.direction, each.kind, each.size) for each in part
    ]


def frame(kind: str, size: int) -> bytes:
    """A frame of this size, without its content."""
    return (bytes((0x80 | OPCODES[kind], 0x80 | max(0, min(125, size - 6)))) + bytes(size))[:size]


class Replay:
    """An editor whose sockets have been open for long, on a clock that the recording moves."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.ledger = Ledger(self.clock)
        self.uses = Uses(IdleSettings(), self.ledger)
        self._tunnels: dict[str, Tunnel] = {}
        self._next_look = 0.0

    def open(self, connections: set[str]) -> None:
        """Let them say hello first."""
        for connection in connections:
            tunnel = Tunnel(
                Nowhere(),
                Nowhere(),
                pulse=self.uses.find_pulse(NUMBER, 7),
                closed=lambda _up, _down: None,
                client_lost=lambda: None,
                workspace_lost=lambda: None,
            )
            self._tunnels[connection] = tunnel
            self.uses.open_tunnel(tunnel, NUMBER)
        self.clock.now += 120
        self.uses.look()
        self.ledger.begin(NUMBER)
        self._next_look = self.clock.now + LOOK_SECONDS

    def play(self, moments: list[Moment]) -> None:
        """Everything in its time, with looks in between."""
        start = self.clock.now
        for moment in moments:
            self._wait(start + moment.seconds)
            tunnel = self._tunnels[moment.connection]
            end = tunnel._client if moment.direction == "client" else tunnel._workspace
            end.data_received(frame(moment.kind, moment.size))

    def _wait(self, until: float) -> None:
        while self._next_look <= until:
            self.clock.now = self._next_look
            self.uses.look()
            self._next_look += LOOK_SECONDS
        self.clock.now = until

    @property
    def idle(self) -> float:
        return self.ledger.idle(NUMBER) or 0.0


def repeated(moments: list[Moment], times: int) -> Iterator[list[Moment]]:
    return itertools.repeat(moments, times)


@pytest.mark.parametrize("part", ["left alone", "output that nobody watches"])
def test_an_editor_that_is_left_alone_is_no_use(part: str) -> None:
    """All night, with what it was recorded to send in some minutes again and again."""
    moments, replay = read_part(part), Replay()
    replay.open({moment.connection for moment in moments})
    begun, minutes = replay.clock.now, moments[-1].seconds / 60

    for again in repeated(moments, round(8 * 60 / minutes)):
        replay.play(again)

    assert replay.idle == replay.clock.now - begun > 7 * 3600


@pytest.mark.parametrize("part", ["typing in a file", "typing in the terminal"])
def test_somebody_who_presses_a_key_every_other_second_is_noticed_within_a_minute(part: str) -> None:
    moments, replay = read_part(part), Replay()
    replay.open({moment.connection for moment in moments})
    begun = replay.clock.now

    replay.play([moment for moment in moments if moment.seconds < 60])

    assert replay.idle < replay.clock.now - begun


def test_the_recording_is_of_an_editor_that_says_something() -> None:
    """A replay of nothing would prove nothing."""
    sent = [moment for moment in read_part("left alone") if moment.direction == "client"]

    assert len(sent) > 100
    assert {moment.kind for moment in sent} <= set(OPCODES)
