"""Sends users mail about what became of their servers, as far as they want to know.

``GET`` and ``PUT /hub/api/unispawner/notices``: for which events a user gets mail. See
docs/pages.md.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import Column, String
from sqlalchemy.exc import SQLAlchemyError
from tornado import web

from .. import tasks
from ..errors import InvalidJobError, UniSpawnerError
from ..settings.mail import MailSettings, is_address, read_settings
from ..texts import Text, say, say_count
from ..web import bookkeeping, continuation
from ..web.allowance import AllowanceByUser
from ..web.api import Handler, check_database
from ..web.languages import ENGLISH, Language, current
from ..web.per_hub import PerHub
from ..web.request_language import configured_languages
from .database import save_soon, session_of
from .history import Ending, StartedJob
from .mail import MAILER, Mail
from .user_tables import make_table, user_table

EVENTS = ("ready", "ended", "soon")
"""For what a user may get mail: that a server, or its second job, is ready after it had to wait;
that a start, or a second job, failed, or a server ended without its user's doing; that its time is
soon over."""
_LANGUAGE = "language:"
"""Before the language of a user's mail, which is kept with the events."""
_WORTH_A_MAIL = 120.0
"""A server that was ready after fewer seconds causes no mail: its user still looks at the page."""
_LOOK_AGAIN = 60.0
"""How long (seconds) until the end of a server is looked at again: its limit may have changed."""
_LATER = 60.0
"""How many seconds later than the announced end a new end must be to be announced."""
_ALLOWANCE = PerHub(lambda: AllowanceByUser(at_once=20, pause=300.0))
"""How many messages a user gets. Somebody whose starts fail all day must not hold up the messages
to others."""
_TABLE = user_table("unispawner_notices", Column("events", String(64), nullable=False))

_KNOWN_FOR = 60.0
"""How long (seconds) the database's answer is reused: a restart asks about all users at once."""


@dataclass
class _Wishes:
    """For which events all users want mail, as the database of one Hub has said last."""

    asked: float = -_KNOWN_FOR
    by_user: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, session: Any) -> _Wishes:
        """Return those that go with a session, which is the Hub's."""
        found: _Wishes = session.info.setdefault("unispawner_notices", cls())
        return found

    def forget(self) -> None:
        """Have the database asked again."""
        self.asked = -_KNOWN_FOR


def wanted(session: Any, user_name: str) -> frozenset[str]:
    """Return for which events a user wants to get mail, and ``language:`` with the mail's language.

    Raises
    ------
    SQLAlchemyError
        If the database can't be read.
    """
    wishes = _Wishes.of(session)
    if time.monotonic() - wishes.asked >= _KNOWN_FOR:
        make_table(session, _TABLE)
        rows = session.execute(_TABLE.select()).all()
        wishes.by_user = {row.user_name: frozenset(row.events.split()) for row in rows}
        wishes.asked = time.monotonic()
    return wishes.by_user.get(user_name, frozenset())


async def keep_wanted(session: Any, user_name: str, events: frozenset[str]) -> None:
    """Save for which events a user wants mail.

    Raises
    ------
    SQLAlchemyError
        If the database refuses.
    """

    def write() -> None:
        make_table(session, _TABLE)
        session.execute(_TABLE.delete().where(_TABLE.c.user_name == user_name))
        if events:
            values = {"user_name": user_name, "events": " ".join(sorted(events))}
            session.execute(_TABLE.insert().values(values))

    await save_soon(session, write)
    _Wishes.of(session).forget()


class RoutedJob(StartedJob, Protocol):
    """A job that may be the second one of its server: see :mod:`.second_job`."""

    @property
    def has_route(self) -> bool:
        """True if users are sent to this job."""


# -- what happens ---------------------------------------------------------------------------------


def note_ready(job: StartedJob, *, again: bool = False) -> None:
    """Tell the user that a server is ready, and watch for its end.

    Parameters
    ----------
    again
        True if a restarted Hub has found a server that was ready before.
    """
    waited = time.time() - job.state.submit_time
    if not again and waited >= _WORTH_A_MAIL:
        name = _name_of(job)
        ready = say("Your server {name} is ready", name=name), say("Your server is ready")
        _tell(job, "ready", ready, say("You can open it now."))
    watch_end(job)


