"""The text of the new file: comments, their place, and what is recommended."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.migration import migrate_class, migrate_text
from traitlets.config import Config

from unispawner.admin.migrate import migrate
from unispawner.admin.migrate.check import find_problems
from unispawner.admin.migrate.literal import WIDTH
from unispawner.admin.migrate.load import load_new
from unispawner.admin.migrate.new_file import comment, rank
from unispawner.admin.migrate.old_config import SpawnerClass
from unispawner.admin.migrate.plan import Plan

CLASS = "c.JupyterHub.spawner_class = 'batchspawner.SlurmSpawner'"


def test_a_comment_is_wrapped_between_words() -> None:
    """A long word (a path, a command) stays whole; a hyphen is no place to break a line."""
    lines = comment(f"- {'word ' * 30}--{'option-' * 20}", hanging="  ")
    assert all(len(line) <= WIDTH for line in lines[:-1])
    assert all(line.startswith(("# -", "#   ")) for line in lines)
    assert f"#   --{'option-' * 20}" == lines[-1]
    assert [] == comment("")


def test_what_one_looks_for_first_comes_first() -> None:
    """Other settings follow in alphabetical order."""
    names = ["start_timeout", "prologue", "args", "resources", "scheduler"]
    assert ["scheduler", "resources", "prologue", "args", "start_timeout"] == sorted(
        names, key=rank
    )


@pytest.mark.parametrize(
    "first",
    [
        [],
        ["#!/usr/bin/env python3"],
        ["# -*- coding: utf-8 -*-"],
        ["#!/usr/bin/env python3", "# vim: set fileencoding=utf-8"],
    ],
)
def test_the_header_stands_below_what_must_be_first(tmp_path: Path, first: list[str]) -> None:
    """Python reads an encoding in the first two lines only."""
    old = tmp_path / "old.py"
    old.write_text("\n".join([*first, CLASS, "c.Spawner.notebook_dir = '~/ü'", ""]))
    assert 0 == migrate(old)
    lines = (tmp_path / "old.unispawner.py").read_text().split("\n")
    assert first == lines[: len(first)]
    assert lines[len(first)].startswith("# Written by `unispawner migrate` from old.py.")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", "c.JupyterHub.concurrent_spawn_limit = 0"),
        ("c.JupyterHub.concurrent_spawn_limit = 50", "spawn_limit, which is 50; 0 means no"),
        ("", "  c.JupyterHub.cleanup_servers = False  # servers outlive a restart of the Hub"),
    ],
)  # fmt: skip
def test_settings_of_the_hub_that_matter(tmp_path: Path, line: str, expected: str) -> None:
    """What the administrator has set stays, with a comment; what is unset is recommended."""
    found = migrate_text(tmp_path, f"{CLASS}\n{line}\n")
    assert expected in found.text.replace("\n# ", " ")
    assert (50 if line else 0) == found.config.JupyterHub.concurrent_spawn_limit


def test_old_lines_can_be_removed(tmp_path: Path) -> None:
    """The header names the command; the file sets the same without them."""
    found = migrate_class(tmp_path, "SlurmSpawner", {"req_memory": "4G", "req_partition": "p"})
    assert "`sed -i '/^#old#/d' FILE` removes them" in " ".join(found.text.split("\n# "))
    lines = [line for line in found.text.split("\n") if not line.startswith("#old#")]
    found.path.write_text("\n".join(lines))
    assert found.config == load_new(found.path, tmp_path)
    assert "SlurmSpawner" not in load_new(found.path, tmp_path)


def test_a_long_suggestion_stays_a_comment(tmp_path: Path) -> None:
    """A suggested setting may take several lines."""
    traits = {"req_host": "x" * 90, "req_queue": "q"}
    found = migrate_class(tmp_path, "TorqueSpawner", traits)
    assert (
        f'#   c.UniSpawner.scheduler_environment = {{\n#       "PBS_DEFAULT": "{"x" * 90}",\n#   }}'
        in found.text
    )


def test_a_file_that_does_not_set_what_was_planned() -> None:
    """The check names the setting, what it is and what it should be."""
    plan = Plan(SpawnerClass.from_value("batchspawner.SlurmSpawner"))
    plan.base.set("scheduler", "slurm")
    config = Config({"UniSpawner": {"scheduler": "local"}})
    assert ["c.UniSpawner.scheduler is 'local', and should be 'slurm'"] == list(
        find_problems(config, plan)
    )
