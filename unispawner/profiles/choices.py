"""What a user has chosen, checked as at a start: whoever has written it where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from jupyterhub.spawner import Spawner
from jupyterhub.utils import maybe_future

from ..errors import UniSpawnerError
from .children import ChildFactory
from .mine import Mine
from .offer import Offer
from .profile import Chosen, Profile
from .reading import find_profile
from .sharing import copy_data


@dataclass(frozen=True)
class CheckedChoice:
    """A choice that was checked, with the options that it was made of."""

    factory: ChildFactory
    user_options: dict[str, Any]
    chosen: Chosen | None
    """None if the profile's spawner checks its options itself."""

    def is_of(self, profile: Profile, user_options: Mapping[str, Any]) -> bool:
        """Return whether it was made of these: a hook may have changed them since."""
        return self.factory.profile is profile and self.user_options == user_options


class Choices:
    """Checks choices among the profiles that one user is offered."""

    def __init__(self, spawner: Spawner, offer: Offer) -> None:
        self._spawner = spawner
        self._offer = offer

    async def check_at_start(
        self, profile: Profile, user_options: Mapping[str, Any]
    ) -> CheckedChoice:
        """Check a choice also with what the user may use: the scheduler may have to be asked.

        Raises
        ------
        UniSpawnerError
            If it is not offered.
        """
        factory = ChildFactory(profile, self._spawner)
        if not factory.asks_for_mine:
            return self.check(profile, user_options)
        known = factory.known_at_start()
        mine = await factory.find_mine(
            lambda one: not profile.examine(user_options, replace(known, mine=one))[1]
        )
        return self.check(profile, user_options, mine)

    async def check_by_what_is_known(self, user_options: Mapping[str, Any]) -> CheckedChoice:
        """Check a choice as at a start, but ask nobody what the user may use.

        Raises
        ------
        UniSpawnerError
            If it is not offered, or the administrator's function fails.
        """
        profile = find_profile(await maybe_future(self._offer.get()), user_options)
        mine = ChildFactory(profile, self._spawner).peek_mine()
        return self.check(profile, user_options, mine)

    def check(
        self, profile: Profile, user_options: Mapping[str, Any], mine: Mine | None = None
    ) -> CheckedChoice:
        """Check a choice of a profile with what is known, without waiting.

        Raises
        ------
        InvalidJobError
            If it is not offered.
        """
        factory = ChildFactory(profile, self._spawner)
        chosen = None
        if not factory.has_own_options:
            chosen = profile.check(user_options, replace(factory.known_at_start(), mine=mine))
        return CheckedChoice(factory, copy_data(user_options), chosen)

    def find_last(self) -> Chosen | None:
        """Return what was chosen the last time.

        None if that is not offered any more, or was made in a form of the profile's spawner.
        """
        user_options = self._spawner.user_options
        try:
            profile = find_profile(self._offer.get_now(), user_options)
            if ChildFactory(profile, self._spawner).own_form:
                return None
            return profile.check(user_options)
        except UniSpawnerError:
            return None
