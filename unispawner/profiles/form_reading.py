"""From the fields of a form, or of a link, to the ``user_options`` that the database keeps."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from inspect import isawaitable
from typing import Any

from jupyterhub.spawner import Spawner
from jupyterhub.utils import maybe_future

from ..errors import InvalidJobError, UniSpawnerError
from ..servers.own_paths import OwnPath, find_errors, join_errors
from ..texts import say
from ..web.failures import SpawnFailure
from ..web.user_options import GuardsOptions
from .children import ChildFactory
from .offer import Offer
from .own_value import refuse_link
from .reading import PROFILE, VERSION, Chosen, Profile, read_form

_typed_form: ContextVar[Mapping[str, Any] | None] = ContextVar("typed_form", default=None)
"""The fields of the request's form. After an error JupyterHub has the form rendered by the spawner
of the default server, whichever server the request was for."""

_wrong_paths: ContextVar[dict[str, str] | None] = ContextVar("wrong_paths", default=None)
"""What is wrong with the paths in the request's form, by option. The request's code and the tasks
that look at paths share the dictionary."""

_by_link: ContextVar[bool] = ContextVar("by_link", default=False)
"""Whether the fields are those of a link, which anybody may have written."""


def typed_fields() -> Mapping[str, Any] | None:
    """Return the fields of the form that this request has sent; None if it has sent none."""
    return _typed_form.get()


def wrong_paths() -> Mapping[str, str] | None:
    """Return what is wrong with the paths in those fields, by option."""
    return _wrong_paths.get()


@contextmanager
def fields_of_link() -> Iterator[None]:
    """Have the fields that are read meanwhile taken for those of a link."""
    before = _by_link.set(True)
    try:
        yield
    finally:
        _by_link.reset(before)


class FormReader:
    """Reads the forms that one user sends."""

    def __init__(self, spawner: Spawner, offer: Offer) -> None:
        self._spawner = spawner
        self._offer = offer

    def read(self, formdata: dict[str, Any]) -> Any:
        """Return what was chosen in a form, checked, as JSON for the database.

        The result is an awaitable only if the profiles, or the options of a spawner's own form, are
        awaitables, if the profiles are in a file, or if the scheduler or the user's own side has to
        be asked about the choice.

        Raises
        ------
        SpawnFailure
            If the choice is not offered.
        """
        _typed_form.set(formdata)
        _wrong_paths.set({})
        link = _by_link.get()
        if self._spawner.profiles_file:
            return self._choose_later(self._offer_of_file(), formdata, link)
        try:
            offered = self._offer.get()
            if isinstance(offered, list):
                return self._choose(offered, formdata, link)
        except UniSpawnerError as error:
            raise SpawnFailure(error) from None
        return self._choose_later(offered, formdata, link)

    async def _offer_of_file(self) -> list[Profile]:
        await self._spawner.look_at_file()
        offered: list[Profile] = await maybe_future(self._offer.get())
        return offered

    def _explain(self, error: UniSpawnerError, formdata: Mapping[str, Any]) -> UniSpawnerError:
        """Add to an error that the form was made of other profiles than those of now."""
        shown = formdata.get(VERSION)
        if not shown or shown == [self._spawner.profiles_version]:
            return error
        problem = say(
            "{reason}. The profiles have changed since this form was opened.",
            reason=error.message_and_output(),
        )
        return InvalidJobError(problem)

    async def _choose_later(
        self, offered: Awaitable[list[Profile]], formdata: dict[str, Any], link: bool
    ) -> dict[str, Any]:
        try:
            options: dict[str, Any] = await maybe_future(
                self._choose(await offered, formdata, link)
            )
        except UniSpawnerError as error:
            raise SpawnFailure(self._explain(error, formdata)) from None
        return options

    def _choose(self, offered: list[Profile], formdata: dict[str, Any], link: bool) -> Any:
        profile, fields = read_form(offered, formdata)
        factory = ChildFactory(profile, self._spawner)
        if factory.own_form:
            return self._choose_by_own_form(factory, fields, link)
        if factory.has_own_options:  # a subclass may know more fields
            return {PROFILE: profile.slug}
        if factory.asks_for_mine:
            return _choose_of_mine(factory, fields, link)
        return _finish(factory, profile.check_form(fields, factory.known()), link)

    def _choose_by_own_form(self, factory: ChildFactory, fields: dict[str, Any], link: bool) -> Any:
        idle, slug = factory.idle, factory.profile.slug
        if not isinstance(idle, GuardsOptions):
            return _with_profile(slug, idle.run_options_from_form(fields))
        take = idle.options_from_query if link else idle.run_options_from_form

        async def later() -> dict[str, Any]:
            options = {**await maybe_future(take(fields)), PROFILE: slug}
            self._spawner.options_origin.record_again(idle, options)
            return options

        return later()


async def _choose_of_mine(
    factory: ChildFactory, fields: dict[str, Any], link: bool
) -> dict[str, Any]:
    """Check a form with what the user may use, which the scheduler may have to be asked for."""
    profile, known = factory.profile, factory.known()
    try:
        mine = await factory.find_mine(
            lambda one: not profile.form_errors(fields, replace(known, mine=one))
        )
        chosen = profile.check_form(fields, replace(known, mine=mine))
        options: dict[str, Any] = await maybe_future(_finish(factory, chosen, link))
    except UniSpawnerError as error:
        raise SpawnFailure(error) from None
    return options


def _finish(factory: ChildFactory, chosen: Chosen, link: bool) -> Any:
    """Return the options of a choice, later if there are paths to look at as the user."""
    if link and (texts := chosen.texts()):
        raise InvalidJobError(refuse_link(texts))
    if paths := factory.own_paths(chosen):
        return _look_at_paths(factory, paths, chosen)
    return chosen.user_options


async def _look_at_paths(
    factory: ChildFactory, paths: list[OwnPath], chosen: Chosen
) -> dict[str, Any]:
    """Return the options of a choice if its paths are right; the form shows what is wrong."""
    wrong = await find_errors(factory.idle, paths)
    if wrong:
        if (shared := _wrong_paths.get()) is not None:
            shared.update(wrong)
        raise SpawnFailure(InvalidJobError(join_errors(wrong)))
    return chosen.user_options


def _with_profile(slug: str, options: Any) -> Any:
    """Return the options of a spawner's own form, or an awaitable of these, with the profile."""

    async def later() -> dict[str, Any]:
        return {**await options, PROFILE: slug}

    return later() if isawaitable(options) else {**options, PROFILE: slug}
