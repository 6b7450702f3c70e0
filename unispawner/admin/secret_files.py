"""Secrets of administrators' commands: from a file or a variable, and never from an argument."""

from __future__ import annotations

import os
import stat

from ..errors import InvalidJobError

_TOO_OPEN = stat.S_IWGRP | stat.S_IRWXO
"""What a file's mode must not let others do. A group that may only read it is often meant so."""
_LONGEST = 65536


def read_secret(file: str | None, variable: str, option: str) -> str:
    """Return the secret in a file, or else in a variable of the environment; empty if in neither.

    Line ends after it do not belong to it; blanks do, since a password may have them.

    Parameters
    ----------
    file
        The path that the option names; ``None`` if the option was not given.
    variable, option
        The names of the variable and of the option, for the error.

    Raises
    ------
    InvalidJobError
        If the file can't be read, or if its mode lets others use it.
    """
    if file is None:
        return _without_line_ends(os.environ.get(variable, ""))
    try:
        with open(file, "rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            if stat.S_ISREG(mode) and mode & _TOO_OPEN:  # the pipe of a shell's <(…) has no owner
                raise InvalidJobError(
                    f"{option}: others may use {file} (mode {stat.S_IMODE(mode):04o}). Take that "
                    f"away with `chmod 600 {file}`, and replace the secret if someone may have "
                    "read it"
                )
            return _without_line_ends(opened.read(_LONGEST).decode())
    except (OSError, UnicodeError, ValueError) as error:
        raise InvalidJobError(
            f"{option}: {file} can't be read: {getattr(error, 'strerror', None) or error}. "
            "Name a file that the account of this command can read"
        ) from None


def _without_line_ends(text: str) -> str:
    return text.rstrip("\r\n")
