"""PBS: the script, and the saved output of its commands (tests/outputs/pbs: OpenPBS 23.06.06)."""

import json
import shlex
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import support
from support.dialogues import hold
from support.jobs import MARK, full_job

from unispawner.errors import CancelError, InvalidJobError, SchedulerUnavailable, SubmitError
from unispawner.job import JobInfo, JobSpec, JobState, ResourceSpec
from unispawner.reasons import never_starts
from unispawner.schedulers.base import Meaning, Reply
from unispawner.schedulers.inventory import Node, Queue
from unispawner.schedulers.pbs import Pbs
from unispawner.schedulers.pbs_job import read_duration, read_size, read_time
from unispawner.script.rendering import render_script
from unispawner.testing import read_saved_reply

FORGED_JSON = pytest.mark.threat(
    who="user",
    tries="They put quotes and braces into a job's attribute, so that PBS's JSON has another job.",
    stopped_by="The answer is read by its structure, and older releases are asked for "
    "lines with a random delimiter.",
)

OUTPUTS = support.OUTPUTS / "pbs"
PBS = Pbs()
BULK = ("qstat", "-f", "-F", "json")

FULL = full_job(
    stdout_path="/home/ada/.unispawner/my logs/x.log",
    account="ml proj",
    reservation_id="R12.pbslab",
    custom_attributes={
        "pbs.l": ["software=matlab", "filesystems=home:eagle"],
        "pbs.p": 10,
        "pbs.h": True,
        "pbs.r": False,
        "pbs.M": "it's@x",
        "pbs.W": "umask=022",
        "pbs.group_list": "chem",
        "pbs.v": "A=1,B='x y'",
        "slurm.qos": "high",
    },
)

# Each directive's place in the PBS Professional Reference Guide is qsub(1B), "Options"; -l select
# and place are "Requesting Resources and Placing Jobs" of the User's Guide.
SCRIPT = """\
#!/bin/bash -l
#PBS -N my_job
#PBS -j oe
#PBS -o localhost:/dev/null
#PBS -m n
#PBS -q R12
#PBS -A 'ml proj'
#PBS -l select=2:ncpus=12:mpiprocs=4:mem=4194305kb:ngpus=4
#PBS -l place=scatter:exclhost
#PBS -l walltime=36:00:00
#PBS -l software=matlab
#PBS -l filesystems=home:eagle
#PBS -p 10
#PBS -h
#PBS -M 'it'"'"'s@x'
#PBS -W umask=022
#PBS -W group_list=chem
#PBS -v 'UNISPAWNER_MARK=0123456789abcdef,A=1,B='"'"'x y'"'"''

exec >>'/home/ada/.unispawner/my logs/x.log' 2>&1
cd '/home/ada/my work' || exit 1
. /home/ada/env || exit 1
module load python
exec python3 -I - <<'END_OF_UNISPAWNER_LAUNCHER'
print()
END_OF_UNISPAWNER_LAUNCHER
"""


def saved(name: str) -> Reply:
    return read_saved_reply(OUTPUTS / name)


def listing(*jobs: tuple[str, dict[str, Any]], **header: Any) -> str:
    """Return JSON as cJSON writes it; ids and names may come twice."""
    first = {"timestamp": 1, "pbs_version": "23.06.06", "pbs_server": "pbslab", **header}
    bodies = [
        f"\t\t{json.dumps(job_id)}:\t" + _dump(attributes).replace("\n", "\n\t\t")
        for job_id, attributes in jobs
    ]
    head = _dump(first)[:-2]
    return f'{head},\n\t"Jobs":\t{{\n' + ",\n".join(bodies) + "\n\t}\n}\n"


def _dump(value: Any) -> str:
    return json.dumps(value, indent="\t", separators=(",", ":\t"))


def job(state: str = "R", **attributes: Any) -> dict[str, Any]:
    return {"Job_Owner": "alice@pbslab", "job_state": state, "queue": "workq", **attributes}


def bulk(*jobs: tuple[str, dict[str, Any]]) -> dict[str, JobInfo]:
    return PBS.read_status(Reply(BULK, 0, listing(*jobs)))


def one(state: str, **attributes: Any) -> JobInfo:
    return bulk(("1.pbslab", job(state, **attributes)))["1.pbslab"]


