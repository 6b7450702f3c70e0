"""Slurm: the script, and the saved output of its commands (tests/outputs/slurm)."""

import re
import shlex
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import support
from support.dialogues import hold
from support.jobs import MARK, full_job

from unispawner.errors import CancelError, InvalidJobError, SchedulerUnavailable, SubmitError
from unispawner.job import JobInfo, JobSpec, JobState, ResourceSpec
from unispawner.schedulers import get_scheduler
from unispawner.schedulers.base import Meaning, Reply, advance
from unispawner.schedulers.slurm import REASONS, Slurm
from unispawner.script.rendering import render_script
from unispawner.testing import read_saved_reply

OUTPUTS = support.OUTPUTS / "slurm"
SLURM = get_scheduler("slurm")
QUERY = tuple(SLURM.status_command())

FULL = full_job(
    stdout_path="/home/ada/.unispawner/logs/%u.log",
    queue_name="gpu,debug",
    custom_attributes={
        "slurm.qos": "high",
        "slurm.constraint": "a100|v100",
        "slurm.requeue": True,
        "slurm.hold": False,
        "slurm.mail-type": ["BEGIN", "END"],
        "slurm.C": "x",
        "slurm.H": True,
        "slurm.nice": 10,
        "pbs.W": "x",
    },
)

SCRIPT = """\
#!/bin/bash -l
#SBATCH --job-name="my job"
#SBATCH --chdir="/home/ada/my work"
#SBATCH --output=/home/ada/.unispawner/logs/%%u.log
#SBATCH --open-mode=append
#SBATCH --propagate=CORE
#SBATCH --nodes=2
#SBATCH --ntasks=8
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=3
#SBATCH --gpus-per-task=1
#SBATCH --mem=4194305K
#SBATCH --exclusive
#SBATCH --time=36:00:00
#SBATCH --partition=gpu,debug
#SBATCH --account=ml
#SBATCH --reservation=class
#SBATCH --qos=high
#SBATCH --constraint=a100|v100
#SBATCH --requeue
#SBATCH --mail-type=BEGIN
#SBATCH --mail-type=END
#SBATCH -C x
#SBATCH -H
#SBATCH --nice=10
#SBATCH --comment=unispawner:0123456789abcdef

cd '/home/ada/my work' || exit 1
. /home/ada/env || exit 1
module load python
exec python3 -I - <<'END_OF_UNISPAWNER_LAUNCHER'
print()
END_OF_UNISPAWNER_LAUNCHER
"""


def saved(name: str) -> Reply:
    return read_saved_reply(OUTPUTS / name)


def rows(*lines: str) -> Reply:
    return Reply(QUERY, 0, "".join(f"{line}\n" for line in lines))


def one(line: str) -> JobInfo:
    (info,) = SLURM.read_status(rows(line)).values()
    return info


def epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


# -- the script ---------------------------------------------------------------------------------


def test_the_script_of_a_full_job() -> None:
    """The script has every field, line by line, and no secret."""
    script = render_script(FULL, SLURM, environment_file="/home/ada/env", standard_input="print()")
    assert SCRIPT.splitlines() == script.splitlines()


def test_the_directives_of_an_empty_job() -> None:
    """A job that asks for nothing gets only the directives that every job has."""
    expected = [
        "#SBATCH --job-name=jupyter",
        "#SBATCH --open-mode=append",
        "#SBATCH --propagate=CORE",
        "#SBATCH --nodes=1",
        "#SBATCH --ntasks=1",
    ]
    assert expected == SLURM.directives(JobSpec())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"memory": 1}, "--mem=1K"),
        ({"memory": 1024}, "--mem=1K"),
        ({"memory": 1025}, "--mem=2K"),
        ({"memory": 4 * 1024**3}, "--mem=4194304K"),
        ({"memory": 4 * 1024**3, "node_count": 4}, "--mem=1048576K"),
        ({"memory": 3 * 1024, "node_count": 2}, "--mem=2K"),
    ],
)
def test_memory_is_by_node_and_rounded_up(given: dict[str, Any], expected: str) -> None:
    """The job's memory is divided by its nodes, because sbatch's --mem counts for each node."""
    spec = JobSpec(resources=ResourceSpec(**given))
    assert f"#SBATCH {expected}" in SLURM.directives(spec)


