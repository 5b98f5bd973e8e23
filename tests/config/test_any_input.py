"""Whatever is written, what is wrong with it is a fault and never another exception."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from config.faults import SettingsError
from config.file import SettingsFile
from config.layers import Layers
from config.load import load_settings
from config.names import describe_settings

NAMES = describe_settings()
WORDS = st.one_of(
    st.text(st.characters(), max_size=30), st.sampled_from(["", ",", "0", "true", "[", "[{}]", "\udcff", "\0"])
)
SCALARS = st.one_of(st.none(), WORDS)
KEYS = st.sampled_from([str(name.keys[-1]) for name in NAMES] + ["max", "colour"])
TREES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6))


@settings(deadline=None)
@given(st.text(max_size=200))
@example("\ud800")
@example("? [a]\n: b")
@example("<<: {a: b}")
@example("=: 1")
@example("a: !!python/object:os.system b")
def test_any_text_is_a_file_or_a_fault(text: str) -> None:
    """A file of arbitrary text has a tree, or exactly the fault of having none."""
    file = SettingsFile("gateway.yaml", text)

    assert file.tree is not None or len(file.faults) == 1


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([name.env for name in NAMES]), WORDS))
def test_any_environment_is_an_error_in_lines(environ: dict[str, str]) -> None:
    """Variables without sense end in a SettingsError whose faults have a line each."""
    with pytest.raises(SettingsError) as caught:
        load_settings([], environ)

    assert len(str(caught.value).splitlines()) == len(caught.value.faults)


@settings(deadline=None)
@given(st.lists(st.one_of(WORDS, st.sampled_from([name.flag for name in NAMES]))))
def test_any_command_line_is_an_error_in_lines(argv: list[str]) -> None:
    """Arguments without sense end in a SettingsError whose faults have a line each."""
    with pytest.raises(SettingsError) as caught:
        load_settings(argv, {})

    assert len(str(caught.value).splitlines()) == len(caught.value.faults)


@settings(deadline=None)
@given(st.dictionaries(KEYS | st.sampled_from(["auth", "http", "ssh", "routing", "visibility"]), TREES))
def test_any_tree_is_judged(tree: dict[str, object]) -> None:
    """Whatever stands in the place of a group or a value becomes a fault of one line."""
    result, faults = Layers(tree, {}).check()

    assert result is None or faults
    assert all("\n" not in str(fault) for fault in faults)
