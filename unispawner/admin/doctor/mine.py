"""The check of ``unispawner doctor`` what an account may use, where a profile offers that."""

from __future__ import annotations

from collections.abc import Iterable

from ...profiles.fields import FIELDS
from ...profiles.reading import Profile
from ...run_as.accounts import find_account
from ...servers.spawner import UniSpawner

_MOST = 10
"""How many names of one field are printed."""


def find_fields(profiles: Iterable[Profile]) -> list[str]:
    """Return the names of the options of some profiles that offer what the user may use."""
    options = [option for one in profiles for option in one.options.values()]
    return list(dict.fromkeys(option.name for option in options if option.mine))


async def check_mine(spawner: UniSpawner, name: str, fields: Iterable[str]) -> tuple[str, str]:
    """Return what the account may use, as the scheduler says, and what to look at.

    Raises
    ------
    UniSpawnerError
        If there is no answer.
    """
    account = await find_account(name, spawner.min_uid, host=spawner.get_host())
    found = await spawner.agent_client(account).usable()
    known, unknown = [], []
    for field in fields:
        names = found.names(field)
        if names is None:
            unknown.append(field)
            continue
        more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
        known.append(f"{FIELDS[field].label}: {', '.join(names[:_MOST]) or 'none'}{more}")
    title = spawner.get_scheduler().title
    words = f"{title} lets {name} use " + "; ".join(known) if known else f"{title} says nothing"
    if not unknown:
        return words, ""
    return words, (
        f"It says nothing about {', '.join(unknown)} for {name}, so the form has a text field "
        "there, and the scheduler decides. That works; the option may also have choices or a "
        "pattern, or be left out"
    )
