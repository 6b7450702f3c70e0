"""An executor in a process of its own, as in the agent, with commands that only print."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.jobs import MARK
from unispawner.job import JobSpec
from unispawner.schedulers import Scheduler
from unispawner.script.rendering import render_script

CODE = """
import json, sys
from importlib import import_module
from pathlib import Path
from unispawner.errors import UniSpawnerError
from unispawner.job import JobSpec
request = json.load(sys.stdin)
name = request["scheduler"]
scheduler = import_module(f"unispawner.schedulers.{name}").SCHEDULER()
executor = import_module(f"unispawner.agent.executors.{name}").Executor(scheduler)
try:
    if request["action"] == "cancel":
        executor.cancel_id(request["job_id"], force=False)
        reply = {"done": True}
    else:
        spec = JobSpec.from_dict(request["spec"])
        directory = Path(request["directory"])
        reply = {"job_id": executor.submit_script(spec, request["script"], directory)}
except UniSpawnerError as error:
    reply = {"error": type(error).__name__, "message": error.message, "output": error.output or ""}
print(json.dumps([reply, sorted(sys.modules)]))
"""


@dataclass
class FakeCommands:
    """A directory with commands that print what a test wants, and keep what they are given."""

    directory: Path

    def write(self, name: str, stdout: str = "", stderr: str = "", status: int = 0) -> None:
        """Write a command that prints these texts and ends with that status."""
        (self.directory / f"{name}.stdout").write_text(stdout)
        (self.directory / f"{name}.stderr").write_text(stderr)
        command = self.directory / name
        command.write_text(
            "#!/bin/sh\nfor last; do :; done\n"
            f'[ ! -f "$last" ] || cp "$last" {self.directory}/{name}.file\n'
            f'cd {self.directory}\nprintf "%s\\n" "$@" >{name}.arguments\ncat >{name}.stdin\n'
            f"cat {name}.stdout\ncat {name}.stderr >&2\nexit {status}\n"
        )
        command.chmod(0o755)

    def arguments(self, name: str) -> list[str]:
        """Return the arguments with which a command was called last."""
        return (self.directory / f"{name}.arguments").read_text().split("\n")[:-1]

    def stdin(self, name: str) -> str:
        """Return what a command has read from standard input."""
        return (self.directory / f"{name}.stdin").read_text()

    def file(self, name: str) -> str:
        """Return the contents of the file that was a command's last argument."""
        return (self.directory / f"{name}.file").read_text()


@dataclass
class ExecutorProcess(FakeCommands):
    """The executor of a scheduler, run with these commands on its PATH."""

    scheduler: Scheduler
    work: Path
    modules: frozenset[str] = frozenset()
    """The modules that the last call has imported."""

    def call(self, environment: Mapping[str, str] | None = None, **request: Any) -> dict[str, Any]:
        """Run the executor; return the job's id, ``done``, or the error."""
        path = f"{self.directory}:{os.environ['PATH']}"
        done = subprocess.run(
            [sys.executable, "-I", "-c", CODE],
            input=json.dumps({**request, "scheduler": self.scheduler.name}),
            capture_output=True,
            text=True,
            timeout=60,
            cwd="/",
            env={"HOME": "/home/ada", "PATH": path, "SECRET": "topsecret", **(environment or {})},
        )
        assert 0 == done.returncode, done.stderr
        reply, modules = json.loads(done.stdout.splitlines()[-1])
        self.modules = frozenset(modules)
        return dict(reply)

    def submit(
        self,
        spec: JobSpec,
        environment: Mapping[str, str] | None = None,
        *,
        shell: str = "/bin/bash -l",
    ) -> dict[str, Any]:
        """Submit a job whose launcher prints "served"."""
        self.work.mkdir(exist_ok=True)
        script = render_script(spec, self.scheduler, shell=shell, standard_input="print('served')")
        return self.call(
            environment,
            action="submit",
            spec=spec.to_dict(),
            script=script,
            directory=str(self.work),
        )

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Cancel a job."""
        return self.call(action="cancel", job_id=job_id)


def spec_in(folder: Path, **fields: Any) -> JobSpec:
    """Return a job that has a secret, and a log in a folder."""
    values: dict[str, Any] = {
        "executable": sys.executable,
        "arguments": ("-I", "-"),
        "stdout_path": str(folder / "it's a $log"),
        "environment": {"TOKEN": "topsecret"},
        "prologue": "echo prologue; echo problem >&2",
        "mark": MARK,
    }
    return JobSpec(**{**values, **fields})
