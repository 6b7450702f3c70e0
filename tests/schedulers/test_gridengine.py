"""Grid Engine: options, and the saved output of its commands (tests/outputs/gridengine)."""

import re
import shlex
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import support
from support import dialogues
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
from unispawner.schedulers import gridengine_inventory, gridengine_jobs
from unispawner.schedulers.base import Dialogue, Meaning, Reply, T
from unispawner.schedulers.gridengine import GridEngine, make_job_template
from unispawner.schedulers.inventory import Inventory, Queue
from unispawner.testing import read_saved_reply

OUTPUTS = support.OUTPUTS / "gridengine"
SGE = GridEngine()
GIGABYTE = 1024**3
NODE1, NODE2 = "sgenode1.cluster.example", "sgenode2.cluster.example"

FULL = full_job(
    stdout_path="/home/ada/.unispawner/logs/it's a log",
    resources=ResourceSpec(
        process_count=2,
        cpu_cores_per_process=3,
        gpu_cores_per_process=3,
        memory=8 * GIGABYTE + 1,
        exclusive_node_use=True,
    ),
    duration=timedelta(days=1, hours=12, milliseconds=1),
    queue_name="gpu.q,all.q@@big",
    account="physics",
    reservation_id="12",
    custom_attributes={
        "gridengine.l": ["arch=lx-amd64", "h=(node1|node2)"],
        "gridengine.notify": True,
        "gridengine.h": False,
        "gridengine.p": -10,
        "gridengine.pe": "mpi 4-8",
        "gridengine.ac": "why=it is late",
        "slurm.qos": "high",
    },
    prologue="",
)

OPTIONS = f"""\
-N my_job
-wd '/home/ada/my work'
-o ':/home/ada/.unispawner/logs/it'"'"'s a log'
-j y
-pe smp 6
-l h_rt=129601
-l h_vmem=1398102K
-l gpu=6
-l exclusive=true
-q gpu.q,all.q@@big
-P physics
-ar 12
-ac unispawner={MARK}
-w e
-l arch=lx-amd64
-l 'h=(node1|node2)'
-notify
-p -10
-pe mpi 4-8
-ac 'why=it is late'
"""


def saved(name: str) -> Reply:
    return read_saved_reply(OUTPUTS / name)


def jobs_of(name: str) -> dict[str, JobInfo]:
    return SGE.read_status(saved(name))


def listing(*entries: str) -> Reply:
    """Return a qstat -xml with these entries."""
    jobs = "".join(f"<job_list>{entry}</job_list>" for entry in entries)
    return Reply(("qstat",), 0, f"<job_info><queue_info>{jobs}</queue_info></job_info>")


def job(word: str, number: int = 1, host: str = "node1") -> str:
    return (
        f"<JB_job_number>{number}</JB_job_number><JAT_prio>0.5</JAT_prio><JB_owner>ada</JB_owner>"
        f"<state>{word}</state><queue_name>all.q@{host}</queue_name>"
    )


def epoch(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()


def hold(question: Dialogue[T], *answers: Reply | str | UniSpawnerError) -> tuple[T, list[str]]:
    """Hold a dialogue with saved replies; return its result and the command lines."""
    replies = [saved(answer) if isinstance(answer, str) else answer for answer in answers]
    result, commands = dialogues.hold(question, *replies)
    return result, [shlex.join(command) for command in commands]


# -- options ------------------------------------------------------------------------------------


def test_the_options_of_a_full_job() -> None:
    """The options contain every field and no secret; custom attributes come last and so win."""
    assert OPTIONS.splitlines() == SGE.directives(FULL)


def test_the_options_of_an_empty_job() -> None:
    """A job that asks for nothing gets no option, except that qsub refuses it if no host fits."""
    assert ["-N jupyter", "-j y", "-w e"] == SGE.directives(JobSpec())


def test_an_own_w_takes_the_place_of_ours() -> None:
    """With the custom attribute -w n a job may wait for a host that does not exist yet."""
    options = SGE.directives(JobSpec(custom_attributes={"gridengine.w": "n"}))
    assert ["-w n"] == [option for option in options if option.startswith("-w ")]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ["h_vmem=683K"]),
        ({"sge_memory_per": "job"}, ["h_vmem=2049K"]),
        ({"sge_memory_resource": "mem_free, h_vmem"}, ["mem_free=683K", "h_vmem=683K"]),
        ({"sge_memory_resource": "s_vmem,"}, ["s_vmem=683K"]),
    ],
)
def test_memory(settings: dict[str, Any], expected: list[str]) -> None:
    """The job's memory is divided by its slots or not, and rounded up to K (1024 bytes)."""
    resources = ResourceSpec(memory=2 * 1024**2 + 1, cpu_cores_per_process=3)
    options = GridEngine(**settings).directives(JobSpec(resources=resources))
    assert expected == [option[3:] for option in options if option.startswith("-l ")]


