"""ProfilesSpawner: users choose among profiles that an administrator offers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyterhub.spawner import Spawner
from jupyterhub.traitlets import Callable
from jupyterhub.utils import maybe_future
from traitlets import Any as AnyTrait
from traitlets import Bool, List, TraitError, Unicode, Union
from traitlets.config import Config

from ..errors import InvalidJobError, UniSpawnerError
from ..servers import event_log
from ..servers.spawner import UniSpawner
from ..web import bookkeeping
from ..web.availability import Availability
from ..web.failures import SpawnFailure
from ..web.start_time import StartAnswer
from . import saved_choices
from .answers import ProfileAnswers
from .check import check_profiles
from .children import ChildFactory
from .choices import CheckedChoice, Choices
from .file_content import Definition
from .form import as_fields
from .form_page import FORM, INPUT, FormPage
from .form_reading import FormReader, fields_of_link
from .offer import Offer
from .profiles_file import PATIENCE, find_file
from .reading import PROFILE, find_profile
from .server_limits import count_server
from .sharing import copy_data
from .wrap_spawner import WrapSpawner


class ProfilesSpawner(WrapSpawner):
    """Lets users choose a profile, and runs their server with that profile's spawner."""

    profiles = Union(
        [List(AnyTrait()), Callable()],
        default_value=[{"display_name": "Notebook server", "slug": "default", "default": True}],
        help="""The profiles that users may choose among: a list of dictionaries, or of
        wrapspawner's tuples (display name, key, class, settings), or a function of the spawner that
        returns such a list, which may be async. A dictionary has display_name and any of slug,
        description, default, groups, users, config, resources, options, spawner: see
        docs/profiles.md. Example:
        [{"display_name": "Large", "config": {"queue_name": "long"}, "options": {"memory": {"max":
        "64G", "default": "8G"}}}]""",
    ).tag(config=True)

    profiles_file = Unicode(
        help="""The path of a file with the profiles, instead of c.ProfilesSpawner.profiles: YAML
        (.yaml, .yml) or Python (.py). It is read anew when it changes, and on SIGHUP, while the Hub
        runs; a file that is wrong is refused, and the profiles of before stay. Servers that wait
        or run keep what they were started with. See docs/profiles.md. Example:
        "/etc/jupyterhub/profiles.yaml". Default: empty, there is no such file.""",
    ).tag(config=True)

    form_template = Unicode(
        FORM,
        help="""HTML of wrapspawner's form, which replaces ours if this or input_template is set.
        It holds {input_template} where the profiles are: input_template, once for each profile.
        This form shows no options.""",
    ).tag(config=True)

    first_template = Unicode(
        "selected",
        help="""The text for {first} in input_template, for the profile that is selected when the
        form opens. For the other profiles {first} is empty.""",
    ).tag(config=True)

    input_template = Unicode(
        INPUT,
        help="""HTML of one profile in wrapspawner's form, with {display}, {key}, {type} and
        {first}.""",
    ).tag(config=True)

    usage_hints = Bool(
        True,
        help="""Whether the form says beside memory, cores, GPUs and time how much of them the
        user's last sessions of the same profile have used: "Your last 5 sessions of this profile
        used at most 3 of 64 GiB of memory." It needs a scheduler with an accounting, which
        c.UniSpawner.ask_accounting lets the Hub ask. Default: True.""",
    ).tag(config=True)

    child_profile = Unicode()
    child_profile_name = Unicode()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.offer = Offer(self)
        self._choices = Choices(self, self.offer)
        self._reader = FormReader(self, self.offer)
        self._page = FormPage(self, self.offer)
        self._answers = ProfileAnswers(self, self.offer, self._choices)
        self._checked: CheckedChoice | None = None
        self._of_profile: dict[str, Any] = {}
        self._slug = ""
        self.counted_profile = ""  # see count_server()
        self.checked_options: set[str] = set()
        self._of_file: Definition | None = None
        if self.profiles_file and find_file(self.profiles_file).is_loaded:
            self.refresh_profiles()  # code of a subclass may read them at any time
        if self.apply_user_options is None:  # type: ignore[has-type] # JupyterHub's
            self.apply_user_options = _apply_nothing  # or JupyterHub warns that options are unused

    @classmethod
    async def check_config(cls, config: Config) -> None:
        """Check that each profile of a configuration makes a server, before anybody starts one.

        What a function returns depends on the user, and is checked when that user starts a server.

        Raises
        ------
        InvalidJobError, SchedulerUnavailable
            As :func:`.check.check_profiles`, and if the file of profiles can't be right.
        """
        try:
            spawner = cls(config=config)
        except TraitError as error:
            raise InvalidJobError(str(error)) from None
        if spawner.profiles_file:
            find_file(spawner.profiles_file).load()
        try:
            if isinstance(found := spawner.refresh_profiles(), list):
                await check_profiles(found, spawner)
        except InvalidJobError as error:
            await _check_without_profiles(config, error)
            raise spawner.with_place(error) from None

    @classmethod
    def set_up_hub(cls, hub: Any) -> None:
        """Begin to look after the file of profiles, if there is one. Called when the Hub starts."""
        try:
            spawner = cls(config=hub.config)
        except TraitError:
            return  # the check of the configuration has reported it
        if spawner.profiles_file:

            async def check(profiles: Any) -> None:
                await check_profiles(profiles, cls(config=hub.config))

            find_file(spawner.profiles_file).watch(check)

    def refresh_profiles(self) -> Any:
        """Return the profiles as they are now: the setting, or what its file holds.

        Raises
        ------
        InvalidJobError
            If both are set, or the file can't be right and there are none of before.
        """
        if not self.profiles_file:
            return self.profiles
        if any("profiles" in self.config.get(one.__name__, {}) for one in type(self).__mro__):
            raise InvalidJobError(
                "c.ProfilesSpawner.profiles: this is set, and so is profiles_file; remove the one "
                "or the other"
            )
        found = find_file(self.profiles_file).get()
        if found is not self._of_file:
            self.profiles, self._of_file = copy_data(found.profiles), found
        return self.profiles

    @property
    def profiles_version(self) -> str:
        """A text that differs for each content of the file of profiles; empty without a file."""
        return self._of_file.version if self._of_file else ""

    def with_place(self, error: InvalidJobError) -> InvalidJobError:
        """Return an error about the profiles, with its line if they are in a file."""
        return find_file(self.profiles_file).with_place(error) if self.profiles_file else error

    async def look_at_file(self) -> None:
        """Have the file of profiles read anew if it has changed; wait for that, but not long."""
        if self.profiles_file:
            await find_file(self.profiles_file).look(PATIENCE)

    # -- what is chosen ------------------------------------------------------------------------

    def options_from_form(self, formdata: dict[str, Any]) -> Any:
        """Return what was chosen in a form, checked, as JSON for the database.

        The result is an awaitable only if the profiles, or the options of a spawner's own form, are
        awaitables, if the profiles are in a file, or if the scheduler or the user's own side has to
        be asked about the choice.
        """
        return self._reader.read(formdata)

    def options_from_query(self, query_data: dict[str, Any]) -> Any:
        """Return what a link chooses, checked."""
        with fields_of_link():
            return self.options_from_form(query_data)

    async def run_pre_spawn_hook(self) -> None:
        """Check the choice, whoever has written it where, and then run the hook."""
        await self.look_at_file()
        try:
            offered = await maybe_future(self.offer.get())
            # A subclass that selects profiles itself may know some that we don't.
            if type(self).select_profile is ProfilesSpawner.select_profile:
                profile = find_profile(offered, self.user_options)
                self._checked = await self._choices.check_at_start(profile, self.user_options)
                count_server(self, profile)
        except UniSpawnerError as error:
            event_log.note_refused_choice(self, error.message)
            raise SpawnFailure(error) from None
        if self._checked and self._checked.chosen:
            saved_choices.keep_last(self, self._checked.chosen.user_options)
        await maybe_future(super().run_pre_spawn_hook())

    def select_profile(self, profile: str) -> None:
        """Set the child's class and settings for a profile and its chosen options.

        Raises
        ------
        InvalidJobError
            If it isn't offered to the user, or not with these options.
        """
        offered = self.offer.get_all_now() if self._loading else self.offer.get_now()
        found = find_profile(offered, {PROFILE: profile} if profile != "" else {})
        checked, self._checked = self._checked, None
        if self._loading:  # the settings come from the saved state
            checked = CheckedChoice(ChildFactory(found, self), {}, None)
        elif checked is None or not checked.is_of(found, self.user_options):
            checked = self._choices.check(found, self.user_options)
            if bookkeeping.is_starting(self):
                count_server(self, found)
        self.child_profile_name = found.display_name
        self._of_profile = copy_data(found.config)
        self._slug = found.slug
        self.checked_options = {PROFILE, *(found.options if checked.chosen else ())}
        self.child_class = checked.factory.spawner_class
        fields = checked.chosen.fields if checked.chosen else {}
        self.child_config = checked.factory.make_settings(fields)
        if checked.chosen and (paths := checked.factory.own_paths(checked.chosen)):
            self.child_config["own_paths"] = [one.to_dict() for one in paths]

    # -- the form ------------------------------------------------------------------------------

    def _options_form_default(self) -> Any:
        """Return the form, or a function that returns it later if anything in it needs time."""
        form = self._page.render_now()
        return _get_form_later if form is None else form

    async def get_options_form(self) -> str:
        """Return the form. It shows what was typed, or else what was chosen the last time.

        If a subclass or the configuration has an ``options_form``, that is returned instead.
        """
        if self._has_other_form():
            return str(await super().get_options_form())
        await self.look_at_file()
        try:
            return await self._page.render()
        except UniSpawnerError as error:
            raise SpawnFailure(error) from None

    def _has_other_form(self) -> bool:
        classes = type(self).__mro__
        subclasses = classes[: classes.index(ProfilesSpawner)]
        names = {name for cls in subclasses for name in vars(cls)}
        names |= {name for cls in classes for name in self.config.get(cls.__name__, {})}
        return bool(names & {"options_form", "_options_form_default"})

    # -- for the Hub's API and pages -----------------------------------------------------------

    async def options_schema(self) -> dict[str, Any]:
        """Return the JSON schema of the user_options that the user may send.

        Raises
        ------
        UniSpawnerError
            If the profiles can't be right, or the administrator's function fails.
        """
        return await self._answers.options_schema()

    async def availabilities(self) -> list[Availability | None]:
        """Return what is free for each profile, without waiting; None where a server is not a job.

        Raises
        ------
        UniSpawnerError
            If the profiles can't be right, or the administrator's function fails.
        """
        return await self._answers.availabilities()

    async def mine(self, slug: str) -> dict[str, Any]:
        """Return what the user may use with a profile, without waiting, as data for JSON.

        Raises
        ------
        UniSpawnerError
            If there is no such profile, or the administrator's function fails.
        """
        return await self._answers.mine(slug)

    def kept_choices(self) -> saved_choices.SavedChoices:
        """Return what the user has chosen before, of which some may not be offered any more."""
        return saved_choices.read_choices(self)

    async def keep_preset(self, name: str, user_options: Mapping[str, Any]) -> None:
        """Keep a choice under a name, if it is offered now.

        Raises
        ------
        UniSpawnerError
            If it is not offered, or if the profile has a form of its own; and as
            :func:`.saved_choices.keep_preset`.
        """
        await self._answers.keep_preset(name, user_options)

    async def delete_preset(self, name: str) -> bool:
        """Delete a preset; return whether there was one."""
        return await saved_choices.delete_preset(self, name)

    async def find_start_time(self, user_options: Mapping[str, Any]) -> StartAnswer:
        """Return when a server with a choice would start, and with which it would start sooner.

        Raises
        ------
        InvalidJobError
            If the choice is not offered: it is checked as at a start.
        UniSpawnerError
            If it makes no job.
        """
        return await self._answers.find_start_time(user_options)

    async def find_sooner_start(self) -> StartAnswer:
        """Return with which smaller choice a server that waits would start sooner.

        Raises
        ------
        UniSpawnerError
            If the server's choice is not offered any more.
        """
        return await self._answers.find_sooner_start()

    def same_choice(self) -> dict[str, str]:
        """Return the fields of a form that chooses the same as the last time.

        Empty if that is not offered any more, or was made in a form of the profile's spawner.
        """
        last = self._choices.find_last()
        return as_fields(last.user_options) if last else {}

    def profile_title(self) -> str:
        """Return the display name of the profile that was chosen the last time, or nothing."""
        last = self._choices.find_last()
        return last.profile.display_name if last else ""

    def choice_in_words(self) -> str:
        """Return the options that were chosen the last time: "Cores: 4, Memory: 8G"."""
        last = self._choices.find_last()
        return last.in_words() if last else ""

    # -- the child -----------------------------------------------------------------------------

    @property
    def configured_for_child(self) -> dict[str, Any]:
        """The settings that the chosen profile has, without those that its options set."""
        return self._of_profile

    def construct_child(self) -> Spawner:
        """Return the spawner of the profile that ``user_options`` names; make it if there is none.

        Raises
        ------
        InvalidJobError
            If the choice is not offered to the user.
        """
        if self.child_spawner is None and not self._loading:
            profile = self.user_options.get(PROFILE, "")
            self.child_profile = profile if isinstance(profile, str) else ""
            self.select_profile(profile)
        child = super().construct_child()
        if isinstance(child, UniSpawner):
            child.profile_slug = self._slug
        return child

    def load_child_class(self, state: dict[str, Any]) -> None:
        """Set class and settings by the profile as it is now, for what the state doesn't name."""
        self.child_profile = self.counted_profile = str(state.get(PROFILE) or "")
        try:
            self.select_profile(self.child_profile)
        except InvalidJobError as error:  # no longer offered; the server that runs keeps it
            if "child_class" not in state:
                raise
            self.log.info("%s: %s", bookkeeping.log_name(self), error)

    def get_state(self) -> dict[str, Any]:
        """Return what is saved: the child's state, and the name of its profile."""
        state = super().get_state()
        if self.child_spawner is not None:
            state[PROFILE] = self.child_profile
        return state

    def clear_state(self) -> None:
        """Forget the child and its profile, unless the child keeps its server."""
        super().clear_state()
        self.offer.forget()
        self._checked = None
        if self.child_spawner is None:
            self.child_profile = self.child_profile_name = ""


async def _get_form_later(spawner: ProfilesSpawner) -> str:
    return await spawner.get_options_form()


def _apply_nothing(spawner: Spawner, user_options: dict[str, Any]) -> None:
    """Do nothing: what was chosen is applied when the child is made."""


async def _check_without_profiles(config: Config, error: InvalidJobError) -> None:
    """Raise the error as one of ``c.UniSpawner`` if it does not come from the profile it names."""
    try:
        await UniSpawner.check_config(config)
    except InvalidJobError as own:
        if error.message.endswith(own.message):
            raise InvalidJobError(f"c.UniSpawner, also without profiles: {own.message}") from None
    except UniSpawnerError:
        return  # the scheduler does not answer, so nobody can tell
