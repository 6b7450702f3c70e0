"""What became of a user's servers: a row of the Hub's database for each start, kept for some days.

A row is written with the id of the job, or when a start fails before there is one; again when the
server is ready, and when it has ended. It is for the user's eyes only: nothing that keeps a server
or its job depends on it, so that a database that refuses it costs no server.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from secrets import token_hex
from typing import Any, Literal, Protocol

from sqlalchemy import Column, Float, String, Table, Text, Unicode, select

from ..errors import UniSpawnerError
from ..monitor.monitor import Monitor
from ..monitor.tracked_job import TrackedJob
from ..web import bookkeeping, words
from ..web.summary import format_moment
from . import session_facts, session_ties, used
from .database import save_later, save_soon, session_of
from .session_facts import Amounts, Facts
from .state import ServerState
from .user_tables import make_table, user_table

Outcome = Literal["", "stopped", "ended", "failed", "refused", "unknown"]
"""How a session ended: ``stopped`` by its user, an administrator or the Hub; ``ended`` by itself;
``failed``, with a reason; ``refused`` before there was a job. Empty while it waits or runs. It is
``unknown`` if the Hub did not run at that time."""

_DAY = 86400.0
_SWEEP = 3600.0
"""How long (seconds) between two deletions of what is too old."""
_LONGEST_TEXT = 4000
"""How many characters of a reason, of a log or of a choice are kept."""
_NOT_KEPT = re.compile("[\x00\ud800-\udfff]")
"""What some databases can't keep. A user's own side may have sent it."""
_MOST = 200
"""How many sessions of a user are kept at most, and shown."""
_TABLE = user_table(
    "unispawner_sessions",
    Column("mark", String(64), primary_key=True),
    Column("server", Unicode(255), nullable=False),
    Column("profile", Unicode(255), nullable=False),
    Column("profile_name", Unicode(255), nullable=False),
    Column("options", Text, nullable=False),
    Column("summary", Unicode(255), nullable=False),
    Column("scheduler", Unicode(255), nullable=False),
    Column("cluster", Unicode(255), nullable=False),
    Column("job_id", Unicode(255), nullable=False),
    Column("host", Unicode(255), nullable=False),
    # MySQL's FLOAT without a number would round the times to two minutes.
    *(Column(name, Float(53)) for name in ("asked", "started", "ready", "ended")),
    Column("expires", Float(53), nullable=False, index=True),
    Column("outcome", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("log", Text, nullable=False),
)
_BESIDE = (session_facts.TABLE, session_ties.TABLE)
"""What is known of sessions beside their rows."""
_MOMENTS = ("asked", "started", "ready", "ended")


@dataclass(frozen=True)
class Ending:
    """How a session ended: see ``Outcome``, with the reason, the end of the job's log, and the
    cause: see :class:`.session_facts.Facts`."""

    outcome: Outcome
    reason: str = ""
    log: str = ""
    cause: str = ""

    def of_row(self) -> dict[str, str]:
        """Return what the table of sessions has of it; the cause is in that of facts.

        Without a log it leaves the one that is saved: the log may be read before the Hub forgets
        the server.
        """
        log = {"log": self.log} if self.log else {}
        return {"outcome": self.outcome, "reason": str(self.reason), **log}


@dataclass(frozen=True)
class Session:
    """One start of a server, and what became of it.

    Attributes
    ----------
    mark
        The mark of its job, by which the API names it.
    server
        The server's name; the default server's is empty.
    profile, profile_name, options
        What was chosen: the profile's slug, its name for users, and all ``user_options``.
    summary
        What the job requested: "4 cores, 16 GiB, 8 hours".
    scheduler, cluster, job_id, host
        Where it ran, in the scheduler's words; empty if there was no job, or if it never ran.
    asked, started, ready, ended
        When the user asked for it, when the job began to run, when the server was ready, and when
        it ended; in seconds since the epoch. None if that did not happen or is not known.
    outcome, reason, log
        How it ended, why, and the end of the job's log if it failed.
    cause, requested, used
        Why it ended before its time, in a word, and what the job was given and has used: see
        :class:`.session_facts.Facts`.
    continues
        The mark of the session with whose server it went on: its job was that server's second one.
    """

    mark: str
    server: str = ""
    profile: str = ""
    profile_name: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""
    scheduler: str = ""
    cluster: str = ""
    job_id: str = ""
    host: str = ""
    asked: float = 0.0
    started: float | None = None
    ready: float | None = None
    ended: float | None = None
    outcome: Outcome = ""
    reason: str = ""
    log: str = ""
    cause: str = ""
    requested: Amounts = field(default_factory=dict)
    used: Amounts = field(default_factory=dict)
    continues: str = ""

    @property
    def waited(self) -> float | None:
        """For how many seconds the job waited; None if it never ran."""
        return None if self.started is None else max(0.0, self.started - self.asked)

    @property
    def ran(self) -> float | None:
        """For how many seconds the job ran; None while it does, or if that is not known."""
        if self.started is None or self.ended is None:
            return None
        return max(0.0, self.ended - self.started)

    def to_dict(self) -> dict[str, Any]:
        """Return data for JSON, with moments as JupyterHub writes them, ``waited`` and ``ran``."""
        result = {one.name: getattr(self, one.name) for one in fields(self)}
        for name in _MOMENTS:
            if result[name] is not None:
                result[name] = format_moment(result[name])
        return {**result, "waited": self.waited, "ran": self.ran}


class StartedJob(Protocol):
    """What is read of a server's job: see :class:`.scheduled_job.ScheduledJob`."""

    spawner: Any
    state: ServerState
    tracked: TrackedJob | None
    stopped_by: str

    @property
    def title(self) -> str:
        """The scheduler's name for people."""

    @property
    def monitor(self) -> Monitor:
        """The monitor of the scheduler."""


