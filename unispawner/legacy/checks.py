"""Checks of a legacy configuration when the Hub starts: errors name the trait and show its text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from traitlets import TraitError

from ..errors import InvalidJobError
from ..schedulers.template_dialect import check_pattern
from .filling import fill_in, read_template, template_fields
from .script_check import check_script, find_warnings
from .traits import BatchTraits

COMMANDS = ("exec_prefix", "batch_submit_cmd", "batch_query_cmd", "batch_cancel_cmd")
_PATTERNS = (
    *("state_pending_re", "state_running_re", "state_unknown_re", "state_notfound_re"),
    "state_exechost_re",
)


async def check_config(cls: type[BatchTraits], config: Any) -> None:
    """Check that a configuration's templates can be filled in and its patterns can be used.

    Fields that come from a user's options or from a subclass's own methods are not known here.

    Raises
    ------
    InvalidJobError
        For the first template or pattern that is wrong.
    """
    try:
        spawner = cls(config=config)
    except TraitError as error:
        raise InvalidJobError(str(error)) from None
    fields = template_fields(spawner)
    open_ended = _is_replaced(cls, "get_req_subvars")
    for trait in COMMANDS:
        _check_template(spawner, trait, fields, open_ended)
    made_by_site = _makes_script(spawner)
    if not made_by_site:
        open_ended = open_ended or bool(spawner.options_form or spawner.user_option_keys)
        _check_template(spawner, "batch_script", fields, open_ended)
    for trait in _PATTERNS:
        check_pattern(
            f"c.{cls.__name__}.{trait}",
            getattr(spawner, trait, "") if _is_known(spawner, trait) else "()",
            group=trait == "state_exechost_re",
        )
    _check_expansion(spawner)
    for doubt in find_doubts(spawner):
        spawner.log.warning("%s", doubt)
    if not (made_by_site or _has_hooks(spawner)):
        check_script(spawner)


def find_unchecked(spawner: BatchTraits) -> list[str]:
    """Return the templates that code of the site's own makes, and that need a user."""
    return [name for name in (*COMMANDS, "batch_script") if not _is_known(spawner, name)]


def find_doubts(spawner: BatchTraits) -> list[str]:
    """Return what an administrator should look at in a script that can be right."""
    if _makes_script(spawner):
        return []
    found = find_warnings(spawner)
    if _has_hooks(spawner):  # a hook may replace a script that starts no server
        try:
            check_script(spawner)
        except InvalidJobError as error:
            found.append(error.message)
    return found


def _has_hooks(spawner: BatchTraits) -> bool:
    """Return whether code of the site's own may replace the script at a user's start."""
    return bool(
        spawner.pre_spawn_hook
        or getattr(spawner, "apply_user_options", None)
        or spawner.auth_state_hook
        or _is_replaced(type(spawner), "start")
        or _is_replaced(type(spawner), "cmd_formatted_for_batch")
    )


def _is_replaced(cls: type, method: str) -> bool:
    """Return whether a site's class replaces a method of unispawner's."""
    # What a configuration file defines is in no module.
    return not str(getattr(cls, method).__module__).startswith(__package__)


def _makes_script(spawner: BatchTraits) -> bool:
    """Return whether code of the site's own makes the script at each start."""
    names = ("_get_batch_script", "submit_batch_script")
    replaced = any(_is_replaced(type(spawner), name) for name in names)
    return replaced or not _is_known(spawner, "batch_script")


def _is_known(spawner: BatchTraits, trait: str) -> bool:
    """Return whether a setting can be read without a user; a site's own property may need one."""
    try:
        if hasattr(type(spawner), trait):
            read_template(spawner, trait)
    except Exception:  # a property, method or default of the site's own: whatever it raises
        return False
    return True


def _check_template(
    spawner: BatchTraits, trait: str, fields: Mapping[str, Any], open_ended: bool
) -> None:
    if not _is_known(spawner, trait):
        return
    try:
        fill_in(spawner, trait, fields)
    except InvalidJobError as error:
        if not (open_ended and isinstance(error.__cause__, KeyError)):
            raise


def _check_expansion(spawner: BatchTraits) -> None:
    r"""Refuse a ``state_exechost_exp`` that names a missing group, such as ``\2``."""
    names = ("state_exechost_exp", "state_exechost_re")
    if not all(_is_known(spawner, name) for name in names):
        return
    text = getattr(spawner, "state_exechost_exp", "")
    if not text:
        return
    pattern = re.compile(spawner.state_exechost_re)
    for found in re.findall(r"\\(\d+)|\\g<(\w+)>", text):
        name = "".join(found)
        exists = name in pattern.groupindex or (name.isdigit() and int(name) <= pattern.groups)
        if not exists:
            raise InvalidJobError(
                f"c.{type(spawner).__name__}.state_exechost_exp: {text!r} uses the group {name}, "
                f"which state_exechost_re does not have: {pattern.pattern!r}"
            )
