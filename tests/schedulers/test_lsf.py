"""LSF and its relatives: the script, and what their commands print.

tests/outputs/openlava is what OpenLava 2.2 printed. What IBM's LSF prints is written here by hand,
from its manual pages (10.1: bjobs, bqueues, bhosts, lshosts, bsub, bkill).
"""

import json
import re
import shlex
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from unispawner.errors import CancelError, InvalidJobError, SchedulerUnavailable, SubmitError
from unispawner.job import JobInfo, JobSpec, JobState, ResourceSpec
from unispawner.schedulers import lsf_bjobs
from unispawner.schedulers.base import Dialogue, Meaning, Reply, T
from unispawner.schedulers.inventory import Inventory, Node, Queue
from unispawner.schedulers.lsf import Lsf
from unispawner.schedulers.lsf_bjobs import FIELDS, REASONS, read_time
from unispawner.script import render_script
from unispawner.testing import read_saved_reply

OUTPUTS = Path(__file__).parents[1] / "outputs" / "openlava"
LSF = Lsf()
QUERY = tuple(LSF.status_command())
WIDE = tuple(LSF.wide_status_command())
MARK = "0123456789abcdef"
HEADING = "JOBID   USER    STAT  QUEUE      FROM_HOST   EXEC_HOST   JOB_NAME   SUBMIT_TIME"
NOW = datetime(2026, 11, 24, 12, 0).timestamp()

FULL = JobSpec(
    name="my job[1-9]%2",
    executable="python3",
    arguments=("-I", "-"),
    directory="/home/ada/my work",
    environment={"TOKEN": "topsecret"},
    stdout_path=f"/home/ada/.unispawner/logs/{MARK}.log",
    resources=ResourceSpec(
        node_count=2,
        processes_per_node=4,
        cpu_cores_per_process=3,
        gpu_cores_per_process=1,
        memory=8 * 1024**3 + 1,
        exclusive_node_use=True,
    ),
    duration=timedelta(days=1, hours=12, seconds=1),
    queue_name="gpu",
    account="ml",
    reservation_id="ada#0",
    custom_attributes={
        "lsf.app": "jupyter",
        "lsf.R": ["select[type==any]", "order[ut]"],
        "lsf.gpu": "mode=exclusive_process",
        "lsf.r": True,
        "lsf.H": False,
        "lsf.w": 'done("prepare it")',
        "lsf.sp": 10,
        "pbs.W": "x",
    },
    prologue="module load python",
    mark=MARK,
)

# Each line with the manual page it is from; those of IBM's begin with bsub.
SCRIPT = """\
#!/bin/bash -l
# unispawner:0123456789abcdef
#BSUB -J my_job_1-9__2
#BSUB -o /dev/null
#BSUB -n 24
#BSUB -R "select[type==any] order[ut] rusage[mem=4097] span[ptile=12]"
#BSUB -M 8388609
#BSUB -gpu num=4:mode=exclusive_process
#BSUB -x
#BSUB -W 36:01
#BSUB -q gpu
#BSUB -P ml
#BSUB -U "ada#0"
#BSUB -app jupyter
#BSUB -r
#BSUB -w 'done("prepare it")'
#BSUB -sp 10

cd '/home/ada/my work' || exit 1
. /home/ada/env || exit 1
module load python
exec python3 -I - <<'END_OF_UNISPAWNER_LAUNCHER'
print()
END_OF_UNISPAWNER_LAUNCHER
"""
# -J bsub(1) -J: an index list in brackets makes an array, so there is none.
# -o bsub(1) -o; the job writes its own log (lsf.conf, LSB_STDOUT_DIRECT: else it comes at the end).
# -n bsub(1) -n: tasks, of one slot each. -R bsub(1) -R; rusage is each host's (lsb.params,
#    RESOURCE_RESERVE_PER_TASK) and in MB, -M is in KB (lsf.conf, LSF_UNIT_FOR_LIMITS).
# -gpu bsub(1) -gpu: num is each host's. -W bsub(1) -W: [hour:]minute. -x -q -P -U bsub(1).


def saved(name: str) -> Reply:
    return read_saved_reply(OUTPUTS / name)


def record(**changes: str) -> dict[str, str]:
    """A job as bjobs(1) -o -json tells of it, pending and with nothing to tell."""
    told = dict.fromkeys((field.upper() for field in FIELDS), "")
    return {**told, "JOBID": "1", "USER": "ada", "STAT": "PEND", "QUEUE": "normal", **changes}


def answer(*records: Mapping[str, str]) -> Reply:
    text = json.dumps({"COMMAND": "bjobs", "JOBS": len(records), "RECORDS": records}, indent=2)
    return Reply(QUERY, 0, text.replace("/", "\\/") + "\n")  # as LSF writes slashes


def one(**changes: str) -> JobInfo:
    (info,) = LSF.read_status(answer(record(**changes))).values()
    return info


def wide(*lines: str, status: int = 0, stderr: str = "") -> Reply:
    return Reply(WIDE, status, "".join(f"{line}\n" for line in (HEADING, *lines)), stderr)


def hold(dialogue: Dialogue[T], *replies: Reply) -> tuple[list[list[str]], T]:
    """Answer each command of a dialogue; return the commands and the result."""
    asked = [next(dialogue)]
    for reply in replies:
        try:
            asked.append(dialogue.send(reply))
        except StopIteration as stop:
            assert len(asked) == len(replies), "not every reply was wanted"
            result: T = stop.value
            return asked, result
    raise AssertionError(f"it asks on: {asked[-1]}")


def requirements(spec: JobSpec, lsf: Lsf = LSF) -> str:
    lines = [line for line in lsf.directives(spec) if line.startswith("#BSUB -R ")]
    assert len(lines) <= 1
    return lines[0].removeprefix("#BSUB -R ").strip('"') if lines else ""


