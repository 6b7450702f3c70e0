"""What a session's job was given, what it has used, and why it ended, in the Hub's database.

These have a table of their own beside the history's: rows of an older release have none of it, and
stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, Float, String, Text, select

from ..job import JobSpec
from ..texts import from_data, to_data
from .user_tables import make_table, user_table

_LONGEST_TEXT = 32_000
"""How many characters of JSON a text may have; a longer one is kept in English only."""
AMOUNTS = ("seconds", "cores", "memory", "gpus", "gpu_memory")
"""The keys of what a job was given and has used: seconds of wall time, numbers of cores and of GPUs
(busy on average, for what was used), bytes of memory, and bytes of the GPUs' memory."""
TABLE = user_table(
    "unispawner_session_facts",
    Column("mark", String(64), primary_key=True),
    Column("expires", Float(53), nullable=False, index=True),
    Column("requested", Text, nullable=False),
    Column("used", Text, nullable=False),
    Column("cause", String(32), nullable=False),
    # The history's texts as texts.to_data has them: each reader gets them in their language.
    Column("summary", Text, nullable=False),
    Column("reason", Text, nullable=False),
)

Amounts = Mapping[str, float]


@dataclass(frozen=True)
class Facts:
    """What is known of a session's job in numbers; empty where it is not known.

    Attributes
    ----------
    requested, used
        What the job was given, and what it has used: see ``AMOUNTS``.
    cause
        Why it ended: one of :data:`unispawner.schedulers.usage.CAUSES`, or ``administrator`` or
        ``service`` if such a one has stopped it.
    summary, reason
        The history's texts; they can be shown in other languages. Empty if they are not known.
    """

    requested: Amounts = field(default_factory=dict)
    used: Amounts = field(default_factory=dict)
    cause: str = ""
    summary: str = ""
    reason: str = ""


def measure(spec: JobSpec) -> dict[str, Any]:
    """Return what a job requests, as ``AMOUNTS``; what it leaves to the scheduler is missing."""
    asked, found = spec.resources, dict[str, Any]()
    if asked.cpu_cores_per_process or asked.processes > 1:
        found["cores"] = (asked.cpu_cores_per_process or 1) * asked.processes
    if asked.memory:  # 0 is all memory of the nodes, which is no number
        found["memory"] = asked.memory
    if asked.gpu_cores_per_process:
        found["gpus"] = asked.gpu_cores_per_process * asked.processes
    if spec.duration:
        found["seconds"] = spec.duration.total_seconds()
    return found


def write(session: Any, user_name: str, mark: str, expires: float, **values: Any) -> None:
    """Change what is known of a session; add its row if there is none."""
    make_table(session, TABLE)
    texts = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
    }
    one = (TABLE.c.user_name == user_name, TABLE.c.mark == mark)
    if session.execute(select(TABLE.c.mark).where(*one)).first() is not None:
        session.execute(TABLE.update().where(*one).values(texts))
        return
    empty = {"requested": "{}", "used": "{}", "cause": "", "summary": '""', "reason": '""'}
    keys = {"user_name": user_name, "mark": mark, "expires": expires}
    session.execute(TABLE.insert().values({**empty, **texts, **keys}))


def read(session: Any, user_name: str) -> dict[str, Facts]:
    """Return what is known of a user's sessions, by their marks.

    Raises
    ------
    SQLAlchemyError
        If the database can't be read.
    """
    make_table(session, TABLE)
    rows = session.execute(TABLE.select().where(TABLE.c.user_name == user_name)).all()
    return {
        row.mark: Facts(
            _read_amounts(row.requested),
            _read_amounts(row.used),
            row.cause,
            _read_text(row.summary),
            _read_text(row.reason),
        )
        for row in rows
    }


def text_to_json(text: str) -> str:
    """Return a text of the history as its column has it."""
    found = json.dumps(to_data(text))
    return found if len(found) <= _LONGEST_TEXT else '""'


def _read_text(text: str) -> str:
    try:
        return from_data(json.loads(text))
    except (ValueError, RecursionError):
        return ""


def _read_amounts(text: str) -> dict[str, float]:
    """Return the numbers of a row; a damaged one costs nothing else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        name: found[name]
        for name in AMOUNTS
        if type(found.get(name)) in (int, float) and 0 <= found[name] < 2**53
    }