@pytest.mark.parametrize(
    ("settings", "gpus", "expected"),
    [
        ({}, 4, ["gpu=4"]),
        ({"sge_gpus_per": "slot"}, 4, ["gpu=2"]),
        ({"sge_gpu_resource": "ngpus"}, 1, ["ngpus=1"]),
        ({}, 0, []),
    ],
)
def test_gpus(settings: dict[str, Any], gpus: int, expected: list[str]) -> None:
    """GPUs are counted for the job or for each slot; zero GPUs are not requested."""
    resources = ResourceSpec(gpu_cores_per_process=gpus, cpu_cores_per_process=2)
    options = GridEngine(**settings).directives(JobSpec(resources=resources))
    assert expected == [option[3:] for option in options if option.startswith("-l ")]


def test_gpus_that_cannot_be_shared_out() -> None:
    """One GPU for two slots is refused where the cluster counts GPUs for each slot."""
    spec = JobSpec(resources=ResourceSpec(gpu_cores_per_process=1, cpu_cores_per_process=2))
    SGE.check_supported(spec)
    with pytest.raises(InvalidJobError, match=r"gpu_cores_per_process.*sge_gpus_per"):
        GridEngine(sge_gpus_per="slot").check_supported(spec)


@pytest.mark.parametrize("given", [{"node_count": 2}, {"processes_per_node": 2}])
def test_what_slots_cannot_say(given: dict[str, Any]) -> None:
    """Numbers of nodes are refused, because the parallel environment chooses the hosts."""
    with pytest.raises(InvalidJobError, match="Grid Engine does not support this"):
        SGE.check_supported(JobSpec(resources=ResourceSpec(**given)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("jupyter", "jupyter"),
        ("a b", "a_b"),
        ("a/b:c@d\\e*f?g", "a_b_c_d_e_f_g"),
        ("1abc", "j1abc"),
        ("Übergröße", "_bergr__e"),
        ("None", "jNone"),
        ("TEMPLATE", "jTEMPLATE"),
        ("allin", "allin"),
        ("x" * 600, "x" * 500),
        ("it's<&>\"#$", "it's<&>\"#$"),
    ],
)
def test_names(name: str, expected: str) -> None:
    """Characters that the qmaster refuses in names are replaced; others stay (qsub-bad-name)."""
    assert shlex.join(["-N", expected]) == SGE.directives(JobSpec(name=name))[0]


# -- DRMAA --------------------------------------------------------------------------------------


def test_the_template_of_a_full_job() -> None:
    """Options with a DRMAA attribute become that; the others are the native specification."""
    assert {
        "joinFiles": True,
        "jobName": "my_job",
        "workingDirectory": "/home/ada/my work",
        "outputPath": ":/home/ada/.unispawner/logs/it's a log",
        "nativeSpecification": (
            "-pe smp 6 -l h_rt=129601 -l h_vmem=1398102K -l gpu=6 -l exclusive=true "
            f"-q gpu.q,all.q@@big -P physics -ar 12 -ac unispawner={MARK} -w e "
            "-l arch=lx-amd64 -l h=(node1|node2) -notify -p -10 -pe mpi 4-8 "
            '-ac "why=it is late"'
        ),
    } == make_job_template(SGE.directives(FULL))


@pytest.mark.parametrize("value", ['say "hi" it\'s', "it's", "back\\slash", 'a"'])
def test_what_drmaa_cannot_carry(value: str) -> None:
    """Quotes and backslashes are refused with a hint: DRMAA reads only double quotes, no
    escapes.
    """
    options = SGE.directives(JobSpec(custom_attributes={"gridengine.ac": f"why={value}"}))
    with pytest.raises(InvalidJobError, match=r"set c.UniSpawner.use_drmaa = False"):
        make_job_template(options)


def test_an_own_directory_takes_the_place_of_ours() -> None:
    """Of two working directories the last one counts, as with qsub."""
    spec = JobSpec(directory="/home/ada", custom_attributes={"gridengine.wd": "/scratch"})
    assert "/scratch" == make_job_template(SGE.directives(spec))["workingDirectory"]


# -- the list of jobs ---------------------------------------------------------------------------


LISTS = sorted({*OUTPUTS.glob("qstat-xml*"), *OUTPUTS.glob("qstat-[ru]*-xml*")})


@pytest.mark.parametrize("path", LISTS, ids=lambda path: str(path.name))
def test_every_saved_list_is_read(path: Path) -> None:
    """Each job has an owner, a known state, and a host if it runs or a position if it waits."""
    reply = read_saved_reply(path)
    jobs = SGE.read_status(reply)
    assert set(re.findall(r"<JB_job_number>(\d+)<", reply.stdout)) == set(jobs)
    for info in jobs.values():
        assert info.owner in ("alice", "bob")
        assert info.state is not JobState.UNKNOWN
        there = info.exec_host.partition(".")[0] in ("sgenode1", "sgenode2")
        assert there == (info.start_time is not None)
        assert there == (info.state in (JobState.RUNNING, JobState.SUSPENDED))
        assert (info.queue_position is not None) == (info.state is JobState.QUEUED)