def epoch(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()


# -- the script ---------------------------------------------------------------------------------


def test_the_script_of_a_full_job() -> None:
    """The script has every field, line by line, and no secret."""
    script = render_script(FULL, PBS, environment_file="/home/ada/env", standard_input="print()")
    assert SCRIPT.splitlines() == script.splitlines()


def test_the_directives_of_an_empty_job() -> None:
    """A job that asks for nothing gets only the directives that every job has."""
    expected = ["#PBS -N jupyter", "#PBS -j oe", "#PBS -m n"]
    assert expected == PBS.directives(JobSpec())
    assert [] == PBS.preamble(JobSpec())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"memory": 1}, {"select": "1:mem=1kb"}),
        ({"memory": 1025}, {"select": "1:mem=2kb"}),
        ({"memory": 3 * 1024, "node_count": 2}, {"select": "2:mem=2kb", "place": "scatter"}),
        ({"cpu_cores_per_process": 4}, {"select": "1:ncpus=4"}),
        ({"processes_per_node": 4}, {"select": "1:ncpus=4:mpiprocs=4"}),
        ({"process_count": 4, "node_count": 2}, {"select": "2:ncpus=2:mpiprocs=2"}),
        ({"gpu_cores_per_process": 2}, {"select": "1:ngpus=2"}),
        ({"gpu_cores_per_process": 0}, {}),
        # "cannot have place w/o select" (pbs_error.h, 15111)
        ({"exclusive_node_use": True}, {"select": "1", "place": "exclhost"}),
    ],
)
def test_a_chunk_is_a_node(given: dict[str, Any], expected: dict[str, str]) -> None:
    """A chunk has its share of the job's memory, and the GPUs of all its processes."""
    resources = PBS.resources(JobSpec(resources=ResourceSpec(**given)))
    assert expected.items() <= resources.items()
    assert set(resources) <= {"select", "place"}


def test_gpus_by_the_sites_name() -> None:
    """GPUs are requested through the resource that the setting names."""
    spec = JobSpec(resources=ResourceSpec(gpu_cores_per_process=2))
    assert {"select": "1:ngpus_a100=2"} == Pbs(pbs_gpu_resource="ngpus_a100").resources(spec)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("jupyter-ada", "jupyter-ada"),
        ("0012", "j0012"),
        ("a b,c/d:e", "a_b_c_d_e"),
        ("ünï", "j_n_"),
        ("-x", "j-x"),
        ("a" * 300, "a" * 230),
    ],
)
def test_a_name_that_qsub_takes(name: str, expected: str) -> None:
    """A name begins with a letter, has letters, digits and -_+, and at most 230 characters."""
    assert f"#PBS -N {expected}" == PBS.directives(JobSpec(name=name))[0]


@pytest.mark.parametrize(
    ("queue", "reservation", "expected"),
    [
        ("gpu", "", "gpu"),
        ("gpu", "R12.pbslab", "R12"),
        ("", "S3", "S3"),
        ("", "class.x", "class.x"),
    ],
)
def test_a_reservation_is_the_queue(queue: str, reservation: str, expected: str) -> None:
    """A reservation is written as the queue: PBS reads one -q, and a reservation has a queue."""
    lines = PBS.directives(JobSpec(queue_name=queue, reservation_id=reservation))
    assert [f"#PBS -q {expected}"] == [line for line in lines if line.startswith("#PBS -q")]


def test_an_attribute_takes_the_place_of_ours() -> None:
    """The custom attribute pbs.l=select replaces our select, since qsub would refuse two."""
    spec = JobSpec(
        queue_name="x",
        duration=timedelta(hours=1),
        resources=ResourceSpec(node_count=2, memory=1024),
        custom_attributes={"pbs.l": "select=1:model=a+1:model=b,place=pack", "pbs.q": "y@z"},
    )
    lines = PBS.directives(spec)
    assert ["walltime=1", "select=1:model=a+1:model=b,place=pack"] == [
        line.split(" ")[2].replace("01:00:00", "1") for line in lines if " -l " in line
    ]
    assert ["#PBS -q y@z"] == [line for line in lines if " -q " in line]


@pytest.mark.parametrize("key", ["I", "J", "V", "C", "z"])
def test_options_that_make_another_job(key: str) -> None:
    """-V, which publishes the agent's environment, and options such as -I and -J are refused."""
    with pytest.raises(InvalidJobError, match=f"pbs.{key} can't be set"):
        PBS.check_supported(JobSpec(custom_attributes={f"pbs.{key}": True}))


@pytest.mark.parametrize(
    "value", ["a b", "it's", 'say "hi"', "end\\", "$HOME `id`", "a;b", "#x", "'\"\\'", "\\", "-x"]
)
def test_values_are_quoted_for_qsubs_reader(value: str) -> None:
    """qsub reads each value as it is (qsub.c, make_argv).

    It knows both kinds of quotes, and a backslash outside them. A backslash at the end of a line
    would join the next line.
    """
    (line,) = [
        line for line in PBS.directives(JobSpec(account=value)) if line.startswith("#PBS -A")
    ]
    assert ["#PBS", "-A", value] == shlex.split(line)
    assert not line.endswith("\\")


# -- answers ------------------------------------------------------------------------------------