def bsub_reads(line: str) -> list[str]:
    """Return the words that bsub takes from a directive: parseLine of OpenLava's cmd.sub.c.

    LSF's own is what that descends from: a quote counts at a word's beginning only, nothing is
    escaped, blanks are one, and a word that begins with # ends the line.
    """
    rest = line.removeprefix("#BSUB").split()
    assert line.startswith("#BSUB -")
    words: list[str] = []
    while rest:
        left = " ".join(rest)
        single, double = left.find("'"), left.find('"')
        quote = "'" if single >= 0 and (double < 0 or single < double) else '"'
        word = rest.pop(0)
        if word.startswith(quote):
            word = word[1:]
            while quote not in word:
                word += " " + rest.pop(0)
            word = word[: word.index(quote)]
        if word.startswith("#"):
            break
        words.append(word)
    return words


# -- the script ---------------------------------------------------------------------------------


def test_the_script_of_a_full_job() -> None:
    """Every field reaches the script, line by line, and no secret does."""
    script = render_script(FULL, LSF, environment_file="/home/ada/env", standard_input="print()")
    without_log = script.replace(LSF.preamble(FULL)[0] + "\n", "")
    assert SCRIPT.splitlines() == without_log.splitlines()


def test_the_directives_of_an_empty_job() -> None:
    """All that isn't asked for is left to the site."""
    assert ["#BSUB -J jupyter", "#BSUB -n 1"] == LSF.directives(JobSpec())


def test_the_job_writes_its_log_itself() -> None:
    """LSF shows output only at the end, and adds a report; a job that is run again adds to it."""
    spec = replace(FULL, stdout_path="/home/ada/it's/log")
    (line,) = LSF.preamble(spec)
    assert ["exec", ">>/home/ada/it's/log", "2>&1"] == shlex.split(line)
    assert "#BSUB -o /dev/null" in LSF.directives(spec)
    assert [] == LSF.preamble(JobSpec())


def test_the_mark_stands_first() -> None:
    """OpenLava shows the first 255 characters of a script, with 30 of its own before it."""
    head = render_script(FULL, LSF, shell="/bin/bash -l")[:200]
    assert f"unispawner:{MARK}" in head


@pytest.mark.parametrize("line", SCRIPT.splitlines()[2:17])
def test_bsub_reads_what_was_written(line: str) -> None:
    """An option, and its value in one word."""
    words = bsub_reads(line)
    assert len(words) == (1 if words[0] in ("-x", "-r") else 2)
    assert not set("\"'") & set(words[-1]) or words[0] == "-w"


@pytest.mark.parametrize(
    "value",
    ["plain", "a b", "it's", 'say "hi"', "$HOME `id`", "a;b&c|d", "*?[x]", "x#y", "ünï", "%J"],
)
def test_values_that_bsub_can_be_told(value: str) -> None:
    """They come out as they are."""
    spec = JobSpec(queue_name=value, custom_attributes={"lsf.app": value})
    LSF.check_supported(spec)
    read = [bsub_reads(line) for line in LSF.directives(spec)]
    assert ["-q", value] in read
    assert ["-app", value] in read


@pytest.mark.parametrize("value", ["a\\b", "\"'", "#x", "-x", " x", "x ", "a  b", "x\\"])
def test_values_that_bsub_cannot_be_told(value: str) -> None:
    """They are refused by name: a backslash at the end of a line would join the next to it."""
    for spec, field in (
        (JobSpec(queue_name=value), "queue_name"),
        (JobSpec(account=value), "account"),
        (JobSpec(reservation_id=value), "reservation_id"),
        (JobSpec(custom_attributes={"lsf.app": value}), "custom_attributes: lsf.app"),
    ):
        with pytest.raises(InvalidJobError, match=f"^{field}: .* can't be told to bsub"):
            LSF.check_supported(spec)


@pytest.mark.parametrize("option", ["J", "o", "oo", "e", "eo", "I", "Is", "K", "pack"])
def test_options_that_are_ours(option: str) -> None:
    """An array, an interactive job or another log is not what a server is."""
    with pytest.raises(InvalidJobError, match=rf"lsf\.{option} "):
        LSF.check_supported(JobSpec(custom_attributes={f"lsf.{option}": "x"}))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("jupyter", "jupyter"),
        ("a[1-3]%2", "a_1-3__2"),
        ("/group/x", "_group_x"),
        ("-x y", "_x_y"),
        ("ü*\\", "___"),
        ("x" * 300, "x" * 128),
    ],
)
def test_names(name: str, expected: str) -> None:
    """No name makes an array, a pattern or two columns."""
    assert f"#BSUB -J {expected}" == LSF.directives(JobSpec(name=name))[0]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ("rusage[mem=1026]", "1049601")),
        ({"lsf_unit_for_limits": "MB"}, ("rusage[mem=1026]", "1026")),
        ({"lsf_unit_for_limits": "GB"}, ("rusage[mem=2]", "2")),
        ({"lsf_unit_for_limits": "TB"}, ("rusage[mem=1]", "1")),
        ({"lsf_unit_for_limits": "explicit"}, ("rusage[mem=1026MB]", "1026MB")),
    ],
)
def test_memory_is_in_the_sites_unit_and_rounded_up(
    settings: Mapping[str, Any], expected: tuple[str, str]
) -> None:
    """LSF_UNIT_FOR_LIMITS (lsf.conf); where it is not set, -M counts KB and rusage MB."""
    lsf = Lsf(**settings)
    spec = JobSpec(resources=ResourceSpec(memory=1024**3 + 1024**2 + 1))
    reserved, limit = expected
    assert reserved == requirements(spec, lsf)
    assert f"#BSUB -M {limit}" in lsf.directives(spec)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ("rusage[mem=6] span[ptile=3]", "12288")),
        ({"lsf_memory_reserved_per": "task"}, ("rusage[mem=2] span[ptile=3]", "12288")),
        ({"lsf_memory_limit_per": "task"}, ("rusage[mem=6] span[ptile=3]", "2048")),
    ],
)
def test_memory_is_shared_out(settings: Mapping[str, Any], expected: tuple[str, str]) -> None:
    """PSI/J's memory is the job's: 12 MB on 2 hosts with 3 cores each."""
    lsf = Lsf(**settings)
    resources = ResourceSpec(node_count=2, cpu_cores_per_process=3, memory=12 * 1024**2)
    spec = JobSpec(resources=resources)
    lines = lsf.directives(spec)
    assert expected[0] == requirements(spec, lsf)
    assert f"#BSUB -M {expected[1]}" in lines


