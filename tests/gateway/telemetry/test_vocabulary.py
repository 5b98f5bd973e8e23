"""The words of the log, in every call that logs."""

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from gateway.telemetry.vocabulary import EVENTS, FIELDS

ROOT = Path(__file__).parents[3]
_LEVELS = {"debug", "info", "warning", "error", "exception"}
_LOGGERS = ("log", "_log")
_PASSED_ON = {"note", "_note", "_pass_on"}
"""Names of functions that take an event with its facts and log it."""


def words(source: str) -> Iterator[tuple[int, str, str]]:
    """Every word that a module logs with: its line, its kind and itself."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
            yield from _words(node)


def _words(call: ast.Call) -> Iterator[tuple[int, str, str]]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
    receiver = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    is_log = receiver.split(".")[-1] in _LOGGERS and name in {*_LEVELS, "bind"}
    if not is_log and name not in _PASSED_ON and name not in _LOGGERS:
        return
    if call.args and isinstance(call.args[0], ast.Constant) and "." in str(call.args[0].value):
        yield call.lineno, "event", str(call.args[0].value)
    for keyword in call.keywords:
        if keyword.arg is not None:
            yield call.lineno, "field", keyword.arg


def strange(source: str) -> list[str]:
    """What of it is not in the vocabulary."""
    known = {"event": EVENTS, "field": FIELDS}
    return [f"line {line}: the {kind} {word} is new" for line, kind, word in words(source) if word not in known[kind]]


MODULES = sorted(path for path in (ROOT / "gateway").rglob("*.py") if "demo" not in path.parts)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_word_that_is_logged_is_known(path: Path) -> None:
    """A new event or field has its meaning in the vocabulary; perhaps there is a name for it already."""
    assert strange(path.read_text()) == []


def test_no_word_is_left_over() -> None:
    """What nothing logs any more is no word."""
    text = "\n".join(path.read_text() for path in MODULES if path.name != "vocabulary.py")
    unused = [word for word in (*EVENTS, *FIELDS) if f'"{word}"' not in text and f"{word}=" not in text]

    assert [word for word in unused if not word.startswith("watch.")] == []  # made from the state of a watch


def test_the_readme_has_every_event() -> None:
    """By its name, or by a pattern for several; and no pattern that is for none."""
    section = (ROOT / "README.md").read_text().partition("### The log\n")[2].partition("**Traces.**")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    patterns = [pattern for row in rows for pattern in re.findall(r"`([^`]+)`", row)]

    assert [event for event in EVENTS if not any(fnmatch(event, pattern) for pattern in patterns)] == []
    assert [pattern for pattern in patterns if not any(fnmatch(event, pattern) for event in EVENTS)] == []


@pytest.mark.parametrize(
    "source",
    [
        'log.info("some.event")',
        'self._log.warning("ssh.closed", addr=1)',
        'parts.log.exception("other.event", client="")',
        "self._log = self._log.bind(peer=1)",
        'self._note("audit.other", type=1)',
        'log("ssh.closed", why="")',
    ],
)
def test_a_strange_word_is_found(source: str) -> None:
    """Wherever it stands."""
    assert len(strange(source)) == 1


@pytest.mark.parametrize("source", ['log.info("ssh.closed", seconds=1)', 'print("some.event", end="")', "math.log(1)"])
def test_what_is_known_or_logs_nothing_passes(source: str) -> None:
    """Other calls have words of their own."""
    assert strange(source) == []
