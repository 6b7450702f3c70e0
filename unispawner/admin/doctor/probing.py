"""``unispawner doctor --probe``: chooses the job of a configuration, and runs the probe."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

from jupyterhub.utils import maybe_future

from ...errors import InvalidJobError, SubmitError, UniSpawnerError
from ...profiles.check import read_some_profiles
from ...profiles.children import ChildFactory
from ...profiles.reading import PROFILE, find_profile
from ...profiles.spawner import ProfilesSpawner
from ...profiles.wrap_spawner import WrapSpawner
from ...servers.spawner import UniSpawner
from ..configured_spawner import Nobody, spawner_for_nobody, wrapped_spawner
from .probe.run import Interrupted, probe
from .results import Outcome, Result, Results

_REFUSED = (
    "Correct the setting that the scheduler names, such as queue_name, account, duration or "
    "resources, or ask whether this account may use them"
)


def run(options: argparse.Namespace, spawner: Any, results: Results) -> None:
    """Run the probe for an account.

    Raises
    ------
    KeyboardInterrupt
        If a signal has ended it; its job is removed then.
    """
    user = Nobody(options.probe)
    try:
        outer = spawner_for_nobody(type(spawner), spawner.config, options.config, user)
        asyncio.run(_probe(options, outer, results))
    except Interrupted:
        raise KeyboardInterrupt from None
    except UniSpawnerError as error:
        refused = isinstance(error, SubmitError)
        name, cure = ("submit", _REFUSED) if refused else ("job", "")
        results.add(Result(f"probe.{name}", f"probe {name}", Outcome.WRONG, str(error), cure))


async def _probe(options: argparse.Namespace, outer: Any, results: Results) -> None:
    chosen = await _choose_spawner(options, outer, results)
    if not isinstance(chosen, UniSpawner):
        text = f"{type(chosen).__name__} has no probe: only jobs of UniSpawner can be probed"
        results.add(Result("probe.job", "probe job", Outcome.SKIPPED, text))
        return
    folder = Path.cwd()
    await probe(chosen, options.probe, folder, options.timeout, results.add)


async def _choose_spawner(options: argparse.Namespace, outer: Any, results: Results) -> Any:
    """Return the spawner whose job is submitted.

    Raises
    ------
    InvalidJobError
        If there is no such profile, or its options are wrong.
    """
    if isinstance(outer, ProfilesSpawner):
        given = outer.refresh_profiles()
        profiles = read_some_profiles(
            await maybe_future(given(outer)) if callable(given) else given
        )
        default = next((one for one in profiles if one.default), profiles[0])
        slug = default.slug if options.profile is None else options.profile
        profile = find_profile(profiles, {PROFILE: slug})
        others = ", ".join(one.slug for one in profiles)
        results.note(f"        (the job of profile {slug!r}; --profile chooses another: {others})")
        return ChildFactory(profile, outer).make_spawner({**dict(options.option), PROFILE: slug})
    if options.profile is not None or options.option:
        raise InvalidJobError(
            f"--profile and --option: {type(outer).__name__} has no profiles; leave them out"
        )
    return wrapped_spawner(outer) if isinstance(outer, WrapSpawner) else outer