@pytest.mark.parametrize("unit", ["kb", "PB", "", 1])
def test_a_unit_that_is_none(unit: Any) -> None:
    """A typing error is found when the Hub starts."""
    with pytest.raises(InvalidJobError, match="lsf_unit_for_limits"):
        Lsf(lsf_unit_for_limits=unit)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (1, "")),
        ({"process_count": 1}, (1, "")),
        ({"cpu_cores_per_process": 4}, (4, "span[hosts=1]")),
        ({"process_count": 3}, (3, "span[hosts=1]")),
        ({"node_count": 2}, (2, "span[ptile=1]")),
        (
            {"node_count": 2, "processes_per_node": 2, "cpu_cores_per_process": 2},
            (8, "span[ptile=4]"),
        ),
    ],
)
def test_slots(given: dict[str, int], expected: tuple[int, str]) -> None:
    """Cores are slots; those of one node stay together."""
    spec = JobSpec(resources=ResourceSpec(**given))  # type: ignore[arg-type]
    slots, span = expected
    assert f"#BSUB -n {slots}" in LSF.directives(spec)
    assert span == requirements(spec)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], "rusage[mem=1] span[hosts=1]"),
        (["type==any"], "type==any rusage[mem=1] span[hosts=1]"),
        (["span[ptile=2]"], "span[ptile=2] rusage[mem=1]"),
        (["rusage[ngpus=1]"], "rusage[mem=1,ngpus=1] span[hosts=1]"),
        (["rusage[a=1||b=1]"], "rusage[mem=1,a=1 || mem=1,b=1] span[hosts=1]"),
        (["rusage[mem=9]"], "rusage[mem=9] span[hosts=1]"),
        (["rusage[x=1,mem = 9:duration=1]"], "rusage[x=1,mem = 9:duration=1] span[hosts=1]"),
        (["select[mem>9]"], "select[mem>9] rusage[mem=1] span[hosts=1]"),
    ],
)
def test_requirements_are_joined(given: list[str], expected: str) -> None:
    """OpenLava takes one -R only; what an administrator writes wins, section by section."""
    resources = ResourceSpec(cpu_cores_per_process=2, memory=1)
    spec = JobSpec(resources=resources, custom_attributes={"lsf.R": list(given)})
    assert expected == requirements(spec)


@pytest.mark.parametrize(
    ("gpus", "given", "expected"),
    [
        (0, [], None),
        (2, [], "num=2"),
        (2, ["gmodel=K80", "j_exclusive=yes"], "num=2:gmodel=K80:j_exclusive=yes"),
        (2, ["num=1/task"], "num=1/task"),
        (2, ["-"], "-"),
        (0, ["num=1"], "num=1"),
    ],
)
def test_gpus(gpus: int, given: list[str], expected: str | None) -> None:
    """Theirs is joined to ours; their number wins. Zero GPUs ask for no GPU host."""
    resources = ResourceSpec(gpu_cores_per_process=gpus)
    spec = JobSpec(resources=resources, custom_attributes={"lsf.gpu": list(given)})
    LSF.check_supported(spec)
    read = [bsub_reads(line) for line in LSF.directives(spec)]
    assert ([] if expected is None else [["-gpu", expected]]) == [
        words for words in read if words[0] == "-gpu"
    ]


def test_gpus_where_resources_are_reserved_by_task() -> None:
    """There, a bare number would be each core's (bsub(1), -gpu)."""
    resources = ResourceSpec(gpu_cores_per_process=2, cpu_cores_per_process=8)
    lines = Lsf(lsf_memory_reserved_per="task").directives(JobSpec(resources=resources))
    assert "#BSUB -gpu num=2/host" in lines


def test_an_attribute_takes_the_place_of_ours() -> None:
    """LSF would take the first or the last of two, as it happens to be."""
    spec = JobSpec(duration=timedelta(hours=1), custom_attributes={"lsf.W": "9", "lsf.n": "2,4"})
    options = [line.split()[1:3] for line in LSF.directives(spec)]
    assert [["-J", "jupyter"], ["-W", "9"], ["-n", "2,4"]] == options


# -- queries ------------------------------------------------------------------------------------


def test_the_bulk_query_asks_for_nothing_that_a_user_can_write() -> None:
    """Names, descriptions, commands and what was said with bkill -C are not asked for."""
    written_by_users = {
        *("job_name", "job_description", "command", "kill_reason", "suspend_reason"),
        *("resume_reason", "sub_cwd", "output_file", "error_file", "dependency", "application"),
        *("pre_exec_command", "post_exec_command", "job_group", "esub", "effective_resreq"),
    }
    assert set() == set(FIELDS) & written_by_users
    assert " ".join(FIELDS) == QUERY[QUERY.index("-o") + 1]
    assert ("bjobs", "-u", "all", "-a") == QUERY[:4]
    assert "-json" in QUERY


def test_the_query_by_ids() -> None:
    """Whoever's they are; bjobs of an id needs no -u."""
    command = LSF.status_command(["1", "2"])
    assert ["1", "2"] == command[-2:]
    assert "-u" not in command


def test_a_job_that_runs() -> None:
    """Host, start and expected end; no position. bjobs(1) -WF: L is of the run limit."""
    start = datetime.now() - timedelta(minutes=90)
    end = start + timedelta(hours=8)
    info = one(
        STAT="RUN",
        EXEC_HOST="2*n1:4*n2",
        START_TIME=start.strftime("%b %d %H:%M"),
        FINISH_TIME=end.strftime("%b %e %H:%M L"),
    )
    assert (
        JobInfo(
            owner="ada",
            state=JobState.RUNNING,
            exec_host="n1",
            start_time=start.replace(second=0, microsecond=0).timestamp(),
            estimated_end=end.replace(second=0, microsecond=0).timestamp(),
            native_state="RUN",
        )
        == info
    )


