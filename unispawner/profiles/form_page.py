"""The form of one user: ours or wrapspawner's, with the forms of the profiles' spawners in it."""

from __future__ import annotations

from collections.abc import Mapping

from jupyterhub.spawner import Spawner
from jupyterhub.utils import maybe_future

from ..web.availability import name_apart
from . import saved_choices
from .children import ChildFactory
from .form import FormContext, form_profiles, render_form, render_wrapspawner_form
from .form_reading import typed_fields, wrong_paths
from .offer import Offer
from .usage_hints import read_hints

FORM = """<label for="profile">Select a job profile:</label>
        <select class="form-control" name="profile" required autofocus>
        {input_template}
        </select>
        """
INPUT = """
        <option value="{key}" {first}>{display}</option>"""


class FormPage:
    """Renders the form. It shows what was typed, or else what was chosen the last time."""

    def __init__(self, spawner: Spawner, offer: Offer) -> None:
        self._spawner = spawner
        self._offer = offer

    def render_now(self) -> str | None:
        """Return the form; None if anything in it needs time, such as a look at a file.

        Raises
        ------
        UniSpawnerError
            If the profiles can't be right.
        """
        if self._spawner.profiles_file or not isinstance(self._spawner.profiles, list):
            return None
        offered = self._offer.get()
        if not isinstance(offered, list):
            return None
        factories = [ChildFactory(one, self._spawner) for one in offered]
        forms = {one.profile.slug: one.own_form for one in factories}
        if any(callable(form) for form in forms.values()):
            return None
        return self._render(factories, {slug: str(form or "") for slug, form in forms.items()})

    async def render(self) -> str:
        """Return the form.

        Raises
        ------
        UniSpawnerError
            If the profiles can't be right, or a function of the administrator's fails.
        """
        offered = await maybe_future(self._offer.get())
        factories = [ChildFactory(one, self._spawner) for one in offered]
        forms = {one.profile.slug: await one.render_own_form() for one in factories}
        return self._render(factories, forms)

    def _render(self, factories: list[ChildFactory], own_forms: Mapping[str, str]) -> str:
        spawner = self._spawner
        profiles, typed = [one.profile for one in factories], typed_fields()
        before = saved_choices.read_choices(spawner)
        if (spawner.form_template, spawner.input_template) != (FORM, INPUT):
            rows = form_profiles(profiles, spawner.user_options, typed=typed, last=before.last)
            return render_wrapspawner_form(
                rows, spawner.form_template, spawner.input_template, spawner.first_template
            )
        hints = read_hints(spawner) if spawner.usage_hints else {}
        contexts = _contexts(factories, own_forms, hints)
        rows = form_profiles(
            profiles, spawner.user_options, contexts, typed, before.last, wrong_paths()
        )
        base_url = spawner.hub.base_url if spawner.hub else "/hub/"
        user = spawner.user.name if spawner.user else ""
        return render_form(
            rows,
            base_url=base_url,
            user=user,
            presets=before.presets,
            version=spawner.profiles_version,
        )


def _contexts(
    factories: list[ChildFactory],
    own_forms: Mapping[str, str],
    hints: Mapping[str, Mapping[str, str]],
) -> dict[str, FormContext]:
    """Return what the form shows of each profile beside its options, by slug."""
    free = name_apart(one.availability() for one in factories)
    return {
        one.profile.slug: FormContext(
            own_forms.get(one.profile.slug, ""),
            available,
            one.default_fields(),
            one.find_misfit,
            one.peek_mine(),
            hints.get(one.profile.slug, {}),
        )
        for one, available in zip(factories, free, strict=True)
    }