@pytest.mark.parametrize(
    ("settings", "resources", "expected"),
    [
        ({"slurm_memory_as": "mem-per-cpu"}, {"memory": "8G"}, ["mem-per-cpu=8388608K"]),
        (
            {"slurm_memory_as": "mem-per-cpu"},
            {"memory_per_core": "2G", "cpu_cores_per_process": 4, "process_count": 2},
            ["cpus-per-task=4", "mem-per-cpu=2097152K"],
        ),
        (
            {},
            {"memory_per_core": "2G", "cpu_cores_per_process": 4},
            ["cpus-per-task=4", "mem=8388608K"],
        ),
        (
            {"slurm_memory_as": "mem-per-cpu"},
            {"memory": "all", "exclusive_node_use": True},
            ["mem=0", "exclusive"],
        ),
        ({}, {"memory": "0", "exclusive_node_use": True}, ["mem=0", "exclusive"]),
        ({"slurm_gpus_as": "gres"}, {"gpu_cores_per_process": 2}, ["gres=gpu:2"]),
        (
            {"slurm_gpus_as": "gres"},
            {"gpu_cores_per_process": 2, "processes_per_node": 3},
            ["ntasks-per-node=3", "gres=gpu:6"],
        ),
        ({"slurm_gpus_as": "gres"}, {"gpu_cores_per_process": 0}, []),
        ({"slurm_gpus_as": "gpus"}, {"gpu_cores_per_process": 2}, ["gpus-per-task=2"]),
    ],
)
def test_memory_and_gpus_in_a_sites_own_way(
    settings: dict[str, Any], resources: dict[str, Any], expected: list[str]
) -> None:
    """Memory may be requested for each core, or all of a node's; GPUs as a generic resource."""
    spec = JobSpec(resources=ResourceSpec.from_dict(resources))
    scheduler = Slurm(**settings)
    scheduler.check_supported(spec)
    every = ("job-name", "open-mode", "propagate", "nodes", "ntasks=")
    lines = [line.removeprefix("#SBATCH --") for line in scheduler.directives(spec)]
    assert expected == [line for line in lines if not line.startswith(every)]


def test_all_memory_needs_whole_nodes() -> None:
    """All memory of a node that other jobs share is refused, with what to set."""
    with pytest.raises(InvalidJobError, match=r"^memory: 'all' .* exclusive_node_use: True"):
        SLURM.check_supported(JobSpec(resources=ResourceSpec.from_dict({"memory": "all"})))


def test_no_gpus_is_no_directive() -> None:
    """Zero GPUs are not requested."""
    spec = JobSpec(resources=ResourceSpec(gpu_cores_per_process=0))
    assert not any("gpu" in line for line in SLURM.directives(spec))


# -- queries ------------------------------------------------------------------------------------


@pytest.mark.threat(
    who="user",
    tries="They put a line break into a job's name, so that a row of the list is forged.",
    stopped_by="Bulk queries ask for no field that a user can write.",
)
def test_the_bulk_query_asks_for_nothing_that_a_user_can_write() -> None:
    """The query asks for nothing that users write: a line break in a name could forge a row."""
    fields = re.findall(r"%\.?\d*(\w)", QUERY[QUERY.index("-o") + 1])
    # squeue(1): comment, name, command, work directory, dependency, features, node list, licences.
    written_by_users = set("kjoZEfnwW")
    assert set() == set(fields) & written_by_users
    assert {"i", "u", "T", "r", "B"} <= set(fields)


