"""How many servers of a profile may run or wait at once: ``max_servers`` and its like for a user.

A start counts from the moment when its choice has passed the check. Nothing is awaited between the
count and that moment, so that of two clicks at the same time only as many pass as may.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..errors import InvalidJobError
from ..web.summary import describe_count
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
    others = [
        one for one in _spawners(spawner) if one not in (spawner, known) and _counts(one, profile)
    ]
    own = [one for one in others if one.user.name == spawner.user.name]
    for limit, found, words in (
        (profile.max_servers_per_user, own, "you have {} already. Stop one of them first"),
        (profile.max_servers, others, "there are {} already. Try again later"),
    ):
        if limit is not None and len(found) >= limit:
            whom = " of each user" if found is own else ""
            raise InvalidJobError(
                f"profile: {profile.display_name} allows {describe_count(limit, 'server')}{whom} "
                f"at a time, and {words.format(len(found))}"
            )
    spawner.counted_profile = profile.slug


def _counts(spawner: Any, profile: Profile) -> bool:
    return bool(spawner.active) and getattr(spawner, "counted_profile", "") == profile.slug


def _spawners(spawner: Any) -> Iterator[Any]:
    """Yield the spawners of all users whom the Hub has loaded: all whose servers run or wait."""
    users = spawner.user.settings.get("users") or {}
    for user in list(users.values()) or [spawner.user]:
        yield from list(user.spawners.values())
