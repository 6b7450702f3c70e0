"""A legacy class's templates, filled in; an error names the trait and shows its text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InvalidJobError
from ..script.filling import format_template
from .traits import BatchTraits


def fill_in(spawner: BatchTraits, trait: str, fields: Mapping[str, Any]) -> str:
    """Return a template of a spawner's, filled in.

    Raises
    ------
    InvalidJobError
        If it can't be filled in.
    """
    text = getattr(spawner, trait)
    try:
        return format_template(text, **fields)
    except Exception as error:  # str.format's or Jinja's, of which there are many
        raise _cannot_fill(spawner, trait, text, error, fields) from error


def _cannot_fill(
    spawner: BatchTraits, trait: str, text: str, error: Exception, fields: Mapping[str, Any]
) -> InvalidJobError:
    if isinstance(error, KeyError):
        why = f"there is no field {error.args[0]!r}; known fields: {', '.join(sorted(fields))}"
    else:
        why = f"{type(error).__name__}: {error}"
    return InvalidJobError(
        f"c.{type(spawner).__name__}.{trait}: {why}. (Write a brace that stands for itself twice, "
        f"as in ${{{{HOME}}}}.) The text:\n{text}"
    )


def known_fields(spawner: BatchTraits) -> dict[str, Any]:
    """Return what templates may name, as far as the class tells, each with the value "x"."""
    names = [name[4:] for name in spawner.trait_names() if name.startswith("req_")]
    return dict.fromkeys((*names, "job_id", "cmd"), "x")
