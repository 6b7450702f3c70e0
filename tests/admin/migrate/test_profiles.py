"""wrapspawner's profiles: each becomes one of unispawner's, and what all have in common is once."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from support.migration import Migrated, migrate_text

from unispawner.admin.cli import main
from unispawner.admin.migrate import migrate
from unispawner.errors import InvalidJobError

HEAD = "c.JupyterHub.spawner_class = 'wrapspawner.ProfilesSpawner'\n"


def migrate_profiles(folder: Path, *profiles: str, more: str = "") -> Migrated:
    lines = "".join(f"    {one},\n" for one in profiles)
    return migrate_text(folder, f"{HEAD}{more}\nc.ProfilesSpawner.profiles = [\n{lines}]\n")


def profiles_of(found: Migrated) -> dict[str, Any]:
    return {one["slug"]: one for one in found.config.ProfilesSpawner.profiles}


@pytest.fixture(autouse=True)
def any_scheduler_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile is rendered whatever scheduler this host has."""

    async def check(*_: object) -> None:
        pass

    monkeypatch.setattr("unispawner.settings.detect.check", check)


def render(found: Migrated, slug: str) -> str:
    with redirect_stdout(io.StringIO()) as printed:
        assert 0 == main(["render", "-f", str(found.path), "--profile", slug])
    return printed.getvalue()


def test_what_is_common_is_said_once(tmp_path: Path) -> None:
    """A profile has what differs; None takes away what holds for the others."""
    found = migrate_profiles(
        tmp_path,
        "('A', 'a', 'batchspawner.SlurmSpawner', dict(req_partition='p'))",
        "('B', 'b', 'batchspawner.SlurmSpawner', dict(req_memory='', req_nprocs='4'))",
        more="c.SlurmSpawner.req_memory = '2G'\nc.BatchSpawnerBase.req_runtime = '60'",
    )
    assert {
        "scheduler": "slurm",
        "duration": "01:00:00",
        "resources": {"memory": "2G"},
        "job_name": "spawner-jupyterhub",
    } == found.settings
    assert [
        {"display_name": "A", "slug": "a", "config": {"queue_name": "p"}},
        {
            "display_name": "B",
            "slug": "b",
            "resources": {"memory": None, "cpu_cores_per_process": 4},
        },
    ] == found.config.ProfilesSpawner.profiles
    assert "#SBATCH --mem=2097152K" in render(found, "a")
    assert "--mem=" not in render(found, "b")


def test_a_setting_that_a_profile_unsets(tmp_path: Path) -> None:
    """UniSpawner's default takes the place of what holds for all."""
    found = migrate_profiles(
        tmp_path,
        "('A', 'a', 'batchspawner.SlurmSpawner', {})",
        "('B', 'b', 'batchspawner.SlurmSpawner', {'req_partition': ''})",
        more="c.SlurmSpawner.req_partition = 'p'",
    )
    assert "p" == found.settings["queue_name"]
    assert {"queue_name": ""} == profiles_of(found)["b"]["config"]
    assert "--partition" not in render(found, "b")


def test_two_schedulers(tmp_path: Path) -> None:
    """Each profile names its scheduler, and the job's name is common only if both have it."""
    found = migrate_profiles(
        tmp_path,
        "('A', 'a', 'batchspawner.SlurmSpawner', {'req_gres': 'gpu:2'})",
        "('B', 'b', 'batchspawner.TorqueSpawner', {'req_queue': 'q'})",
    )
    profiles = profiles_of(found)
    assert {"scheduler": "slurm", "job_name": "spawner-jupyterhub"} == profiles["a"]["config"]
    assert {
        "scheduler": "torque",
        "queue_name": "q",
        "job_name": "jupyterhub-singleuser",
    } == profiles["b"]["config"]
    assert "#SBATCH --gpus-per-task=2" in render(found, "a")
    assert "#PBS -q q" in render(found, "b")


def test_profiles_of_other_classes(tmp_path: Path) -> None:
    """They keep their class and configuration; old_profiles gives what can't be written down."""
    found = migrate_profiles(
        tmp_path,
        "('Local', 'local', LocalProcessSpawner, {'ip': '0.0.0.0'})",
        "('Own', 'own', Own, {'req_partition': 'p'})",
        "('Odd', 'odd', 'batchspawner.SlurmSpawner', {'exec_prefix': '', 'pre_spawn_hook': hook})",
        "('New', 'new', 'batchspawner.SlurmSpawner', {'pre_spawn_hook': hook})",
        more="import batchspawner\nfrom jupyterhub.spawner import LocalProcessSpawner\n"
        "class Own(batchspawner.SlurmSpawner): pass\ndef hook(spawner): pass",
    )
    profiles = profiles_of(found)
    assert "jupyterhub.spawner.LocalProcessSpawner" == profiles["local"]["spawner"]
    assert {"ip": "0.0.0.0"} == profiles["local"]["config"]
    assert "Own" == profiles["own"]["spawner"].__name__
    assert "unispawner.SlurmSpawner" == profiles["odd"]["spawner"]
    assert "hook" == profiles["odd"]["config"]["pre_spawn_hook"].__name__
    assert "spawner" not in profiles["new"]
    assert "hook" == profiles["new"]["config"]["pre_spawn_hook"].__name__
    assert 'profile "odd": exec_prefix: UniSpawner becomes the user' in found.report
    # The old list is still read.
    assert "old_profiles = c.ProfilesSpawner.profiles" in found.text
    assert "#old#" not in found.text


