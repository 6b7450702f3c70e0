"""The event log of a Hub in a test: its events as they would be written to a file."""

from __future__ import annotations

import json
import logging
from typing import Any


class EventsInMemory(logging.Handler):
    """A handler for ``c.EventLogger.handlers`` that keeps unispawner's events."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep an event as the line that a file would get."""
        self.lines.append(self.format(record))

    @property
    def all(self) -> list[dict[str, Any]]:
        """The events so far."""
        found = map(json.loads, self.lines)
        return [one for one in found if one["__schema__"].startswith("urn:unispawner:")]

    @property
    def names(self) -> list[str]:
        """What has happened so far, in a word each; with what was found again, and how it ended."""
        return [
            ":".join(filter(None, (one["event"], one.get("what"), one.get("outcome"))))
            for one in self.all
        ]
