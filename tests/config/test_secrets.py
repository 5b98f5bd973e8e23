"""No secret is ever quoted, wherever and however wrongly it was written."""

import traceback
from collections.abc import Callable

import pytest

from config.load import SettingsError
from config.settings import Settings

Load = Callable[..., Settings]

SECRET = "hunter2hunter2hunter2"
KEY_TEXT = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}\n-----END OPENSSH PRIVATE KEY-----\n"
SETTINGS = ["client_secret", "service_token", "signing_key", "previous_signing_keys"]


def everything_said(error: BaseException) -> str:
    """Whatever a log, a debugger or a console may show of an error and of what it was caused by."""
    said = [*traceback.format_exception(error), str(error), repr(error), repr(vars(error))]
    linked = [cause for cause in (error.__cause__, error.__context__) if cause is not None]
    return "\n".join([*said, *map(everything_said, linked)])


def refused(load: Load, *argv: str, **changes: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(*argv, **changes)
    return everything_said(caught.value)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize(
    "shape",
    [
        "{{{setting}: {{a: {secret}}}}}",
        "{{{setting}: {{{secret}: a}}}}",
        "{{{setting}: [[{secret}]]}}",
        "{{{setting}: [{{{secret}: {secret}}}]}}",
        "{{{setting}: {secret}, {setting}: {secret}}}",
        "{{{setting} {secret}}}",
        "{{{setting}:{secret}}}",
        "{{'{setting}={secret}': 1}}",
        "{{{setting}: *{secret}}}",
        "{{{setting}: &{secret} '}}",
        "{{{setting}: '{secret}}}",
        "{{{setting}: !{secret} [}}",
        '{{{setting}: "{secret}\\q"}}',
        "{{{setting}s: {secret}}}",
        "{setting}={secret}",
        "[{secret}]",
        "\n  {setting}: {secret}\n {setting}: {secret}",
        "\n  {setting}:\n  - {secret}: {secret}\n  colour: red",
    ],
)
def test_file_is_never_quoted(load: Load, setting: str, shape: str) -> None:
    """A secret of the wrong type, without its colon or in broken YAML is in no text about the fault."""
    said = refused(
        load, file="auth: " + shape.format(setting=setting, secret=SECRET), **{f"AUTH_{setting.upper()}": ""}
    )

    assert "gateway.yaml" in said
    assert SECRET not in said


@pytest.mark.parametrize(
    "argv",
    [
        ["--auth-client-secret", SECRET, SECRET],
        [f"--auth-client-secret{SECRET}"],
        [f"--auth-client-secret:{SECRET}"],
        [f"--auth-client-secrt={SECRET}"],
        ["--auth-client-secrt", SECRET],
        [SECRET],
        [f"--ssh-host-key={KEY_TEXT}"],
        [f"--auth-host=https://me:{SECRET}@gitlab.example.com"],
        [f"--auth-redirect-uri=https://me:{SECRET}@workspaces.example.dev/auth/callback"],
        [f"--origins-allowed=https://me:{SECRET}@gitlab.example.com"],
    ],
)
def test_command_line_is_never_quoted(load: Load, argv: list[str]) -> None:
    """Neither a stray argument nor what has grown on to a flag is repeated."""
    assert SECRET not in refused(load, *argv)


@pytest.mark.parametrize(
    "changes",
    [
        {"AUTH_CLIENT_SECRET": f"{SECRET}\udcff"},
        {"AUTH_SIGNING_KEY": SECRET[:15]},
        {"AUTH_PREVIOUS_SIGNING_KEYS": f"{SECRET},{SECRET[:15]}"},
        {"SSH_HOST_KEY": KEY_TEXT},
        {"SSH_HOST_KEY": f"{KEY_TEXT}\udcff"},
        {"SSH_HOST_KEY": SECRET},
        {"SSH_HOST_KEY": "", "SSH_HOST_KEY_FILES": KEY_TEXT},
        {"SSH_HOST_KEY": "", "SSH_HOST_KEY_FILES": KEY_TEXT.replace("\n", " ")},
        {"VISIBILITY_RULES": f'[{{"max": "{SECRET}'},
        {"HTTP_PORT": f"{SECRET}\n"},
    ],
)
def test_environment_is_quoted_only_where_no_secret_belongs(load: Load, changes: dict[str, str]) -> None:
    """Short, damaged and misplaced secrets are not repeated; a word in the place of a number is."""
    said = refused(load, **changes)

    assert (SECRET[:15] in said) == ("HTTP_PORT" in changes)


def test_settings_show_no_secret(load: Load, environ: dict[str, str]) -> None:
    """What was loaded can be logged."""
    settings = load(AUTH_PREVIOUS_SIGNING_KEYS=SECRET)

    shown = f"{settings} {settings!r} {settings.model_dump_json()}"

    hidden = [environ["AUTH_CLIENT_SECRET"], environ["AUTH_SIGNING_KEY"], environ["SSH_HOST_KEY"], SECRET]
    assert [secret for secret in hidden if secret in shown] == []