def test_a_job_that_waits() -> None:
    """Reason, estimated start and position; no host, no end."""
    start = (datetime.now() + timedelta(days=40)).replace(second=0, microsecond=0)
    info = one(
        PEND_REASON="Job slot limit reached: 3 hosts;",
        ESTIMATED_START_TIME=start.strftime("%b %d %H:%M"),
    )
    assert (
        JobInfo(
            owner="ada",
            state=JobState.QUEUED,
            message="Job slot limit reached: 3 hosts",
            queue_position=1,
            estimated_start=start.timestamp(),
            native_state="PEND",
        )
        == info
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n1", "n1"),
        ("n1:n1:n2", "n1"),
        ("2*host1:host2", "host1"),
        ("16*gpu-01.example.org", "gpu-01.example.org"),
        ("n1@cluster2", "n1"),
        ("-", ""),
        ("", ""),
        ("   -   ", ""),
    ],
)
def test_hosts(text: str, expected: str) -> None:
    """The first one; LSB_SHORT_HOSTLIST puts the number of slots before it."""
    assert expected == one(STAT="RUN", EXEC_HOST=text).exec_host


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("PEND", JobState.QUEUED),
        ("PROV", JobState.QUEUED),
        ("WAIT", JobState.QUEUED),
        ("PSUSP", JobState.HELD),
        ("RUN", JobState.RUNNING),
        ("USUSP", JobState.SUSPENDED),
        ("SSUSP", JobState.SUSPENDED),
        ("DONE", JobState.COMPLETED),
        ("EXIT", JobState.FAILED),
        ("UNKWN", JobState.UNKNOWN),
        ("NEWEST", JobState.UNKNOWN),
        ("run", JobState.UNKNOWN),
    ],
)
def test_states(word: str, expected: JobState) -> None:
    """bjobs(1)'s words; one that it adds later is UNKNOWN, and kept as it was said."""
    info = one(STAT=word, EXEC_HOST="n1")
    assert (expected, word) == (info.state, info.native_state)


def test_a_zombie_is_on_its_way_out() -> None:
    """It was cancelled while its host did not answer; it ends when that comes back."""
    info = one(STAT="ZOMBI", EXEC_HOST="n1")
    assert (JobState.RUNNING, True) == (info.state, info.ending)
    assert "lost contact" in info.message


def test_a_host_that_is_lost_is_no_end() -> None:
    """The job may well be running; its host is still told."""
    info = one(STAT="UNKWN", EXEC_HOST="n1")
    assert ("n1", JobState.UNKNOWN) == (info.exec_host, info.state)


@pytest.mark.parametrize(
    ("reason", "code", "expected"),
    [
        ("", "1", (JobState.FAILED, "", 1)),
        ("", "", (JobState.FAILED, "", None)),
        ("TERM_OWNER: job killed by owner", "130", (JobState.CANCELED, "TERM_OWNER", 130)),
        ("TERM_FORCE_OWNER: x", "9", (JobState.CANCELED, "TERM_FORCE_OWNER", 9)),
        ("TERM_ADMIN: job killed by root or LSF administrator", "", (JobState.CANCELED, "TERM_ADMIN", None)),
        ("TERM_RUNLIMIT: job killed after reaching LSF run time limit", "140", (JobState.FAILED, "TERM_RUNLIMIT", 140)),
        ("TERM_MEMLIMIT: job killed after reaching LSF memory usage limit.", "137", (JobState.FAILED, "TERM_MEMLIMIT", 137)),
        ("TERM_NEW: something new", "1", (JobState.FAILED, "TERM_NEW: something new", 1)),
    ],
)  # fmt: skip
def test_how_a_job_ended(
    reason: str, code: str, expected: tuple[JobState, str, int | None]
) -> None:
    """In plain words; one that its owner killed is cancelled, not failed."""
    info = one(STAT="EXIT", EXIT_REASON=reason, EXIT_CODE=code, EXEC_HOST="n1", PEND_REASON="old;")
    state, message, exit_code = expected
    assert (state, REASONS.get(message, message), exit_code) == (
        info.state,
        info.message,
        info.exit_code,
    )
    assert "" == info.exec_host


def test_a_job_that_is_done() -> None:
    """LSF leaves its exit code empty."""
    info = one(STAT="DONE", EXEC_HOST="n1")
    assert (JobState.COMPLETED, 0, "") == (info.state, info.exit_code, info.message)


def test_positions_follow_the_listing_within_a_queue() -> None:
    """bjobs lists jobs as they are to start: btop and bbot move them."""
    jobs = LSF.read_status(
        answer(
            record(JOBID="7", STAT="RUN"),
            record(JOBID="9"),
            record(JOBID="8"),
            record(JOBID="3", QUEUE="long"),
            record(JOBID="2", STAT="PSUSP"),
            record(JOBID="4"),
        )
    )
    positions = {job_id: info.queue_position for job_id, info in jobs.items()}
    assert {"7": None, "9": 1, "8": 2, "3": 1, "2": None, "4": 3} == positions


def test_an_owner_of_another_domain() -> None:
    """The account is what stands before the @."""
    assert "ada" == one(USER="ada@cluster").owner


def test_what_bjobs_says_while_it_waits_is_passed_over() -> None:
    """It tried again, and then answered."""
    reply = answer(record())
    noisy = replace(reply, stdout="Cannot connect to LSF. Please wait ...\n" + reply.stdout)
    assert LSF.read_status(reply) == LSF.read_status(noisy)


def test_a_record_that_is_odd_is_passed_over() -> None:
    """One job that can't be read does not hide the others; nor is an id that comes twice believed."""
    whole = record(JOBID="1")
    odd = {"JOBID": "2", "USER": "ada"}
    task = record(JOBID="3", STAT="DONE")
    reply = answer(whole, odd, task, task, record(JOBID="4[2]"), record(JOBID="5", USER=""))
    assert ["1"] == list(LSF.read_status(reply))


def test_a_key_that_comes_twice_is_not_believed() -> None:
    """Whoever it is that wrote the second."""
    text = json.dumps({"COMMAND": "bjobs", "JOBS": 2, "RECORDS": [record(), record(JOBID="2")]})
    forged = text.replace('"JOBID": "2"', '"JOBID": "2", "STAT": "EXIT"')
    assert ["1"] == list(LSF.read_status(Reply(QUERY, 0, forged)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"COMMAND":"bhosts","RECORDS":[]}',
        '{"COMMAND":"bjobs","JOBS":1,"RECORDS":[{"JOBID":"1"}]}',
        '{"COMMAND":"bjobs","JOBS":1,"RECORDS":[{"JOBID":"1","USER',
        '{"COMMAND":"bjobs","RECORDS":{}}',
        "1 ada RUN normal vm vm x Nov 22 19:32",
    ],
)
def test_an_answer_of_another_shape_is_no_answer(text: str) -> None:
    """A cut-off or garbled answer isn't read in part."""
    with pytest.raises(SchedulerUnavailable):
        LSF.read_status(Reply(QUERY, 0, text))


