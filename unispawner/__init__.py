"""unispawner: a JupyterHub spawner for every cluster that has a batch scheduler.

Names are imported when first asked for (PEP 562): the user's side imports this package, too, and
must not pay for jupyterhub.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from ._version import __version__

_WHERE = {
    "UniSpawner": ".servers.spawner",
    "JobInfo": ".job",
    "JobSpec": ".job",
    "JobState": ".job",
    "ResourceSpec": ".job",
    "UniSpawnerError": ".errors",
    "InvalidJobError": ".errors",
    "SubmitError": ".errors",
    "CancelError": ".errors",
    "JobEndedError": ".errors",
    "SchedulerUnavailable": ".errors",
    "AgentError": ".errors",
    # batchspawner's, under its names
    "BatchSpawnerBase": ".legacy",
    "BatchSpawnerRegexStates": ".legacy",
    "CondorSpawner": ".legacy",
    "GridengineSpawner": ".legacy",
    "JobStatus": ".legacy",
    "LsfSpawner": ".legacy",
    "MoabSpawner": ".legacy",
    "MultiSlurmSpawner": ".legacy",
    "PBSSpawner": ".legacy",
    "SlurmSpawner": ".legacy",
    "TorqueSpawner": ".legacy",
    "UserEnvMixin": ".legacy",
    "format_template": ".script.filling",
    # wrapspawner's, under its names
    "ProfilesSpawner": ".profiles.spawner",
    "WrapSpawner": ".profiles.wrap_spawner",
}

template_path = str(Path(__file__).parent / "web" / "templates")
"""For c.JupyterHub.template_paths: our home, pending and failed pages."""

__all__ = ["__version__", "template_path", *sorted(_WHERE)]  # noqa: PLE0604 (names that __getattr__ gives)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
