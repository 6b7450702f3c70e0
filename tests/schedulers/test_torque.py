"""TORQUE: the script, and the saved output of its commands (tests/outputs/torque, 4.2.10)."""

import re
import shlex
from datetime import timedelta
from typing import Any
from xml.sax.saxutils import escape

import pytest
import support
from support.dialogues import hold
from support.jobs import MARK, full_job

from unispawner.errors import CancelError, InvalidJobError, SchedulerUnavailable
from unispawner.job import JobInfo, JobSpec, JobState, ResourceSpec
from unispawner.schedulers import get_scheduler
from unispawner.schedulers.base import Meaning, Reply
from unispawner.schedulers.inventory import Node, Queue
from unispawner.schedulers.torque import Torque, read_xml
from unispawner.script.rendering import render_script
from unispawner.testing import read_saved_reply

OUTPUTS = support.OUTPUTS / "torque"
TORQUE = Torque()
MOAB = Torque(torque_gpus=True, torque_moab=True)

FULL = full_job(
    directory="/home/ada",
    stdout_path="/home/ada/.unispawner/logs/x.log",
    queue_name="batch",
    reservation_id="class.1",
    custom_attributes={
        "torque.l": "feature=fast",
        "torque.W": ["x=QOS:high", "umask=022"],
        "torque.h": True,
        "pbs.p": 1,
    },
    prologue="",
)

# qsub(1B) of TORQUE; -W x= is "Resource Manager Extensions" of the Moab and Maui guides.
SCRIPT = """\
#!/bin/bash -l
#PBS -N my_job
#PBS -j oe
#PBS -o /dev/null
#PBS -m n
#PBS -q batch
#PBS -A ml
#PBS -l nodes=2:ppn=12:gpus=4
#PBS -l mem=8388609kb
#PBS -l walltime=36:00:00
#PBS -l feature=fast
#PBS -W umask=022
#PBS -h
#PBS -W 'x=FLAGS:ADVRES:class.1;NACCESSPOLICY:SINGLEJOB;QOS:high'
#PBS -v UNISPAWNER_MARK=0123456789abcdef

exec >>/home/ada/.unispawner/logs/x.log 2>&1
cd /home/ada || exit 1
. /home/ada/env || exit 1
exec python3 -I - <<'END_OF_UNISPAWNER_LAUNCHER'
print()
END_OF_UNISPAWNER_LAUNCHER
"""


def saved(name: str) -> Reply:
    return read_saved_reply(OUTPUTS / name)


def xml(*jobs: dict[str, Any]) -> str:
    """Return jobs as qstat.c and MXML.c write them: only text is escaped."""
    return "<Data>" + "".join(f"<Job>{_elements(job)}</Job>" for job in jobs) + "</Data>\n"


def _elements(values: dict[str, Any]) -> str:
    return "".join(
        f"<{name}>{_elements(value) if isinstance(value, dict) else escape(value)}</{name}>"
        for name, value in values.items()
    )


def job(number: str = "1", state: str = "R", **attributes: Any) -> dict[str, Any]:
    row = {"Job_Id": number, "Job_Owner": "alice@lab", "job_state": state, "queue": "batch"}
    return {**row, "server": "lab:15001", **attributes}


def one(state: str, **attributes: Any) -> JobInfo:
    return TORQUE.read_status(Reply(("qstat",), 0, xml(job("1", state, **attributes))))["1"]


# -- the script ---------------------------------------------------------------------------------


def test_the_script_of_a_full_job() -> None:
    """The script has every field, line by line, and no secret."""
    script = render_script(FULL, MOAB, environment_file="/home/ada/env", standard_input="print()")
    assert SCRIPT.splitlines() == script.splitlines()


