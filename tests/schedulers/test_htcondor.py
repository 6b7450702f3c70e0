"""HTCondor: the submit description, and the saved output of its commands
(tests/outputs/htcondor).
"""

import json
import re
import shlex
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import support
from support.dialogues import hold
from support.jobs import MARK, full_job

from unispawner.errors import (
    AgentError,
    CancelError,
    InvalidJobError,
    SchedulerUnavailable,
    SubmitError,
    UniSpawnerError,
)
from unispawner.job import JobInfo, JobSpec, JobState, ResourceSpec
from unispawner.schedulers.base import Meaning, Reply
from unispawner.schedulers.htcondor import HTCondor
from unispawner.schedulers.inventory import Node, Totals
from unispawner.script.rendering import render_script
from unispawner.testing import read_saved_reply

OUTPUTS = support.OUTPUTS / "htcondor"
HTCONDOR = HTCondor()
QUERY = tuple(HTCONDOR.status_command())
BY_IDS = tuple(HTCONDOR.status_command([]))
HELD = "The job attribute PeriodicHold expression"

FULL = full_job(
    name='my "job" it\'s $HOME',
    directory="/home/ada/my $work",
    stdout_path=f"/home/ada/it's/logs/{MARK}.log",
    resources=ResourceSpec(
        process_count=2,
        cpu_cores_per_process=3,
        gpu_cores_per_process=1,
        memory=8 * 1024**3 + 1,
    ),
    duration=timedelta(hours=1),
    account="group_ml.$ada",
    custom_attributes={
        "htcondor.periodic_remove": ["NumJobStarts > 5", "JobStatus == 5"],
        "htcondor.+Department": "physics",
        "htcondor.requirements": 'Machine == "$(PREFERRED)"',
        "htcondor.want_graceful_removal": True,
        "htcondor.nice_user": False,
        "htcondor.rank": 1.5,
        "HTCondor.concurrency_limits": ["licence", "matlab:2"],
        "slurm.qos": "high",
    },
    queue_name="",
    reservation_id="",
)

SCHEDD_HANGS = Reply(
    ("condor_q",),
    1,
    "",
    "\n-- Failed to fetch ads from: <10.79.0.1:46631> : condorhub.cluster.example\n"
    "SECMAN:2007:Read failure during security negotiation.\n",
)
RM_SCHEDD_HANGS = (
    "SECMAN:2007:Read failure during security negotiation.\nNo result found for job 44.0\n"
)
TIME_IS_UP = "JobStatus == 2 && time() - JobCurrentStartDate > 3600"
LINES = f"""\
universe = vanilla
batch_name = my "job" it's $(DOLLAR)HOME
initialdir = /home/ada/my $(DOLLAR)work
output = /dev/null
error = /dev/null
should_transfer_files = NO
notification = never
request_cpus = 6
request_memory = 8388609KB
request_gpus = 2
accounting_group = group_ml.$(DOLLAR)ada
periodic_remove = (NumJobStarts > 5) || (JobStatus == 5) || ({TIME_IS_UP})
MY.PeriodicRemoveReason = ifThenElse({TIME_IS_UP}, "the job reached its time limit", undefined)
MY.UnispawnerMark = "0123456789abcdef"
+Department = "physics"
requirements = Machine == "$(PREFERRED)"
want_graceful_removal = true
rank = 1.5
concurrency_limits = licence, matlab:2
"""


def saved(name: str) -> Reply:
    return read_saved_reply(OUTPUTS / name)


def rows(*ads: dict[str, Any], command: str = "condor_q") -> Reply:
    return Reply((command,), 0, json.dumps(list(ads)))


def one(command: str = "condor_q", **ad: Any) -> JobInfo:
    row = {"ClusterId": 7, "ProcId": 0, "Owner": "ada", "JobStatus": 1, **ad}
    return HTCONDOR.read_status(rows(row, command=command))["7"]


def own(**attributes: Any) -> list[str]:
    """Return the lines of a job's custom attributes; __ stands for the + before a name."""
    given = {f"htcondor.{key.replace('__', '+')}": value for key, value in attributes.items()}
    lines = HTCONDOR.directives(JobSpec(custom_attributes=given))
    return lines[len(HTCONDOR.directives(JobSpec())) :]


# -- the submit description -----------------------------------------------------------------------


def test_the_description_of_a_full_job() -> None:
    """The description has every field, line by line, and no secret."""
    HTCONDOR.check_supported(FULL)
    assert LINES.splitlines() == HTCONDOR.directives(FULL)


def test_the_description_of_an_empty_job() -> None:
    """A job that asks for nothing gets only the lines that every job has."""
    expected = [
        "universe = vanilla",
        "batch_name = jupyter",
        "output = /dev/null",
        "error = /dev/null",
        "should_transfer_files = NO",
        "notification = never",
        "request_cpus = 1",
    ]
    assert expected == HTCONDOR.directives(JobSpec())


def test_the_script_has_no_directives() -> None:
    """The script has no directives and opens the log itself, which HTCondor would empty for a
    rerun.
    """
    script = render_script(FULL, HTCONDOR, environment_file="/home/ada/env")
    log = shlex.quote(FULL.stdout_path)
    expected = ["#!/bin/bash -l", "", f"exec >>{log} 2>&1", "cd '/home/ada/my $work' || exit 1"]
    assert expected == script.splitlines()[:4]
    assert [] == HTCONDOR.preamble(JobSpec())
    assert "topsecret" not in script


