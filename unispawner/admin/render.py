"""``unispawner render``: the script of the job that a start would submit."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from jupyterhub.utils import maybe_future
from traitlets.config import Config

from ..errors import InvalidJobError, SchedulerUnavailable
from ..profiles.check import check_profile, read_some_profiles
from ..profiles.children import ChildFactory
from ..profiles.reading import PROFILE, Profile, find_profile
from ..profiles.spawner import ProfilesSpawner
from ..script.rendering import render_script
from ..servers.spawner import UniSpawner
from .config_file import class_or_unispawner, load_config, spawner_for_nobody

_NO_JOB = "only the jobs of a UniSpawner can be shown before a server starts"


def run(options: argparse.Namespace) -> int:
    """Print the script of a job, without the environment and without the launcher's text.

    Options that the scheduler gets beside the script are comments before it.
    """
    config = load_config(options.config)
    print(asyncio.run(_render(config, options)), end="")
    return 0


async def _render(config: Config, options: argparse.Namespace) -> str:
    spawner = spawner_for_nobody(class_or_unispawner(config), config, options.config)
    name = type(spawner).__name__
    if isinstance(spawner, ProfilesSpawner):
        return await _of_profile(spawner, options.profile, dict(options.option))
    if options.profile is not None or options.option:
        raise InvalidJobError(
            f"--profile, --option: c.JupyterHub.spawner_class is {name}, which has no profiles; "
            "leave them out"
        )
    if not isinstance(spawner, UniSpawner):
        raise InvalidJobError(f"c.JupyterHub.spawner_class is {name}: {_NO_JOB}")
    return await job_script(spawner)


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
    directory = f"{spawner.state_dir}/jobs/{spec.mark}"
    script = render_script(
        spec,
        scheduler,
        shell=spawner.job_shell,
        environment_file=f"{directory}/environment",
        standard_input="# (the launcher)",
    )
    if scheduler.directives_in_script:
        return script
    options = "".join(f"#   {line}\n" for line in scheduler.directives(spec))
    return f"# {scheduler.title} gets these options beside the script:\n{options}\n{script}"


async def _of_profile(
    spawner: ProfilesSpawner, slug: str | None, options: Mapping[str, Any]
) -> str:
    profiles = await _profiles(spawner)
    if slug is None:
        slug = next((one for one in profiles if one.default), profiles[0]).slug
        names = ", ".join(one.slug for one in profiles)
        print(f"This is profile {slug!r}. Choose one with --profile: {names}", file=sys.stderr)
    profile = find_profile(profiles, {PROFILE: slug})
    try:
        try:
            await check_profile(profile, spawner)
        except SchedulerUnavailable:
            pass  # the script does not depend on its answer
        child = ChildFactory(profile, spawner).make_spawner({**options, PROFILE: slug})
        if not isinstance(child, UniSpawner):
            raise InvalidJobError(f"spawner: {type(child).__name__}: {_NO_JOB}")
        return await job_script(child)
    except InvalidJobError as error:
        raise InvalidJobError(f"profile {slug!r}: {error.message}") from None


async def _profiles(spawner: ProfilesSpawner) -> list[Profile]:
    """Return all profiles, whichever user is offered them."""
    given = spawner.profiles
    if callable(given):
        try:
            given = await maybe_future(given(spawner))
        except Exception as error:  # the administrator's own function: whatever it raises
            raise InvalidJobError(
                "c.ProfilesSpawner.profiles: the function fails for a spawner without a user: "
                f"{type(error).__name__}: {error}"
            ) from None
    return read_some_profiles(given)