def test_a_running_job() -> None:
    """A parallel job has one row, with the host of its master (qstat-g-t-xml)."""
    assert (
        JobInfo(
            owner="alice",
            state=JobState.RUNNING,
            exec_host=NODE2,
            start_time=epoch("2026-11-24T16:05:05"),
            native_state="r",
        )
        == jobs_of("qstat-xml-states")["23"]
    )


def test_waiting_jobs() -> None:
    """Waiting jobs are numbered by priority; held jobs and jobs with errors do not count."""
    positions = {
        job_id: info.queue_position for job_id, info in jobs_of("qstat-xml-states").items()
    }
    waiting = {"27": 1, "28": 2, "21": 3}
    others = dict.fromkeys(("22", "23", "32", "33", "25", "26", "24"), None)
    assert {**waiting, **others} == positions


def test_an_array_is_one_job() -> None:
    """An array has the state of its running tasks, which come first."""
    jobs = SGE.read_status(listing(job("s"), job("r", host="node2"), job("qw", host="")))
    assert (JobState.SUSPENDED, "node1") == (jobs["1"].state, jobs["1"].exec_host)


@pytest.mark.parametrize(
    ("name", "job_id", "word", "state"),
    [
        ("qstat-xml-states", "22", "dr", JobState.RUNNING),
        ("qstat-xml-states", "23", "r", JobState.RUNNING),
        ("qstat-xml-states", "32", "s", JobState.SUSPENDED),
        ("qstat-xml-states", "27", "qw", JobState.QUEUED),
        ("qstat-xml-states", "25", "Eqw", JobState.HELD),
        ("qstat-xml-states", "21", "Rq", JobState.QUEUED),
        ("qstat-xml-states", "24", "hqw", JobState.HELD),
        ("qstat-xml-states-2", "21", "SR", JobState.SUSPENDED),
        ("qstat-xml-states-2", "23", "S", JobState.SUSPENDED),
        ("qstat-xml-states-2", "32", "Ss", JobState.SUSPENDED),
        ("qstat-xml-states-2", "35", "t", JobState.RUNNING),
        ("qstat-xml-odd-name", "21", "Rr", JobState.RUNNING),
    ],
)
def test_states_that_were_seen(name: str, job_id: str, word: str, state: JobState) -> None:
    """Each word in saved output means the expected state."""
    info = jobs_of(name)[job_id]
    assert (word, state) == (info.native_state, info.state)
    assert ("E" in word, "d" in word) == (info.stuck, info.ending)
    assert ("qrls" in info.message) == (word == "hqw")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        *((word, JobState.QUEUED) for word in ("qw", "Rq", "Rqw", "w")),
        *((word, JobState.HELD) for word in ("hqw", "hRwq", "hRqw", "Ehqw", "EhRqw", "ERqw")),
        *((word, JobState.RUNNING) for word in ("r", "t", "Rr", "Rt", "hr", "dr", "dt", "dRr")),
        *((word, JobState.RUNNING) for word in ("ds", "dS", "dT", "dqw", "dEqw", "dhqw")),
        *((word, JobState.SUSPENDED) for word in ("s", "ts", "S", "tS", "T", "RtT", "ST", "sR")),
        *((word, JobState.UNKNOWN) for word in ("z", "x", "qwX", "R", "", "P", "running", "QW")),
        ("done", JobState.COMPLETED),
        ("failed", JobState.FAILED),
        ("deleted", JobState.CANCELED),
    ],
)
def test_states(word: str, expected: JobState) -> None:
    """Letters may come in any order (qstat(1)); an unknown letter makes the state UNKNOWN."""
    assert expected is SGE.state(word)


def test_an_unknown_state_is_kept_as_it_is() -> None:
    """A job with a word of a later release is listed, with that word and the state UNKNOWN."""
    info = SGE.read_status(listing(job("Zr")))["1"]
    assert (JobState.UNKNOWN, "Zr", False) == (info.state, info.native_state, info.ending)


@pytest.mark.threat(
    who="user",
    tries="They put markup into a job's name, so that Grid Engine's XML has another job.",
    stopped_by="The answer is read by its structure, and an entry inside another one makes"
    " it unreadable.",
)
def test_a_name_forges_no_row() -> None:
    """A name with markup does not create a job: qstat escapes it, though not perfectly."""
    reply = saved("qstat-xml-odd-name")
    assert "<JB_name>a%lt;&amp;b</JB_name>" in reply.stdout
    assert ["21", "23", "32", "36", "39", "40", "27", "28", "25", "26", "24"] == list(
        SGE.read_status(reply)
    )
    nested = "<JB_name><job_list><state>r</state></job_list></JB_name>"
    with pytest.raises(SchedulerUnavailable):
        SGE.read_status(listing(job("r") + nested))


def test_an_entry_that_cannot_be_read_costs_no_other() -> None:
    """An entry without a state is passed over, with its job's number in the warning."""
    reply = listing("<JB_job_number>7</JB_job_number><JB_owner>ada</JB_owner>", job("r", 8))
    assert ["8"] == list(SGE.read_status(reply))
    assert ["7 ada"] == reply.passed_over


def test_no_jobs_are_an_answer() -> None:
    """An empty list is an answer without jobs."""
    assert {} == jobs_of("qstat-xml-none")


