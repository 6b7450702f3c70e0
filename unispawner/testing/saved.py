"""Reads what the real commands of a scheduler have printed, as it was saved in files."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..schedulers.base import Reply


def read_saved_reply(path: str | os.PathLike[str]) -> Reply:
    """Return the reply of a real command that was saved in a file, as input for a parser's tests.

    The file has a line ``$ command`` and the command's standard output. If the command wrote to
    standard error, a line ``--- stderr`` and that text follow. The last line is
    ``--- exit status N``.

    Raises
    ------
    ValueError
        If the file does not have this form.
    """
    text = Path(path).read_text(encoding="utf-8")
    match = re.fullmatch(
        r"\$ (?P<command>.*)\n(?P<stdout>(?s:.*?))"
        r"(?:^--- stderr\n(?P<stderr>(?s:.*?)))?^--- exit status (?P<status>\d+)\n?",
        text,
        re.MULTILINE,
    )
    if match is None:
        raise ValueError(
            f"{path} is not the saved output of a command: it must begin with a line '$ command' "
            "and end with a line '--- exit status N'"
        )
    words = tuple(match["command"].split(" "))
    return Reply(words, int(match["status"]), match["stdout"], match["stderr"] or "")


__all__ = ["read_saved_reply"]
