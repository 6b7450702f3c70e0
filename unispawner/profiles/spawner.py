"""ProfilesSpawner: users choose among profiles that an administrator offers."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from inspect import isawaitable
from typing import Any

from jupyterhub.spawner import Spawner
from jupyterhub.traitlets import Callable
from jupyterhub.utils import maybe_future
from traitlets import Any as AnyTrait
from traitlets import List, TraitError, Unicode, Union
from traitlets.config import Config

from ..errors import InvalidJobError, UniSpawnerError
from ..servers.own_paths import OwnPath, find_errors, join_errors
from ..servers.scheduled_job import ScheduledJob
from ..servers.spawner import UniSpawner
from ..web import bookkeeping
from ..web.availability import Availability, name_apart
from ..web.failures import SpawnFailure
from ..web.start_time import StartAnswer
from ..web.user_options import GuardsOptions
from . import saved_choices, start_time
from .check import check_profiles
from .children import ChildFactory
from .form import FormContext, as_fields, form_profiles, render_form, render_wrapspawner_form
from .mine import Mine, mine_to_dict
from .offer import Offer
from .own_value import refuse_link
from .reading import PROFILE, Chosen, Profile, find_profile, read_form
from .schema import options_schema
from .server_limits import count_server
from .sharing import copy_data
from .wrap_spawner import WrapSpawner

_typed_form: ContextVar[Mapping[str, Any] | None] = ContextVar("typed_form", default=None)
"""The fields of the request's form. After an error JupyterHub has the form rendered by the spawner
of the default server, whichever server the request was for."""

_wrong_paths: ContextVar[dict[str, str] | None] = ContextVar("wrong_paths", default=None)
"""What is wrong with the paths in the request's form, by option. The request's code and the tasks
that look at paths share the dictionary."""

_by_link: ContextVar[bool] = ContextVar("by_link", default=False)
"""Whether the fields are those of a link, which anybody may have written."""

ASK_AGAIN = 2.0
"""After how many seconds a form asks again for what the user may use, while nobody knows it."""

_FORM = """<label for="profile">Select a job profile:</label>
        <select class="form-control" name="profile" required autofocus>
        {input_template}
        </select>
        """
_INPUT = """
        <option value="{key}" {first}>{display}</option>"""


@dataclass(frozen=True)
class _Checked:
    """A choice that was checked, with the options that it was made of."""

    factory: ChildFactory
    user_options: dict[str, Any]
    chosen: Chosen | None
    """None if the profile's spawner checks its options itself."""


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

    form_template = Unicode(
        _FORM,
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
        _INPUT,
        help="""HTML of one profile in wrapspawner's form, with {display}, {key}, {type} and
        {first}.""",
    ).tag(config=True)

    child_profile = Unicode()
    child_profile_name = Unicode()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.offer = Offer(self)
        self._checked: _Checked | None = None
        self._of_profile: dict[str, Any] = {}
        self._slug = ""
        self.counted_profile = ""  # see count_server()
        self.checked_options: set[str] = set()
        if self.apply_user_options is None:  # type: ignore[has-type] # JupyterHub's
            self.apply_user_options = _apply_nothing  # or JupyterHub warns that options are unused

    @classmethod
    async def check_config(cls, config: Config) -> None:
        """Check that each profile of a configuration makes a server, before anybody starts one.

        What a function returns depends on the user, and is checked when that user starts a server.

        Raises
        ------
        InvalidJobError, SchedulerUnavailable
            As :func:`.check.check_profiles`.
        """
        try:
            spawner = cls(config=config)
        except TraitError as error:
            raise InvalidJobError(str(error)) from None
        if isinstance(spawner.profiles, list):
            await check_profiles(spawner.profiles, spawner)

    # -- what is chosen ------------------------------------------------------------------------

    def options_from_form(self, formdata: dict[str, Any]) -> Any:
        """Return what was chosen in a form, checked, as JSON for the database.

        The result is an awaitable only if the profiles, or the options of a spawner's own form, are
        awaitables, or if the scheduler or the user's own side has to be asked about the choice.
        """
        _typed_form.set(formdata)
        _wrong_paths.set({})
        link = _by_link.get()
        try:
            offered = self.offer.get()
            if isinstance(offered, list):
                return self._choose_by_form(offered, formdata, link)
        except UniSpawnerError as error:
            raise SpawnFailure(error) from None
        return self._choose_by_form_later(offered, formdata, link)

    async def _choose_by_form_later(
        self, offered: Awaitable[list[Profile]], formdata: dict[str, Any], link: bool
    ) -> dict[str, Any]:
        try:
            options: dict[str, Any] = await maybe_future(
                self._choose_by_form(await offered, formdata, link)
            )
        except UniSpawnerError as error:
            raise SpawnFailure(error) from None
        return options

    def _choose_by_form(self, offered: list[Profile], formdata: dict[str, Any], link: bool) -> Any:
        profile, fields = read_form(offered, formdata)
        factory = ChildFactory(profile, self)
        if factory.own_form:
            return self._choose_by_own_form(factory, fields, link)
        if factory.has_own_options:  # a subclass may know more fields
            return {PROFILE: profile.slug}
        if factory.asks_for_mine:
            return self._choose_of_mine(factory, fields, link)
        return self._finish_form(factory, profile.check_form(fields, factory.known()), link)

    async def _choose_of_mine(
        self, factory: ChildFactory, fields: dict[str, Any], link: bool
    ) -> dict[str, Any]:
        """Check a form with what the user may use, which the scheduler may have to be asked for."""
        profile, known = factory.profile, factory.known()
        try:
            mine = await factory.find_mine(
                lambda one: not profile.form_errors(fields, replace(known, mine=one))
            )
            chosen = profile.check_form(fields, replace(known, mine=mine))
            options: dict[str, Any] = await maybe_future(self._finish_form(factory, chosen, link))
        except UniSpawnerError as error:
            raise SpawnFailure(error) from None
        return options

    def _finish_form(self, factory: ChildFactory, chosen: Chosen, link: bool) -> Any:
        if link and (texts := chosen.texts()):
            raise InvalidJobError(refuse_link(texts))
        if paths := factory.own_paths(chosen):
            return self._look_at_paths(factory, paths, chosen)
        return chosen.user_options

    async def _look_at_paths(
        self, factory: ChildFactory, paths: list[OwnPath], chosen: Chosen
    ) -> dict[str, Any]:
        """Return the options of a choice if its paths are right; the form shows what is wrong."""
        wrong = await find_errors(factory.idle, paths)
        if wrong:
            if (shared := _wrong_paths.get()) is not None:
                shared.update(wrong)
            raise SpawnFailure(InvalidJobError(join_errors(wrong)))
        return chosen.user_options

    def _choose_by_own_form(self, factory: ChildFactory, fields: dict[str, Any], link: bool) -> Any:
        idle, slug = factory.idle, factory.profile.slug
        if not isinstance(idle, GuardsOptions):
            return _with_profile(slug, idle.run_options_from_form(fields))
        take = idle.options_from_query if link else idle.run_options_from_form

        async def later() -> dict[str, Any]:
            options = {**await maybe_future(take(fields)), PROFILE: slug}
            self.options_origin.record_again(idle, options)
            return options

        return later()

    def options_from_query(self, query_data: dict[str, Any]) -> Any:
        """Return what a link chooses, checked."""
        before = _by_link.set(True)
        try:
            return self.options_from_form(query_data)
        finally:
            _by_link.reset(before)

    async def run_pre_spawn_hook(self) -> None:
        """Check the choice, whoever has written it where, and then run the hook."""
        try:
            offered = await maybe_future(self.offer.get())
            # A subclass that selects profiles itself may know some that we don't.
            if type(self).select_profile is ProfilesSpawner.select_profile:
                profile = find_profile(offered, self.user_options)
                self._checked = await self._check_with_mine(profile)
                count_server(self, profile)
        except UniSpawnerError as error:
            raise SpawnFailure(error) from None
        if self._checked and self._checked.chosen:
            saved_choices.keep_last(self, self._checked.chosen.user_options)
        await maybe_future(super().run_pre_spawn_hook())

    async def _check_with_mine(self, profile: Profile) -> _Checked:
        """Check the choice also with what the user may use: the scheduler may have to be asked."""
        factory, options = ChildFactory(profile, self), self.user_options
        if not factory.asks_for_mine:
            return self._check_choice(profile, options)
        known = factory.known_at_start()
        mine = await factory.find_mine(
            lambda one: not profile.examine(options, replace(known, mine=one))[1]
        )
        return self._check_choice(profile, options, mine)

    def _check_choice(
        self, profile: Profile, user_options: Mapping[str, Any], mine: Mine | None = None
    ) -> _Checked:
        factory = ChildFactory(profile, self)
        chosen = None
        if not factory.has_own_options:
            chosen = profile.check(user_options, replace(factory.known_at_start(), mine=mine))
        return _Checked(factory, copy_data(user_options), chosen)

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
            checked = _Checked(ChildFactory(found, self), {}, None)
        elif (
            checked is None
            or checked.factory.profile is not found
            or checked.user_options != self.user_options  # a hook has changed them since
        ):
            checked = self._check_choice(found, self.user_options)
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
        offered = self.offer.get() if isinstance(self.profiles, list) else None
        if not isinstance(offered, list):
            return _get_form_later
        factories = self._factories(offered)
        forms = {one.profile.slug: one.own_form for one in factories}
        if any(callable(form) for form in forms.values()):
            return _get_form_later
        return self._render_form(factories, {slug: str(form or "") for slug, form in forms.items()})

    async def get_options_form(self) -> str:
        """Return the form. It shows what was typed, or else what was chosen the last time.

        If a subclass or the configuration has an ``options_form``, that is returned instead.
        """
        if self._has_other_form():
            return str(await super().get_options_form())
        try:
            factories = self._factories(await maybe_future(self.offer.get()))
            forms = {one.profile.slug: await one.render_own_form() for one in factories}
            return self._render_form(factories, forms)
        except UniSpawnerError as error:
            raise SpawnFailure(error) from None

    def _has_other_form(self) -> bool:
        classes = type(self).__mro__
        subclasses = classes[: classes.index(ProfilesSpawner)]
        names = {name for cls in subclasses for name in vars(cls)}
        names |= {name for cls in classes for name in self.config.get(cls.__name__, {})}
        return bool(names & {"options_form", "_options_form_default"})

    def _factories(self, profiles: Iterable[Profile]) -> list[ChildFactory]:
        return [ChildFactory(one, self) for one in profiles]

    def _render_form(self, factories: list[ChildFactory], own_forms: Mapping[str, str]) -> str:
        """Return the HTML of the form, ours or wrapspawner's, with the children's own in it."""
        profiles, typed = [one.profile for one in factories], _typed_form.get()
        before = saved_choices.read_choices(self)
        if (self.form_template, self.input_template) != (_FORM, _INPUT):
            rows = form_profiles(profiles, self.user_options, typed=typed, last=before.last)
            return render_wrapspawner_form(
                rows, self.form_template, self.input_template, self.first_template
            )
        free = name_apart(one.availability() for one in factories)
        contexts = {
            one.profile.slug: FormContext(
                own_forms.get(one.profile.slug, ""),
                available,
                one.default_fields(),
                one.find_misfit,
                one.peek_mine(),
            )
            for one, available in zip(factories, free, strict=True)
        }
        rows = form_profiles(
            profiles, self.user_options, contexts, typed, before.last, _wrong_paths.get()
        )
        base_url = self.hub.base_url if self.hub else "/hub/"
        user = self.user.name if self.user else ""
        return render_form(rows, base_url=base_url, user=user, presets=before.presets)

    # -- for the Hub's API and pages -----------------------------------------------------------

    async def options_schema(self) -> dict[str, Any]:
        """Return the JSON schema of the user_options that the user may send.

        Raises
        ------
        UniSpawnerError
            If the profiles can't be right, or the administrator's function fails.
        """
        offered = await maybe_future(self.offer.get())
        return options_schema(
            offered,
            lambda one: ChildFactory(one, self).has_own_options,
            lambda one: ChildFactory(one, self).peek_mine(),
        )

    async def availabilities(self) -> list[Availability | None]:
        """Return what is free for each profile, without waiting; None where a server is not a job.

        Raises
        ------
        UniSpawnerError
            If the profiles can't be right, or the administrator's function fails.
        """
        return [one.availability() for one in self._factories(await maybe_future(self.offer.get()))]

    async def mine(self, slug: str) -> dict[str, Any]:
        """Return what the user may use with a profile, without waiting, as data for JSON.

        Raises
        ------
        UniSpawnerError
            If there is no such profile, or the administrator's function fails.
        """
        profile = find_profile(await maybe_future(self.offer.get()), {PROFILE: slug})
        factory = ChildFactory(profile, self)
        found = factory.peek_mine()
        asking = factory.asks_for_mine and factory.idle.usable.is_asking()
        return {**mine_to_dict(profile.options, found), "refresh_in": ASK_AGAIN if asking else None}

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
        profile = find_profile(await maybe_future(self.offer.get()), user_options)
        factory = ChildFactory(profile, self)
        if factory.has_own_options:
            raise InvalidJobError(
                f"profile: {profile.display_name} has a form of its own, and its choices can't be "
                "kept"
            )
        chosen = profile.check(user_options, factory.known())
        await saved_choices.keep_preset(self, name, chosen.user_options)

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
        checked = await self._check_by_what_is_known(user_options)
        if checked.chosen is None:  # the spawner's own form
            return StartAnswer()
        return await start_time.find_start_time(checked.factory, checked.chosen)

    async def find_sooner_start(self) -> StartAnswer:
        """Return with which smaller choice a server that waits would start sooner.

        Raises
        ------
        UniSpawnerError
            If the server's choice is not offered any more.
        """
        job = getattr(self.child_spawner, "server_job", None)
        if not isinstance(job, ScheduledJob):
            return StartAnswer()
        checked = await self._check_by_what_is_known(self.user_options)
        if checked.chosen is None:
            return StartAnswer()
        return await start_time.find_sooner_start(checked.factory, checked.chosen, job)

    async def _check_by_what_is_known(self, user_options: Mapping[str, Any]) -> _Checked:
        """Check a choice as at a start, but ask nobody what the user may use."""
        profile = find_profile(await maybe_future(self.offer.get()), user_options)
        return self._check_choice(profile, user_options, ChildFactory(profile, self).peek_mine())

    def same_choice(self) -> dict[str, str]:
        """Return the fields of a form that chooses the same as the last time.

        Empty if that is not offered any more, or was made in a form of the profile's spawner.
        """
        last = self._last_choice()
        return as_fields(last.user_options) if last else {}

    def profile_title(self) -> str:
        """Return the display name of the profile that was chosen the last time, or nothing."""
        last = self._last_choice()
        return last.profile.display_name if last else ""

    def choice_in_words(self) -> str:
        """Return the options that were chosen the last time: "Cores: 4, Memory: 8G"."""
        last = self._last_choice()
        return last.in_words() if last else ""

    def _last_choice(self) -> Chosen | None:
        try:
            profile = find_profile(self.offer.get_now(), self.user_options)
            if ChildFactory(profile, self).own_form:
                return None
            return profile.check(self.user_options)
        except UniSpawnerError:
            return None

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


def _with_profile(slug: str, options: Any) -> Any:
    """Return the options of a spawner's own form, or an awaitable of these, with the profile."""

    async def later() -> dict[str, Any]:
        return {**await options, PROFILE: slug}

    return later() if isawaitable(options) else {**options, PROFILE: slug}


async def _get_form_later(spawner: ProfilesSpawner) -> str:
    return await spawner.get_options_form()


def _apply_nothing(spawner: Spawner, user_options: dict[str, Any]) -> None:
    """Do nothing: what was chosen is applied when the child is made."""
