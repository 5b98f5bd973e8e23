"""The command line is read as Go's flag package reads it."""

import pytest

from config.flags import Flags


@pytest.mark.parametrize(
    "arguments",
    [
        ["-auth-host", "x"],
        ["--auth-host", "x"],
        ["-auth-host=x"],
        ["--auth-host=x"],
        ["--auth-host", " x "],
        ["--auth-host=y", "--auth-host=x"],
    ],
)
def test_flag_has_four_spellings(arguments: list[str]) -> None:
    """One dash or two, a space or an equals sign: it is the same flag, and its last value counts."""
    flags = Flags(arguments)

    assert (flags.texts, flags.faults) == ({"auth.host": "x"}, [])


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["--http-enabled"], {"http.enabled": "true"}),
        (["-http-enabled=false"], {"http.enabled": "false"}),
        (["--http-enabled", "--http-port", "1"], {"http.enabled": "true", "http.port": "1"}),
    ],
)
def test_switch_takes_its_value_after_an_equals_sign_only(arguments: list[str], texts: dict[str, str]) -> None:
    """A bare switch is true and leaves the next argument alone."""
    flags = Flags(arguments)

    assert (flags.texts, flags.faults) == (texts, [])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--auth-signing-key", "--dashes"], "--dashes"),
        (["--auth-signing-key=a=b=c"], "a=b=c"),
        (["--auth-signing-key", "a=b"], "a=b"),
        (["--auth-signing-key="], ""),
    ],
)
def test_value_may_look_like_anything(arguments: list[str], text: str) -> None:
    """A value is taken as it stands, with dashes and equals signs."""
    assert Flags(arguments).texts == {"auth.signing_key": text}


@pytest.mark.parametrize("arguments", [["--config", "a.yaml"], ["-config=a.yaml"], ["--config=b", "-config", "a.yaml"]])
def test_config_names_the_settings_file(arguments: list[str]) -> None:
    """The one flag that is no setting names the file."""
    flags = Flags(arguments)

    assert (flags.config, flags.texts, flags.faults) == ("a.yaml", {}, [])


NO_FLAG = "is not a flag; a switch is written --http-enabled=false, the settings file --config FILE"


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["--auth-hots", "x"], ["flag --auth-hots: is unknown; did you mean --auth-host?"]),
        (["--auth-hots=x", "y"], ["flag --auth-hots: is unknown; did you mean --auth-host?", f"argument 2: {NO_FLAG}"]),
        (["-port=1"], ["flag --port: is unknown; did you mean --ssh-port?"]),
        (["--colour"], ["flag --colour: is unknown"]),
        (["--auth_host=x"], ["flag --auth_host: is unknown; did you mean --auth-host?"]),
        (["--http-enabled", "false"], [f"argument 2: {NO_FLAG}"]),
        (["gateway.yaml"], [f"argument 1: {NO_FLAG}"]),
        (["--"], [f"argument 1: {NO_FLAG}"]),
        (["-"], [f"argument 1: {NO_FLAG}"]),
        ([""], [f"argument 1: {NO_FLAG}"]),
        (["--=x"], [f"argument 1: {NO_FLAG}"]),
        (["--auth-host"], ["flag --auth-host: needs a value"]),
        (["--config"], ["flag --config: needs a value"]),
        (["--config="], ["flag --config: needs a value"]),
    ],
)
def test_fault_names_the_flag_or_its_place(arguments: list[str], lines: list[str]) -> None:
    """A fault names the flag, or the number of an argument that is none and may be a part of a secret."""
    assert [str(fault) for fault in Flags(arguments).faults] == lines
