"""What a job has used, from what the accounting of real schedulers printed to the job's user.

Slurm 22.05 (jobacct_gather/linux), Son of Grid Engine 8.1.9 and HTCondor 23.9 ran a program that
used 300 MiB. The answers of OpenPBS and TORQUE are of real jobs, too. Nobody here has LSF or Slurm
with counted GPUs: their texts are written by hand, from IBM's manual page of bjobs (10.1) and from
Slurm's of sacct (TRESUsageInTot, gres/gpuutil and gres/gpumem).
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import support
from hypothesis import given
from hypothesis import strategies as st
from support.dialogues import Answer, hold

from unispawner.errors import SchedulerUnavailable
from unispawner.job import JobInfo, JobState
from unispawner.schedulers import NAMES, get_scheduler, plain, slurm_usage
from unispawner.schedulers.base import Reply, Scheduler
from unispawner.schedulers.gridengine import GridEngine
from unispawner.schedulers.htcondor import HTCondor
from unispawner.schedulers.lsf import Lsf
from unispawner.schedulers.pbs import Pbs
from unispawner.schedulers.slurm import Slurm
from unispawner.schedulers.torque import Torque
from unispawner.schedulers.usage import (
    NO_ACCOUNTING,
    NOT_YET,
    Accounting,
    EndedJob,
    Usage,
    clean,
    read_size,
)
from unispawner.testing import read_saved_reply

MIB = 1024**2


def saved(scheduler: str, name: str) -> Reply:
    return read_saved_reply(support.OUTPUTS / scheduler / name)


def ask(scheduler: Scheduler, job: EndedJob, *answers: Answer) -> Accounting:
    return hold(scheduler.usage(job), *answers)[0]


def used(scheduler: Scheduler, job: EndedJob, *answers: Answer) -> Usage:
    """Return what a job has used, as numbers that people compare."""
    found = ask(scheduler, job, *answers).usage
    assert found is not None
    return replace(found, memory=found.memory and found.memory // MIB)


# -- which job it is ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owner", "started", "expected"),
    [
        ("alice", 1010, True),
        ("alice", 1007, True),
        ("bob", 1010, False),
        ("alice", None, False),
        ("alice", 900, False),
        ("alice", 5000, False),
    ],
)
def test_a_record_of_another_job(owner: str, started: float | None, expected: bool) -> None:
    """A record counts if its owner is right and its run began when ours did, or later, but before
    ours had ended: an id may be another job's."""
    job = EndedJob("7", "alice", submitted=1000, ended=2000, started=1010)
    assert expected is job.is_run(owner, started)


def test_a_job_whose_start_is_not_known() -> None:
    """Without a start, the record's run must have begun between submission and end, as far as two
    clocks agree."""
    job = EndedJob("7", "alice", submitted=1000, ended=2000)
    assert [False, True, True, False] == [
        job.is_run("alice", one) for one in (600, 800, 2200, 2400)
    ]


def test_numbers_that_a_user_invents() -> None:
    """What no job can have used, and an unknown cause, is left out."""
    wrong = Usage(float("nan"), -1.0, 2**60, float("inf"), 0, "<b>because</b>")
    assert Usage() == clean(wrong)


# -- Slurm --------------------------------------------------------------------------------------

ONE = EndedJob("1", "alice", "abc", 1795806039, 1795806055, 1795806040)


def test_slurm() -> None:
    """Time and processor time are the job's, memory is that of its steps; sacct prints all users'
    jobs."""
    expected = Usage(seconds=13, cpu_seconds=3.135, memory=310)
    assert expected == used(Slurm(), ONE, saved("slurm", "sacct-usage"))
    assert NOT_YET == ask(Slurm(), replace(ONE, owner="bob"), saved("slurm", "sacct-usage"))


def test_the_command_of_slurm() -> None:
    """The command is what the saved answers are of, and names the cluster if one is configured."""
    reply = saved("slurm", "sacct-usage")
    assert [list(reply.command)] == hold(Slurm().usage(ONE), reply)[1]
    elsewhere = Slurm(slurm_cluster="beta")
    assert ["sacct", "-M", "beta"] == hold(elsewhere.usage(ONE), reply)[1][0][:3]


def test_a_slurm_job_at_its_time_limit() -> None:
    """What killed processes used is what Slurm measured last."""
    job = replace(ONE, job_id="2", ended=1795806120)
    expected = Usage(seconds=78, cpu_seconds=22.002, memory=311, cause="time_limit")
    assert expected == used(Slurm(), job, saved("slurm", "sacct-usage-timeout"))


def test_a_slurm_job_that_was_cancelled() -> None:
    """The processor time of killed processes is not in TotalCPU."""
    job = replace(ONE, job_id="3")
    expected = Usage(seconds=5, cpu_seconds=1, memory=310, cause="cancelled")
    assert expected == used(Slurm(), job, saved("slurm", "sacct-usage-cancelled"))


