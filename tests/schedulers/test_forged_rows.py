"""Rows that users can write into a scheduler's list, and whether a site hides its jobs."""

from __future__ import annotations

import pytest
from support.attacks import FORGED_ROW
from support.dialogues import Answer, hold
from support.many_jobs import LISTINGS
from support.many_nodes import CLUSTERS

from unispawner.errors import SchedulerUnavailable, UniSpawnerError
from unispawner.schedulers import get_scheduler
from unispawner.schedulers.base import CommandNotFound
from unispawner.schedulers.questions import Tracked, converse

MORE: dict[str, list[Answer]] = {"htcondor": [("[]", "", 0)]}
NO_JSON: Answer = ("", "bad option -json", 255)


def ask(name: str, ids: list[str], *answers: Answer) -> Tracked:
    """Answer the monitor's question about all jobs, or about these alone."""
    question = "query_tracked" if name.endswith("all") else "query"
    found = hold(converse(get_scheduler(name.split()[0]), question, ids), *answers)[0].result
    assert isinstance(found, Tracked)
    return found


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("slurm", False),
        ("gridengine", False),
        ("htcondor", False),
        ("pbs", False),
        ("lsf", False),
        ("lsf columns", True),
        ("torque", True),
    ],
)
def test_which_lists_users_can_write(name: str, expected: bool) -> None:
    """The answer says whether a user may have written some of its rows."""
    before = [NO_JSON] if name == "lsf columns" else []
    answers = [*before, (LISTINGS[name](3), "", 0), *MORE.get(name, [])]
    found = ask(f"{name.split()[0]} all", ["1000"], *answers)
    assert expected is found.forgeable


@pytest.mark.threat(**FORGED_ROW)
def test_a_name_with_a_line_break_is_no_job_when_it_is_asked_for() -> None:
    """In the columns of LSF a name can forge a row; the answer about that id alone has none."""
    row = "{n}     alice   RUN   normal     vm          {host}      {name}    Nov 22 19:32\n"
    heading = LISTINGS["lsf columns"](0)
    forged = "x\n" + row.format(n=999, host="db.internal", name="y").rstrip("\n")
    text = heading + row.format(n=7, host="node1", name=forged)
    found = ask("lsf all", ["999"], NO_JSON, (text, "", 0))
    assert (True, "db.internal") == (found.forgeable, found.jobs["999"].exec_host)
    alone = ask("lsf", ["999"], NO_JSON, ("", "Job <999> is not found", 255))
    assert {} == alone.jobs
    assert {} == ask("lsf", ["7"], NO_JSON, (text.replace("999", "7"), "", 0)).jobs


@pytest.mark.threat(**FORGED_ROW)
def test_a_resource_with_xml_in_its_name_is_no_job_when_it_is_asked_for() -> None:
    """In TORQUE's list a resource's name can forge a job; the answer about it alone has none."""
    text = LISTINGS["torque"](1)
    forged = text[len("<Data>") :].replace("1000.torquelab", "999.torquelab")
    found = ask("torque all", ["999.torquelab"], (f"{text.strip()[:-7]}{forged}", "", 0))
    assert (True, ["999.torquelab"]) == (found.forgeable, list(found.jobs))
    unknown: Answer = ("", "qstat: Unknown Job Id Error 999.torquelab\n", 153)
    assert {} == ask("torque", ["999.torquelab"], unknown).jobs


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("slurm", "PluginDir = /x\nPrivateData             = none\nSlurmdPort = 1\n", False),
        ("slurm", "PrivateData             = accounts,jobs,usage\n", True),
        ("slurm", "PrivateData             = usage\nX = jobs\n", False),
        ("pbs", "Server: lab\n    query_other_jobs = True\n", False),
        ("pbs", "Server: lab\n    query_other_jobs = False\n", True),
        ("torque", "Server: lab\n    query_other_jobs = True\n", False),
        ("torque", "Server: lab\n    total_jobs = 1\n", True),
        ("lsf", "MAX_JOBID = 999\nSECURE_JOB_INFO_LEVEL = 2\n", True),
        ("lsf", "SECURE_JOB_INFO_LEVEL = 0\n", False),
        ("lsf", "MAX_JOBID = 999\n", False),
    ],
)
def test_whether_a_site_hides_its_jobs(name: str, text: str, expected: bool) -> None:
    """The scheduler's configuration says whether it hides users' jobs from the Hub's account."""
    found, _ = hold(converse(get_scheduler(name), "hides_jobs"), (text, "", 0))
    assert expected is found.result


@pytest.mark.parametrize("name", ["gridengine", "htcondor", "local"])
def test_schedulers_that_hide_no_jobs(name: str) -> None:
    """Other schedulers hide no job from anybody, so that no command is needed to know it."""
    assert False is hold(converse(get_scheduler(name), "hides_jobs"))[0].result


@pytest.mark.parametrize("name", ["slurm", "pbs", "torque", "lsf"])
@pytest.mark.parametrize("answer", [("", "down", 1), CommandNotFound("no such command")])
def test_no_answer_is_not_that_jobs_are_hidden(name: str, answer: Answer) -> None:
    """A scheduler that does not answer, or has no such command, has not said that it hides jobs."""
    with pytest.raises(UniSpawnerError):
        hold(converse(get_scheduler(name), "hides_jobs"), answer)


@pytest.mark.parametrize("name", ["slurm", "pbs", "torque"])
def test_an_answer_that_cannot_be_read(name: str) -> None:
    """Something else than a configuration is an error."""
    with pytest.raises(SchedulerUnavailable):
        hold(converse(get_scheduler(name), "hides_jobs"), ("Notice: maintenance\n", "", 0))


@pytest.mark.threat(
    who="other user",
    tries="They put a control character into their job's request, which XML does not allow.",
    stopped_by="Such characters are replaced before Grid Engine's answer is read.",
)
@pytest.mark.parametrize("odd", ["\x01", "&#1;", "&#x1b;", "\x0b", "\ufffe"])
def test_a_control_character_hides_no_node(odd: str) -> None:
    """A job's request with a character that is not XML leaves the inventory readable."""
    hosts, queues, running, waiting = CLUSTERS["gridengine"](3)
    request = f'<hard_request name="gpu{odd}">{odd}1</hard_request></job_list>'
    jobs = [text.replace("</job_list>", request) for text in (running, waiting)]
    answers: list[Answer] = [(text, "", 0) for text in (hosts, queues, *jobs)]
    found = hold(converse(get_scheduler("gridengine"), "inventory"), *answers)[0].result
    assert (3, 3) == (len(found.nodes), found.waiting)
