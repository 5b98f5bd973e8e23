"""A worker process as its parent started it: the sockets it serves, and the settings it is given while it runs."""

import asyncio
import os
import signal
import socket
from dataclasses import dataclass, field

from config.settings import Settings
from gateway.app import Gateway
from gateway.listening import Listeners
from gateway.material import MATERIAL_FAULTS
from gateway.telemetry.log import Log
from gateway.workers.link import LinkClosed, ParentLink


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What a worker has from its parent."""

    listeners: Listeners
    settings: Settings
    link: ParentLink
    _given: "asyncio.Queue[Settings]" = field(default_factory=asyncio.Queue)

    async def follow_parent(self) -> None:
        """Hear what the parent sends, and end as soon as it does: nobody else would replace or drain us."""
        try:
            while True:
                self._given.put_nowait(await self.link.find_next())
        except (LinkClosed, OSError):
            os.kill(os.getpid(), signal.SIGTERM)

    def say_ready(self) -> None:
        """Tell the parent that its first settings run."""
        self.link.answer(taken=True)

    async def follow(self, gateway: Gateway, log: Log) -> None:
        """Take up whatever the parent sends, for ever; it has tried all of it before."""
        while True:
            settings = await self._given.get()
            try:
                take_up = gateway.prepare(settings)
            except MATERIAL_FAULTS as exc:  # a file changed since the parent read it
                log.warning("config.unusable", faults=str(exc).splitlines())
                self.link.answer(taken=False)
            else:
                take_up()
                self.link.answer(taken=True)


def inherit(admin: str, link: str, http: str, ssh: str) -> Inheritance:
    """Take over the descriptors that `workers.Supervisor` passed to this process by their numbers.

    Raises:
        LinkClosed: if the parent is gone already.
    """
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(admin)
    sock.listen()
    doors = [tuple(socket.socket(fileno=int(number)) for number in text.split(",") if number) for text in (http, ssh)]
    parent = ParentLink(socket.socket(fileno=int(link)))
    return Inheritance(Listeners(http=doors[0], ssh=doors[1], admin=(sock,)), parent.find_first(), parent)
