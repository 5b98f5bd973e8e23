"""What Prometheus reads of the gateway."""

from gateway.metrics import Metrics


def test_all_metrics_render() -> None:
    """Also before anything was counted."""
    assert b"workspaces_gateway_routes 0.0" in Metrics().render()
