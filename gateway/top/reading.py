"""What the admin port of a gateway says at one moment."""

import asyncio
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry.catalogue import PREFIX
from gateway.telemetry.slowest import Slow, read_slow

_ANSWER_SECONDS = 10.0  # twice of what several workers are given to answer

Labels = Mapping[str, str]


class NoGateway(Exception):
    """There is no gateway's admin port at this address, or it does not answer."""


@dataclass(frozen=True, slots=True)
class Reading:
    """All metrics, and the slowest requests."""

    at: float
    """Seconds of a clock that only goes forwards."""
    samples: Mapping[str, tuple[tuple[Labels, float], ...]]
    slow: Slow

    def values(self, name: str, **wanted: str) -> Iterable[float]:
        """Of every series of this name with these labels; names are those of the README's table."""
        told = self.samples.get(PREFIX + name) or self.samples.get(name, ())
        return (value for labels, value in told if all(labels.get(key) == text for key, text in wanted.items()))

    def sum(self, name: str, **wanted: str) -> float:
        return sum(self.values(name, **wanted))

    def labels(self, name: str) -> Labels:
        """Of the one series of this name."""
        return next((labels for labels, _ in self.samples.get(PREFIX + name, ())), {})

    def by(self, name: str, label: str, **wanted: str) -> dict[str, float]:
        """The sums by the values of a label."""
        sums: dict[str, float] = {}
        for labels, value in self.samples.get(PREFIX + name, ()):
            if all(labels.get(key) == text for key, text in wanted.items()):
                sums[labels[label]] = sums.get(labels[label], 0.0) + value
        return sums


async def read(http: aiohttp.ClientSession, url: str) -> Reading:
    """Ask the admin port at this address.

    Raises:
        NoGateway: with what to do about it.
    """
    page, slow = [await _get(http, f"{url}/{name}") for name in ("metrics", "slowest")]
    try:
        reading = Reading(time.monotonic(), _parse(page.decode()), read_slow(slow))
    except (ValueError, KeyError, TypeError) as exc:
        raise NoGateway(f"{url} does not answer as the admin port of this gateway does") from exc
    if not reading.labels("build_info"):
        raise NoGateway(f"{url} does not answer as the admin port of this gateway does: it says nothing of a gateway")
    return reading


async def _get(http: aiohttp.ClientSession, url: str) -> bytes:
    try:
        async with asyncio.timeout(_ANSWER_SECONDS), http.get(url, allow_redirects=False) as response:
            if response.status != 200:
                raise NoGateway(f"{url} answered {response.status}, as no admin port of this gateway does")
            return await response.read()
    except aiohttp.InvalidURL as exc:
        raise NoGateway(f"{url} is no address; write it like http://127.0.0.1:9877") from exc
    except TimeoutError as exc:
        raise NoGateway(f"{url} did not answer within {_ANSWER_SECONDS:g} s") from exc
    except aiohttp.ClientConnectorError as exc:
        raise NoGateway(
            f"{url} cannot be reached: {_why(exc)}. Run this where the gateway runs, and if its setting admin.port is "
            "not 9877, name the address with --url"
        ) from exc
    except aiohttp.ClientError as exc:
        raise NoGateway(f"{url} does not answer in HTTP: {type(exc).__name__}") from exc


def _why(exc: aiohttp.ClientConnectorError) -> str:
    if isinstance(exc, aiohttp.ClientConnectorDNSError) or exc.errno is None:
        return "the name does not resolve"
    return os.strerror(exc.errno)


def _parse(page: str) -> dict[str, tuple[tuple[Labels, float], ...]]:
    samples: dict[str, list[tuple[Labels, float]]] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    return {name: tuple(told) for name, told in samples.items()}
