"""What ProfilesSpawner shows: the form in which users choose, and what they have chosen."""

from __future__ import annotations

import html
from collections.abc import Awaitable, Mapping
from contextvars import ContextVar
from inspect import isawaitable
from typing import Any

from jupyterhub.spawner import Spawner
from jupyterhub.utils import maybe_future
from traitlets import TraitError, Unicode

from ..errors import InvalidJobError, UniSpawnerError
from ..web.availability import availability
from ..web.failures import SpawnFailure
from . import form as profiles_form
from .children import asked_by_default, idle_child, spawner_class
from .reading import Chosen, Profile, find_profile
from .wrap_spawner import WrapSpawner

typed_form: ContextVar[Mapping[str, Any] | None] = ContextVar("typed_form", default=None)
"""The fields of the request's form. After an error JupyterHub has the form rendered by the spawner
of the default server, whichever the request was for."""

_FORM = """<label for="profile">Select a job profile:</label>
        <select class="form-control" name="profile" required autofocus>
        {input_template}
        </select>
        """
_INPUT = """
        <option value="{key}" {first}>{display}</option>"""


class ProfilesPages(WrapSpawner):
    """The part of ProfilesSpawner that makes what its users see."""

    profiles: Any
    """What may be chosen: see :class:`unispawner.profiles.spawner.ProfilesSpawner`."""

    form_template = Unicode(
        _FORM,
        help="""HTML of wrapspawner's form in place of ours: {input_template} stands for
        input_template, once for each profile. It shows no options.""",
    ).tag(config=True)

    first_template = Unicode(
        "selected",
        help="""What {first} in input_template stands for in the profile that is chosen at
        first.""",
    ).tag(config=True)

    input_template = Unicode(
        _INPUT,
        help="""HTML of one profile in wrapspawner's form, with {display}, {key}, {type} and
        {first}.""",
    ).tag(config=True)

    def offered(self) -> list[Profile] | Awaitable[list[Profile]]:
        """Return the profiles that are offered to the user; something to wait for if it takes time.

        Raises
        ------
        InvalidJobError
            If they can't be right.
        """
        raise NotImplementedError

    def offered_now(self) -> list[Profile]:
        """Return the profiles that are offered to the user, without waiting.

        Raises
        ------
        InvalidJobError
            If they can't be right, or are not known yet.
        """
        raise NotImplementedError

    def class_of(self, profile: Profile) -> type[Spawner]:
        """Return the class of the spawner that runs a profile's servers."""
        return spawner_class(profile)

    def _idle_child(self, profile: Profile) -> Spawner:
        """Return a profile's spawner that starts nothing: to be asked what it would do."""
        try:
            return idle_child(self, self.class_of(profile), profile)
        except TraitError as error:
            raise InvalidJobError(f"profile {profile.slug!r}: config: {error}") from None

    def _options_form_default(self) -> Any:
        offered = self.offered() if isinstance(self.profiles, list) else None
        if not isinstance(offered, list) or any(callable(self._own_form(one)) for one in offered):
            return _form_later
        own = self._own_forms(offered)
        return _form_later if isawaitable(own) else self._form(offered, own)

    async def get_options_form(self) -> str:
        """Return the form, with what was typed or else chosen the last time.

        A subclass's own ``options_form``, or a configured one, counts instead.
        """
        classes = type(self).__mro__
        mine = classes[: classes.index(ProfilesPages)]
        names = {name for cls in mine for name in vars(cls)} | set(self._configured())
        if names & {"options_form", "_options_form_default"}:
            return str(await super().get_options_form())
        try:
            offered = await maybe_future(self.offered())
            return self._form(offered, await maybe_future(self._own_forms(offered)))
        except UniSpawnerError as error:
            raise SpawnFailure(error) from None

    def _configured(self) -> set[str]:
        return {name for cls in type(self).__mro__ for name in self.config.get(cls.__name__, {})}

    def _form(self, offered: list[Profile], own: Mapping[str, str]) -> str:
        typed = typed_form.get()
        if (self.form_template, self.input_template) != (_FORM, _INPUT):
            return self._wrapspawner_form(offered, typed)
        around = {one.slug: self._surroundings(one, own.get(one.slug, "")) for one in offered}
        shown = profiles_form.form_profiles(offered, self.user_options, around, typed)
        base_url = self.hub.base_url if self.hub else "/hub/"
        user = self.user.name if self.user else ""
        return profiles_form.render_form(shown, base_url=base_url, user=user)

    def _surroundings(self, profile: Profile, own_form: str) -> profiles_form.Surroundings:
        child = self._idle_child(profile)
        return profiles_form.Surroundings(
            own_form, availability(child), asked_by_default(child, profile)
        )

    def _wrapspawner_form(self, offered: list[Profile], typed: Mapping[str, Any] | None) -> str:
        inputs = ""
        for shown in profiles_form.form_profiles(offered, self.user_options, typed=typed):
            inputs += self.input_template.format(
                display=html.escape(shown.profile.display_name),
                key=html.escape(shown.profile.slug),
                type=html.escape(str(shown.profile.spawner)),
                first=self.first_template if shown.selected else "",
            )
        return self.form_template.format(input_template=inputs)

    def _own_form(self, profile: Profile) -> Any:
        """Return the form of a profile's spawner that has one; not what all spawners have."""
        form = None if profile.options else self._idle_child(profile).options_form
        return None if form == self._trait_values.get("options_form") else form

    def _own_forms(self, offered: list[Profile]) -> dict[str, str] | Awaitable[dict[str, str]]:
        """Return the HTML of spawners with forms of their own, by slug, as soon as it is there."""
        forms: dict[str, Any] = {}
        for profile in offered:
            if form := self._own_form(profile):
                try:
                    child = self._idle_child(profile)
                    forms[profile.slug] = form(child) if callable(form) else form
                except Exception as error:  # the administrator's own function: whatever it raises
                    raise failed(f"options_form of {profile.slug}", error) from error
        if any(isawaitable(form) for form in forms.values()):
            return _all_of(forms)
        return {slug: str(form) for slug, form in forms.items()}

    # -- what was chosen the last time ----------------------------------------------------------

    def _last_choice(self) -> Chosen | None:
        """Return what was chosen the last time; None if it isn't offered any more, or not ours."""
        try:
            offered = self.offered_now()
            profile = find_profile(offered, self.user_options)
            return None if self._own_form(profile) else profile.check(self.user_options)
        except UniSpawnerError:
            return None

    def same_choice(self) -> dict[str, str]:
        """Return the fields of a form that would choose the same again; empty if that can't be."""
        last = self._last_choice()
        return profiles_form.as_fields(last.user_options) if last else {}

    def profile_title(self) -> str:
        """Return what people call the profile that was chosen the last time."""
        last = self._last_choice()
        return last.profile.display_name if last else ""

    def choice_in_words(self) -> str:
        """Return what was chosen of its options the last time: "Cores: 4, Memory: 8G"."""
        last = self._last_choice()
        return last.in_words() if last else ""


def failed(what: str, error: Exception) -> UniSpawnerError:
    """Return what a user is told if something of the administrator's raises."""
    if isinstance(error, UniSpawnerError):
        return error
    return InvalidJobError(f"{what} failed: {type(error).__name__}: {error}")


async def _all_of(forms: Mapping[str, Any]) -> dict[str, str]:
    result = {}
    for slug, form in forms.items():
        try:
            result[slug] = str(await form if isawaitable(form) else form)
        except Exception as error:
            raise failed(f"options_form of {slug}", error) from error
    return result


async def _form_later(spawner: ProfilesPages) -> str:
    return await spawner.get_options_form()
