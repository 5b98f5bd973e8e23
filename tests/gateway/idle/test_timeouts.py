"""How long a workspace may go unused, by every level that may say so."""

import pytest

from config.settings import IdleRule, IdleSettings
from gateway.idle.timeouts import find_timeout, parse_duration
from routing.model import Workspace, WorkspaceState

HOUR = 3600.0


def workspace(annotation: str = "") -> Workspace:
    return Workspace("993", "uid", "apple", "team-a-1", "42", WorkspaceState.RUNNING, None, idle_timeout=annotation)


RULES = (
    IdleRule(namespace="team-b-*", timeout=60),
    IdleRule(agent_id="42", namespace="team-a-*", timeout=2 * HOUR),
    IdleRule(agent_id="42", timeout=3 * HOUR),
)


@pytest.mark.parametrize(
    ("settings", "annotation", "seconds"),
    [
        (IdleSettings(), "", 0),
        (IdleSettings(timeout=HOUR), "", HOUR),
        (IdleSettings(timeout=HOUR, rules=RULES), "", 2 * HOUR),
        (IdleSettings(timeout=HOUR, rules=RULES[:1]), "", HOUR),
        (IdleSettings(timeout=HOUR, rules=RULES[2:]), "", 3 * HOUR),
        (IdleSettings(timeout=HOUR, rules=[IdleRule(agent_id="42", timeout=0)]), "", 0),
        (IdleSettings(), "30m", HOUR / 2),
        (IdleSettings(timeout=HOUR, rules=RULES), "30m", HOUR / 2),
        (IdleSettings(timeout=HOUR), "8h", 8 * HOUR),
        (IdleSettings(timeout=HOUR), "0", 0),
        (IdleSettings(timeout=HOUR, maximum=4 * HOUR), "8h", 4 * HOUR),
        (IdleSettings(timeout=HOUR, maximum=4 * HOUR), "0", 4 * HOUR),
        (IdleSettings(timeout=HOUR, maximum=4 * HOUR), "2h", 2 * HOUR),
        (IdleSettings(maximum=4 * HOUR), "", 4 * HOUR),
        (IdleSettings(maximum=HOUR, rules=RULES), "", HOUR),
    ],
    ids=[
        "off by default",
        "instance",
        "the first rule that matches wins over the instance",
        "a rule for others counts for nothing",
        "agent",
        "a rule may say never",
        "the annotation alone",
        "the annotation wins over a rule",
        "the annotation may be longer",
        "the annotation may say never",
        "an annotation stays within the maximum",
        "never is beyond a maximum",
        "an annotation below the maximum counts",
        "a maximum is for everybody",
        "a rule stays within the maximum",
    ],
)
def test_the_narrowest_word_counts_within_the_maximum(settings: IdleSettings, annotation: str, seconds: float) -> None:
    assert find_timeout(workspace(annotation), settings).seconds == seconds


@pytest.mark.parametrize(
    ("text", "seconds"), [("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("90s", 90), ("1d", 86_400), ("0", 0)]
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "30", "-1h", "1.5h", "m", "1h 30m", "30m1h", "soon", "0m", "10s", "٣h", "1h\n", "99999999999999h"]
)
def test_what_is_no_duration_falls_back_to_the_level_above_and_is_remarked(text: str) -> None:
    """But for nothing, which says nothing."""
    found = find_timeout(workspace(text), IdleSettings(timeout=HOUR))

    assert found.seconds == HOUR
    assert bool(found.remark) == bool(text)
