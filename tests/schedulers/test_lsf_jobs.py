"""What bjobs prints.

tests/outputs/openlava was printed by OpenLava 2.2. The output of IBM's LSF is written by hand, from
the manual page bjobs(1) of 10.1.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import datetime, timedelta, timezone

import pytest
import support
from support.dialogues import hold
from support.growth import assert_linear

from unispawner.errors import SchedulerUnavailable
from unispawner.job import JobInfo, JobState
from unispawner.schedulers.base import Reply
from unispawner.schedulers.lsf import Lsf
from unispawner.schedulers.lsf_jobs import FIELDS, REASONS, read_time
from unispawner.testing import read_saved_reply

OUTPUTS = support.OUTPUTS / "openlava"
LSF = Lsf()
QUERY = tuple(LSF.status_command())
WIDE = tuple(LSF.wide_status_command())
MARK = "0123456789abcdef"
HEADING = "JOBID   USER    STAT  QUEUE      FROM_HOST   EXEC_HOST   JOB_NAME   SUBMIT_TIME"


def utc(*parts: int) -> datetime:
    """Return a moment of UTC, in which bjobs prints times: see QUERY_ENVIRONMENT."""
    return datetime(*parts, tzinfo=timezone.utc)  # type: ignore[misc,arg-type] # so many parts


NOW = utc(2026, 11, 24, 12, 0).timestamp()


def saved(name: str) -> Reply:
    return read_saved_reply(OUTPUTS / name)


def record(**changes: str) -> dict[str, str]:
    """Return a waiting job as bjobs -o -json prints it, with empty fields."""
    empty = dict.fromkeys((field.upper() for field in FIELDS), "")
    return {**empty, "JOBID": "1", "USER": "ada", "STAT": "PEND", "QUEUE": "normal", **changes}


def answer(*records: Mapping[str, str]) -> Reply:
    text = json.dumps({"COMMAND": "bjobs", "JOBS": len(records), "RECORDS": records}, indent=2)
    return Reply(QUERY, 0, text.replace("/", "\\/") + "\n")  # as LSF writes slashes


def one(**changes: str) -> JobInfo:
    (info,) = LSF.read_status(answer(record(**changes))).values()
    return info


def wide(*lines: str, status: int = 0, stderr: str = "") -> Reply:
    return Reply(WIDE, status, "".join(f"{line}\n" for line in (HEADING, *lines)), stderr)


# -- queries ------------------------------------------------------------------------------------


def test_the_bulk_query_asks_for_nothing_that_a_user_can_write() -> None:
    """The query asks for no names, descriptions, commands, or reasons given with bkill -C."""
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
    """With ids, bjobs finds jobs of every user without -u."""
    command = LSF.status_command(["1", "2"])
    assert ["1", "2"] == command[-2:]
    assert "-u" not in command


def test_a_job_that_runs() -> None:
    """A running job has host, start and expected end. bjobs(1) -WF: the flag L is the run limit."""
    start = datetime.now(timezone.utc) - timedelta(minutes=90)
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
    """A waiting job has reason, estimated start and position, but no host and no end."""
    start = (datetime.now(timezone.utc) + timedelta(days=40)).replace(second=0, microsecond=0)
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
    """The first host counts; LSB_SHORT_HOSTLIST writes the number of slots before it."""
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
    """bjobs(1)'s words are known; a word of a later release means UNKNOWN and is kept."""
    info = one(STAT=word, EXEC_HOST="n1")
    assert (expected, word) == (info.state, info.native_state)


def test_a_zombie_is_on_its_way_out() -> None:
    """A job that was cancelled while its host did not answer is ending."""
    info = one(STAT="ZOMBI", EXEC_HOST="n1")
    assert (JobState.RUNNING, True) == (info.state, info.ending)
    assert "lost contact" in info.message


def test_a_host_that_is_lost_is_no_end() -> None:
    """A job whose host does not answer keeps its host: it may still run."""
    info = one(STAT="UNKWN", EXEC_HOST="n1")
    assert ("n1", JobState.UNKNOWN) == (info.exec_host, info.state)


