"""`unispawner migrate`: from batchspawner's configuration to UniSpawner's, with nothing dropped."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from traitlets.config.loader import PyFileConfigLoader

from unispawner.admin.cli import main
from unispawner.admin.migrate import migrate
from unispawner.errors import InvalidJobError

HERE = Path(__file__).parent


def new_config(tmp_path: Path, text: str) -> tuple[Any, str]:
    """Migrate a configuration; return the new one, loaded as a Hub would, and its text."""
    old = tmp_path / "jupyterhub_config.py"
    old.write_text(f"c = get_config()\n{text}")
    assert 0 == migrate(old)
    new = tmp_path / "jupyterhub_config.unispawner.py"
    return PyFileConfigLoader(str(new)).load_config(), new.read_text()


def test_the_first_seed_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All of it is translated, but the host's name, which is a table and so the reader's choice."""
    config, text = new_config(tmp_path, (HERE / "seed_torque.py").read_text())
    assert {
        "scheduler": "torque",
        "queue_name": "mesabi@mesabi.xyz.edu",
        "duration": "12:00:00",
        "resources": {"cpu_cores_per_process": 2, "memory": "4G"},
        "job_name": "jupyterhub-singleuser",
        "prologue": "module load python3",
    } == dict(config.UniSpawner)
    assert "unispawner" == config.JupyterHub.spawner_class
    assert 120 == config.Spawner.http_timeout
    assert 'c.UniSpawner.host_map = {"node1": "int-node1.mesabi.xyz.edu"}' in text
    told = capsys.readouterr().out
    assert "can also stay as it is" in told
    assert '"unispawner.TorqueSpawner"' in told
    assert "c.TorqueSpawner.state_exechost_exp" in told


def test_the_second_seed_example(tmp_path: Path) -> None:
    """Five profiles, each with what it says itself and what holds for all."""
    config, _ = new_config(tmp_path, (HERE / "seed_profiles.py").read_text())
    profiles = {one["slug"]: one for one in config.ProfilesSpawner.profiles}
    assert ["local", "mesabi2c4g12h", "mesabi128gb", "mesabi2c4gb24h", "lab"] == list(profiles)
    assert "jupyterhub.spawner.LocalProcessSpawner" == profiles["local"]["spawner"]
    large = profiles["mesabi128gb"]
    assert {"queue_name": "ram256g@mesabi.xyz.edu", "duration": "4:00:00"} == large["config"]
    assert {"cpu_cores_per_process": 12, "memory": "125G"} == large["resources"]
    assert "lab@labhost.xyz.edu" == profiles["lab"]["config"]["queue_name"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # sbatch(1): a bare number of --mem is megabytes, of --time minutes.
        (
            {"SlurmSpawner": {"req_memory": "4000", "req_runtime": "90", "req_partition": "long"}},
            {"resources": {"memory": "4000M"}, "duration": "01:30:00", "queue_name": "long"},
        ),
        (
            {"SlurmSpawner": {"req_runtime": "1-12", "req_gres": "gpu:2"}},
            {"duration": "36:00:00", "resources": {"gpu_cores_per_process": 2}},
        ),
        (
            {"SlurmSpawner": {"req_reservation": "r1", "req_options": "--qos=high"}},
            {"reservation_id": "r1", "custom_attributes": {"slurm.qos": "high"}},
        ),
        ({"CondorSpawner": {"req_memory": "512"}}, {"resources": {"memory": "512M"}}),
        ({"PBSSpawner": {"req_memory": "2gb", "req_nprocs": "8"}}, {"scheduler": "pbs"}),
        ({"GridengineSpawner": {"req_options": "-l h_rt=3600"}}, {"scheduler": "gridengine"}),
        ({"LsfSpawner": {"req_queue": "night"}}, {"queue_name": "night", "scheduler": "lsf"}),
        ({"MoabSpawner": {"req_queue": "x"}}, {"scheduler": "torque", "torque_moab": True}),
        (
            {"MultiSlurmSpawner": {"daemon_resolver": {"n1": "host1"}}},
            {"scheduler": "slurm", "host_map": {"n1": "host1"}},
        ),
        # A class's own setting comes before its base class's.
        (
            {"BatchSpawnerBase": {"req_runtime": "60"}, "SlurmSpawner": {"req_runtime": "30"}},
            {"duration": "00:30:00"},
        ),
    ],
)
def test_what_settings_become(
    tmp_path: Path, settings: dict[str, Any], expected: dict[str, Any]
) -> None:
    """In each scheduler's own units and words."""
    text = f"c.JupyterHub.spawner_class = 'batchspawner.{list(settings)[-1]}'\n"
    for name, values in settings.items():
        text += "".join(f"c.{name}.{trait} = {value!r}\n" for trait, value in values.items())
    config, _ = new_config(tmp_path, text)
    found = {name: config.UniSpawner.get(name) for name in expected}
    if isinstance(expected.get("duration"), str):
        assert found.pop("duration").zfill(8) == expected.pop("duration").zfill(8)
    assert expected == found