@pytest.mark.parametrize(
    ("memory", "expected"), [(1, "1KB"), (1024, "1KB"), (1025, "2KB"), (4 * 2**30, "4194304KB")]
)
def test_memory_is_rounded_up(memory: int, expected: str) -> None:
    """Memory is rounded up to KiB and has a unit: a bare number would be MiB."""
    spec = JobSpec(resources=ResourceSpec(memory=memory))
    assert f"request_memory = {expected}" in HTCONDOR.directives(spec)


def test_no_gpus_is_no_line() -> None:
    """Zero GPUs are left out: request_gpus = 0 would still make HTCondor look at GPUs."""
    spec = JobSpec(resources=ResourceSpec(gpu_cores_per_process=0))
    assert not any("gpu" in line for line in HTCONDOR.directives(spec))


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.5, "> 1"), (60, "> 60"), (86400 * 30, "> 2592000")]
)
def test_a_time_limit(seconds: float, expected: str) -> None:
    """HTCondor has no time limits: an expression removes the job and gives its user the reason."""
    lines = HTCONDOR.directives(JobSpec(duration=timedelta(seconds=seconds)))
    (rule,) = [line for line in lines if line.startswith("periodic_remove = ")]
    condition = f"JobStatus == 2 && time() - JobCurrentStartDate {expected}"
    assert f"periodic_remove = ({condition})" == rule
    (reason,) = [line for line in lines if line.startswith("MY.PeriodicRemoveReason = ")]
    assert f"ifThenElse({condition}, " in reason


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("JobStatus == 5", "(JobStatus == 5)"),
        (["a", "b"], "(a) || (b)"),
        (True, "(true)"),
    ],
)
def test_the_sites_own_rule_of_removal(value: Any, expected: str) -> None:
    """The site's periodic_remove, in any case, is used alone or together with the time limit."""
    for key in ("periodic_remove", "Periodic_Remove"):
        spec = JobSpec(custom_attributes={f"htcondor.{key}": value})
        lines = [line for line in HTCONDOR.directives(spec) if "emove" in line]
        assert [f"periodic_remove = {expected}"] == lines


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("physics", '"physics"'),
        ("with space", '"with space"'),
        ("", '""'),
        ('say "hi"', r'"say \"hi\""'),
        # In submit descriptions ClassAds escape only a quote.
        ("C:\\x", r'"C:\x"'),
        ("end\\", '"end\\"'),
        ("$HOME $(X)", '"$(DOLLAR)HOME $(DOLLAR)(X)"'),
        ('"literal"', '"literal"'),
        ('"one" "two"', r'"\"one\" \"two\""'),
        ("3", "3"),
        ("-1.5", "-1.5"),
        ("TRUE", "TRUE"),
        ("undefined", "undefined"),
        ("x + 1", '"x + 1"'),
        (3, "3"),
        (2.5, "2.5"),
        (True, "true"),
        (["a", 1], '{"a", 1}'),
        (["a"], '"a"'),
    ],
)
def test_attributes_of_the_job(value: Any, expected: str) -> None:
    """Text becomes a string unless it is a literal; several values become a ClassAd list."""
    assert [f"+Name = {expected}"] == own(__Name=value)
    spec = JobSpec(custom_attributes={"htcondor.MY.Name": value})
    assert f"MY.Name = {expected}" == HTCONDOR.directives(spec)[-1]


def test_an_attribute_that_is_false_is_left_out() -> None:
    """False leaves an attribute out, as everywhere; the literal "false" writes it."""
    assert [] == own(__Name=False)
    assert ["+Name = false"] == own(__Name="false")


@pytest.mark.parametrize(
    ("value", "expected"),
    [('a $(b) "c"', 'a $(b) "c"'), (4, "4"), (True, "true"), (["a", "b"], "a, b")],
)
def test_commands_are_taken_as_they_are(value: Any, expected: str) -> None:
    """Commands of the submit language are written as the administrator wrote them."""
    assert [f"rank = {expected}"] == own(rank=value)


def test_an_attribute_takes_the_place_of_ours() -> None:
    """Of two lines for one command the last one counts (condor_submit(1))."""
    assert ["universe = docker"] == own(universe="docker")


@pytest.mark.parametrize(
    "spec",
    [
        JobSpec(name="end\\"),
        JobSpec(directory="/home/ada/end\\"),
        JobSpec(account="end\\"),
        JobSpec(custom_attributes={"htcondor.rank": "end\\"}),
        JobSpec(custom_attributes={"htcondor.rank": ["a", "end\\ "]}),
        JobSpec(custom_attributes={"htcondor.periodic_remove": "end\\"}),
    ],
)
def test_a_backslash_at_the_end_is_refused(spec: JobSpec) -> None:
    """A value that ends with a backslash is refused: it would join the next line to its own."""
    field = r"(job_name|directory|account|custom_attributes: htcondor\.(rank|periodic_remove))"
    with pytest.raises(InvalidJobError, match=rf"^{field}: .* ends with a backslash"):
        HTCONDOR.directives(spec)


@pytest.mark.parametrize("key", ["spool", "remote", "Spool"])
def test_spooling_is_refused(key: str) -> None:
    """Spooling would copy the job's files to where the server's private files are not found."""
    with pytest.raises(InvalidJobError, match=rf"htcondor\.{key} can't be set.*htcondor_schedd"):
        HTCONDOR.check_supported(JobSpec(custom_attributes={f"htcondor.{key}": "x"}))


