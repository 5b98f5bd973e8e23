"""The process that a rendered Deployment would start: its arguments, its environment and its files.

So the settings that a chart writes are judged by the code that reads them, and not by how they look.
"""

from collections.abc import Mapping
from pathlib import Path

from config.load import load_settings
from config.settings import Settings
from tests.helm.engine import Object, find

MOUNTED = "/etc/workspaces-gateway"

Secrets = Mapping[str, Mapping[str, str]]
"""The keys of each Secret of the namespace."""


def container(objects: list[Object]) -> Object:
    """The one container of the Deployment."""
    containers: list[Object] = find(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert len(containers) == 1
    return containers[0]


def environment(objects: list[Object], secrets: Secrets) -> dict[str, str]:
    """The variables as the kubelet would set them."""
    environ = {}
    for variable in container(objects)["env"]:
        if "value" in variable:
            environ[variable["name"]] = variable["value"]
            continue
        wanted = variable["valueFrom"]["secretKeyRef"]
        value = secrets.get(wanted["name"], {}).get(wanted["key"])
        assert value is not None or wanted["optional"], f"the pod would wait for {wanted}"
        if value is not None:
            environ[variable["name"]] = value
    return environ


def settings_of(objects: list[Object], secrets: Secrets, folder: Path) -> Settings:
    """What the process would be set to; `folder` stands in for what is mounted below /etc."""
    volumes = find(objects, "Deployment")["spec"]["template"]["spec"]["volumes"]
    name = next(volume["configMap"]["name"] for volume in volumes if volume["name"] == "settings")
    written = find(objects, "ConfigMap", name)["data"]["gateway.yaml"]
    (folder / "settings").mkdir(exist_ok=True)
    (folder / "settings" / "gateway.yaml").write_text(written.replace(MOUNTED, str(folder)))
    arguments = [argument.replace(MOUNTED, str(folder)) for argument in container(objects)["args"]]
    return load_settings(arguments, environment(objects, secrets))
