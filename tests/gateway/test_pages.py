"""The pages: nothing of a value is markup, nothing is fetched, and everybody can read them."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gateway import pages
from gateway.pages import (
    CONTENT_SECURITY_POLICY,
    FOLLOW_POLICY,
    HOME_POLICY,
    Link,
    PortView,
    WorkspaceView,
    home_page,
    message_page,
)

HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=y>&amp;{{ 7*7 }}"""
HOSTILE_URL = "https://gitlab.example.com/?a=1&b=\"'><script>alert(1)</script>"
STYLESHEET = (Path(pages.__file__).parent / "templates" / "style.css").read_text()


class Outline(HTMLParser):
    """Every tag with its attributes, and every piece of text with the tag it stands in."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self._open = self._open[: len(self._open) - 1 - self._open[::-1].index(tag)]

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.texts.append(data)

    def find_all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())


def plain_message() -> str:
    return message_page(title="Nothing listens", text="No server.", code="nothing", request_id="r-1")


def full_message() -> str:
    return message_page(
        title="Nothing listens",
        text="No server.",
        hint="Listen on 0.0.0.0.",
        action=Link("Back", "/back"),
        code="nothing",
        refresh=5,
        request_id="r-1",
    )


def empty_home() -> str:
    return home_page(username="ada", workspaces=[], form_token="token", request_id="r-1")


def full_home() -> str:
    ports = (
        PortView("editor-server", 60001, "/60001", "private", "private", "It is never shared."),
        PortView("docs", 4000, "/4000", "internal", "internal", "No further than this."),
        PortView("site", 3000, "/3000", "public"),
    )
    return home_page(
        username="ada",
        workspaces=[
            WorkspaceView(
                "apple-bear-blue",
                "running",
                ports,
                "ssh apple-bear-blue@gateway",
                "Host apple-bear-blue\n  User apple-bear-blue\n",
                "idle for 12 min, stops in 18 min",
            ),
            WorkspaceView("green-fox-lamp", "stopped", (), ""),
        ],
        form_token="token",
        request_id="r-1",
    )


EVERY_PAGE = pytest.mark.parametrize("page", [plain_message(), full_message(), empty_home(), full_home()])


@EVERY_PAGE
class TestEveryPage:
    def test_names_its_language(self, page: str) -> None:
        """A screen reader knows how to pronounce it."""
        assert page.startswith("<!doctype html>\n")
        assert Outline(page).find_all("html") == [{"lang": "en"}]

    def test_has_one_first_heading_and_the_landmarks(self, page: str) -> None:
        """There is exactly one h1, one main, one header and one footer."""
        outline = Outline(page)

        assert [len(outline.find_all(tag)) for tag in ("h1", "main", "header", "footer", "title")] == [1] * 5

    def test_fetches_nothing_and_runs_nothing_but_a_script_of_ours(self, page: str) -> None:
        """No event handler, no inline style attribute and no address of another site."""
        outline = Outline(page)

        assert {tag for tag, _ in outline.tags}.isdisjoint({"link", "img", "iframe", "object", "base"})
        assert not [name for _, attrs in outline.tags for name in attrs if name.startswith("on") or name == "style"]
        assert "//" not in page
        for script in re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL):
            digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
            allowed = f"{CONTENT_SECURITY_POLICY}; script-src 'sha256-{digest}'"
            assert allowed in (HOME_POLICY, FOLLOW_POLICY.removesuffix("; connect-src 'self'"))
        assert "@import" not in page
        assert "url(" not in page

    def test_carries_exactly_the_stylesheet_that_the_policy_allows(self, page: str) -> None:
        """The hash in the header is the hash of what stands between the style tags."""
        (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

        assert f"style-src 'sha256-{digest}';" in CONTENT_SECURITY_POLICY

    def test_shows_the_request_id(self, page: str) -> None:
        """A person can quote it to an operator."""
        assert Outline(page).text.endswith("Request r-1")


class TestPolicy:
    def test_allows_nothing_but_the_stylesheet_and_forms_of_this_site(self) -> None:
        """Every directive that does not fall back to default-src is there."""
        directives = dict(part.strip().split(" ", 1) for part in CONTENT_SECURITY_POLICY.split(";"))

        assert directives.pop("style-src").startswith("'sha256-")
        assert directives == {
            "default-src": "'none'",
            "form-action": "'self'",
            "frame-ancestors": "'none'",
            "base-uri": "'none'",
        }


class TestEscaping:
    def test_a_message_shows_every_field_as_text(self) -> None:
        """Hostile values appear literally and add no tag."""
        hostile = message_page(
            title=HOSTILE,
            text=HOSTILE,
            hint=HOSTILE,
            action=Link(HOSTILE, HOSTILE_URL),
            code=HOSTILE,
            refresh=5,
            request_id=HOSTILE,
        )
        outline = Outline(hostile)

        assert [tag for tag, _ in outline.tags] == [tag for tag, _ in Outline(full_message()).tags]
        assert outline.text.count(HOSTILE) == 6  # the title twice
        assert outline.find_all("a")[0]["href"] == HOSTILE_URL

    def test_the_home_page_shows_every_field_as_text(self) -> None:
        """Hostile values appear literally, add no tag, and leave their attributes closed."""
        port = PortView(HOSTILE, 3000, HOSTILE_URL, HOSTILE)
        workspace = WorkspaceView(HOSTILE, HOSTILE, (port,), HOSTILE)
        harmless = WorkspaceView("name", "running", (PortView("site", 3000, "/", "public"),), "ssh")
        render = {"username": HOSTILE, "form_token": HOSTILE, "request_id": HOSTILE}

        outline = Outline(home_page(workspaces=[workspace], **render))

        assert [tag for tag, _ in outline.tags] == [
            tag for tag, _ in Outline(home_page(workspaces=[harmless], **render)).tags
        ]
        assert outline.text.count(HOSTILE) == 7
        assert outline.find_all("input") == 3 * [{"type": "hidden", "name": "csrf", "value": HOSTILE}]
        action = outline.find_all("form")[1]["action"] or ""
        assert "/" not in action.removeprefix("/workspaces/").removesuffix("/ports/3000")
        assert outline.find_all("ul") == [{"class": "ports", "role": "list", "aria-label": f"Ports of {HOSTILE}"}]
        assert [attrs["href"] for attrs in outline.find_all("a")] == [HOSTILE_URL]

    @pytest.mark.parametrize(
        "url", ["javascript:alert(1)", "data:text/html,x", "JaVaScRiPt:alert(1)", "mailto:a@b", "x"]
    )
    def test_an_address_that_is_no_web_address_is_refused(self, url: str) -> None:
        """Such a value cannot be made, so it cannot be rendered."""
        with pytest.raises(ValueError, match="http"):
            Link("label", url)
        with pytest.raises(ValueError, match="http"):
            PortView("name", 1, url, "private")


class TestMessage:
    def test_asks_again_only_when_told_to(self) -> None:
        """By a script that looks for another answer, or where none runs by loading itself; words say so."""
        assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in full_message()
        assert Outline(full_message()).find_all("script") == [{"data-code": "nothing", "data-seconds": "5"}]
        assert "tries again every 5 seconds" in Outline(full_message()).text
        assert "refresh" not in plain_message().replace(STYLESHEET, "")
        assert not Outline(plain_message()).find_all("script")

    def test_leaves_out_what_it_was_not_given(self) -> None:
        """Without hint and action there is neither an empty box nor a dead link."""
        outline = Outline(plain_message())

        assert not outline.find_all("a")
        assert {"class": "hint"} not in outline.find_all("p")


class TestHome:
    def test_lists_ports_with_visibility_and_the_ssh_command(self) -> None:
        """What the owner needs in order to get in stands on the page."""
        outline = Outline(full_home())

        assert [attrs["href"] for attrs in outline.find_all("a")] == ["/60001", "/4000", "/3000"]
        assert "editor-server 60001 private" in outline.text.replace("editor-server60001", "editor-server 60001")
        assert "ssh apple-bear-blue@gateway" in outline.text
        assert "green-fox-lamp stopped Start No open ports." in outline.text

    def test_signs_out_by_a_form_with_the_token(self) -> None:
        """It is a POST to the portal that another site cannot imitate."""
        outline = Outline(full_home())

        assert outline.find_all("form")[0] == {"method": "post", "action": "/auth/sign-out"}
        assert outline.find_all("input")[0] == {"type": "hidden", "name": "csrf", "value": "token"}

    def test_offers_to_sign_out_of_all_browsers(self) -> None:
        """For somebody who left one open elsewhere."""
        outline = Outline(full_home())

        assert outline.find_all("button")[-1]["name"] == "everywhere"
        assert outline.find_all("form")[-1]["action"] == "/auth/sign-out"

    def test_offers_each_level_that_the_owner_may_choose(self) -> None:
        """What the policy forbids is greyed, with the reason; a port that is private for ever has no switch."""
        outline = Outline(full_home())

        assert [form["action"] for form in outline.find_all("form")[1:]] == [
            "/workspaces/apple-bear-blue/keep",
            "/workspaces/apple-bear-blue/ports/4000",
            "/workspaces/apple-bear-blue/ports/3000",
            "/workspaces/green-fox-lamp/start",
            "/auth/sign-out",
        ]
        docs, site = outline.find_all("button")[2:5], outline.find_all("button")[5:8]
        assert [("disabled" in button, button["aria-pressed"]) for button in docs] == [
            (False, "false"),
            (False, "true"),
            (True, "false"),
        ]
        assert ["disabled" in button for button in site] == [False, False, False]
        assert "No further than this." in outline.text
        assert "It is never shared." in outline.text

    def test_shows_the_ssh_block(self) -> None:
        """It can be selected without the script, which only shows the button to copy it."""
        outline = Outline(full_home())

        assert "Host apple-bear-blue User apple-bear-blue" in outline.text
        assert all("hidden" in button for button in outline.find_all("button") if "data-copy" in button)

    def test_is_friendly_when_there_is_nothing(self) -> None:
        """A person without workspaces learns where they come from."""
        assert "A workspace that you create in GitLab appears on this page" in Outline(empty_home()).text


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (https://www.w3.org/TR/WCAG22/#dfn-relative-luminance)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


class TestStylesheet:
    @pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
    @pytest.mark.parametrize(
        ("ink", "ground", "least"),
        [
            ("ink", "page", 4.5),
            ("ink", "card", 4.5),
            ("ink", "wash", 4.5),
            ("soft", "page", 4.5),
            ("soft", "card", 4.5),
            ("accent", "card", 4.5),
            ("on-accent", "accent", 4.5),
            ("good", "card", 4.5),
            ("busy", "card", 4.5),
            ("edge", "page", 3.0),  # the outline of a control (WCAG 2.2, 1.4.11)
            ("accent", "page", 3.0),  # the focus ring
        ],
    )
    def test_every_pair_of_colours_is_readable(self, scheme: int, ink: str, ground: str, least: float) -> None:
        """In light and in dark, text stands out from what it stands on."""
        blocks = re.findall(r":root \{(.*?)\}", STYLESHEET, re.DOTALL)
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", blocks[scheme]))

        assert contrast(colours[ink], colours[ground]) >= least

    def test_holds_nothing_that_could_close_its_element(self) -> None:
        """It is put into the page unescaped, so it must not contain a tag."""
        assert "<" not in STYLESHEET