WHOLE = saved("qstat-xml-states").stdout


@pytest.mark.threat(
    who="user",
    tries="They get declarations of entities into an answer in XML, which grow without end.",
    stopped_by="XML with declarations is refused.",
)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "error",
        *(WHOLE[:length] for length in (100, 500, 2000, len(WHOLE) - 5)),
        "<html><job_list/></html>",
        '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><job_info>&b;</job_info>',
        "<job_info><job_list><state>r</state></job_list></job_info>",
        "<job_info><job_list><JB_job_number>1;2</JB_job_number><state>r</state></job_list>"
        "</job_info>",
    ],
)
def test_an_answer_of_another_shape_is_no_answer(text: str) -> None:
    """Output that is cut off, defines entities or is another program's is refused as a whole."""
    with pytest.raises(SchedulerUnavailable):
        SGE.read_status(Reply(("qstat",), 0, text))


@pytest.mark.parametrize("text", ["", "01/02/2026 10:00:00", "2026-99-99T00:00:00"])
def test_a_time_that_cannot_be_read(text: str) -> None:
    """A start time that can't be read is left out."""
    entry = job("r") + f"<JAT_start_time>{text}</JAT_start_time>"
    assert SGE.read_status(listing(entry))["1"].start_time is None


# -- one job in full ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "qstat-j-error-directory",
            {"25": "can't chdir to /home/alice/nothere: No such file or directory"},
        ),
        (
            "qstat-j-error-output",
            {"26": 'can\'t open output file "/nowhere/log": No such file or directory'},
        ),
        ("qstat-j-running", {}),
        ("qstat-j-held", {}),
        ("qstat-j-unknown", {}),
    ],
)
def test_why_a_job_is_stuck(name: str, expected: dict[str, str]) -> None:
    """The reason is the shepherd's own text, without its time and process number."""
    assert expected == gridengine_jobs.read_errors(saved(name).stdout)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (saved("qstat-j-unknown").text, {"999999"}),
        (saved("qstat-j-finished").text, {"37"}),
        ("Following jobs do not exist: \n999998, 999999", {"999998", "999999"}),
        (saved("qstat-j-two-one-unknown").text, set()),
        (saved("qstat-j-running").text, set()),
        (saved("qstat-j-qmaster-frozen").text, set()),
    ],
)
def test_unknown_jobs(text: str, expected: set[str]) -> None:
    """The numbers of unknown jobs are read; qstat prints them only if it knows none of the jobs."""
    assert expected == gridengine_jobs.read_unknown(text)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("qstat-j-context", {"00112233445566ff": "21"}),
        ("qstat-j-not-owner", {"00112233445566ff": "21"}),
        ("qstat-j-marks", {"0123456789abcdef": "13", "fedcba9876543210": "15"}),
        ("qstat-j-held", {}),
        ("qstat-j-unknown", {}),
    ],
)
def test_marks(name: str, expected: dict[str, str]) -> None:
    """Marks are read from contexts, which may contain other values."""
    assert expected == SGE.read_marks(saved(name))


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (f"unispawner={MARK},why=it is late", {MARK: "7"}),
        (f"a=b,unispawner={MARK}", {MARK: "7"}),
        (f"unispawner={MARK}0", {}),
        ("unispawner=0123", {}),
    ],
)
def test_marks_among_others(context: str, expected: dict[str, str]) -> None:
    """Only whole marks count among the other values of a context."""
    text = f"{'=' * 62}\njob_number:                 7\ncontext:                    {context}\n"
    assert expected == gridengine_jobs.read_contexts(text)


def test_no_marks_of_a_qmaster_that_does_not_answer() -> None:
    """A qmaster that does not answer raises an error instead of returning no marks."""
    with pytest.raises(SchedulerUnavailable):
        SGE.read_marks(saved("qstat-j-qmaster-frozen"))


# -- dialogues ----------------------------------------------------------------------------------

LIST = "qstat -xml -u '*'"
OWN = "qstat -xml -u '$user'"


def test_all_jobs_are_one_question() -> None:
    """All jobs are asked for with one command."""
    jobs, asked = hold(SGE.query(), "qstat-xml-states")
    assert [LIST] == asked
    assert 10 == len(jobs)


def test_jobs_that_are_listed_need_no_more() -> None:
    """For jobs that the list has, no further command is run."""
    jobs, asked = hold(SGE.query(["23", "24"]), "qstat-xml-states")
    assert ([OWN], {"23", "24"}) == (asked, set(jobs))


def test_a_stuck_job_says_why() -> None:
    """Its reason is asked for with a command of its own: qstat -j ignores unknown jobs beside
    it.
    """
    jobs, asked = hold(
        SGE.query(["37", "25"]),
        *("qstat-xml-states", "qstat-j-error-directory", "qstat-j-finished", "qacct-ok"),
    )
    assert [OWN, "qstat -j 25", "qstat -j 37", "qacct -j 37"] == asked
    assert "can't chdir to /home/alice/nothere: No such file or directory" == jobs["25"].message
    assert jobs["25"].stuck
    assert JobState.COMPLETED is jobs["37"].state


