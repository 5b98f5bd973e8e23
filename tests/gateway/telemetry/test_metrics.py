"""What Prometheus reads of the gateway."""

import tomllib
from pathlib import Path

import yaml

from gateway import __version__
from gateway.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[3]


def test_all_metrics_render() -> None:
    """Also before anything was counted."""
    assert b"workspaces_gateway_routes 0.0" in Metrics().render()


def test_the_version_that_is_told_is_the_one_that_is_released() -> None:
    """Of the package and of the image that the chart names; an image has no package to ask."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((ROOT / "helm" / "Chart.yaml").read_text())["appVersion"]

    assert project == chart == __version__
    assert f'version="{__version__}"' in Metrics().render().decode()


def test_there_is_no_series_of_when_something_was_made() -> None:
    """Which would be as many again, and say nothing that the process' start does not."""
    assert b"_created" not in Metrics().render()
