"""The process that a rendered Deployment would start: its arguments, its variables and its files.

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


def volume(objects: list[Object], name: str) -> Object:
    """One of the Deployment's."""
    volumes: list[Object] = find(objects, "Deployment")["spec"]["template"]["spec"]["volumes"]
    return next(each for each in volumes if each["name"] == name)


def mount_secrets(objects: list[Object], secrets: Secrets, folder: Path) -> None:
    """The files as the kubelet would write them."""
    folder.mkdir(exist_ok=True)
    for source in volume(objects, "secrets")["projected"]["sources"]:
        wanted = source["secret"]
        for item in wanted["items"]:
            value = secrets.get(wanted["name"], {}).get(item["key"])
            assert value is not None or wanted["optional"], f"the pod would wait for {item['key']} of {wanted['name']}"
            if value is not None:
                (folder / item["path"]).write_text(value)


def settings_of(objects: list[Object], secrets: Secrets, folder: Path) -> Settings:
    """What the process would be set to; `folder` stands in for what is mounted below /etc."""
    name = volume(objects, "settings")["configMap"]["name"]
    written = find(objects, "ConfigMap", name)["data"]["gateway.yaml"]
    (folder / "settings").mkdir(exist_ok=True)
    (folder / "settings" / "gateway.yaml").write_text(written.replace(MOUNTED, str(folder)))
    arguments = [argument.replace(MOUNTED, str(folder)) for argument in container(objects)["args"]]
    mount_secrets(objects, secrets, folder / "secrets")
    return load_settings(arguments, {each["name"]: each["value"] for each in container(objects).get("env", ())})
