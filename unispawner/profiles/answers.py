"""What the Hub's API and pages ask about the profiles that one user is offered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyterhub.spawner import Spawner
from jupyterhub.utils import maybe_future

from ..errors import InvalidJobError
from ..servers.scheduled_job import ScheduledJob
from ..texts import of_field, say
from ..web.availability import Availability
from ..web.start_time import StartAnswer
from . import saved_choices, start_time
from .children import ChildFactory
from .choices import Choices
from .mine import mine_to_dict
from .offer import Offer
from .reading import PROFILE, find_profile
from .schema import options_schema

ASK_AGAIN = 2.0
"""After how many seconds a form asks again for what the user may use, while nobody knows it."""


class ProfileAnswers:
    """Answers the questions. Each raises a UniSpawnerError if the profiles can't be right, or if
    the administrator's function fails."""

    def __init__(self, spawner: Spawner, offer: Offer, choices: Choices) -> None:
        self._spawner = spawner
        self._offer = offer
        self._choices = choices

    async def options_schema(self) -> dict[str, Any]:
        """Return the JSON schema of the user_options that the user may send."""
        offered = await maybe_future(self._offer.get())
        return options_schema(
            offered,
            lambda one: ChildFactory(one, self._spawner).has_own_options,
            lambda one: ChildFactory(one, self._spawner).peek_mine(),
        )

    async def availabilities(self) -> list[Availability | None]:
        """Return what is free for each profile, without waiting; None if it makes no jobs."""
        offered = await maybe_future(self._offer.get())
        return [ChildFactory(one, self._spawner).availability() for one in offered]

    async def mine(self, slug: str) -> dict[str, Any]:
        """Return what the user may use with a profile, without waiting, as data for JSON."""
        profile = find_profile(await maybe_future(self._offer.get()), {PROFILE: slug})
        factory = ChildFactory(profile, self._spawner)
        found = factory.peek_mine()
        asking = factory.asks_for_mine and factory.idle.usable.is_asking()
        return {**mine_to_dict(profile.options, found), "refresh_in": ASK_AGAIN if asking else None}

    async def keep_preset(self, name: str, user_options: Mapping[str, Any]) -> None:
        """Keep a choice under a name, if it is offered now and not of a spawner's own form.

        It raises also what :func:`.saved_choices.keep_preset` does.
        """
        profile = find_profile(await maybe_future(self._offer.get()), user_options)
        factory = ChildFactory(profile, self._spawner)
        if factory.has_own_options:
            problem = say(
                "{profile} has a form of its own, and its choices can't be kept",
                profile=profile.display_name,
            )
            raise InvalidJobError(of_field("profile", problem))
        chosen = profile.check(user_options, factory.known())
        await saved_choices.keep_preset(self._spawner, name, chosen.user_options)

    async def find_start_time(self, user_options: Mapping[str, Any]) -> StartAnswer:
        """Return when a server with a choice would start, and with which it would start sooner."""
        checked = await self._choices.check_by_what_is_known(user_options)
        if checked.chosen is None:  # the spawner's own form
            return StartAnswer()
        return await start_time.find_start_time(checked.factory, checked.chosen)

    async def find_sooner_start(self) -> StartAnswer:
        """Return with which smaller choice a server that waits would start sooner."""
        job = getattr(self._spawner.child_spawner, "server_job", None)
        if not isinstance(job, ScheduledJob):
            return StartAnswer()
        checked = await self._choices.check_by_what_is_known(self._spawner.user_options)
        if checked.chosen is None:
            return StartAnswer()
        return await start_time.find_sooner_start(checked.factory, checked.chosen, job)