def test_all_jobs() -> None:
    """All jobs are asked for with one command, without the history."""
    jobs, commands = hold(PBS.query(), saved("qstat-f-json-all"))
    assert [list(BULK)] == commands
    assert [f"{number}.pbslab" for number in range(1, 11)] == list(jobs)
    assert (
        JobInfo(
            owner="alice",
            state=JobState.RUNNING,
            exec_host="pbslab",
            start_time=epoch("2026-11-22T19:32:18"),
            estimated_end=epoch("2026-11-22T19:42:18"),
            native_state="R",
        )
        == jobs["1.pbslab"]
    )
    assert (
        JobInfo(
            owner="alice",
            state=JobState.QUEUED,
            message="Not enough free nodes available",
            queue_position=1,
            native_state="Q",
        )
        == jobs["5.pbslab"]
    )
    assert [None] * 4 + [1, 2, 3, 4, 5, 6] == [info.queue_position for info in jobs.values()]


def test_no_jobs() -> None:
    """If there is no job, the JSON has no "Jobs"."""
    text = _dump({"timestamp": 1, "pbs_version": "23.06.06", "pbs_server": "pbslab"}) + "\n"
    assert {} == PBS.read_status(Reply(BULK, 0, text))


def test_a_job_that_has_ended() -> None:
    """By its id, PBS reports how a job ended; the signal of qdel is a cancellation."""
    jobs, commands = hold(PBS.query(["1.pbslab"]), saved("qstat-f-json-x-finished"))
    assert [[*BULK, "-x", "1.pbslab"]] == commands
    assert JobInfo(owner="alice", state=JobState.CANCELED, native_state="F") == jobs["1.pbslab"]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"Exit_status": 0, "substate": 92}, (JobState.COMPLETED, "", 0)),
        ({"Exit_status": 3, "substate": 93}, (JobState.FAILED, "the job ended with an error", 3)),
        ({"Exit_status": 0, "substate": 91}, (JobState.CANCELED, "", None)),
        ({"Exit_status": 271, "substate": 92}, (JobState.CANCELED, "", None)),
        (
            {"Exit_status": -29, "substate": 93},
            (JobState.FAILED, "the job reached its time limit", None),
        ),
        (
            {"Exit_status": -27},
            (JobState.FAILED, "the job used more memory than it asked for", None),
        ),
        ({"Exit_status": -99}, (JobState.FAILED, "the job was ended (code -99)", None)),
        ({"Exit_status": 265}, (JobState.FAILED, "the job was killed by signal 9", 137)),
        ({"Exit_status": 137}, (JobState.FAILED, "the job was killed by signal 9", 137)),
        ({"Exit_status": 255}, (JobState.FAILED, "the job ended with an error", 255)),
        (
            {
                "Exit_status": 271,
                "resources_used": {"walltime": "00:10:02"},
                "Resource_List": {"walltime": "00:10:00"},
            },
            (JobState.FAILED, "the job reached its time limit", 143),
        ),
        ({"substate": 91}, (JobState.CANCELED, "", None)),
        ({}, (JobState.CANCELED, "", None)),
        ({"comment": "Not Running: x and terminated by a@b"}, (JobState.CANCELED, "", None)),
        ({"substate": 93}, (JobState.FAILED, "", None)),
    ],
)
def test_ends(attributes: dict[str, Any], expected: tuple[JobState, str, int | None]) -> None:
    """Exit codes are those of the Reference Guide, and the substates 91 to 93 those of job.h."""
    info = one("F", **attributes)
    assert expected == (info.state, info.message, info.exit_code)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        *(("Q", JobState.QUEUED), ("H", JobState.HELD), ("W", JobState.QUEUED)),
        *(("T", JobState.QUEUED), ("M", JobState.QUEUED), ("R", JobState.RUNNING)),
        *(("E", JobState.RUNNING), ("S", JobState.SUSPENDED), ("U", JobState.SUSPENDED)),
        *(("?", JobState.UNKNOWN), ("q", JobState.UNKNOWN)),
    ],
)
def test_states(word: str, expected: JobState) -> None:
    """PBS's letters are known; a letter of a later release means UNKNOWN and is kept."""
    info = one(word)
    assert (expected, word) == (info.state, info.native_state)


def test_a_job_that_is_taken_down() -> None:
    """A job in the state E is ending, unless its substate says that it will run again (job.h)."""
    assert one("E", substate=50).ending
    assert not one("E", substate=60).ending
    assert not one("R").ending


