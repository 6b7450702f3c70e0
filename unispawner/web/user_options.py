"""Where a server's options come from: recorded when they come in, not guessed at the start.

Options come from a form that its user has sent, from a link that anybody may have written, from
the REST API, or from the database, which keeps those of the last start. What a site's own code has
made of a form is the site's. So its result is signed, with a key that only the Hub has, and the
signature stays with the server when the server has stopped. Options without a valid signature are
those of the REST API.

A POST of a form counts as typed, because JupyterHub accepts it only with the token against forged
requests. A link is a GET, and starts a server at once.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from base64 import encodebytes
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from jupyterhub.spawner import Spawner
from jupyterhub.utils import maybe_future

from ..errors import InvalidJobError
from . import bookkeeping, typed_form
from .decoding import decode_all
from .failures import RefusedOptions
from .typed_form import Form

if TYPE_CHECKING:
    from jupyterhub.spawner import Spawner as _Base
else:  # JupyterHub refuses a subclass of Spawner that can't start, stop and poll
    _Base = object

SITE, TYPED, UNKNOWN = "site", "typed", ""
"""Who has made options: the site's own code; its user, in a form; nobody knows, so the REST API."""
STATE = "options_origin"
"""The entry of a spawner's saved state. It stays when the server has stopped."""
NEVER = frozenset({"cmd", "username", "homedir"})
"""Fields of templates that no user sets, whatever a form offers."""

_NOT_THE_SITE = ("unispawner", "jupyterhub")
_PURPOSE = b"unispawner: who has made user_options"
_LONGEST_KEPT = 16 * 1024
"""How many characters of a form are kept with a signature."""
_KEY_OF_TESTS = secrets.token_bytes(32)
"""The key of spawners without a Hub."""


class OptionsOrigin:
    """What is known of the options of one server.

    A spawner that JupyterHub knows has one. Its child, if it is a wrapper, uses the same.

    Attributes
    ----------
    names
        The names of the options that the site's own code has ever made for this server.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._arrived: dict[str, str] = {}
        self._texts: set[str] = set()
        """The texts with special characters in all options that have come in."""
        self._given: set[str] = set()
        """Those in all forms and links."""
        self._signed: set[str] | None = None
        """Those in the form of the signed options; None if they can't be kept."""
        self._kind = UNKNOWN
        self._signature = ""
        self._saved: dict[str, str] = {}
        """The options that the database has had for the server since before this spawner."""

    def note_saved(self, options: Mapping[str, Any]) -> None:
        """Note the options of an earlier start, which nobody sends now."""
        self._saved = _as_items(options)

    def is_saved(self, name: str, value: Any) -> bool:
        """Return whether an option is that of an earlier start."""
        return self._saved.get(name) == _as_json(value)

    def note_arrival(self, options: Mapping[str, Any]) -> None:
        """Note the options that JupyterHub has set, before any code of the site changes them."""
        self._arrived = _as_items(options)
        self._texts |= _special_texts(options)

    def note_texts(self, given: Mapping[str, Any], form: Form) -> None:
        """Note the texts of a form or a link.

        They are kept with the signature in the Hub's database, unless a password is among them.
        """
        texts = _special_texts(given)
        self._given |= texts
        secret = {name for name, one in form.fields.items() if "password" in one.kinds}
        kept = sum(map(len, texts)) <= _LONGEST_KEPT
        kept = kept and not _special_texts({name: given[name] for name in secret & set(given)})
        self._signed = texts if kept else None

    def user_texts(self, spawner: Any) -> set[str]:
        """Return the texts with special characters that users have sent, as far as is known.

        Options that the site's own code has made are not a user's texts, but the fields of the form
        are, from which it has made them.
        """
        if self._signed is not None and self.kind(spawner) == SITE:
            return self._given | self._signed
        return self._given | self._texts

    def has_arrived(self, name: str, value: Any) -> bool:
        """Return whether an option is as it came in; otherwise a hook of the site has set it."""
        return self._arrived.get(name) == _as_json(value)

    def record(self, spawner: Any, options: Mapping[str, Any], kind: str) -> None:
        """Sign options.

        Parameters
        ----------
        spawner
            The spawner whose class has made them.
        kind
            SITE or TYPED.
        """
        self._kind = kind
        self._signature = _sign(spawner, kind, type(spawner), _as_items(options))
        if kind == SITE:
            self.names.update(options)
        row = bookkeeping.outer(spawner).orm_spawner
        if row is not None:  # JupyterHub may make a new spawner before the start, and commits then
            row.state = {**(row.state or {}), STATE: self.to_dict()}

    def record_again(self, spawner: Any, options: Mapping[str, Any]) -> None:
        """Sign options to which a wrapper has added something, if they were signed."""
        if self._signature:
            self.record(spawner, options, self._kind)

    def kind(self, spawner: Any) -> str:
        """Return who has made the options that have come in for a spawner."""
        for maker in {type(spawner), type(bookkeeping.outer(spawner))}:
            expected = _sign(spawner, self._kind, maker, self._arrived)
            if self._signature and hmac.compare_digest(expected, self._signature):
                return self._kind
        return UNKNOWN

    def to_dict(self) -> dict[str, Any]:
        """Return what is saved; empty if nothing was signed."""
        if not self._signature:
            return {}
        return {
            "kind": self._kind,
            "signature": self._signature,
            "names": sorted(self.names),
            "typed": None if self._signed is None else sorted(self._signed),
        }

    def load(self, saved: Any) -> None:
        """Take up what was saved; what can't be right is the same as nothing."""
        if isinstance(saved, dict):
            self._kind, self._signature = str(saved.get("kind")), str(saved.get("signature"))
            names, typed = saved.get("names"), saved.get("typed")
            self.names.update(map(str, names) if isinstance(names, list) else ())
            self._signed = set(map(str, typed)) if isinstance(typed, list) else None


