"""Which starts this Hub knows of, so that ``unispawner reap`` ends no job of a server.

A start is known from before its submission until the scheduler has confirmed the job's end: its
mark is in the memory of the Hub, in the saved state of a server, or in the table of jobs that are
being ended. ``GET /hub/api/unispawner/starts`` returns all of them.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jupyterhub import orm
from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.scopes import needs_scope
from sqlalchemy import select
from tornado import web

from ..job import MARK, is_mark
from ..web import bookkeeping
from . import endings
from .hub_id import hub_id_of
from .state_copies import RAW_STATE

_AT_ONCE = 200
"""How many rows are read in one turn of the event loop."""


@dataclass(frozen=True)
class KnownStart:
    """A start that the Hub knows of.

    Attributes
    ----------
    mark
        The mark of its job.
    user, server
        Whose server it is; a user's default server has an empty name.
    account, job_id
        The system account and the scheduler's id of the job; empty if the Hub has not saved them.
    """

    mark: str
    user: str
    server: str
    account: str = ""
    job_id: str = ""


@dataclass
class KnownStarts:
    """All that a Hub knows of.

    Attributes
    ----------
    hub_id
        The Hub's id; empty if it has none.
    users
        The names of all users, with or without a server.
    starts
        All starts.
    unreadable
        The users of whose servers a saved state can't be read: any job may be one of theirs.
    """

    hub_id: str = ""
    users: list[str] = field(default_factory=list)
    starts: list[KnownStart] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-serialisable data; asdict() would take half a second for 10,000 starts."""
        return {**vars(self), "starts": [dict(vars(one)) for one in self.starts]}

    @classmethod
    def from_dict(cls, data: Any) -> KnownStarts:
        """Return what :meth:`to_dict` returned.

        Raises
        ------
        ValueError
            If it is something else.
        """
        try:
            starts = [KnownStart(**{k: str(v) for k, v in one.items()}) for one in data["starts"]]
            users, unreadable = map(str, data["users"]), map(str, data["unreadable"])
            return cls(str(data["hub_id"]), list(users), starts, list(unreadable))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"these are not the starts of a Hub: {error!r}") from None

    def add_saved(self, user: str, server: str, text: str | None, mark: str = "") -> None:
        """Add the start of a saved state.

        Parameters
        ----------
        text
            The state, as the database has it.
        mark
            The start's mark, where the database has that beside the state.
        """
        try:
            found = list(_find_states(json.loads(text or "{}")))
        except (ValueError, RecursionError):
            marks = re.findall(rf"(?<![\w-]){MARK}(?![\w-])", text or "")
            found = [] if mark else [{"mark": one} for one in marks]
            self.unreadable += [] if mark else [user]
        if mark not in ("", *(state["mark"] for state in found)):
            found.append({"mark": mark})
        for state in found:
            account, job_id = (str(state.get(name) or "") for name in ("account", "job_id"))
            self.starts.append(KnownStart(state["mark"], user, server, account, job_id))


def _find_states(state: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the parts of a saved state that have a mark: a wrapper's has its child's in it."""
    if isinstance(state, dict):
        if is_mark(state.get("mark")):
            yield state
        for part in state.values():
            yield from _find_states(part)


def read_saved(database: Any, known: KnownStarts) -> Iterator[None]:
    """Add what a database knows, in pieces; nothing is written to it.

    A state counts only if its server still has a row: without one, a Hub that starts follows no
    job.
    """
    known.users += [name for (name,) in database.execute(select(orm.User.name))]
    for one in endings.read_raw(database):
        known.add_saved(one.user_name, one.server_name, one.state, one.mark)
    yield
    last = 0
    while True:
        rows = database.execute(
            select(orm.Spawner.id, orm.User.name, orm.Spawner.name, RAW_STATE)
            .join(orm.User, orm.Spawner.user_id == orm.User.id)
            .join(orm.Server, orm.Spawner.server_id == orm.Server.id)
            .where(orm.Spawner.id > last)
            .order_by(orm.Spawner.id)
            .limit(_AT_ONCE)
        ).all()
        for _, user, server, text in rows:
            known.add_saved(user, server, text)
        if len(rows) < _AT_ONCE:
            return
        last = rows[-1][0]
        yield


def read_running(users: Mapping[int, Any]) -> Iterator[KnownStart]:
    """Yield the starts in a Hub's memory: what is saved of them may be older."""
    for user in list(users.values()):
        for spawner in list(user.spawners.values()):
            job = getattr(bookkeeping.inner(spawner), "server_job", None)
            if job is not None and job.state.mark and _is_followed(spawner, job):
                for state in job.states():
                    job_id = str(getattr(state, "job_id", ""))
                    yield KnownStart(state.mark, user.name, spawner.name, state.account, job_id)


def _is_followed(spawner: Any, job: Any) -> bool:
    """Return False for a state that was loaded for a server which does not exist any more."""
    return not job.restored or spawner.server is not None or bool(spawner.active)


class StartsHandler(APIHandler):
    """``GET /hub/api/unispawner/starts``: all starts that this Hub knows of, for administrators.

    For whoever has the scopes ``admin:server_state`` and ``list:users`` for all users.
    """

    @needs_scope("admin:server_state")  # type: ignore[untyped-decorator] # JupyterHub's
    async def get(self) -> None:
        """Reply with :class:`KnownStarts`."""
        if not self.has_scope("list:users"):
            raise web.HTTPError(403, "The scope list:users is necessary as well.")
        known = KnownStarts(hub_id_of(self.settings))
        for _ in read_saved(self.db, known):
            await asyncio.sleep(0)
        known.starts += read_running(self.users)  # last: a start may have begun meanwhile
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(known.to_dict()))
