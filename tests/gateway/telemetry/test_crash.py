"""Exceptions as the log tells them."""

import errno

import pytest

from gateway.telemetry.crash import describe_crash

NOTHING: dict[str, str] = {}


def raised(exc: BaseException, cause: BaseException | None = None) -> BaseException:
    """The exception with the place where it was raised."""
    with pytest.raises(type(exc)) as caught:
        raise exc from cause
    return caught.value


def test_kind_and_place_are_told_and_no_text() -> None:
    """Whatever the text says."""
    told = describe_crash(raised(KeyError("glpat-secret")))

    assert told.startswith("KeyError in raised (")
    assert "gateway/telemetry/test_crash.py:" in told
    assert "secret" not in told


def test_causes_follow() -> None:
    """Those that were given, and those that were being handled."""
    told = describe_crash(raised(RuntimeError("secret"), raised(ValueError("secret"))))
    assert told.startswith("RuntimeError in raised (")
    assert "; because of ValueError in raised (" in told
    assert "secret" not in told

    with pytest.raises(KeyError) as caught:
        _fail_twice()
    assert "; because of ValueError in " in describe_crash(caught.value)


def _fail_twice() -> None:
    try:
        int("secret")
    except ValueError:
        NOTHING["secret"]


def test_a_fault_of_the_system_is_told_by_its_number() -> None:
    """Which says what is wrong, and holds nothing else."""
    assert describe_crash(OSError(errno.ENOSPC, "secret", "/secret")) == "OSError ENOSPC"
    assert describe_crash(OSError("secret")) == "OSError"


def test_a_group_tells_all_its_members() -> None:
    """As task groups raise them."""
    group = ExceptionGroup("secret", [ValueError("secret"), TimeoutError()])

    assert describe_crash(group) == "ExceptionGroup of [ValueError, TimeoutError]"


def test_a_deep_recursion_is_told_by_its_innermost_lines() -> None:
    """A thousand lines say no more than twelve."""

    def fall() -> None:
        fall()

    with pytest.raises(RecursionError) as caught:
        fall()

    assert describe_crash(caught.value).count("fall (") == 12


def test_a_chain_that_is_a_ring_has_an_end() -> None:
    """Nothing keeps a cause from being its own."""
    first, second = ValueError(), KeyError()
    first.__context__, second.__context__ = second, first

    assert describe_crash(first).count("ValueError") == 4
