"""A set of templates as a scheduler: reading its commands' answers.

The answers are real ones (tests/outputs), except Moab's. If they were printed by another command
than the set's own, their values are put into the columns of that command.
"""

import json
import re
from pathlib import Path

import pytest
from support import OUTPUTS
from support.dialogues import hold

from unispawner.errors import SchedulerUnavailable
from unispawner.job import JobState
from unispawner.schedulers.base import Reply
from unispawner.schedulers.slurm import Slurm
from unispawner.schedulers.template import Template
from unispawner.testing import read_saved_reply

INI = """\
[script]
file = job.sh

[commands]
submit = submit
query = query {job_id}
cancel = cancel {job_id}

[patterns]
owner = ^owner=(\\S+)
running = RUN
unknown = busy
not_found = no such
"""


@pytest.fixture
def folder(empty_folder: Path) -> Path:
    """Return a set without a command for the jobs of all users."""
    (empty_folder / "dialect.ini").write_text(INI)
    (empty_folder / "job.sh").write_text("{cmd}\n")
    return empty_folder


# -- everybody's jobs -----------------------------------------------------------------------------


def saved(name: str) -> Reply:
    return read_saved_reply(OUTPUTS / name)


def of_slurm(name: str = "slurm/squeue-all") -> str:
    rows = [row.split("|") for row in saved(name).stdout.splitlines()]
    return "".join(f"{row[0]} {row[1]} {row[2]} {row[4]}\n" for row in rows)


def of_htcondor() -> str:
    jobs = json.loads(saved("htcondor/condor_q-by-ids").stdout)
    keys = ("ClusterId", "Owner", "JobStatus", "RemoteHost")
    return "".join(" ".join(str(job.get(key, "undefined")) for key in keys) + "\n" for job in jobs)


def of_lsf() -> str:
    rows = [row.split() for row in saved("openlava/bjobs-a-w-all-users").stdout.splitlines()[1:]]
    return "".join(f"{row[0]:8}{row[1]:8}{row[2]:6}{row[5]}\n" for row in rows)


def of_pbs() -> str:
    """Return attributes as ``qstat -f -F dsv`` prints them, one after the other."""
    names = ("pbs/qstat-fx-running", "pbs/qstat-fx-pending")
    jobs = [saved(name).stdout.strip().split("\n    ") for name in names]
    return "".join("|".join(line.replace(" = ", "=") for line in job) + "\n" for job in jobs)


RUNNING, WAITING = JobState.RUNNING, JobState.QUEUED
SEEN: dict[str, tuple[str, dict[str, tuple[JobState, str]]]] = {
    "torque": (
        saved("torque/qstat-x-all").stdout,
        {"2": (RUNNING, "torquelab"), "11": (WAITING, "")},
    ),
    "pbs": (of_pbs(), {"1.pbslab": (RUNNING, "pbslab"), "10.pbslab": (WAITING, "")}),
    "slurm": (of_slurm(), {"135": (WAITING, ""), "137": (RUNNING, "node3")}),
    "gridengine": (
        saved("gridengine/qstat-xml-all-users").stdout,
        {"30": (RUNNING, "sgenode1")},
    ),
    "htcondor": (
        of_htcondor(),
        {"1": (RUNNING, "condor2.cluster.example"), "5": (JobState.HELD, "")},
    ),
    "lsf": (
        of_lsf(),
        {"104": (RUNNING, "vm"), "111": (WAITING, ""), "1": (JobState.COMPLETED, "")},
    ),
}


@pytest.mark.parametrize("name", SEEN)
def test_everybodys_jobs(name: str) -> None:
    """One answer has each job's owner and state and, if it runs, its host."""
    text, expected = SEEN[name]
    jobs = Template(template=name).read_status(Reply(("list",), 0, text))
    found = {job_id: (jobs[job_id].state, jobs[job_id].exec_host) for job_id in expected}
    assert expected == found
    assert {"alice"} == {jobs[job_id].owner for job_id in expected}


@pytest.mark.parametrize("name", ["slurm", "htcondor", "lsf", "gridengine"])
def test_nobody_has_a_job(name: str) -> None:
    """An empty list is an answer: jobs that were in an earlier one are gone."""
    text = saved("gridengine/qstat-xml-none").stdout if name == "gridengine" else ""
    assert {} == Template(template=name).read_status(Reply(("list",), 0, text))


