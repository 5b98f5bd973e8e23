"""The forms of a page, and what a browser sends when a person presses one of their buttons.

Reads what a page without JavaScript needs: inputs and buttons; no select, no textarea, no file.
"""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Literal


@dataclass(frozen=True, slots=True)
class Button:
    """Something to press, and what it adds to the form's fields."""

    label: str
    name: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Form:
    """One form as the page wrote it; `action` may be relative or empty."""

    action: str
    method: Literal["GET", "POST"]
    fields: tuple[tuple[str, str], ...]
    buttons: tuple[Button, ...]


@dataclass(frozen=True, slots=True)
class Submission:
    """A form with one of its buttons pressed."""

    action: str
    method: Literal["GET", "POST"]
    fields: tuple[tuple[str, str], ...]


class NoSuchChoice(Exception):
    """No form of the page is about what was looked for."""


def find_submission(page: str, choice: str) -> Submission:
    """Press the button that stands for `choice`: by its label or value, else by a field of its form."""
    forms = parse_forms(page)
    for form in forms:
        for button in form.buttons:
            if choice == button.value or _is_word_of(choice, button.label):
                return _press(form, button)
    for form in forms:
        if form.buttons and choice in (value for _, value in form.fields):
            return _press(form, form.buttons[0])
    raise NoSuchChoice(f"none of {len(forms)} forms offers {choice}")


def parse_forms(page: str) -> tuple[Form, ...]:
    reader = _FormReader()
    reader.feed(page)
    reader.close()
    return tuple(Form(draft.action, draft.method, tuple(draft.fields), tuple(draft.buttons)) for draft in reader.drafts)


def _press(form: Form, button: Button) -> Submission:
    pressed = ((button.name, button.value),) if button.name else ()
    return Submission(form.action, form.method, form.fields + pressed)


def _is_word_of(word: str, label: str) -> bool:
    """Whether `label` mentions `word` as a whole: `ada` is neither in `adam` nor in `ada.l`."""
    return re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w.-])", label) is not None


@dataclass(slots=True)
class _Draft:
    action: str
    method: Literal["GET", "POST"]
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[Button] = field(default_factory=list)


class _FormReader(HTMLParser):
    """Collects forms while the page goes by; a button's label is the text until its end tag."""

    def __init__(self) -> None:
        super().__init__()
        self.drafts: list[_Draft] = []
        self._is_inside = False
        self._button: dict[str, str] | None = None
        self._label: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            method: Literal["GET", "POST"] = "POST" if given.get("method", "").lower() == "post" else "GET"
            self.drafts.append(_Draft(given.get("action", ""), method))
            self._is_inside = True
        elif self._is_inside and tag == "input":
            self._take_input(given)
        elif self._is_inside and tag == "button" and given.get("type", "submit").lower() == "submit":
            self._button, self._label = given, []

    def handle_endtag(self, tag: str) -> None:
        if tag == "button" and self._button is not None:
            label = " ".join(" ".join(self._label).split())
            self.drafts[-1].buttons.append(Button(label, self._button.get("name", ""), self._button.get("value", "")))
            self._button = None
        elif tag == "form":
            self._is_inside = False

    def handle_data(self, data: str) -> None:
        if self._button is not None:
            self._label.append(data)

    def _take_input(self, given: dict[str, str]) -> None:
        name, value = given.get("name", ""), given.get("value", "")
        kind = given.get("type", "text").lower()
        if kind == "submit":
            self.drafts[-1].buttons.append(Button(value, name, value))
        elif name and (kind not in {"checkbox", "radio", "button", "image", "reset"} or "checked" in given):
            self.drafts[-1].fields.append((name, value))
