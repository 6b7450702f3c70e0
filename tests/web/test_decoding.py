"""Tests of the texts that are hidden in encoded ones."""

from __future__ import annotations

import base64

import pytest

from unispawner.web.decoding import decode_all


@pytest.mark.parametrize(
    "text",
    [
        r'{"queue": ["\u0024(id)"]}',
        r"queue: \x24(id)",
        r"\044(id)",
        "%24%28id%29",
        "%2524%2528id%2529",
        "&#36;(id)",
        "JChpZCk=",
        "JChpZCk",
        base64.b64encode(rb'["\u0024(id)"]').decode(),
        "\N{FULLWIDTH DOLLAR SIGN}(id)",
    ],
)
def test_what_an_encoded_text_hides(text: str) -> None:
    """A command of a shell is found that the usual ways to decode make of a text."""
    assert any("$(id)" in one for one in decode_all([text]))


@pytest.mark.parametrize(
    "text", ["long", "a b", "", "[" * 100_000, "&#" + "1" * 5000, "{", "100%", "a&b", "\\"]
)
def test_a_text_that_hides_nothing(text: str) -> None:
    """A text that is not encoded gives itself, and no error."""
    assert text in decode_all([text])
