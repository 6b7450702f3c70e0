"""Questions about a few jobs, as the Hub: for one job, or where all jobs are too many."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support import OUTPUTS
from support.dialogues import hold
from support.many_jobs import LISTINGS

from unispawner.errors import SchedulerUnavailable
from unispawner.job import JobState
from unispawner.schedulers import get_scheduler
from unispawner.schedulers.base import AnswerTooLarge, Reply
from unispawner.schedulers.lsf import Lsf
from unispawner.schedulers.questions import PIECE, Tracked, converse
from unispawner.testing import read_saved_reply

TOO_LARGE = AnswerTooLarge("it printed more than 67108864 bytes")


def saved(name: str) -> Reply:
    return read_saved_reply(OUTPUTS / name)


def ask(scheduler: str, ids: list[str], *answers: Any, name: str = "query") -> Any:
    """Return what is found out about these jobs, and the commands."""
    answer, commands = hold(converse(get_scheduler(scheduler), name, ids), *answers)
    assert isinstance(answer.result, Tracked)
    return answer.result, commands


# -- the question ---------------------------------------------------------------------------------


@pytest.mark.threat(
    who="other user",
    tries="They submit jobs with megabytes of variables, so that the list of jobs is too large.",
    stopped_by="Then only the jobs of servers are asked for, several with one command.",
)
def test_where_all_jobs_are_too_many_ours_are_asked_for() -> None:
    """If the list of all jobs is too large, the same question asks for our own jobs alone."""
    found, commands = ask(
        "slurm", ["15", "17"], TOO_LARGE, saved("slurm/squeue-by-ids"), name="query_tracked"
    )
    assert [False, True] == ["-j" in command for command in commands]
    assert (["15", "17"], True) == (list(found.jobs), found.by_id)


def test_a_list_that_is_not_too_large_is_read() -> None:
    """Usually one command lists all jobs, which also gives the positions in the queue."""
    found, _ = ask("slurm", ["15"], saved("slurm/squeue-by-ids"), name="query_tracked")
    assert (1, False) == (found.jobs["15"].queue_position, found.by_id)


def test_the_position_among_ours_is_not_the_position_in_the_queue() -> None:
    """Where only our jobs are asked for, nothing is known about those that come before them."""
    found, _ = ask("slurm", ["15", "17"], saved("slurm/squeue-by-ids"))
    assert JobState.QUEUED is found.jobs["15"].state
    assert found.jobs["15"].queue_position is None


def test_many_jobs_are_asked_for_in_pieces() -> None:
    """One command asks for some jobs at once."""
    ids = [str(number) for number in range(1000, 1000 + PIECE + 5)]
    rows = LISTINGS["slurm"](PIECE + 5)
    found, commands = ask("slurm", ids, (rows, "", 0), (rows, "", 0))
    assert ids == list(found.jobs)
    assert [5, PIECE] == sorted(len(command[-1].split(",")) for command in commands)


def test_a_job_that_is_too_large_by_itself_is_left_out() -> None:
    """A piece that is too large is halved; of one job it counts as a row that can't be read."""
    rows = [f"{number}|ada|RUNNING|None|node1|debug|1|0|0\n" for number in (1, 2, 3)]
    found, commands = ask(
        "slurm", ["1", "2", "3"], TOO_LARGE, ("".join(rows[1:]), "", 0), (TOO_LARGE)
    )
    assert ["1,2,3", "2,3", "1"] == [command[-1] for command in commands]
    assert (["2", "3"], {"1"}) == (list(found.jobs), found.unread)


# -- each scheduler -------------------------------------------------------------------------------


def test_slurm_by_one_id() -> None:
    """If a single id is asked for, slurmctld sends this job only; an unknown id raises no error."""
    found, commands = ask("slurm", ["17"], saved("slurm/squeue-by-ids"))
    assert (["17"], ["-j", "17"]) == (list(found.jobs), commands[0][-2:])
    assert {} == ask("slurm", ["999999"], saved("slurm/squeue-unknown"))[0].jobs