@pytest.mark.parametrize("name", ["-pool", "a b", "a\nb"])
def test_the_name_of_a_schedd_is_a_word(name: str) -> None:
    """The name of a schedd or pool can't be read as an option."""
    for setting in ("htcondor_schedd", "htcondor_pool"):
        with pytest.raises(InvalidJobError, match=f"^{setting}: "):
            HTCondor(**{setting: name}).check_supported(JobSpec())


def test_a_schedd_elsewhere() -> None:
    """Every question goes to the schedd that is named, and in the pool that is named."""
    elsewhere = HTCondor(htcondor_schedd="s@login1", htcondor_pool="cm")
    options = ["-pool", "cm", "-name", "s@login1"]
    _, commands = hold(elsewhere.query(), ("Notice", "", 0), ("Total for query: 0 jobs", "", 0))
    assert [["condor_q", *options]] * 2 == [command[:5] for command in commands]
    assert "-totals" in commands[1]
    assert ["condor_history", *options] == elsewhere.history_command(["7"])[:5]
    for question in (elsewhere.find_marks("AD\\ada"), elsewhere.find_jobs("0" * 16, "AD\\ada")):
        _, commands = hold(question, ("[]", "", 0))
        assert ["condor_q", *options] == commands[0][:5]
        assert ["-allusers", "-constraint", 'Owner == "AD\\ada"'] == commands[0][-3:]
    assert elsewhere.query_key != HTCondor(htcondor_pool="cm").query_key


def test_an_account_with_an_at() -> None:
    """A machine reports the account with a domain behind its last @."""
    job = {"ClusterId": 5, "JobStatus": 2, "Owner": "ada@ad.site", "RemoteHost": "slot1_1@node1"}
    slots = [slot("node1", "5.0", "ada@ad.site@x.example")]
    jobs, _ = hold(HTCONDOR.query(), (json.dumps([job]), "", 0), (json.dumps(slots), "", 0))
    assert ("ada@ad.site", "node1") == (jobs["5"].owner, jobs["5"].exec_host)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (JobSpec(queue_name="q"), "queue_name"),
        (JobSpec(reservation_id="r"), "reservation_id"),
        (JobSpec(resources=ResourceSpec(exclusive_node_use=True)), "exclusive_node_use"),
        (JobSpec(resources=ResourceSpec(node_count=2)), "node_count"),
        (
            JobSpec(resources=ResourceSpec(process_count=2, processes_per_node=1)),
            "process_count, processes_per_node",
        ),
    ],
)
def test_what_it_cannot_be_asked_for(spec: JobSpec, field: str) -> None:
    """Unsupported fields are refused by name, and so are two nodes, however they are asked for."""
    with pytest.raises(InvalidJobError, match=f"^{field}: HTCondor "):
        HTCONDOR.check_supported(spec)


@pytest.mark.parametrize(
    "key",
    [
        *("queue", "Queue", "executable", "arguments", "args", "environment", "env", "output"),
        *("error", "+UnispawnerMark", "MY.unispawnermark"),
    ],
)
def test_commands_that_are_ours(key: str) -> None:
    """Commands that would make several jobs or another log, or that unispawner sets, are
    refused.
    """
    with pytest.raises(InvalidJobError, match=rf"htcondor\.{re.escape(key)} can't be set"):
        HTCONDOR.check_supported(JobSpec(custom_attributes={f"htcondor.{key}": "x"}))


# -- answers --------------------------------------------------------------------------------------

LISTINGS = sorted(
    path.name
    for path in OUTPUTS.glob("condor_*")
    if path.name.startswith(("condor_q-", "condor_history"))
    and " -json " in path.read_text().splitlines()[0]
    and {"Owner", "JobStatus"} <= set(re.findall(r"\w+", path.read_text().splitlines()[0]))
)


@pytest.mark.parametrize("name", LISTINGS)
def test_every_saved_answer_is_read(name: str) -> None:
    """Each ClassAd becomes a job with an owner and a known state; an error stays an error."""
    reply = saved(name)
    if reply.exit_status:
        with pytest.raises(SchedulerUnavailable):
            HTCONDOR.read_status(reply)
        return
    jobs = HTCONDOR.read_status(reply)
    expected = json.loads(reply.stdout or "[]")
    assert [str(row["ClusterId"]) for row in expected] == list(jobs)
    assert [row["Owner"] for row in expected] == [job.owner for job in jobs.values()]
    assert JobState.UNKNOWN not in {job.state for job in jobs.values()}


def test_there_are_saved_answers() -> None:
    """There are saved answers for the test above."""
    assert len(LISTINGS) >= 15


STATES = {
    "1": (JobState.RUNNING, "running", ""),
    "4": (JobState.QUEUED, "idle", "no machine has what the job asks for, or none is free"),
    "5": (JobState.HELD, "held", "Failed to execute '/home/alice/w/gone'"),
    "6": (JobState.HELD, "held", "via condor_hold (by user alice)"),
    "7": (JobState.HELD, "held", HELD),
    "8": (JobState.HELD, "held", "as standard output: Permission denied (errno 13)"),
    "9": (JobState.HELD, "held", "submitted on hold at user's request"),
    "10": (JobState.SUSPENDED, "suspended", ""),
    "11": (JobState.HELD, "held", "Cannot access initial working directory"),
    "13": (JobState.HELD, "held", "my own reason"),
    "15": (JobState.QUEUED, "idle", "no machine has what the job asks for, or none is free"),
}


@pytest.mark.parametrize("job_id", STATES)
def test_states_in_the_queue(job_id: str) -> None:
    """Each state in the queue has the right message for the user; held jobs are stuck."""
    info = HTCONDOR.read_status(saved("condor_q-states"))[job_id]
    state, native, message = STATES[job_id]
    assert (state, native) == (info.state, info.native_state)
    assert message in info.message
    assert bool(message) == bool(info.message)
    assert (state is JobState.HELD, False) == (info.stuck, info.ending)