def test_a_stuck_job_that_is_deleted_meanwhile() -> None:
    """Without its reason a stuck job is reported as the list had it."""
    jobs, _ = hold(SGE.query(["25"]), "qstat-xml-states", "qstat-j-unknown")
    assert (True, "") == (jobs["25"].stuck, jobs["25"].message)


def test_an_ended_job_is_in_the_accounting() -> None:
    """How a job ended is asked of the accounting."""
    jobs, asked = hold(SGE.query(["38"]), "qstat-xml-states", _unknown("38"), "qacct-failed")
    assert [OWN, "qstat -j 38", "qacct -j 38"] == asked
    assert (JobState.FAILED, "alice", 3) == (
        jobs["38"].state,
        jobs["38"].owner,
        jobs["38"].exit_code,
    )


def _unknown(*job_ids: str) -> Reply:
    text = f"Following jobs do not exist: \n{', '.join(job_ids)}"
    return Reply(("qstat",), 1, "", text)


@pytest.mark.parametrize(
    "accounting",
    [
        *("qacct-no-file", "qacct-unknown", "qacct-deleted-pending", "qacct-rescheduled"),
        SchedulerUnavailable("qacct did not end within 30 s."),
        AgentError("qacct: No such file or directory"),
    ],
)
def test_an_end_that_nobody_knows(accounting: str | UniSpawnerError) -> None:
    """If the accounting is missing, late or does not have the job, the job has ended for unknown
    reasons.
    """
    jobs, _ = hold(SGE.query(["38"]), "qstat-xml-states", _unknown("38"), accounting)
    assert {} == jobs


def test_several_that_have_ended() -> None:
    """Each ended job is asked of the accounting."""
    jobs, asked = hold(
        SGE.query(["37", "38"]),
        *("qstat-xml-none", _unknown("37", "38"), "qacct-ok", "qacct-failed"),
    )
    assert [OWN, "qstat -j 37,38", "qacct -j 37", "qacct -j 38"] == asked
    assert [JobState.COMPLETED, JobState.FAILED] == [info.state for info in jobs.values()]


@pytest.mark.parametrize(
    "answers",
    [
        ("qstat-j-two-one-unknown", "qstat-xml-none"),
        ("qstat-j-running", "qstat-xml-none"),
        ("qstat-j-qmaster-frozen",),
        (Reply(("qstat",), 0, ""),),
        (SchedulerUnavailable("qstat did not end within 30 s."),),
    ],
)
def test_a_job_that_comes_or_goes_in_between(answers: tuple[Any, ...]) -> None:
    """A job is unknown only if qstat says so; otherwise the whole answer is an error."""
    with pytest.raises(SchedulerUnavailable):
        hold(SGE.query(["21", "999999"]), "qstat-xml-none", *answers)


def test_a_job_that_is_another_users_now() -> None:
    """A qmaster that has lost its state begins to count anew: then a job of another user has the
    id. This job is returned with its owner, and the others are asked for again."""
    text = f"{'=' * 20}\njob_number:                 1\nowner:                      ada\n"
    jobs, asked = hold(
        SGE.query(["1", "38"]),
        "qstat-xml-none",
        Reply(("qstat",), 0, text),
        listing(job("hqw")),
        _unknown("38"),
        "qacct-failed",
    )
    assert [OWN, "qstat -j 1,38", "qstat -xml -u ada", "qstat -j 38", "qacct -j 38"] == asked
    assert ("ada", JobState.HELD) == (jobs["1"].owner, jobs["1"].state)
    assert JobState.FAILED is jobs["38"].state


@pytest.mark.parametrize("name", ["qstat-qmaster-down", "qstat-qmaster-frozen", "qstat-no-root"])
def test_a_list_that_fails_is_an_error(name: str) -> None:
    """If the list of jobs fails, the query raises an error."""
    with pytest.raises(SchedulerUnavailable, match=r"error: "):
        hold(SGE.query(["37"]), name)


@pytest.mark.threat(
    who="other user",
    tries="They copy the mark of somebody's job into a job of theirs.",
    stopped_by="Marks are read from the jobs of the asking user only.",
)
def test_marks_are_looked_for_among_the_callers_own_jobs() -> None:
    """Only the caller's jobs are searched, so that another user's context can't claim a mark."""
    marks, asked = hold(SGE.find_marks("alice"), "qstat-xml-bob", "qstat-j-marks")
    numbers = ",".join(jobs_of("qstat-xml-bob"))
    assert ["qstat -xml -u alice", f"qstat -j {numbers}"] == asked
    assert {"0123456789abcdef": "13", "fedcba9876543210": "15"} == marks


def test_no_jobs_have_no_marks() -> None:
    """Without jobs no second command is run, since an empty list of ids would mean something
    else.
    """
    assert ({}, ["qstat -xml -u alice"]) == hold(SGE.find_marks("alice"), "qstat-xml-none")