@pytest.mark.parametrize(
    ("word", "attributes", "expected"),
    [
        ("Q", {"comment": "Not Running: Not enough free nodes"}, "Not enough free nodes"),
        ("Q", {"comment": "Can Never Run: too much"}, never_starts("Can Never Run: too much")),
        ("Q", {"comment": "Job run at Sun Nov 22 at 19:32 on (x)"}, ""),
        ("R", {"comment": "Job run at Sun Nov 22 at 19:32 on (x)"}, ""),
        ("H", {"Hold_Types": "u"}, "you hold the job (qrls releases it)"),
        ("H", {"Hold_Types": "so", "comment": "Job held by root"}, "an operator holds the job"),
        ("W", {}, "the job's earliest start time has not come"),
        ("M", {}, "the job has moved to another server"),
    ],
)
def test_reasons(word: str, attributes: dict[str, Any], expected: str) -> None:
    """The reason is the scheduler's comment, unless it is about an earlier run."""
    assert expected == one(word, **attributes).message


def test_a_job_that_can_not_be_started_is_stuck() -> None:
    """A job that PBS holds after twenty attempts is stuck, so that its user learns of it."""
    info = one("H", Hold_Types="s", comment="job held, too many failed attempts to run")
    assert (True, JobState.HELD) == (info.stuck, info.state)
    assert "job held, too many failed attempts to run" == info.message


def test_an_estimated_start() -> None:
    """The estimated start is read, and left out if PBS has none."""
    estimated = {"exec_vnode": "(n1:ncpus=1)", "start_time": "Mon Nov  2 09:05:00 2026"}
    assert epoch("2026-11-02T09:05") == one("Q", estimated=estimated).estimated_start
    assert one("Q", estimated={"start_time": "UNKNOWN"}).estimated_start is None
    assert one("R", estimated=estimated).estimated_start is None


def test_positions_follow_priority_within_a_queue() -> None:
    """Waiting jobs are numbered by priority, and then by the time of submission."""
    at = "Sun Nov 22 19:32:1{} 2026"
    jobs = bulk(
        ("9.pbslab", job("Q", Priority=0, qtime=at.format(8))),
        ("10.pbslab", job("Q", Priority=0, qtime=at.format(7))),
        ("11.pbslab", job("Q", Priority=5, qtime=at.format(9))),
        ("12.pbslab", job("Q", queue="long")),
        ("13.pbslab", job("H", Priority=9)),
    )
    assert [3, 2, 1, 1, None] == [info.queue_position for info in jobs.values()]


def test_the_first_host() -> None:
    """A job on several hosts has the first one."""
    for text in ("n1/0*4+n2/0*4", "n1/1", "n1/0+n1/1"):
        assert "n1" == one("R", exec_host=text).exec_host
    assert "" == one("Q", exec_host="n1/0").exec_host


# -- questions ----------------------------------------------------------------------------------


def test_an_unknown_job_beside_another() -> None:
    """Of several ids each is listed or named as unknown; the exit status is that of one of them."""
    jobs, commands = hold(PBS.query(["1.pbslab", "999999"]), saved("qstat-two-one-unknown"))
    assert (["1.pbslab"], 1) == (list(jobs), len(commands))


@pytest.mark.parametrize("name", ["qstat-unknown", "qstat-finished-without-x"])
def test_what_is_unknown_or_ended(name: str) -> None:
    """A job that the server does not know, or no longer knows, is missing from the result."""
    job_id = saved(name).stderr.split(".pbslab")[0].split()[-1] + ".pbslab"
    jobs, _ = hold(PBS.query([job_id]), saved(name))
    assert {} == jobs


def test_a_server_without_history() -> None:
    """A server without history, which lists nothing, is asked once more without it."""
    head = _dump({"timestamp": 1, "pbs_version": "20.0.1", "pbs_server": "pbslab"})
    refusal = (head, "qstat: job_history_enable is set to false 1.pbslab\n", 0)
    alive = (listing(("1.pbslab", job())), "", 0)
    jobs, commands = hold(PBS.query(["1.pbslab"]), refusal, alive)
    assert [[*BULK, "-x", "1.pbslab"], [*BULK, "1.pbslab"]] == commands
    assert JobState.RUNNING is jobs["1.pbslab"].state


def test_history_can_be_left_alone() -> None:
    """With the setting, the history is not asked for."""
    jobs, commands = hold(
        Pbs(pbs_job_history=False).query(["1.pbslab"]), saved("qstat-finished-without-x")
    )
    assert ({}, [[*BULK, "1.pbslab"]]) == (jobs, commands)


def test_a_qstat_that_lists_only_the_first() -> None:
    """If qstat lists only the first job (openpbs#2672), the others are asked for one by one."""
    first, second = ("10.lab", job()), ("11.lab", job("Q"))
    jobs, commands = hold(
        PBS.query(["10.lab", "11.lab", "12.lab"]),
        (listing(first), "", 0),
        (listing(second), "", 0),
        ("", "qstat: Unknown Job Id 12.lab\n", 153),
    )
    assert ["10.lab", "11.lab"] == list(jobs)
    assert [[*BULK, "-x", "11.lab"], [*BULK, "-x", "12.lab"]] == commands[1:]