def test_a_running_job() -> None:
    """A running job has its host and start time."""
    assert (
        JobInfo(
            owner="alice",
            state=JobState.RUNNING,
            exec_host="condor2.cluster.example",
            start_time=1795539319.0,
            native_state="running",
        )
        == HTCONDOR.read_status(saved("condor_q-states"))["1"]
    )


def test_a_suspended_job_keeps_its_host() -> None:
    """A suspended job keeps its host, because its server still exists."""
    info = HTCONDOR.read_status(saved("condor_q-states"))["10"]
    assert ("condor1.cluster.example", 1795539320.0) == (info.exec_host, info.start_time)


def test_a_held_job_has_no_host() -> None:
    """A held job that ran once has no host."""
    info = HTCONDOR.read_status(saved("condor_q-states"))["6"]
    assert ("", None) == (info.exec_host, info.start_time)


@pytest.mark.parametrize(
    ("name", "job_id", "host"),
    [
        ("condor_q-removed-still-there", "40", "condor2.cluster.example"),
        ("condor_q-node-down", "43", "condor1.cluster.example"),
    ],
)
def test_a_removed_job_whose_processes_may_live(name: str, job_id: str, host: str) -> None:
    """A removed job with a host is still ending, however long that takes."""
    info = HTCONDOR.read_status(saved(name))[job_id]
    assert (JobState.RUNNING, True, host) == (info.state, info.ending, info.exec_host)
    assert "removed" == info.native_state


def test_a_removed_job_that_never_ran() -> None:
    """A removed job that never had a host is cancelled."""
    info = one(JobStatus=3, RemoveReason="via condor_rm (by user ada)")
    assert (JobState.CANCELED, False) == (info.state, info.ending)
    assert "via condor_rm (by user ada)" == info.message


def test_a_removed_job_in_the_history_is_over() -> None:
    """A removed job in the history has ended, even if its ClassAd has a host."""
    info = one("condor_history", JobStatus=3, RemoteHost="slot1@a")
    assert (JobState.CANCELED, False, "") == (info.state, info.ending, info.exec_host)


def test_output_on_its_way() -> None:
    """While a job's output is transferred, the job is ending."""
    info = one(JobStatus=6, RemoteHost="slot1_1@a")
    assert (JobState.RUNNING, True) == (info.state, info.ending)
    assert "transferring output" == info.native_state


def test_a_state_that_is_new() -> None:
    """A number that a later release adds means UNKNOWN, so that no server is lost."""
    info = one(JobStatus=8)
    assert (JobState.UNKNOWN, "8", False) == (info.state, info.native_state, info.stuck)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (None, "waiting for a machine"),
        ("no match found ", "no machine has what the job asks for, or none is free"),
        ("insufficient priority", "insufficient priority"),
        ("concurrency limit licence reached", "concurrency limit licence reached"),
    ],
)
def test_why_a_job_waits(reason: str | None, expected: str) -> None:
    """The reason is the negotiator's text, or plainer words where there are some."""
    assert expected == one(**({"LastRejMatchReason": reason} if reason else {})).message


def test_a_job_that_has_not_been_looked_at() -> None:
    """A job that the negotiator has not seen yet waits for a machine."""
    info = HTCONDOR.read_status(saved("condor_q-after-forcex"))["41"]
    assert (JobState.QUEUED, "waiting for a machine") == (info.state, info.message)


def test_an_old_reason_is_left_out() -> None:
    """A running job has no message: the reason for which it waited is old."""
    ads = json.loads(saved("condor_q-states").stdout)
    assert "no match found " == ads[0]["LastRejMatchReason"]
    assert "" == HTCONDOR.read_status(saved("condor_q-states"))["1"].message


ENDS = {
    "10": (JobState.CANCELED, None, "time for lunch (by user alice)"),
    "6": (JobState.CANCELED, None, "via condor_rm (by user alice)"),
    "26": (JobState.CANCELED, None, "via condor_rm (by user alice)"),
    "24": (JobState.CANCELED, None, "reached its time limit"),
    "23": (JobState.FAILED, None, "the job was killed by signal 9"),
    "22": (JobState.FAILED, 3, "the job ended with exit status 3"),
    "21": (JobState.COMPLETED, 0, ""),
}


@pytest.mark.parametrize("job_id", ENDS)
def test_how_jobs_end(job_id: str) -> None:
    """State, exit code and message come from the history, without a host."""
    info = HTCONDOR.read_status(saved("condor_history"))[job_id]
    assert ENDS[job_id] == (info.state, info.exit_code, info.message)
    assert ("", None, False) == (info.exec_host, info.start_time, info.ending)


def test_a_rule_of_removal_without_a_reason() -> None:
    """If an expression without a reason removed the job, HTCondor names the expression."""
    info = HTCONDOR.read_status(saved("condor_history"))["27"]
    assert JobState.CANCELED is info.state
    assert "PeriodicRemove expression" in info.message


@pytest.mark.parametrize("name", ["condor_q-empty", "condor_q-unknown", "condor_history-unknown"])
def test_no_jobs_are_an_answer(name: str) -> None:
    """No output, or an empty list, means that there are no jobs."""
    assert {} == HTCONDOR.read_status(saved(name))