def test_jobs_that_have_all_ended_meanwhile_have_no_marks() -> None:
    """If all jobs have ended between the two commands, there are no marks."""
    marks, _ = hold(SGE.find_marks("alice"), "qstat-xml-states", _unknown("21"))
    assert {} == marks


# -- accounting ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "state", "exit_code", "message"),
    [
        ("qacct-ok", JobState.COMPLETED, 0, ""),
        ("qacct-failed", JobState.FAILED, 3, "the job ended with exit status 3"),
        ("qacct-not-owner", JobState.FAILED, 3, "the job ended with exit status 3"),
        ("qacct-time-limit", JobState.FAILED, 137, "the job reached a limit: time (h_rt)"),
        ("qacct-too-much-memory", JobState.FAILED, 1, "the job ended with exit status 1"),
        ("qacct-qmaster-down", JobState.FAILED, 1, "the job ended with exit status 1"),
        ("qacct-deleted", JobState.FAILED, 137, "the job was killed by a signal"),
    ],
)
def test_how_jobs_end(name: str, state: JobState, exit_code: int, message: str) -> None:
    """State, exit code and message come from the accounting; 8.1.9 does not mark deleted jobs."""
    info = gridengine_jobs.read_accounting(saved(name).stdout)
    assert info is not None
    assert (state, exit_code, "alice") == (info.state, info.exit_code, info.owner)
    assert info.message.startswith(message)
    assert bool(message) == bool(info.message)


@pytest.mark.parametrize(
    "name",
    ["qacct-no-file", "qacct-unknown", "qacct-running", "qacct-deleted-pending"],
)
def test_no_record(name: str) -> None:
    """Output without a record says nothing about a job's end."""
    assert gridengine_jobs.read_accounting(saved(name).stdout) is None


def test_a_rescheduled_job() -> None:
    """A job that was run again has several records, of which the last one counts."""
    again, ended = saved("qacct-rescheduled").stdout, saved("qacct-ok").stdout
    info = gridengine_jobs.read_accounting(f"{again}\n{ended}")
    assert info is not None
    assert JobState.COMPLETED is info.state
    assert gridengine_jobs.read_accounting(again) is None


@pytest.mark.parametrize(
    ("failed", "more", "state", "message"),
    [
        ("26  : opening input/output file", "", JobState.FAILED, "opening input/output file"),
        ("19  : before writing exit_status", "", JobState.FAILED, "before writing exit_status"),
        ("99  : rerun", "", None, ""),
        (
            "100 : assumedly after job",
            "deleted_by   alice\n",
            JobState.CANCELED,
            "the job was deleted",
        ),
        ("0", "deleted_by   NONE\n", JobState.COMPLETED, ""),
    ],
)
def test_other_ends(failed: str, more: str, state: JobState | None, message: str) -> None:
    """Codes of sge_status(5), and Univa's deleted_by, are read."""
    text = f"{'=' * 62}\nowner        alice\njobnumber    7\n{more}failed       {failed}\n"
    info = gridengine_jobs.read_accounting(f"{text}exit_status  0\n")
    assert (state, message) == ((info.state, info.message) if info else (None, ""))


# -- errors -------------------------------------------------------------------------------------


FAILED_SUBMISSIONS = [
    path for path in sorted(OUTPUTS.glob("qsub-*")) if read_saved_reply(path).exit_status
]


@pytest.mark.parametrize("path", FAILED_SUBMISSIONS, ids=lambda path: str(path.name))
def test_every_saved_submission(path: Path) -> None:
    """A qmaster that is down is not a refusal; every refusal has qsub's own words."""
    reply = read_saved_reply(path)
    error = SGE.submit_error(reply)
    expected = SchedulerUnavailable if "-qmaster-" in path.name else SubmitError
    assert (expected, reply.stderr.strip()) == (type(error), error.output)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("qdel-unknown", None),
        ("qdel-finished", None),
        ("qdel-bad-id", None),
        ("qdel-not-owner", CancelError),
        ("qdel-service-user", CancelError),
        ("qdel-qmaster-down", SchedulerUnavailable),
        ("qdel-qmaster-frozen", SchedulerUnavailable),
    ],
)
def test_every_saved_cancellation(name: str, expected: type[Exception] | None) -> None:
    """To cancel a job that has ended is not an error; to cancel another user's job is one."""
    error = SGE.cancel_error(saved(name))
    assert expected is (None if error is None else type(error))


