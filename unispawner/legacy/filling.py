"""Fills in a legacy class's templates; an error names the trait and shows the template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InvalidJobError
from ..script.filling import field_names, format_template, unknown_field
from .traits import BatchTraits


def fill_in(spawner: BatchTraits, trait: str, fields: Mapping[str, Any]) -> str:
    """Return the template that a spawner has in a trait, filled in.

    Raises
    ------
    InvalidJobError
        If the template can't be filled in. Its ``__cause__`` is a KeyError if the template names a
        field that does not exist.
    """
    template = read_template(spawner, trait)
    try:
        return format_template(template, **fields)
    except KeyError as error:
        where = f"c.{type(spawner).__name__}.{trait}"
        message = unknown_field(where, template, str(error.args[0]), fields)
        raise InvalidJobError(message) from error
    except Exception as error:  # str.format and Jinja raise many kinds
        raise cannot_fill(spawner, trait, error) from error


def read_template(spawner: BatchTraits, trait: str) -> Any:
    """Return the template that a spawner has in a trait: a site's class may have a method there."""
    template = getattr(spawner, trait)
    return template() if callable(template) else template


def cannot_fill(spawner: BatchTraits, trait: str, error: Exception) -> InvalidJobError:
    """Return the error for a template that can't be filled in, for any reason."""
    return InvalidJobError(
        f"c.{type(spawner).__name__}.{trait}: the template can't be filled in: "
        f"{type(error).__name__}: {error}. The template:\n{_show_template(spawner, trait)}"
    )


def _show_template(spawner: BatchTraits, trait: str) -> str:
    try:
        return str(read_template(spawner, trait))
    except Exception as error:  # a property or method of a site's class
        return f"(made by {type(spawner).__name__}.{trait}, which failed: {error})"


def template_fields(spawner: BatchTraits) -> dict[str, Any]:
    """Return the fields that templates may name, as far as the class shows, with the value "x"."""
    names = [name[4:] for name in spawner.trait_names() if name.startswith("req_")]
    return dict.fromkeys((*names, "job_id", "cmd"), "x")


def named_fields(template: Any) -> set[str] | None:
    """Return the fields that a template names; None if they can't be known before it is used."""
    if not isinstance(template, str):
        return None
    try:
        return field_names(template)
    except ValueError:
        return None