@pytest.mark.parametrize(
    "reply",
    [
        answer(),
        Reply(QUERY, 255, "", "No job found\n"),
        Reply(QUERY, 255, "", "No unfinished job found\n"),
        Reply(QUERY, 0, "", "No job found\n"),
        replace(answer(), exit_status=255),  # Volclava
    ],
)
def test_no_job_at_all(reply: Reply) -> None:
    """That is an answer, though bjobs fails."""
    assert {} == LSF.read_status(reply)


@pytest.mark.parametrize(
    "stderr",
    [
        "LSF is down. Please wait ...",
        "batch system daemon not responding ... still trying",
        "LSF daemon (LIM) not responding ... still trying",
        "Failed in an LSF library call: LIM is down; try later",
        "Contacting batch daemon: Communication timeout",
        "lsb_init: Failed in an LSF library call: Slave LIM configuration is not ready yet.",
        "Cannot connect to LSF. Please wait ...",
        "Batch system concurrent job query limit exceeded. LSF is retrying. Please wait...",
    ],
)
def test_a_cluster_that_is_down_is_no_answer(stderr: str) -> None:
    """It says nothing about any job; Volclava prints an empty list all the same."""
    for stdout in ("", answer().stdout):
        reply = Reply(QUERY, 255, stdout, stderr)
        with pytest.raises(SchedulerUnavailable, match=re.escape(stderr[:20])) as caught:
            hold(LSF.query(), reply)
        assert 255 == caught.value.exit_status


# -- times --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Nov 24 11:59", datetime(2026, 11, 24, 11, 59)),
        ("Nov  4 01:02", datetime(2026, 11, 4, 1, 2)),
        ("Dec 31 23:59", datetime(2026, 12, 31, 23, 59)),
        ("Jan  2 08:00", datetime(2027, 1, 2, 8, 0)),
        ("Jun  1 08:00", datetime(2026, 6, 1, 8, 0)),
        ("Nov 24 11:59:07", datetime(2026, 11, 24, 11, 59, 7)),
        ("Nov 24 11:59 2025", datetime(2025, 11, 24, 11, 59)),
        ("Nov 24 11:59:07 2025 L", datetime(2025, 11, 24, 11, 59, 7)),
        ("Nov 24 11:59 E", datetime(2026, 11, 24, 11, 59)),
    ],
)
def test_times_without_a_year(text: str, expected: datetime) -> None:
    """The nearest: around New Year a start is in the old one, an end in the new one."""
    assert expected.timestamp() == read_time(text, NOW)[0]


def test_new_year() -> None:
    """Seen in January, December was last year's."""
    now = datetime(2027, 1, 1, 0, 30).timestamp()
    assert datetime(2026, 12, 31, 23, 0).timestamp() == read_time("Dec 31 23:00", now)[0]
    assert datetime(2027, 1, 1, 8, 0).timestamp() == read_time("Jan  1 08:00", now)[0]


def test_a_leap_day() -> None:
    """It is in the year that has one, or nowhere near."""
    now = datetime(2028, 2, 28, 12, 0).timestamp()
    assert datetime(2028, 2, 29, 8, 0).timestamp() == read_time("Feb 29 08:00", now)[0]
    assert (None, "") == read_time("Feb 29 08:00", NOW - 365 * 86400)


@pytest.mark.parametrize("text", ["", "-", "soon", "Foo 99 99:99", "2026-11-24T11:59"])
def test_a_time_that_is_none(text: str) -> None:
    """None, never an error."""
    assert (None, "") == read_time(text, NOW)


@pytest.mark.parametrize(("flag", "told"), [(" L", True), (" E", True), (" X", False), ("", False)])
def test_an_end_that_is_expected(flag: str, told: bool) -> None:
    """One that has passed already isn't expected any more (bjobs(1), -WF)."""
    text = time.strftime("%b %d %H:%M") + flag
    assert told == (one(STAT="RUN", FINISH_TIME=text).estimated_end is not None)


# -- columns ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bjobs-a-w-all-users", "bjobs-a-w-after-bkill"])
def test_every_saved_listing_is_read(name: str) -> None:
    """Each row becomes a job with its owner and a known state."""
    reply = saved(name)
    jobs = LSF.read_status(reply)
    lines = [line.split() for line in reply.stdout.splitlines()[1:]]
    assert [line[0] for line in lines] == list(jobs)
    for job_id, owner, word, *_ in lines:
        assert (owner, word) == (jobs[job_id].owner, jobs[job_id].native_state)
        assert jobs[job_id].state is not JobState.UNKNOWN


def test_a_saved_listing() -> None:
    """Hosts of those that run, positions of those that wait."""
    jobs = LSF.read_status(saved("bjobs-a-w-all-users"))
    assert JobInfo("alice", JobState.RUNNING, exec_host="vm", native_state="RUN") == jobs["104"]
    waiting = JobInfo("alice", JobState.QUEUED, queue_position=9, native_state="PEND")
    assert waiting == jobs["116"]
    assert JobInfo("alice", JobState.FAILED, native_state="EXIT") == jobs["3"]


def test_old_releases_are_asked_for_columns() -> None:
    """OpenLava knows neither -o nor -json; the reasons take a third question."""
    reasons = (  # bjobs(1), -p, as in the LSF 4 user's guide
        "JOBID   USER    STAT  QUEUE       FROM_HOST      JOB_NAME           SUBMIT_TIME\n"
        "108     alice   PEND  normal      vm             jupyter            Nov 22 19:32\n"
        " Queue's resource requirements not satisfied:3 hosts;\n"
        " Not enough job slots: 1 host;\n"
        "109     alice   PEND  normal      vm             jupyter            Nov 22 19:32\n"
        " New job is waiting for scheduling;\n"
    )
    listing = saved("bjobs-a-w-all-users")
    asked, jobs = hold(LSF.query(), saved("bjobs-o-json"), listing, Reply((), 0, reasons))
    assert [list(QUERY), ["bjobs", "-u", "all", "-a", "-w"], ["bjobs", "-u", "all", "-p"]] == asked
    expected = "Queue's resource requirements not satisfied:3 hosts; Not enough job slots: 1 host"
    assert expected == jobs["108"].message
    assert REASONS["New job is waiting for scheduling"] == jobs["109"].message
    assert ("", "") == (jobs["110"].message, jobs["104"].message)