@pytest.mark.parametrize("name", ["qdel", "qdel-twice", "qdel-pending", "qdel-manager"])
def test_cancellations_that_succeed(name: str) -> None:
    """Cancellations that succeed end with status 0."""
    assert 0 == saved(name).exit_status


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((f"{command}-qmaster-down", Meaning.UNAVAILABLE) for command in ("qstat", "qhost")),
        *((f"{command}-qmaster-frozen", Meaning.UNAVAILABLE) for command in ("qstat", "qhost")),
        ("qconf-qmaster-down", Meaning.UNAVAILABLE),
        ("qconf-qmaster-frozen", Meaning.UNAVAILABLE),
        ("qstat-j-qmaster-frozen", Meaning.UNAVAILABLE),
        ("qstat-wrong-port", Meaning.UNAVAILABLE),
        ("qstat-no-cell", Meaning.UNAVAILABLE),
        ("qstat-no-root", Meaning.UNAVAILABLE),
        ("qstat-j-unknown", Meaning.GONE),
        ("qdel-unknown", Meaning.GONE),
        ("qdel-not-owner", Meaning.DENIED),
        ("qdel-service-user", Meaning.DENIED),
        ("qsub-impossible", Meaning.REFUSED),
        ("qsub-no-submit-host", Meaning.REFUSED),
    ],
)
def test_what_errors_mean(name: str, expected: Meaning) -> None:
    """Errors are recognised by their texts, because nearly all have the exit status 1."""
    assert expected is SGE.meaning(saved(name))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("InvalidJobException: code 18: The job specified by the 'jobid'", Meaning.GONE),
        ("AuthorizationException: code 4: not allowed", Meaning.DENIED),
        ("DrmCommunicationException: code 2: unable to send message", Meaning.UNAVAILABLE),
        ("TryLaterException: code 23: try later", Meaning.UNAVAILABLE),
        ("DeniedByDrmException: code 17: error: no suitable queues", Meaning.REFUSED),
        ("", Meaning.REFUSED),
    ],
)
def test_what_drmaas_errors_mean(text: str, expected: Meaning) -> None:
    """The exceptions of drmaa-python are recognised as unispawner's process prints them."""
    assert expected is SGE.meaning(Reply(("drmaa",), 1, "", text))


# -- the cluster --------------------------------------------------------------------------------

HOSTS = saved("qhost-F-some-xml")
QUEUES = Reply(
    ("qconf",), 0, "\n\n".join(saved(f"qconf-sq-{name}").stdout for name in ("all.q", "short.q"))
)
PENDING = saved("qstat-s-p-xml-array")


def cluster(
    hosts: str = HOSTS.stdout, jobs: str | Reply = "qstat-r-xml-states", **settings: Any
) -> Inventory:
    found, asked = hold(
        GridEngine(**settings).inventory(), Reply(("qhost",), 0, hosts), QUEUES, jobs, PENDING
    )
    resource = settings.get("sge_memory_resource", "h_vmem")
    assert [
        f"qhost -xml -q -F gpu,{resource},gpu_type",
        "qconf -sq '*'",
        "qstat -xml -r -s rs -u '*'",
        "qstat -xml -s p -u '*'",
    ] == asked
    assert isinstance(found, Inventory)
    return found


def test_nodes() -> None:
    """A node has the slots of its largest queue, less those in use, and the memory left by jobs."""
    one, two = cluster().nodes
    assert (NODE1, 4, 3, 2, 2) == (one.name, one.cores, one.idle_cores, one.gpus, one.idle_gpus)
    assert (NODE2, 4, 1, 0, 0) == (two.name, two.cores, two.idle_cores, two.gpus, two.idle_gpus)
    assert (23.5 * GIGABYTE, 14 * GIGABYTE) == (one.memory, one.idle_memory)
    assert (23.5 * GIGABYTE, 10 * GIGABYTE) == (two.memory, two.idle_memory)
    assert one.available
    assert {"all.q", "short.q"} == one.queues
    assert {NODE1, NODE2} == cluster().hosts


def test_memory_that_is_not_counted() -> None:
    """Where jobs don't book memory, the memory in use counts instead."""
    node = cluster(sge_memory_resource="s_vmem").nodes[0]
    assert node.idle_memory == pytest.approx(23.5 * GIGABYTE - 400.4 * 1024**2, abs=1)


@pytest.mark.parametrize(("per", "expected"), [("job", 3), ("slot", 4)])
def test_gpus_that_jobs_have(per: str, expected: int) -> None:
    """qhost reports free GPUs; those of running jobs are added."""
    running = job("r", host=NODE1) + '<slots>2</slots><hard_request name="gpu">1</hard_request>'
    waiting = job("qw", 2).replace("all.q@node1", "") + '<hard_request name="gpu">8</hard_request>'
    node = cluster(jobs=listing(running, waiting), sge_gpus_per=per).nodes[0]
    assert (expected, 2) == (node.gpus, node.idle_gpus)


def test_queues() -> None:
    """Queues have their time and memory limits; none is the default, as Grid Engine chooses one."""
    assert (
        Queue("all.q"),
        Queue("short.q", max_duration=timedelta(minutes=10)),
    ) == cluster().queues


@pytest.mark.parametrize("state", ["d", "au", "E", "aS", "D", "C", "s", "c", "o"])
def test_closed_queues(state: str) -> None:
    """A queue whose state has any letter is closed (qstat(1))."""
    closed = HOSTS.stdout.replace(
        "'state_string'></queuevalue>", f"'state_string'>{state}</queuevalue>"
    )
    found = cluster(closed)
    assert [(False, 4, 0, 0)] * 2 == [
        (node.available, node.cores, node.idle_cores, node.idle_memory) for node in found.nodes
    ]
    assert 2 == found.nodes[0].gpus
    assert [False, False] == [queue.available for queue in found.queues]