def test_the_query_shows_all_partitions_users_and_states() -> None:
    """The query lists hidden partitions, all users, and jobs that have just ended."""
    assert ("squeue", "-h", "-a", "-t", "all") == QUERY[:5]
    assert [*QUERY, "-j", "1,2"] == SLURM.status_command(["1", "2"])


@pytest.mark.threat(
    who="other user",
    tries="They copy the mark of somebody's job into a job of theirs.",
    stopped_by="Marks are read from the jobs of the asking user only.",
)
def test_the_mark_query_asks_for_the_callers_own_jobs() -> None:
    """Marks are read from the caller's jobs only, so that no other user can claim one."""
    assert "--me" in SLURM.mark_command()


def test_marks_are_read() -> None:
    """Marks are read from squeue's comments; a job without a comment has (null)."""
    text = f"7 (null)\n8 unispawner:{MARK}\n9 unispawner:fedcba9876543210\n"
    text += "6 2unispawner:00112233445566ff\n"
    expected = {MARK: "8", "fedcba9876543210": "9"}
    assert expected == SLURM.read_marks(Reply((), 0, text))


# -- answers ------------------------------------------------------------------------------------

SAME_FORMAT = [
    path.name
    for path in sorted(OUTPUTS.glob("squeue-*"))
    if path.read_text().splitlines()[0].startswith("$ " + " ".join(QUERY))
]


@pytest.mark.parametrize("name", SAME_FORMAT)
def test_every_saved_answer_is_read(name: str) -> None:
    """Each row becomes a job with an owner and a known state; an error stays an error."""
    reply = saved(name)
    if reply.exit_status and "Invalid job id" not in reply.stderr:
        with pytest.raises(SchedulerUnavailable):
            SLURM.read_status(reply)
        return
    jobs = SLURM.read_status(reply)
    lines = [line.split("|") for line in reply.stdout.splitlines()]
    assert [line[0] for line in lines] == list(jobs)
    for job_id, owner, word, *_ in lines:
        assert (owner, word) == (jobs[job_id].owner, jobs[job_id].native_state)
        assert jobs[job_id].state is not JobState.UNKNOWN


def test_there_are_saved_answers() -> None:
    """There are saved answers for the test above."""
    assert len(SAME_FORMAT) >= 8


def test_a_running_job() -> None:
    """A running job has host, start and expected end, but no position."""
    assert (
        JobInfo(
            owner="alice",
            state=JobState.RUNNING,
            exec_host="node3",
            start_time=epoch("2026-11-23T01:16:41"),
            estimated_end=epoch("2026-11-23T01:36:41"),
            native_state="RUNNING",
        )
        == SLURM.read_status(saved("squeue-by-ids"))["17"]
    )


def test_a_waiting_job() -> None:
    """A waiting job has reason, estimated start and position, but no host and no end."""
    assert (
        JobInfo(
            owner="alice",
            state=JobState.QUEUED,
            message=REASONS["Resources"],
            queue_position=1,
            estimated_start=epoch("2026-11-23T01:25:24"),
            native_state="PENDING",
        )
        == SLURM.read_status(saved("squeue-by-ids"))["15"]
    )


def test_times_are_seconds_since_the_epoch() -> None:
    """With SLURM_TIME_FORMAT, squeue prints seconds since the epoch (saved with %s, 22.05)."""
    info = one("7|alice|RUNNING|None|node1|debug|1|1795741018|1795742818")
    assert (1795741018.0, 1795742818.0) == (info.start_time, info.estimated_end)


@pytest.mark.parametrize("text", ["N/A", "Unknown", "", "NONE", "0001-01-01T00:00:00", "9999-99"])
def test_a_time_that_cannot_be_read(text: str) -> None:
    """A start that is not estimated is None, and never an error."""
    start = one(f"1|alice|PENDING|None|n/a|debug|1|{text}|{text}").estimated_start
    assert start is None or start < 0


