"""Fills in a template of a job's script or a command, as batchspawner does."""

from __future__ import annotations

from typing import Any


def format_template(template: Any, *args: Any, **kwargs: Any) -> str:
    """Fill in a template by Jinja or by ``str.format``.

    Parameters
    ----------
    template
        A ``jinja2.Template``, or a text: with Jinja if it has ``{{`` or ``{%`` in it, else by
        ``str.format``, where a brace that is meant is written twice. One text can't be both.
    """
    if isinstance(template, str) and "{{" not in template and "{%" not in template:
        return template.format(*args, **kwargs)
    from jinja2 import Template  # takes 50 ms: the user's side shall not pay for it without need

    if isinstance(template, str):
        template = Template(template)
    return str(template.render(*args, **kwargs))