def test_one_closed_queue() -> None:
    """A node with one closed queue is available for the jobs of its other queues."""
    line = "<queuevalue qname='short.q' name='state_string'></queuevalue>"
    found = cluster(HOSTS.stdout.replace(line, line.replace("><", ">d<")))
    assert [True, True] == [node.available for node in found.nodes]
    assert [True, False] == [queue.available for queue in found.queues]


def test_an_unheard_host() -> None:
    """A host without a load is down, whatever its queues' states are."""
    found = cluster(HOSTS.stdout.replace(">0.46<", ">-<"))
    assert [False, True] == [node.available for node in found.nodes]


@pytest.mark.parametrize("text", ["", HOSTS.stdout[:700], "<job_info/>", "<!DOCTYPE x><qhost/>"])
def test_hosts_that_cannot_be_read(text: str) -> None:
    """Output of another form raises an error."""
    with pytest.raises(SchedulerUnavailable, match="qhost"):
        cluster(text)


@pytest.mark.parametrize(
    "answers",
    [
        ("qhost-qmaster-down",),
        ("qhost-qmaster-frozen",),
        (HOSTS, "qconf-qmaster-down"),
        (HOSTS, QUEUES, "qstat-qmaster-frozen"),
    ],
)
def test_a_cluster_that_does_not_answer(answers: tuple[str | Reply, ...]) -> None:
    """If a command fails, the inventory is an error."""
    with pytest.raises(SchedulerUnavailable):
        hold(SGE.inventory(), *answers)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (PENDING, 6),  # tasks 25, 28 … 40 of an array; what is held isn't counted
        ("qstat-s-p-xml", 3),
        ("qstat-xml-none", 0),
        ("qstat-qmaster-down", None),
        (Reply(("qstat",), 0, "<html/>"), None),
        (AgentError("qstat did not end in time"), None),
    ],
)
def test_how_many_jobs_wait(answer: Any, expected: int | None) -> None:
    """Waiting jobs are counted for the whole cluster; if that fails, nodes and queues are known."""
    found, _ = hold(SGE.inventory(), HOSTS, QUEUES, "qstat-r-xml-states", answer)
    assert (expected, None) == (found.waiting, found.running)
    assert {None} == {queue.waiting for queue in found.queues}
    assert cluster().nodes == found.nodes


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", 1), ("7", 1), ("7,9", 2), ("1-10:1", 10), ("3,25-40:3", 7)],
)
def test_tasks_of_an_array(text: str, expected: int) -> None:
    """Waiting tasks are read as qstat(1) writes them: ranges with a step, and single numbers."""
    job = f"<job_list><state>qw</state><tasks>{text}</tasks></job_list>"
    assert expected == gridengine_inventory.count_waiting(f"<job_info>{job}</job_info>")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7.7G", int(7.7 * GIGABYTE)),
        ("512.0M", 512 * 1024**2),
        ("1g", 1000**3),
        ("0.0", 0),
        ("4G,[node1=8G]", 4 * GIGABYTE),
        ("-", None),
        ("INFINITY", None),
        ("", None),
    ],
)
def test_sizes(text: str, expected: int | None) -> None:
    """Capital letters are binary units, small letters decimal ones (sge_types(1))."""
    assert expected == gridengine_inventory.read_size(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00:10:00", timedelta(minutes=10)),
        ("3600", timedelta(hours=1)),
        ("48:0:0,[node1=1:0:0]", timedelta(days=2)),
        ("1:0:0,[node1=48:0:0],[@big=7200]", timedelta(days=2)),
        ("1:0:0,[node1=INFINITY]", None),
        ("INFINITY", None),
        ("UNDEFINED", None),
    ],
)
def test_time_limits(text: str, expected: timedelta | None) -> None:
    """A job may run on the host that allows the most; limits of single hosts follow a comma."""
    queue = f"qname q\nh_rt {text}\n"
    found = gridengine_inventory.read_inventory("<qhost/>", queue, "<job_info/>", "gpu", False, [])
    assert found is not None
    assert expected == found.queues[0].max_duration


# -- who it is ----------------------------------------------------------------------------------


def test_the_environment_of_commands() -> None:
    """Settings become variables; what is not set is left to the commands."""
    full = GridEngine(
        sge_root="/opt/sge", sge_cell="prod", sge_qmaster_port=6444, sge_execd_port=6445
    )
    expected = {
        "SGE_ROOT": "/opt/sge",
        "SGE_CELL": "prod",
        "SGE_QMASTER_PORT": "6444",
        "SGE_EXECD_PORT": "6445",
    }
    assert (expected, {}) == (full.environment(), SGE.environment())


def test_a_wrong_setting() -> None:
    """A setting with a wrong value is refused."""
    with pytest.raises(InvalidJobError, match="sge_memory_per"):
        GridEngine(sge_memory_per="host")


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "", "x"])
def test_text_that_is_not_a_number(text: str) -> None:
    """Text that is not a finite number counts as 0: qsub accepts -l gpu=nan and lists it."""
    assert 0.0 == gridengine_jobs.read_number(text)