def test_the_directives_of_an_empty_job() -> None:
    """A job that asks for nothing gets only the directives that every job has."""
    assert ["#PBS -N jupyter", "#PBS -j oe", "#PBS -m n"] == TORQUE.directives(JobSpec())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"memory": 1025}, {"mem": "2kb"}),
        ({"memory": 4096, "node_count": 2}, {"nodes": "2:ppn=1", "mem": "4kb"}),
        ({"cpu_cores_per_process": 4}, {"nodes": "1:ppn=4"}),
        ({"process_count": 4}, {"nodes": "1:ppn=4"}),
        ({"gpu_cores_per_process": 2}, {"nodes": "1:ppn=1:gpus=2"}),
        ({"gpu_cores_per_process": 0}, {}),
    ],
)
def test_resources(given: dict[str, Any], expected: dict[str, str]) -> None:
    """mem is the memory of the whole job, and ppn the number of cores on a node."""
    assert expected == TORQUE.resources(JobSpec(resources=ResourceSpec(**given)))


@pytest.mark.parametrize(
    ("spec", "setting"),
    [
        (JobSpec(resources=ResourceSpec(gpu_cores_per_process=1)), "torque_gpus"),
        (JobSpec(resources=ResourceSpec(exclusive_node_use=True)), "torque_moab"),
        (JobSpec(reservation_id="x"), "torque_moab"),
    ],
)
def test_what_plain_torque_can_not_do_is_refused(spec: JobSpec, setting: str) -> None:
    """What TORQUE would ignore is refused, and the message names the setting that allows it."""
    with pytest.raises(InvalidJobError, match=f"c.UniSpawner.{setting} = True"):
        TORQUE.check_supported(spec)
    Torque(**{setting: True}).check_supported(spec)


def test_values_are_quoted_for_qsubs_reader() -> None:
    """Values are quoted as for PBS's qsub, from which TORQUE's descends."""
    (line,) = [one for one in TORQUE.directives(JobSpec(account="a'b\\")) if " -A " in one]
    assert ["#PBS", "-A", "a'b\\"] == shlex.split(line)


# -- answers ------------------------------------------------------------------------------------


def test_all_jobs() -> None:
    """All jobs are asked for with one command, and have ids with and without a server's name."""
    jobs, commands = hold(TORQUE.query(), saved("qstat-x-all"))
    assert [["qstat", "-x"]] == commands
    numbers = [str(number) for number in range(2, 12)]
    assert {*numbers, *(f"{number}.torquelab" for number in numbers)} == set(jobs)
    assert jobs["2"] == jobs["2.torquelab"]
    assert (
        JobInfo(
            owner="alice",
            state=JobState.RUNNING,
            exec_host="torquelab",
            start_time=1795375950.0,
            estimated_end=1795376550.0,
            native_state="R",
        )
        == jobs["2"]
    )
    assert (
        JobInfo(
            owner="alice",
            state=JobState.QUEUED,
            message="Not enough of the right type of nodes are available",
            queue_position=6,
            native_state="Q",
        )
        == jobs["11"]
    )


def test_no_jobs() -> None:
    """If there is no job, qstat prints nothing."""
    assert {} == TORQUE.read_status(Reply(("qstat",), 0, ""))


def test_ids_that_two_jobs_share_do_not_count() -> None:
    """An id that two jobs share does not count: a job may have come from another server."""
    jobs = TORQUE.read_status(Reply(("qstat",), 0, xml(job("5.lab"), job("5.other", server="x"))))
    assert {"5.lab", "5.other", "5.x"} == set(jobs)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"exit_status": "0"}, (JobState.COMPLETED, "", 0)),
        ({"exit_status": "3"}, (JobState.FAILED, "the job ended with an error", 3)),
        ({"exit_status": "271"}, (JobState.CANCELED, "", None)),
        ({"exit_status": "-11"}, (JobState.FAILED, "the job reached its time limit", None)),
        (
            {"exit_status": "-10"},
            (JobState.FAILED, "the job used more memory than it asked for", None),
        ),
        (
            {
                "exit_status": "271",
                "resources_used": {"walltime": "00:10:09"},
                "Resource_List": {"walltime": "00:10:00"},
            },
            (JobState.FAILED, "the job reached its time limit", 143),
        ),
        ({}, (JobState.CANCELED, "", None)),
    ],
)
def test_ends(attributes: dict[str, Any], expected: tuple[JobState, str, int | None]) -> None:
    """Exit codes are those of the Administrator Guide, "Job exit status"."""
    info = one("C", **attributes)
    assert expected == (info.state, info.message, info.exit_code)


