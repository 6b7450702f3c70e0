"""The event log of the Hub: one schema, and what writes an event.

JupyterHub has an event log of jupyter_events, with ``c.EventLogger.handlers`` as its destinations.
Without a handler nothing is written. An event is worth less than a server, so nothing here raises.
docs/events.md has the events and their properties, which ``event_schemas/server.yaml`` defines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).parent / "event_schemas" / "server.yaml"
SCHEMA_ID = "urn:unispawner:events:server"
LONGEST_REASON = 1000
"""How many characters of a reason an event has."""

_FOREIGN = re.compile(
    r"""
      (?P<scheme>\b(?!file:)\w+://)(?:[^\s/?\#@'"]*@)?(?P<host>[^\s/?\#@'"]*)[^\s'"]*  # an address
    | '(?:file://)?/[^'\n]*' | "(?:file://)?/[^"\n]*"  # a path between quotes may hold spaces
    | \bfile://[^\s'"]*
    | (?<![\w/])/[^\s'",;:()/][^\s'",;:()]*
    """,
    re.VERBOSE,
)
"""Addresses, of which only the host is kept, and absolute paths."""


def register(eventlog: Any, log: Any) -> None:
    """Make the schema known to a Hub's event log; log why if that fails."""
    try:
        if SCHEMA_ID not in eventlog.schemas:
            eventlog.register_event_schema(SCHEMA)
    except Exception as error:  # of another release of jupyter_events: the Hub starts all the same
        log.warning("The schema of unispawner's events was not registered: %s", error)


def has_readers(eventlog: Any) -> bool:
    """Return whether a Hub's event log has a destination; it may be None where there is no Hub."""
    return bool(getattr(eventlog, "handlers", None))


def emit(
    eventlog: Any, log: Any, event: str, whose: str, make: Callable[[], Mapping[str, Any]]
) -> bool:
    """Write an event; return False if nobody wants it or it can't be written, and log the latter.

    Parameters
    ----------
    eventlog
        The Hub's.
    log
        Where a failure is logged.
    event, whose
        The name of the event, and of the server in log lines.
    make
        Returns the other properties of the schema. Those without a value are left out.
    """
    try:
        known = {name: _plain(one) for name, one in make().items() if one is not None}
        data = {"event": event, **known}
        return eventlog.emit(schema_id=SCHEMA_ID, data=data) is not None
    except Exception as error:  # of a handler or a modifier of the site, or of a value: no start
        log.warning(
            "c.EventLogger: the event %r of %s was not written: %s: %s",
            *(event, whose, type(error).__name__, error),
        )
        return False


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: texts of ours are more than their English words."""
    return str(value) if isinstance(value, str) else value


def clean_reason(text: str, secret: str = "") -> str:
    """Return a reason without paths, without what an address may hold, and on one line.

    Parameters
    ----------
    secret
        What must not be in it in any case: the server's token.
    """
    words = str(text)
    if secret:
        words = words.replace(secret, "(secret)")
    words = words[: 10 * LONGEST_REASON]
    words = " ".join(_FOREIGN.sub(_without_path, words).split())
    return words if len(words) <= LONGEST_REASON else f"{words[: LONGEST_REASON - 1]}…"


def _without_path(found: re.Match[str]) -> str:
    return f"{found['scheme']}{found['host']}" if found["scheme"] else "(path)"