def test_an_answer_that_is_cut_off() -> None:
    """An answer that is cut off anywhere says nothing about any job."""
    text = saved("condor_q-by-ids").stdout.rstrip()
    for length in range(1, len(text)):
        with pytest.raises(SchedulerUnavailable):
            HTCONDOR.read_status(Reply(QUERY, 0, text[:length]))


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        "{}",
        "null",
        "[{}]",
        "-- Failed to fetch ads",
    ],
)
def test_an_answer_of_another_shape(text: str) -> None:
    """JSON of another form raises an error."""
    with pytest.raises(SchedulerUnavailable):
        HTCONDOR.read_status(Reply(QUERY, 0, text))


@pytest.mark.threat(
    who="user",
    tries="They write nonsense into their job, so that nobody's job can be read.",
    stopped_by="One odd row costs no other row of an answer.",
)
@pytest.mark.parametrize(
    "row",
    [
        {"ClusterId": 1, "JobStatus": 2},
        {"ClusterId": 1, "Owner": "ada"},
        {"ClusterId": "x", "JobStatus": 2, "Owner": "ada"},
        {"ClusterId": None, "JobStatus": 2, "Owner": "ada"},
    ],
)
def test_one_row_that_makes_no_sense_hides_no_other(row: dict[str, Any]) -> None:
    """A ClassAd with nonsense, which condor_qedit allows, does not hide other users' jobs."""
    good = {"ClusterId": 7, "JobStatus": 1, "Owner": "bob"}
    assert {"7"} == set(HTCONDOR.read_status(Reply(QUERY, 0, json.dumps([row, good]))))


@pytest.mark.parametrize(
    "more",
    [
        {"RemoteHost": None, "JobCurrentStartDate": None},
        {"RemoteHost": "a", "JobCurrentStartDate": "\\/Expr(time())\\/"},
        {"RemoteHost": "", "ExitCode": True},
    ],
)
def test_values_of_another_kind(more: dict[str, Any]) -> None:
    """A value that can't be read is left out, and the job is still reported."""
    info = one(JobStatus=2, **more)
    assert (JobState.RUNNING, None, None) == (info.state, info.start_time, info.exit_code)


def test_names_of_slots() -> None:
    """The host is the last part of a slot's name: a pilot's job has another name in between."""
    assert "node1" == one(JobStatus=2, RemoteHost="slot1_1@glidein_7@node1").exec_host


def test_several_processes_of_a_cluster() -> None:
    """Of a cluster with several processes only the first one can be a server."""
    ad = {"ClusterId": 7, "Owner": "ada"}
    second = {**ad, "ProcId": 1, "JobStatus": 5}
    first = {**ad, "ProcId": 0, "JobStatus": 2}
    (info,) = HTCONDOR.read_status(rows(second, first)).values()
    assert JobState.RUNNING is info.state
    assert {} == HTCONDOR.read_status(rows(second))


# -- the dialogue ---------------------------------------------------------------------------------


WHERE = "condor_status -constraint JobId isnt undefined -json -attributes Machine,JobId,RemoteOwner"
NOWHERE = Reply(("condor_status",), 0, "")


def test_all_jobs_are_one_question() -> None:
    """All jobs are asked for with one command, and with a second one if any of them runs."""
    jobs, commands = hold(HTCONDOR.query(), saved("condor_q-states"), NOWHERE)
    assert [" ".join(QUERY), WHERE] == [" ".join(command) for command in commands]
    assert 15 == len(jobs)


def test_an_empty_answer_is_confirmed() -> None:
    """Of no job condor_q prints nothing, and so does a wrapper that does nothing: the totals count,
    and without them nothing is known."""
    empty, totals = saved("condor_q-empty"), saved("condor_q-totals-empty")
    history = saved("condor_history-unknown")
    assert {} == hold(HTCONDOR.query(["1"]), empty, totals, history)[0]
    assert {} == hold(HTCONDOR.find_marks("ada"), empty, totals)[0]
    assert [] == hold(HTCONDOR.find_jobs("0" * 16, "ada"), empty, totals)[0]
    silent = Reply(("condor_q",), 0, "")
    for dialogue in (
        HTCONDOR.query(["1"]),
        HTCONDOR.query_few(["1"]),
        HTCONDOR.find_marks("ada"),
        HTCONDOR.find_jobs("0" * 16, "ada"),
    ):
        with pytest.raises(SchedulerUnavailable):
            hold(dialogue, silent, silent)


def slot(machine: str, job_id: str, owner: str) -> dict[str, str]:
    return {"Machine": machine, "JobId": job_id, "RemoteOwner": owner}


@pytest.mark.threat(
    who="user",
    tries="They write another host into their job with condor_qedit.",
    stopped_by="A job's host counts only if that machine itself reports the job.",
)
@pytest.mark.parametrize(
    ("slots", "expected"),
    [
        ([slot("node1", "5.0", "ada@x.example")], "node1"),
        ([slot("node2", "5.0", "ada@x.example")], ""),
        ([slot("node1", "5.1", "ada@x.example")], ""),
        ([slot("node1", "55.0", "ada@x.example")], ""),
        ([slot("node1", "5.0", "bob@x.example")], ""),
        ([slot("node1", "6.0", "ada@x.example"), slot("node1", "5.0", "ada@y.example")], "node1"),
        ([{"Machine": "node1"}], ""),
        ([], ""),
    ],
)
def test_a_host_counts_if_its_machine_reports_the_job(
    slots: list[dict[str, str]], expected: str
) -> None:
    """A job's host counts only if the machine reports the job: users can write any RemoteHost."""
    job = {"ClusterId": 5, "JobStatus": 2, "Owner": "ada", "RemoteHost": "slot1_1@node1"}
    queue = Reply(QUERY, 0, json.dumps([job]))
    where = Reply(("condor_status",), 0, json.dumps(slots))
    jobs, _ = hold(HTCONDOR.query(), queue, where)
    assert (JobState.RUNNING, expected) == (jobs["5"].state, jobs["5"].exec_host)