def test_positions_follow_priority_within_a_partition() -> None:
    """Waiting jobs are numbered by priority, and then by the order of submission."""
    jobs = SLURM.read_status(
        rows(
            "9|bob|PENDING|Priority|n/a|debug|50|N/A|N/A",
            "10|bob|PENDING|Priority|n/a|debug|50|N/A|N/A",
            "11|eve|PENDING|Resources|n/a|debug|900|N/A|N/A",
            "12|eve|PENDING|Priority|n/a|long|1|N/A|N/A",
            "13|eve|PENDING|JobHeldUser|n/a|debug|1000|N/A|N/A",
            "14|eve|RUNNING|None|node1|debug|5000|N/A|N/A",
        )
    )
    positions = {job_id: info.queue_position for job_id, info in jobs.items()}
    assert {"9": 2, "10": 3, "11": 1, "12": 1, "13": None, "14": None} == positions


def test_an_odd_priority_is_no_error() -> None:
    """A job whose priority can't be read is still listed."""
    assert 1 == one("1_[2-9%3]|alice|PENDING|None|n/a|debug|?|N/A|N/A").queue_position


@pytest.mark.parametrize("reason", ["JobHeldUser", "JobHeldAdmin", "launch failed requeued held"])
def test_held_jobs(reason: str) -> None:
    """A job whose reason is a hold is held, although Slurm calls it pending."""
    info = one(f"1|alice|PENDING|{reason}|n/a|debug|0|N/A|N/A")
    assert (JobState.HELD, REASONS[reason]) == (info.state, info.message)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("REQUEUE_HOLD", JobState.HELD),
        ("CONFIGURING", JobState.QUEUED),
        ("SUSPENDED", JobState.SUSPENDED),
        ("COMPLETED", JobState.COMPLETED),
        ("CANCELLED", JobState.CANCELED),
        ("OUT_OF_MEMORY", JobState.FAILED),
        ("TIMEOUT", JobState.FAILED),
        ("NODE_FAIL", JobState.FAILED),
        ("EXPEDITING", JobState.UNKNOWN),
        ("", JobState.UNKNOWN),
        ("pending", JobState.UNKNOWN),
    ],
)
def test_states(word: str, expected: JobState) -> None:
    """squeue(1)'s words are known; a word of a later release means UNKNOWN and is kept."""
    info = one(f"1|alice|{word}|None|node1|debug|1|N/A|N/A")
    assert (expected, word) == (info.state, info.native_state)


def test_a_completing_job_is_not_over() -> None:
    """A completing job is ending but has not ended, because a requeued job passes through that."""
    jobs = SLURM.read_status(saved("squeue-bulk-completing"))
    assert (JobState.RUNNING, True) == (jobs["36"].state, jobs["36"].ending)
    assert not one("1|alice|RUNNING|None|node1|debug|1|N/A|N/A").ending


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("None", ""),
        ("PartitionTimeLimit", REASONS["PartitionTimeLimit"]),
        ("ReqNodeNotAvail, UnavailableNodes:node4", REASONS["ReqNodeNotAvail"]),
        ("QOSMaxJobsPerUserLimit", REASONS["QOSMaxJobsPerUserLimit"]),
        ("AssocGrpJobsLimit", "AssocGrpJobsLimit"),
        ("Some Brand New Reason, with:commas", "Some Brand New Reason, with:commas"),
    ],
)
def test_reasons(reason: str, expected: str) -> None:
    """Common reasons are in plain words, and others in Slurm's words."""
    assert expected == one(f"1|alice|PENDING|{reason}|n/a|debug|1|N/A|N/A").message


