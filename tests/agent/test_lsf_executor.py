"""LSF's executor, a process of its own as in the agent, with a bsub and a bkill that are told what
to say: OpenLava's real words (tests/outputs/openlava), and IBM's (bsub(1), bkill(1))."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import support

from unispawner.job import JobSpec
from unispawner.schedulers.lsf import Lsf
from unispawner.script.rendering import render_script
from unispawner.testing import read_saved_reply

OUTPUTS = support.OUTPUTS / "openlava"
MARK = "0123456789abcdef"
SUBMITTED = read_saved_reply(OUTPUTS / "bsub").stdout

CODE = """
import json, sys
from pathlib import Path
from unispawner.agent.executors.lsf import Executor
from unispawner.errors import UniSpawnerError
from unispawner.job import JobSpec
from unispawner.schedulers.lsf import Lsf
request = json.load(sys.stdin)
executor = Executor(Lsf())
try:
    if request["action"] == "cancel":
        executor.cancel_id(request["job_id"], force=False)
        reply = {"done": True}
    else:
        spec = JobSpec.from_dict(request["spec"])
        directory = Path(request["directory"])
        reply = {"job_id": executor.submit_script(spec, request["script"], directory)}
except UniSpawnerError as error:
    reply = {"error": type(error).__name__, "output": error.output or ""}
print(json.dumps(reply))
"""


@dataclass
class Commands:
    """A directory with a bsub and a bkill that keep what they are given."""

    directory: Path

    def says(self, name: str, stdout: str = "", stderr: str = "", status: int = 0) -> None:
        said = self.directory / f"{name}.said"
        said.write_text(stdout)
        said.with_suffix(".errors").write_text(stderr)
        command = self.directory / name
        command.write_text(
            f'#!/bin/sh\ncd {self.directory}\nprintf "%s\\n" "$@" >{name}.given\ncat >{name}.read\n'
            f"cat {name}.said\ncat {name}.errors >&2\nexit {status}\n"
        )
        command.chmod(0o755)

    def given(self, name: str) -> list[str]:
        return (self.directory / f"{name}.given").read_text().split("\n")[:-1]

    def read(self, name: str) -> str:
        return (self.directory / f"{name}.read").read_text()

    def call(self, **request: Any) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-I", "-c", CODE],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=60,
            cwd="/",
            env={**os.environ, "PATH": f"{self.directory}:{os.environ['PATH']}"},
        )
        assert 0 == done.returncode, done.stderr
        return dict(json.loads(done.stdout.splitlines()[-1]))

    def submit(self, spec: JobSpec) -> dict[str, Any]:
        work = self.directory / "work"
        work.mkdir(exist_ok=True)
        return self.call(
            action="submit",
            spec=spec.to_dict(),
            script=render_script(spec, Lsf(), standard_input="print('served')"),
            directory=str(work),
        )


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path)


def spec_in(directory: Path) -> JobSpec:
    return JobSpec(
        executable=sys.executable,
        arguments=("-I", "-"),
        stdout_path=str(directory / "it's a log"),
        environment={"TOKEN": "topsecret"},
        prologue="echo prologue; echo problem >&2",
        mark=MARK,
    )


def test_the_script_is_bsubs_standard_input(commands: Commands, tmp_path: Path) -> None:
    """bsub reads no file: its arguments would be the job's command. Nothing of ours is left."""
    commands.says("bsub", SUBMITTED)
    assert {"job_id": "116"} == commands.submit(spec_in(tmp_path))
    assert [""] == commands.given("bsub")
    script = commands.read("bsub")
    assert script.startswith(f"#!/bin/bash -l\n# unispawner:{MARK}\n#BSUB -J jupyter\n")
    assert "topsecret" not in script
    assert [] == list((tmp_path / "work").iterdir())


def test_the_job_writes_its_log(commands: Commands, tmp_path: Path) -> None:
    """Run as LSF runs it, as a command with its output elsewhere: both streams are in the log,
    in order, and a second run adds to it."""
    commands.says("bsub", SUBMITTED)
    spec = spec_in(tmp_path)
    commands.submit(spec)
    script = tmp_path / "script"
    script.write_text(commands.read("bsub"))
    script.chmod(0o755)
    for _ in range(2):
        done = subprocess.run([script], capture_output=True, text=True, timeout=60)
        assert (0, "") == (done.returncode, done.stdout), done.stderr
    expected = ["prologue", "problem", "served"]
    assert expected * 2 == Path(spec.stdout_path).read_text().splitlines()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SUBMITTED, "116"),
        ("Job <7> is submitted to queue <gpu>.\n", "7"),
        (
            "esub: memory set to 1 GB\nJob <7> is submitted to queue <gpu>.\nProject <12> noted\n",
            "7",
        ),
        ("作业 Job <7> 已提交\n", "7"),
    ],
)
def test_job_ids(commands: Commands, tmp_path: Path, text: str, expected: str) -> None:
    """Whatever a site's esub prints around it."""
    commands.says("bsub", text)
    assert {"job_id": expected} == commands.submit(spec_in(tmp_path))


@pytest.mark.parametrize(
    ("stdout", "stderr", "status", "expected"),
    [
        ("", "gold: No such queue. Job not submitted.\n", 255, "SubmitError"),
        ("", "Request aborted by esub. Job not submitted.\n", 255, "SubmitError"),
        (
            "",
            "Failed in an LSF library call: LIM is down; try later.\n",
            255,
            "SchedulerUnavailable",
        ),
        ("hello\n", "", 0, "AgentError"),
    ],
)
def test_submissions_that_fail(
    commands: Commands, tmp_path: Path, stdout: str, stderr: str, status: int, expected: str
) -> None:
    """A refusal, a cluster that is down, and an answer without an id are told apart."""
    commands.says("bsub", stdout, stderr, status)
    reply = commands.submit(spec_in(tmp_path))
    assert expected == reply["error"]
    assert (stderr or stdout).strip() == reply["output"].strip()


@pytest.mark.parametrize(
    ("stderr", "status", "expected"),
    [
        ("", 0, None),
        ("Job <116>: Job has already finished\n", 255, None),
        ("Job <116>: No matching job found\n", 255, None),
        ("Job <116>: User permission denied\n", 255, "CancelError"),
        ("LSF is down. Please wait ...\n", 255, "SchedulerUnavailable"),
    ],
)
def test_cancellations(commands: Commands, stderr: str, status: int, expected: str | None) -> None:
    """A job that is gone is no error; another user's is one."""
    commands.says("bkill", "" if status else "Job <116> is being terminated\n", stderr, status)
    reply = commands.call(action="cancel", job_id="116")
    assert expected == reply.get("error")
    assert ["116"] == commands.given("bkill")
