"""What operators read about all workspaces."""

import json

import pytest

from gateway.idle.ledger import Use
from gateway.idle.standing import Standing, describe, merge_reports, render_report
from routing.model import Workspace, WorkspaceState


def workspace(number: str) -> Workspace:
    return Workspace(number, f"uid-{number}", f"apple-{number}", "ns", "1", WorkspaceState.RUNNING, None)


async def test_a_report_begins_with_what_was_unused_for_longest() -> None:
    """And says what becomes of it."""
    report = await render_report(
        [
            (workspace("1"), Standing(idle=60.4, use=Use.SSH, timeout=0)),
            (workspace("2"), Standing(idle=600, use=Use.NOTHING, timeout=1800, problem="GitLab is away")),
        ]
    )

    assert json.loads(report)["workspaces"] == [
        {
            "id": "2",
            "workspace": "apple-2",
            "namespace": "ns",
            "idle_seconds": 600,
            "last_use": None,
            "timeout_seconds": 1800,
            "stops_in_seconds": 1200,
            "problem": "GitLab is away",
        },
        {
            "id": "1",
            "workspace": "apple-1",
            "namespace": "ns",
            "idle_seconds": 60,
            "last_use": "ssh",
            "timeout_seconds": None,
            "stops_in_seconds": None,
            "problem": None,
        },
    ]


async def test_of_several_workers_whoever_saw_the_last_use_is_believed() -> None:
    """Nothing that only one of them knows is lost."""
    one = await render_report(
        [(workspace("1"), Standing(60, Use.SSH, 0)), (workspace("2"), Standing(900, Use.NOTHING, 1800))]
    )
    other = await render_report([(workspace("2"), Standing(30, Use.REQUEST, 1800))])

    merged = json.loads(await merge_reports([one, other]))["workspaces"]

    assert [(each["id"], each["idle_seconds"], each["last_use"]) for each in merged] == [
        ("1", 60, "ssh"),
        ("2", 30, "request"),
    ]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "0 s"),
        (40.4, "40 s"),
        (60, "1 min"),
        (59 * 60 + 31, "1 h"),
        (125 * 60, "2 h 5 min"),
        (24 * 3600, "1 d"),
        (76 * 3600, "3 d 4 h"),
    ],
)
def test_a_time_is_said_as_people_say_it(seconds: float, said: str) -> None:
    assert describe(seconds) == said
