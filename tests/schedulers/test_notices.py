"""What a site's wrapper prints beside the scheduler's own answer: questions of several commands."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.dialogues import hold

from unispawner.errors import SchedulerUnavailable
from unispawner.job import JobState
from unispawner.schedulers import get_scheduler
from unispawner.schedulers.base import Meaning, Reply
from unispawner.schedulers.reading import (
    LINES_LOOKED_AT,
    cut_document,
    find_mentioned,
    first_of_each_kind,
    quote_lines,
    split_rows,
)

NOTICE = "Notice: maintenance on Tuesday\n"
HEADING = "JOBID|USER|STATE|REASON|EXEC_HOST|PARTITION|PRIORITY|START_TIME|END_TIME\n"
ROW = "7|alice|RUNNING|None|node1|debug|1|N/A|N/A\n"


def torque_job(job_id: str, **attributes: str) -> str:
    values = {"Job_Id": job_id, "Job_Owner": "alice@lab", "job_state": "R", **attributes}
    return f"<Job>{''.join(f'<{key}>{text}</{key}>' for key, text in values.items())}</Job>"


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("slurm", HEADING, ["squeue", "-a", "-t", "all"]),
        ("htcondor", "Total for query: 0 jobs; 0 completed\n", ["condor_q", "-allusers"]),
        ("torque", "Server: lab\n    total_jobs = 0\n", ["qstat", "-B", "-f"]),
    ],
)
def test_a_notice_where_there_is_no_job(name: str, answer: str, words: list[str]) -> None:
    """A notice alone may stand for an empty list: the scheduler is asked whether it has no job."""
    query = get_scheduler(name).query_tracked(["7"])
    jobs, commands = hold(query, (NOTICE, "", 0), (NOTICE + answer, "", 0))
    assert ({}, words) == (jobs, commands[1][: len(words)])


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("slurm", ("", "", 0)),
        ("slurm", (HEADING + ROW, "", 0)),
        ("slurm", (HEADING, "", 1)),
        ("htcondor", ("Total for query: 10 jobs; 0 completed\n", "", 0)),
        ("htcondor", ("", "down", 1)),
        ("torque", ("Server: lab\n    total_jobs = 3\n", "", 0)),
        ("torque", ("", "", 0)),
    ],
)
def test_a_notice_that_hides_jobs_is_no_answer(name: str, answer: tuple[str, str, int]) -> None:
    """If the scheduler has jobs, or does not say that it has none, a notice alone is no answer."""
    with pytest.raises(SchedulerUnavailable, match="maintenance on Tuesday"):
        hold(get_scheduler(name).query_tracked(["7"]), (NOTICE, "", 0), answer)


def test_htcondor_confirms_that_a_job_is_gone() -> None:
    """A notice where the job's row would be: the totals say that the queue does not have it."""
    ended = json.dumps([{"ClusterId": 7, "Owner": "ada", "JobStatus": 4, "ExitCode": 0}])
    total = "Total for query: 0 jobs; 0 completed\n"
    query = get_scheduler("htcondor").query(["7"])
    jobs, commands = hold(query, (NOTICE, "", 0), (total, "", 0), (NOTICE + ended, "", 0))
    assert JobState.COMPLETED is jobs["7"].state
    assert ["condor_q", "-allusers", "-totals", "7"] == commands[1]


def test_lsf_says_that_there_is_no_job() -> None:
    """bjobs' error counts, whatever a wrapper prints to standard output."""
    answer = (NOTICE, "No job found\n", 255)
    assert {} == hold(get_scheduler("lsf").query(), answer)[0]
    both = (NOTICE, "Job <7> is not found\n", 255)
    assert {} == hold(get_scheduler("lsf").query(["7"]), both)[0]
    with pytest.raises(SchedulerUnavailable):
        hold(get_scheduler("lsf").query(["7"]), answer)


def test_a_notice_does_not_say_what_an_error_means() -> None:
    """The words of an error count, and not those of a notice on standard output."""
    slurm = get_scheduler("slurm")
    down = "slurm_load_jobs error: Unable to contact slurm controller"
    failed = Reply(("squeue",), 1, "Notice: tell us about any Invalid job id\n", down)
    assert Meaning.UNAVAILABLE is slurm.meaning(failed)
    with pytest.raises(SchedulerUnavailable):
        slurm.read_status(failed)


def test_an_unreadable_part_of_torques_answer_makes_every_job_a_question() -> None:
    """If a part can't be read, each tracked job is asked for alone: a row may be forged."""
    forged = torque_job("8.lab", exec_host="evil/0") + "<Job><Job_Id>9.lab</Job_Id><x></Job>"
    listed = f"<Data>{torque_job('7.lab')}{forged}</Data>"
    alone = f"<Data>{torque_job('7.lab', exec_host='node1/0')}</Data>"
    unknown = ("", "qstat: Unknown Job Id Error 8.lab\n", 153)
    odd = ("<Data><Job><Job_Id>9.lab</Job_Id><x></Job></Data>", "", 0)
    query = get_scheduler("torque").query_tracked(["7.lab", "8.lab", "9.lab"])
    jobs, commands = hold(query, (listed, "", 0), (alone, "", 0), unknown, odd)
    assert {"7.lab": "node1"} == {job_id: info.exec_host for job_id, info in jobs.items()}
    assert [["7.lab"], ["8.lab"], ["9.lab"]] == [command[2:] for command in commands[1:]]