@pytest.mark.parametrize(
    "line",
    [
        "c.SlurmSpawner.batch_query_cmd = 'my-squeue {job_id}'",
        "c.SlurmSpawner.state_running_re = 'R'",
        "c.SlurmSpawner.batch_script = '#!/bin/sh\\n#SBATCH --wrap=x\\nfor x in 1; do {cmd}; done'",
        "c.SlurmSpawner.exec_prefix = 'ssh login sudo -u {username}'",
    ],
)
def test_what_stays_on_the_legacy_class(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    """The new file has the one word changed, keeps the setting, and the report names it."""
    config, _ = new_config(
        tmp_path, f"c.JupyterHub.spawner_class = 'batchspawner.SlurmSpawner'\n{line}\n"
    )
    assert "unispawner.SlurmSpawner" == config.JupyterHub.spawner_class
    trait = line.partition(" ")[0].rpartition(".")[2]
    assert trait in config.SlurmSpawner
    assert trait in capsys.readouterr().out


def test_nothing_is_dropped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every setting of the old file is in the new one, as it was or in a comment."""
    text = "\n".join(
        (
            "import os",
            "c.JupyterHub.spawner_class = 'batchspawner.SlurmSpawner'",
            "c.JupyterHub.hub_ip = '10.0.0.1'",
            "c.Spawner.environment = {'TOKEN': os.environ.get('SITE_TOKEN', '')}",
            "c.Spawner.pre_spawn_hook = lambda spawner: None",
            "c.BatchSpawnerBase.req_keepvars_extra = 'SITE'",
            "c.BatchSpawnerBase.batchspawner_singleuser_cmd = '/opt/bin/batchspawner-singleuser'",
            "c.SlurmSpawner.req_qos = 'high'",
            "c.SlurmSpawner.no_such_setting = 1",
            "",
        )
    )
    _, new = new_config(tmp_path, text)
    told = capsys.readouterr().out
    for line in text.splitlines()[2:]:
        setting = line.partition(" ")[0]
        assert setting in new, setting
    for setting in ("req_keepvars_extra", "req_qos", "no_such_setting"):
        assert setting in told, setting


def test_the_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written beside the old one, for the same eyes, and replaces nothing unasked."""
    old = tmp_path / "jupyterhub_config.py"
    old.write_text("c = get_config()\nc.JupyterHub.spawner_class = 'batchspawner.SlurmSpawner'\n")
    old.chmod(0o600)
    assert 0 == main(["migrate", str(old)])
    new = tmp_path / "jupyterhub_config.unispawner.py"
    assert 0o600 == stat.S_IMODE(new.stat().st_mode)
    new.write_text("mine")
    assert 1 == main(["migrate", str(old)])
    assert "mine" == new.read_text()
    assert 0 == main(["migrate", str(old), "--force"])
    assert "mine" != new.read_text()
    with pytest.raises(InvalidJobError, match="is the old configuration itself"):
        migrate(old, str(old), force=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("raise KeyError('SITE')", "KeyError: 'SITE'"),
        ("c = (", "SyntaxError|was never closed"),
        (None, "No such file"),
    ],
)
def test_an_old_file_that_cannot_be_read(tmp_path: Path, text: str | None, words: str) -> None:
    """Whatever it raises is told, and nothing is written."""
    old = tmp_path / "jupyterhub_config.py"
    if text is not None:
        old.write_text(text)
    with pytest.raises(InvalidJobError, match=words):
        migrate(old)
    assert [old] * (text is not None) == list(tmp_path.iterdir())