# -- what happens --------------------------------------------------------------------------------


def note_submitted(job: StartedJob) -> None:
    """Save that a job was submitted. It goes with what is saved at the same moment, if it can."""
    session = session_of(job.spawner)
    if session is None or job.spawner.history_days <= 0:
        return
    values, requested = _values_of_start(job), dict(job.state.requested)
    summary, first = session_facts.text_to_json(job.state.summary), session_ties.find_first(job)

    def write() -> None:
        _insert(session, values)
        _write_tie(session, values, first)
        _write_facts(session, values, requested=requested, summary=summary)

    save_later(job.spawner, write, "a start in the history")


def note_failed_start(job: StartedJob, ending: Ending) -> None:
    """Save that a start has failed, before or after there was a job."""
    session, spawner = session_of(job.spawner), job.spawner
    if session is None or spawner.history_days <= 0:
        return
    values = {**_values_of_start(job), **_what_ran(job), **ending.of_row(), "ended": time.time()}
    if ending.outcome == "refused":
        values["mark"] = token_hex(8)
    facts = {
        "requested": dict(job.state.requested),
        "cause": ending.cause,
        "summary": session_facts.text_to_json(job.state.summary),
        "reason": session_facts.text_to_json(ending.reason),
    }
    first = session_ties.find_first(job)

    def write() -> None:
        _insert(session, values)
        _write_tie(session, values, first)
        _write_facts(session, values, **facts)

    save_later(spawner, write, "a start in the history")
    if ending.outcome == "failed":
        used.ask_later(job, _saver_of_usage(job))


def note_ready(job: StartedJob) -> None:
    """Save that the server is ready."""
    if job.state.mark and job.spawner.history_days > 0:
        _change(job, {**_what_ran(job), "ready": time.time()}, _TABLE.c.ready.is_(None))


def note_end(job: StartedJob, ending: Ending) -> None:
    """Save that the Hub forgets the server, and why; a reason that is saved stays."""
    if not job.state.mark or job.spawner.history_days <= 0 or session_of(job.spawner) is None:
        return
    values = {**_what_ran(job), **ending.of_row(), "ended": time.time()}
    facts = {
        "requested": _requested(job),
        "cause": ending.cause,
        "reason": session_facts.text_to_json(ending.reason),
    }
    _change(job, values, _TABLE.c.ended.is_(None), facts=facts)
    used.ask_later(job, _saver_of_usage(job))


def note_log(job: StartedJob, mark: str, log: str) -> None:
    """Save the end of the log of a job that has failed."""
    if log and job.spawner.history_days > 0:
        _change(job, {"log": _cut(log)}, mark=mark)


def _requested(job: StartedJob) -> dict[str, Any]:
    """Return what a job was given, with the time by which it was extended later."""
    length = job.state.duration
    return {**job.state.requested, **({} if length is None else {"seconds": length})}


