"""batchspawner's classes under their names: a site changes ``batchspawner.`` to ``unispawner.``.

:mod:`.dialects` has the classes, :mod:`.base` the life of a server, :mod:`.commands` templates and
commands, :mod:`.traits` the settings; :mod:`.options` what users may put into a script,
:mod:`.environment` and :mod:`.private_files` where secrets are.
"""

from __future__ import annotations

from ..script.filling import format_template
from .base import BatchSpawnerBase
from .dialects import (
    BatchSpawnerRegexStates,
    CondorSpawner,
    GridengineSpawner,
    LsfSpawner,
    MoabSpawner,
    MultiSlurmSpawner,
    PBSSpawner,
    SlurmSpawner,
    TorqueSpawner,
    UserEnvMixin,
)
from .status import JobStatus

__all__ = [
    "BatchSpawnerBase",
    "BatchSpawnerRegexStates",
    "CondorSpawner",
    "GridengineSpawner",
    "JobStatus",
    "LsfSpawner",
    "MoabSpawner",
    "MultiSlurmSpawner",
    "PBSSpawner",
    "SlurmSpawner",
    "TorqueSpawner",
    "UserEnvMixin",
    "format_template",
]
