"""Says beside a field what the user's last sessions of a profile have used of what they had.

It is a hint and never a bound. Only sessions count that are like the last one: with the same values
of all options that are not amounts, such as the application or the type of GPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from ..servers.database import session_of
from ..servers.history import Session, read_sessions
from ..web.session_words import describe_hint
from .fields import FIELDS

MOST = 5
"""How many sessions a hint is about."""
LEAST_SECONDS = 300.0
"""A shorter session says nothing about what a job needs."""
KINDS: Mapping[str, str] = {
    "memory": "memory",
    "cpu_cores_per_process": "cores",
    "gpu_cores_per_process": "gpus",
    "duration": "seconds",
}
"""By field, which amount of a session it sets: see :data:`~unispawner.servers.session_facts`."""
_AMOUNTS = frozenset(
    name for name, one in FIELDS.items() if one.kind in ("count", "memory", "duration")
)


def read_hints(spawner: Any) -> dict[str, dict[str, str]]:
    """Return the hints for a spawner's user: by profile, and then by field.

    There are none if the database can't be read: a form must not fail for them.
    """
    session = session_of(spawner)
    if session is None:
        return {}
    try:
        sessions = read_sessions(session, spawner.user.name, set())
    except SQLAlchemyError as error:
        session.rollback()
        spawner.log.warning("The Hub's database did not return earlier sessions: %s", error)
        return {}
    slugs = dict.fromkeys(one.profile for one in sessions if one.profile)
    return {slug: make_hints(one for one in sessions if one.profile == slug) for slug in slugs}


def make_hints(sessions: Iterable[Session]) -> dict[str, str]:
    """Return the hints about sessions of one profile, the newest first, by field."""
    known = [
        one
        for one in sessions
        if one.ended is not None and one.used.get("seconds", 0.0) >= LEAST_SECONDS
    ]
    alike = [one for one in known if _kind(one) == _kind(known[0])][:MOST]
    return {field: text for field, kind in KINDS.items() if (text := _hint(kind, alike))}


def _hint(kind: str, sessions: list[Session]) -> str:
    """Return the hint about one kind; empty if it is not known what was asked for, or used."""
    pairs = [
        (one.used[kind], one.requested[kind])
        for one in sessions
        if kind in one.used and one.requested.get(kind)
    ]
    if not pairs:
        return ""
    used, requested = (max(values) for values in zip(*pairs, strict=True))
    return describe_hint(kind, used, requested, len(pairs))


def _kind(session: Session) -> dict[str, Any]:
    """Return the choices of a session that are not amounts."""
    return {name: value for name, value in session.options.items() if name not in _AMOUNTS}
