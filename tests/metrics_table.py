"""The table of all metrics in the README, made from the code: `make metrics-table` renews it.

Between two marks, and nothing else of the file is touched.
"""

from pathlib import Path

from gateway.telemetry.catalogue import PREFIX, Described
from gateway.telemetry.metrics import Metrics

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- metrics: `make metrics-table` writes what follows -->", "<!-- end of metrics -->"


def render_table() -> str:
    """Every metric as a row of Markdown, in the order in which the code lists them."""
    rows = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    rows += [_row(metric) for metric in Metrics().catalogue.described]
    return "\n".join(rows)


def renew(readme: str) -> str:
    """The README with the table as it should be."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{render_table()}\n\n{END}{after}"


def _row(metric: Described) -> str:
    name = metric.name.removeprefix(PREFIX)
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{name}` | {metric.kind} | {labels} | {metric.text.replace('|', '&#124;')} |"


if __name__ == "__main__":
    README.write_text(renew(README.read_text()))
