"""A port is as open as the strictest word about it."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.model import Visibility
from auth.visibility import effective_visibility
from config.section import Level
from config.settings import VisibilityRule, VisibilitySettings

OPEN = VisibilitySettings()
LEVELS: list[Level] = ["private", "internal", "public"]


@dataclass(frozen=True)
class Port:
    workspace_id: str = "993"
    agent_id: str = "1"
    namespace: str = "gl-rd-ns-a"
    port: int = 3000
    port_name: str = "http-3000"
    declared: str = "public"


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("private", Visibility.PRIVATE),
        ("internal", Visibility.INTERNAL),
        ("public", Visibility.PUBLIC),
        ("", Visibility.PRIVATE),
        ("Public", Visibility.PRIVATE),
        (" public", Visibility.PRIVATE),
        ("public\n", Visibility.PRIVATE),
        ("everyone", Visibility.PRIVATE),
        ("2", Visibility.PRIVATE),
        ("null", Visibility.PRIVATE),
    ],
)
def test_only_known_words_open_a_port(declared: str, expected: Visibility) -> None:
    """What the gateway does not understand is private."""
    assert effective_visibility(Port(declared=declared), OPEN) == expected


@pytest.mark.parametrize(
    "port",
    [
        Port(port_name="editor-server"),
        Port(port=60001),
        Port(port_name="editor-server", port=8080),
        Port(port_name="ssh-server"),
        Port(port=60022),
    ],
)
def test_editor_and_ssh_are_private_for_ever(port: Port) -> None:
    """No declaration and no policy opens the ports that have no lock of their own."""
    assert effective_visibility(port, OPEN) == Visibility.PRIVATE


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (VisibilityRule(agent_id="1", max="internal"), Visibility.INTERNAL),
        (VisibilityRule(agent_id="2", max="internal"), Visibility.PUBLIC),
        (VisibilityRule(namespace="gl-rd-*", max="private"), Visibility.PRIVATE),
        (VisibilityRule(namespace="GL-rd-*", max="private"), Visibility.PUBLIC),
        (VisibilityRule(namespace="gl-rd", max="private"), Visibility.PUBLIC),
        (VisibilityRule(agent_id="1", namespace="other", max="private"), Visibility.PUBLIC),
        (VisibilityRule(agent_id="1", namespace="*", max="private"), Visibility.PRIVATE),
    ],
)
def test_a_rule_caps_what_it_matches(rule: VisibilityRule, expected: Visibility) -> None:
    """A rule counts when everything it names matches, letter by letter."""
    assert effective_visibility(Port(), VisibilitySettings(rules=(rule,))) == expected


@given(st.sampled_from(LEVELS), st.sampled_from(LEVELS), st.lists(st.sampled_from(LEVELS), max_size=4))
def test_the_lowest_word_wins(declared: Level, most: Level, caps: list[Level]) -> None:
    """The order of rules never matters, and nothing raises a level."""
    rules = tuple(VisibilityRule(agent_id="1", max=cap) for cap in caps)
    expected = min(LEVELS.index(level) for level in (declared, most, *caps))

    assert effective_visibility(Port(declared=declared), VisibilitySettings(max=most, rules=rules)) == expected