def test_reasons_are_asked_for_only_if_something_waits() -> None:
    """And a refusal to tell them is none to tell of the jobs."""
    refused = saved("bjobs-o-json")
    running = wide(
        "104     alice   RUN   normal     vm          vm          x          Nov 22 19:32"
    )
    asked, jobs = hold(LSF.query(["104"]), refused, running)
    assert ["bjobs", "-a", "-w", "104"] == asked[-1]
    waiting = wide(
        "104     alice   PEND  normal     vm             -        x          Nov 22 19:32"
    )
    _, jobs = hold(LSF.query(), refused, waiting, Reply((), 255, "", "No pending job found"))
    assert JobState.QUEUED is jobs["104"].state


def test_volclava_refuses_fields_that_it_does_not_have() -> None:
    """As its bjobs.c says it, and ends with 99."""
    refused = Reply(
        QUERY, 99, "", "<PEND_REASON> in the format string is not a valid field name.\n"
    )
    row = "7       ada     RUN   normal     vm          2*n1:3*n2   x          Nov 22 19:32"
    _, jobs = hold(LSF.query(), refused, wide(row))
    assert "n1" == jobs["7"].exec_host


def test_a_name_may_hold_anything() -> None:
    """Nothing behind the host is read, and a column may be longer than its heading."""
    jobs = LSF.read_status(
        wide(
            "1234567890 averylongusername USUSP averylongqueue login-with-long-name 4*n1:4*n2 a b Nov",
            "2       ada     PEND  normal     vm                      my  own job Nov 22 19:32",
            "3       ada     EXIT  normal     vm                      n9 was it   Nov 22 19:32",
            "",
        )
    )
    assert ["1234567890", "2", "3"] == list(jobs)
    assert ("averylongusername", "n1") == (jobs["1234567890"].owner, jobs["1234567890"].exec_host)
    assert ("", "") == (jobs["2"].exec_host, jobs["3"].exec_host)


def test_a_name_forges_no_row() -> None:
    """A line break in a name may look like another job's end: then neither row is believed."""
    jobs = LSF.read_status(
        wide(
            "1       eve     RUN   normal     vm          vm          x Nov 22 19:32",
            "2       ada     EXIT  normal     vm          vm          y          Nov 22 19:32",
            "2       ada     RUN   normal     vm          n1          jupyter    Nov 22 19:32",
            "3       eve     PEND  normal     vm             -        line",
            "break          Nov 22 19:32",
            " 4      ada     EXIT  normal     vm          vm          y          Nov 22 19:32",
        )
    )
    assert ["1", "3"] == list(jobs)


@pytest.mark.parametrize("heading", ["JOBID USER STAT", HEADING.replace("QUEUE", "Q"), "usage: x"])
def test_another_table_is_no_answer(heading: str) -> None:
    """Columns are known by their heading."""
    with pytest.raises(SchedulerUnavailable):
        LSF.read_status(Reply(WIDE, 0, f"{heading}\n1 ada RUN normal vm vm x Nov 22 19:32\n"))


# -- by ids -------------------------------------------------------------------------------------


def test_an_unknown_id_is_simply_missing() -> None:
    """bjobs fails, and says so; with -json LSF says it in a record."""
    assert {} == LSF.read_status(saved("bjobs-unknown"))
    _, jobs = hold(LSF.query(["999999"]), saved("bjobs-unknown"))
    assert {} == jobs
    unknown = {"JOBID": "9", "ERROR": "Job <9> is not found"}
    for status in (0, 255):
        reply = replace(answer(record(), unknown), exit_status=status)
        assert ["1"] == list(hold(LSF.query(["1", "9"]), reply)[1])
        reply = replace(answer(unknown), exit_status=status)
        assert {} == hold(LSF.query(["9"]), reply)[1]


def test_the_others_are_told_all_the_same() -> None:
    """Also by columns: one unknown id among several."""
    row = "1       ada     RUN   normal     vm          vm          x          Nov 22 19:32"
    partly = wide(row, status=255, stderr="Job <9> is not found\n")
    assert ["1"] == list(hold(LSF.query(["1", "9"]), saved("bjobs-o-json"), partly)[1])


def test_an_id_of_which_nothing_is_said_is_not_gone() -> None:
    """Neither a row nor "is not found" is no answer."""
    for reply in (answer(), answer(record()), answer({"JOBID": "9", "ERROR": "LSF is busy"})):
        with pytest.raises(SchedulerUnavailable):
            hold(LSF.query(["1", "9"]), reply)


# -- marks --------------------------------------------------------------------------------------


def test_the_mark_query_asks_for_the_callers_own_jobs() -> None:
    """Another user's script can't claim a mark."""
    assert ["bjobs", "-a", "-l"] == LSF.mark_command()


def test_marks_are_read() -> None:
    """From the long form, which breaks lines at 80 columns (layout: OpenLava's bjobs-l-one)."""
    text = saved("bjobs-l-one").stdout
    command = f"( cat <<_USER_\\SCRIPT_\n#!/bin/bash -l\n# unispawner:{MARK}\n#BSUB -J jupyter"
    head, _, tail = text.replace("Q\n                     ueue", "Queue").partition("sleep 300")
    shown = head + command + tail
    begin = shown.index("unispawner:")
    for cut in range(begin, begin + len("unispawner:") + len(MARK)):
        broken = f"{shown[:cut]}\n{' ' * 21}{shown[cut:]}"
        assert {MARK: "104"} == LSF.read_marks(Reply((), 0, broken))


