"""The look of every page of the gateway: values in, one complete HTML document out.

Nothing here decides, and nothing here does I/O after import: the templates, the stylesheet and the script are read and
compiled once. A page needs no second request and works without the script that some of them bring. Everything that
varies is escaped by the template engine, and an address that could run something is refused when the value that holds
it is made.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from auth.visibility import LEVELS


@dataclass(frozen=True, slots=True)
class Link:
    """The one thing a page offers to do next."""

    label: str
    url: str

    def __post_init__(self) -> None:
        _refuse_foreign_scheme(self.url)


@dataclass(frozen=True, slots=True)
class PortView:
    """One open port of a workspace as its owner sees it."""

    name: str
    port: int
    url: str
    visibility: str
    """private, internal or public: the effective level."""
    limit: str = "public"
    """The most that its owner may open it."""
    limit_reason: str = ""

    @property
    def choices(self) -> tuple[tuple[str, bool], ...]:
        """Each level, and whether its owner may choose it."""
        return tuple((level, LEVELS[level] <= LEVELS[self.limit]) for level in LEVELS)

    def __post_init__(self) -> None:
        _refuse_foreign_scheme(self.url)


@dataclass(frozen=True, slots=True)
class WorkspaceView:
    """One workspace as its owner sees it."""

    name: str
    state: str
    """running, starting, stopped or unknown."""
    ports: tuple[PortView, ...]
    ssh_command: str
    """Ready to paste into a terminal; empty where the workspace has no sshd."""
    ssh_config: str = ""
    """A block for ~/.ssh/config."""
    idle: str = ""
    """For how long nobody used it and what follows; empty where nothing does."""
    ports_wake: bool = False
    """Whether it starts when one of its ports is opened, where it is stopped."""


def message_page(
    *,
    title: str,
    text: str,
    request_id: str,
    code: str,
    hint: str = "",
    action: Link | None = None,
    submit: Link | None = None,
    refresh: int | None = None,
) -> str:
    """A page that says one thing, and perhaps what to do about it.

    `refresh` is the number of seconds after which the browser asks again: a script looks whether the answer still has
    this `code`, and disturbs nobody who reads until it has another; without scripts the page loads itself anew.
    An empty line starts a new paragraph.
    """
    return _MESSAGE.render(
        title=title,
        text=text,
        hint=hint,
        action=action,
        submit=submit,
        refresh=refresh,
        code=code,
        request_id=request_id,
    )


def home_page(*, username: str, workspaces: Sequence[WorkspaceView], form_token: str, request_id: str) -> str:
    """What a signed-in person finds on the portal: their workspaces, and the way out."""
    return _HOME.render(username=username, workspaces=workspaces, form_token=form_token, request_id=request_id)


def _refuse_foreign_scheme(url: str) -> None:
    """Escaping makes no `javascript:` address harmless, so such a value cannot exist."""
    if not url.startswith("/") and urlsplit(url).scheme not in {"http", "https"}:
        raise ValueError("an address on a page is http, https or a path of this site")


def _hash_source(content: str) -> str:
    """The CSP source expression that allows exactly this inline content (https://www.w3.org/TR/CSP3/#grammardef-hash-source)."""
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


_TEMPLATES = Path(__file__).parent / "templates"
_STYLESHEET = (_TEMPLATES / "style.css").read_text(encoding="utf-8")
_COPY_SCRIPT = (_TEMPLATES / "copy.js").read_text(encoding="utf-8")
_FOLLOW_SCRIPT = (_TEMPLATES / "follow.js").read_text(encoding="utf-8")

CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src {_hash_source(_STYLESHEET)}; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""The header every one of these pages is sent with."""

HOME_POLICY = f"{CONTENT_SECURITY_POLICY}; script-src {_hash_source(_COPY_SCRIPT)}"
"""The same for the home page, whose script copies."""

FOLLOW_POLICY = f"{CONTENT_SECURITY_POLICY}; script-src {_hash_source(_FOLLOW_SCRIPT)}; connect-src 'self'"
"""The same for a page that asks again."""

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_ENVIRONMENT.globals["stylesheet"] = Markup(_STYLESHEET)  # noqa: S704 - our own file, and its hash is in the policy
_ENVIRONMENT.globals["copy_script"] = Markup(_COPY_SCRIPT)  # noqa: S704 - as above
_ENVIRONMENT.globals["follow_script"] = Markup(_FOLLOW_SCRIPT)  # noqa: S704 - as above
_ENVIRONMENT.get_template("base.html")  # compiled now, so that no first visitor waits for a disk in the event loop
_MESSAGE = _ENVIRONMENT.get_template("message.html")
_HOME = _ENVIRONMENT.get_template("home.html")
