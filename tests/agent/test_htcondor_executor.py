"""HTCondor's executor, a process of its own as in the agent, with a condor_submit and a condor_rm
that are told what to say: HTCondor's real words (tests/outputs/htcondor)."""

import json
import os
import stat
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import support

from unispawner.job import JobSpec, ResourceSpec
from unispawner.schedulers.htcondor import HTCondor
from unispawner.script.rendering import render_script
from unispawner.testing import read_saved_reply

OUTPUTS = support.OUTPUTS / "htcondor"
MARK = "0123456789abcdef"
SUBMITTED = read_saved_reply(OUTPUTS / "condor_submit-terse").stdout

CODE = """
import json, sys
from pathlib import Path
from unispawner.agent.executors.htcondor import Executor
from unispawner.errors import UniSpawnerError
from unispawner.job import JobSpec
from unispawner.schedulers.htcondor import HTCondor
request = json.load(sys.stdin)
executor = Executor(HTCondor())
try:
    if request["action"] == "cancel":
        executor.cancel_id(request["job_id"], force=False)
        reply = {"done": True}
    else:
        spec = JobSpec.from_dict(request["spec"])
        directory = Path(request["directory"])
        reply = {"job_id": executor.submit_script(spec, request["script"], directory)}
except UniSpawnerError as error:
    reply = {"error": type(error).__name__, "output": error.output or "", "message": str(error)}
reply["psij"] = sorted(name for name in sys.modules if name.endswith("psij_htcondor"))
reply["jupyterhub"] = any(name.partition(".")[0] == "jupyterhub" for name in sys.modules)
print(json.dumps(reply))
"""


@dataclass
class Commands:
    """A directory with a condor_submit and a condor_rm that keep what they are given."""

    directory: Path

    @property
    def work(self) -> Path:
        """With a name that a submit description has to be careful with."""
        return self.directory / "it's $work"

    def says(self, name: str, stdout: str = "", stderr: str = "", status: int = 0) -> None:
        said = self.directory / f"{name}.said"
        said.write_text(stdout)
        said.with_suffix(".errors").write_text(stderr)
        command = self.directory / name
        command.write_text(
            f'#!/bin/sh\nfor last; do :; done\ncp "$last" {self.directory}/{name}.read 2>&-\n'
            f'cd {self.directory}\nprintf "%s\\n" "$@" >{name}.given\ncat >{name}.stdin\n'
            f"cat {name}.said\ncat {name}.errors >&2\nexit {status}\n"
        )
        command.chmod(0o755)

    def given(self, name: str) -> list[str]:
        return (self.directory / f"{name}.given").read_text().split("\n")[:-1]

    def description(self) -> list[str]:
        return (self.directory / "condor_submit.read").read_text().splitlines()

    def call(self, environment: dict[str, str] | None = None, **request: Any) -> dict[str, Any]:
        path = f"{self.directory}:{os.environ['PATH']}"
        done = subprocess.run(
            [sys.executable, "-I", "-c", CODE],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=60,
            cwd="/",
            env={"HOME": "/home/ada", "PATH": path, "SECRET": "topsecret", **(environment or {})},
        )
        assert 0 == done.returncode, done.stderr
        return dict(json.loads(done.stdout.splitlines()[-1]))

    def submit(self, spec: JobSpec, environment: dict[str, str] | None = None) -> dict[str, Any]:
        self.work.mkdir(exist_ok=True)
        return self.call(
            environment,
            action="submit",
            spec=spec.to_dict(),
            script=render_script(spec, HTCondor(), standard_input="print('served')"),
            directory=str(self.work),
        )


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path)


def spec_in(directory: Path) -> JobSpec:
    return JobSpec(
        executable=sys.executable,
        arguments=("-I", "-"),
        directory=str(directory),
        stdout_path=str(directory / "it's a $log"),
        environment={"TOKEN": "topsecret"},
        resources=ResourceSpec(cpu_cores_per_process=2),
        custom_attributes={"htcondor.+Department": "physics"},
        prologue="echo prologue",
        mark=MARK,
    )


