"""What a user chooses for a legacy server, and what of it reaches the script and the commands."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from types import CodeType
from typing import Any

from jupyterhub.utils import maybe_future
from traitlets import TraitType

from ..errors import InvalidJobError, clean_output
from ..web import bookkeeping
from ..web.failures import RefusedOptions
from ..web.typed_form import PLAIN, Form, check_length, check_plain, texts
from ..web.user_options import NEVER, SITE, TYPED, UNKNOWN, GuardsOptions, functions_of
from . import options
from .filling import fill_in, named_fields
from .options import InCommand, Word
from .traits import BatchTraits

_offered: dict[tuple[object, ...], set[str]] = {}
"""The names of the options that a site's ``options_from_form`` makes of a form as it opens. The key
is class, user and form, because another profile, or another user, may be offered less."""
_PATIENCE = 10.0
"""How long (seconds) the site's code may take to make options of a form that nobody has sent."""
_NOT_CHOSEN = frozenset({"username", "homedir", "keepvars", "job_id", "cmd"})
"""Fields of commands that are never made of a user's options."""


class TakesOptions(bookkeeping.ChecksUserOptions, GuardsOptions, BatchTraits):
    """How a user's options reach a job's script.

    What the site's own code has made goes into the script as it is. A user's own words are quoted.
    """

    _applied: AbstractSet[str] = frozenset()
    """The names of the options that ``apply_user_options`` has made settings of, or can have."""

    @contextmanager
    def keep_settings(self) -> Iterator[None]:
        """Put the traits of templates back if the site's code fails after it has set some.

        The same spawner may be started again.
        """
        names = [name for name in self.trait_names() if name.startswith(("req_", "batch"))]
        values = self._trait_values  # a default may need what a spawner has only when it starts
        before = {name: values[name] for name in (*names, "exec_prefix") if name in values}
        try:
            yield
        except Exception:
            for name in (*names, "exec_prefix"):
                if name not in before:
                    values.pop(name, None)
                elif values[name] != before[name]:
                    setattr(self, name, before[name])
            raise

    # -- before the site's code sees the options -----------------------------------------------

    async def run_auth_state_hook(self, auth_state: Any) -> None:
        """Check the options of a start, and then run the hook: it is the first of the hooks."""
        if bookkeeping.is_starting(self):
            self._applied = set()
            if not self.apply_user_options:
                await self._pass_over_saved()
            await self._check_options(names=not self.apply_user_options)
            self.keep_accepted_options()
        await super().run_auth_state_hook(auth_state)

    async def _pass_over_saved(self) -> None:
        """Leave out options of an earlier start that nothing offers now.

        Nobody has sent them for this start, and where there is no form, nobody could replace them.
        Another class has saved them, or the configuration has changed.
        """
        kept: dict[str, Any] = dict(self.user_options or {})
        for name, value in list(kept.items()):
            saved = self.options_origin.is_saved(name, value)
            if not saved or self._made_by(name, value) != UNKNOWN:
                continue
            try:
                await self._check_names_of_api({name: value})
            except InvalidJobError as error:
                self.log.warning(
                    "%s: an option of an earlier start is left out: %s",
                    bookkeeping.log_name(self),
                    clean_output(error.message),
                )
                del kept[name]
        if len(kept) < len(self.user_options or {}):
            self.set_trait("user_options", kept)
            if bookkeeping.outer(self) is self and self.orm_spawner is not None:
                self.orm_spawner.user_options = kept

    async def check_applied_options(
        self, user_options: dict[str, Any], apply: Callable[[dict[str, Any]], Awaitable[None]]
    ) -> None:
        """Check the options, and let ``apply_user_options`` set what it makes of them."""
        if not bookkeeping.is_starting(self):
            self.options_origin.note_arrival(user_options)
        await self._check_options(user_options, names=not self.apply_user_options)
        before = self._settings_now()
        with self.keep_settings():
            await apply(user_options)
            if isinstance(self.apply_user_options, dict):
                self._applied = set(self.apply_user_options)
            elif self.apply_user_options and before != self._settings_now():
                self._applied = set(user_options)  # it may use any of them
            await self._check_options(user_options)

    def _settings_now(self) -> dict[str, Any]:
        values = {**vars(self), **self._trait_values}
        return {
            name: value.copy() if isinstance(value, dict | list) else value
            for name, value in values.items()
            if not name.startswith("_") and name != "config"
        }

    async def _check_options(
        self, given: Mapping[str, Any] | None = None, *, names: bool = True
    ) -> None:
        """Refuse options of the REST API that are not offered, or that the site's code can't trust.

        Parameters
        ----------
        given
            The options; those of the spawner by default.
        names
            Whether to check names, too; ``apply_user_options`` is given options of any name.

        Raises
        ------
        RefusedOptions
            For the first such option. It names the option, its value, and the setting that allows
            it.
        """
        options_now = self.user_options if given is None else given
        unknown = {
            name: value
            for name, value in (options_now or {}).items()
            if self._made_by(name, value) == UNKNOWN
        }
        try:
            if self.options_origin.kind(self) == UNKNOWN:
                check_length(options_now or {})
            if names:
                await self._check_names_of_api(unknown)
            if self._code_sees_options():
                await self._check_values_of_api(unknown)
        except InvalidJobError as error:
            self.forget_refused_options()
            raise RefusedOptions(error.message) from None

    def _made_by(self, name: str, value: Any) -> str:
        """Return who has made an option. What a hook has set since it came in is the site's."""
        origin = self.options_origin
        if name in getattr(bookkeeping.outer(self), "checked_options", ()):
            return TYPED  # a profile offers it, and has checked it
        if name in self.trusted_option_keys or not origin.has_arrived(name, value):
            return SITE
        return origin.kind(self)

    async def _check_names_of_api(self, unknown: Mapping[str, Any]) -> None:
        for name in NEVER & set(unknown):
            raise InvalidJobError(f"{name}: no user can set this; leave it out of user_options")
        doubtful = set(unknown) - self.option_keys - self.options_origin.names - self._applied
        doubtful = {name for name in doubtful if self._needs_offer(name)}
        if not doubtful:
            return
        form = await self.read_options_form()
        doubtful -= form.names
        if doubtful:
            doubtful -= await self._names_made_of(form)
        for name in sorted(doubtful):
            raise InvalidJobError(self._not_offered(name, unknown[name]))

    def _not_offered(self, name: str, value: Any) -> str:
        return (
            f"{name[:100]}: {str(value)[:200]!r} is refused, because the options form has no such "
            f"field. {self.opened_by}"
        )

    def _needs_offer(self, name: str) -> bool:
        """Return whether an option must be offered to its user.

        A field that the script names, and that has no trait, can only be an option. An option that
        nothing can use is a mistake of its sender's.
        """
        if name in self.fields_of_traits():
            return True
        used = named_fields(getattr(self, "batch_script", None))
        wrapped = bookkeeping.outer(self) is not self
        return not (
            wrapped
            or used is None
            or name in used
            or self._code_sees_options()
            or (any(functions_of(type(self))) and not self.makes_options())
        )

    def fields_of_traits(self) -> set[str]:
        """Return the fields of templates that have a trait, and ``cmd``."""
        return {"cmd", *(one[4:] for one in self.trait_names() if one.startswith("req_"))}

    async def _check_values_of_api(self, unknown: Mapping[str, Any]) -> None:
        try:
            check_plain(unknown, Form())
        except InvalidJobError:
            form = await self.read_options_form()
            closed = {name: one for name, one in form.fields.items() if one.closed}
            try:
                check_plain(unknown, Form(closed))
            except InvalidJobError as error:
                message = f"{error.message}. The setting that allows any text: c."
                cls = type(self).__name__
                raise InvalidJobError(f"{message}{cls}.trusted_option_keys") from None

    def _code_sees_options(self) -> bool:
        """Return whether code of the site can read the options before the script is made."""
        hooks = ("apply_user_options", "pre_spawn_hook", "auth_state_hook", "post_stop_hook")
        return (
            any(getattr(self, name, None) for name in hooks)
            or any(callable(value) for value in self.environment.values())
            or any(_mentions(one.__code__, "user_options") for one in functions_of(type(self)))
        )

    # -- which options the site's own code makes -----------------------------------------------

    def _record(self, given: Mapping[str, Any], made: Mapping[str, Any], form: Form) -> None:
        super()._record(given, made, form)
        if self.makes_options():
            _offered.setdefault(self._form_key(form), set()).update(made)

    async def _names_made_of(self, form: Form) -> set[str]:
        """Return the names of the options that the site's code makes of a form as it opens.

        The REST API has these names, and not those of the form's fields. A spawner that starts
        nothing is given what a browser would send.
        """
        key = self._form_key(form)
        if key not in _offered and self.makes_options():
            made = await self._try_form(form)
            if made:  # the site's code may fail now, and succeed later
                _offered.setdefault(key, set()).update(made)
        return _offered.get(key, set())

    async def _try_form(self, form: Form) -> set[str]:
        try:
            idle = type(self)(config=self.config, user=self.user, hub=self.hub)
            made = await asyncio.wait_for(
                maybe_future(idle._make_of_form(form.sample())), _PATIENCE
            )
        except Exception as error:  # the site's own code, with fields that nobody has filled in
            self.log.info(
                "%s: what options_from_form makes is not known yet: %r",
                bookkeeping.log_name(self),
                error,
            )
            return set()
        return set(made) if isinstance(made, Mapping) else set()

    def _form_key(self, form: Form) -> tuple[object, ...]:
        return type(self), self.user.name, frozenset(form.names)

    # -- into the script -----------------------------------------------------------------------

    async def _fields_from_options(self, taken: set[str]) -> dict[str, Any]:
        """Return the script's fields that come from the user's options.

        Parameters
        ----------
        taken
            The fields that have a value without them.

        Raises
        ------
        InvalidJobError
            If an option can't be used.
        """
        await self._check_options()
        chosen = dict(self.user_options or {})
        made_by = {name: self._made_by(name, value) for name, value in chosen.items()}
        fields = {
            name: Word(value[0])
            if name in self.trusted_option_keys and options.is_only_text(value)
            else value
            for name, value in chosen.items()
            if made_by[name] == SITE
        }
        others = {name: value for name, value in chosen.items() if made_by[name] != SITE}
        for name in taken & set(getattr(bookkeeping.outer(self), "checked_options", ())):
            others.pop(name, None)  # the profile sets a trait for it
        # What apply_user_options has made of an option that no form offers is in the traits.
        for name in self._applied & set(others) & taken - self.option_keys:
            if made_by[name] == UNKNOWN and name not in (await self.read_options_form()).names:
                del others[name]
        offered = set(others)
        if added := taken & set(others) - self.fields_of_traits():  # by a subclass's own method
            offered -= added - (await self.read_options_form()).names - self.option_keys
        used = named_fields(self.batch_script) or set()
        quoted, refused = options.fields_from_options(others, taken, offered, used)
        for name in refused:
            self.forget_refused_options()
            raise InvalidJobError(self._not_offered(name, others[name]))
        self._check_script_template()
        return {**fields, **quoted}

    def _check_script_template(self) -> None:
        """Refuse braces in a user's text where the site's code makes the template of the script.

        The Hub fills in the template: a field of the user's own would be filled in by the Hub.
        """
        template = self.batch_script
        if self._is_configured("batch_script", template):
            return
        others = {
            name: value
            for name, value in (self.user_options or {}).items()
            if self._made_by(name, value) != SITE
        }
        chosen = [one for one in texts(others) if re.search(r"[{}]", one)]
        typed = self.options_origin.user_texts(self)
        inside = [one for one in typed if options.shares_braces(str(template), one)]
        for text in (*chosen, *inside):
            raise InvalidJobError(
                f"{text[:200]!r} has braces, which have a meaning in "
                f"c.{type(self).__name__}.batch_script, because code of the site makes it; "
                "remove them"
            )

    # -- into the commands, which the Hub's own shell reads --------------------------------------

    def fill_safely(self, trait: str, fields: Mapping[str, Any]) -> str:
        """Return the template of a command, filled in.

        What the configuration has set goes in as it is. What code of the site has set since, and
        what may have a user's text in it, is a single word.

        Raises
        ------
        InvalidJobError
            If a user's text would have a special meaning to the shell.
        """
        typed = self.options_origin.user_texts(self)
        if not typed:
            return fill_in(self, trait, fields)
        template, where = getattr(self, trait), f"c.{type(self).__name__}.{trait}"
        if not self._is_configured(trait, template):
            self._refuse_shared(where, str(template), typed)
        names = named_fields(template)
        in_command = InCommand()
        filled = dict(fields)
        for name in fields if names is None else names & set(fields):
            text = str(fields[name])
            if name in _NOT_CHOSEN or self._is_configured(f"req_{name}", text):
                continue
            if options.may_share(text, typed):
                if not PLAIN.fullmatch(text):
                    self._refuse_shared(
                        f"{{{name}}} in c.{type(self).__name__}.{trait}", text, typed
                    )
                filled[name] = in_command.put(text)
        return in_command.quote(fill_in(self, trait, filled))

    def _refuse_shared(self, where: str, text: str, typed: Collection[str]) -> None:
        for one in sorted(typed):
            if options.may_share(text, {one}):
                raise InvalidJobError(
                    f"{where}: {text[:200]!r} may have a user's text in it, {one[:200]!r}, whose "
                    "special characters the Hub's shell would read; remove them"
                )

    def _is_configured(self, trait: str, value: Any) -> bool:
        """Return whether the value is the class's own or the configuration's.

        Otherwise code of the site has made it, and may have used what a user has chosen.
        """
        own = inspect.getattr_static(type(self), trait, None)
        if not isinstance(own, TraitType):
            return isinstance(own, str) and bool(value == own)
        sections = (self.config.get(cls.__name__, {}) for cls in type(self).__mro__)
        values = [section[trait] for section in sections if trait in section]
        outer = bookkeeping.outer(self)
        profile = {} if outer is self else getattr(outer, "configured_for_child", {})
        return value in (own.default_value, *values, profile.get(trait))


def _mentions(code: CodeType, name: str) -> bool:
    """Return whether a function's code names an attribute."""
    inner = (one for one in code.co_consts if isinstance(one, CodeType))
    return name in code.co_names or any(_mentions(one, name) for one in inner)