def test_a_slurm_job_that_was_requeued() -> None:
    """A run that has ended does not count once a later one is known to have begun."""
    reply = saved("slurm", "sacct-usage-requeued")
    first = EndedJob("4", "alice", "abc", 1795806046, 1795806060, 1795806046)
    assert 5 == used(Slurm(), first, reply).seconds
    assert NOT_YET == ask(Slurm(), replace(first, started=1795806055), reply)


def test_a_slurm_job_whose_steps_still_end() -> None:
    """A cancelled job has ended at once, but its memory is not known before its steps have."""
    reply = saved("slurm", "sacct-usage-cancelled")
    job = replace(ONE, job_id="3")
    text = reply.stdout.replace("1795806046|CANCELLED", "Unknown|RUNNING").replace("318436K", "")
    assert NOT_YET == ask(Slurm(), job, (text, "", 0))


@pytest.mark.parametrize("name", ["sacct-usage-running", "sacct-usage-unknown"])
def test_a_slurm_job_without_a_record_of_its_end(name: str) -> None:
    """A job whose record has no end yet is asked for again, because the record comes later."""
    job = EndedJob("5", "alice", "", 1795806150, 1795806200)
    assert NOT_YET == ask(Slurm(), job, saved("slurm", name))


def test_a_slurm_without_accounting() -> None:
    """A Slurm without accounting says so, and nobody asks again; a database that is down is asked
    again."""
    assert NO_ACCOUNTING == ask(Slurm(), ONE, saved("slurm", "sacct-usage-no-accounting"))
    with pytest.raises(SchedulerUnavailable, match="Problem talking to the database"):
        ask(Slurm(), ONE, saved("slurm", "sacct-usage-dbd-down"))


def test_a_slurm_that_measures_nothing() -> None:
    """With jobacct_gather/none only the time is known: 0 seconds of a processor are not a fact."""
    rows = (
        "1|alice|1795806039|1795806040|1795806053|COMPLETED|13|00:00:00||\n"
        "1.batch||1795806040|1795806040|1795806053|COMPLETED|13|00:00:00||\n"
    )
    assert Usage(seconds=13) == used(Slurm(), ONE, (rows, "", 0))


def test_the_gpus_of_a_slurm_job() -> None:
    """Utilization is in percent of one GPU, and memory of GPUs has a unit."""
    reply = saved("slurm", "sacct-usage")
    text = reply.stdout.replace("vmem=", "gres/gpumem=12G,gres/gpuutil=63,vmem=")
    found = ask(Slurm(), ONE, (text, "", 0)).usage
    assert found
    assert (0.63, 12 * 1024 * MIB) == (found.gpus, found.gpu_memory)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("00:03.135", 3.135), ("1-02:00:01", 93601), ("10:00:00", 36000), ("", None), ("x", None)],
)
def test_the_times_of_slurm(text: str, expected: float | None) -> None:
    """TotalCPU has days and hours only if it needs them."""
    assert expected == slurm_usage.read_seconds(text)


# -- Grid Engine --------------------------------------------------------------------------------

GE_ONE = EndedJob("1", "alice", "abc", 1795806178, 1795806195, 1795806178)


def test_gridengine() -> None:
    """Memory is maxvmem, because qacct prints ru_maxrss in a wrong unit."""
    expected = Usage(seconds=14, cpu_seconds=2.521, memory=309)
    assert expected == used(GridEngine(), GE_ONE, saved("gridengine", "qacct-usage"))


def test_gridengine_at_a_limit() -> None:
    """Grid Engine does not say which limit was reached; another owner's job is not found."""
    job = replace(GE_ONE, job_id="2")
    expected = Usage(seconds=6, cpu_seconds=0.91, memory=309, cause="limit")
    assert expected == used(GridEngine(), job, saved("gridengine", "qacct-usage-time"))
    other = saved("gridengine", "qacct-usage-other-owner")
    assert NOT_YET == ask(GridEngine(), replace(GE_ONE, owner="bob"), other)
    assert [list(other.command)] == hold(GridEngine().usage(replace(GE_ONE, owner="bob")), other)[1]


def test_an_old_job_of_gridengine_with_the_same_id() -> None:
    """The numbers begin again: only the run that began when ours did counts."""
    reply = saved("gridengine", "qacct-usage")
    old = reply.stdout.replace("2026", "2025").replace("14s", "99s")
    both = (old + reply.stdout, "", 0)
    assert 14 == used(GridEngine(), GE_ONE, both).seconds
    assert NOT_YET == ask(GridEngine(), GE_ONE, (old, "", 0))


