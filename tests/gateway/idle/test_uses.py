"""What counts as use of a workspace, and what a page or a program does by itself."""

from dataclasses import dataclass

import pytest

from config.settings import IdleSettings
from gateway.idle.ledger import Ledger, Use
from gateway.idle.pulse import ANSWER_SECONDS, Pulse
from gateway.idle.uses import GREETING_SECONDS, LOOK_SECONDS, Uses
from tests.clock import Clock

RATE = IdleSettings().heartbeat_rate


@dataclass(eq=False)
class Carried:
    """A stream, as it is looked at."""

    pulse: Pulse
    data_bytes: int = 0
    typed_bytes: int = 0
    has_terminal: bool = False
    runs: int = 0

    def send(self, size: int) -> None:
        """The client sends so much of itself."""
        self.data_bytes += size
        self.typed_bytes += size

    def answer(self, size: int) -> None:
        """The workspace says something, and the client answers."""
        self.pulse.speak()
        self.data_bytes += size


@dataclass
class Scene:
    """One workspace, looked at as often as time passes."""

    clock: Clock
    ledger: Ledger
    uses: Uses

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds / LOOK_SECONDS)):
            self.clock.now += LOOK_SECONDS
            self.uses.look()

    @property
    def pulse(self) -> Pulse:
        """Of the workspace, for one person."""
        return self.uses.find_pulse("993", 7)

    def tunnel(self) -> Carried:
        """A WebSocket that has said hello."""
        stream = Carried(self.pulse)
        self.uses.open_tunnel(stream, "993")
        self.pass_time(GREETING_SECONDS)
        return stream

    @property
    def use(self) -> Use | None:
        last = self.ledger.get("993")
        return last.use if last else None


def scene(**settings: object) -> Scene:
    clock = Clock()
    ledger = Ledger(clock)
    return Scene(clock, ledger, Uses(IdleSettings.model_validate(settings), ledger))


def test_a_websocket_that_is_open_is_no_use() -> None:
    played = scene()
    played.tunnel()
    played.pass_time(3600)

    assert played.use is None


def test_what_a_websocket_says_when_it_is_opened_is_no_use() -> None:
    """A page that lost its connection opens another one, whoever is there."""
    played = scene()
    stream = Carried(played.pulse)
    played.uses.open_tunnel(stream, "993")
    stream.send(100 * RATE)
    played.pass_time(3600)

    assert played.use is None


def test_a_heartbeat_below_the_rate_is_no_use() -> None:
    """However long it goes on."""
    played = scene()
    stream = played.tunnel()
    for _ in range(600):
        stream.send(RATE // 4)
        played.pass_time(15)

    assert played.use is None


def test_a_heartbeat_may_come_all_at_once() -> None:
    """Half a minute's worth in one burst, every minute."""
    played = scene()
    stream = played.tunnel()
    for _ in range(60):
        stream.send(RATE // 2)
        played.pass_time(60)

    assert played.use is None


def test_more_than_the_rate_is_use() -> None:
    played = scene()
    stream = played.tunnel()
    stream.send(2 * RATE)
    played.pass_time(60)

    assert played.use is Use.WEBSOCKET


def test_many_idle_pages_are_no_person() -> None:
    """Each is judged by itself."""
    played = scene()
    streams = [played.tunnel() for _ in range(20)]
    for _ in range(60):
        for stream in streams:
            stream.send(RATE // 2)
        played.pass_time(60)

    assert played.use is None


def test_answering_output_is_no_use() -> None:
    """A terminal that runs on while nobody watches: the page says of each part that it was shown."""
    played = scene()
    stream = played.tunnel()
    for _ in range(100):
        for _ in range(15):
            played.clock.now += 1
            stream.answer(10 * RATE)
        played.uses.look()

    assert played.use is None


def test_where_output_never_pauses_whatever_is_sent_counts() -> None:
    """Nobody can tell an answer from a key then, and a workspace is not taken from somebody who works."""
    played = scene()
    stream = played.tunnel()
    for _ in range(round(15 / ANSWER_SECONDS * 2)):
        played.clock.now += ANSWER_SECONDS / 2
        stream.answer(RATE)
    played.uses.look()

    assert played.use is Use.WEBSOCKET


def test_what_was_typed_last_counts_when_a_websocket_ends() -> None:
    played = scene()
    stream = played.tunnel()
    stream.send(10 * RATE)
    played.uses.close(stream)

    assert played.use is Use.WEBSOCKET


def test_a_login_by_ssh_is_use() -> None:
    played = scene()
    played.uses.open_ssh(Carried(played.pulse), "993")

    assert played.use is Use.SSH


@pytest.mark.parametrize(("counts", "idle"), [(False, 3600), (True, 0)])
def test_an_open_ssh_connection_is_use_only_if_a_setting_says_so(*, counts: bool, idle: float) -> None:
    played = scene(ssh_open_counts=counts)
    played.uses.open_ssh(Carried(played.pulse, has_terminal=True), "993")
    played.pass_time(3600)

    assert played.ledger.idle("993") == idle


def test_a_single_key_in_a_terminal_over_ssh_is_use() -> None:
    """A terminal sends nothing by itself."""
    played = scene()
    stream = Carried(played.pulse, has_terminal=True)
    played.uses.open_ssh(stream, "993")
    played.pass_time(3600)
    stream.send(1)
    played.pass_time(LOOK_SECONDS)

    assert played.ledger.idle("993") == 0


def test_a_command_over_a_shared_ssh_connection_is_use() -> None:
    """Which nobody logs in for, and which may be sent nothing."""
    played = scene()
    stream = Carried(played.pulse)
    played.uses.open_ssh(stream, "993")
    played.pass_time(3600)
    stream.runs += 1
    played.pass_time(LOOK_SECONDS)

    assert played.ledger.idle("993") == 0


def test_an_editor_left_alone_over_ssh_is_no_use() -> None:
    """Its heartbeats are data, but it has no terminal."""
    played = scene()
    stream = Carried(played.pulse)
    played.uses.open_ssh(stream, "993")
    for _ in range(60):
        stream.send(RATE // 2)
        played.pass_time(60)

    assert played.ledger.idle("993") == 3600


def test_a_page_that_polls_is_no_use() -> None:
    played = scene(polls_per_minute=60)
    for _ in range(600):
        for _ in range(59):
            played.uses.polls["993"] += 1
        played.pass_time(60)

    assert played.use is None


def test_many_requests_in_a_minute_are_use() -> None:
    played = scene(polls_per_minute=60)
    for _ in range(61):
        played.uses.polls["993"] += 1
    played.pass_time(60)

    assert played.use is Use.REQUEST


def test_a_page_that_is_opened_is_use_at_once() -> None:
    played = scene()
    played.uses.act("993")

    assert played.ledger.idle("993") == 0