@pytest.mark.parametrize(
    "answer",
    [
        ("", "qstat: cannot connect to server pbslab (errno=111)\n", 255),
        (listing(), "", 0),
        (listing(("11.lab", job())), "", 0),
        (listing(("10.lab", job()), ("10.lab", job("F"))), "", 0),
        (listing(("10.lab", {"job_state": "F"})), "", 0),
        ("", "qstat: Unknown Job Id 11.lab\n", 153),
        ("", "", 153),
        ("what?", "", 0),
    ],
)
def test_silence_is_no_answer(answer: tuple[str, str, int]) -> None:
    """A job that the answer does not mention makes the answer an error."""
    with pytest.raises(SchedulerUnavailable):
        hold(PBS.query(["10.lab"]), answer)


def test_a_server_that_goes_away_between_two_jobs() -> None:
    """If the server goes away between two jobs, the answer is an error, whatever its status."""
    errors = "qstat: cannot connect to server lab (errno=111)\nqstat: Unknown Job Id 11.lab\n"
    with pytest.raises(SchedulerUnavailable):
        hold(PBS.query(["10.lab", "11.lab"]), ("", errors, 153), ("", errors, 255))


def test_ids_are_compared_by_their_numbers() -> None:
    """The result has the ids as asked, even if the server's name is longer on one side."""
    jobs, _ = hold(
        PBS.query(["10.lab", "11"]), (listing(("10.lab.x.org", job()), ("11.lab", job())), "", 0)
    )
    assert ["10.lab", "11"] == list(jobs)


def test_marks() -> None:
    """Marks are read from the caller's jobs in full; another user's job does not count."""
    mine = job(Variable_List={"UNISPAWNER_MARK": MARK, "A": "1"})
    other = {**job(Variable_List={"UNISPAWNER_MARK": "f" * 16}), "Job_Owner": "eve@lab"}
    plain = job(Variable_List={"UNISPAWNER_MARK": "no"})
    listed = listing(("7.lab", mine), ("8.lab", other), ("9.lab", plain))
    marks, commands = hold(
        PBS.find_marks("alice"), ("7.lab\n8.lab\n9.lab\n", "", 0), (listed, "", 0)
    )
    assert {MARK: "7.lab"} == marks
    assert ["qselect", "-u", "alice"] == commands[0]
    assert ({}, 1) == (lambda done: (done[0], len(done[1])))(
        hold(PBS.find_marks("bob"), ("", "", 0))
    )


def test_a_mark_that_two_jobs_have_does_not_count() -> None:
    """If two jobs have the same mark, because it was copied, none counts."""
    twin = job(Variable_List={"UNISPAWNER_MARK": MARK})
    assert {} == PBS.read_marks(Reply(BULK, 0, listing(("7.lab", twin), ("8.lab", twin))))


# -- what users put there on purpose --------------------------------------------------------------


@FORGED_JSON
@pytest.mark.parametrize(
    "value",
    [
        'x","job_state":"F',
        'x"}},"77.lab":{"Job_Owner":"bob@lab","job_state":"R"',
        '\n\t\t},\n\t\t"77.lab":\t{\n\t\t\t"Job_Owner":\t"bob@lab",\n\t\t\t"job_state":\t"R"',
        "\u2028\x0b\x1c",
        {"Job_Owner": "bob", "job_state": "F", "x": [1, {"y": 2}]},
        [["x"]],
        True,
        0,
    ],
)
def test_a_value_forges_nothing(value: Any) -> None:
    """A value can't forge an attribute: cJSON escapes text, and JSON becomes an object of its
    own.
    """
    jobs = bulk(
        ("1.lab", job(Account_Name=value, Job_Name=value, Variable_List={"A": value})),
        ("2.lab", job()),
    )
    assert {"1.lab": JobState.RUNNING, "2.lab": JobState.RUNNING} == {
        job_id: info.state for job_id, info in jobs.items()
    }


@pytest.mark.threat(
    who="user",
    tries="They forge a second row for somebody's job where the list shows names.",
    stopped_by="A job that comes twice is not believed.",
)
def test_ids_and_attributes_that_come_twice_are_refused() -> None:
    """A job whose id or attribute comes twice is left out; the others are read."""
    text = listing(("1.lab", job()), ("1.lab", job("F")), ("2.lab", job()), ("3.lab", job()))
    text = text.replace(
        '"3.lab":\t{', '"3.lab":\t{\n\t\t\t"exec_host":\t"n9/0","exec_host":\t"n1/0",'
    )
    assert ["2.lab"] == list(PBS.read_status(Reply(BULK, 0, text)))


def test_a_job_without_owner_or_state_is_passed_over() -> None:
    """A job without owner or state is left out; the others are read."""
    assert ["3.lab"] == list(
        bulk(("1.lab", {"job_state": "R"}), ("2.lab", {"Job_Owner": "a@b"}), ("3.lab", job()))
    )