@pytest.mark.parametrize(
    "trouble",
    [SchedulerUnavailable("no answer"), Reply(("condor_status",), 1, "", "no"), NOWHERE],
)
def test_without_the_collector_jobs_are_followed_all_the_same(trouble: Any) -> None:
    """If the collector does not answer, only the hosts of jobs are unknown."""
    job = {"ClusterId": 5, "JobStatus": 2, "Owner": "ada", "RemoteHost": "slot1_1@node1"}
    jobs, _ = hold(HTCONDOR.query(), Reply(QUERY, 0, json.dumps([job])), trouble)
    assert (JobState.RUNNING, "") == (jobs["5"].state, jobs["5"].exec_host)


def test_jobs_in_the_queue_need_no_history() -> None:
    """For jobs in the queue, the history is not asked."""
    jobs, commands = hold(HTCONDOR.query(["1", "5"]), saved("condor_q-by-ids"))
    assert [[*BY_IDS, "1", "5"]] == commands
    assert {"1", "5"} == set(jobs)


def test_jobs_that_have_left_the_queue() -> None:
    """The history is asked only for jobs that have left the queue, and stops when it found them."""
    jobs, commands = hold(
        HTCONDOR.query(["1", "21", "22", "23", "24", "999999"]),
        saved("condor_q-by-ids"),
        saved("condor_history"),
    )
    history = ["condor_history", "-json", "-attributes", BY_IDS[-1], "-limit", "5"]
    assert [*history, "21", "22", "23", "24", "999999"] == commands[1]
    assert JobState.RUNNING is jobs["1"].state
    for job_id in ("21", "22", "23", "24"):
        assert ENDS[job_id] == (
            jobs[job_id].state,
            jobs[job_id].exit_code,
            jobs[job_id].message,
        )
    assert "999999" not in jobs


def test_an_end_that_nobody_knows() -> None:
    """A job that is neither in the queue nor in the history is missing from the result."""
    jobs, _ = hold(
        HTCONDOR.query(["999999"]),
        saved("condor_q-unknown"),
        saved("condor_q-totals-empty"),
        saved("condor_history-unknown"),
    )
    assert {} == jobs


@pytest.mark.parametrize(
    "history",
    [
        Reply(("condor_history",), 1, "[\n", "Unable to locate remote schedd"),
        Reply(("condor_history",), 0, "[\n{"),
        SchedulerUnavailable("condor_history did not end within 30 s."),
        AgentError("condor_history: No such file or directory"),
    ],
)
def test_a_history_that_fails(history: Reply | UniSpawnerError) -> None:
    """If the history fails, the queue's answer still counts."""
    jobs = hold(HTCONDOR.query(["1", "999999"]), saved("condor_q-by-ids"), history)[0]
    assert "1" in jobs
    assert "999999" not in jobs


@pytest.mark.parametrize("answer", [SCHEDD_HANGS, Reply(("condor_q",), 1, "", "unknown host x")])
def test_a_queue_that_fails_is_an_error(answer: Reply) -> None:
    """If the queue does not answer, the history is not asked instead."""
    with pytest.raises(SchedulerUnavailable):
        hold(HTCONDOR.query(["1"]), answer)


def test_the_query_asks_for_nothing_that_others_can_write() -> None:
    """The query asks for no names, directories, arguments or environments."""
    written = {"JobBatchName", "Cmd", "Args", "Arguments", "Env", "Environment", "Iwd", "Out"}
    assert set() == written & set(QUERY[-1].split(","))
    assert "-allusers" in QUERY


# -- marks ----------------------------------------------------------------------------------------


def test_marks() -> None:
    """Marks are read from condor_q's output; of several jobs with one mark, any is returned."""
    found = HTCONDOR.read_marks(saved("condor_q-mark"))
    assert {MARK} == set(found)
    assert found[MARK] in ("1", "2", "3")


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        (MARK, {MARK: "7"}),
        ("ffff", {}),
        (f"{MARK}0", {}),
        (MARK.upper(), {}),
        (7, {}),
        (None, {}),
    ],
)
def test_values_that_are_not_marks(mark: Any, expected: dict[str, str]) -> None:
    """Only a whole mark with a job's id counts, since users can write the attribute."""
    assert expected == HTCONDOR.read_marks(rows({"ClusterId": 7, "UnispawnerMark": mark}))
    assert {} == HTCONDOR.read_marks(rows({"ClusterId": "1 -all", "UnispawnerMark": mark}))
    assert {} == HTCONDOR.read_marks(rows({"UnispawnerMark": mark}))


@pytest.mark.threat(
    who="other user",
    tries="They copy the mark of somebody's job into a job of theirs.",
    stopped_by="Marks are read from the jobs of the asking user only.",
)
def test_marks_are_looked_for_among_the_callers_own_jobs() -> None:
    """Only the caller's jobs are searched, even where condor_q shows the jobs of all users."""
    found, commands = hold(HTCONDOR.find_marks("alice"), saved("condor_q-mark"))
    assert ["-allusers", "-constraint", 'Owner == "alice"'] == commands[0][-3:]
    assert {MARK} == set(found)