def watch_end(job: StartedJob) -> None:
    """Tell the user before the end of a job that has the route, if they want to know."""
    if "soon" in _wanted_by(job):
        tasks.start(_tell_before_end(job), "watch for the end of a server's time")


def note_second_ready(second: RoutedJob) -> None:
    """Tell the user that the second job of a server is ready after it had to wait."""
    if time.time() - second.state.submit_time < _WORTH_A_MAIL:
        return
    name = _name_of(second)
    if second.has_route:
        ready = say("Your server {name} is ready", name=name), say("Your server is ready")
        _tell(second, "ready", ready, continuation.MOVED)
    else:
        can_move = (
            say("Your server {name} can move to its second job", name=name),
            say("Your server can move to its second job"),
        )
        _tell(second, "ready", can_move, continuation.READY)


def note_no_second(first: StartedJob, reason: str) -> None:
    """Tell the user that there will be no second job although they wanted one."""
    none = (
        say("Your server {name} has no second job", name=_name_of(first)),
        say("Your server has no second job"),
    )
    _tell(first, "ended", none, reason)


def note_first_ended(second: StartedJob) -> None:
    """Tell the user that the first job has ended by itself, so that the second has the route."""
    name = _name_of(second)
    if second.state.port:
        moved = (
            say("Your server {name} has moved to its second job", name=name),
            say("Your server has moved to its second job"),
        )
        _tell(second, "ended", moved, continuation.MOVED)
    else:
        waits = (
            say("Your server {name} waits for its second job", name=name),
            say("Your server waits for its second job"),
        )
        _tell(second, "ended", waits, continuation.FIRST_ENDED)


def note_end(job: StartedJob, ending: Ending) -> None:
    """Tell the user that a start failed, or that a server ended without the user's doing."""
    if ending.outcome in ("failed", "refused"):
        # A job that is ending has left its node, and its server's address is forgotten then.
        ran = job.state.port or (job.tracked is not None and job.tracked.had_server)
        _tell(job, "ended", _ended(_name_of(job), ran=bool(ran)), ending.reason)


def _name_of(job: StartedJob) -> str:
    return str(bookkeeping.outer(job.spawner).name)


def _ended(name: str, *, ran: bool) -> _Subject:
    if ran:
        return say("Your server {name} has ended", name=name), say("Your server has ended")
    return say("Your server {name} has not started", name=name), say("Your server has not started")


async def _tell_before_end(job: Any) -> None:
    announced = 0.0
    while job.has_route and not job.over and not job.state.stopping:
        facts, now = job.facts(), time.time()
        left = _LOOK_AGAIN if facts.warned_at is None else facts.warned_at - now
        if left <= 0 and facts.ends > announced + _LATER:  # later than before: it was extended
            announced = facts.ends
            name = _name_of(job)
            soon = say("Your server {name} ends soon", name=name), say("Your server ends soon")
            _tell(job, "soon", soon, _ends_in(facts.ends - now), until=facts.ends)
        await asyncio.sleep(min(left, _LOOK_AGAIN) if left > 0 else _LOOK_AGAIN)


def _ends_in(seconds: float) -> Text:
    """Return what the user reads before the end of a server's time."""
    return say_count(
        "Its time is over in a minute. Save your work: everything that runs there ends, too.",
        "Its time is over in {count} minutes. Save your work: everything that runs there ends, "
        "too.",
        max(1, round(seconds / 60)),
    )


def _wanted_by(job: StartedJob) -> frozenset[str]:
    return _saved_by(job) & set(EVENTS)


def _saved_by(job: StartedJob) -> frozenset[str]:
    session = session_of(job.spawner)
    if session is None or not job.spawner.mail:
        return frozenset()
    try:
        return wanted(session, job.spawner.user.name)
    except SQLAlchemyError as error:
        session.rollback()
        job.spawner.log.warning("The Hub's database did not say who wants mail: %s", error)
        return frozenset()


_Subject = tuple[Text, Text]
"""What a message is about: of a server with a name, and of the server without one."""