def test_a_gridengine_whose_accounting_nobody_may_read() -> None:
    """qacct names the file: see the answer of a Grid Engine on which no job has ended yet."""
    text = (
        "/var/lib/gridengine/default/common/accounting: No such file or directory\n"
        "no jobs running since startup\n"
    )
    assert NO_ACCOUNTING == ask(GridEngine(), GE_ONE, ("", text, 1))


def test_a_job_of_gridengine_that_was_rescheduled() -> None:
    """A record of a run that was not the last one does not count."""
    job = EndedJob("21", "alice", "", 0, 1795806195)
    assert NOT_YET == ask(GridEngine(), job, saved("gridengine", "qacct-rescheduled"))


# -- HTCondor -----------------------------------------------------------------------------------

HT_ONE = EndedJob("1", "alice", "0123456789abcdef", 1795806179, 1795806196, 1795806179)


def test_htcondor() -> None:
    """Memory is what was measured, not HTCondor's rounded number."""
    expected = Usage(seconds=16, cpu_seconds=2, memory=311)
    assert expected == used(HTCondor(), HT_ONE, saved("htcondor", "condor_history-usage"))


def test_the_command_of_htcondor() -> None:
    """The command is what the saved answers are of."""
    reply = saved("htcondor", "condor_history-usage")
    assert [list(reply.command)] == hold(HTCondor().usage(HT_ONE), reply)[1]


def test_an_htcondor_job_of_another_mark() -> None:
    """A queue that was made anew has other jobs of the same numbers."""
    reply = saved("htcondor", "condor_history-usage")
    assert NOT_YET == ask(HTCondor(), replace(HT_ONE, mark="fedcba9876543210"), reply)
    assert NOT_YET == ask(HTCondor(), HT_ONE, ("", "", 0))


def test_an_htcondor_job_that_was_removed() -> None:
    """A job that was removed has a processor time of 0, which is not a fact. A removal by our own
    rule for the time limit is recognised by its words."""
    reply = saved("htcondor", "condor_history-usage-removed")
    job = replace(HT_ONE, job_id="2", mark="")
    expected = Usage(seconds=9, memory=308, cause="cancelled")
    assert expected == used(HTCondor(), job, reply)
    rule = "The job attribute PeriodicRemove expression 'JobStatus"
    text = reply.stdout.replace(rule, "the job reached its time limit; 'JobStatus")
    assert "time_limit" == used(HTCondor(), job, (text, "", 0)).cause


def test_the_gpus_of_an_htcondor_job() -> None:
    """GPUsUsage is a number of GPUs, GPUsMemoryUsage is in MiB; nonsense of a user is left out."""
    reply = saved("htcondor", "condor_history-usage")
    [row] = json.loads(reply.stdout)
    for values, expected in (
        ({"GPUsUsage": 0.5, "GPUsMemoryUsage": 100}, (0.5, 100 * MIB)),
        ({"GPUsUsage": "many", "GPUsMemoryUsage": -1}, (None, None)),
    ):
        found = ask(HTCondor(), HT_ONE, (json.dumps([{**row, **values}]), "", 0)).usage
        assert found
        assert expected == (found.gpus, found.gpu_memory)


# -- PBS, TORQUE and LSF ------------------------------------------------------------------------

PBS_ONE = EndedJob("1.pbslab", "alice", "", 1795375938, 1795375945)


def test_pbs() -> None:
    """The server keeps what a job has used while it keeps the job."""
    reply = saved("pbs", "qstat-f-json-x-finished")
    expected = Usage(seconds=4, memory=6, cause="cancelled")
    assert expected == used(Pbs(), PBS_ONE, reply, reply)
    assert NOT_YET == ask(Pbs(), replace(PBS_ONE, owner="bob"), reply, reply)


def test_a_pbs_job_of_another_mark() -> None:
    """A job that shows another mark is not ours."""
    reply = saved("pbs", "qstat-f-json-x-finished")
    mark = "0123456789abcdef"
    text = reply.stdout.replace('"PBS_O_QUEUE"', f'"UNISPAWNER_MARK": "{mark}", "PBS_O_QUEUE"')
    both = [(text, "", 0)] * 2
    assert NOT_YET == ask(Pbs(), replace(PBS_ONE, mark="fedcba9876543210"), *both)
    assert ask(Pbs(), replace(PBS_ONE, mark=mark), *both).usage


def test_a_pbs_without_history() -> None:
    """That a PBS keeps no history is known from the setting, or from what qstat prints."""
    text = (
        "qstat: PBS is not configured to maintain job history: job_history_enable is set to false"
    )
    assert NO_ACCOUNTING == ask(Pbs(), PBS_ONE, ("", text, 0))
    assert NO_ACCOUNTING == ask(Pbs(pbs_job_history=False), PBS_ONE)


