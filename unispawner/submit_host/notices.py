"""Warns of lines that a scheduler's command printed and that do not belong to its answer."""

from __future__ import annotations

import logging
from collections.abc import Hashable

from ..schedulers.questions import Notice
from ..schedulers.reading import kind_of, quote_lines

log = logging.getLogger("JupyterHub.unispawner")  # with the Hub's own handlers

MOST_KINDS = 5
"""How many kinds of lines of one command are warned of: a user may be able to make new ones."""


class Notices:
    """Warns once of each kind of lines that were passed over.

    Two lines are of the same kind if they differ in digits only. Each command of each scheduler is
    counted by itself.
    """

    def __init__(self) -> None:
        self._known: dict[object, set[str]] = {}

    def warn(self, notice: Notice, asked: Hashable) -> None:
        """Log the lines that the reader of an answer passed over, unless their kinds are known.

        Parameters
        ----------
        asked
            What was asked: which scheduler of which host, with which environment.
        """
        command = notice.command
        known = self._known.setdefault((command, asked), set())
        new = []
        for line in notice.lines:
            if (kind := kind_of(line)) not in known and len(known) < MOST_KINDS:
                known.add(kind)
                new.append(line)
        if new:
            log.warning(
                "%s printed lines that do not belong to its answer. They are passed over, and the "
                "rest counts. If %s is a script of the site's, it should print them to standard "
                "error:\n%s",
                command,
                command,
                quote_lines(new),
            )


NOTICES = Notices()