def _tell(
    job: StartedJob, event: str, subjects: _Subject, body: str, *, until: float = math.inf
) -> None:
    if event not in _wanted_by(job):
        return
    outer = bookkeeping.outer(job.spawner)
    try:
        settings = read_settings(job.spawner.mail)
        address = _address(settings, outer) if settings else ""
    except UniSpawnerError as error:
        job.spawner.log.warning("%s: no mail was sent: %s", bookkeeping.log_name(outer), error)
        return
    if not settings or not address or not _ALLOWANCE.of(outer.user.settings).take(outer.user.name):
        return
    url = hub_url(outer)
    subject = subjects[0] if outer.name else subjects[1]
    parts = [
        say("{subject}.", subject=subject),
        body,
        job.state.summary,
        url and f"{url}home",
        say(
            "You get this message because you asked for it. You can end it on the Hub's home page."
        ),
    ]
    language = _language_of(job)
    text = "\n\n".join(language.translate(part) for part in parts if part)
    mail = Mail(address, language.translate(subject), text, until)
    MAILER.of(outer.user.settings).send(settings, mail)


def _language_of(job: StartedJob) -> Language:
    """Return the language of the page on which the user chose to get mail."""
    section = job.spawner.user.settings.get("config", {}).get("UniSpawner", {})
    languages = configured_languages(section)
    saved = _saved_by(job)
    tag = next((one.removeprefix(_LANGUAGE) for one in saved if one.startswith(_LANGUAGE)), "")
    return languages.get(tag) or languages[ENGLISH]


def hub_url(outer: Any) -> str:
    """Return the address of the Hub for people: ``c.JupyterHub.public_url``; empty if unknown."""
    public = outer.user.settings.get("public_url")
    return "" if not public else f"{public.geturl().rstrip('/')}/hub/"


def _address(settings: MailSettings, outer: Any) -> str:
    """Return the address of a user; empty if this user gets no mail.

    Raises
    ------
    InvalidJobError
        If it is not one plain address, or the administrator's function fails.
    """
    if callable(settings.to):
        try:
            address = settings.to(outer)
        except Exception as error:  # whatever the administrator's own function raises
            raise InvalidJobError(
                f"c.UniSpawner.mail: to: the function failed: {type(error).__name__}: {error}"
            ) from error
        if not address:
            return ""
    else:
        address = settings.to.replace("{username}", outer.user.name)
    if not is_address(address):
        raise InvalidJobError(f"c.UniSpawner.mail: to: {address!r} is not one mail address")
    return str(address)


# -- the API --------------------------------------------------------------------------------------


class NoticesHandler(Handler):
    """``GET`` and ``PUT /hub/api/unispawner/notices``: for which events a user gets mail."""

    def _state(self, user: Any) -> dict[str, Any]:
        events = self._wanted(user)
        address = ""
        try:
            settings = read_settings(self.config_of_mail())
            address = _address(settings, user.spawner) if settings else ""
        except UniSpawnerError as error:
            self.log.warning("%s", error)
        return {"address": address, "events": {one: one in events for one in EVENTS}}

    def _wanted(self, user: Any) -> frozenset[str]:
        with check_database(self, "say who wants mail"):
            return wanted(self.db, user.name)

    def config_of_mail(self) -> Any:
        """Return what is configured as ``c.UniSpawner.mail``."""
        section: Mapping[str, Any] = self.settings.get("config", {}).get("UniSpawner", {})
        return section.get("mail")

    def get(self) -> None:
        """Reply with ``{"address": …, "events": {EVENT: bool}}``; no address means no mail."""
        self.reply(self._state(self.find_asked_user()))

    async def put(self) -> None:
        """Change for which events the user gets mail: ``{EVENT: bool}``.

        It needs the scope ``servers``.
        """
        user = self.find_asked_user("servers")
        body = self.get_json_body()
        known = isinstance(body, dict) and set(body) <= set(EVENTS)
        if not known or not all(isinstance(one, bool) for one in body.values()):
            raise web.HTTPError(400, f"The body must have true or false for {', '.join(EVENTS)}.")
        events = {one for one in self._wanted(user) if one in EVENTS and one not in body}
        events |= {one for one, wish in body.items() if wish}
        with check_database(self, "save who wants mail"):
            language = {f"{_LANGUAGE}{current().tag}"} if events else set()
            await keep_wanted(self.db, user.name, frozenset(events | language))
        self.reply(self._state(user))