def _special_texts(given: Mapping[str, Any]) -> set[str]:
    """Return the texts with special characters, also those that are hidden in an encoded text."""
    texts = set(typed_form.texts(given))
    if sum(map(len, texts)) <= typed_form.LONGEST_ALTOGETHER:  # more is refused
        texts = decode_all(texts)
    return {one for one in texts if special(one)}


def special(text: str) -> set[str]:
    """Return the characters of a text that are special to a shell, or split its words.

    A hyphen counts where it begins a word, as that of an option does.
    """
    found = {one for one in set(text) if not typed_form.PLAIN.fullmatch(one) or one == " "} - {"-"}
    return found | ({"-"} if any(word.startswith("-") for word in text.split()) else set())


def _as_json(value: Any) -> str:
    """Return a value as the database has it, in a single form: what isn't JSON is null there."""
    try:
        text = json.dumps(value, default=_bytes_as_json)
        return json.dumps(json.loads(text), sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        return "null"


def _bytes_as_json(value: Any) -> Any:
    if isinstance(value, bytes):  # of a file, as JupyterHub saves them
        return {"__jupyterhub_bytes__": True, "data": encodebytes(value).decode("ascii")}
    return None


def _as_items(options: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): _as_json(value) for name, value in options.items()}


def _sign(spawner: Any, kind: str, maker: type, items: Mapping[str, str]) -> str:
    """Return the signature of options: that of another user, server or class is another."""
    known = bookkeeping.outer(spawner)
    user = known.user
    secret = (user.settings.get("cookie_secret") if user else None) or _KEY_OF_TESTS
    secret = secret.encode() if isinstance(secret, str) else secret
    key = hmac.digest(secret, _PURPOSE, hashlib.sha256)
    name = f"{maker.__module__}.{maker.__qualname__}"
    signed = [kind, user.name if user else "", known.name, name, sorted(items.items())]
    return hmac.new(key, json.dumps(signed).encode(), hashlib.sha256).hexdigest()


