"""What an operator wrote: the settings file (`config.file`, `config.layers`) and the route file (`routing.file`).

- A text has a tree and settings, or faults, each on one line of its own, and never another exception.
- No fault repeats a value of the text that could be a secret.
- A route file gives routes, or is refused as `RouteFileError`.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from config.file import SettingsFile
from config.layers import Layers
from routing.discovery import RoutingRules
from routing.file import RouteFile, RouteFileError

SECRET = "hunter2hunter2"


def check(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    file = SettingsFile("gateway.yaml", text)
    assert file.tree is not None or file.faults
    if file.tree is not None:
        result, faults = Layers(file.tree, {}).check()
        assert result is not None or faults
        for fault in faults:
            assert "\n" not in str(fault)
            assert SECRET not in str(fault)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "routes.yaml"
        path.write_bytes(data)
        try:
            RouteFile(path, RoutingRules("portal.example.dev")).read()
        except RouteFileError:
            return
