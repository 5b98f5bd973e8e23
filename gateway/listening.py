"""Binds the sockets of the listeners, so that a port that cannot be had is one clear sentence for all of them."""

import errno
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from config.settings import Settings

_NO_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)  # a kernel without IPv6 still has IPv4
BACKLOG = 1024  # connections the kernel holds while the loop is busy: a burst of clients after an outage


class CannotListen(OSError):
    """An address cannot be listened on. The text says which listener, which address, and why."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """The sockets of one gateway process; none for a door that is off."""

    http: tuple[socket.socket, ...] = ()
    ssh: tuple[socket.socket, ...] = ()
    admin: tuple[socket.socket, ...] = ()


@contextmanager
def bind_listeners(settings: Settings) -> Iterator[Listeners]:
    """Sockets for every listener that is on, closed afterwards.

    Raises:
        CannotListen: if one of them cannot be had; then none is.
    """
    with bind_doors(settings) as doors:
        admin = bind("the admin listener", settings.admin.address, settings.admin.port)
        try:
            yield Listeners(doors.http, doors.ssh, admin)
        finally:
            close(admin)


@contextmanager
def bind_doors(settings: Settings, *, is_shared: bool = False) -> Iterator[Listeners]:
    """Sockets for the HTTP and the SSH door alone, closed afterwards."""
    http: tuple[socket.socket, ...] = ()
    ssh: tuple[socket.socket, ...] = ()
    try:
        if settings.http.enabled:
            http = bind("HTTP", settings.http.address, settings.http.port, is_shared=is_shared)
        if settings.ssh.enabled:
            ssh = bind("SSH", settings.ssh.address, settings.ssh.port, is_shared=is_shared)
        yield Listeners(http, ssh)
    finally:
        close((*http, *ssh))


def bind(listener: str, address: str, port: int, *, is_shared: bool = False) -> tuple[socket.socket, ...]:
    """Sockets bound to a port of one address, or of every interface where the address is empty.

    Shared sockets (SO_REUSEPORT) let several processes accept on the same port, each with sockets of its own.

    Raises:
        CannotListen: if the address is not ours or the port is taken.
    """
    bound: list[socket.socket] = []
    try:
        for family, where in _addresses(address):
            try:
                bound.append(_bind(family, where, port, is_shared=is_shared))
            except OSError as exc:
                if not bound or exc.errno not in _NO_FAMILY:
                    raise
    except OSError as exc:
        close(bound)
        reason = os.strerror(exc.errno) if exc.errno else str(exc)
        raise CannotListen(exc.errno, f"{listener} cannot listen on {address or '*'}:{port}: {reason}") from exc
    return tuple(bound)


def close(sockets: Sequence[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def _addresses(address: str) -> list[tuple[socket.AddressFamily, str]]:
    if address:
        return [(socket.AF_INET6 if ":" in address else socket.AF_INET, address)]
    # Two sockets instead of one for both, so that IPv4 clients show up with IPv4 addresses.
    return [(socket.AF_INET, "0.0.0.0"), *([(socket.AF_INET6, "::")] if socket.has_ipv6 else [])]  # noqa: S104 - empty means all


def _bind(family: socket.AddressFamily, address: str, port: int, *, is_shared: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart need not wait for old connections
        if is_shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, port))
        # Two sockets that share an address may both be bound; only listening says that somebody else has the port.
        sock.listen(BACKLOG)
        sock.setblocking(False)  # noqa: FBT003 - the name of the method is the name of the argument
    except BaseException:
        sock.close()
        raise
    return sock