def test_a_job_that_can_not_be_read_hides_no_other() -> None:
    """A job with two thousand brackets, which json can't read, does not hide the others."""
    text = listing(("1.lab", job(A="DEEP")), ("2.lab", job("Q")), ("3.lab", job()))
    text = text.replace('"DEEP"', "[" * 100_000 + "]" * 100_000)
    assert ["2.lab", "3.lab"] == list(PBS.read_status(Reply(BULK, 0, text)))
    assert ["2.lab", "3.lab"] == list(PBS.read_status(Reply(BULK, 0, text.replace("[[", "\\[", 1))))


@pytest.mark.parametrize("length", [1, 50, 2000, 9000, -3, -5])
def test_a_cut_off_answer_is_no_answer(length: int) -> None:
    """A cut-off answer is an error, so that the jobs that it lacks are not missed."""
    text = saved("qstat-f-json-all").stdout[:length]
    with pytest.raises(SchedulerUnavailable):
        PBS.read_status(Reply(BULK, 0, text))


HANDMADE = """\
{
    "timestamp":1795375941,
    "pbs_version":"19.1.3",
    "pbs_server":"pbslab",
    "Jobs":{
        "1.pbslab":{
            "Job_Name":0012,
            "Job_Owner":"alice@pbslab",
            "job_state":"R",
            "Variable_List":{
                "A":"it\\'s",
                "x":1
            }
        },
        "77.pbslab":{
            "Job_Owner":"bob@pbslab",
            "job_state":"R",
            "Variable_List":{
                "y":2
            }
        }
    }
}
"""
"""As pbs_json.c wrote it until 2023: here, one job with a variable's name of several lines."""


def dsv(command: list[str], *jobs: dict[str, str]) -> str:
    """Return what ``qstat -f -F dsv`` prints (qstat.c, display_statjob and prt_attr)."""
    delimiter = command[command.index("-D") + 1]
    return "".join(
        f"Job Id: {number}.pbslab"
        + "".join(f"{delimiter}{name}={value}" for name, value in row.items())
        + "\n"
        for number, row in enumerate(jobs, 1)
    )


ROW = {
    "Job_Owner": "alice@pbslab",
    "job_state": "R",
    "queue": "workq",
    "exec_host": "n1/0",
    "stime": "Sun Nov 22 19:32:18 2026",
    "Resource_List.walltime": "00:10:00",
    "Variable_List": f"A=it's\\, so=1,UNISPAWNER_MARK={MARK},B=x\\nJob Id: 77.pbslab",
}


@FORGED_JSON
def test_older_releases_are_asked_for_lines() -> None:
    """If JSON may be forged, jobs are asked for in lines with a random delimiter."""
    jobs, commands = hold(PBS.query(), (HANDMADE, "", 0), lambda command: dsv(command, ROW, ROW))
    delimiter = commands[1][-1]
    assert [list(BULK), ["qstat", "-f", "-F", "dsv", "-D", delimiter]] == commands
    assert ["1.pbslab", "2.pbslab"] == list(jobs)
    assert ("n1", epoch("2026-11-22T19:42:18")) == (
        jobs["1.pbslab"].exec_host,
        jobs["1.pbslab"].estimated_end,
    )
    _, again = hold(PBS.query(), (HANDMADE, "", 0), lambda command: dsv(command))
    assert delimiter != again[1][-1]
    with pytest.raises(SchedulerUnavailable):
        PBS.read_status(Reply(BULK, 0, HANDMADE))


def test_older_releases_by_id() -> None:
    """In lines, too, ids, the history and marks are asked for."""
    jobs, commands = hold(
        PBS.query(["1.pbslab"]), (HANDMADE, "", 0), lambda command: dsv(command, ROW)
    )
    assert ["-x", "1.pbslab"] == commands[1][-2:]
    assert ["1.pbslab"] == list(jobs)
    marks, _ = hold(
        PBS.find_marks("alice"),
        ("1.pbslab\n", "", 0),
        (HANDMADE, "", 0),
        lambda command: dsv(command, ROW),
    )
    assert {MARK: "1.pbslab"} == marks


@pytest.mark.parametrize("change", ["cut", "head", "twice"])
def test_lines_of_another_shape(change: str) -> None:
    """A cut-off answer in lines is an error, a notice is passed over, and a job with an attribute
    twice is left out.
    """

    def answer(command: list[str]) -> str:
        text = dsv(command, ROW, ROW)
        if change == "cut":
            return text[:-1]
        if change == "head":
            return text + "what?\n"
        return text.replace("exec_host=", "job_state=", 1)

    if change == "twice":
        jobs, _ = hold(PBS.query(), (HANDMADE, "", 0), answer)
        assert ["2.pbslab"] == list(jobs)
    elif change == "head":
        assert ["1.pbslab", "2.pbslab"] == list(hold(PBS.query(), (HANDMADE, "", 0), answer)[0])
    else:
        with pytest.raises(SchedulerUnavailable):
            hold(PBS.query(), (HANDMADE, "", 0), answer)


