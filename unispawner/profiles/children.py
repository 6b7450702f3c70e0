"""The spawners of one profile: their class, and the settings that a choice gives them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from importlib.metadata import entry_points
from typing import Any

from jupyterhub.spawner import Spawner
from jupyterhub.utils import maybe_future
from traitlets import TraitError
from traitlets.utils.importstring import import_item

from ..errors import InvalidJobError, UniSpawnerError
from ..job import merge_resources
from ..schedulers.fitting import Unfit
from ..schedulers.usable import FIELDS as USABLE
from ..schedulers.usable import Usable
from ..servers.own_paths import OwnPath
from ..servers.spawner import UniSpawner
from ..web.availability import Availability, availability, find_misfit_of
from .mine import Mine
from .option import DICTIONARIES
from .profile import Chosen, Known, Profile
from .sharing import copy_data


class ChildFactory:
    """Makes the spawners of one profile, and answers questions about them before one starts.

    Attributes
    ----------
    profile
        The profile.
    wrapper
        The spawner that offers it. Its children have its configuration and its user.
    """

    def __init__(self, profile: Profile, wrapper: Spawner) -> None:
        self.profile = profile
        self.wrapper = wrapper

    @cached_property
    def spawner_class(self) -> type[Spawner]:
        """The class of the profile's spawners.

        Raises
        ------
        InvalidJobError
            If the profile names a class that does not exist, or is not a spawner's.
        """
        found = self.profile.spawner or UniSpawner
        if isinstance(found, str):
            try:
                entries = entry_points(group="jupyterhub.spawners", name=found.lower())
                found = [*entries][-1].load() if entries else import_item(found)
            except (ImportError, AttributeError) as error:
                raise self._error(f"spawner: {found}: {error}") from None
        if not (isinstance(found, type) and issubclass(found, Spawner)):
            raise self._error(f"spawner: {found!r} is not the class of a spawner")
        return found

    @cached_property
    def idle(self) -> Spawner:
        """A spawner of the profile that starts nothing, to read the configured settings from.

        Raises
        ------
        InvalidJobError
            If a setting of the profile has a value that its trait refuses.
        """
        return self._make_idle(copy_data(self.profile.config))

    def make_idle(self, fields: Mapping[str, Any]) -> Spawner:
        """Return a spawner of the user's, as a choice of these fields makes it; it starts nothing.

        Raises
        ------
        InvalidJobError
            If a setting has a value that its trait refuses.
        """
        return self._make_idle(self.make_settings(fields))

    def _make_idle(self, settings: Mapping[str, Any]) -> Spawner:
        try:
            child = self.spawner_class(
                config=self.wrapper.config,
                user=self.wrapper.user,
                hub=self.wrapper.hub,
                **self.keep_known(settings),
            )
        except TraitError as error:
            raise self._error(f"config: {error}") from None
        child.wrapper = self.wrapper
        child.handler = self.wrapper.handler  # forms of sites take the request's addresses from it
        return child

    def keep_known(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return those settings that the class has; wrapspawner ignores others."""
        traits = self.spawner_class.class_traits()
        return {name: value for name, value in settings.items() if traits.get(name)}

    def make_settings(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return a child's settings: the profile's, and on top of them what its options set.

        The items of a dictionary, such as ``resources``, are added to those that are configured.
        """
        settings: dict[str, Any] = copy_data(self.profile.config)
        for name, value in fields.items():
            if name not in DICTIONARIES:
                settings[name] = value
            elif value:
                configured = getattr(self.idle, name, {})
                merge = merge_resources if name == "resources" else _merge
                settings[name] = merge(configured, value)
        return settings

    def own_paths(self, chosen: Chosen) -> list[OwnPath]:
        """Return the paths of a choice that have to be looked at as the user."""
        return [
            OwnPath(name, text, value.kind, value.owners, value.groups)
            for name, (value, text) in chosen.texts().items()
            if value.is_path
        ]

    def make_spawner(self, user_options: Mapping[str, Any]) -> Spawner:
        """Return a spawner as a choice would make it. It belongs to nobody and starts nothing.

        Raises
        ------
        InvalidJobError
            If the choice is not offered, or a setting has a value that its trait refuses.
        """
        settings = self.make_settings(self.profile.check(user_options).fields)
        try:
            made = self.spawner_class(config=self.wrapper.config, **self.keep_known(settings))
        except TraitError as error:
            raise self._error(f"config: {error}") from None
        if isinstance(made, UniSpawner):
            made.profile_slug = self.profile.slug
        return made

    def _error(self, message: str) -> InvalidJobError:
        return InvalidJobError(f"profile {self.profile.slug!r}: {message}")

    # -- what its children are like ------------------------------------------------------------

    @property
    def own_form(self) -> Any:
        """The form that the profile's spawner has itself: HTML, a function, or None.

        A form that is configured for all spawners is the wrapper's.
        """
        if self.profile.options:
            return None
        form, wrapper = self.idle.options_form, self.wrapper
        shared = wrapper.options_form if wrapper.trait_has_value("options_form") else None
        return None if form == shared else form

    async def render_own_form(self) -> str:
        """Return the HTML of the spawner's own form; empty if it has none.

        Raises
        ------
        UniSpawnerError
            If the administrator's function fails.
        """
        form = self.own_form
        try:
            return str(await maybe_future(form(self.idle)) if callable(form) else form or "")
        except Exception as error:  # the administrator's own function: whatever it raises
            raise as_our_error(f"options_form of {self.profile.slug}", error) from error

    @property
    def has_own_options(self) -> bool:
        """Whether the spawner decides which options there are, and the profile does not."""
        if self.profile.own_options and not issubclass(self.spawner_class, UniSpawner):
            return True
        return bool(self.own_form)

    def availability(self) -> Availability | None:
        """Return what is known of the cluster that the profile's servers run on, without waiting.

        None for a spawner that does not submit to a cluster.
        """
        return availability(self.idle)

    def known(self) -> Known:
        """Return what is known of the cluster, without waiting."""
        found = self.availability() if self.profile.needs_inventory else None
        if found is None:
            return Known(find_misfit=self.find_misfit)
        return Known(found.inventory, found.queue, self.find_misfit)

    def known_at_start(self) -> Known:
        """Return the same without the check against nodes: the submission does that itself.

        The check makes a spawner, which takes time when many start at once.
        """
        return replace(self.known(), find_misfit=None)

    def find_misfit(self, fields: Mapping[str, Any]) -> Unfit | None:
        """Return why no node can run the job with these fields; None if that is not known."""
        if not issubclass(self.spawner_class, UniSpawner):
            return None
        settings = self.keep_known(self.make_settings(fields))
        try:
            made = self.spawner_class(config=self.wrapper.config, **settings)
            return find_misfit_of(made, made.job_spec("0" * 16, environment={}))
        except (TraitError, UniSpawnerError):
            return None  # the start itself reports it

    @property
    def asks_for_mine(self) -> bool:
        """Whether an option offers what the user may use."""
        options = self.profile.options.values()
        return any(one.mine for one in options) and isinstance(self.idle, UniSpawner)

    def peek_mine(self) -> Mine | None:
        """Return what is known of what the user may use, without waiting; None if nothing is.

        None also if no option offers it.
        """
        found = self.idle.usable.peek() if self.asks_for_mine else None
        return self._mine(found)

    async def find_mine(self, is_right: Callable[[Mine | None], bool]) -> Mine | None:
        """Return what the user may use, and wait for it, but not long, if it is not known.

        What is known may be some hours old. If a choice is not right by it, it is asked for anew.

        Parameters
        ----------
        is_right
            Returns whether the user's choice is right.
        """
        if not self.asks_for_mine:
            return None
        found = self._mine(await self.idle.usable.get())
        return found if is_right(found) else self._mine(await self.idle.usable.get(anew=True))

    def _mine(self, found: Usable | None) -> Mine | None:
        if found is None:
            return None
        values = {name: getattr(self.idle, name, None) for name in USABLE}
        configured = {name: str(value) for name, value in values.items() if value}
        return Mine(found.at(time.time()), configured)

    def default_fields(self) -> dict[str, Any]:
        """Return the fields of a job for which nothing is chosen, as they are configured."""
        fields = {name: getattr(self.idle, name, None) for name in ("duration", *USABLE)}
        configured = getattr(self.idle, "resources", {})
        return {**fields, **merge_resources(configured, self.profile.resources)}


def _merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for layer in layers for name, value in layer.items()}


def as_our_error(what: str, error: Exception) -> UniSpawnerError:
    """Return the error that a user is shown when a part of the configuration raises one."""
    if isinstance(error, UniSpawnerError):
        return error
    return InvalidJobError(f"{what} failed: {type(error).__name__}: {error}")