def test_a_job_that_torque_lists_twice_makes_every_job_a_question() -> None:
    """A job that comes twice may be forged, and so may the others."""
    listed = f"<Data>{torque_job('7.lab')}{torque_job('8.lab')}{torque_job('8.lab')}</Data>"
    query = get_scheduler("torque").query_tracked(["7.lab"])
    alone = f"{NOTICE}<Data>{torque_job('7.lab')}</Data>"
    jobs, commands = hold(query, (listed, "", 0), (alone, "", 0))
    assert (["7.lab"], 2) == (list(jobs), len(commands))


def test_a_notice_is_no_unreadable_part() -> None:
    """Lines around TORQUE's document hide nothing, so that one question is enough."""
    text = f"{NOTICE}<Data>{torque_job('7.lab')}</Data>\n{NOTICE}"
    jobs, commands = hold(get_scheduler("torque").query_tracked(["7.lab"]), (text, "", 0))
    assert (True, 1) == ("7.lab" in jobs, len(commands))


def sinfo_row(name: str) -> str:
    return f"{name}|debug*|up|idle|1-00:00:00|1-infinite|0/8/0/8|1000|0|(null)|(null)|(null)|\n"


INVENTORIES: dict[str, tuple[list[str], set[str]]] = {
    "slurm": ([sinfo_row("n1") + "odd|row\n", "debug|PENDING\n"], {"n1"}),
    "lsf": (
        [
            "\nQUEUE: normal\n  -- no description.\nPARAMETERS/STATISTICS\n"
            "PRIO NICE STATUS MAX JL/U JL/P JL/H NJOBS PEND RUN SSUSP USUSP RSV\n"
            "30 20 Open:Active - - - - 0 0 0 0 0 0\nHOSTS:  all\n",
            "HOST_NAME STATUS JL/U MAX NJOBS RUN SSUSP USUSP RSV\nh1 ok - 4 0 0 0 0 0\n",
            "",
            "",
        ],
        {"h1"},
    ),
    "gridengine": (
        [
            "<?xml version='1.0'?>\n<qhost><host name='h1'/></qhost>\n",
            "qname all.q\nh_rt INFINITY\n",
            "<?xml version='1.0'?>\n<job_info><queue_info><job_list state='running'>"
            "<hard_request name='x'>\x01&#2;</hard_request></job_list></queue_info></job_info>\n",
            "<job_info></job_info>\n",
        ],
        {"h1"},
    ),
    "htcondor": (['[\n{"Machine": "m1", "TotalSlotCpus": 4}\n]\n', ""], {"m1"}),
    "pbs": (
        [
            "Queue: q\n    enabled = True\n    started = True\n",
            "Server: lab\n    default_queue = q\n",
            "n1\n     state = free\n     resources_available.ncpus = 4\n",
        ],
        {"n1"},
    ),
    "torque": (
        [
            "Queue: q\n    enabled = True\n    started = True\n",
            "Server: lab\n    default_queue = q\n",
            "n1\n     state = free\n     np = 4\n",
        ],
        {"n1"},
    ),
}


@pytest.mark.parametrize("name", INVENTORIES)
def test_an_inventory_with_notices(name: str) -> None:
    """A notice before each answer about nodes and queues hides none of them, nor does an odd row,
    nor a character that XML does not allow.
    """
    texts, expected = INVENTORIES[name]
    notice = "Notice: the cluster is in maintenance on Tuesday\n\n"
    answers: list[Any] = [(notice + text, "", 0) for text in texts]
    inventory, _ = hold(get_scheduler(name).inventory(), *answers)
    assert expected == inventory.hosts


def test_rows_end_with_a_line_feed_only() -> None:
    """Other characters that may end a line, which a user may be able to write, begin no row."""
    rows, others = split_rows("1 a\v2 b\x0c3 c\u20284 d\r\n5 e\n\n", str.strip)
    assert (2, []) == (len(rows), others)


def test_a_document_is_cut_out_at_its_last_end() -> None:
    """A document reaches to the last of its ends, because its texts may have one, too."""
    assert ("<a></a> x </a>", ["n", "m"]) == cut_document("n\n<a></a> x </a>\nm\n", "<a>", "</a>")
    assert ("no document", []) == cut_document("no document", "<a>", "</a>")


def test_mentioned_ids() -> None:
    """An id counts as mentioned as a whole word; of 12.server the number is enough."""
    lines = ["CLUSTER: lab", "x 12|alice", "7.server: odd"]
    assert {"12.lab", "7", "7.x"} == find_mentioned(lines, ["12.lab", "1", "7", "7.x", "120"])


def test_quoted_lines_are_few_short_and_harmless() -> None:
    """Quoted lines are cut, control characters replaced, and the number of the others is named."""
    quoted = quote_lines(["a\x1b[2J", "", *("x" * 900 for _ in range(50))])
    assert "a\ufffd[2J" == quoted.splitlines()[0]
    assert "… and 46 more" == quoted.splitlines()[-1]
    assert len(quoted) < 1000


def test_one_line_of_each_kind_is_kept() -> None:
    """Lines that differ in digits only are of the same kind; blank lines are of none."""
    lines = ["Notice 1", "", "Notice 22", "  ", "CLUSTER: lab", "last"]
    assert ["Notice 1", "CLUSTER: lab"] == first_of_each_kind(lines, 2)
    assert [] == first_of_each_kind(["", " "], 2)


def test_few_lines_are_looked_at() -> None:
    """A part of the lines is looked at only: users may be able to write millions of them."""
    lines = (f"Notice {'x' * (number // LINES_LOOKED_AT)}" for number in range(10**9))
    assert ["Notice "] == first_of_each_kind(lines, 20)