@pytest.mark.parametrize(
    ("reason", "code", "expected"),
    [
        ("", "1", (JobState.FAILED, "", 1)),
        ("", "", (JobState.FAILED, "", None)),
        ("TERM_OWNER: job killed by owner", "130", (JobState.CANCELED, "TERM_OWNER", 130)),
        ("TERM_FORCE_OWNER: x", "9", (JobState.CANCELED, "TERM_FORCE_OWNER", 9)),
        ("TERM_ADMIN: job killed by root", "", (JobState.CANCELED, "TERM_ADMIN", None)),
        ("TERM_RUNLIMIT: job killed", "140", (JobState.FAILED, "TERM_RUNLIMIT", 140)),
        ("TERM_MEMLIMIT: job killed.", "137", (JobState.FAILED, "TERM_MEMLIMIT", 137)),
        ("TERM_NEW: something new", "1", (JobState.FAILED, "TERM_NEW: something new", 1)),
    ],
)
def test_how_a_job_ended(
    reason: str, code: str, expected: tuple[JobState, str, int | None]
) -> None:
    """The reason is in plain words; a job that its owner killed was cancelled and did not fail."""
    info = one(STAT="EXIT", EXIT_REASON=reason, EXIT_CODE=code, EXEC_HOST="n1", PEND_REASON="old;")
    state, message, exit_code = expected
    assert (state, REASONS.get(message, message), exit_code) == (
        info.state,
        info.message,
        info.exit_code,
    )
    assert "" == info.exec_host


def test_a_job_that_is_done() -> None:
    """A job that is DONE has the exit code 0, which LSF leaves empty."""
    info = one(STAT="DONE", EXEC_HOST="n1")
    assert (JobState.COMPLETED, 0, "") == (info.state, info.exit_code, info.message)


def test_positions_follow_the_listing_within_a_queue() -> None:
    """Positions follow the order of bjobs, which btop and bbot change."""
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
    """The account is the part before the @."""
    assert "ada" == one(USER="ada@cluster").owner


def test_messages_before_the_answer_are_ignored() -> None:
    """Messages of bjobs before its answer are ignored."""
    reply = answer(record())
    noisy = replace(reply, stdout="Cannot connect to LSF. Please wait ...\n" + reply.stdout)
    assert LSF.read_status(reply) == LSF.read_status(noisy)


def test_a_record_that_is_odd_is_passed_over() -> None:
    """A record that can't be read does not hide the others; an id that comes twice does not
    count.
    """
    whole = record(JOBID="1")
    odd = {"JOBID": "2", "USER": "ada"}
    task = record(JOBID="3", STAT="DONE")
    reply = answer(whole, odd, task, task, record(JOBID="4[2]"), record(JOBID="5", USER=""))
    assert ["1"] == list(LSF.read_status(reply))


def test_a_key_that_comes_twice_is_not_believed() -> None:
    """A record with the same key twice is left out: one of the two may be forged."""
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
    """A cut-off or garbled answer is refused as a whole."""
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
    """That there are no jobs is an answer, although bjobs fails then."""
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
    """A cluster that is down raises an error, even if Volclava prints an empty list as well."""
    for stdout in ("", answer().stdout):
        reply = Reply(QUERY, 255, stdout, stderr)
        with pytest.raises(SchedulerUnavailable, match=re.escape(stderr[:20])) as caught:
            hold(LSF.query(), reply)
        assert 255 == caught.value.exit_status


# -- times --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Nov 24 11:59", utc(2026, 11, 24, 11, 59)),
        ("Nov  4 01:02", utc(2026, 11, 4, 1, 2)),
        ("Dec 31 23:59", utc(2026, 12, 31, 23, 59)),
        ("Jan  2 08:00", utc(2027, 1, 2, 8, 0)),
        ("Jun  1 08:00", utc(2026, 6, 1, 8, 0)),
        ("Nov 24 11:59:07", utc(2026, 11, 24, 11, 59, 7)),
        ("Nov 24 11:59 2025", utc(2025, 11, 24, 11, 59)),
        ("Nov 24 11:59:07 2025 L", utc(2025, 11, 24, 11, 59, 7)),
        ("Nov 24 11:59 E", utc(2026, 11, 24, 11, 59)),
    ],
)
def test_times_without_a_year(text: str, expected: datetime) -> None:
    """The nearest year counts: around New Year a start is in the old one, an end in the new one."""
    assert expected.timestamp() == read_time(text, NOW)[0]


