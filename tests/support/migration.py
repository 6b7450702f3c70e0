"""Migrates a configuration for a test, and fills in batchspawner's own script to compare with."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import batchspawner
from batchspawner.batchspawner import format_template
from traitlets.config import Config
from traitlets.config.loader import LazyConfigValue

from unispawner.admin.cli import main
from unispawner.admin.migrate import migrate
from unispawner.admin.migrate.load import load_new

CLASSES = (
    *("SlurmSpawner", "MultiSlurmSpawner", "TorqueSpawner", "MoabSpawner", "PBSSpawner"),
    *("GridengineSpawner", "CondorSpawner", "LsfSpawner"),
)
"""batchspawner's classes for a scheduler."""


@dataclass(frozen=True)
class Migrated:
    """The outcome of ``unispawner migrate``.

    Attributes
    ----------
    config
        What the new file sets, loaded as a Hub without batchspawner loads it.
    report
        What was printed, all blanks and line breaks as one blank.
    """

    path: Path
    config: Config
    text: str
    report: str

    @property
    def settings(self) -> dict[str, Any]:
        """What is set for UniSpawner; what was appended to a list is that list."""
        return {
            name: value.get_value([]) if isinstance(value, LazyConfigValue) else value
            for name, value in self.config.get("UniSpawner", {}).items()
        }

    @property
    def is_translated(self) -> bool:
        """True if UniSpawner, or a ProfilesSpawner, runs the servers."""
        return self.config.JupyterHub.spawner_class in ("unispawner", "unispawner.ProfilesSpawner")


def migrate_text(folder: Path, text: str) -> Migrated:
    """Migrate a configuration's text, after which nothing must be wrong."""
    old, new = folder / "old.py", folder / "old.unispawner.py"
    old.write_text(f"c = get_config()\n{text}", encoding="utf-8")
    with redirect_stdout(io.StringIO()) as report:
        assert 0 == migrate(old, force=True), report.getvalue()
    words = " ".join(report.getvalue().split())
    return Migrated(new, load_new(new, folder), new.read_text(encoding="utf-8"), words)


def migrate_class(folder: Path, cls: str, traits: Mapping[str, Any], more: str = "") -> Migrated:
    """Migrate a configuration that sets some traits of one of batchspawner's classes."""
    lines = [f"c.{cls}.{name} = {value!r}\n" for name, value in traits.items()]
    text = f"c.JupyterHub.spawner_class = 'batchspawner.{cls}'\n"
    return migrate_text(folder, text + "".join(lines) + more)


def render_old(cls: str, traits: Mapping[str, Any]) -> str:
    """Return the script that batchspawner itself submits."""
    defaults = {
        name: trait.default_value
        for name, trait in getattr(batchspawner, cls).class_traits().items()
        if name.startswith("req_")
    }
    fields = {name.removeprefix("req_"): value for name, value in {**defaults, **traits}.items()}
    fields |= {"username": "alice", "homedir": "/home/alice", "keepvars": "KEEPVARS"}
    fields |= {"cmd": "batchspawner-singleuser jupyterhub-singleuser"}
    default = getattr(batchspawner, cls).class_traits()["batch_script"].default_value
    text: str = format_template(traits.get("batch_script", default), **fields)
    return text


def render_new(path: Path) -> str:
    """Return what ``unispawner render`` prints: the job's script, and what goes beside it."""
    with redirect_stdout(io.StringIO()) as printed:
        assert 0 == main(["render", "-f", str(path)])
    return printed.getvalue()