# -- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stderr", "status", "expected"),
    [
        ("qdel: Unknown Job Id 9.lab", 153, Meaning.GONE),
        ("qdel: Job has finished 9.lab", 35, Meaning.GONE),
        ("qdel: Request invalid for state of job 9.lab", 168, Meaning.GONE),
        ("qdel: Server returned error 15001 for job 9.lab", 153, Meaning.GONE),
        ("qdel: Unauthorized Request  1.pbslab", 159, Meaning.DENIED),
        (
            "Connection refused\nqstat: cannot connect to server lab (errno=111)",
            255,
            Meaning.UNAVAILABLE,
        ),
        ("Unknown Host.\nqsub: cannot connect to server x (errno=15008)", 1, Meaning.UNAVAILABLE),
        ("pbs_iff: error returned: 15031\nNo Permission.\n", 255, Meaning.UNAVAILABLE),
        ("qstat: Server returned error", 255, Meaning.UNAVAILABLE),
        ("qsub: Job violates queue and/or server resource limits", 188, Meaning.REFUSED),
        ("qsub: Unknown queue", 170, Meaning.REFUSED),
        ("qsub: illegal -N value", 2, Meaning.REFUSED),
    ],
)
def test_what_errors_mean(stderr: str, status: int, expected: Meaning) -> None:
    """Errors are recognised by their words, or by the server's error number modulo 256."""
    assert expected is PBS.meaning(Reply(("x",), status, "", stderr))


def test_a_jobs_comment_is_not_an_error() -> None:
    """Words in a job's comment are not taken for an error message."""
    text = listing(("1.lab", job(comment="Connection refused")))
    assert Meaning.GONE is PBS.meaning(Reply(BULK, 153, text, "qstat: Unknown Job Id 9.lab"))


def test_another_users_job() -> None:
    """The error for another user's job has PBS's words."""
    error = PBS.cancel_error(saved("qdel-not-owner"))
    assert isinstance(error, CancelError)
    assert "Unauthorized Request" in error.output
    assert PBS.cancel_error(Reply(("qdel",), 153, "", "qdel: Unknown Job Id 9.lab")) is None


def test_a_refused_submission() -> None:
    """A refusal has qsub's words; a server that is down is not a refusal."""
    assert SubmitError is type(PBS.submit_error(Reply(("qsub",), 170, "", "qsub: Unknown queue")))
    down = Reply(("qsub",), 1, "", "qsub: cannot connect to server lab (errno=111)")
    assert SchedulerUnavailable is type(PBS.submit_error(down))


def test_who_is_it() -> None:
    """PBS is recognised by qstat --version, which TORQUE, Grid Engine and Slurm have as well."""
    import re

    assert re.search(PBS.identity, "pbs_version = 23.06.06\n", re.MULTILINE)
    for other in (
        "Version: 4.2.10\nCommit: x",
        "SGE 8.1.9\nusage: qstat",
        "Usage:\n    qstat [-f]",
    ):
        assert not re.search(PBS.identity, other, re.MULTILINE)


# -- the cluster ----------------------------------------------------------------------------------

# Written by hand, from qstat.c (display_statque, display_statserver, prt_attr) and the attributes
# in the Reference Guide. Values that are longer than a line continue behind a tab.
QUEUES = """\
Queue: workq
    queue_type = Execution
    total_jobs = 10
    state_count = Transit:0 Queued:6 Held:1 Waiting:0 Running:4 Exiting:0 Begun
\t:0
    resources_max.walltime = 72:00:00
    resources_max.mem = 64gb
    hasnodes = False
    enabled = True
    started = True

Queue: gpu
    queue_type = Execution
    state_count = Transit:0 Queued:0 Held:0 Waiting:0 Running:0 Exiting:0 Begun:0
    resources_max.ngpus = 4
    resources_max.ncpus = 64
    resources_max.nodect = 2
    hasnodes = True
    enabled = True
    started = False

"""
SERVER = """\
Server: pbslab
    server_state = Active
    default_queue = workq
    resources_max.ncpus = 128
    pbs_version = 23.06.06

"""
# From openpbs#2715, radical.saga#427 and canu#166, which show real output.
NODES = """\
n1
     Mom = n1.x.org
     ntype = PBS
     state = job-busy
     jobs = 1.pbslab/0, 2.pbslab/1
     resources_available.host = n1
     resources_available.mem = 24602260kb
     resources_available.ncpus = 8
     resources_assigned.mem = 1048576kb
     resources_assigned.ncpus = 8

uv
     Mom = uv
     state = free
     resources_available.host = uv
     resources_available.mem = 0kb
     resources_available.ncpus = 0
     queue = gpu

uv[0]
     Mom = uv
     state = free
     resources_available.host = uv
     resources_available.mem = 1gb
     resources_available.ncpus = 4
     resources_available.ngpus = 2
     resources_available.gpu_model = a100
     resources_available.avx512 = True
     resources_available.old = False
     resources_available.cpu = rome
     resources_assigned.ncpus = 1
     resources_assigned.ngpus = 1
     queue = gpu

uv[1]
     Mom = uv
     state = offline
     resources_available.ncpus = 4
     queue = gpu

n3
     Mom = n3
     state = state-unknown,down
     resources_available.ncpus = 16

"""


