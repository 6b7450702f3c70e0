"""The schema of the event log, and what never gets into an event; no Hub and no scheduler."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from jsonschema import Draft7Validator
from jupyter_events import yaml
from jupyter_events.logger import EventLogger
from support.events import EventsInMemory
from traitlets.config import Config

from unispawner import events

DEFINED: dict[str, Any] = yaml.load(events.SCHEMA)
NAMES = {"user": "ada", "server": "", "profile": "", "scheduler": "slurm", "cluster": ""}
EVENT = {**NAMES, "mark": "0123", "job_id": "7"}
LOG = logging.getLogger("tests.events")


def make_eventlog(*handlers: logging.Handler) -> EventLogger:
    config = Config()
    config.EventLogger.handlers = list(handlers)
    eventlog = EventLogger(config=config)
    events.register(eventlog, LOG)
    return eventlog


def emit(eventlog: Any, event: str = "queued", **more: Any) -> bool:
    return events.emit(eventlog, LOG, event, "ada", lambda: {**EVENT, **more})


def test_the_schema_is_one_of_jupyter_events() -> None:
    """jupyter_events accepts it, and it has the id that the code uses."""
    Draft7Validator.check_schema(DEFINED)
    assert events.SCHEMA_ID == DEFINED["$id"]
    assert events.SCHEMA_ID in make_eventlog().schemas


def test_each_property_is_documented() -> None:
    """Each property says what it is and whether it is about a person; a number has a unit."""
    known = set(DEFINED["properties"]["event"]["enum"])
    assert list(DEFINED["properties"]["event"]["meanings"]) == list(
        DEFINED["properties"]["event"]["enum"]
    )
    for name, one in DEFINED["properties"].items():
        assert one["description"].endswith("."), name
        assert isinstance(one["personal"], bool), name
        assert one["type"] == "string" or one["unit"], name
        assert set(one.get("events", ())) <= known, name
        assert (name in DEFINED["required"]) is ("events" not in one), name
    assert DEFINED["additionalProperties"] is False


def test_an_event_is_a_line_of_json() -> None:
    """An event has the properties, and jupyter_events adds when it was and which schema it has."""
    handler = EventsInMemory()
    assert emit(make_eventlog(handler), seconds=1.5, host=None)
    (found,) = handler.all
    kept = {name: value for name, value in found.items() if not name.startswith(("__", "task"))}
    assert {**EVENT, "event": "queued", "seconds": 1.5} == kept
    assert found["__timestamp__"]


def test_without_a_handler_nothing_is_written() -> None:
    """A Hub without handlers has no event, and nothing is logged."""
    assert not emit(make_eventlog())


class _Fails(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise OSError("the disk is full")


@pytest.mark.parametrize(
    ("handler", "more", "why"),
    [
        (_Fails(), {}, "the disk is full"),
        (EventsInMemory(), {"seconds": "soon"}, "'soon' is not of type 'number'"),
        (EventsInMemory(), {"token": "abc"}, "Additional properties are not allowed"),
    ],
)
def test_an_event_that_cannot_be_written(
    handler: logging.Handler, more: dict[str, Any], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A handler that fails, or a value that the schema lacks, costs only a line of the log."""
    assert not emit(make_eventlog(handler), **more)
    assert "c.EventLogger: the event 'queued' of ada was not written" in caplog.text
    assert why in caplog.text


def test_an_event_log_of_another_kind(caplog: pytest.LogCaptureFixture) -> None:
    """A Hub starts, and its servers start, if its event log has not what we expect of it."""
    events.register(object(), LOG)
    assert not emit(object())
    assert "was not registered" in caplog.text


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("/home/ada/run: not found", "(path): not found"),
        ("can't read '/home/ada b/c' (13)", "can't read (path) (13)"),
        ('open("/home/ada b/c")', "open((path))"),
        ("HOME=/home/ada PATH=/a/b:/c/d", "HOME=(path) PATH=(path):(path)"),
        ("nfs:/home/ada is stale", "nfs:(path) is stale"),
        ("see file:///home/ada/x.log", "see (path)"),
        ("file '/tmp/ä ö/x' and /é", "file (path) and (path)"),
        (
            "no answer from https://ada:pw@hub.example:8000/hub/?token=x",
            "no answer from https://hub.example:8000",
        ),
        ("4 cores and/or 16 GiB, n/a, 1 / 2", "4 cores and/or 16 GiB, n/a, 1 / 2"),
        ("two\nlines\tand a tab", "two lines and a tab"),
        ("the token s3cret is wrong", "the token (secret) is wrong"),
        ("x" * 2000, "x" * 999 + "…"),
    ],
)
def test_a_reason_without_what_is_private(reason: str, expected: str) -> None:
    """A reason has no path, no token and no part of an address but the host; it is one line."""
    assert expected == events.clean_reason(reason, "s3cret")