def reads(value: str) -> dict[str, str]:
    """The variables that condor_submit takes from a value of environment's (condor_submit(1)).

    The whole in double quotes, of which one in it is two; blanks part variables, but not in single
    quotes, of which one in it is two; macros are expanded before all that.
    """
    assert "$" not in value.replace("$(DOLLAR)", "")
    value = value.replace("$(DOLLAR)", "$")
    assert value.startswith('"') and value.endswith('"')
    inner = value[1:-1]
    assert '"' not in inner.replace('""', "")
    words: list[str] = []
    text, word, quoted, at = inner.replace('""', '"'), "", False, 0
    while at < len(text):
        if text[at] == "'" and quoted and text[at : at + 2] == "''":
            word, at = word + "'", at + 1
        elif text[at] == "'":
            quoted = not quoted
        elif text[at] == " " and not quoted:
            words, word = [*words, word], ""
        else:
            word += text[at]
        at += 1
    assert not quoted
    return dict(one.split("=", 1) for one in [*words, word])


def test_the_submit_description(commands: Commands, tmp_path: Path) -> None:
    """The scheduler's lines, what to run, a login's variables; gone when it has been read."""
    commands.says("condor_submit", SUBMITTED)
    spec = spec_in(tmp_path)
    assert "1" == commands.submit(spec)["job_id"]
    option, path = commands.given("condor_submit")
    assert "-terse" == option
    assert not Path(path).exists()
    lines = commands.description()
    expected = HTCondor().directives(spec)
    assert expected == lines[: len(expected)]
    script = str(commands.work / "script").replace("$", "$(DOLLAR)")
    executable, environment, queue = lines[len(expected) :]
    assert (f"executable = {script}", "queue") == (executable, queue)
    assert environment.startswith("environment = ")
    assert "topsecret" not in "\n".join(lines)


def test_the_script_stays(commands: Commands, tmp_path: Path) -> None:
    """HTCondor runs it where it is, maybe more than once; it is its user's only."""
    commands.says("condor_submit", SUBMITTED)
    spec = spec_in(tmp_path)
    commands.submit(spec)
    (script,) = commands.work.iterdir()
    assert ("script", 0o700) == (script.name, stat.S_IMODE(script.stat().st_mode))
    assert "topsecret" not in script.read_text()
    for _ in range(2):
        done = subprocess.run([script], capture_output=True, text=True, timeout=60)
        assert (0, "") == (done.returncode, done.stdout), done.stderr
    assert "prologue\nserved\n" * 2 == Path(spec.stdout_path).read_text()


@pytest.mark.parametrize(
    "value",
    [
        "/home/ada",
        "/home/a b",
        "it's",
        "''",
        'say "hi"',
        '"',
        "$HOME $(X) $$(Y)",
        "a=b c=d",
        "back\\slash\\",
        "ünï; `id` #x",
        "",
        " lead and trail ",
    ],
)
def test_a_logins_variables(commands: Commands, tmp_path: Path, value: str) -> None:
    """Whatever is in them; and nothing else of the agent's environment."""
    commands.says("condor_submit", SUBMITTED)
    path = f"{tmp_path}:{value}:/usr/bin:/bin"
    more = {"HOME": value, "PATH": path, "LANG": "C.UTF-8", "LD_X": "x", "PYTHONPATH": "x"}
    assert "1" == commands.submit(spec_in(tmp_path), more)["job_id"]
    line = commands.description()[-2]
    variables = reads(line.removeprefix("environment = "))
    assert {"HOME": value, "PATH": path, "LANG": "C.UTF-8"} == variables


def test_a_variable_that_cannot_be_written(commands: Commands, tmp_path: Path) -> None:
    """A line break would begin a command of the submit description."""
    commands.says("condor_submit", SUBMITTED)
    reply = commands.submit(spec_in(tmp_path), {"HOME": "/home/ada\nqueue 100"})
    assert "InvalidJobError" == reply["error"]
    assert "HOME contains a line break" in reply["message"]
    assert not (tmp_path / "condor_submit.given").exists()