@pytest.mark.parametrize(
    "reason",
    [
        *("PartitionTimeLimit", "PartitionNodeLimit", "BadConstraints", "QOSMinGRES"),
        *("QOSMaxWallDurationPerJobLimit", "AssocMaxWallDurationPerJobLimit"),
        *("QOSMaxCpuPerJobLimit", "AssocMaxNodePerJobLimit", "QOSMaxMemoryPerJob"),
    ],
)
def test_a_job_that_never_starts(reason: str) -> None:
    """A reason that only another request takes away says so, and a smaller job may start."""
    waits = one(f"1|alice|PENDING|{reason}|n/a|debug|1|N/A|N/A")
    assert waits.message.endswith("It will never start as it is: cancel it and change the choice")
    assert SLURM.smaller_may_start(waits)


@pytest.mark.parametrize("reason", ["Resources", "AssocGrpCpuLimit", "QOSMaxJobsPerUserLimit"])
def test_a_job_that_may_start_later(reason: str) -> None:
    """A job that waits for others to end may start."""
    assert "never" not in one(f"1|alice|PENDING|{reason}|n/a|debug|1|N/A|N/A").message


@pytest.mark.parametrize("reason", ["Resources", "Priority", "BeginTime", "JobHeldUser"])
def test_a_job_that_has_ended_does_not_wait(reason: str) -> None:
    """A cancelled job has no reason: squeue keeps the one for which it waited."""
    assert "" == one(f"1|alice|CANCELLED|{reason}|n/a|debug|1|N/A|N/A").message


@pytest.mark.parametrize("name", ["squeue-private-data-by-id", "squeue-unknown"])
def test_an_unknown_id_is_simply_missing(name: str) -> None:
    """If squeue knows none of the ids and fails, the result is empty."""
    assert {} == SLURM.read_status(saved(name))


@pytest.mark.parametrize("name", ["squeue-ctld-down", "squeue-ctld-hangs"])
def test_a_controller_that_is_down_is_no_answer(name: str) -> None:
    """A controller that is down raises an error with squeue's words."""
    with pytest.raises(SchedulerUnavailable, match=r"slurm_load_jobs error: ") as caught:
        SLURM.read_status(saved(name))
    assert 1 == caught.value.exit_status
    assert QUERY == caught.value.command


@pytest.mark.parametrize(
    "text",
    [
        "slurm_load_jobs error: x",
        "1|alice|RUNNING|None|node1|debug|1|N/A",
        "1|alice|RUNNING|None|node1|debug|1|N/A|N/A|more",
        "1|alice|RUNNING|None|node1|debug|1|N/A|N/A\nslurm_load_jobs error: x",
        "135|alice|CANCELLED|Resources|n/a",
    ],
)
def test_an_answer_of_another_shape_is_no_answer(text: str) -> None:
    """An answer without any row, or with an error of Slurm's, is refused as a whole."""
    with pytest.raises(SchedulerUnavailable):
        SLURM.read_status(rows(text))


def test_empty_answers() -> None:
    """Output without rows is an answer without jobs."""
    assert {} == SLURM.read_status(saved("squeue-bulk-empty"))
    assert {} == SLURM.read_status(rows("", "  "))


