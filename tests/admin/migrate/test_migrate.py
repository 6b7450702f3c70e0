"""``unispawner migrate`` as an administrator runs it: the two examples of batchspawner's README."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from support.migration import migrate_text, render_new

from unispawner.admin.cli import main
from unispawner.admin.migrate import migrate
from unispawner.errors import InvalidJobError

HERE = Path(__file__).parent
SLURM = "c.JupyterHub.spawner_class = 'batchspawner.SlurmSpawner'\n"


def test_the_first_example(tmp_path: Path) -> None:
    """All of it is translated, and the pattern for host names becomes one of host_map."""
    found = migrate_text(tmp_path, (HERE / "seed_torque.py").read_text())
    assert "unispawner" == found.config.JupyterHub.spawner_class
    assert {
        "scheduler": "torque",
        "queue_name": "mesabi@mesabi.xyz.edu",
        "duration": "12:00:00",
        "resources": {"cpu_cores_per_process": 2, "memory": "4G"},
        "job_name": "jupyterhub-singleuser",
        "prologue": "module load python3",
        "host_map": {r"([^.]+)": r"int-\1.mesabi.xyz.edu"},
    } == found.settings
    assert 120 == found.config.Spawner.http_timeout
    assert {
        "#PBS -q mesabi@mesabi.xyz.edu",
        "#PBS -l walltime=12:00:00",
        "#PBS -l nodes=1:ppn=2",
        "#PBS -l mem=4194304kb",
        "#PBS -N jupyterhub-singleuser",
        "module load python3",
    } <= {*render_new(found.path).split("\n")}


def test_the_report_of_the_first_example(tmp_path: Path) -> None:
    """The report has the names to change, the new settings with their origins, and the choices."""
    report = migrate_text(tmp_path, (HERE / "seed_torque.py").read_text()).report
    for text in (
        "You can also keep old.py, with unispawner's classes of the same names. Then change only "
        'these words: - line 3: "unispawner.TorqueSpawner"',
        'UniSpawner runs the servers. Its settings are: - scheduler = "torque" - queue_name =',
        'duration = "12:00:00", from c.BatchSpawnerBase.req_runtime',
        "- c.BatchSpawnerBase.req_host: If mesabi.xyz.edu is not this host's",
        "Please look at these: - host_map: It makes int-node1.mesabi.xyz.edu of TORQUE's node",
        "Everything else stays as it is: - c.Spawner: http_timeout",
        "Next: - Read",
    ):
        assert text in report
    assert "WRONG" not in report


def test_the_next_steps_of_a_class_that_stays(tmp_path: Path) -> None:
    """Where the old class still runs the servers, the report names the line that sudo needs."""
    text = """
c.JupyterHub.spawner_class = "batchspawner.SlurmSpawner"
c.SlurmSpawner.batch_cancel_cmd = "our-cancel {job_id}"
"""
    report = migrate_text(tmp_path, text).report
    assert "so the old class still runs the servers: - c.SlurmSpawner.batch_cancel_cmd" in report
    assert "sudo needs one more line: `unispawner doctor --sudoers -f " in report


def test_the_second_example(tmp_path: Path) -> None:
    """Five profiles, each with what it sets itself; what holds for all is set once."""
    found = migrate_text(tmp_path, (HERE / "seed_profiles.py").read_text())
    profiles = {one["slug"]: one for one in found.config.ProfilesSpawner.profiles}
    assert ["local", "mesabi2c4g12h", "mesabi128gb", "mesabi2c4gb24h", "lab"] == list(profiles)
    assert "jupyterhub.spawner.LocalProcessSpawner" == profiles["local"]["spawner"]
    large = profiles["mesabi128gb"]
    assert {"queue_name": "ram256g@mesabi.xyz.edu", "duration": "4:00:00"} == large["config"]
    assert {"cpu_cores_per_process": 12, "memory": "125G"} == large["resources"]
    assert "lab@labhost.xyz.edu" == profiles["lab"]["config"]["queue_name"]
    assert "12:00:00" == found.settings["duration"]


def test_nothing_is_dropped(tmp_path: Path) -> None:
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
    found = migrate_text(tmp_path, text)
    for line in text.splitlines()[2:]:
        setting = line.partition(" ")[0]
        assert setting in found.text, setting
    for setting in ("req_keepvars_extra", "req_qos", "no_such_setting"):
        assert setting in found.report, setting


def test_a_script_of_the_site(tmp_path: Path) -> None:
    """Directives, fields and shell lines of an own script arrive in UniSpawner's job."""
    script = (
        "#!/bin/bash -l\n"
        "#SBATCH --job-name=jl\n"
        "#SBATCH --output={homedir}/jl-%j.log\n"
        "#SBATCH --chdir=/scratch/{username}\n"
        "#SBATCH --mem-per-cpu={memory} -c {nprocs}\n"
        "#SBATCH {options}\n"
        "module load python\n"
        "srun {cmd}\n"
        "cp log $HOME\n"
    )
    lines = (
        f"c.SlurmSpawner.batch_script = {script!r}\n"
        "c.SlurmSpawner.req_memory = '2G'\n"
        "c.SlurmSpawner.req_nprocs = '4'\n"
        "c.SlurmSpawner.req_options = '--exclusive'\n"
        "c.SlurmSpawner.req_partition = 'unused'\n"
    )
    found = migrate_text(tmp_path, SLURM + lines)
    assert {
        "scheduler": "slurm",
        "job_name": "jl",
        "resources": {"cpu_cores_per_process": 4},
        "custom_attributes": {"slurm.mem-per-cpu": "2G", "slurm.exclusive": True},
        "prologue": 'cd "/scratch/$USER" || exit 1\nmodule load python',
        "epilogue": "cp log $HOME",
    } == found.settings
    for text in (
        "UniSpawner sets --output={homedir}/jl-%j.log itself. The job's log is in ~/.unispawner",
        "c.SlurmSpawner.req_memory, c.SlurmSpawner.req_nprocs: The script has it in a line of its",
        "c.SlurmSpawner.req_partition: The old script did not use it, so it had no effect.",
        "c.SlurmSpawner.batch_script: UniSpawner runs the server without srun.",
    ):
        assert text in found.report
    job = render_new(found.path)
    for line in ("--mem-per-cpu=2G", "--cpus-per-task=4", "--exclusive", "--job-name=jl"):
        assert f"#SBATCH {line}\n" in job