def test_the_inventory() -> None:
    """Queues have their own limits or the server's; nodes are hosts with the sums of vnodes."""
    inventory, commands = hold(PBS.inventory(), (QUEUES, "", 0), (SERVER, "", 0), (NODES, "", 0))
    assert [["qstat", "-Q", "-f"], ["qstat", "-B", "-f"], ["pbsnodes", "-a", "-v"]] == commands
    assert (
        Queue(
            "workq",
            default=True,
            max_duration=timedelta(hours=72),
            max_cores=128,
            max_memory=64 * 1024**3,
            waiting=7,
            running=4,
        ),
        Queue("gpu", available=False, max_nodes=2, max_cores=64, max_gpus=4, waiting=0, running=0),
    ) == inventory.queues
    workq, gpu = frozenset({"workq"}), frozenset({"gpu"})
    assert (
        Node("n1", True, 8, 0, 0, 0, 24602260 * 1024, 0, workq, (), frozenset()),
        Node(
            "uv",
            True,
            8,
            3,
            2,
            1,
            1024**3,
            1024**3,
            gpu,
            (("a100", 2, 1),),
            frozenset({"avx512", "cpu=rome"}),
        ),
        Node("n3", False, 16, 0, 0, 0, None, 0, workq, (), frozenset()),
    ) == inventory.nodes


def test_a_server_without_nodes() -> None:
    """If there are no nodes, pbsnodes fails, and the queues are still listed."""
    answers = [(QUEUES, "", 0), (SERVER, "", 0), ("", "pbsnodes: Server has no node list\n", 1)]
    inventory, _ = hold(PBS.inventory(), *answers)
    assert ((), 2) == (inventory.nodes, len(inventory.queues))


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_an_inventory_that_can_not_be_read(bad: int) -> None:
    """Output of another form is an error, not an empty cluster."""
    answers = [(QUEUES, "", 0), (SERVER, "", 0), (NODES, "", 0)]
    for wrong in (("what is this?\n", "", 0), ("", "cannot connect to server\n", 255)):
        with pytest.raises(SchedulerUnavailable):
            hold(PBS.inventory(), *answers[:bad], wrong)


# -- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("100mb", 100 * 1024**2), ("1kb", 1024), ("5", 5), ("5b", 5), ("2KB", 2048)),
        *(("2w", 16), ("1kw", 8192), ("1tb", 1024**4), ("", None), ("-1kb", None), ("x", None)),
    ],
)
def test_sizes(text: str, expected: int | None) -> None:
    """Sizes are in bytes or in words of 8 bytes, with binary units (pbs_resources(7B))."""
    assert expected == read_size(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("00:10:00", 600), ("100:00:01", 360001), ("90", 90), ("1:30", 90), ("x", None), ("", None)],
)
def test_durations(text: str, expected: int | None) -> None:
    """Lengths of time have the form [[HH:]MM:]SS."""
    assert expected == ((found := read_duration(text)) and int(found.total_seconds()))


@pytest.mark.parametrize(
    "text", ["", "UNKNOWN", "Sun Foo 22 19:32:18 2026", "Sun Feb 30 00:00:00 2026"]
)
def test_times_that_cannot_be_read(text: str) -> None:
    """A time that can't be read is left out and is not an error."""
    assert read_time(text) is None


@pytest.mark.parametrize("depth", [10, 450, 700])
def test_a_value_nested_without_end_hides_no_other_job(depth: int) -> None:
    """A variable's value with endless brackets, printed as JSON, does not hide other jobs."""
    deep = '{"a":' * depth + "1" + "}" * depth
    job = '"Job_Owner": "{0}@h", "job_state": "R", "queue": "q"'
    text = (
        '{"timestamp": 1, "pbs_version": "23.06.06", "Jobs": {\n'
        '"1.h": {' + job.replace("{0}", "ada") + ', "Variable_List": {"X": ' + deep + "}},\n"
        '"2.h": {' + job.replace("{0}", "bob") + "}\n}}"
    )
    jobs = Pbs().read_status(Reply(("qstat",), 0, text))
    assert "bob" == next(info.owner for key, info in jobs.items() if key.startswith("2"))