def test_torque() -> None:
    """TORQUE has the same for as long as keep_completed says."""
    job = EndedJob("2", "alice", "", 1795375950, 1795375957)
    expected = Usage(seconds=6, memory=7, cause="cancelled")
    assert expected == used(Torque(), job, saved("torque", "qstat-x-finished"))
    assert NOT_YET == ask(Torque(), replace(job, job_id="999999"), saved("torque", "qstat-unknown"))


def lsf(**values: str) -> Answer:
    record = {
        "JOBID": "7",
        "USER": "alice",
        "STAT": "EXIT",
        "START_TIME": "Nov 27 19:02",
        "RUN_TIME": "3600 second(s)",
        "CPU_USED": "5400.0 second(s)",
        "MAX_MEM": "2.5 Gbytes",
        "EXIT_REASON": "TERM_RUNLIMIT: job killed after reaching LSF run time limit",
        **values,
    }
    return json.dumps({"COMMAND": "bjobs", "JOBS": 1, "RECORDS": [record]}), "", 0


LSF_JOB = EndedJob("7", "alice", "", 1795806130, 1795809800, 1795806120)


def test_lsf() -> None:
    """bjobs has units and words; a start has no seconds."""
    expected = Usage(seconds=3600, cpu_seconds=5400, memory=2560, cause="time_limit")
    assert expected == used(Lsf(), LSF_JOB, lsf())
    assert 1.5 == used(Lsf(), LSF_JOB, lsf()).cores


@pytest.mark.parametrize(
    "values", [{"USER": "bob"}, {"JOBID": "8"}, {"STAT": "RUN"}, {"START_TIME": "Nov 26 19:02"}]
)
def test_another_job_of_lsf(values: dict[str, str]) -> None:
    """A record of another job, or of one that runs, is not an answer."""
    assert NOT_YET == ask(Lsf(), LSF_JOB, lsf(**values))


def test_a_relative_of_lsf() -> None:
    """OpenLava's bjobs has no such fields; an unknown job may only be forgotten."""
    assert NO_ACCOUNTING == ask(Lsf(), LSF_JOB, saved("openlava", "bjobs-o-json"))
    assert NOT_YET == ask(Lsf(), LSF_JOB, saved("openlava", "bjobs-unknown"))


# -- all of them --------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "0", "-1M", "1.5.2K", "9" * 40, "12X"])
def test_no_size(text: str) -> None:
    """What is not a size above 0 is not known."""
    assert None is read_size(text)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "template"])
@given(text=st.text(max_size=200))
def test_any_text(name: str, text: str) -> None:
    """Whatever a command prints, no other error than ours is raised, and no usage is made up."""
    scheduler = get_scheduler(name)
    try:
        found = _ask_with(scheduler, text)
    except SchedulerUnavailable:
        return
    assert None is found.usage


def _ask_with(scheduler: Scheduler, text: str) -> Accounting:
    dialogue: Any = scheduler.usage(ONE)
    reply: Reply | None = None
    while True:
        try:
            command = dialogue.send(reply) if reply else next(dialogue)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return] # the dialogue's result
        reply = Reply(tuple(command), 0, text)


def test_an_answer_as_data() -> None:
    """An answer crosses to the Hub as JSON."""
    found = Accounting(Usage(1.5, 2.5, 3, 0.5, 4, "memory"))
    assert found == plain.decode(Accounting, json.loads(json.dumps(plain.encode(found))))


@pytest.mark.parametrize(
    ("scheduler", "info", "expected"),
    [
        (Slurm(), {"native_state": "TIMEOUT"}, "time_limit"),
        (Slurm(), {"native_state": "OUT_OF_MEMORY"}, "memory"),
        (Slurm(), {"native_state": "PREEMPTED"}, "preempted"),
        (Slurm(), {"native_state": "NODE_FAIL"}, "node"),
        (Slurm(), {"native_state": "FAILED"}, ""),
        (Slurm(), {"native_state": "CANCELLED", "state": JobState.CANCELED}, "cancelled"),
        (Pbs(), {"message": "the job reached its time limit"}, "time_limit"),
        (Torque(), {"message": "the job used more memory than it asked for"}, "memory"),
        (Lsf(), {"message": "the job had to make room for another"}, "preempted"),
        (Lsf(), {"message": "the job used more memory than allowed"}, "memory"),
        (HTCondor(), {"message": "the job reached its time limit"}, "time_limit"),
        (
            GridEngine(),
            {"message": "the job reached a limit: time (h_rt), memory (h_vmem) or processor time"},
            "limit",
        ),
    ],
)
def test_why_a_job_has_ended(scheduler: Scheduler, info: dict[str, Any], expected: str) -> None:
    """Each scheduler's own words for an end have a meaning that all share."""
    assert expected == scheduler.find_cause(JobInfo("alice", **{"state": JobState.FAILED, **info}))