class GuardsOptions(_Base):  # type: ignore[misc] # JupyterHub has no type information
    """A mixin: what a form or a link sends is checked before the site's own code sees it.

    It comes before Spawner in the bases.
    """

    run_options_from_form: Callable[[Any], Any]

    def __init__(self, **kwargs: Any) -> None:
        self._own_origin = OptionsOrigin()
        super().__init__(**kwargs)
        self._accepted_options = dict(self.user_options or {})
        self._own_origin.note_saved(self._accepted_options)
        self._note_arrival()
        self.observe(self._note_arrival, "user_options")
        # A site's class may replace these methods, and the check comes before its code.
        self._make_of_form: Callable[[Any], Any] = self.run_options_from_form
        self._make_of_link: Callable[[Any], Any] = self.options_from_query
        self.run_options_from_form = self._take_form
        self.options_from_query = self._take_link  # type: ignore[method-assign] # see above

    @property
    def options_origin(self) -> OptionsOrigin:
        """Where the server's options come from: the record of the spawner that JupyterHub knows."""
        known = bookkeeping.outer(self)
        origin: OptionsOrigin = getattr(known, "_own_origin", self._own_origin)
        return origin

    def _note_arrival(self, change: Any = None) -> None:
        if not bookkeeping.is_starting(self):  # else a hook has set them
            self._own_origin.note_arrival(self.user_options or {})

    def keep_accepted_options(self) -> None:
        """Keep the options of this start for later starts that are sent none."""
        known = bookkeeping.outer(self)
        known._accepted_options = dict(known.user_options or {})

    def forget_refused_options(self) -> None:
        """Put back the options of the last accepted start, or none if these are refused.

        JupyterHub has saved the refused ones already. Each later start that is sent no options
        would have them and be refused, too.
        """
        known = bookkeeping.outer(self)
        accepted = getattr(known, "_accepted_options", None) or {}
        if known.orm_spawner is not None:
            refused = dict(known.user_options or {})
            known.orm_spawner.user_options = {} if accepted == refused else accepted

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up the record of the last options, too."""
        super().load_state(state)
        self._own_origin.load(state.get(STATE))

    def get_state(self) -> dict[str, Any]:
        """Return what is saved, with the record of the last options, if there is one."""
        state: dict[str, Any] = super().get_state()
        saved = self._own_origin.to_dict()
        return {**state, STATE: saved} if saved else state

    # -- what comes in -------------------------------------------------------------------------

    def guards_options(self) -> bool:
        """Return whether the options are made of the form's fields without a check of our own."""
        return True

    def makes_options(self) -> bool:
        """Return whether code of the site makes options of a form's fields."""
        return not all(
            str(getattr(method, "__module__", "")).partition(".")[0] in _NOT_THE_SITE
            for method in (self._make_of_form, self._make_of_link, self.options_from_form)
        )

    def keep_settings(self) -> AbstractContextManager[None]:
        """Return what puts settings back if the site's code fails after it has set some."""
        return nullcontext()

    def _take_form(self, form_data: dict[str, Any]) -> Any:
        if not self.guards_options():
            return self._make_of_form(form_data)
        return self._take(form_data, link=False)

    def _take_link(self, query_data: dict[str, Any]) -> Any:
        """Take the options of a link.

        JupyterHub 5 leaves the prefix ``opt-`` of ``?opt-NAME=…`` on the names, and the other
        parameters beside them.
        """
        prefix = "opt-"
        if any(name.startswith(prefix) for name in query_data):
            query_data = {
                name.removeprefix(prefix): values
                for name, values in query_data.items()
                if name.startswith(prefix)
            }
        if not self.guards_options():
            return self._make_of_link(query_data)
        return self._take(query_data, link=True)

    def options_from_query(self, query_data: dict[str, Any]) -> Any:
        """Make of a link what is made of a form."""
        return self._make_of_form(query_data)

    async def _take(self, given: dict[str, Any], *, link: bool) -> Any:
        form = await self.read_options_form()
        trusted = set(getattr(self, "trusted_option_keys", ()))
        given = {name: value for name, value in given.items() if name != "_xsrf"}
        try:
            typed_form.check_length(given)
            self._check_names(given, form)
            typed_form.check_typed(given, form, self.option_keys, trusted, self.opened_by)
            if link:
                typed_form.check_plain(given, form)
                typed_form.check_offered({one: given[one] for one in trusted & set(given)}, form)
        except InvalidJobError as error:
            raise RefusedOptions(error.message) from None
        self.options_origin.note_texts(given, form)
        with self.keep_settings():
            made = await maybe_future((self._make_of_link if link else self._make_of_form)(given))
        if isinstance(made, Mapping):
            self._record(given, made, form)
        return made

    def _record(self, given: Mapping[str, Any], made: Mapping[str, Any], form: Form) -> None:
        if taken := sorted(NEVER & set(given) & set(made)):
            raise RefusedOptions(f"{taken[0]}: no user can set this")
        self.options_origin.record(self, made, SITE if self.makes_options() else TYPED)

    def _check_names(self, given: Mapping[str, Any], form: Form) -> None:
        """Refuse fields that the form does not have.

        Where a script may add fields to the form, all are given to the site's own code.
        """
        if self.makes_options() and form.open:
            return
        offered = {*form.names, *self.option_keys}
        for name in given:
            if name not in offered:
                raise InvalidJobError(f"{name[:100]}: the form has no such field. {self.opened_by}")

    @property
    def option_keys(self) -> set[str]:
        """The names that the configuration allows beside those of the form."""
        return {
            *getattr(self, "user_option_keys", ()),
            *getattr(self, "trusted_option_keys", ()),
        }

    @property
    def opened_by(self) -> str:
        """A sentence for the administrator: which setting allows a name that is refused."""
        if not self.has_trait("user_option_keys"):
            return "The options form must have it"
        return f"The setting that allows it: c.{type(self).__name__}.user_option_keys"

    async def read_options_form(self) -> Form:
        """Return the fields of the form; an open form if the site's function can't make it now.

        A function of a site may need the request of the page, which is not there at each time.
        """
        try:
            html = await self.get_options_form()
        except Exception as error:  # a function of the site may raise anything
            self.log.info(
                "%s: the options form can't be made now, so its fields are not known: %r",
                bookkeeping.log_name(self),
                error,
            )
            html = ""
        return typed_form.read_form(html or "")


def functions_of(cls: type) -> Iterator[Any]:
    """Yield the functions that a site's own classes define, properties and defaults included."""
    for one in cls.__mro__:
        if one in Spawner.__mro__ or one.__module__.startswith("unispawner."):
            continue  # a class that a configuration file defines has another's module
        for value in vars(one).values():
            parts = (value, *(getattr(value, name, None) for name in ("fget", "func", "handler")))
            functions = (getattr(part, "__func__", part) for part in parts)
            yield from (found for found in functions if hasattr(found, "__code__"))
