"""Templates of scripts and commands: filled in, or refused with the line that is wrong."""

from typing import Any

import pytest
from jinja2 import Template, UndefinedError

from unispawner.errors import InvalidJobError
from unispawner.script.filling import field_names, fill_template

WHERE = "c.X.batch_script"


def refusal(template: Any, **fields: Any) -> InvalidJobError:
    with pytest.raises(InvalidJobError) as caught:
        fill_template(WHERE, template, fields)
    return caught.value


@pytest.mark.parametrize(
    "template",
    ["a {x} b", "a {{ x }} b", "a {% if x %}{{ x }}{% endif %} b", Template("a {{x}} b")],
)
def test_fields_are_filled_in(template: Any) -> None:
    """Both kinds of templates, and one of Jinja's own class, give the same text."""
    assert "a 1 b" == fill_template(WHERE, template, {"x": 1})


def test_an_unknown_field_is_shown_with_its_line() -> None:
    """The message names the setting, the field, the line and the fields that exist."""
    error = refusal("#!/bin/sh\necho {known}\necho ${HOME}\n", known=1, other=2)
    expected = (
        f"{WHERE}: there is no field 'HOME', in 'echo ${{HOME}}'; the fields are known, other"
    )
    assert error.message.startswith(expected)
    assert "only in a Jinja template, which writes each field as {{ name }}" in error.message
    assert isinstance(error.__cause__, KeyError)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("echo {x", f"{WHERE}: ValueError: expected '}}' before end of string, in 'echo {{x'"),
        ("{{ x", f"{WHERE}: TemplateSyntaxError: "),
        ("{x.y}", f"{WHERE}: AttributeError: 'int' object has no attribute 'y', in '{{x.y}}'"),
        ("{{ x.y.z }}", f"{WHERE}: UndefinedError: "),
    ],
)
def test_a_template_that_cannot_be_filled_in(template: str, expected: str) -> None:
    """The message has the error's own name and words, whichever kind of template it is."""
    assert refusal(template, x=1).message.startswith(expected)


def test_the_cause_is_kept() -> None:
    """A caller can tell an unknown field from another mistake."""
    assert isinstance(refusal("{{ x.y.z }}", x=1).__cause__, UndefinedError)


def test_the_names_of_fields() -> None:
    """All fields of a template are found; an open brace raises."""
    assert {"a", "b"} == field_names("{a} {b} {a}") == field_names("{{ a }} {% if b %}{% endif %}")
    for text in ("{a", "{{ a"):
        with pytest.raises(ValueError):
            field_names(text)
