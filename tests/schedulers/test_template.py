"""Sets of templates: what a job becomes in a script, and what answers mean."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from unispawner.errors import InvalidJobError, SchedulerUnavailable
from unispawner.job import JobInfo, JobSpec, JobState, ResourceSpec
from unispawner.schedulers import get_scheduler
from unispawner.schedulers.base import Dialogue, Reply
from unispawner.schedulers.dialect import NAMES, read_dialect
from unispawner.template_script import render_template
from unispawner.testing import read_saved_reply

TOP = Path(__file__).parent.parent.parent
OUTPUTS = TOP / "tests/outputs"
SERVER = ("-I", "-", "--host", "fqdn", "--", "jupyterhub-singleuser", "--a=b c")


def spec(**changes: Any) -> JobSpec:
    return JobSpec(executable="python3", arguments=SERVER, mark="0" * 16, **changes)


def script_of(template: str, job: JobSpec) -> str:
    scheduler = get_scheduler("template", {"template": template})
    scheduler.check_supported(job)
    return render_template(
        job, scheduler, directory="/home/al/x", username="al", homedir="/home/al"
    )


def ask(dialogue: Dialogue[Any], *replies: Reply) -> Any:
    """Hold a dialogue whose commands are answered one after the other."""
    answers = iter(replies)
    try:
        next(dialogue)
        while True:
            dialogue.send(next(answers))
    except StopIteration as stop:
        return stop.value


CORES = ResourceSpec(cpu_cores_per_process=4)
FULL: dict[str, Any] = {
    "resources": ResourceSpec(cpu_cores_per_process=4, memory=4 * 1024**3),
    "duration": timedelta(hours=12),
    "queue_name": "mesabi",
    "prologue": "module load python3",
}


def test_torques_script() -> None:
    """Every field in TORQUE's own writing; what is empty leaves no half of a directive behind."""
    script = script_of("torque", spec(**FULL, custom_attributes={"template.host": "m.xyz.edu"}))
    for line in (
        "#PBS -q mesabi@m.xyz.edu",
        "#PBS -l walltime=12:00:00",
        "#PBS -l nodes=1:ppn=4",
        "#PBS -l mem=4096mb",
        "module load python3",
        "/home/al/x/batchspawner-singleuser jupyterhub-singleuser '--a=b c'",
    ):
        assert line in script.splitlines()
    bare = script_of("torque", spec())
    assert not re.search(r"^#PBS -q|^#PBS -l (mem|walltime)|@|^#PBS *$", bare, re.MULTILINE)
    assert "#PBS -q mesabi\n" in script_of("torque", spec(queue_name="mesabi"))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_dropped(name: str) -> None:
    """What a set's script has no field for is refused, and what it has one for is in the script."""
    scheduler = get_scheduler("template", {"template": name})
    asked = {
        "queue_name": {"queue_name": "mesabi"},
        "account": {"account": "mesabi"},
        "duration": {"duration": timedelta(hours=17)},
        "cpu_cores_per_process": {"resources": ResourceSpec(cpu_cores_per_process=17)},
        "memory": {"resources": ResourceSpec(memory=17 * 1024**2)},
        "gpu_cores_per_process": {"resources": ResourceSpec(gpu_cores_per_process=17)},
        "node_count": {"resources": ResourceSpec(node_count=17)},
    }
    always: dict[str, Any] = {}  # what a script can't do without
    if name in ("htcondor", "pbs"):
        always = {"memory": 2**30, "cpu_cores_per_process": 1}
    duration = {"duration": timedelta(hours=1)} if name == "pbs" else {}
    for field, settings in asked.items():
        resources = settings.get("resources", ResourceSpec())
        filled = ResourceSpec(**{**always, **{k: v for k, v in vars(resources).items() if v}})
        job = spec(**{**duration, **settings, "resources": filled})
        if field in scheduler.supported():
            assert re.search("mesabi|17", script_of(name, job)), field
        else:
            with pytest.raises(InvalidJobError, match=field):
                script_of(name, job)