def test_a_job_that_was_cancelled() -> None:
    """A cancelled job is listed during keep_completed and counts as cancelled."""
    jobs, _ = hold(TORQUE.query(["2"]), saved("qstat-x-finished"))
    assert {"2": JobInfo(owner="alice", state=JobState.CANCELED, native_state="C")} == jobs


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        *(("Q", JobState.QUEUED), ("H", JobState.HELD), ("W", JobState.QUEUED)),
        *(("R", JobState.RUNNING), ("E", JobState.RUNNING), ("S", JobState.SUSPENDED)),
        *(("F", JobState.UNKNOWN), ("c", JobState.UNKNOWN)),
    ],
)
def test_states(word: str, expected: JobState) -> None:
    """qstat(1B)'s letters are known; others mean UNKNOWN."""
    assert expected is one(word).state


def test_several_ids() -> None:
    """qstat prints a document for each known job and an error for each other one."""
    text = xml(job("1")) + xml(job("3", "C", exit_status="0"))
    errors = "qstat: Unknown Job Id Error 2.lab\n"
    jobs, commands = hold(TORQUE.query(["1.lab", "2.lab", "3"]), (text, errors, 153))
    assert [["qstat", "-x", "1.lab", "2.lab", "3"]] == commands
    assert ["1.lab", "3"] == list(jobs)


def test_an_unknown_job() -> None:
    """A job that the server does not know is missing from the result."""
    assert {} == hold(TORQUE.query(["999999"]), saved("qstat-unknown"))[0]


@pytest.mark.parametrize(
    "answer",
    [
        ("", "", 0),
        ("", "qstat: cannot connect to server lab (errno=111) Connection refused\n", 111),
        ("", "qstat: Unknown Job Id Error 2.lab\n", 153),
        (xml(job("2")), "", 0),
        (xml(job("1"))[:-9], "", 0),
    ],
)
def test_silence_is_no_answer(answer: tuple[str, str, int]) -> None:
    """A job that the answer does not mention makes the answer an error."""
    with pytest.raises(SchedulerUnavailable):
        hold(TORQUE.query(["1.lab"]), answer)


def test_marks() -> None:
    """Marks are read from the list of variables, which everybody can see."""
    variables = f"PBS_O_QUEUE=batch,UNISPAWNER_MARK={MARK},PBS_O_HOST=vm"
    mine, other = job("7", Variable_List=variables), job("8", Variable_List="A=b")
    marks, commands = hold(
        TORQUE.find_marks("alice"), ("7.lab\n8.lab\n", "", 0), (xml(mine) + xml(other), "", 0)
    )
    assert ({MARK: "7.lab"}, ["qstat", "-x", "7.lab", "8.lab"]) == (marks, commands[1])


# -- what users put there on purpose --------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "</Variable_List><job_state>C</job_state><x>",
        "</x></Job><Job><Job_Id>77</Job_Id><Job_Owner>bob@lab</Job_Owner><job_state>R</job_state>",
        "&lt;Job&gt; &amp; &x;",
        "<!DOCTYPE x [<!ENTITY a 'b'>]>&a;",
        "\x00\x01\x1b[1m\x7f",
        "\ufffe\ud800",
        "line\nbreak\u2028",
    ],
)
def test_a_value_forges_nothing_and_hides_nobody(value: str) -> None:
    """Text is escaped, and control characters, which XML does not allow, are replaced."""
    text = xml(job("1", Variable_List=value), job("2", Account_Name=value, comment=value))
    assert {"1": "R", "2": "R"} == {
        job_id: row["job_state"] for job_id, row in (read_xml(text) or {}).items()
    }