def test_no_jobs_have_no_marks() -> None:
    """No output means that there are no marks."""
    assert {} == HTCONDOR.read_marks(Reply(("condor_q",), 0, ""))


def test_no_marks_of_a_schedd_that_does_not_answer() -> None:
    """A schedd that does not answer raises an error: the job may have been submitted."""
    with pytest.raises(SchedulerUnavailable):
        hold(HTCONDOR.find_marks("alice"), SCHEDD_HANGS)


# -- the inventory --------------------------------------------------------------------------------


SCHEDDS = saved("condor_status-schedd")


def nodes(reply: Reply, pool: str = "") -> dict[str, Node]:
    inventory, commands = hold(HTCondor(htcondor_pool=pool).inventory(), reply, SCHEDDS)
    where = ["condor_status", *(["-pool", pool] if pool else [])]
    assert [where, [*where, "-schedd"]] == [
        command[: command.index("-json")] for command in commands
    ]
    assert () == inventory.queues
    return {node.name: node for node in inventory.nodes}


def with_gpus(reply: Reply) -> Reply:
    """Return the output of condor_status if it is also asked for TotalSlotGPUs."""
    ads = json.loads(reply.stdout)
    for ad in ads:
        ad["TotalSlotGPUs"] = ad["TotalGPUs"] if ad["SlotType"] == "Partitionable" else 0
    return replace(reply, stdout=json.dumps(ads))


def test_nodes_that_are_idle() -> None:
    """A partitionable slot is a whole machine."""
    found = nodes(with_gpus(saved("condor_status-idle")))
    memory = 8000 * 2**20
    empty = Node("", cores=4, idle_cores=4, idle_gpus=0, memory=memory, idle_memory=memory)
    one, two = "condor1.cluster.example", "condor2.cluster.example"
    expected = {
        one: replace(empty, name=one, gpus=2, idle_gpus=2),
        two: replace(empty, name=two, gpu_types=()),
    }
    assert expected == found


def test_nodes_with_jobs() -> None:
    """What is left of a partitionable slot is idle; the slots cut from it are not counted."""
    found = nodes(with_gpus(saved("condor_status")))
    (one, two) = found.values()
    assert (True, 4, 1, 2, 2) == (
        one.available,
        one.cores,
        one.idle_cores,
        one.gpus,
        one.idle_gpus,
    )
    assert (8000 * 2**20, 7616 * 2**20) == (one.memory, one.idle_memory)
    assert (4, 2, 0) == (two.cores, two.idle_cores, two.idle_gpus)


def test_a_node_that_is_down() -> None:
    """A machine that is down is missing, because the collector forgets it."""
    assert ["condor2.cluster.example"] == list(nodes(saved("condor_status-node-down")))


def test_static_slots() -> None:
    """Several static slots are one machine; a claimed slot is not idle."""
    slot = {
        "Machine": "a",
        "SlotType": "Static",
        "State": "Unclaimed",
        "TotalSlotCpus": 2,
        "Cpus": 2,
        "TotalSlotMemory": 10,
        "Memory": 10,
    }
    claimed = {**slot, "State": "Claimed"}
    (node,) = nodes(rows(slot, claimed, {**slot, "TotalSlotGPUs": 1, "GPUs": 1})).values()
    assert (
        Node(
            "a",
            cores=6,
            idle_cores=4,
            gpus=1,
            idle_gpus=1,
            memory=30 * 2**20,
            idle_memory=20 * 2**20,
        )
        == node
    )


@pytest.mark.parametrize(
    "more",
    [{"State": "Owner"}, {"State": "Drained"}, {"State": "Unclaimed", "Offline": True}, {}],
)
def test_a_node_that_takes_no_jobs(more: dict[str, Any]) -> None:
    """A machine that its owner uses, that is drained, or that is switched off is not available."""
    ad = {"Machine": "a", "PartitionableSlot": True, "TotalSlotCpus": 2, "Cpus": 2, **more}
    (node,) = nodes(rows(ad)).values()
    assert (False, 2, 0, 0) == (node.available, node.cores, node.idle_cores, node.idle_memory)


def test_totals() -> None:
    """The totals are the sums over the machines that are up."""
    inventory = hold(HTCONDOR.inventory(), with_gpus(saved("condor_status")), SCHEDDS)[0]
    assert Totals(2, 0, 8, 3, 2, 2) == inventory.totals()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (SCHEDDS, (3, 2)),
        (rows({"TotalIdleJobs": 3, "TotalRunningJobs": 2}, {"TotalIdleJobs": 4}, {}), (7, 2)),
        (rows({"TotalIdleJobs": 0, "TotalRunningJobs": True}), (0, None)),
        (Reply(("condor_status",), 0, ""), (None, None)),
        (Reply(("condor_status",), 0, "[{"), (None, None)),
        (saved("condor_status-collector-down"), (None, None)),
        (AgentError("condor_status did not end in time"), (None, None)),
    ],
    ids=["one", "several", "nonsense", "none", "unreadable", "down", "too slow"],
)
def test_how_many_jobs_there_are(answer: Any, expected: tuple[int | None, int | None]) -> None:
    """The jobs of all schedds are added; if that fails, the machines are still known."""
    inventory, commands = hold(HTCONDOR.inventory(), saved("condor_status"), answer)
    assert SCHEDDS.command == tuple(commands[1])
    assert expected == (inventory.waiting, inventory.running)
    assert nodes(saved("condor_status")) == {node.name: node for node in inventory.nodes}