def test_half_an_answer_is_an_error() -> None:
    """A cut-off answer of Grid Engine or TORQUE is an error: it would lose jobs."""
    for name in ("gridengine", "torque"):
        text = SEEN[name][0].strip()
        with pytest.raises(SchedulerUnavailable):
            Template(template=name).read_status(Reply(("list",), 0, text[: len(text) // 2]))


def test_a_job_that_comes_twice_does_not_count() -> None:
    """If a job comes twice, because a name with a line break forged a row, neither row counts."""
    reply = Reply(("squeue",), 0, "7 ada RUNNING node1\n7 eve RUNNING node2\n8 ada PENDING n/a\n")
    assert ["8"] == list(Template(template="slurm").read_status(reply))


def test_slurm_tells_what_has_ended() -> None:
    """Slurm's list has jobs that have ended, in whatever way. Otherwise a job that ends before it
    is seen for the first time would count as one that is not in the list yet.
    """
    slurm = Template(template="slurm")
    assert ("-t", "all") == tuple(slurm.status_command()[3:5])
    jobs = slurm.read_status(Reply(("list",), 0, of_slurm("slurm/squeue-after-cancel")))
    assert (JobState.FAILED, "alice") == (jobs["141"].state, jobs["141"].owner)
    assert JobState.RUNNING == jobs["17"].state  # COMPLETING: its processes are still there
    words = [word for word, state in Slurm.states.items() if state.final]
    rows = "".join(f"{number} ada {word} node1\n" for number, word in enumerate(words))
    found = slurm.read_status(Reply(("list",), 0, rows))
    failed = {word for word in words if Slurm.states[word] is JobState.FAILED}
    assert {word: word in failed for word in words} == {
        word: found[str(number)].state is JobState.FAILED for number, word in enumerate(words)
    }
    assert all(info.state.final for info in found.values())


def test_grid_engines_error_state_is_stuck() -> None:
    """A job in the state Eqw is stuck until an administrator corrects it."""
    jobs = Template(template="gridengine").read_status(saved("gridengine/qstat-xml-states"))
    stuck = [job for job in jobs.values() if job.stuck]
    assert stuck
    assert {JobState.HELD} == {job.state for job in stuck}


# -- one job --------------------------------------------------------------------------------------


def moab(state: str) -> Reply:
    """Return XML as in Moab's manual for mdiag -j --xml."""
    text = f'<Data><job AllocNodeList="node7:1" JobID="9" State="{state}" User="ada"></job></Data>'
    return Reply(("mdiag",), 0, text)


@pytest.mark.parametrize(
    ("name", "reply", "state", "host"),
    [
        ("torque", saved("torque/qstat-x-one-pending"), WAITING, ""),
        ("torque", saved("torque/qstat-x-one-running"), RUNNING, "torquelab"),
        ("torque", saved("torque/qstat-x-finished"), JobState.COMPLETED, ""),
        ("pbs", saved("pbs/qstat-fx-pending"), WAITING, ""),
        ("pbs", saved("pbs/qstat-fx-running"), RUNNING, "pbslab"),
        ("slurm", Reply(("squeue",), 0, "RUNNING node3\n"), RUNNING, "node3"),
        ("htcondor", Reply(("condor_q",), 0, "2, slot1_1@condor2 \n"), RUNNING, "condor2"),
        ("lsf", Reply(("bjobs",), 0, "RUN        4*node1:node2\n"), RUNNING, "node1"),
        ("moab", moab("Idle"), WAITING, ""),
        ("moab", moab("Running"), RUNNING, "node7"),
        ("moab", moab("UserHold"), JobState.HELD, ""),
        ("moab", moab("Completed"), JobState.COMPLETED, ""),
        ("moab", moab("Migrated"), JobState.UNKNOWN, ""),
    ],
)
def test_one_job(name: str, reply: Reply, state: JobState, host: str) -> None:
    """A word that no pattern matches means UNKNOWN, so that no server is lost."""
    info = Template(template=name).read_job(reply)
    assert info is not None
    assert (state, host) == (info.state, info.exec_host)
    assert ("ada" if name == "moab" else "") == info.owner


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("torque", saved("torque/qstat-unknown")),
        ("pbs", saved("pbs/qstat-unknown")),
        ("slurm", saved("slurm/squeue-unknown")),
        ("lsf", saved("openlava/bjobs-unknown")),
        ("htcondor", saved("htcondor/condor_q-unknown")),
    ],
)
def test_a_job_that_is_gone(name: str, reply: Reply) -> None:
    """A job has ended only if the scheduler says that it knows no such job; HTCondor prints
    nothing.
    """
    assert Template(template=name).read_job(reply) is None


@pytest.mark.parametrize("stderr", ["Segmentation fault", "slurm_load_jobs error: Unexpected"])
def test_a_failure_is_not_the_jobs_end(stderr: str) -> None:
    """A failure that no pattern matches is an error, and so changes nothing."""
    with pytest.raises(SchedulerUnavailable, match=re.escape(stderr)):
        Template(template="slurm").read_job(Reply(("squeue",), 1, "", stderr))
    with pytest.raises(SchedulerUnavailable):
        Template(template="slurm").read_job(saved("slurm/squeue-ctld-down"))


# -- whose word counts ----------------------------------------------------------------------------


def test_one_query_for_all() -> None:
    """A set with a list asks for it once for all jobs, whose ids may have a server's name.

    TORQUE's ids are "2.server" at submission and "2" in the list.
    """
    answer = saved("torque/qstat-x-all")
    dialogue = Template(template="torque").query_tracked(["2.torquelab", "11.torquelab", "999.x"])
    jobs, commands = hold(dialogue, answer)
    assert [["qstat", "-x"]] == commands
    assert (RUNNING, WAITING) == (jobs["2.torquelab"].state, jobs["11.torquelab"].state)
    assert "999.x" not in jobs


def test_a_set_without_a_list(folder: Path) -> None:
    """A set without a list asks for each job; a job without an owner or an answer is left out."""
    dialogue = Template(template=str(folder)).query_tracked(["1", "2", "3", "4"])
    answers = [
        ("owner=ada RUN\n", "", 0),
        ("", "no such job", 1),
        ("", "what?", 1),
        ("RUN\n", "", 0),
    ]
    replies = [Reply(("query",), status, out, err) for out, err, status in answers]
    jobs, commands = hold(dialogue, *replies)
    assert [["query", one] for one in "1234"] == commands
    assert {"1": ("ada", RUNNING)} == {name: (job.owner, job.state) for name, job in jobs.items()}


def test_a_scheduler_that_is_away(folder: Path) -> None:
    """If the scheduler is down, no further job is asked for, because each would take as long."""
    dialogue = Template(template=str(folder)).query_tracked(["1", "2"])
    with pytest.raises(SchedulerUnavailable, match="busy"):
        hold(dialogue, Reply(("query",), 1, "", "I am busy"))
