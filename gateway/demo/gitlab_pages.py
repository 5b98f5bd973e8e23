"""The few pages of the stand-in GitLab: pick an account, an OAuth error, the sign-in page.

They work without JavaScript and load nothing. All of them say that this is a stand-in.
"""

from collections.abc import Iterable, Mapping
from html import escape

from aiohttp import web

from gateway.demo.gitlab_model import GitLabUser

_STYLE = """
:root { color-scheme: light dark; }
body { font: 1.05rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 3rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; }
ul { list-style: none; padding: 0; }
li { margin: .5rem 0; }
button { font: inherit; width: 100%; padding: .7rem 1rem; text-align: left; border: 1px solid GrayText;
  border-radius: .4rem; background: Canvas; color: CanvasText; cursor: pointer; }
button:hover { border-color: CanvasText; }
button:focus-visible { outline: 3px solid Highlight; outline-offset: 2px; }
small { display: block; opacity: .8; }
.banner { border: 1px dashed GrayText; border-radius: .4rem; padding: .5rem 1rem; }
"""
_BANNER = "This is a stand-in GitLab for demonstrations and tests. It asks for no password and keeps nothing."
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


def account_page(users: Iterable[GitLabUser], fields: Mapping[str, str], action: str) -> web.Response:
    """One button for each account, and one to deny."""
    scopes = escape(fields["scope"])
    accounts = "".join(f"<li>{_account(user, fields, action)}</li>" for user in users)
    return _page(
        "Sign in to the stand-in GitLab",
        f"<p>An application wants to act for you with the scopes <code>{scopes}</code>. As whom do you sign in?</p>"
        f"<ul>{accounts}</ul>"
        f"{_form({**fields, 'decision': 'deny'}, action, 'Deny <small>go back without signing in</small>')}",
    )


def posting_page(target: str, fields: Mapping[str, str]) -> web.Response:
    """response_mode=form_post without JavaScript: the browser posts the answer when the person says so."""
    return _page("Back to the application", _form(fields, target, "Continue"))


def error_page(text: str, status: int) -> web.Response:
    return _page("An error has occurred", f"<p>{escape(text)}</p>", status)


def sign_in_page() -> web.Response:
    return _page("Sign in", "<p>This account cannot sign in here now. Ask its administrator.</p>")


def not_found_page() -> web.Response:
    return _page("Page not found", "<p>Make sure the address is correct.</p>", 404)


def _account(user: GitLabUser, fields: Mapping[str, str], action: str) -> str:
    notes = [note for note, holds in (("administrator", user.admin), ("external", user.external)) if holds]
    notes += [] if user.is_active else [user.state]
    label = f"{escape(user.name)} <small>{escape(', '.join(['@' + user.username, *notes]))}</small>"
    return _form({**fields, "user_id": str(user.id)}, action, label)


def _form(fields: Mapping[str, str], action: str, label: str) -> str:
    hidden = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in fields.items()
    )
    return f'<form method="post" action="{escape(action)}">{hidden}<button type="submit">{label}</button></form>'


def _page(title: str, content: str, status: int = 200) -> web.Response:
    text = (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)} - stand-in GitLab</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f'<body><main><h1>{escape(title)}</h1>{content}<p class="banner">{_BANNER}</p></main></body></html>\n'
    )
    return web.Response(status=status, text=text, content_type="text/html", headers=_HEADERS)
