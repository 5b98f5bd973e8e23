"""Binding the sockets of the listeners."""

import errno

import pytest

from gateway.listening import CannotListen, bind, close


def test_a_taken_port_is_said_with_listener_address_and_reason() -> None:
    """So that an operator knows which of the three it was."""
    sockets = bind("SSH", "127.0.0.1", 0)
    port = sockets[0].getsockname()[1]
    with pytest.raises(CannotListen) as told:
        bind("HTTP", "127.0.0.1", port)
    close(sockets)

    assert told.value.strerror == f"HTTP cannot listen on 127.0.0.1:{port}: Address already in use"
    assert told.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize("address", ["192.0.2.1", "no address"])
def test_an_address_that_is_not_ours_is_said(address: str) -> None:
    """192.0.2.0/24 is nobody's (RFC 5737)."""
    with pytest.raises(CannotListen, match=f"HTTP cannot listen on {address}:0"):
        bind("HTTP", address, 0)


def test_shared_sockets_may_have_the_same_port() -> None:
    """One for each worker."""
    first = bind("HTTP", "127.0.0.1", 0, is_shared=True)
    second = bind("HTTP", "127.0.0.1", first[0].getsockname()[1], is_shared=True)

    assert first[0].getsockname() == second[0].getsockname()
    close((*first, *second))


def test_no_address_means_every_interface() -> None:
    """IPv4 clients show up with IPv4 addresses, so that is a socket of its own."""
    sockets = bind("HTTP", "", 0)

    assert sockets[0].getsockname()[0] == "0.0.0.0"  # noqa: S104 - what is tested
    assert all(sock.getsockname()[0] == "::" for sock in sockets[1:])
    close(sockets)
