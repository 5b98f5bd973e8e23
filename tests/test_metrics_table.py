"""The table of metrics that people read is the one that the code has."""

from gateway.telemetry.catalogue import PREFIX
from tests.metrics_table import BEGIN, END, README, render_table, renew


def test_the_readme_lists_every_metric() -> None:
    """As it is: `make metrics-table` renews the table after a change."""
    assert render_table() in README.read_text(), "the README's table of metrics is old: make metrics-table"


def test_only_the_table_is_renewed() -> None:
    """Whatever stands around it."""
    assert (
        renew(f"before\n{BEGIN}\n\n| old |\n\n{END}\nafter\n")
        == f"before\n{BEGIN}\n\n{render_table()}\n\n{END}\nafter\n"
    )


def test_a_row_says_what_there_is_to_know() -> None:
    """The name without what all of them begin with, the kind, the labels and the meaning."""
    row = "| `wakes_total` | counter | `way`, `result` | Owners who wanted a stopped workspace to run. |"

    assert row in render_table().splitlines()
    assert PREFIX not in render_table()