@pytest.mark.parametrize(
    "bad",
    [
        "<Job><Job_Id>1</Job_Id><x></Job>",
        "<Job><Job_Id>1</Job_Id><x>&evil;</x></Job>",
        "<Job><Job_Id>1</Job_Id><!DOCTYPE x></Job>",
        "<Job><Job_Owner>alice@lab</Job_Owner><job_state>R</job_state></Job>",
        "<Job><Job_Id>1</Job_Id><job_state>R</job_state><job_state>C</job_state></Job>",
        "<Job><Job_Id>3</Job_Id><Job_Owner>alice@lab</Job_Owner><job_state>C</job_state></Job>"
        "<Job><Job_Id>3</Job_Id><Job_Owner>alice@lab</Job_Owner><job_state>C</job_state></Job>",
    ],
)
def test_a_job_that_can_not_be_read_hides_no_other(bad: str) -> None:
    """A job that can't be read, or that comes twice, does not hide the others."""
    text = xml(job("2"), job("3") if "<Job_Id>3" not in bad else job("4"))
    text = text.replace("<Data>", f"<Data>{bad}")
    assert {"2", "3" if "<Job_Id>3" not in bad else "4"} == set(read_xml(text) or {})


@pytest.mark.threat(
    who="user",
    tries="They forge a second row for somebody's job where the list shows names.",
    stopped_by="A job that comes twice is not believed.",
)
def test_a_resource_forges_no_job() -> None:
    """A job that the unescaped name of a resource forges comes twice, so that it does not count."""
    name = (
        "x></x></Resource_List></Job><Job><Job_Id>77</Job_Id><Job_Owner>bob@lab</Job_Owner>"
        "<job_state>R</job_state></Job><Job><Job_Id>78</Job_Id><Resource_List><y"
    )
    text = xml(job("1", Resource_List={name: "1"}), job("2"))
    assert {"2"} <= set(read_xml(text) or {})
    assert "77" not in (read_xml(text) or {})


@pytest.mark.parametrize("length", [1, 50, 2000, -8, -12])
def test_a_cut_off_answer_is_no_answer(length: int) -> None:
    """A cut-off answer is an error, so that the jobs that it lacks are not missed."""
    with pytest.raises(SchedulerUnavailable):
        TORQUE.read_status(Reply(("qstat",), 0, saved("qstat-x-all").stdout[:length]))


# -- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stderr", "status", "expected"),
    [
        ("qdel: Unknown Job Id Error 9.lab", 153, Meaning.GONE),
        (
            "qdel: Request invalid for state of job MSG=invalid state for job - COMPLETE 2.lab",
            170,
            Meaning.GONE,
        ),
        ("qdel: Unauthorized Request  MSG=operation not permitted 3.lab", 159, Meaning.DENIED),
        (
            "qstat: cannot connect to server lab (errno=15137) could not connect to trqauthd",
            33,
            Meaning.UNAVAILABLE,
        ),
        ("socket_connect error (VERIFY THAT trqauthd IS RUNNING)", 1, Meaning.UNAVAILABLE),
        ("qsub: submit error (Unknown queue MSG=cannot locate queue)", 1, Meaning.REFUSED),
        ("qsub: submit error (Bad UID for job execution MSG=x)", 1, Meaning.REFUSED),
    ],
)
def test_what_errors_mean(stderr: str, status: int, expected: Meaning) -> None:
    """Errors are recognised by their words, or by the server's error number modulo 256."""
    assert expected is TORQUE.meaning(Reply(("x",), status, "", stderr))


def test_another_users_job() -> None:
    """The error for another user's job is a CancelError."""
    reply = Reply(("qdel",), 159, "", "qdel: Unauthorized Request  MSG=x 3.lab")
    assert CancelError is type(TORQUE.cancel_error(reply))


def test_who_is_it() -> None:
    """TORQUE is recognised by qstat --version, which PBS, Grid Engine and Slurm have as well."""
    assert re.search(TORQUE.identity, "Version: 4.2.10\nCommit: abc\n", re.MULTILINE)
    assert re.search(TORQUE.identity, "version: 2.4.16", re.MULTILINE)
    for other in ("pbs_version = 23.06.06", "SGE 8.1.9\nusage: qstat", "Version: unknown"):
        assert not re.search(TORQUE.identity, other, re.MULTILINE)


# -- the cluster ----------------------------------------------------------------------------------

