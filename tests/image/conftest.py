"""What every root of an image begins with, made once."""

from pathlib import Path

import pytest

from tests.image.dockerfile import ROOT, read_dockerfile
from tests.image.scratch import debian_release, make_base


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Debian that the Dockerfile begins with."""
    bases = {stage.base for stage in read_dockerfile((ROOT / "Dockerfile").read_text())}
    assert len(bases) == 1
    root = tmp_path_factory.mktemp("debian") / "base"
    make_base(debian_release(bases.pop()), root)
    return root


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A folder that an image's user may read and write."""
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents:
        parent.chmod(parent.stat().st_mode | 0o001)
    return tmp_path
