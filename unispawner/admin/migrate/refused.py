"""Finds the settings that UniSpawner refuses, so that the old class keeps what has them."""

from __future__ import annotations

from typing import Any

from traitlets import TraitError

from ...errors import UniSpawnerError
from ...script.rendering import render_script
from ...servers.spawner import UniSpawner
from .translation import AsWritten, NewSetting, Translation


def mark_refused(out: Translation) -> None:
    """Mark the old settings of which no job of UniSpawner's can be made."""
    base: dict[str, Any] = {
        name: out.settings[name].value
        for name in ("scheduler", "torque_moab")
        if name in out.settings
    }
    if why_refused(base):
        return  # the check of the new file reports it
    for name, setting in out.settings.items():
        if name not in base and (why := _why(base, name, setting)):
            for origin in setting.origins:
                out.mark_untranslatable(origin, f"UniSpawner refuses it: {why}")


def _why(base: dict[str, Any], name: str, setting: NewSetting) -> str:
    value = setting.value.old.value if isinstance(setting.value, AsWritten) else setting.value
    return why_refused({**base, name: value})


def why_refused(settings: dict[str, Any]) -> str:
    """Return why no job can be made with these settings; empty if one can."""
    try:
        spawner = UniSpawner(**settings)
        spec = spawner.job_spec("0" * 16, environment={})
        render_script(spec, spawner.get_scheduler(), shell=spawner.job_shell)
    except (TraitError, UniSpawnerError) as error:
        return str(error)
    return ""