def test_a_directory_that_cannot_be_written(commands: Commands, tmp_path: Path) -> None:
    """Nothing is submitted, and no description is left."""
    commands.says("condor_submit", SUBMITTED)
    spec = replace(spec_in(tmp_path), directory="/home/ada/end\\")
    assert "InvalidJobError" == commands.submit(spec)["error"]
    assert not (tmp_path / "condor_submit.given").exists()
    assert ["script"] == [path.name for path in commands.work.iterdir()]


@pytest.mark.parametrize(
    ("stdout", "stderr", "expected"),
    [
        (SUBMITTED, "", "1"),
        ("33.0 - 33.0\n", "", "33"),
        ("1234567890.0 - 1234567890.0", "", "1234567890"),
        ("site: memory set to 1 GB\n7.0 - 7.0\n", "", "7"),
        ("35.0 - 35.0\n", read_saved_reply(OUTPUTS / "condor_submit-unused-line").stderr, "35"),
    ],
)
def test_job_ids(
    commands: Commands, tmp_path: Path, stdout: str, stderr: str, expected: str
) -> None:
    """The cluster's number, whatever is printed around it."""
    commands.says("condor_submit", stdout, stderr)
    assert expected == commands.submit(spec_in(tmp_path))["job_id"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bad-requirements", "SubmitError"),
        ("bad-initialdir", "SubmitError"),
        ("missing-executable", "SubmitError"),
        ("root", "SubmitError"),
        ("service-user", "SubmitError"),
        ("schedd-down", "SchedulerUnavailable"),
        ("schedd-killed", "SchedulerUnavailable"),
    ],
)
def test_submissions_that_fail(
    commands: Commands, tmp_path: Path, name: str, expected: str
) -> None:
    """A refusal and a schedd that is down are told apart, in condor_submit's own words."""
    saved = read_saved_reply(OUTPUTS / f"condor_submit-{name}")
    commands.says("condor_submit", saved.stdout, saved.stderr, saved.exit_status)
    reply = commands.submit(spec_in(tmp_path))
    assert expected == reply["error"]
    assert saved.text.strip() == reply["output"].strip()


@pytest.mark.parametrize("text", ["", "hello\n", "Submitting job(s).\n"])
def test_an_answer_without_an_id(commands: Commands, tmp_path: Path, text: str) -> None:
    """There may well be a job: it is looked for by its mark."""
    commands.says("condor_submit", text)
    assert "AgentError" == commands.submit(spec_in(tmp_path))["error"]


@pytest.mark.parametrize(
    ("stderr", "expected"),
    [
        (None, None),
        (read_saved_reply(OUTPUTS / "condor_rm-finished").stderr, None),
        (read_saved_reply(OUTPUTS / "condor_rm-twice").stderr, None),
        (read_saved_reply(OUTPUTS / "condor_rm-service-user").stderr, "CancelError"),
        ("\nPermission denied to remove job 78.0\n", "CancelError"),
        ("\nCouldn't find/remove all jobs in cluster 78\n", "CancelError"),
        (read_saved_reply(OUTPUTS / "condor_rm-schedd-down").stderr, "SchedulerUnavailable"),
        (read_saved_reply(OUTPUTS / "condor_rm-schedd-hangs").stderr, "SchedulerUnavailable"),
        (read_saved_reply(OUTPUTS / "condor_rm-schedd-killed").stderr, "SchedulerUnavailable"),
    ],
)
def test_cancellations(commands: Commands, stderr: str | None, expected: str | None) -> None:
    """A job that is gone is no error, another user's is one. It is named by its process, for of a
    cluster condor_rm does not tell which it is."""
    said = read_saved_reply(OUTPUTS / "condor_rm").stdout
    commands.says("condor_rm", "" if stderr else said, stderr or "", 1 if stderr else 0)
    reply = commands.call(action="cancel", job_id="25")
    assert expected == reply.get("error")
    assert ["25.0"] == commands.given("condor_rm")


def test_what_the_agent_loads(commands: Commands, tmp_path: Path) -> None:
    """PSI/J loads the executor once more, by its path and not as a module; never JupyterHub."""
    commands.says("condor_submit", SUBMITTED)
    reply = commands.submit(spec_in(tmp_path))
    assert ["unispawner.agent.executors.psij_htcondor"] == reply["psij"]
    assert reply["jupyterhub"] is False
