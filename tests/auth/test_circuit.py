"""A GitLab that fails is spared, asked by one now and then, and not run over when it is back."""

import pytest

from auth.circuit import (
    COMING_BACK,
    FAILURES,
    FAILURES_OF_ONE,
    FIRST_PAUSE,
    JITTER,
    LONGEST_PAUSE,
    LONGEST_SPREAD,
    ROOM,
    Circuit,
)
from auth.model import GitLabUnavailable
from tests.clock import Clock


def make(dice: float = 0.5) -> tuple[Circuit, Clock]:
    """A circuit on a clock that a test moves, with dice that always show the same."""
    clock = Clock()
    return Circuit(clock, lambda: dice), clock


def fail(circuit: Circuit, *askers: str, retry_after: float = 0) -> None:
    for asker in askers:
        circuit.note_failure(circuit.openings, asker, retry_after)


def answer(circuit: Circuit, opening: int, asker: str = "ada", *, is_known: bool = True) -> None:
    circuit.note_answer(opening, asker, is_known=is_known)


def is_open_to(circuit: Circuit, asker: str) -> bool:
    try:
        circuit.check(asker)
    except GitLabUnavailable:
        return False
    return True


def open_circuit(circuit: Circuit) -> None:
    fail(circuit, *(f"asker {number}" for number in range(FAILURES)))


def test_failures_in_a_row_of_different_askers_open_it() -> None:
    """And not one less."""
    circuit, _ = make()
    fail(circuit, "ada", "grace")
    assert is_open_to(circuit, "ada")

    fail(circuit, "joan")
    assert not is_open_to(circuit, "ada")


def test_an_answer_in_between_begins_the_count_again() -> None:
    """Some questions fail at any GitLab."""
    circuit, _ = make()
    for _ in range(10):
        fail(circuit, "ada", "grace")
        answer(circuit, circuit.openings)

    assert is_open_to(circuit, "ada")


def test_one_persons_poisoned_question_shuts_out_nobody() -> None:
    """Who makes GitLab stumble over what they own cannot shut out the others by asking again and again."""
    circuit, _ = make()
    fail(circuit, *["mallory"] * (FAILURES_OF_ONE - 1))
    assert is_open_to(circuit, "ada")

    fail(circuit, "mallory")
    assert not is_open_to(circuit, "ada")


def test_a_pause_doubles_with_each_failure_up_to_a_limit() -> None:
    """A probe that fails opens it again at once."""
    circuit, clock = make()
    open_circuit(circuit)
    pauses = []
    for _ in range(7):
        began = clock.now
        while not is_open_to(circuit, "probe"):
            clock.now += 0.25
        pauses.append(clock.now - began)
        fail(circuit, "probe")

    assert pauses == [FIRST_PAUSE, 2, 4, 8, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]


@pytest.mark.parametrize(("dice", "pause"), [(0, 1 - JITTER), (1, 1 + JITTER)])
def test_replicas_do_not_probe_in_step(dice: float, pause: float) -> None:
    """The dice move a pause by a quarter either way."""
    circuit, clock = make(dice)
    open_circuit(circuit)

    clock.now += pause - 0.01
    assert not is_open_to(circuit, "probe")
    clock.now += 0.02
    assert is_open_to(circuit, "probe")


def test_a_gitlab_that_names_the_time_is_left_alone_until_then() -> None:
    """Retry-After of a 503."""
    circuit, clock = make()
    fail(circuit, "ada", "grace", "joan", retry_after=120)

    clock.now += 119
    assert not is_open_to(circuit, "probe")
    clock.now += 2
    assert is_open_to(circuit, "probe")


def test_each_answer_makes_room_for_one_more() -> None:
    """After a pause one asks; what others said before it says nothing."""
    circuit, clock = make()
    before = circuit.openings
    open_circuit(circuit)
    clock.now += FIRST_PAUSE
    answer(circuit, before)
    assert (circuit.room, circuit.is_probing) == (1, True)

    rooms = []
    for _ in range(ROOM + 5):
        answer(circuit, circuit.openings)
        rooms.append(circuit.room)
    assert rooms == [*range(2, ROOM + 1), *[ROOM] * 6]


def test_a_failure_from_before_the_opening_says_nothing() -> None:
    """Fifty questions that hang and end together are one outage and one pause."""
    circuit, clock = make()
    before = circuit.openings
    open_circuit(circuit)
    for number in range(ROOM):
        circuit.note_failure(before, f"late {number}", 0)

    clock.now += FIRST_PAUSE
    assert is_open_to(circuit, "probe")


def test_a_gitlab_that_stumbles_again_while_it_comes_back_is_spared_for_longer() -> None:
    """Only one that got as far as all its room begins with the first pause again."""
    circuit, clock = make()
    open_circuit(circuit)
    clock.now += FIRST_PAUSE
    answer(circuit, circuit.openings)
    open_circuit(circuit)

    clock.now += FIRST_PAUSE
    assert not is_open_to(circuit, "probe")
    clock.now += FIRST_PAUSE
    for _ in range(ROOM):
        answer(circuit, circuit.openings)
    open_circuit(circuit)
    clock.now += FIRST_PAUSE
    assert is_open_to(circuit, "probe")


def test_who_asks_too_much_is_the_only_one_who_has_to_wait() -> None:
    """A 429 is about one person's rate, for as long as GitLab says."""
    circuit, clock = make()
    circuit.note_limited(circuit.openings, "mallory", 60)

    with pytest.raises(GitLabUnavailable) as caught:
        circuit.check("mallory")
    assert caught.value.retry_after == 60
    assert is_open_to(circuit, "ada")
    clock.now += 60
    assert is_open_to(circuit, "mallory")


def test_a_gitlab_that_tells_everybody_to_slow_down_is_asked_by_one_at_a_time() -> None:
    """And by none of them twice; who is told so cannot shut out the next one."""
    circuit, _ = make()
    for number in range(FAILURES_OF_ONE):
        answer(circuit, circuit.openings, f"asker {number}")
    for number in range(FAILURES_OF_ONE):
        circuit.note_limited(circuit.openings, f"asker {number}", 60)

    assert circuit.is_probing
    assert not is_open_to(circuit, "asker 3")
    assert is_open_to(circuit, "ada")


def test_strangers_who_are_told_to_slow_down_say_nothing_about_others() -> None:
    """Whom GitLab refused before is a stranger too."""
    circuit, _ = make()
    for number in range(FAILURES_OF_ONE):
        answer(circuit, circuit.openings, f"asker {number}", is_known=False)
    for number in range(2 * FAILURES_OF_ONE):
        circuit.note_limited(circuit.openings, f"asker {number}", 60)

    assert circuit.room == ROOM


def test_the_more_are_refused_the_further_they_are_spread() -> None:
    """A few come back soon, and ten thousand not all at once."""
    circuit, _ = make(dice=1)
    few = circuit.refuse("").retry_after
    many = [circuit.refuse("").retry_after for _ in range(10_000)]

    assert few == 2
    assert many[5000] == pytest.approx(5000 / COMING_BACK, abs=2)
    assert max(many) <= LONGEST_SPREAD + 1


def test_what_it_remembers_of_askers_is_bounded() -> None:
    """Whoever has a thousand tokens fills no memory."""
    circuit, _ = make()
    for number in range(20_000):
        circuit.note_limited(circuit.openings, f"asker {number}", 60)
        answer(circuit, circuit.openings, f"asker {number}")

    assert len(circuit._limited) <= 10_000
    assert len(circuit._known) <= 10_000