def test_marks_as_ibm_prints_them() -> None:
    """There a script is on one line, with semicolons for line breaks; of two jobs each has its own."""
    text = (
        "\nJob <7>, Job Name <jupyter>, User <ada>, Project <default>, Status <PEND>, Queue\n"
        "                      <normal>, Command <#!/bin/bash -l;# unispawner:0123456789\n"
        "                     abcdef;#BSUB -J jupyter;#BSUB -o /dev/null>\n"
        "Thu Nov 19 21:07:41: Submitted from host <vm>, CWD </>, Output File </dev/null>;\n"
        "------------------------------------------------------------------------------\n"
        "\nJob <8>, User <ada>, Status <RUN>, Command <#!/bin/sh;sleep 1>\n"
        "\nJob <9[1]>, User <ada>, Status <RUN>, Command <# unispawner:fedcba9876543210>\n"
    )
    assert {MARK: "7"} == LSF.read_marks(Reply((), 0, text))


def test_a_mark_of_several_jobs_is_nobodys() -> None:
    """Somebody has submitted a copy of our script."""
    text = "".join(f"Job <{i}>, Command <# unispawner:{MARK};>\n" for i in (1, 2))
    assert {} == LSF.read_marks(Reply((), 0, text))


def test_no_job_has_no_mark() -> None:
    """bjobs fails if there are none; a cluster that is down has no say."""
    assert {} == LSF.read_marks(Reply((), 255, "", "No job found\n"))
    with pytest.raises(SchedulerUnavailable):
        LSF.read_marks(Reply((), 255, "", "LSF is down. Please wait ...\n"))


# -- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Job <104>: No matching job found", Meaning.GONE),
        ("Job <104>: Job has already finished", Meaning.GONE),
        ("Job <104> is not found", Meaning.GONE),
        ("Job <104>: User permission denied", Meaning.DENIED),
        ("Job <104>: LSF is down. Please wait ...", Meaning.UNAVAILABLE),
        ("Please wait ...\nJob <104>: Job has already finished", Meaning.GONE),
        ("normal: Queue has been closed. Job not submitted.", Meaning.REFUSED),
        ("gold: No such queue. Job not submitted.", Meaning.REFUSED),
        ("Request aborted by esub. Job not submitted.", Meaning.REFUSED),
        ("MEMLIMIT: Cannot exceed queue's hard limit(s). Job not submitted.", Meaning.REFUSED),
        ("bsub: Illegal option -- gpu", Meaning.REFUSED),
        ("Batch library internal error. Job not submitted.", Meaning.UNAVAILABLE),
        ("Failed in an LSF library call: LIM is down; try later. Job not submitted.", Meaning.UNAVAILABLE),
        ("", Meaning.REFUSED),
    ],
)  # fmt: skip
def test_what_errors_mean(text: str, expected: Meaning) -> None:
    """By their texts (lsb_errmsg in OpenLava's lsb.err.c, and IBM's): all end with 255."""
    assert expected is LSF.meaning(Reply(("x",), 255, "", text))


def test_submissions_that_fail() -> None:
    """A refusal carries bsub's own words; a cluster that is down refuses nothing."""
    refused = Reply(("bsub",), 255, "", "gold: No such queue. Job not submitted.")
    error = LSF.submit_error(refused)
    assert (SubmitError, refused.stderr) == (type(error), error.output)
    down = Reply(("bsub",), 255, "", "LSF is down. Please wait ...")
    assert isinstance(LSF.submit_error(down), SchedulerUnavailable)


def test_cancellations_that_fail() -> None:
    """A job that is gone is no error; another user's is one."""
    assert LSF.cancel_error(Reply((), 255, "", "Job <1>: Job has already finished")) is None
    denied = LSF.cancel_error(Reply((), 255, "", "Job <1>: User permission denied"))
    assert isinstance(denied, CancelError)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("IBM Spectrum LSF Standard 10.1.0.9, Oct 16 2019\nCopyright", True),
        ("IBM Platform LSF Standard 9.1.3.0, Jul 04 2014", True),
        ("Platform LSF 7.0.6.134609, Jul 1 2009", True),
        ("openlava project 2.2, Jun 11 2015\n\nMy cluster name is openlava", True),
        ("OpenLava 4.0", True),
        ("volclava project 2.0", True),
        ("lsid: cannot find LSF", False),
        ("slurm 22.05.8", False),
        ("", False),
    ],
)
def test_who_it_is(text: str, expected: bool) -> None:
    """lsid's first line."""
    assert expected == bool(re.search(LSF.identity, text, re.MULTILINE))


# -- the cluster --------------------------------------------------------------------------------

# bqueues(1), -l, LSF 10.1.
BQUEUES = """\

QUEUE: normal
  -- For normal low priority jobs.  This is the default queue.

PARAMETERS/STATISTICS
PRIO NICE STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN SSUSP USUSP  RSV PJOBS
 30    0  Open:Active       -    -    -    -    10     6     4     0     0    0     3
Interval for a host to accept two jobs is 0 seconds

DEFAULT LIMITS:
 RUNLIMIT
 60.0 min

MAXIMUM LIMITS:
 CPULIMIT                 RUNLIMIT                 TASKLIMIT
 90.0 min of n1           1440.0 min of n1         1 2 64

 CORELIMIT MEMLIMIT
      0 M      16 G

SCHEDULING PARAMETERS
           r15s   r1m  r15m   ut      pg    io   ls    it    tmp    swp    mem
 loadSched   -     -     -     -       -     -    -     -     -      -      -
 loadStop    -     -     -     -       -     -    -     -     -      -      -

USERS: all
HOSTS:  all

-------------------------------------------------------------------------------

QUEUE: gpu
  -- This is the default queue for nobody

PARAMETERS/STATISTICS
PRIO NICE STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN SSUSP USUSP  RSV PJOBS
 50    0  Open:Inact_Adm    8    -    -    -     0     0     0     0     0    0     0

USERS: all
HOSTS:  gpus/ n1+2
"""

