"""The choices that the Hub keeps for a user: the last one of each profile, and named presets.

They are in the Hub's database, so that a user finds them again on each machine. A kept choice is
what the user once sent, not what is allowed: each start checks it anew.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, Float, String, Text, Unicode, select
from sqlalchemy.exc import SQLAlchemyError

from ..errors import InvalidJobError
from ..job import CONTROL
from ..servers.database import save_later, save_soon, session_of
from ..servers.user_tables import make_table, user_table
from ..texts import of_field, say
from .fields import shorten
from .reading import PROFILE

LONGEST_NAME = 64
"""The most characters that a preset's name may have."""
MOST_PRESETS = 50
"""How many presets a user may have."""
_LARGEST = 16 * 1024
"""The most characters that a kept choice may have, as JSON."""
_LONGEST_KEY = 255
_LAST, _PRESET = "last", "preset"
_TABLE = user_table(
    "unispawner_choices",
    Column("kind", String(8), primary_key=True),
    Column("name", Unicode(_LONGEST_KEY), primary_key=True),  # of the preset, or the profile's slug
    Column("options", Text, nullable=False),
    # MySQL's FLOAT without a number would round the time to two minutes.
    Column("saved", Float(53), nullable=False),
)


@dataclass(frozen=True)
class SavedChoices:
    """What the Hub keeps for a user.

    Attributes
    ----------
    last
        The last choice of each profile as ``user_options``, by the profile's slug, newest first.
    presets
        The ``user_options`` of each preset by its name, in the order of the names.
    """

    last: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    presets: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def latest(self) -> dict[str, Any]:
        """The last choice of all; empty if there is none."""
        return next(iter(self.last.values()), {})


def read_choices(spawner: Any) -> SavedChoices:
    """Return what the Hub keeps for a spawner's user: nothing if its database can't be read."""
    session = session_of(spawner)
    if session is None:
        return SavedChoices()
    try:
        make_table(session, _TABLE)
        rows = session.execute(_TABLE.select().where(_TABLE.c.user_name == spawner.user.name)).all()
    except SQLAlchemyError as error:
        session.rollback()
        spawner.log.warning("The Hub's database did not return what users have chosen: %s", error)
        return SavedChoices()
    newest_first = sorted(rows, key=lambda row: row.saved, reverse=True)
    return SavedChoices(
        _read([row for row in newest_first if row.kind == _LAST]),
        _read(sorted((row for row in rows if row.kind == _PRESET), key=lambda row: row.name)),
    )


def _read(rows: list[Any]) -> dict[str, dict[str, Any]]:
    """Return the choices of some rows by their names; a damaged row costs no other one."""
    found = {}
    for row in rows:
        try:
            options = json.loads(row.options)
        except (ValueError, RecursionError):
            continue
        if isinstance(options, dict):
            found[row.name] = options
    return found


def keep_last(spawner: Any, user_options: Mapping[str, Any]) -> None:
    """Keep a choice as the last one of its profile, in the background."""
    write = _writer(spawner, _LAST, str(user_options[PROFILE]), user_options)
    if write is not None:
        save_later(spawner, write, "what was chosen")


async def keep_preset(spawner: Any, name: str, user_options: Mapping[str, Any]) -> None:
    """Keep a choice under a name; it replaces the preset that has this name.

    Raises
    ------
    InvalidJobError
        If the name or the choice can't be kept, or if the user has too many presets.
    SQLAlchemyError
        If the database refuses.
    """
    if not name.strip() or name != name.strip() or CONTROL.search(name):
        problem = say("it must be text on one line, without blanks at its ends")
        raise InvalidJobError(of_field("name", problem))
    if len(name) > LONGEST_NAME:
        problem = say(
            "{name} has {number} characters, and may have {most}",
            name=shorten(name),
            number=len(name),
            most=LONGEST_NAME,
        )
        raise InvalidJobError(of_field("name", problem))
    session, write = session_of(spawner), _writer(spawner, _PRESET, name, user_options)
    if write is None:
        raise InvalidJobError(say("The choice is too large to be kept"))

    def write_if_few() -> None:  # counted here: of many requests at once, none is written yet
        _check_number(session, spawner.user.name, name)
        write()

    await save_soon(session, write_if_few)


def _check_number(session: Any, user_name: str, name: str) -> None:
    """Raise InvalidJobError if a user has too many presets for one more of this name."""
    make_table(session, _TABLE)
    mine = select(_TABLE.c.name).where(_TABLE.c.user_name == user_name, _TABLE.c.kind == _PRESET)
    presets = session.execute(mine).scalars().all()
    if name not in presets and len(presets) >= MOST_PRESETS:
        problem = say(
            "you have {number} presets, which is the most that the Hub keeps; delete one first",
            number=MOST_PRESETS,
        )
        raise InvalidJobError(of_field("name", problem))


async def delete_preset(spawner: Any, name: str) -> bool:
    """Delete a preset; return whether there was one.

    Raises
    ------
    SQLAlchemyError
        If the database refuses.
    """
    if name not in read_choices(spawner).presets:
        return False
    session, user_name = session_of(spawner), spawner.user.name

    def write() -> None:
        session.execute(_one(user_name, _PRESET, name))

    await save_soon(session, write)
    return True


def _one(user_name: str, kind: str, name: str) -> Any:
    """Return the statement that deletes a row."""
    keys = (_TABLE.c.user_name == user_name, _TABLE.c.kind == kind, _TABLE.c.name == name)
    return _TABLE.delete().where(*keys)


def _writer(
    spawner: Any, kind: str, name: str, user_options: Mapping[str, Any]
) -> Callable[[], None] | None:
    """Return what writes a row; None if the row would be too large, or without a database."""
    session, text = session_of(spawner), json.dumps(dict(user_options))
    if session is None or len(text) > _LARGEST or len(name) > _LONGEST_KEY:
        return None
    values = {"user_name": spawner.user.name, "kind": kind, "name": name, "options": text}

    def write() -> None:
        make_table(session, _TABLE)
        session.execute(_one(spawner.user.name, kind, name))
        session.execute(_TABLE.insert().values(**values, saved=time.time()))

    return write