def test_gridengine() -> None:
    """The jobs' owners are asked for, and then the list of these users' jobs."""
    found, commands = ask(
        "gridengine",
        ["30", "999999"],
        saved("gridengine/qstat-j-two-one-unknown"),
        saved("gridengine/qstat-xml-all-users"),
    )
    assert [["qstat", "-j", "30,999999"], ["qstat", "-xml", "-u", "alice"]] == commands
    assert ["30"] == list(found.jobs)
    assert ({}, 1) == (
        ask("gridengine", ["999999"], saved("gridengine/qstat-j-unknown"))[0].jobs,
        len(ask("gridengine", ["999999"], saved("gridengine/qstat-j-unknown"))[1]),
    )


@pytest.mark.parametrize("owner", ["*", "$user", "@staff", "-xml", "a,b"])
def test_gridengine_asks_for_no_pattern(owner: str) -> None:
    """An owner that qstat would take for more than one account becomes no word of a command."""
    text = f"job_number:   7\nowner:   {owner}\n"
    assert {} == ask("gridengine", ["7"], (text, "", 0))[0].jobs


def test_htcondor_believes_a_host_that_reports_the_job() -> None:
    """The host counts only if that machine itself reports the job, as in the list of all jobs."""
    queue = saved("htcondor/condor_q-by-ids")
    found, commands = ask("htcondor", ["1"], queue, ("[]", "", 0))
    assert "1" in commands[0]
    assert "" == found.jobs["1"].exec_host
    owner = found.jobs["1"].owner
    host = next(row for row in json.loads(queue.stdout) if row["ClusterId"] == 1)["RemoteHost"]
    slot = {"JobId": "1.0", "RemoteOwner": f"{owner}@cluster", "Machine": host.rpartition("@")[2]}
    found, _ = ask("htcondor", ["1"], queue, (json.dumps([slot]), "", 0))
    assert slot["Machine"] == found.jobs["1"].exec_host


def test_lsf_of_all_users() -> None:
    """With ids, too, the jobs of all users are asked for."""
    found, commands = ask("lsf", ["1000", "999999"], (LISTINGS["lsf"](1), "", 0))
    assert ["bjobs", "-u", "all", "-a", "-X"] == commands[0][:5]
    assert ["1000", "999999"] == commands[0][-2:]
    assert ["1000"] == list(found.jobs)


def test_the_end_of_a_job_in_lsfs_columns_is_not_believed() -> None:
    """A job's name can forge a row, so that only its own user can report its end."""
    text = LISTINGS["lsf columns"](1).replace(" RUN ", " DONE")
    assert JobState.COMPLETED is Lsf().read_status(
        Reply(("bjobs", "-w"), 0, text)
    )["1000"].state  # fmt: skip
    refused = ("", "bad option -json", 255)
    found, commands = ask("lsf", ["1000"], refused, (text, "", 0))
    assert {} == found.jobs
    assert [["-u", "all"]] * 2 == [command[1:3] for command in commands]


def test_pbs_asks_for_one_by_one_what_an_answer_leaves_open() -> None:
    """A job that an answer does not mention is asked for alone, and then left out."""
    listed = LISTINGS["pbs"](1)
    nothing = ("", "qstat: what?", 1)
    found, commands = ask("pbs", ["1000.pbslab", "7.pbslab"], (listed, "", 0), nothing)
    assert ["1000.pbslab"] == list(found.jobs)
    assert [["1000.pbslab", "7.pbslab"], ["7.pbslab"]] == [
        [word for word in command if word.endswith(".pbslab")] for command in commands
    ]


@pytest.mark.parametrize("name", ["pbs", "torque"])
@pytest.mark.parametrize(
    "answer", [("", "qstat: cannot connect to server", 255), ("", "usage: qstat", 2), ("?", "", 0)]
)
def test_a_server_that_does_not_answer(name: str, answer: tuple[str, str, int]) -> None:
    """If the server is down, or its answer is something else, nothing is known about any job."""
    with pytest.raises(SchedulerUnavailable):
        ask(name, ["1.lab", "2.lab"], answer)


def test_torque_asks_for_one_by_one_if_a_row_may_be_forged() -> None:
    """If a part of an answer can't be read, no part of it counts."""
    good = LISTINGS["torque"](1)
    odd = good.replace("</Data>", "<Job><Job_Id>5</Job></Data>")
    found, commands = ask(
        "torque",
        ["1000.torquelab", "7.torquelab"],
        (odd, "", 0),
        (good, "", 0),
        saved("torque/qstat-unknown"),
    )
    assert (["1000.torquelab"], 3) == (list(found.jobs), len(commands))
