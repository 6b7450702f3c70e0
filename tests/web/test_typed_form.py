"""What a browser can send for a form, and what it can't."""

from __future__ import annotations

from typing import Any

import pytest

from unispawner.errors import InvalidJobError
from unispawner.web.typed_form import check_plain, check_typed, read_form

FORM = """
<select name="queue"><option>short  queue<option value="long; really" selected>Long</select>
<select name="none"><option disabled value="gpu">GPU</option></select>
<select name="later"><option value="">loading …</option></select>
<input type="radio" name="kind" value="a"><input type="radio" name="kind" value="b">
<input type="checkbox" name="lab"><input name="word" maxlength="5">
<textarea name="lines">
first
second</textarea>
<fieldset disabled><input name="inside"></fieldset><input name="off" disabled>
<input type="hidden" name="fixed" value="a&amp;b"><input type="file" name="upload">
"""


def test_reading_a_form() -> None:
    """The fields have the values that a browser would send; disabled ones are left out."""
    form = read_form(FORM)
    expected = {
        *("queue", "none", "later", "kind", "lab", "word", "lines", "fixed"),
        *("upload", "upload_file"),
    }
    assert expected == form.names
    assert {"short queue", "long; really"} == form.fields["queue"].values
    assert {"first\nsecond"} == form.fields["lines"].values
    assert {"on"} == form.fields["lab"].values
    assert form.offers("lines", "first\r\nsecond")
    assert form.offers("fixed", "a&b")
    assert not form.offers("word", "a&b")
    assert not form.open


@pytest.mark.parametrize(
    ("html", "is_open"),
    [
        ("", True),
        ("<div id=form></div>", True),
        ("<input name=a><script>…</script>", True),
        ("<input name=a><script type=module src=x.js></script>", True),
        ("<input name=a><script type='application/json'>{}</script>", False),
        ("<input name=a onchange='…'>", True),
        ("<input name=a>", False),
    ],
)
def test_an_open_form(html: str, is_open: bool) -> None:
    """A script may add fields in the browser; data in a script element does not."""
    assert is_open == read_form(html).open


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("queue", "short queue"), ("queue", "long; really"), ("kind", "b"), ("lab", "on")),
        *(("none", "gpu"), ("later", "any"), ("word", "a;$(b"), ("word", "")),
        *(("lines", "a\r\n\tb"), ("lines", "$(a)"), ("fixed", "other"), ("keyed", "a b")),
    ],
)
def test_what_can_be_typed(name: str, text: str) -> None:
    """Text of any kind can be typed, also lines in a textarea; a select has its own values, unless
    none is known."""
    check_typed({name: [text]}, read_form(FORM))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        *(("queue", "Long", "not a choice"), ("kind", "c", "not a choice")),
        *(
            ("lab", "off", "not a choice"),
            ("word", "a\nb", "control"),
            ("word", "a\x7f", "control"),
        ),
        *(("word", "toolong", "7 characters; at most 5"), ("lines", "a\x1b", "control")),
        *(("fixed", "\ud800", "invalid"), ("a\nb", "x", "control")),
        ("lines", "x" * 70_000, "70000 characters; at most 65536"),
    ],
)
def test_what_no_browser_sends(name: str, text: str, words: str) -> None:
    """Control characters outside a textarea, other values than a select's, and too long texts are
    refused with the field's name."""
    with pytest.raises(InvalidJobError, match=words):
        check_typed({name: [text]}, read_form(FORM))


def test_names_that_the_configuration_frees() -> None:
    """A name may be free to have other choices than the form's, or be trusted with any text."""
    check_typed({"queue": ["other"]}, read_form(FORM), free=["queue"])
    check_typed({"queue": ["a\nb"]}, read_form(FORM), trusted=["queue"])
    with pytest.raises(InvalidJobError, match="control"):
        check_typed({"queue": ["a\nb"]}, read_form(FORM), free=["queue"])


def test_a_script_may_add_choices() -> None:
    """Where a script may change the form, a select may send other values; lines stay refused."""
    form = read_form(f"{FORM}<script src='x.js'></script>")
    check_typed({"queue": ["added"], "word": ["longer than five"]}, form)
    with pytest.raises(InvalidJobError, match="control"):
        check_typed({"added": ["a\nb"]}, form)


def test_a_file() -> None:
    """The content of a file may be any bytes; its name may have no control character."""
    file: dict[str, Any] = {"filename": "a.txt", "body": b"\x00\n", "content_type": "text/plain"}
    check_typed({"upload_file": [file]}, read_form(FORM))
    with pytest.raises(InvalidJobError, match="control"):
        check_typed({"upload_file": [{**file, "filename": "a\nb"}]}, read_form(FORM))


def test_the_forms_own_values_are_those_of_a_field() -> None:
    """A value of one field is no value of another: a link may put it where it has a meaning."""
    form = read_form(FORM)
    check_plain({"queue": ["long; really"]}, form)
    with pytest.raises(InvalidJobError, match="word: .* may have only letters"):
        check_plain({"word": ["long; really"]}, form)


def test_the_names_of_fields() -> None:
    """A field's name may have any characters if the form has it; in a link other names are
    plain."""
    check_plain({"modules[]": ["gcc"]}, read_form('<input name="modules[]">'))
    with pytest.raises(InvalidJobError, match="may have only letters"):
        check_plain({"modules[]": ["gcc"]}, read_form(""))
