"""What a user chooses for a legacy server: from a form, a link, the REST API or the last start."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from jupyterhub.utils import maybe_future

from ..errors import InvalidJobError
from ..web import bookkeeping
from ..web.failures import BatchFailure
from . import options
from .traits import BatchTraits

_offered: dict[tuple[object, ...], set[str]] = {}
"""The names of the options that a site's ``options_from_form`` has made of a form's fields. The key
is class, user and form, because another profile, or another user, may be offered less."""


class TakesOptions(bookkeeping.ChecksUserOptions, BatchTraits):
    """How a user's options reach a job's script."""

    async def run_options_from_form(self, form_data: dict[str, Any]) -> Any:
        """Give the site's ``options_from_form`` the fields of the form; drop all other data."""
        form = await self._read_form()
        given = {name: form_data[name] for name in form_data if name in form.names}
        with self._guard_commands(given, form):
            result = await maybe_future(super().run_options_from_form(given))
        if isinstance(result, Mapping):
            _offered.setdefault(self._form_key(form), set()).update(result)
        return result

    def options_from_query(self, query_data: dict[str, Any]) -> Any:
        """Treat the options of a link as a form's: anybody can make a user follow a link.

        JupyterHub 5 leaves the prefix ``opt-`` of ``?opt-NAME=…`` on the names.
        """
        return self.run_options_from_form(
            {name.removeprefix("opt-"): values for name, values in query_data.items()}
        )

    async def check_applied_options(
        self, user_options: dict[str, Any], apply: Callable[[dict[str, Any]], Awaitable[None]]
    ) -> None:
        """Let ``apply_user_options`` set traits from plain text only: REST sends any text."""
        if not (user_options and self.apply_user_options):
            await apply(user_options)
            return
        try:
            with self._guard_commands(user_options, await self._read_form()):
                await apply(user_options)
        except InvalidJobError as error:
            raise BatchFailure(error) from error

    @contextmanager
    def _guard_commands(self, given: Mapping[str, Any], form: options.Form) -> Iterator[None]:
        """Let a site's own code set the traits of commands from typed text only if that is plain.

        The Hub's own shell reads the commands. If the text is refused, the traits get their former
        values back, because the same spawner may be started again.

        Parameters
        ----------
        given
            What the user has typed or chosen.

        Raises
        ------
        InvalidJobError
            If a trait was changed, and a text of the user's is not plain.
        """
        names = [name for name in self.trait_names() if name.startswith(("req_", "batch"))]
        before = {name: getattr(self, name) for name in (*names, "exec_prefix")}
        try:
            yield
            if any(getattr(self, name) != value for name, value in before.items()):
                options.check_plain(given, form)
        except Exception:
            for name, value in before.items():
                if getattr(self, name) != value:
                    setattr(self, name, value)
            raise

    def _form_key(self, form: options.Form) -> tuple[object, ...]:
        return type(self), self.user.name, frozenset(form.names)

    async def _read_form(self) -> options.Form:
        form = options.read_form(await self.get_options_form() or "")
        form.names.update(self.user_option_keys)
        return form

    async def _fields_from_options(self, taken: set[str]) -> dict[str, str]:
        """Return the script's fields that come from the user's options.

        Parameters
        ----------
        taken
            The fields that have a value without them.
        """
        chosen = dict(self.user_options or {})
        if not chosen:
            return {}
        form = await self._read_form()
        offered = {*form.names, *_offered.get(self._form_key(form), ())}
        found, refused = options.fields_from_options(chosen, taken, offered)
        if refused:
            self.log.warning(
                "%s: the user's options %s are ignored, because the form has no such fields and "
                "c.%s.user_option_keys does not list them",
                bookkeeping.log_name(self),
                ", ".join(map(repr, refused)),
                type(self).__name__,
            )
        return found
