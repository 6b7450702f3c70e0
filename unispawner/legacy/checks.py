"""What can be wrong in a legacy configuration, told with the trait's name and its text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from traitlets import TraitError

from ..errors import InvalidJobError
from ..schedulers.template_dialect import check_pattern
from ..script.filling import format_template

if TYPE_CHECKING:
    from .base import BatchSpawnerBase
    from .commands import BatchCommands

COMMANDS = ("exec_prefix", "batch_submit_cmd", "batch_query_cmd", "batch_cancel_cmd")
_PATTERNS = (
    *("state_pending_re", "state_running_re", "state_unknown_re", "state_notfound_re"),
    "state_exechost_re",
)


def filled_in(spawner: BatchCommands, trait: str, fields: Mapping[str, Any]) -> str:
    """Return a template of a spawner's, filled in.

    Raises
    ------
    InvalidJobError
        If it can't be, naming the trait and showing its text.
    """
    text = getattr(spawner, trait)
    try:
        return format_template(text, **fields)
    except Exception as error:  # str.format's or Jinja's, of which there are many
        raise _unfillable(spawner, trait, text, error, fields) from error


def _unfillable(
    spawner: object, trait: str, text: str, error: Exception, fields: Mapping[str, Any]
) -> InvalidJobError:
    if isinstance(error, KeyError):
        why = f"there is no field {error.args[0]!r}; there are {', '.join(sorted(fields))}"
    else:
        why = f"{type(error).__name__}: {error}"
    return InvalidJobError(
        f"c.{type(spawner).__name__}.{trait}: {why}. (A brace that is meant is written twice, as "
        f"in ${{{{HOME}}}}.) The text:\n{text}"
    )


async def check_config(cls: type[BatchSpawnerBase], config: Any) -> None:
    """Make sure that a configuration's templates can be filled in and its patterns be matched.

    What only a user's options or a subclass's own methods can give isn't known here.

    Raises
    ------
    InvalidJobError
        For the first that can't.
    """
    try:
        spawner = cls(config=config)
    except TraitError as error:
        raise InvalidJobError(str(error)) from None
    fields = known_fields(spawner)
    open_ended = _own(cls, "get_req_subvars")
    for trait in COMMANDS:
        _check_template(spawner, trait, fields, open_ended)
    if not (_own(cls, "_get_batch_script") or _own(cls, "submit_batch_script")):
        open_ended = open_ended or bool(spawner.options_form or spawner.user_option_keys)
        _check_template(spawner, "batch_script", fields, open_ended)
    for trait in _PATTERNS:
        check_pattern(
            f"c.{cls.__name__}.{trait}",
            getattr(spawner, trait, ""),
            group=trait == "state_exechost_re",
        )
    _check_expansion(spawner)


def known_fields(spawner: BatchSpawnerBase) -> dict[str, Any]:
    """Return what templates may name, as far as the class tells, with values that mean nothing."""
    names = [name[4:] for name in spawner.trait_names() if name.startswith("req_")]
    return dict.fromkeys((*names, "job_id", "cmd"), "x")


def _own(cls: type, method: str) -> bool:
    """Return whether a site's class has a method of its own in place of ours."""
    return not getattr(cls, method).__module__.startswith(__package__)


def _check_template(
    spawner: BatchSpawnerBase, trait: str, fields: Mapping[str, Any], open_ended: bool
) -> None:
    try:
        filled_in(spawner, trait, fields)
    except InvalidJobError as error:
        if not (open_ended and isinstance(error.__cause__, KeyError)):
            raise


def _check_expansion(spawner: BatchSpawnerBase) -> None:
    r"""Refuse a ``state_exechost_exp`` with a ``\2`` where there is one group."""
    text = getattr(spawner, "state_exechost_exp", "")
    if not text:
        return
    pattern = re.compile(spawner.state_exechost_re)
    for found in re.findall(r"\\(\d+)|\\g<(\w+)>", text):
        name = "".join(found)
        known = name in pattern.groupindex or (name.isdigit() and int(name) <= pattern.groups)
        if not known:
            raise InvalidJobError(
                f"c.{type(spawner).__name__}.state_exechost_exp: {text!r}: there is no group "
                f"{name} in state_exechost_re: {pattern.pattern!r}"
            )
