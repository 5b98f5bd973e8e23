"""The operators' listener."""

import aiohttp
import pytest

from config.settings import AdminSettings
from gateway.admin import serve_admin
from gateway.demo.world import free_ports
from gateway.telemetry import Metrics


@pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
async def test_readiness_is_what_the_gateway_says(ready: bool, status: int) -> None:  # noqa: FBT001 - a table cell
    """Being alive is another question."""
    settings = AdminSettings(address="127.0.0.1", port=free_ports().admin)
    async with serve_admin(settings, Metrics(), lambda: ready), aiohttp.ClientSession() as client:
        url = f"http://127.0.0.1:{settings.port}"
        async with client.get(f"{url}/readyz") as readyz, client.get(f"{url}/healthz") as healthz:
            assert (readyz.status, healthz.status) == (status, 200)


async def test_metrics_are_what_was_counted() -> None:
    """In Prometheus' text format."""
    settings, metrics = AdminSettings(address="127.0.0.1", port=free_ports().admin), Metrics()
    metrics.sign_ins.labels("ok").inc(3)
    async with (
        serve_admin(settings, metrics, lambda: True),
        aiohttp.ClientSession() as client,
        client.get(f"http://127.0.0.1:{settings.port}/metrics") as response,
    ):
        text = await response.text()

    assert 'workspaces_gateway_sign_ins_total{result="ok"} 3.0' in text
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")


async def test_an_occupied_port_is_named() -> None:
    """So that an operator knows which of the three listeners it was."""
    settings = AdminSettings(address="127.0.0.1", port=free_ports().admin)
    async with serve_admin(settings, Metrics(), lambda: True):
        with pytest.raises(OSError, match=f"admin listener cannot listen on 127.0.0.1:{settings.port}"):
            async with serve_admin(settings, Metrics(), lambda: True):
                pass