def test_another_pool() -> None:
    """The setting names another pool's central manager, and that pool has its own monitor."""
    assert {} == nodes(Reply(("condor_status",), 0, ""), pool="cm.example")
    assert HTCondor(htcondor_pool="cm.example").query_key != HTCONDOR.query_key


@pytest.mark.parametrize(
    "answer",
    [
        saved("condor_status-no-such-node"),
        Reply(("condor_status",), 1, "", "Error: communication error\nCEDAR:6001:Failed to"),
        Reply(("condor_status",), 0, "[{"),
    ],
)
def test_a_collector_that_does_not_answer(answer: Reply) -> None:
    """A collector that does not answer is an error, not an empty cluster."""
    with pytest.raises(SchedulerUnavailable):
        hold(HTCONDOR.inventory(), answer)


# -- errors ---------------------------------------------------------------------------------------

REFUSED = [
    *("bad-environment", "bad-initialdir", "bad-line", "bad-requirements", "bad-universe"),
    *("empty", "missing-executable", "no-executable", "no-file", "no-queue", "root"),
    *("syntax-error",),
]
MEANINGS = {
    **{f"condor_submit-{name}": Meaning.REFUSED for name in REFUSED},
    "condor_submit-service-user": Meaning.DENIED,
    "condor_rm-finished": Meaning.GONE,
    "condor_rm-unknown-proc": Meaning.GONE,
    "condor_rm-twice": Meaning.GONE,
    "condor_rm-service-user": Meaning.DENIED,
    "condor_hold-not-owner": Meaning.DENIED,
    # For a cluster, condor_rm does not say whether the job has ended or is another user's.
    "condor_rm-not-owner": Meaning.REFUSED,
    "condor_rm-unknown": Meaning.REFUSED,
    "condor_rm-twice-cluster": Meaning.REFUSED,
    "condor_rm-nonsense": Meaning.REFUSED,
    "condor_rm-two-unknown": Meaning.REFUSED,
    "condor_rm-two-one-not-owner": Meaning.REFUSED,
    "condor_rm-forcex-not-removed": Meaning.REFUSED,
}


@pytest.mark.parametrize("name", MEANINGS)
def test_what_errors_mean(name: str) -> None:
    """Every saved failure is recognised by its text, because all have the exit status 1."""
    reply = saved(name)
    assert reply.exit_status
    assert MEANINGS[name] is HTCONDOR.meaning(reply)


@pytest.mark.parametrize(
    "path",
    [
        path
        for pattern in ("condor_submit*", "condor_rm*")
        for path in sorted(OUTPUTS.glob(pattern))
    ],
    ids=lambda path: str(path.name),
)
def test_every_saved_failure_has_a_meaning(path: Path) -> None:
    """Only a schedd that is down or hangs counts as unavailable."""
    reply = read_saved_reply(path)
    unavailable = HTCONDOR.meaning(reply) is Meaning.UNAVAILABLE
    away = bool(re.search(r"schedd-(hangs|down|killed)|frozen", path.name))
    assert unavailable == bool(away and reply.text and reply.exit_status)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Permission denied to remove job 78.0", Meaning.DENIED),
        (RM_SCHEDD_HANGS, Meaning.UNAVAILABLE),
        (SCHEDD_HANGS.stderr, Meaning.UNAVAILABLE),
        ("condor_rm: unknown host nowhere", Meaning.UNAVAILABLE),
        ("ERROR: Can't find address of local schedd", Meaning.UNAVAILABLE),
        ("Error: communication error\nCEDAR:6001:Failed to connect to <x>", Meaning.UNAVAILABLE),
        ("ERROR: Failed to connect to local queue manager", Meaning.UNAVAILABLE),
        ("ERROR: Number of submitted jobs would exceed MAX_JOBS_SUBMITTED", Meaning.REFUSED),
        ("ERROR: The following files: x: Permission denied", Meaning.REFUSED),
        ("", Meaning.REFUSED),
    ],
)
def test_what_other_errors_mean(text: str, expected: Meaning) -> None:
    """Errors of condor_rm, condor_submit and condor_status are recognised by their texts."""
    assert expected is HTCONDOR.meaning(Reply((), 1, "", text))


def test_submissions_that_fail() -> None:
    """A refusal has condor_submit's own words; a schedd that is down is not a refusal."""
    error = HTCONDOR.submit_error(saved("condor_submit-bad-initialdir"))
    assert SubmitError is type(error)
    assert "No such directory: /home/alice/nowhere" in error.output
    error = HTCONDOR.submit_error(saved("condor_submit-service-user"))
    assert SubmitError is type(error)
    down = Reply(("condor_submit",), 1, "", "ERROR: Can't find address of local schedd")
    assert isinstance(HTCONDOR.submit_error(down), SchedulerUnavailable)


def test_cancellations_that_fail() -> None:
    """To cancel a job that has ended or is ending is not an error; another user's job is one."""
    for name in ("finished", "unknown-proc", "twice"):
        assert HTCONDOR.cancel_error(saved(f"condor_rm-{name}")) is None
    denied = HTCONDOR.cancel_error(Reply((), 1, "", "\nPermission denied to remove job 78.0\n"))
    assert isinstance(denied, CancelError)
    assert "Permission denied to remove job 78.0" in denied.output
    hangs = HTCONDOR.cancel_error(Reply((), 1, "", RM_SCHEDD_HANGS))
    assert isinstance(hangs, SchedulerUnavailable)


def test_who_it_is() -> None:
    """HTCondor is recognised by the first line of condor_version."""
    assert re.search(HTCONDOR.identity, saved("condor_version").stdout, re.MULTILINE)
