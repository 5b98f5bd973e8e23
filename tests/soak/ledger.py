"""What the load did: how often, how many bytes, and what went wrong, told from what had to end.

A stream holds leases: on its workspace, on its visitor's session, on the openness of its port. Whoever takes one of
these away says so first. A stream that fails with a lease lost was ended as it should be; one that fails with all of
them, or goes on long after, is a fault. A wrong byte is one whatever was lost.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import aiohttp
import asyncssh

OUTLIVE_SECONDS = 30  # a second is promised, and others measure that; here the machine may be as busy as it likes
FAULTS_TOLD = 50  # what goes wrong everywhere at once is not told a thousand times


class Refused(Exception):
    """An answer that is not the one that was expected."""


class Ended(Exception):
    """A stream ended before it was to end."""


class Outlived(Exception):
    """A stream went on though what it was allowed by was gone."""


LOST = (OSError, EOFError, aiohttp.ClientError, asyncssh.Error, Refused, Ended)  # of which TimeoutError is an OSError


class Lease:
    """Something that a stream may be there by, until it is lost."""

    def __init__(self) -> None:
        self.is_lost = False
        self._observers: list[Callable[[], None]] = []
        self._holders = 0
        self._is_free = asyncio.Event()
        self._is_free.set()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Count the block as somebody who is there by it."""
        self._holders += 1
        self._is_free.clear()
        try:
            yield
        finally:
            self._holders -= 1
            if not self._holders:
                self._is_free.set()

    async def wait_free(self) -> None:
        """Until nobody is there by it: what is given back at once after its loss need not have been noticed."""
        await self._is_free.wait()

    def lose(self) -> None:
        self.is_lost = True
        for observer in self._observers:
            observer()

    @asynccontextmanager
    async def limit(self) -> AsyncIterator[None]:
        """Give the block some seconds from the loss on.

        Raises:
            Outlived: if it goes on after that.
        """
        loop, limit = asyncio.get_running_loop(), asyncio.timeout(None)

        def hurry() -> None:
            limit.reschedule(loop.time() + OUTLIVE_SECONDS)

        self._observers.append(hurry)
        try:
            async with limit:
                if self.is_lost:
                    hurry()
                yield
        except TimeoutError as exc:
            if limit.expired():
                raise Outlived(f"still open after {OUTLIVE_SECONDS} s") from exc
            raise
        finally:
            self._observers.remove(hurry)


@dataclass
class Kind:
    """Everything of one kind of work."""

    begun: int = 0
    done: int = 0
    expected: int = 0
    """Ended because something they were there by was taken away."""
    faults: int = 0
    sent: int = 0
    received: int = 0

    @property
    def open(self) -> int:
        return self.begun - self.done - self.expected - self.faults


@dataclass
class Ledger:
    """All kinds of work, and the faults."""

    kinds: dict[str, Kind] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def kind(self, name: str) -> Kind:
        return self.kinds.setdefault(name, Kind())

    def fault(self, name: str, what: str) -> None:
        """Something went wrong that should not have."""
        self.kind(name).faults += 1
        self.faults.append(f"{time.monotonic() - self.began:7.1f} s  {name}: {what}")

    @contextmanager
    def record(self, name: str, *leases: Lease, where: str = "") -> Iterator[Kind]:
        """Count the block as one piece of work, done or not; a fault is told with where it was."""
        kind = self.kind(name)
        kind.begun += 1
        try:
            yield kind
        except asyncio.CancelledError:
            kind.done += 1  # whoever opened it wanted no more
            raise
        except Exception as exc:  # noqa: BLE001 - whatever a client says is counted, and the load goes on
            cause = _first(exc)
            if isinstance(cause, LOST) and any(lease.is_lost for lease in leases):
                kind.expected += 1
            else:
                self.fault(name, f"{where} {type(cause).__name__}: {cause}".strip())
        else:
            kind.done += 1

    def table(self) -> str:
        """One line for each kind."""
        lines = [f"{'work':<16}{'begun':>9}{'done':>9}{'ended':>8}{'faults':>8}{'MiB up':>10}{'MiB down':>10}"]
        lines += [
            f"{name:<16}{kind.begun:>9,}{kind.done:>9,}{kind.expected:>8,}{kind.faults:>8,}"
            f"{kind.sent / (1 << 20):>10,.1f}{kind.received / (1 << 20):>10,.1f}"
            for name, kind in sorted(self.kinds.items())
        ]
        return "\n".join([*lines, *self.faults[:FAULTS_TOLD]])


def _first(exc: Exception) -> Exception:
    """What went wrong first, of whatever group of tasks."""
    while isinstance(exc, ExceptionGroup):
        exc = exc.exceptions[0]
    return exc