def test_new_year() -> None:
    """A December seen in January is of last year."""
    now = utc(2027, 1, 1, 0, 30).timestamp()
    assert utc(2026, 12, 31, 23, 0).timestamp() == read_time("Dec 31 23:00", now)[0]
    assert utc(2027, 1, 1, 8, 0).timestamp() == read_time("Jan  1 08:00", now)[0]


def test_a_leap_day() -> None:
    """February 29 is in the nearest leap year, or is left out."""
    now = utc(2028, 2, 28, 12, 0).timestamp()
    assert utc(2028, 2, 29, 8, 0).timestamp() == read_time("Feb 29 08:00", now)[0]
    assert (None, "") == read_time("Feb 29 08:00", NOW)


@pytest.mark.parametrize("text", ["", "-", "soon", "Foo 99 99:99", "2026-11-24T11:59"])
def test_a_time_that_cannot_be_read(text: str) -> None:
    """A time that can't be read is left out and is not an error."""
    assert (None, "") == read_time(text, NOW)


@pytest.mark.parametrize(
    ("flag", "expected"), [(" L", True), (" E", True), (" X", False), ("", False)]
)
def test_an_end_that_is_expected(flag: str, expected: bool) -> None:
    """An expected end that has passed is left out (bjobs(1), -WF)."""
    text = time.strftime("%b %d %H:%M") + flag
    assert expected == (one(STAT="RUN", FINISH_TIME=text).estimated_end is not None)


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
    """Running jobs have hosts, and waiting jobs have positions."""
    jobs = LSF.read_status(saved("bjobs-a-w-all-users"))
    assert JobInfo("alice", JobState.RUNNING, exec_host="vm", native_state="RUN") == jobs["104"]
    waiting = JobInfo("alice", JobState.QUEUED, queue_position=9, native_state="PEND")
    assert waiting == jobs["116"]
    assert JobInfo("alice", JobState.FAILED, native_state="EXIT") == jobs["3"]


def test_old_releases_are_asked_for_columns() -> None:
    """OpenLava, which lacks -o and -json, is asked for columns, and then for reasons."""
    reasons = (  # bjobs(1), -p, as in the LSF 4 user's guide
        "JOBID   USER    STAT  QUEUE       FROM_HOST      JOB_NAME           SUBMIT_TIME\n"
        "108     alice   PEND  normal      vm             jupyter            Nov 22 19:32\n"
        " Queue's resource requirements not satisfied:3 hosts;\n"
        " Not enough job slots: 1 host;\n"
        "109     alice   PEND  normal      vm             jupyter            Nov 22 19:32\n"
        " New job is waiting for scheduling;\n"
    )
    listing = saved("bjobs-a-w-all-users")
    jobs, asked = hold(LSF.query(), saved("bjobs-o-json"), listing, Reply((), 0, reasons))
    assert [list(QUERY), ["bjobs", "-u", "all", "-a", "-w"], ["bjobs", "-u", "all", "-p"]] == asked
    expected = "Queue's resource requirements not satisfied:3 hosts; Not enough job slots: 1 host"
    assert expected == jobs["108"].message
    assert REASONS["New job is waiting for scheduling"] == jobs["109"].message
    assert ("", "") == (jobs["110"].message, jobs["104"].message)


def test_reasons_are_asked_for_only_if_something_waits() -> None:
    """Reasons are asked for only if a job waits; if that fails, the jobs still count."""
    refused = saved("bjobs-o-json")
    running = wide(
        "104     alice   RUN   normal     vm          vm          x          Nov 22 19:32"
    )
    jobs, asked = hold(LSF.query(["104"]), refused, running)
    assert ["bjobs", "-a", "-w", "104"] == asked[-1]
    waiting = wide(
        "104     alice   PEND  normal     vm             -        x          Nov 22 19:32"
    )
    for untold in (Reply((), 255, "", "No pending job found"), SchedulerUnavailable("too slow")):
        jobs, _ = hold(LSF.query(), refused, waiting, untold)
        assert JobState.QUEUED is jobs["104"].state