# bhosts(1), -w; lshosts(1), -w; bhosts(1), -gpu -w; bmgroup(1), -w.
BHOSTS = """\
HOST_NAME          STATUS          JL/U    MAX  NJOBS    RUN  SSUSP  USUSP    RSV
n1                 ok              -         8      3      2      1      0      0
n2                 closed_Full     -         4      4      4      0      0      0
n3                 ok              -        16      2      2      0      0      2
n4                 closed_Adm      -         8      0      0      0      0      0
n5                 unavail         -         -      0      0      0      0      0
"""
LSHOSTS = """\
HOST_NAME                       type       model  cpuf ncpus maxmem maxswp server RESOURCES
n1                            X86_64    Intel_E5  12.5     8  62.3G      -    Yes (mg docker)
n2                            X86_64    Intel_E5  12.5     4  3940M  4094M    Yes ()
n3                            X86_64    Intel_E5  12.5    16   1.5T      -    Dyn (gpu)
n5                            X86_64    Intel_E5  12.5     6      -      -    Yes ()
login                         X86_64    Intel_E5  12.5     -      -      -     No ()
"""
BHOSTS_GPU = """\
HOST_NAME            GPU_ID                MODEL     MUSED      MRSV  NJOBS    RUN   SUSP    RSV
n3                        0  TeslaV100_PCIE_32GB     14.5G        0M      1      1      0      0
                          1  TeslaV100_PCIE_32GB      273M        0M      0      0      0      0
n4                        0  TeslaV100_PCIE_32GB      273M        0M      0      0      0      0
"""
BMGROUP = """\
GROUP_NAME    HOSTS
gpus          n3 more/
more          n4 gpus/
"""


def ok(text: str) -> Reply:
    return Reply(("x",), 0, text)


def fails(text: str) -> Reply:
    return Reply(("x",), 255, "", text)


def test_the_inventory() -> None:
    """Queues with their limits; hosts with what is free on them, named as EXEC_HOST names them."""
    replies = (ok(BQUEUES), ok(BHOSTS), ok(LSHOSTS), ok(BHOSTS_GPU), ok(BMGROUP))
    asked, inventory = hold(LSF.inventory(), *replies)
    assert [
        ["bqueues", "-l"],
        ["bhosts", "-w", "-X"],
        ["lshosts", "-w"],
        ["bhosts", "-gpu", "-w"],
        ["bmgroup", "-w"],
    ] == asked
    normal, both = frozenset({"normal"}), frozenset({"normal", "gpu"})
    expected = Inventory(
        (
            Queue(
                "normal",
                default=True,
                max_duration=timedelta(days=1),
                max_cores=64,
                max_memory=16 * 1024**3,
                waiting=3,
                running=4,
            ),
            Queue("gpu", available=False, waiting=0, running=0),
        ),
        (
            Node("n1", True, 8, 5, memory=int(62.3 * 1024**3), queues=both),
            Node("n2", True, 4, 0, memory=3940 * 1024**2, queues=normal),
            Node("n3", True, 16, 12, 2, 1, memory=int(1.5 * 1024**4), queues=both),
            Node("n4", False, 8, 0, 1, 0, queues=both),
            Node("n5", False, 6, 0, queues=normal),
        ),
    )
    assert expected == inventory


def test_the_inventory_of_an_old_release() -> None:
    """OpenLava has no -X and no -gpu; layout of bqueues.c, bhosts.c and cmd.prt.c."""
    queues = (
        "\nQUEUE: normal\n  -- For all  This is one of the default queues.\n\n"
        "PARAMETERS/STATISTICS\n"
        "PRIO NICE     STATUS       MAX JL/U JL/P JL/H NJOBS  PEND  RUN  SSUSP USUSP  RSV\n"
        "  30  20    Open:Active     -    -   -    -      1     1     0     0     0    0\n\n"
        " RUNLIMIT                 PROCLIMIT               \n"
        "  480.0 min                8\n\n"
        " FILELIMIT DATALIMIT MEMLIMIT\n"
        "   2000 K   20000 K   8000 K\n\n"
        "SCHEDULING PARAMETERS\n\n"
        "USERS:  all users\n"
        "HOSTS:  all hosts used by the OpenLava system\n"
    )
    usage = "bhosts: invalid option -- 'X'\nUsage:\nbhosts [-h] [-V]"
    hosts = (
        "HOST_NAME          STATUS          JL/U    MAX  NJOBS    RUN  SSUSP  USUSP    RSV\n"
        "vm                 ok               -      4      1      1      0      0      0\n"
    )
    replies = (ok(queues), fails(usage), ok(hosts), fails("lshosts: x"), fails(usage))
    asked, inventory = hold(LSF.inventory(), *replies)
    assert ["bhosts", "-w"] == asked[2]
    (queue,) = inventory.queues
    assert (True, timedelta(hours=8), 8) == (queue.default, queue.max_duration, queue.max_cores)
    assert (8000 * 1024, 1) == (queue.max_memory, queue.waiting)
    assert (Node("vm", True, 4, 3, queues=frozenset({"normal"})),) == inventory.nodes


def test_a_limit_of_each_task_is_none_of_the_job() -> None:
    """A job of several tasks may have more."""
    replies = (ok(BQUEUES), ok(BHOSTS), ok(""), ok(""), ok(BMGROUP))
    _, inventory = hold(Lsf(lsf_memory_limit_per="task").inventory(), *replies)
    assert {None} == {queue.max_memory for queue in inventory.queues}


def test_hosts_that_a_queue_leaves_out() -> None:
    """lsb.queues, HOSTS: all but these; a group's name counts as its members."""
    text = BQUEUES.replace("HOSTS:  all\n", "HOSTS:  all ~n1 ~gpus/\n")
    replies = (ok(text), ok(BHOSTS), ok(""), ok(""), ok(BMGROUP))
    _, inventory = hold(LSF.inventory(), *replies)
    assert {"n2", "n5"} == {node.name for node in inventory.nodes if "normal" in node.queues}


@pytest.mark.parametrize("number", range(2))
def test_an_inventory_that_is_not_told(number: int) -> None:
    """Queues and hosts have to be; the rest is taken as far as it goes."""
    down = fails("LSF is down. Please wait ...")
    for bad in (down, ok("what?\n"), ok("")):
        replies = [ok(BQUEUES), ok(BHOSTS)]
        replies[number] = bad
        with pytest.raises(SchedulerUnavailable):
            hold(LSF.inventory(), *replies)


def test_the_module_tells_its_fields() -> None:
    """bjobs(1), -o: each is in the table of fields there."""
    assert "jobid" == lsf_bjobs.FIELDS[0]
    assert len(set(FIELDS)) == len(FIELDS)
