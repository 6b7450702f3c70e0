"""PBS's and TORQUE's executors, processes of their own as in the agent, with a qsub and a qdel that
are told what to say: OpenPBS's and TORQUE's words (tests/outputs, qsub.c, qdel.c)."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import OUTPUTS

from unispawner.job import JobSpec
from unispawner.schedulers.base import Scheduler
from unispawner.schedulers.pbs import Pbs
from unispawner.schedulers.torque import Torque
from unispawner.script.rendering import render_script
from unispawner.testing import read_saved_reply

MARK = "0123456789abcdef"
SCHEDULERS: dict[str, Scheduler] = {"pbs": Pbs(), "torque": Torque()}

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
    reply = {"error": type(error).__name__, "output": error.output or ""}
print(json.dumps(reply))
"""


@dataclass
class Commands:
    """A directory with a qsub and a qdel that keep what they are given."""

    directory: Path
    name: str

    @property
    def scheduler(self) -> Scheduler:
        return SCHEDULERS[self.name]

    def says(self, name: str, stdout: str = "", stderr: str = "", status: int = 0) -> None:
        said = self.directory / f"{name}.said"
        said.write_text(stdout)
        said.with_suffix(".errors").write_text(stderr)
        command = self.directory / name
        command.write_text(
            f'#!/bin/sh\ncd {self.directory}\nprintf "%s\\n" "$@" >{name}.given\n'
            f'for last; do :; done; cat "$last" >{name}.read 2>/dev/null\n'
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
            input=json.dumps({**request, "scheduler": self.name}),
            capture_output=True,
            text=True,
            timeout=60,
            cwd="/",
            env={**os.environ, "PATH": f"{self.directory}:{os.environ['PATH']}"},
        )
        assert 0 == done.returncode, done.stderr
        return dict(json.loads(done.stdout.splitlines()[-1]))

    def submit(self, spec: JobSpec, shell: str = "/bin/bash -l") -> dict[str, Any]:
        work = self.directory / "work"
        work.mkdir(exist_ok=True)
        return self.call(
            action="submit",
            spec=spec.to_dict(),
            script=render_script(
                spec, self.scheduler, shell=shell, standard_input="print('served')"
            ),
            directory=str(work),
        )

    def cancel(self, job_id: str) -> dict[str, Any]:
        return self.call(action="cancel", job_id=job_id)


@pytest.fixture(params=list(SCHEDULERS))
def commands(request: pytest.FixtureRequest, tmp_path: Path) -> Commands:
    return Commands(tmp_path, request.param)


def spec_in(directory: Path, **fields: Any) -> JobSpec:
    return JobSpec(
        executable=sys.executable,
        arguments=("-I", "-"),
        stdout_path=str(directory / "it's a log"),
        environment={"TOKEN": "topsecret"},
        prologue="echo prologue; echo problem >&2",
        mark=MARK,
        **fields,
    )


def test_a_submission(commands: Commands, tmp_path: Path) -> None:
    """The script as it was rendered, and the shell that starts it; PBS's qsub leaves no process."""
    commands.says("qsub", "1.pbslab\n")
    assert {"job_id": "1.pbslab"} == commands.submit(spec_in(tmp_path))
    *options, path = commands.given("qsub")
    foreground = ["-f"] if commands.name == "pbs" else []  # of TORQUE's, that is something else
    assert [*foreground, "-S", "/bin/bash"] == options
    assert path.startswith(f"{tmp_path}/work/")
    script = commands.read("qsub")
    assert script.startswith("#!/bin/bash -l\n#PBS -N jupyter\n")
    assert f"#PBS -v UNISPAWNER_MARK={MARK}\n" in script
    assert "topsecret" not in script
    assert [] == list((tmp_path / "work").iterdir())


def test_the_job_writes_its_log(commands: Commands, tmp_path: Path) -> None:
    """While it runs, and behind what an earlier run of it has written."""
    commands.says("qsub", "1.pbslab\n")
    commands.submit(spec_in(tmp_path), shell="/bin/sh")
    assert ["-S", "/bin/sh"] == commands.given("qsub")[-3:-1]
    script = tmp_path / "script"
    script.write_text(commands.read("qsub"))
    for _ in range(2):
        done = subprocess.run(["/bin/sh", str(script)], capture_output=True, text=True)
        assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
    log = (tmp_path / "it's a log").read_text()
    assert "prologue\nproblem\nserved\n" * 2 == log


def test_a_shell_of_the_sites_choice(commands: Commands, tmp_path: Path) -> None:
    """An attribute is the last word."""
    commands.says("qsub", "1.pbslab\n")
    attributes = {f"{commands.name}.S": "/opt/bin/bash"}
    commands.submit(spec_in(tmp_path, custom_attributes=attributes))
    assert "-S" not in commands.given("qsub")
    assert "#PBS -S /opt/bin/bash\n" in commands.read("qsub")


@pytest.mark.parametrize("said", ["7\n", "a word of the site's\n7\n\n", "7.a-b.c_d\n"])
def test_ids(commands: Commands, tmp_path: Path, said: str) -> None:
    """With or without a server's name, and whatever a hook prints before."""
    commands.says("qsub", said)
    assert said.split()[-1] == commands.submit(spec_in(tmp_path))["job_id"]


def test_no_id_may_be_a_job(commands: Commands, tmp_path: Path) -> None:
    """It is looked for, not submitted once more."""
    commands.says("qsub", "submitted!\n")
    assert "AgentError" == commands.submit(spec_in(tmp_path))["error"]


@pytest.mark.parametrize(
    ("stderr", "status", "expected"),
    [
        ("qsub: Unknown queue\n", 170, "SubmitError"),
        ("qsub: Unauthorized Request \n", 159, "SubmitError"),
        (
            "Connection refused\nqsub: cannot connect to server pbslab (errno=111)\n",
            1,
            "SchedulerUnavailable",
        ),
    ],
)
def test_a_failed_submission(
    commands: Commands, tmp_path: Path, stderr: str, status: int, expected: str
) -> None:
    """A refusal, in the scheduler's words, or a server that is down."""
    commands.says("qsub", "", stderr, status)
    assert {"error": expected, "output": stderr.strip()} == commands.submit(spec_in(tmp_path))


def test_a_cancellation(commands: Commands) -> None:
    """By the id that qsub gave."""
    commands.says("qdel")
    assert {"done": True} == commands.cancel("1.pbslab")
    assert ["1.pbslab"] == commands.given("qdel")


def test_another_users_job(commands: Commands) -> None:
    """As OpenPBS says it."""
    denied = read_saved_reply(OUTPUTS / "pbs" / "qdel-not-owner")
    commands.says("qdel", denied.stdout, denied.stderr, denied.exit_status)
    expected = {"error": "CancelError", "output": "qdel: Unauthorized Request  1.pbslab"}
    assert expected == commands.cancel("1.pbslab")


@pytest.mark.parametrize(
    ("stderr", "status"),
    [
        ("qdel: Unknown Job Id 1.pbslab\n", 153),
        ("qdel: Job has finished 1.pbslab\n", 35),
        ("qdel: Request invalid for state of job 1.pbslab\n", 168),
        ("qdel: Unknown Job Id Error 1.torquelab\n", 153),
        ("qdel: Request invalid for state of job MSG=invalid state for job - COMPLETE 1.x\n", 170),
    ],
)
def test_a_job_that_is_gone_is_cancelled(commands: Commands, stderr: str, status: int) -> None:
    """It has ended, or is about to."""
    commands.says("qdel", "", stderr, status)
    assert {"done": True} == commands.cancel("1.pbslab")