def test_volclava_refuses_fields_that_it_does_not_have() -> None:
    """Volclava's refusal of unknown fields (bjobs.c, status 99) leads to columns, too."""
    refused = Reply(
        QUERY, 99, "", "<PEND_REASON> in the format string is not a valid field name.\n"
    )
    row = "7       ada     RUN   normal     vm          2*n1:3*n2   x          Nov 22 19:32"
    jobs, _ = hold(LSF.query(), refused, wide(row))
    assert "n1" == jobs["7"].exec_host


def test_a_name_may_hold_anything() -> None:
    """Nothing after the host is read, and a column may be longer than its heading."""
    jobs = LSF.read_status(
        wide(
            "1234567890 averylongusername USUSP averylongqueue a-login-host 4*n1:4*n2 a b Nov 2",
            "2       ada     PEND  normal     vm                      my  own job Nov 22 19:32",
            "3       ada     EXIT  normal     vm                      n9 was it   Nov 22 19:32",
            "",
        )
    )
    assert ["1234567890", "2", "3"] == list(jobs)
    assert ("averylongusername", "n1") == (jobs["1234567890"].owner, jobs["1234567890"].exec_host)
    assert ("", "") == (jobs["2"].exec_host, jobs["3"].exec_host)


@pytest.mark.threat(
    who="user",
    tries="They forge a second row for somebody's job where the list shows names.",
    stopped_by="A job that comes twice is not believed.",
)
def test_a_name_forges_no_row() -> None:
    """If a line break in a name makes a second row for a job, neither row counts."""
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


def test_a_name_forges_no_answer() -> None:
    """A name with a line break and an answer in JSON does not take the place of the table."""
    forged = json.dumps({"COMMAND": "bjobs", "RECORDS": [record(JOBID="1", EXEC_HOST="evil")]})
    reply = wide(
        "1       ada     RUN   normal     vm          n1          jupyter    Nov 22 19:32",
        "3       eve     RUN   normal     vm          n2          x",
        f"{forged} Nov 22 19:32",
    )
    assert {"1": "n1", "3": "n2"} == {
        job_id: info.exec_host for job_id, info in LSF.read_status(reply).items()
    }
    assert [f"{forged} Nov 22 19:32"] == reply.passed_over


@pytest.mark.parametrize("heading", ["JOBID USER STAT", HEADING.replace("QUEUE", "Q"), "usage: x"])
def test_another_table_is_no_answer(heading: str) -> None:
    """A table with another heading is refused."""
    with pytest.raises(SchedulerUnavailable):
        LSF.read_status(Reply(WIDE, 0, f"{heading}\n1 ada RUN normal vm vm x Nov 22 19:32\n"))


# -- by ids -------------------------------------------------------------------------------------


def test_an_unknown_id_is_simply_missing() -> None:
    """An unknown id is missing from the result, whether bjobs fails or has an error record."""
    assert {} == LSF.read_status(saved("bjobs-unknown"))
    jobs, _ = hold(LSF.query(["999999"]), saved("bjobs-unknown"))
    assert {} == jobs
    unknown = {"JOBID": "9", "ERROR": "Job <9> is not found"}
    for status in (0, 255):
        reply = replace(answer(record(), unknown), exit_status=status)
        assert ["1"] == list(hold(LSF.query(["1", "9"]), reply)[0])
        reply = replace(answer(unknown), exit_status=status)
        assert {} == hold(LSF.query(["9"]), reply)[0]


def test_one_unknown_id_among_several() -> None:
    """With one unknown id among several, the other jobs are read, also from columns."""
    row = "1       ada     RUN   normal     vm          vm          x          Nov 22 19:32"
    partly = wide(row, status=255, stderr="Job <9> is not found\n")
    assert ["1"] == list(hold(LSF.query(["1", "9"]), saved("bjobs-o-json"), partly)[0])


def test_an_id_that_the_answer_does_not_mention() -> None:
    """An id with neither a row nor "is not found" makes the answer an error."""
    for reply in (answer(), answer(record()), answer({"JOBID": "9", "ERROR": "LSF is busy"})):
        with pytest.raises(SchedulerUnavailable):
            hold(LSF.query(["1", "9"]), reply)


