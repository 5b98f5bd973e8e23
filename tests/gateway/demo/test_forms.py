"""The form reader: what a browser would send, and the right one of several choices."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.demo.forms import Button, Form, NoSuchChoice, Submission, find_submission, parse_forms

ACCOUNTS = """
<form method="post" action="/oauth/authorize"><input type="hidden" name="state" value="a&amp;b&quot;">
<input type="hidden" name="user_id" value="7">
<button type="submit">Adam Ant<small>@adam, external</small></button></form>
<form method="POST" action="/oauth/authorize"><input type=hidden name=user_id value=8>
<button>Ada Lovelace<small>@ada</small></button></form>
<form action="?deny"><input type="submit" name="decision" value="Deny"></form>
"""


class TestParsing:
    def test_reads_method_action_fields_and_buttons(self) -> None:
        """Attributes are unescaped, a button's label is all the text in it."""
        first, _, last = parse_forms(ACCOUNTS)

        assert first == Form(
            "/oauth/authorize", "POST", (("state", 'a&b"'), ("user_id", "7")), (Button("Adam Ant @adam, external"),)
        )
        assert last == Form("?deny", "GET", (), (Button("Deny", "decision", "Deny"),))

    @pytest.mark.parametrize(
        ("control", "fields"),
        [
            ("<input name=a>", (("a", ""),)),
            ("<input name=a value=1 />", (("a", "1"),)),
            ("<input type=checkbox name=a value=1>", ()),
            ("<input type=checkbox name=a value=1 checked>", (("a", "1"),)),
            ("<input type=reset name=a value=1>", ()),
            ("<input value=1>", ()),
        ],
    )
    def test_takes_the_fields_that_a_browser_would_send(
        self, control: str, fields: tuple[tuple[str, str], ...]
    ) -> None:
        """Unchecked boxes, other buttons and nameless inputs are not sent."""
        (form,) = parse_forms(f"<form>{control}<button type=button>x</button></form>")

        assert form == Form("", "GET", fields, ())

    def test_ignores_what_stands_outside(self) -> None:
        """A page without forms has none, and stray controls belong to no form."""
        assert parse_forms("<input name=a><button>b</button><form></form><input name=c>") == (Form("", "GET", (), ()),)

    @given(st.text(alphabet="<>/=\"' abform inputbutton"))
    def test_survives_any_page(self, page: str) -> None:
        """Broken HTML is no reason to fail."""
        assert all(form.method in {"GET", "POST"} for form in parse_forms(page))


class TestChoosing:
    @pytest.mark.parametrize(
        ("choice", "fields"),
        [
            ("adam", (("state", 'a&b"'), ("user_id", "7"))),
            ("ada", (("user_id", "8"),)),
            ("8", (("user_id", "8"),)),
            ("Deny", (("decision", "Deny"),)),
        ],
    )
    def test_presses_the_button_that_stands_for_the_choice(
        self, choice: str, fields: tuple[tuple[str, str], ...]
    ) -> None:
        """By its label as whole words, by its value, or by a hidden field beside it."""
        assert find_submission(ACCOUNTS, choice).fields == fields

    def test_sends_only_the_button_that_was_pressed(self) -> None:
        """One form may hold a button for each account."""
        page = (
            '<form method=post action="/pick"><button name=user value=a>A</button><button name=user value=b>B</button>'
        )

        assert find_submission(page + "</form>", "b") == Submission("/pick", "POST", (("user", "b"),))

    @pytest.mark.parametrize("choice", ["grace", "ad", "Lovelace-2"])
    def test_says_so_when_nobody_offers_it(self, choice: str) -> None:
        """Part of a name is no name."""
        with pytest.raises(NoSuchChoice, match=f"none of 3 forms offers {choice}"):
            find_submission(ACCOUNTS, choice)
