"""How many servers of a profile may run or wait at once: ``max_servers`` and its like for a user.

``max_servers`` is about what runs, so the second job of a server whose user continues it counts as
one more. ``max_servers_per_user`` is about servers: a user with the only server that is allowed may
continue it.

A start counts from the moment when its choice has passed the check. Nothing is awaited between the
count and that moment, so that of two clicks at the same time only as many pass as may.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..errors import InvalidJobError
from ..texts import Text, of_field, say_count
from ..web import bookkeeping
from .profile import Profile


def count_server(spawner: Any, profile: Profile) -> None:
    """Count a server as one of its profile's from now on, as long as it runs or waits.

    Raises
    ------
    InvalidJobError
        If there are as many of these servers as the profile allows.
    """
    # The spawner may be a draft for a second job of a server that runs.
    known = spawner.user.spawners.get(spawner.name)
    continued = known if known is not spawner else None
    counted = [
        one for one in _spawners(spawner) if one not in (spawner, known) and _counts(one, profile)
    ]
    own = [one for one in counted if one.user.name == spawner.user.name]
    jobs = len(counted) + sum(_second_counts(one) for one in counted)
    jobs += continued is not None and _counts(continued, profile)
    for limit, found, refuse in (
        (profile.max_servers_per_user, len(own), _too_many_of_yours),
        (profile.max_servers, jobs, _too_many),
    ):
        if limit is not None and found >= limit:
            words = refuse(profile.display_name, limit, found)
            raise InvalidJobError(of_field("profile", words))
    spawner.counted_profile = profile.slug
    if (hand_over := _hand_over(continued)) is not None:
        hand_over.counted = True


def _too_many_of_yours(name: str, limit: int, found: int) -> Text:
    return say_count(
        "{profile} allows {count} server of each user at a time, and you have {found} already. "
        "Stop one of them first",
        "{profile} allows {count} servers of each user at a time, and you have {found} already. "
        "Stop one of them first",
        limit,
        profile=name,
        found=found,
    )


def _too_many(name: str, limit: int, found: int) -> Text:
    return say_count(
        "{profile} allows {count} server at a time, and there are {found} already. Try again later",
        "{profile} allows {count} servers at a time, and there are {found} already. "
        "Try again later",
        limit,
        profile=name,
        found=found,
    )


def _counts(spawner: Any, profile: Profile) -> bool:
    return bool(spawner.active) and getattr(spawner, "counted_profile", "") == profile.slug


def _second_counts(spawner: Any) -> bool:
    hand_over = _hand_over(spawner)
    return hand_over is not None and bool(hand_over.second_counts)


def _hand_over(spawner: Any) -> Any:
    """Return how a server is continued; None if servers of its class can't be."""
    return getattr(bookkeeping.inner(spawner), "hand_over", None)


def _spawners(spawner: Any) -> Iterator[Any]:
    """Yield the spawners of all users whom the Hub has loaded: all whose servers run or wait."""
    users = spawner.user.settings.get("users") or {}
    for user in list(users.values()) or [spawner.user]:
        yield from list(user.spawners.values())