def _saver_of_usage(job: StartedJob) -> used.Save:
    """Return what saves the usage of this job: when it is known, the server may have another."""
    session, mark = session_of(job.spawner), job.state.mark
    mine = (_TABLE.c.user_name == job.spawner.user.name, _TABLE.c.mark == mark)

    def save(amounts: dict[str, float], cause: str) -> None:
        def write() -> None:
            row = session.execute(_TABLE.select().where(*mine)).mappings().first()
            if row is None:
                return  # the user has deleted it meanwhile
            known = session_facts.read(session, row["user_name"]).get(mark)
            facts: dict[str, Any] = {"used": amounts}
            if cause and row["outcome"] == "failed" and not (known and known.cause):
                facts["cause"] = cause
            _write_facts(session, row, **facts)

        # A named server may have been deleted meanwhile, and its session stays.
        save_later(job.spawner, write, "what a job has used", session)

    return save


def _write_facts(session: Any, row: Mapping[str, Any], **facts: Any) -> None:
    session_facts.write(session, row["user_name"], row["mark"], row["expires"], **facts)


def _write_tie(session: Any, row: Mapping[str, Any], first: str) -> None:
    session_ties.write(session, row["user_name"], row["mark"], row["expires"], first)


def _values_of_start(job: StartedJob) -> dict[str, Any]:
    outer, state = bookkeeping.outer(job.spawner), job.state
    options = json.dumps(outer.user_options, default=str)
    asked = state.submit_time or time.time()
    return {
        "user_name": outer.user.name,
        "mark": state.mark,
        "server": outer.name[:255],
        "profile": str(getattr(outer, "child_profile", ""))[:255],
        "profile_name": str(getattr(outer, "child_profile_name", ""))[:255],
        "options": options if len(options) <= _LONGEST_TEXT else "{}",
        "summary": state.summary[:255],
        "scheduler": job.title[:255] if state.mark else "",
        "cluster": state.cluster[:255],
        "job_id": state.job_id[:255],
        "host": "",
        "asked": asked,
        "expires": asked + job.spawner.history_days * _DAY,
        "outcome": "",
        "reason": "",
        "log": "",
    }


def _what_ran(job: StartedJob) -> dict[str, Any]:
    info = job.tracked.info if job.tracked else None
    if info is None:
        return {}
    result: dict[str, Any] = {"host": _cut(info.exec_host)[:255]} if info.exec_host else {}
    return {**result, "started": info.start_time} if info.start_time is not None else result


def find_ending(job: StartedJob) -> Ending:
    """Return how a server has ended that the Hub forgets now."""
    tracked = job.tracked
    if job.state.stopping:
        return Ending("stopped", cause=job.stopped_by)
    if tracked is None or tracked.info is None:
        return Ending("unknown")
    if tracked.ended_in_order:
        return Ending("ended")
    reason = _cut(words.job_ended(tracked, job.title))
    return Ending("failed", reason, cause=_find_cause(job, tracked))


def _find_cause(job: StartedJob, tracked: TrackedJob | None) -> str:
    """Return why a job has ended, as far as its scheduler says it now: see ``Facts``."""
    if tracked is None or tracked.info is None:
        return ""
    cause = str(job.monitor.scheduler.find_cause(tracked.info))
    started, limit = tracked.run_start, job.state.duration
    ran = None if started is None else time.time() - started
    if cause or tracked.info.native_state or ran is None or limit is None:
        return used.resolve_limit(cause, ran, limit)
    # It is only gone. A scheduler that says nothing has most likely ended it, if its time was over.
    return "time_limit" if ran >= limit else ""


def failed_start(job: StartedJob, error: UniSpawnerError) -> Ending:
    """Return how a start has ended that raised an error: before or after there was a job."""
    outcome: Outcome = "failed" if job.state.mark and job.state.job_id else "refused"
    cause = _find_cause(job, job.tracked) if job.tracked and job.tracked.final else ""
    return Ending(outcome, _cut(error.message), _cut(error.output or ""), cause)


def _cut(text: str) -> str:
    """Return the end of a text, which says why, without what some databases can't keep."""
    cut = _NOT_KEPT.sub("\ufffd", text[-_LONGEST_TEXT:])
    return text if cut == text else cut


# -- the table -----------------------------------------------------------------------------------


@dataclass
class _Sweeper:
    """Deletes from one database what is too old, not at each start."""

    last: float = -_SWEEP

    @classmethod
    def of(cls, session: Any) -> _Sweeper:
        """Return the one that goes with a session, which is the Hub's."""
        found: _Sweeper = session.info.setdefault("unispawner_history", cls())
        return found

    def sweep(self, session: Any) -> None:
        """Delete what is too old, if that was not done within the last hour."""
        if time.monotonic() - self.last < _SWEEP:
            return
        self.last = time.monotonic()
        session.execute(_TABLE.delete().where(_TABLE.c.expires < time.time()))
        for table in _BESIDE:
            _delete(session, table, table.c.expires < time.time())


