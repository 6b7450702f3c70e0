"""What a legacy class would submit for a user: its script and its commands, without a start."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jupyterhub.objects import Hub
from jupyterhub.spawner import Spawner
from jupyterhub.utils import maybe_future
from tornado import web

from ..errors import InvalidJobError, UniSpawnerError
from . import private_files

MARK = "0" * 16
JOB_ID = "JOB_ID"
"""What stands in the commands for the job's id."""
_OF_THE_USER = ("USER", "HOME", "SHELL")


@dataclass(frozen=True)
class Preview:
    """What would be submitted.

    Attributes
    ----------
    commands
        The lines for the Hub's shell, by the trait that they are made of.
    script
        What the submit command reads, with the lines that unispawner adds.
    """

    commands: Mapping[str, str]
    script: str


async def make_preview(spawner: Any, options: Mapping[str, list[str]]) -> Preview:
    """Return what a spawner would submit; no command is run, and no file is written.

    Parameters
    ----------
    spawner
        A spawner of a legacy class, whose user may be one who only has a name.
    options
        What a person would send with the form; fields that are left out are as the form opens.

    Raises
    ------
    InvalidJobError
        If a template can't be filled in, or the options are refused. Code of the site may also
        need a user, or an option: the error says so.
    """
    _set_account(spawner)
    try:
        chosen = await choose_options(spawner, options)
        if chosen is not None:
            spawner.user_options = chosen
        commands, script = await _fill(spawner)
    except UniSpawnerError:
        raise
    except Exception as error:  # the site's own code: whatever it raises
        raise _fails(spawner, error) from None
    return Preview(commands, script)


def _fails(spawner: Any, error: Exception) -> InvalidJobError:
    return InvalidJobError(
        f"{type(spawner).__name__}: code of the site fails for the user {spawner.user.name!r} and "
        f"these options: {type(error).__name__}: {error}. Name a real user (--user) and what a "
        "person would send with the form (--option FIELD=VALUE)"
    )


def _set_account(spawner: Any) -> None:
    """Set what comes from the account, if this host does not have it."""
    name = str(spawner.user.name)
    try:
        home = spawner.req_homedir
    except Exception:  # pwd's KeyError, or anything that a subclass raises
        home = spawner.req_homedir = f"/home/{name}"
    try:
        spawner.req_keepvars  # noqa: B018 (a property, which may fail)
    except Exception:  # UserEnvMixin looks the account up
        spawner.req_keepvars = ",".join(_names(spawner))
    folder = spawner.state_dir.replace("{username}", name)
    spawner.state_dir = f"{home}{folder[1:]}" if folder.startswith("~") else folder


def _names(spawner: Any) -> Iterable[str]:
    try:
        spawner.hub = spawner.hub or Hub()  # the variables with its addresses have their names
        return [*Spawner.get_env(spawner), *_OF_THE_USER]
    except Exception:  # a function in c.Spawner.environment may need a real user
        return [*spawner.env_keep, *spawner.environment, "JUPYTERHUB_API_TOKEN", *_OF_THE_USER]


async def choose_options(spawner: Any, sent: Mapping[str, list[str]]) -> dict[str, Any] | None:
    """Return the options that the page makes of what a person sends; None if nothing is sent.

    Parameters
    ----------
    sent
        The values of fields; the others are as the form opens.

    Raises
    ------
    InvalidJobError
        If the page refuses it, or code of the site fails.
    """
    try:
        form = await spawner.read_options_form()
        fields = {**(form.sample() if spawner.makes_options() else {}), **sent}
        return await maybe_future(spawner.run_options_from_form(fields)) if fields else None
    except UniSpawnerError:
        raise
    except web.HTTPError as error:
        raise InvalidJobError(str(error.log_message or error.reason)) from None
    except Exception as error:  # the site's own code: whatever it raises
        raise _fails(spawner, error) from None


async def _fill(spawner: Any) -> tuple[dict[str, str], str]:
    fields = spawner.get_req_subvars()
    commands = {"batch_submit_cmd": spawner.fill_line("batch_submit_cmd", fields)}
    script = await spawner.fill_script(fields)
    named = {**spawner.get_req_subvars(), "job_id": JOB_ID}
    for trait in ("batch_query_cmd", "batch_cancel_cmd"):
        commands[trait] = spawner.fill_line(trait, named)
    wrapper = f"{spawner.state_dir}/jobs/{MARK}/{private_files.WRAPPER}"
    missing = _find_missing(private_files.own_programs(script))
    return commands, private_files.complete_script(spawner, script, wrapper, missing)


def _find_missing(paths: Iterable[str]) -> list[str]:
    return [path for path in paths if not os.path.exists(path)]
