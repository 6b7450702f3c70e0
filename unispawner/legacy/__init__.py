"""batchspawner's classes under their names: a site changes ``batchspawner.`` to ``unispawner.``.

:mod:`.dialects` has the classes of the schedulers and :mod:`.base` their base class;
:mod:`.commands` fills in and runs the commands, and :mod:`.job` follows the job; :mod:`.traits` has
the settings, and :mod:`.checks` checks them. :mod:`.options` decides what users may put into a
script; :mod:`.environment` and :mod:`.private_files` keep secrets from other users.
:mod:`.preview` fills a script and its commands in for ``unispawner render``.
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
