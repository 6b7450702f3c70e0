"""ProfilesSpawner: users choose among profiles that an administrator offers."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Mapping
from inspect import isawaitable
from typing import Any

from jupyterhub.spawner import Spawner
from jupyterhub.traitlets import Callable
from jupyterhub.utils import maybe_future
from traitlets import Any as AnyTrait
from traitlets import List, Unicode, Union

from ..errors import InvalidJobError, UniSpawnerError
from ..schedulers.inventory import Inventory
from ..servers.spawner import UniSpawner
from ..web.availability import Availability, availability
from ..web.failures import SpawnFailure
from . import check as profiles_check
from .children import child_config
from .option import QUEUE
from .pages import ProfilesPages, failed, typed_form
from .reading import PROFILE, Chosen, Profile, find_profile, read_form, read_profiles


class ProfilesSpawner(ProfilesPages):
    """Offers profiles, and runs a server by the spawner of the one that was chosen."""

    profiles = Union(
        [List(AnyTrait()), Callable()],
        default_value=[{"display_name": "Notebook server", "slug": "default", "default": True}],
        help="""What users may choose among: a list of dictionaries, or of wrapspawner's tuples
        (display name, key, class, settings), or a function of the spawner that returns one, which
        may be async. A dictionary has display_name and any of slug, description, default, groups,
        users, config, resources, options, spawner: see docs/profiles.md. Example:
        [{"display_name": "Large", "config": {"queue_name": "long"}, "options": {"memory": {"max":
        "64G", "default": "8G"}}}]""",
    ).tag(config=True)

    child_profile = Unicode()
    child_profile_name = Unicode()

    def __init__(self, **kwargs: Any) -> None:
        self._offered: list[Profile] | None = None
        super().__init__(**kwargs)
        if self.apply_user_options is None:  # type: ignore[has-type]
            self.apply_user_options = _looked_at  # or JupyterHub warns that nobody does

    @classmethod
    async def check_config(cls, config: Any) -> None:
        """Make sure that each profile makes a server, before there is anybody to start one.

        Raises
        ------
        InvalidJobError
            Naming the profile and what can't be right.
        """
        await profiles_check.check_config(cls, config)

    # -- what is offered -----------------------------------------------------------------------

    def offered(self) -> list[Profile] | Awaitable[list[Profile]]:
        """Return the profiles that are offered to the user; something to wait for if it takes time.

        Raises
        ------
        InvalidJobError
            If they can't be right.
        """
        given = self._given()
        return self._offered_later(given) if isawaitable(given) else self._take_offered(given)

    def offered_now(self) -> list[Profile]:
        """Return the profiles that are offered to the user, without waiting.

        Raises
        ------
        InvalidJobError
            If they can't be right, or are not known yet.
        """
        if self._offered is not None:
            return self._offered
        given = self._given()
        if not isawaitable(given):
            return self._take_offered(given)
        if isinstance(given, Coroutine):
            given.close()  # or Python warns that nobody waits for it
        raise InvalidJobError("profiles: it is not known yet which are offered")

    def _given(self) -> Any:
        """Return what ``profiles`` is, or its function returns: maybe something to wait for."""
        try:
            return self.profiles(self) if callable(self.profiles) else self.profiles
        except Exception as error:  # the administrator's own function: whatever it raises
            raise self._profiles_failed(error) from error

    async def _offered_later(self, given: Awaitable[Any]) -> list[Profile]:
        try:
            result = await given
        except Exception as error:
            raise self._profiles_failed(error) from error
        return self._take_offered(result)

    def _profiles_failed(self, error: Exception) -> UniSpawnerError:
        """Return what a user is told; where the administrator's function failed is for the log."""
        told = failed("c.ProfilesSpawner.profiles", error)
        if told is not error:
            self.log.error("%s: %s", self._log_name, told, exc_info=error)
        return told

    def _take_offered(self, given: Any) -> list[Profile]:
        groups = {group.name for group in self.user.groups} if self.user else set()
        name = self.user.name if self.user else ""
        self._offered = [
            one for one in read_profiles(given) if self._loading or one.is_for(name, groups)
        ]
        return self._offered

    # -- what was chosen -----------------------------------------------------------------------

    def options_from_form(self, formdata: dict[str, Any]) -> Any:
        """Return what was chosen in a form, checked: JSON to be saved.

        It is something to wait for only if the profiles are, or a spawner's own form.
        """
        typed_form.set(formdata)
        try:
            offered = self.offered()
            if isinstance(offered, list):
                return self._from_form(offered, formdata)
        except UniSpawnerError as error:
            raise SpawnFailure(error) from None
        return self._from_form_later(offered, formdata)

    async def _from_form_later(
        self, offered: Awaitable[list[Profile]], formdata: dict[str, Any]
    ) -> dict[str, Any]:
        try:
            chosen: dict[str, Any] = await maybe_future(self._from_form(await offered, formdata))
        except UniSpawnerError as error:
            raise SpawnFailure(error) from None
        return chosen

    def _from_form(self, offered: list[Profile], formdata: dict[str, Any]) -> Any:
        profile, said = read_form(offered, formdata)
        if self._own_form(profile):
            child = self._idle_child(profile)
            return _with_profile(profile, child.run_options_from_form(said))
        if self.has_own_options(profile):  # a subclass may know more fields
            return {PROFILE: profile.slug}
        return profile.check_form(said, *self._limits(profile)).user_options

    def options_from_query(self, query_data: dict[str, Any]) -> Any:
        """Return what a link asks for; JupyterHub 5 leaves the prefix of ``?opt-…`` to us."""
        return self.options_from_form(
            {name.removeprefix("opt-"): values for name, values in query_data.items()}
        )

    def has_own_options(self, profile: Profile) -> bool:
        """Return whether it is for the profile's spawner to say what options there are."""
        if profile.own_options and not issubclass(self.class_of(profile), UniSpawner):
            return True
        return bool(self._own_form(profile))

    async def run_pre_spawn_hook(self) -> None:
        """Run it for a user whose choice is offered: it may have come from anywhere."""
        try:
            offered = await maybe_future(self.offered())
            if type(self).select_profile is ProfilesSpawner.select_profile:  # who else may know
                self._choose(find_profile(offered, self.user_options))
        except UniSpawnerError as error:
            raise SpawnFailure(error) from None
        await maybe_future(super().run_pre_spawn_hook())

    def _choose(self, profile: Profile) -> Chosen | None:
        """Return what was chosen of a profile, checked; None if its spawner is to do that."""
        if self.has_own_options(profile):
            return None
        return profile.check(self.user_options, *self._limits(profile))

    def select_profile(self, profile: str) -> None:
        """Set the child's class and settings for a profile, and for what was chosen of it.

        Raises
        ------
        InvalidJobError
            If it isn't offered to the user, or not with these options.
        """
        found = find_profile(self.offered_now(), {PROFILE: profile} if profile != "" else {})
        chosen = None if self._loading else self._choose(found)
        self.child_profile_name = found.display_name
        self.child_class = self.class_of(found)
        self.child_config = self.config_of(found, chosen.fields if chosen else {})

    def config_of(self, profile: Profile, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return a child's settings for a profile, and for what options set on top of it."""
        return child_config(self, self.class_of(profile), profile, fields)

    def availability(self, profile: Profile) -> Availability | None:
        """Return what is known of the cluster that a profile's servers run on, without waiting."""
        return availability(self._idle_child(profile))

    def _limits(self, profile: Profile) -> tuple[Inventory | None, str]:
        """Return what is known of the cluster, if a profile has bounds that depend on it."""
        if all(option.max != QUEUE for option in profile.options.values()):
            return None, ""
        found = self.availability(profile)
        return (found.inventory, found.queue) if found else (None, "")

    # -- the child -----------------------------------------------------------------------------

    def construct_child(self) -> Spawner:
        """Return the spawner of the profile that ``user_options`` names, made now unless it is."""
        if self.child_spawner is None and not self._loading:
            profile = self.user_options.get(PROFILE, "")
            self.child_profile = profile if isinstance(profile, str) else ""
            self.select_profile(profile)
        return super().construct_child()

    def load_child_class(self, state: dict[str, Any]) -> None:
        """Set class and settings by the profile, as it is now, for what the state doesn't say."""
        self.child_profile = str(state.get(PROFILE) or "")
        try:
            self.select_profile(self.child_profile)
        except InvalidJobError as error:  # no longer offered; the server that runs keeps it
            if "child_class" not in state:
                raise
            self.log.info("%s: %s", self._log_name, error)
        finally:
            self._offered = None  # a server that runs keeps its profile, whoever is offered it now

    def get_state(self) -> dict[str, Any]:
        """Return what is saved: the child's, and which profile it is of."""
        state = super().get_state()
        if self.child_spawner is not None:
            state[PROFILE] = self.child_profile
        return state

    def clear_state(self) -> None:
        """Forget the child and its profile, unless it has kept its server."""
        super().clear_state()
        self._offered = None
        if self.child_spawner is None:
            self.child_profile = self.child_profile_name = ""


def _with_profile(profile: Profile, options: Any) -> Any:
    """Return a spawner's own options, which may have to be waited for, with the profile's name."""

    async def later() -> dict[str, Any]:
        return {**await options, PROFILE: profile.slug}

    return later() if isawaitable(options) else {**options, PROFILE: profile.slug}


def _looked_at(spawner: Spawner, user_options: dict[str, Any]) -> None:
    """Do nothing: they are applied when the child is made."""