@pytest.mark.parametrize(
    "value", ["x; rm -rf ~", "$(id)", "a b", "x'y", "{cmd}", "{{cmd}}", "`id`"]
)
@pytest.mark.parametrize("name", ["torque", "slurm"])
def test_a_value_cannot_break_out(name: str, value: str) -> None:
    """A queue of a user's choice is one word of its directive, or it is refused."""
    try:
        script = script_of(name, spec(queue_name=value))
    except InvalidJobError:
        return
    (line,) = [line for line in script.splitlines() if re.match(r"#PBS -q|#SBATCH --part", line)]
    assert "'" in line
    assert value.replace("'", "'\"'\"'") in line
    rest = script.replace(line, "")
    assert "rm -rf" not in rest
    assert "$(id)" not in rest


def test_torques_answers() -> None:
    """One query for all: state, owner and host of each; what is neither is unknown."""
    scheduler = get_scheduler("template", {"template": "torque"})
    jobs = ask(scheduler.query(), read_saved_reply(OUTPUTS / "torque/qstat-x-all"))
    running = {number: info for number, info in jobs.items() if info.state is JobState.RUNNING}
    assert running
    assert {("alice", "torquelab")} == {(one.owner, one.exec_host) for one in running.values()}
    assert JobState.QUEUED in {one.state for one in jobs.values()}


def test_what_is_unknown_and_what_is_gone() -> None:
    """A failure of the query tells nothing; that there is no such job tells that it has ended."""
    scheduler = get_scheduler("template", {"template": "torque"})
    gone = read_saved_reply(OUTPUTS / "torque/qstat-unknown")
    assert {} == ask(scheduler.query(["999999"]), gone)
    down = Reply(("qstat", "-x"), 111, "", "qstat: cannot connect to server torquelab")
    with pytest.raises(SchedulerUnavailable):
        ask(scheduler.query(), down)
    with pytest.raises(SchedulerUnavailable):
        ask(scheduler.query(["1"]), Reply(("qstat", "-x", "1"), 3, "", "an odd word"))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The example of docs/templates.md as an administrator would copy it."""
    text = (TOP / "docs/templates.md").read_text()
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    (script,) = [block for block in blocks if block.startswith("#!/bin/bash")]
    (ini,) = [block for block in blocks if block.startswith("[script]")]
    (tmp_path / "job.sh").write_text(script)
    (tmp_path / "dialect.ini").write_text(ini)
    return tmp_path


def test_the_example_of_the_page(site: Path) -> None:
    """It can be read, makes a script, and reads what its program prints."""
    scheduler = get_scheduler("template", {"template": str(site)})
    script = script_of(str(site), spec(**{**FULL, "resources": CORES}))
    assert "#OAR -l /nodes=1/core=4,walltime=12:00:00" in script.splitlines()
    assert "#OAR --project" not in script
    listing = "12 alice Running node1\n13 bob Waiting -\n14 bob Finishing node2\n"
    jobs: dict[str, JobInfo] = ask(scheduler.query(), Reply(("all-jobs",), 0, listing))
    assert ("alice", JobState.RUNNING, "node1") == (
        jobs["12"].owner,
        jobs["12"].state,
        jobs["12"].exec_host,
    )
    states = [jobs[number].state for number in ("13", "14")]
    assert [JobState.QUEUED, JobState.UNKNOWN] == states


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("{nprocs}", "{nproc}", "nproc"),
        (r"submitted = OAR_JOB_ID=(\d+)", "submitted = OAR", "needs a group"),
        ("running = : Running", "running = (", "no regular expression"),
        ("[patterns]", "[patern]", r"no section \[patern\]"),
        ("not_found =", "notfound =", "has no notfound"),
        ("cancel = oardel {job_id}", "", r"\[commands\] needs cancel"),
        ("file = job.sh", "file = ../job.sh", "own folder"),
    ],
)
def test_a_set_that_is_wrong(site: Path, old: str, new: str, words: str) -> None:
    """The file is named and the text shown."""
    for file in ("job.sh", "dialect.ini"):
        text = (site / file).read_text()
        (site / file).write_text(text.replace(old, new))
    read_dialect.cache_clear()
    with pytest.raises(InvalidJobError, match=words) as raised:
        script_of(str(site), spec(queue_name="x"))
    assert str(site) in str(raised.value)


def test_a_set_that_there_is_not() -> None:
    """The names there are."""
    with pytest.raises(InvalidJobError, match="there are torque, moab, pbs"):
        read_dialect("torqe")
