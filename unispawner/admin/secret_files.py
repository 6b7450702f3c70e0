"""Secrets of administrators' commands: from a file or a variable, and never from an argument."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import InvalidJobError


def read_secret(file: str | None, variable: str, option: str) -> str:
    """Return the secret in a file, or else in a variable of the environment; empty if in neither.

    Parameters
    ----------
    file
        The path that the option names; ``None`` if the option was not given.
    variable, option
        The names of the variable and of the option, for the error.

    Raises
    ------
    InvalidJobError
        If the file can't be read.
    """
    if file is None:
        return os.environ.get(variable, "").strip()
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise InvalidJobError(
            f"{option}: {file} can't be read: {getattr(error, 'strerror', None) or error}. "
            "Name a file that the account of this command can read"
        ) from None
