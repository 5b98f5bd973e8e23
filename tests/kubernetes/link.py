"""The network between a gateway and its API server, which a test can cut while the server goes on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from tests import link
from tests.link import Link


@asynccontextmanager
async def open_link(kubeconfig: Path) -> AsyncIterator[tuple[Link, Path]]:
    """A link to the server of a kubeconfig, and a kubeconfig that leads through it."""
    told = yaml.safe_load(kubeconfig.read_text())  # noqa: ASYNC240 - a file of a few lines, in a test
    cluster = told["clusters"][0]["cluster"]
    parts = urlsplit(cluster["server"])
    assert parts.port is not None
    async with link.open_link(parts.port) as opened:
        cluster["server"] = parts._replace(netloc=f"127.0.0.1:{opened.port}").geturl()
        path = kubeconfig.with_suffix(".link.yaml")
        path.write_text(yaml.safe_dump(told))
        yield opened, path
