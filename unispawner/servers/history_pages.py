"""The Hub's page and API of a user's earlier sessions, and of the log of a server that starts.

``GET`` and ``DELETE /hub/api/unispawner/history[/{mark}]``, ``GET …/servers/{user}/{name}/log`` and
the page ``/hub/unispawner/history``: see docs/pages.md.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, Template
from jupyterhub.handlers.base import BaseHandler
from jupyterhub.user import User
from tornado import web

from ..errors import UniSpawnerError
from ..texts import say
from ..web import bookkeeping
from ..web.api import ASSETS, Handler, check_database
from ..web.failures import Refusal
from ..web.session_words import describe_ending, describe_time, describe_used
from . import history
from .job import ServerJob
from .live_log import LIVE_LOGS, ReadLater
from .scheduled_job import ScheduledJob

_PAGE = ASSETS.parent / "templates" / "unispawner_history.html"


def _sessions(handler: BaseHandler, user: Any) -> list[history.Session]:
    """Return the sessions of a user; raise status 503 if the database can't be read."""
    jobs = [getattr(bookkeeping.inner(one), "server_job", None) for one in user.spawners.values()]
    running = {one.mark for job in jobs if isinstance(job, ServerJob) for one in job.states()}
    with check_database(handler, "return earlier sessions"):
        return history.read_sessions(handler.db, user.name, running)


class HistoryHandler(Handler):
    """``GET`` and ``DELETE /hub/api/unispawner/history[/{mark}]``: what is kept of a user."""

    def get(self, mark: str = "") -> None:
        """Reply with the sessions, the newest first, or with one of them."""
        sessions = _sessions(self, self.find_asked_user())
        if not mark:
            self.reply({"sessions": [one.to_dict() for one in sessions]})
            return
        found = next((one for one in sessions if one.mark == mark), None)
        if found is None:
            raise Refusal(404, say("There is no such session."))
        self.reply(found.to_dict())

    async def delete(self, mark: str = "") -> None:
        """Delete all sessions, or one; needs the scope ``servers`` for the user."""
        user = self.find_asked_user("servers")
        with check_database(self, "delete sessions"):
            found = await history.delete_sessions(self.db, user.name, mark)
        if mark and not found:
            raise Refusal(404, say("There is no such session."))
        self.set_status(204)


class LogHandler(Handler):
    """``GET /hub/api/unispawner/servers/{user}/{name}/log``: the end of the log of a server's job.

    For whoever may open the server, because a log may have what only its user may know.
    """

    async def get(self, user_name: str, server_name: str = "") -> None:
        """Reply with ``{"log": text}``; read as the user, through the agent.

        A user whose logs are asked for too often gets status 429 with ``Retry-After``.
        """
        allowed = self.has_scope(f"access:servers!server={user_name}/{server_name}")
        user = self.find_user(user_name) if allowed else None
        spawner = bookkeeping.find_spawner(user, server_name)
        if spawner is None:
            raise Refusal(404, say("There is no such server, or you may not open it."))
        job = getattr(bookkeeping.inner(spawner), "server_job", None)
        if not isinstance(job, ScheduledJob) or job.tracked is None:
            raise Refusal(404, say("This server has no job whose log could be read."))
        try:
            self.reply({"log": await LIVE_LOGS.of(self.settings).read(job, user_name)})
        except ReadLater as error:
            raise Refusal(429, str(error), retry_after=error.seconds) from None
        except UniSpawnerError as error:
            raise Refusal(503, error.message_and_output()) from None


class HistoryPage(BaseHandler):  # type: ignore[misc] # JupyterHub has no type information
    """The page ``/hub/unispawner/history``: the earlier sessions of the user who is logged in."""

    @web.authenticated
    async def get(self) -> None:
        """Reply with the page."""
        user = self.current_user
        if not isinstance(user, User):
            raise Refusal(403, say("A service has no sessions."))
        sessions = _sessions(self, user)
        page = await self.render_template(
            _PAGE.name,
            sessions=sessions,
            by_mark={one.mark: one for one in sessions},
            user=user,
            as_fields=_as_fields,
            describe_ending=describe_ending,
            describe_time=describe_time,
            describe_used=describe_used,
        )
        self.set_header("Cache-Control", "no-store")
        self.finish(page)

    def get_template(self, name: str, sync: bool = False) -> Template:
        """Return our page, which a Hub without ``template_paths`` has, too; or an error page."""
        if name != _PAGE.name:
            template: Template = super().get_template(name, sync)
            return template
        environment = self.settings["jinja2_env_sync" if sync else "jinja2_env"]
        return add_our_templates(environment).get_template(name)


def _as_fields(session: history.Session) -> dict[str, str]:
    """Return the choice of a session as the fields of a form; empty if it had no profile."""
    if not session.profile:
        return {}
    fields = {"profile": session.profile}
    for name, value in session.options.items():
        fields[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return fields


@cache
def add_our_templates(environment: Environment) -> Environment:
    """Return an environment that also has our templates, behind those of the Hub and the site."""
    loaders = [environment.loader, FileSystemLoader(_PAGE.parent)]
    return environment.overlay(loader=ChoiceLoader([one for one in loaders if one is not None]))
