"""Fills in a template of a job's script or a command, as batchspawner does."""

from __future__ import annotations

from string import Formatter
from typing import Any


def uses_jinja(template: str) -> bool:
    """Return whether a text is filled in by Jinja: it has ``{{`` or ``{%`` in it."""
    return "{{" in template or "{%" in template


def format_template(template: Any, *args: Any, **kwargs: Any) -> str:
    """Fill in a template by Jinja or by ``str.format``.

    Parameters
    ----------
    template
        A ``jinja2.Template``, or a text: with Jinja if it has ``{{`` or ``{%`` in it, else by
        ``str.format``, which then can't write an opening brace: twice, it would be Jinja's.
    """
    if isinstance(template, str) and not uses_jinja(template):
        return template.format(*args, **kwargs)
    from jinja2 import Template  # takes 50 ms: the user's side shall not pay for it without need

    if isinstance(template, str):
        template = Template(template)
    return str(template.render(*args, **kwargs))


def field_names(template: str) -> set[str]:
    """Return the fields that a template needs.

    Raises
    ------
    ValueError
        If it is no template: a brace is left open, say.
    """
    if not uses_jinja(template):
        return {name for _, name, _, _ in Formatter().parse(template) if name is not None}
    from jinja2 import Environment, TemplateSyntaxError, meta

    try:
        return meta.find_undeclared_variables(Environment().parse(template))  # noqa: S701 - no HTML
    except TemplateSyntaxError as error:
        raise ValueError(f"line {error.lineno}: {error.message}") from None