# -- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(OUTPUTS.glob("sbatch-*")), ids=lambda path: str(path.name))
def test_every_saved_submission(path: Path) -> None:
    """A controller that is down is not a refusal; every refusal has sbatch's own words."""
    reply = read_saved_reply(path)
    if reply.exit_status == 0:
        assert SLURM.job_id.fullmatch(reply.stdout.strip())
        return
    error = SLURM.submit_error(reply)
    expected = SchedulerUnavailable if "-ctld-" in path.name else SubmitError
    assert (expected, reply.stderr.strip()) == (type(error), error.output)
    assert reply.exit_status == error.exit_status


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("scancel-bad-id", None),
        ("scancel-ctld-down", SchedulerUnavailable),
        ("scancel-not-owner", CancelError),
        ("scancel-other-user", CancelError),
    ],
)
def test_every_saved_cancellation(name: str, expected: type[Exception] | None) -> None:
    """It is an error if the controller is down or the job another user's, but not if it ended."""
    error = SLURM.cancel_error(saved(name))
    assert expected is (None if error is None else type(error))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("slurm_load_jobs error: Invalid job id specified", Meaning.GONE),
        ("Job/step already completing or completed", Meaning.GONE),
        ("Kill job error on job id 15: Access/permission denied", Meaning.DENIED),
        ("Unable to contact slurm controller (connect failure)", Meaning.UNAVAILABLE),
        ("Socket timed out on send/recv operation", Meaning.UNAVAILABLE),
        ("Slurm temporarily unable to accept job, sleeping and retrying", Meaning.UNAVAILABLE),
        # SlurmctldParameters=rl_enable (Slurm 23.02 and later), from slurm_errno.c and
        # slurm_protocol_api.c: the command waits and retries by itself, and rarely gives up.
        ("sbatch: error: Rate limit exceeded, please retry momentarily", Meaning.UNAVAILABLE),
        ("squeue: RPC rate limited 3 time(s). Sleeping then trying again.", Meaning.UNAVAILABLE),
        ("Requested node configuration is not available", Meaning.REFUSED),
        ("Invalid partition name specified", Meaning.REFUSED),
        ("", Meaning.REFUSED),
    ],
)
def test_what_errors_mean(text: str, expected: Meaning) -> None:
    """Errors are recognised by their texts: exit statuses do not distinguish them."""
    assert expected is SLURM.meaning(Reply(("x",), 1, "", text))


def test_the_scheduler_is_the_one_of_its_name() -> None:
    """The scheduler "slurm" needs the commands of Slurm."""
    assert isinstance(SLURM, Slurm)
    assert ("sbatch", "squeue", "scancel") == SLURM.commands
    assert "|" in shlex.join(QUERY)


def test_the_address_of_a_node() -> None:
    """NodeAddr is a node's address; it is asked for by a name that can be no option."""
    reply = read_saved_reply(OUTPUTS / "scontrol-show-node-name")
    dialogue = Slurm().find_address("node3")
    assert list(reply.command) == next(dialogue)
    with pytest.raises(StopIteration) as ended:
        dialogue.send(reply)
    assert "10.77.0.13" == ended.value.value
    for host, answer in (("node3", Reply((), 1, "", "Node node3 not found")), ("-x", None)):
        dialogue = Slurm().find_address(host)
        with pytest.raises(StopIteration) as ended:
            advance(dialogue, None)
            advance(dialogue, answer)
        assert "" == ended.value.value


def test_a_log_whose_path_has_a_backslash() -> None:
    """sbatch drops backslashes in the log's path, so that the script opens such a log itself."""
    spec = JobSpec(stdout_path="/scratch/AD\\ada/x.log")
    assert "#SBATCH --output=/dev/null" in SLURM.directives(spec)
    assert ["exec >>'/scratch/AD\\ada/x.log' 2>&1"] == SLURM.preamble(spec)
    assert [] == SLURM.preamble(JobSpec(stdout_path="/scratch/ada/x.log"))


def test_an_empty_answer_is_confirmed() -> None:
    """Of no job squeue -h prints nothing, and so does a wrapper that does nothing: the heading of a
    second squeue counts, and without it nothing is known."""
    silent = Reply(("squeue",), 0, "")
    heading = "JOBID|USER|STATE|REASON|EXEC_HOST|PARTITION|PRIORITY|START_TIME|END_TIME\n"
    for question, words in (
        (lambda: SLURM.query(["1"]), heading),
        (lambda: SLURM.find_marks("ada"), "JOBID COMMENT\n"),
        (lambda: SLURM.find_jobs(MARK, "ada"), "JOBID\n"),
    ):
        answer, commands = hold(question(), silent, Reply(("squeue",), 0, words))
        assert not answer
        assert [True, False] == ["-h" in command for command in commands]
        with pytest.raises(SchedulerUnavailable):
            hold(question(), silent, silent)