def test_settings_of_a_profile_only(tmp_path: Path) -> None:
    """A profile's dictionary sets any trait, req_username among them; a misspelt one is ignored."""
    found = migrate_profiles(
        tmp_path,
        "('A', 'a', 'batchspawner.SlurmSpawner', {'req_username': 'x'})",
        "('B', 'b', 'batchspawner.SlurmSpawner', {'req_memry': '4G', 'req_gres': 'gpu:a:1'})",
        "('C', 'c', 'batchspawner.SlurmSpawner', {'options_form': '<input name=q>'})",
    )
    assert 'profile "a": req_username: UniSpawner takes it from' in found.report
    assert 'profile "b": req_memry: batchspawner has no such setting' in found.report
    assert {"slurm.gres": "gpu:a:1"} == profiles_of(found)["b"]["config"]["custom_attributes"]
    assert "<input name=q>" == profiles_of(found)["c"]["config"]["options_form"]


def test_entries_in_our_own_form(tmp_path: Path) -> None:
    """A dictionary stays as it is, but batchspawner's name in it becomes ours."""
    found = migrate_profiles(
        tmp_path,
        "('A', 'a', 'batchspawner.SlurmSpawner', {})",
        "{'display_name': 'B', 'slug': 'b', 'config': {'queue_name': 'q'}}",
        "{'display_name': 'C', 'slug': 'c', 'spawner': 'batchspawner.SlurmSpawner'}",
    )
    profiles = profiles_of(found)
    assert {"display_name": "B", "slug": "b", "config": {"queue_name": "q"}} == profiles["b"]
    assert "unispawner.SlurmSpawner" == profiles["c"]["spawner"]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("c.ProfilesSpawner.profiles = lambda spawner: []", "it is a function: what it returns"),
        ("", "wrapspawner offers a server on the Hub's own host"),
        (
            "c.ProfilesSpawner.profiles = [('A', 'a', 'simple', {})]",
            "No profile starts a server of batchspawner's",
        ),
    ],
)
def test_profiles_that_stay(tmp_path: Path, lines: str, says: str) -> None:
    """Nothing but the name of the class changes."""
    found = migrate_text(tmp_path, f"{HEAD}{lines}\n")
    assert "unispawner.ProfilesSpawner" == found.config.JupyterHub.spawner_class
    assert {} == found.settings
    assert says in " ".join(found.text.split())
    assert lines in found.text


def test_profiles_that_are_added_to_the_default(tmp_path: Path) -> None:
    """An append to traitlets' lazy list is taken like a list."""
    entry = "('A', 'a', 'batchspawner.SlurmSpawner', {'req_partition': 'p'})"
    found = migrate_text(tmp_path, f"{HEAD}c.ProfilesSpawner.profiles.append({entry})\n")
    assert {"queue_name": "p"} == profiles_of(found)["a"]["config"]


@pytest.mark.parametrize("entry", ["('A', 'a', 'batchspawner.SlurmSpawner')", "('A',)", "1"])
def test_an_entry_that_is_no_profile(tmp_path: Path, entry: str) -> None:
    """The error shows the entry, and what it must be."""
    old = tmp_path / "old.py"
    old.write_text(f"{HEAD}c.ProfilesSpawner.profiles = [{entry}]\n")
    with pytest.raises(InvalidJobError, match=re.escape(f"{entry} must be a tuple of a display")):
        migrate(old)


def test_classes_of_the_sites_own_in_profiles(tmp_path: Path) -> None:
    """The report says which profiles keep such a class, and which class can't be found here."""
    found = migrate_text(
        tmp_path,
        "import batchspawner\ndef make(name):\n"
        "    return type(name, (batchspawner.SlurmSpawner,), {})\n"
        f"{HEAD}c.ProfilesSpawner.profiles = [('A', 'a', make('Big'), {{}}),\n"
        "    ('D', 'd', 'dockerspawner_of_nobody.DockerSpawner', {'image': 'x'})]\n",
    )
    assert 'profile "a": class: Big is a class of the site' in found.report
    assert 'profile "d": class: dockerspawner_of_nobody.DockerSpawner can' in found.report
    assert "No profile starts a server" not in found.text
