"""``unispawner render``: the script of the job that a start would submit."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from jupyterhub.utils import maybe_future
from traitlets.config import Config

from ..errors import InvalidJobError, SchedulerUnavailable
from ..legacy import BatchSpawnerBase
from ..legacy.environment import SECRET_NAME
from ..legacy.preview import choose_options, make_preview
from ..profiles.check import check_profile, read_some_profiles
from ..profiles.children import ChildFactory
from ..profiles.reading import PROFILE, Profile, find_profile
from ..profiles.spawner import ProfilesSpawner
from ..profiles.wrap_spawner import WrapSpawner
from ..script.rendering import render_script
from ..servers.spawner import UniSpawner
from ..settings.names import fill_folder
from .configured_spawner import (
    Nobody,
    class_or_unispawner,
    load_config,
    spawner_for_nobody,
    wrapped_spawner,
)

_NO_JOB = "only jobs of UniSpawner and of the legacy classes can be shown before a server starts"
_USER = "user"
_SHORTEST = 6
"""A shorter value may be in a script by chance."""


def run(options: argparse.Namespace) -> int:
    """Print the script of a job, without the environment and without the launcher's text.

    Options that the scheduler gets beside the script are comments before it.
    """
    config = load_config(options.config)
    print(asyncio.run(_render(config, options)), end="")
    return 0


async def _render(config: Config, options: argparse.Namespace) -> str:
    cls = class_or_unispawner(config)
    user = Nobody(options.user) if options.user else None
    spawner = spawner_for_nobody(cls, config, options.config, user)
    name = type(spawner).__name__
    if isinstance(spawner, ProfilesSpawner):
        return await _of_profile(spawner, options.profile, options.option)
    if options.profile is not None:
        raise InvalidJobError(
            f"--profile: c.JupyterHub.spawner_class is {name}, which has no profiles; leave it out"
        )
    if isinstance(spawner, WrapSpawner):
        return await _of_wrapper(spawner, options.option)
    if isinstance(spawner, BatchSpawnerBase):
        return await _of_legacy_class(spawner, options.option)
    if not isinstance(spawner, UniSpawner):
        raise InvalidJobError(f"c.JupyterHub.spawner_class is {name}: {_NO_JOB}")
    if options.option:
        raise InvalidJobError(
            f"--option: c.JupyterHub.spawner_class is {name}, which has no profiles; leave it out"
        )
    return await job_script(spawner)


async def _of_wrapper(spawner: WrapSpawner, options: Sequence[tuple[str, str]]) -> str:
    """Return the job of the spawner that a wrapper makes for a user's options."""
    spawner.user = spawner.user or Nobody(_USER)
    if spawner.makes_options():
        spawner.user_options = await choose_options(spawner, _fields(options)) or {}
    else:  # as the REST API gives them: a form's fields would be lists
        spawner.user_options = dict(options)
    child = wrapped_spawner(spawner)
    if isinstance(child, BatchSpawnerBase):
        return await _of_legacy_class(child, ())
    if not isinstance(child, UniSpawner):
        name = type(spawner).__name__
        raise InvalidJobError(f"c.{name}.child_class is {type(child).__name__}: {_NO_JOB}")
    return await job_script(child)