# Written by hand, from the Administrator Guide's examples of qstat -Q -f, qstat -B -f and pbsnodes.
QUEUES = """\
Queue: batch
    queue_type = Execution
    total_jobs = 10
    state_count = Transit:0 Queued:6 Held:0 Waiting:0 Running:4 Exiting:0 Complete:2
    resources_max.walltime = 24:00:00
    resources_max.nodect = 4
    resources_default.nodes = 1
    mtime = 1795375900
    enabled = True
    started = True

Queue: gpu
    queue_type = Execution
    resources_default.neednodes = gpunode
    enabled = True
    started = True
"""
SERVER = "Server: torquelab\n    server_state = Active\n    default_queue = batch\n\n"
NODES = """\
n1
     state = job-exclusive
     power_state = Running
     np = 2
     ntype = cluster
     jobs = 0/7.torquelab, 1/8.torquelab
     status = rectime=1795375950,cpuclock=OnDemand,physmem=8009772kb,availmem=9kb,ncpus=2
     mom_service_port = 15002
     gpus = 0

n2
     state = free
     np = 8
     properties = gpunode,big
     ntype = cluster
     jobs = 0-2/9.torquelab,5/10.torquelab
     gpus = 2

n3
     state = down
     np = 8
     gpus = 0
"""


def test_the_inventory() -> None:
    """Queues may be bound to a property of nodes; idle GPUs are unknown."""
    inventory, commands = hold(TORQUE.inventory(), (QUEUES, "", 0), (SERVER, "", 0), (NODES, "", 0))
    assert ["pbsnodes", "-a"] == commands[2]
    day = timedelta(hours=24)
    assert (
        Queue("batch", default=True, max_duration=day, max_nodes=4, waiting=6, running=4),
        Queue("gpu", waiting=0, running=0),
    ) == inventory.queues
    batch = frozenset({"batch"})
    assert (
        Node("n1", True, 2, 0, 0, 0, 8009772 * 1024, None, batch, (), frozenset()),
        Node(
            "n2",
            True,
            8,
            4,
            2,
            None,
            None,
            None,
            batch | {"gpu"},
            (("big", 2, None), ("gpunode", 2, None)),
            frozenset({"big", "gpunode"}),
        ),
        Node("n3", False, 8, 0, 0, 0, None, 0, batch, (), frozenset()),
    ) == inventory.nodes


@pytest.mark.parametrize("name", ["r;QOS:high", "r:x", "a b", "a,b"])
def test_a_reservation_is_no_more_than_a_name(name: str) -> None:
    """A reservation with a semicolon is refused: Moab would read another extension."""
    with pytest.raises(InvalidJobError, match="^reservation_id: .* must not contain"):
        Torque(torque_moab=True).check_supported(JobSpec(reservation_id=name))


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        ("alice@lab", "alice"),
        ("alice@ad.site@login1", "alice@ad.site"),
        ("alice@ad.site@", "alice@ad.site"),
        ("AD\\alice@lab", "AD\\alice"),
        ("alice", "alice"),
    ],
)
def test_an_owner_is_what_is_before_the_last_at(owner: str, expected: str) -> None:
    """The account's own name may have an @; the submit host is behind the last one."""
    assert expected == one("R", Job_Owner=owner).owner
    listed = xml(job("1", Job_Owner=owner))
    assert (
        expected
        == get_scheduler("template", {"template": "torque"})
        .read_status(Reply(("qstat",), 0, listed))["1"]
        .owner
    )
    line = f"Job Id: 1.lab|Job_Owner={owner}|job_state=R\n"
    assert (
        expected
        == get_scheduler("template", {"template": "pbs"})
        .read_status(Reply(("qstat",), 0, line))["1.lab"]
        .owner
    )


@pytest.mark.parametrize("owner", ["alice@ad.site", "a+b", "-x", "alice smith"])
def test_marks_of_an_account_that_a_list_of_users_cannot_name(owner: str) -> None:
    """qselect would misread such a name, so that all jobs are listed, and the owners compared."""
    variables = f"UNISPAWNER_MARK={MARK}"
    mine = job("7", Job_Owner=f"{owner}@lab", Variable_List=variables)
    other = job("8", Job_Owner="bob@lab", Variable_List="UNISPAWNER_MARK=" + "f" * 16)
    answers = [("7.lab\n8.lab\n", "", 0), (xml(mine) + xml(other), "", 0)]
    marks, commands = hold(TORQUE.find_marks(owner), *answers)
    assert ({MARK: "7.lab"}, ["qselect"]) == (marks, commands[0])
