"""Is what was written what was meant, and would it make a job?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from traitlets import TraitError
from traitlets.config import Config

from ...errors import UniSpawnerError
from ...script.rendering import render_script
from ...servers.spawner import UniSpawner
from .literal import is_plain
from .plan import Plan, Profile
from .translation import Moved, Setting


def problems(config: Config, plan: Plan) -> Iterator[str]:
    """Yield what is wrong with the new configuration; the scheduler is not asked.

    Parameters
    ----------
    config
        What the new file sets, loaded as the Hub loads it.
    """
    if plan.is_translated:
        yield from _unlike(config, plan.base.settings)
        if plan.profiles is None:
            yield from _no_job(config, {}, "c.UniSpawner")
        unknown = {*config.UniSpawner} - {*UniSpawner.class_trait_names(config=True)}
        yield from (f"c.UniSpawner has no {name}" for name in sorted(unknown))
    elif plan.profiles is None and plan.spawner.is_legacy:
        yield from _not_taken(plan.spawner.cls, config, {}, f"c.{plan.spawner.name}")
    entries = config.ProfilesSpawner.profiles if plan.profiles else []
    for profile, entry in zip(plan.profiles or (), entries, strict=True):
        yield from _profile_problems(config, profile, entry)


def _profile_problems(config: Config, profile: Profile, entry: Any) -> Iterator[str]:
    label = f'profile "{profile.key}"'
    if profile.is_translated:
        own = {**entry.get("config", {})}
        if "resources" in entry:
            general = config.UniSpawner.get("resources", {}) if "UniSpawner" in config else {}
            own["resources"] = {**general, **entry["resources"]}
        yield from _no_job(config, own, label)
    elif profile.spawner.is_legacy:
        values = {one.name: one.value for one in profile.found}
        yield from _not_taken(profile.spawner.cls, config, values, label)


def _unlike(config: Config, settings: Mapping[str, Setting]) -> Iterator[str]:
    """Yield settings that the file changes again, in a way that was not seen."""
    for name, setting in settings.items():
        moved = isinstance(setting.value, Moved)
        meant = setting.value.found.value if isinstance(setting.value, Moved) else setting.value
        got = config.UniSpawner.get(name)
        if got != meant and not (moved and not (is_plain(meant) and is_plain(got))):
            yield f"c.UniSpawner.{name} is {got!r}, and should be {meant!r}"


def _no_job(config: Config, own: Mapping[str, Any], label: str) -> Iterator[str]:
    try:
        spawner = UniSpawner(config=config, **own)
        spec = spawner.job_spec("0" * 16, environment={})
        render_script(spec, spawner.get_scheduler(), shell=spawner.job_shell)
    except (TraitError, UniSpawnerError) as error:
        yield f"{label}: {error}"


def _not_taken(cls: Any, config: Config, values: Mapping[str, Any], label: str) -> Iterator[str]:
    """Yield what a class of batchspawner's refuses, as it would when the Hub starts a server."""
    try:
        cls(config=config, **{name: values[name] for name in values if name in cls.class_traits()})
    except TraitError as error:
        yield f"{label}: {error}"