def _fields(options: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for name, value in options:
        fields.setdefault(name, []).append(value)
    return fields


async def _of_legacy_class(spawner: Any, options: Sequence[tuple[str, str]]) -> str:
    """Return the script of a legacy class; its commands are comments before it."""
    if spawner.user is None:
        spawner.user = Nobody(_USER)
    sent = _fields(options)
    preview = await make_preview(spawner, sent)
    await _name_samples(spawner, sent)
    script = _without_secrets(spawner, preview.script)
    lines = [f"# Commands for the account {spawner.req_username!r}, for the Hub's shell:", "#"]
    for trait, command in preview.commands.items():
        lines += [f"#   {trait}:", *(f"#     {line}" for line in command.strip().split("\n"))]
    head = "\n".join([*lines, "#", "# The script, which the first command reads:"])
    return f"{head}\n\n{script.rstrip()}\n"


async def _name_samples(spawner: Any, sent: Collection[str]) -> None:
    """Say which fields of a site's form have values that nobody has chosen."""
    if not spawner.makes_options():
        return
    samples = (await spawner.read_options_form()).sample()
    listed = [f"{name}={value}" for name, (value, *_) in samples.items() if name not in sent]
    if listed:
        print(
            "These fields of the form have sample values. Choose others with --option: "
            f"{', '.join(listed)}",
            file=sys.stderr,
        )


async def job_script(spawner: UniSpawner) -> str:
    """Return the script of a spawner's job, with options beside it as comments before it.

    Raises
    ------
    InvalidJobError
        If the settings make no job.
    SchedulerUnavailable
        If the scheduler is to be detected and does not answer.
    """
    await spawner.find_scheduler()
    scheduler = spawner.get_scheduler()
    spec = spawner.job_spec("0" * 16, environment={})
    if spec.directory.startswith("~"):
        spec = replace(spec, directory=f"/home/USER{spec.directory[1:]}")
    directory = f"{fill_folder(spawner.state_dir_text(), 'USER')}/jobs/{spec.mark}"
    script = render_script(
        spec,
        scheduler,
        shell=spawner.job_shell,
        environment_file=f"{directory}/environment",
        standard_input="# (the launcher)",
    )
    script += _private_variables(spawner)
    if scheduler.directives_in_script:
        return script
    options = "".join(f"#   {line}\n" for line in scheduler.directives(spec))
    return f"# {scheduler.title} gets these options beside the script:\n{options}\n{script}"


def _private_variables(spawner: UniSpawner) -> str:
    """Return comments with what the configuration adds to the server's private variables.

    They come last, because the first line of a script has its shell. The values of ``environment``
    may be secret.
    """
    pages = {
        "JUPYTERHUB_ROOT_DIR": spawner.notebook_dir,
        "JUPYTERHUB_DEFAULT_URL": spawner.default_url,
    }
    lines = [f"#   {name}={shlex.quote(value)}" for name, value in pages.items() if value]
    lines += [f"#   {name}=(its value is not shown)" for name in spawner.environment]
    head = "# The server also gets these variables, in a private file:"
    return "\n".join(["", head, *lines, ""]) if lines else ""


def _without_secrets(spawner: Any, script: str) -> str:
    """Return a script without values that a site's own code may have taken from the environment."""
    for name, value in spawner.environment.items():
        if isinstance(value, str) and len(value) >= _SHORTEST and SECRET_NAME.search(name):
            script = script.replace(value, f"(the value of {name})")
    return script


async def _of_profile(
    spawner: ProfilesSpawner, slug: str | None, options: Sequence[tuple[str, str]]
) -> str:
    profiles = await _profiles(spawner)
    if slug is None:
        slug = next((one for one in profiles if one.default), profiles[0]).slug
        names = ", ".join(one.slug for one in profiles)
        print(f"This is profile {slug!r}. Choose one with --profile: {names}", file=sys.stderr)
    profile = find_profile(profiles, {PROFILE: slug})
    await _check(profile, spawner)
    try:
        child = ChildFactory(profile, spawner).make_spawner({**dict(options), PROFILE: slug})
        if isinstance(child, BatchSpawnerBase):
            return await _of_legacy_class(child, options)
        if not isinstance(child, UniSpawner):
            raise InvalidJobError(f"spawner: {type(child).__name__}: {_NO_JOB}")
        return await job_script(child)
    except InvalidJobError as error:
        raise InvalidJobError(f"profile {slug!r}: {error.message}") from None


async def _check(profile: Profile, spawner: ProfilesSpawner) -> None:
    """Check a profile; an error has its line if it is in a file."""
    try:
        await check_profile(profile, spawner, ask=False)
    except SchedulerUnavailable:
        pass  # the script does not depend on what this host's scheduler answers
    except InvalidJobError as error:
        named = InvalidJobError(f"profile {profile.slug!r}: {error.message}")
        raise spawner.with_place(named) from None


async def _profiles(spawner: ProfilesSpawner) -> list[Profile]:
    """Return all profiles, whichever user is offered them."""
    given = spawner.refresh_profiles()
    if callable(given):
        try:
            given = await maybe_future(given(spawner))
        except Exception as error:  # the administrator's own function: whatever it raises
            raise InvalidJobError(
                "c.ProfilesSpawner.profiles: the function fails for a spawner without a user: "
                f"{type(error).__name__}: {error}"
            ) from None
    try:
        return read_some_profiles(given)
    except InvalidJobError as error:
        raise spawner.with_place(error) from None
