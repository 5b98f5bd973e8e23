"""Where clients of TLS stand until both have shaken hands: each takes a place from the accept on.

A server of asyncio tells of a connection with TLS only after its handshake, so nobody would count those that never
begin one, and one address could hold every descriptor there is.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from gateway.http.plane import Plane

_RETRY_SECONDS = 1.0  # without descriptors nobody can be accepted, and the listener would call at every turn
_ACCEPTS = 100  # in one turn of the loop, as asyncio's servers do

Arrived = Callable[[], None]
"""Called by whoever gets a connection, before it takes a place: the one that was held for it is given back."""

Connect = Callable[[Arrived], asyncio.Protocol]
"""Makes what gets a connection."""


class Doorstep:
    """Accepts on one socket, for whoever gets the connection after its handshake."""

    def __init__(self, plane: Plane, sock: socket.socket, tls: dict[str, Any], connect: Connect) -> None:
        """`tls` is what the handshake takes, as `connect_accepted_socket` names it."""
        self._plane = plane
        self._socket = sock
        sock.setblocking(False)  # noqa: FBT003 - the name of the method is the name of the argument
        self._tls = tls
        self._connect = connect
        self._loop = asyncio.get_running_loop()
        self._retry: asyncio.TimerHandle | None = None
        self._waiting: set[asyncio.Task[None]] = set()
        self._listen()

    def __repr__(self) -> str:
        return f"<Doorstep waiting={len(self._waiting)}>"

    def close(self) -> None:
        """Accept no more; whoever is here already may still get in."""
        if self._retry is not None:
            self._retry.cancel()
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()

    def abort(self) -> None:
        """Turn away whoever is here."""
        for task in self._waiting:
            task.cancel()

    def _listen(self) -> None:
        self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTS):
            try:
                sock, address = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:
                self._loop.remove_reader(self._socket)
                self._retry = self._loop.call_later(_RETRY_SECONDS, self._listen)
                return
            sock.setblocking(False)  # noqa: FBT003 - the name of the method is the name of the argument
            self._let_in(sock, address[0])

    def _let_in(self, sock: socket.socket, peer: str) -> None:
        if self._plane.crowd.enter(peer, sock.fileno()) is not None:
            sock.close()  # it could hear a reason only after a handshake, which is what there is no room for
            return
        task = self._plane.spawn(lambda: self._shake_hands(sock, peer))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _shake_hands(self, sock: socket.socket, peer: str) -> None:
        is_here = True

        def leave() -> None:
            nonlocal is_here
            if is_here:
                is_here = False
                self._plane.crowd.leave(peer)

        try:
            await self._loop.connect_accepted_socket(lambda: self._connect(leave), sock, **self._tls)
        except OSError:
            pass  # it is no TLS, or none that is spoken here, or too slow
        finally:
            leave()
