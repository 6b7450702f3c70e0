"""The profiles that one user is offered, out of all that an administrator has configured."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from inspect import isawaitable
from typing import Any, Protocol

from ..errors import InvalidJobError, UniSpawnerError
from ..web import bookkeeping
from .children import as_our_error
from .reading import Profile, read_profiles


class OffersProfiles(Protocol):
    """What an offer reads from its spawner."""

    user: Any
    log: Any

    def refresh_profiles(self) -> Any:
        """Return the profiles as they are configured now: a list, or a function."""


class Offer:
    """What one user may choose among: a list, or what the administrator's function returns.

    It keeps the profiles it has returned last, since a page can't wait for a function.
    """

    def __init__(self, spawner: OffersProfiles) -> None:
        self._spawner = spawner
        self._last: list[Profile] | None = None

    def get(self) -> list[Profile] | Awaitable[list[Profile]]:
        """Return the profiles that the user is offered; an awaitable if a function needs time.

        Raises
        ------
        InvalidJobError
            If they can't be right, or the administrator's function fails.
        """
        given = self._read()
        return self._get_later(given) if isawaitable(given) else self._take(given)

    def get_now(self) -> list[Profile]:
        """Return the profiles that the user is offered, without waiting.

        Raises
        ------
        InvalidJobError
            As :meth:`get`, and if a function needs time and has not returned any yet.
        """
        return self._take(self._read_now()) if self._last is None else self._last

    def get_all_now(self) -> list[Profile]:
        """Return all profiles, whoever is offered them; otherwise as :meth:`get_now`."""
        return read_profiles(self._read_now())

    def forget(self) -> None:
        """Read the profiles anew the next time."""
        self._last = None

    def _read(self) -> Any:
        """Return the setting, or what its function returns: this may be an awaitable."""
        profiles = self._spawner.refresh_profiles()
        try:
            return profiles(self._spawner) if callable(profiles) else profiles
        except Exception as error:  # the administrator's own function: whatever it raises
            raise self._log_failure(error) from error

    def _read_now(self) -> Any:
        given = self._read()
        if isinstance(given, Coroutine):
            given.close()  # or Python warns that nobody awaits it
        if isawaitable(given):
            raise InvalidJobError("profiles: the offered profiles are not known yet")
        return given

    async def _get_later(self, given: Awaitable[Any]) -> list[Profile]:
        try:
            result = await given
        except Exception as error:
            raise self._log_failure(error) from error
        return self._take(result)

    def _take(self, given: Any) -> list[Profile]:
        user = self._spawner.user
        name, groups = (user.name, {group.name for group in user.groups}) if user else ("", set())
        offered = (one for one in read_profiles(given) if one.is_for(name, groups))
        self._last = [one.for_groups(groups) for one in offered]
        return self._last

    def _log_failure(self, error: Exception) -> UniSpawnerError:
        """Return the error for the user, and log the traceback for the administrator."""
        result = as_our_error("c.ProfilesSpawner.profiles", error)
        if result is not error:
            self._spawner.log.error(
                "%s: %s", bookkeeping.log_name(self._spawner), result, exc_info=error
            )
        return result
