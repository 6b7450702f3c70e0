"""The clusters on which a configuration's servers may have jobs."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...errors import InvalidJobError, UniSpawnerError
from ...profiles.spawner import ProfilesSpawner
from ...servers.spawner import UniSpawner
from ..doctor.spawners import find_spawners


@dataclass(frozen=True)
class Problem:
    """Something that could not be asked.

    Attributes
    ----------
    place, account
        Where, and about which account; empty if that does not matter.
    """

    message: str
    place: str = ""
    account: str = ""


@dataclass(frozen=True, eq=False)
class Place:
    """One cluster, reached in one way, with the spawner that has its settings."""

    name: str
    spawner: UniSpawner


async def find_places(spawner: Any, problems: list[Problem], notes: list[str]) -> list[Place]:
    """Return the clusters of a configuration; add what can't be asked, and what has no marks.

    Parameters
    ----------
    spawner
        The Hub's own spawner, which belongs to nobody.
    """
    await _call_function_of_profiles(spawner, problems)
    places: dict[object, Place] = {}
    for one in find_spawners(spawner):
        if not isinstance(one, UniSpawner):
            notes.append(
                f"Jobs of the class {type(one).__name__} have no marks, so they are not listed."
            )
            continue
        try:
            await one.find_way()
            await one.find_scheduler()
            scheduler = one.get_scheduler()
            name = _name_place(one)
        except UniSpawnerError as error:
            problems.append(Problem(str(error), _name_setting(one)))
            continue
        if scheduler.dialect is not None:
            notes.append(f"{name}: jobs of a template have no marks, so they are not listed.")
            continue
        places.setdefault(_identify_place(one), Place(name, one))
    return list(places.values())


async def _call_function_of_profiles(spawner: Any, problems: list[Problem]) -> None:
    """Replace a function that returns profiles by what it returns for a spawner of nobody."""
    if not isinstance(spawner, ProfilesSpawner) or not callable(spawner.refresh_profiles()):
        return
    try:
        found = spawner.profiles(spawner)
        spawner.profiles = list(await found if inspect.isawaitable(found) else found)
    except Exception as error:  # the administrator's own function: whatever it raises
        problems.append(
            Problem(
                "c.ProfilesSpawner.profiles: the function fails for a spawner without a user, so "
                "the clusters of the profiles are not known; those of c.UniSpawner are asked: "
                f"{type(error).__name__}: {error}"
            )
        )


def _name_setting(spawner: UniSpawner) -> str:
    return f"{spawner.scheduler}{f' on {spawner.submit_host}' if spawner.submit_host else ''}"


def _name_place(spawner: UniSpawner) -> str:
    title = str(spawner.get_scheduler().title)
    return f"{title} on {spawner.submit_host}" if spawner.submit_host else title


def _identify_place(spawner: UniSpawner) -> tuple[Any, ...]:
    """Return what is equal for two spawners whose jobs are listed by the same questions."""
    scheduler = spawner.get_scheduler()
    return (
        *(scheduler.name, repr(scheduler.query_key), repr(scheduler.options)),
        *(spawner.submit_host, spawner.scheduler_path),
        *sorted(spawner.scheduler_environment.items()),
    )


def make_names_unique(places: list[Place]) -> Iterator[Place]:
    """Yield the places, with a number behind the name where several have the same."""
    seen: dict[str, int] = {}
    for one in places:
        count = seen[one.name] = seen.get(one.name, 0) + 1
        yield one if count == 1 else Place(f"{one.name} #{count}", one.spawner)


def find_account_name(spawner: UniSpawner, user: Any) -> str:
    """Return the name of a user's account, as a start would.

    Raises
    ------
    InvalidJobError
        If the administrator's function fails for a user who only has a name.
    """
    if spawner.account_name is None:
        return str(user.name)
    before = spawner.user
    try:
        spawner.user = user
        return str(spawner.account_name(spawner))
    except Exception as error:  # the administrator's own function: whatever it raises
        raise InvalidJobError(
            f"c.UniSpawner.account_name failed for the user {user.name!r}, who only has a name "
            f"here: {type(error).__name__}: {error}. Name the account with --account"
        ) from None
    finally:
        spawner.user = before
