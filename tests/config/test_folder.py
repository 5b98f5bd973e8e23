"""A folder with a file for each setting, as Kubernetes mounts a Secret."""

from collections.abc import Callable
from pathlib import Path

import pytest

from config.load import SettingsError, Sources
from config.settings import Settings

Load = Callable[..., Settings]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "secrets"
    made.mkdir()
    return made


def mount(folder: Path, name: str, text: str) -> None:
    """As the kubelet does: the file is a link into a hidden folder, which is a link itself."""
    data = folder / "..2026_11_28"
    data.mkdir(exist_ok=True)
    (data / name).write_text(text)
    if not (folder / "..data").is_symlink():
        (folder / "..data").symlink_to(data.name)
    (folder / name).symlink_to(f"..data/{name}")


def test_a_mounted_secret_is_read_by_the_names_of_its_keys(load: Load, folder: Path) -> None:
    """With or without a last line break, and what begins with a dot is none of it."""
    mount(folder, "auth.client_secret", "from-the-folder\n")
    mount(folder, "auth.previous_signing_keys", "previous-key-number-one,previous-key-number-two")

    settings = load("--secrets-dir", str(folder), AUTH_CLIENT_SECRET=None)

    assert settings.auth.client_secret.get_secret_value() == "from-the-folder"
    assert len(settings.auth.previous_signing_keys) == 2


def test_the_folder_counts_more_than_the_file_and_less_than_the_environment(load: Load, folder: Path) -> None:
    """The closer a source is to the process, the more it counts."""
    (folder / "http.port").write_text("3")
    arguments = ("--secrets-dir", str(folder))
    file = "http: {port: 4}"

    assert load(*arguments, file=file).http.port == 3
    assert load(*arguments, file=file, HTTP_PORT="2").http.port == 2
    assert load(*arguments, "--http-port=1", file=file, HTTP_PORT="2").http.port == 1


def test_an_empty_file_says_nothing(load: Load, folder: Path) -> None:
    """As an empty variable."""
    (folder / "http.port").write_text("\n")

    assert load("--secrets-dir", str(folder), file="http: {port: 4}").http.port == 4


def test_every_fault_of_a_folder_is_said_and_no_content(
    faults: Callable[..., list[str]], folder: Path, tmp_path: Path
) -> None:
    """Together with those of the other sources, and each with the file it is in."""
    (folder / "auth.client_secrets").write_text("nobody-may-read-this")
    (folder / "auth.signing_key").write_bytes(b"nobody-may-read-this\xff")
    (folder / "ssh.port").write_text("many")
    (folder / "auth.host").mkdir()

    told = faults("--secrets-dir", str(folder), "--http-port=x")

    assert told == [
        f"{folder}/auth.client_secrets: is unknown; did you mean auth.client_secret?",
        f"auth.host ({folder}/auth.host): cannot be read: Is a directory",
        f"auth.signing_key ({folder}/auth.signing_key): is not text in UTF-8",
        "http.port (flag --http-port): 'x' is not a whole number",
        f"ssh.port ({folder}/ssh.port): 'many' is not a whole number",
    ]
    assert faults("--secrets-dir", str(tmp_path / "none")) == [
        f"{tmp_path}/none: cannot be read: No such file or directory"
    ]
    assert faults("--secrets-dir=") == ["flag --secrets-dir: needs a value"]


def test_sources_know_what_may_change_and_read_it_anew(environ: dict[str, str], tmp_path: Path, folder: Path) -> None:
    """File and folder; a fault now says nothing about later."""
    file = tmp_path / "gateway.yaml"
    file.write_text("log_level: warn")
    sources = Sources(["--config", str(file), "--secrets-dir", str(folder)], environ)

    before = sources.load()
    (folder / "log_level").write_text("loud")
    with pytest.raises(SettingsError):
        sources.load()
    (folder / "log_level").write_text("debug")
    after = sources.load()

    assert (before.log_level, after.log_level) == ("warn", "debug")
    assert sources.paths == (file, folder)
