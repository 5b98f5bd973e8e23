"""The network between a gateway and its API server, which a test can cut while the server goes on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import yaml


class Link:
    """A TCP relay to one server."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self.is_cut = False

    def cut(self) -> None:
        """Every connection breaks, and new ones do too."""
        self.is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        self.is_cut = False

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client."""
        if self.is_cut:
            writer.transport.abort()
            return
        try:
            others_reader, others_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, others_writer}
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(reader, others_writer))
            group.create_task(_copy(others_reader, writer))
        self._writers -= {writer, others_writer}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def open_link(kubeconfig: Path) -> AsyncIterator[tuple[Link, Path]]:
    """A link to the server of a kubeconfig, and a kubeconfig that leads through it."""
    told = yaml.safe_load(kubeconfig.read_text())  # noqa: ASYNC240 - a file of a few lines, in a test
    cluster = told["clusters"][0]["cluster"]
    parts = urlsplit(cluster["server"])
    assert parts.port is not None
    link = Link(parts.port)
    server = await asyncio.start_server(link.relay, "127.0.0.1", 0)
    try:
        cluster["server"] = parts._replace(netloc=f"127.0.0.1:{server.sockets[0].getsockname()[1]}").geturl()
        path = kubeconfig.with_suffix(".link.yaml")
        path.write_text(yaml.safe_dump(told))
        yield link, path
    finally:
        server.close()
        link.cut()
        await server.wait_closed()
