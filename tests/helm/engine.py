"""Helm's own engine, from the library of the PyPI package helm-python-sdk, in a process of its own.

A Go runtime brings threads and signal handlers, which the other tests of a run should not have to live with. Run as a
program, this module is that process: one request and one answer per line, as JSON.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import helm_python
import yaml

CHART = Path(__file__).parents[2] / "helm"
VALUES = Path(__file__).parent / "values"
RELEASE, NAMESPACE = "gitlab-workspaces-proxy", "gitlab-workspaces"  # as GitLab's documentation has them

Object = dict[str, Any]


class Refused(Exception):
    """What Helm says against the values or the chart."""


class Helm:
    """The chart in the hands of Helm."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def lint(self, values: Object) -> list[str]:
        """What `helm lint --strict` finds; that the chart has no icon is nothing it finds."""
        report = self._ask("lint", values=values)
        findings = [f"{message['path']}: {message['error']}" for message in report["messages"]]
        return [*report["errors"], *(finding for finding in findings if "icon is recommended" not in finding)]

    def template(self, values: Object, *, name: str = RELEASE, namespace: str = NAMESPACE) -> list[Object]:
        """The objects of `helm template`, in the order of their files.

        Raises:
            Refused: if the values do not fit the schema, or a template refuses them.
        """
        texts = self._ask("render", values=values, name=name, namespace=namespace)
        manifests = [text for path, text in sorted(texts.items()) if not path.endswith("NOTES.txt")]
        return [found for text in manifests for found in yaml.safe_load_all(text) if found is not None]

    def notes(self, values: Object, *, name: str = RELEASE, namespace: str = NAMESPACE) -> str:
        texts: dict[str, str] = self._ask("render", values=values, name=name, namespace=namespace)
        return next(text for path, text in texts.items() if path.endswith("NOTES.txt"))

    def parse_set(self, line: str) -> Object:
        """The values that one `--set` gives."""
        parsed: Object = self._ask("set", line=line)
        return parsed

    def install(self, kubeconfig: Path, chart: Path, values: Object) -> None:
        """`helm install` of a chart in a cluster, under the name and in the namespace that GitLab documents."""
        self._ask("install", kubeconfig=str(kubeconfig), chart=str(chart), values=values)

    def upgrade(self, kubeconfig: Path, values: Object) -> None:
        """`helm upgrade` of that release to the gateway's chart."""
        self._ask("upgrade", kubeconfig=str(kubeconfig), chart=str(CHART), values=values)

    def roll_back(self, kubeconfig: Path) -> None:
        """`helm rollback` to what was there before."""
        self._ask("rollback", kubeconfig=str(kubeconfig))

    def uninstall(self, kubeconfig: Path) -> None:
        self._ask("uninstall", kubeconfig=str(kubeconfig))

    def _ask(self, what: str, **details: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"what": what, **details}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "refused" in answer:
            raise Refused(answer["refused"])
        return answer["result"]


@contextmanager
def open_helm() -> Iterator[Helm]:
    """Helm while the block runs."""
    command = [sys.executable, str(Path(__file__))]
    with subprocess.Popen(  # noqa: S603 - this file, by the Python that runs the tests
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Helm(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()  # its loop ends with its input


def values_files() -> list[Path]:
    """The table of values that the chart is tried with; each says in its first line what for."""
    return sorted(VALUES.glob("*.yaml"))


def read_values(file: Path) -> Object:
    return yaml.safe_load(file.read_text()) or {}


def find(objects: list[Object], kind: str, name: str = "") -> Object:
    """The one object of that kind, and of that name where several are."""
    found = [made for made in objects if made["kind"] == kind and name in ("", made["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} objects of kind {kind} {name}"
    return found[0]


def _answer(chart: helm_python.Chart, request: Object) -> Object:
    try:
        if "kubeconfig" in request:
            with helm_python.Config(kubeconfig_path=request["kubeconfig"], namespace=NAMESPACE) as cluster:
                _release(cluster, request)
                return {"result": None}
        match request.pop("what"):
            case "lint":
                return {"result": helm_python.lint(CHART, request["values"], strict=True)}
            case "set":
                return {"result": helm_python.parse_set_string(request["line"])}
            case "render":
                chart.validate_schema(request["values"])
                return {"result": chart.render(request.pop("values"), **request)}
            case other:
                raise ValueError(other)
    except helm_python.HelmError as error:
        return {"refused": str(error)}


def _release(cluster: helm_python.Config, request: Object) -> None:
    match request["what"]:
        case "install":
            cluster.install(request["chart"], RELEASE, request["values"], namespace=NAMESPACE)
        case "upgrade":
            cluster.upgrade(request["chart"], RELEASE, request["values"], namespace=NAMESPACE)
        case "rollback":
            cluster.rollback(RELEASE)
        case "uninstall":
            cluster.uninstall(RELEASE)
        case other:
            raise ValueError(other)


def _serve() -> None:
    with helm_python.Chart.load(CHART) as chart:
        for line in sys.stdin:
            sys.stdout.write(json.dumps(_answer(chart, json.loads(line))) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    _serve()
