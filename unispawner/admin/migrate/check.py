"""Checks the new file: it sets what was planned, and its settings make a job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from traitlets import TraitError
from traitlets.config import Config

from ...errors import UniSpawnerError
from ...script.rendering import render_script
from ...servers.spawner import UniSpawner
from . import stays
from .literal import is_plain
from .plan import Plan
from .translation import AsWritten, NewSetting


def find_problems(config: Config, plan: Plan) -> Iterator[str]:
    """Yield what is wrong with the new configuration; the scheduler is not asked.

    Parameters
    ----------
    config
        What the new file sets, loaded as the Hub loads it.
    """
    if plan.is_translated:
        yield from _find_changed(config, plan.base.settings)
        if plan.profiles is None:
            yield from _check_job(config, {}, "c.UniSpawner")
        unknown = {*config.UniSpawner} - {*UniSpawner.class_trait_names(config=True)}
        yield from (f"c.UniSpawner.{name}: there is no such setting" for name in sorted(unknown))
    yield from stays.find_errors(config, plan)
    entries = config.ProfilesSpawner.profiles if plan.profiles and plan.is_translated else []
    for profile, entry in zip(plan.profiles or (), entries, strict=False):
        if profile.is_translated:
            own = {**entry.get("config", {})}
            if "resources" in entry:
                general = config.UniSpawner.get("resources", {}) if "UniSpawner" in config else {}
                own["resources"] = {**general, **entry["resources"]}
            yield from _check_job(config, own, profile.label.removesuffix(": "))


def _find_changed(config: Config, settings: Mapping[str, NewSetting]) -> Iterator[str]:
    """Yield settings that do not have the planned value, because the file sets them elsewhere."""
    for name, setting in settings.items():
        value = setting.value
        planned = value.old.value if isinstance(value, AsWritten) else value
        found = config.UniSpawner.get(name)
        # Each loading of the file makes a new function: two of them can't be compared.
        comparable = is_plain(planned) and is_plain(found)
        if found != planned and (comparable or not isinstance(value, AsWritten)):
            yield f"c.UniSpawner.{name} is {found!r}, and should be {planned!r}"


def _check_job(config: Config, own: Mapping[str, Any], label: str) -> Iterator[str]:
    """Yield why the settings make no job."""
    try:
        spawner = UniSpawner(config=config, **own)
        spec = spawner.job_spec("0" * 16, environment={})
        render_script(spec, spawner.get_scheduler(), shell=spawner.job_shell)
    except (TraitError, UniSpawnerError) as error:
        yield f"{label}: {error}"
