"""What an administrator runs by hand."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

from unispawner.cli import main

GOOD = """
c.JupyterHub.spawner_class = "unispawner"
c.JupyterHub.hub_ip = "10.1.0.5"
c.UniSpawner.scheduler = "slurm"
c.UniSpawner.cmd = ["/opt/hub/bin/jupyterhub-singleuser"]
c.UniSpawner.queue_name = "interactive"
c.UniSpawner.resources = {"cpu_cores_per_process": 2, "memory": "4G"}
c.UniSpawner.duration = "08:00:00"
c.UniSpawner.prologue = "module load python"
c.UniSpawner.agent_python = "/opt/hub/bin/python3"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "jupyterhub_config.py"
    path.write_text(GOOD)
    return path


def test_sudoers_is_one_line(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing else, so that it can go into a file; with the Python that the Hub will use."""
    arguments = ["doctor", "--sudoers", "-f", str(config), "--hub-account", "hub", "--group", "lab"]
    assert 0 == main(arguments)
    expected = "hub ALL=(%lab) NOPASSWD: /opt/hub/bin/python3 -I -m unispawner.agent\n"
    assert expected == capsys.readouterr().out


def test_render_prints_the_jobs_script(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The settings are in it."""
    assert 0 == main(["render", "-f", str(config)])
    script = capsys.readouterr().out.splitlines()
    assert "#!/bin/bash -l" == script[0]
    wanted = ("--partition=interactive", "--cpus-per-task=2", "--mem=4194304K", "--time=08:00:00")
    assert [] == [line for line in wanted if f"#SBATCH {line}" not in script]
    assert "module load python" in script


def test_render_needs_no_psij(config: Path) -> None:
    """A script can be looked at wherever the package is."""
    code = (
        "import sys; from unispawner.cli import main; main(sys.argv[1:]); "
        "sys.exit('psij' in sys.modules)"
    )
    command = [sys.executable, "-c", code, "render", "-f", str(config)]
    assert 0 == subprocess.run(command, stdout=subprocess.DEVNULL, timeout=60).returncode


@pytest.mark.parametrize(
    ("line", "check", "text"),
    [
        ('c.UniSpawner.queue = "x"', "hub", "c.UniSpawner has no queue"),
        ('c.JupyterHub.spawner_class = "batchspawner.SlurmSpawner"', "hub", "spawner_class"),
        ('c.JupyterHub.hub_ip = "127.0.0.1"', "hub", "can't reach the Hub's API at 127.0.0.1"),
        ('c.UniSpawner.resources = {"memory": "4 gigs"}', "job", "'4 gigs' is no amount of memory"),
        ('c.UniSpawner.resources = {"cores": 4}', "job", "no such field: cores"),
        ('c.UniSpawner.duration = "8:00"', "job", "'8:00' is no length of time"),
        ('c.UniSpawner.custom_attributes = {1: "x"}', "job", "custom_attributes: 1 must be"),
        ('c.UniSpawner.scheduler_environment = {"PATH": "/none"}', "commands", "sbatch, squeue"),
        ('c.UniSpawner.agent_python = "/root/none/python"', "agent_python", "Users can't read"),
    ],
)
def test_doctor_finds_what_is_wrong(
    config: Path, capsys: pytest.CaptureFixture[str], line: str, check: str, text: str
) -> None:
    """Each names the setting; the exit status says so, too."""
    config.write_text(f"{GOOD}\n{line}\n")
    assert 1 == main(["doctor", "-f", str(config)])
    out = capsys.readouterr().out
    (wrong,) = [each for each in out.splitlines() if each.startswith(f"WRONG   {check}:")]
    assert text in wrong


@pytest.mark.parametrize("text", ["c.UniSpawner.status_interval = 'soon'", "this is no python"])
def test_a_broken_configuration_is_told(
    config: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    """With the file's name, and no traceback."""
    config.write_text(text)
    assert 1 == main(["doctor", "-f", str(config)])
    assert f"unispawner: {config}: " in capsys.readouterr().err


def test_the_reference_is_up_to_date() -> None:
    """docs/reference.md and the README's table are what ci/reference writes."""
    top = Path(__file__).parent.parent
    loader = SourceFileLoader("reference", str(top / "ci" / "reference"))
    spec = importlib.util.spec_from_loader("reference", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    for page, made in module.PAGES.items():
        assert made(page.read_text()) == page.read_text(), f"run ci/reference for {page.name}"