# -- marks --------------------------------------------------------------------------------------


def test_the_mark_query_asks_for_the_callers_own_jobs() -> None:
    """Marks are read from the caller's jobs only, so that no other user can claim one."""
    assert ["bjobs", "-a", "-l"] == LSF.mark_command()


def test_marks_are_read() -> None:
    """Marks are read from the long form, which breaks lines at 80 columns (bjobs-l-one)."""
    text = saved("bjobs-l-one").stdout
    command = f"( cat <<_USER_\\SCRIPT_\n#!/bin/bash -l\n# unispawner:{MARK}\n#BSUB -J jupyter"
    head, _, tail = text.replace("Q\n                     ueue", "Queue").partition("sleep 300")
    text = head + command + tail
    begin = text.index("unispawner:")
    for cut in range(begin, begin + len("unispawner:") + len(MARK)):
        broken = f"{text[:cut]}\n{' ' * 21}{text[cut:]}"
        assert {MARK: "104"} == LSF.read_marks(Reply((), 0, broken))


def test_marks_as_ibm_prints_them() -> None:
    """Marks are read where IBM prints a script on one line, with semicolons for line breaks."""
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


def test_a_mark_of_several_jobs_does_not_count() -> None:
    """If several jobs have the same mark, because a script was copied, none counts."""
    text = "".join(f"Job <{i}>, Command <# unispawner:{MARK};>\n" for i in (1, 2))
    assert {} == LSF.read_marks(Reply((), 0, text))


def test_no_job_has_no_mark() -> None:
    """Without jobs bjobs fails, and there are no marks; a cluster that is down is an error."""
    assert {} == LSF.read_marks(Reply((), 255, "", "No job found\n"))
    with pytest.raises(SchedulerUnavailable):
        LSF.read_marks(Reply((), 255, "", "LSF is down. Please wait ...\n"))


def test_each_reported_field_is_read() -> None:
    """For each field that LSF reports, a record as in bjobs(1) has a value."""
    infos = [
        one(STAT="RUN", EXEC_HOST="n1", START_TIME="Nov 24 10:00", FINISH_TIME="Nov 24 18:00 L"),
        one(STAT="PEND", PEND_REASON="Job is waiting", ESTIMATED_START_TIME="Nov 24 18:00"),
        one(STAT="EXIT", EXIT_CODE="3", EXIT_REASON="TERM_RUNLIMIT: job killed"),
    ]
    blank = JobInfo("", JobState.UNKNOWN)
    reported = {
        field.name
        for field in fields(JobInfo)
        if any(getattr(info, field.name) != getattr(blank, field.name) for info in infos)
    }
    assert set() == LSF.reports - reported


def test_in_columns_an_end_is_its_own_users_to_ask() -> None:
    """In columns of all jobs no job has ended: a line break in a name can forge such a row."""
    refused = saved("bjobs-o-json")
    rows = wide(
        "7       ada     RUN   normal     vm          n1          x          Nov 24 10:00",
        "8       bob     EXIT  normal     vm          n1          x          Nov 24 10:00",
    )
    assert {"7"} == set(hold(LSF.query(), refused, rows)[0])
    assert JobState.FAILED is hold(LSF.query(["8"]), refused, rows)[0]["8"].state


# -- many jobs ----------------------------------------------------------------------------------


def many_records(count: int) -> Reply:
    return answer(*(record(JOBID=str(number)) for number in range(count)))


def many_rows(count: int) -> Reply:
    return wide(*(f"{number} ada PEND normal login - name Nov 24 10:00" for number in range(count)))


@pytest.mark.parametrize("make", [many_records, many_rows])
def test_ten_times_the_jobs_are_about_ten_times_the_work(make: Callable[[int], Reply]) -> None:
    """The work of reading an answer grows with its rows, and not with their square.

    When it grew with the square, 20,000 jobs took 15 seconds, and the ratio was over 30.
    """
    few, many = make(2_000), make(20_000)
    read = assert_linear(lambda: LSF.read_status(few), lambda: LSF.read_status(many))
    assert (2_000, 20_000) == (len(read[0]), len(read[1]))
