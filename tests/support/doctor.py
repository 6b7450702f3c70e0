"""``unispawner doctor`` for tests, and configurations that it finds right."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from unispawner.admin.cli import main

API = f"all addresses; the nodes use the name {socket.gethostname()}"
"""Where the configurations below have the Hub's API, as doctor writes it."""
PROGRAMS = ("sudo", "qsub", "qstat", "qdel", "sbatch", "squeue", "scancel", "ssh")
TORQUE = """
c.JupyterHub.spawner_class = "unispawner.TorqueSpawner"
c.JupyterHub.hub_ip = "0.0.0.0"
c.BatchSpawnerBase.req_queue = "interactive"
c.BatchSpawnerBase.agent_python = "/bin/sh"
"""
PROFILES = """
import unispawner
c.JupyterHub.template_paths = [unispawner.template_path]
c.JupyterHub.spawner_class = "unispawner-profiles"
c.JupyterHub.hub_ip = "0.0.0.0"
c.BatchSpawnerBase.agent_python = c.UniSpawner.agent_python = "/bin/sh"
c.UniSpawner.run_as = "sudo"
c.UniSpawner.scheduler = "local"
c.ProfilesSpawner.profiles = [
    ("On the Hub", "hub", "jupyterhub.spawner.LocalProcessSpawner", {"ip": "0.0.0.0"}),
    ("Small", "small", "unispawner.TorqueSpawner", {"req_nprocs": "1"}),
    ("Large", "large", "unispawner.TorqueSpawner", {"req_nprocs": "12"}),
    {
        "display_name": "New",
        "options": {
            "conda": {
                "choices": {"yes": {"display_name": "Yes", "override": {"prologue": "load conda"}}}
            }
        },
    },
]
"""


class Doctor:
    """Runs ``unispawner doctor`` with a configuration, on a host whose programs are in a folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.programs = folder / "bin"
        self.programs.mkdir()
        for name in PROGRAMS:
            self.program(name)
        self.config = folder / "jupyterhub_config.py"
        self.capsys = capsys

    def program(self, name: str) -> None:
        (self.programs / name).write_text("#!/bin/sh\n")
        (self.programs / name).chmod(0o755)

    def __call__(self, config: str, *arguments: str) -> tuple[int, list[str]]:
        """Return its exit status and its lines."""
        self.config.write_text(f"{config}\n")
        status = main(["doctor", "-f", str(self.config), *arguments])
        return status, self.capsys.readouterr().out.splitlines()

    def wrong(self, config: str, *arguments: str) -> str:
        """Return the only line that reports something wrong."""
        status, lines = self(config, *arguments)
        assert 1 == status
        (line,) = [line for line in lines if line.startswith("WRONG")]
        return line