def _delete(session: Any, table: Table, *which: Any) -> None:
    make_table(session, table)
    session.execute(table.delete().where(*which))


def _insert(session: Any, values: dict[str, Any]) -> None:
    """Write a row in the place of one with the same mark, and delete what is too much or too old.

    A user can let starts fail as often as they like.
    """
    make_table(session, _TABLE)
    mine = _TABLE.c.user_name == values["user_name"]
    session.execute(_TABLE.delete().where(mine, _TABLE.c.mark == values["mark"]))
    session.execute(_TABLE.insert().values(values))
    ended = select(_TABLE.c.mark).where(mine, _TABLE.c.ended.is_not(None))
    surplus = ended.order_by(_TABLE.c.asked.desc()).offset(_MOST).limit(_MOST)
    if marks := session.execute(surplus).scalars().all():
        session.execute(_TABLE.delete().where(mine, _TABLE.c.mark.in_(marks)))
        for table in _BESIDE:
            of_user = table.c.user_name == values["user_name"]
            _delete(session, table, of_user, table.c.mark.in_(marks))
    _Sweeper.of(session).sweep(session)


def _change(
    job: StartedJob,
    values: dict[str, Any],
    *only_if: Any,
    mark: str = "",
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Change the row of a session if that still has ``only_if``; then its facts, too."""
    session, user_name = session_of(job.spawner), job.spawner.user.name
    if session is None or not values:
        return
    mark = mark or job.state.mark
    mine = (_TABLE.c.user_name == user_name, _TABLE.c.mark == mark)

    def write() -> None:
        make_table(session, _TABLE)
        changed = session.execute(_TABLE.update().where(*mine, *only_if).values(values)).rowcount
        if changed and facts:
            expires = session.execute(select(_TABLE.c.expires).where(*mine)).scalar()
            session_facts.write(session, user_name, mark, expires, **facts)

    save_later(job.spawner, write, "the history")


def read_sessions(session: Any, user_name: str, running: set[str]) -> list[Session]:
    """Return the sessions of a user, the newest first.

    Parameters
    ----------
    running
        The marks of the user's servers that wait or run now. Any other session has ended, also if
        the Hub was not there to see it.

    Raises
    ------
    SQLAlchemyError
        If the database can't be read.
    """
    make_table(session, _TABLE)
    mine = _TABLE.select().where(_TABLE.c.user_name == user_name, _TABLE.c.expires >= time.time())
    rows = session.execute(mine.order_by(_TABLE.c.asked.desc()).limit(_MOST)).mappings().all()
    facts = session_facts.read(session, user_name)
    ties = session_ties.read(session, user_name)
    found = [{**row, "continues": ties.get(row["mark"], "")} for row in rows]
    return [_read(row, running, facts.get(row["mark"], Facts())) for row in found]


def _read(row: dict[str, Any], running: set[str], facts: Facts) -> Session:
    try:
        options = json.loads(row["options"])
    except (ValueError, RecursionError):
        options = {}
    row["options"] = options if isinstance(options, dict) else {}
    if not row["outcome"] and row["mark"] not in running:
        row["outcome"] = "unknown"
    found = {one.name: row[one.name] for one in fields(Session) if one.name in row}
    found |= {
        name: value for name, value in vars(facts).items() if name not in ("summary", "reason")
    }
    for name in ("summary", "reason"):  # the same texts, which can be shown in other languages
        if getattr(facts, name) == row[name]:
            found[name] = getattr(facts, name)
    return Session(**found)


async def delete_sessions(session: Any, user_name: str, mark: str = "") -> bool:
    """Delete the sessions of a user that have ended, or one of them; return whether there was one.

    Raises
    ------
    SQLAlchemyError
        If the database refuses.
    """

    def which(table: Table) -> list[Any]:
        return [table.c.user_name == user_name, *([table.c.mark == mark] if mark else [])]

    found = 0

    def write() -> None:
        nonlocal found
        make_table(session, _TABLE)
        found = session.execute(_TABLE.delete().where(*which(_TABLE))).rowcount
        for table in _BESIDE:
            _delete(session, table, *which(table))

    await save_soon(session, write)
    return found > 0