def test_the_new_file(tmp_path: Path) -> None:
    """It is written beside the old one, for the same readers, and replaces nothing unasked."""
    old = tmp_path / "jupyterhub_config.py"
    old.write_text(SLURM)
    old.chmod(0o600)
    assert 0 == main(["migrate", str(old)])
    new = tmp_path / "jupyterhub_config.unispawner.py"
    assert 0o600 == stat.S_IMODE(new.stat().st_mode)
    new.write_text("mine")
    assert 1 == main(["migrate", str(old)])
    assert "mine" == new.read_text()
    assert 0 == main(["migrate", str(old), "--force"])
    assert "mine" != new.read_text()


@pytest.mark.parametrize(
    ("output", "force", "words"),
    [
        ("old.py", True, "is the old configuration itself: name another file"),
        ("there.py", False, "there.py exists already: name another file (-o), or use --force"),
        ("no/such/folder.py", False, "folder.py can't be written: No such file or directory"),
    ],
)
def test_where_it_is_not_written(tmp_path: Path, output: str, force: bool, words: str) -> None:
    """An error says so, and what to do; the files are as they were."""
    old, there = tmp_path / "old.py", tmp_path / "there.py"
    old.write_text(SLURM)
    there.write_text("mine")
    with pytest.raises(InvalidJobError, match=re.escape(words)):
        migrate(old, str(tmp_path / output), force=force)
    assert (SLURM, "mine") == (old.read_text(), there.read_text())
    assert [old, there] == sorted(tmp_path.iterdir())


def test_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With ``-o -`` the new text is printed, and the report goes to standard error."""
    old = tmp_path / "old.py"
    old.write_text(f"{SLURM}c.SlurmSpawner.req_partition = 'long'\n")
    assert 0 == main(["migrate", str(old), "-o", "-"])
    printed = capsys.readouterr()
    assert 'c.UniSpawner.queue_name = "long"\n' in printed.out
    assert "Please look at these:" not in printed.out
    assert "Please look at these:" in printed.err
    assert [old] == list(tmp_path.iterdir())


def test_an_encoding_is_kept(tmp_path: Path) -> None:
    """The new file has the old one's encoding, which its first lines name."""
    old = tmp_path / "old.py"
    old.write_bytes(f"# coding: latin-1\n{SLURM}c.Spawner.notebook_dir = '~/ü'\n".encode("latin-1"))
    assert 0 == migrate(old)
    text = (tmp_path / "old.unispawner.py").read_bytes().decode("latin-1")
    assert text.startswith("# coding: latin-1\n")
    assert "'~/ü'" in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("raise KeyError('SITE')", "KeyError: 'SITE'"),
        ("c = (", "SyntaxError|was never closed"),
        (b"c = '\xff'", "invalid or missing encoding"),
        (None, "No such file"),
    ],
)
def test_an_old_file_that_cannot_be_read(
    tmp_path: Path, text: str | bytes | None, words: str
) -> None:
    """Whatever it raises is reported, and nothing is written."""
    old = tmp_path / "jupyterhub_config.py"
    if text is not None:
        old.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(InvalidJobError, match=words):
        migrate(old)
    assert [old] * (text is not None) == list(tmp_path.iterdir())
