"""Fills in a template of a job's script or a command, as batchspawner does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import InvalidJobError
from ..schedulers.template_dialect import format_fields


def uses_jinja(template: str) -> bool:
    """Return whether a text is a Jinja template: it has ``{{`` or ``{%`` in it."""
    return "{{" in template or "{%" in template


def format_template(template: Any, *args: Any, **kwargs: Any) -> str:
    """Fill in a template with Jinja or ``str.format``.

    Parameters
    ----------
    template
        A ``jinja2.Template``, or a text. A text that has ``{{`` or ``{%`` in it is filled in by
        Jinja, another by ``str.format``. So the latter can't write a brace of its own: written
        twice, as ``str.format`` wants it, it would make the text a Jinja template.
    """
    if isinstance(template, str) and not uses_jinja(template):
        return template.format(*args, **kwargs)
    from jinja2 import Template  # takes 50 ms: the user's side loads it only where it is needed

    if isinstance(template, str):
        template = Template(template)
    return str(template.render(*args, **kwargs))


def fill_template(where: str, template: Any, fields: Mapping[str, Any]) -> str:
    """Fill in a template as :func:`format_template` does, with errors for who wrote it.

    Parameters
    ----------
    where
        The file or setting that holds the template; the error begins with it.

    Raises
    ------
    InvalidJobError
        If the template can't be filled in; it shows the line. Its ``__cause__`` is the error of
        ``str.format``, of Jinja, or of the template's own code.
    """
    try:
        return format_template(template, **fields)
    except Exception as error:  # a template may run code, which may raise anything
        if isinstance(error, KeyError):
            name = str(error.args[0])
            message = unknown_field(where, template, name, fields)
        else:
            message = f"{where}: {type(error).__name__}: {error}, in {find_line(template)!r}"
        raise InvalidJobError(message) from error


def unknown_field(where: str, template: Any, name: str, fields: Iterable[str]) -> str:
    """Return the message for a field that a template names and that there isn't."""
    return (
        f"{where}: there is no field {name!r}, in {find_line(template, name)!r}; the fields are "
        f"{', '.join(sorted(fields))}. (A brace of the text's own, as in ${{HOME}}, can stand only "
        "in a Jinja template, which writes each field as {{ name }}.)"
    )


def find_line(template: Any, name: str = "") -> str:
    """Return the line of a template that names a field; the first line if none does visibly."""
    lines = [line for line in str(template).splitlines() if line.strip()] or [""]
    named = (line for line in lines if name and re.search(rf"\{{.*\b{re.escape(name)}\b", line))
    return next(named, lines[0])


def field_names(template: str) -> set[str]:
    """Return the fields that a template needs.

    Raises
    ------
    ValueError
        If the text is not a template, as when a brace is left open.
    """
    if not uses_jinja(template):
        return format_fields(template)
    from jinja2 import Environment, TemplateSyntaxError, meta

    try:
        return meta.find_undeclared_variables(Environment().parse(template))  # noqa: S701 (no HTML)
    except TemplateSyntaxError as error:
        raise ValueError(f"line {error.lineno}: {error.message}") from None
