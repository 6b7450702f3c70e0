"""LSF and its relatives: the script, the errors, and how they are recognised."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support.jobs import MARK, full_job

from unispawner.errors import CancelError, InvalidJobError, SchedulerUnavailable, SubmitError
from unispawner.job import JobSpec, ResourceSpec
from unispawner.schedulers.base import Meaning, Reply
from unispawner.schedulers.lsf import Lsf
from unispawner.script.rendering import render_script

LSF = Lsf()

FULL = full_job(
    name="my job[1-9]%2",
    stdout_path=f"/home/ada/.unispawner/logs/{MARK}.log",
    duration=timedelta(days=1, hours=12, seconds=1),
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
)

# The manual page of each line; IBM's manual pages are those of bsub(1).
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

exec >>/home/ada/.unispawner/logs/0123456789abcdef.log 2>&1
cd '/home/ada/my work' || exit 1
. /home/ada/env || exit 1
module load python
exec python3 -I - <<'END_OF_UNISPAWNER_LAUNCHER'
print()
END_OF_UNISPAWNER_LAUNCHER
"""
# -J bsub(1) -J: an index list in brackets would make an array, so that it is replaced.
# -o bsub(1) -o; the job writes its own log, because LSF's comes at the end (lsf.conf,
#    LSB_STDOUT_DIRECT). -n bsub(1) -n: tasks, which have one slot each. -R bsub(1) -R; rusage
#    counts for each host (lsb.params,
#    RESOURCE_RESERVE_PER_TASK) and in MB, -M is in KB (lsf.conf, LSF_UNIT_FOR_LIMITS).
# -gpu bsub(1) -gpu: num is each host's. -W bsub(1) -W: [hour:]minute. -x -q -P -U bsub(1).


def requirements(spec: JobSpec, lsf: Lsf = LSF) -> str:
    lines = [line for line in lsf.directives(spec) if line.startswith("#BSUB -R ")]
    assert len(lines) <= 1
    return lines[0].removeprefix("#BSUB -R ").strip('"') if lines else ""


def bsub_reads(line: str) -> list[str]:
    """Return the words that bsub reads from a directive.

    parseLine in OpenLava's cmd.sub.c, which descends from LSF's: a quote counts only at the
    beginning of a word, there are no escapes, several blanks count as one, and a word that begins
    with # ends the line.
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
    """The script has every field, line by line, and no secret."""
    script = render_script(FULL, LSF, environment_file="/home/ada/env", standard_input="print()")
    assert SCRIPT.splitlines() == script.splitlines()


def test_the_directives_of_an_empty_job() -> None:
    """A job that asks for nothing gets no directive but its name."""
    assert ["#BSUB -J jupyter", "#BSUB -n 1"] == LSF.directives(JobSpec())


def test_the_job_writes_its_log_itself() -> None:
    """The job opens its own log and appends to it: LSF shows output at the end, with a report."""
    spec = replace(FULL, stdout_path="/home/ada/it's/log")
    (line,) = LSF.preamble(spec)
    assert ["exec", ">>/home/ada/it's/log", "2>&1"] == shlex.split(line)
    assert "#BSUB -o /dev/null" in LSF.directives(spec)
    assert [] == LSF.preamble(JobSpec())


def test_the_mark_stands_first() -> None:
    """The mark comes first: OpenLava shows 255 characters of a script, 30 of which are its own."""
    head = render_script(FULL, LSF, shell="/bin/bash -l")[:200]
    assert f"unispawner:{MARK}" in head


@pytest.mark.parametrize("line", SCRIPT.splitlines()[2:17])
def test_bsub_reads_what_was_written(line: str) -> None:
    """bsub reads each directive as an option and one word."""
    words = bsub_reads(line)
    assert len(words) == (1 if words[0] in ("-x", "-r") else 2)
    assert not set("\"'") & set(words[-1]) or words[0] == "-w"


@pytest.mark.parametrize(
    "value",
    ["plain", "a b", "it's", 'say "hi"', "$HOME `id`", "a;b&c|d", "*?[x]", "x#y", "ünï", "%J"],
)
def test_values_that_bsub_reads(value: str) -> None:
    """bsub reads these values as they are."""
    spec = JobSpec(queue_name=value, custom_attributes={"lsf.app": value})
    LSF.check_supported(spec)
    read = [bsub_reads(line) for line in LSF.directives(spec)]
    assert ["-q", value] in read
    assert ["-app", value] in read


@pytest.mark.parametrize("value", ["a\\b", "\"'", "#x", "-x", " x", "x ", "a  b", "x\\"])
def test_values_that_bsub_would_misread(value: str) -> None:
    """Values that bsub would misread are refused by name, such as a backslash at the end."""
    for spec, field in (
        (JobSpec(queue_name=value), "queue_name"),
        (JobSpec(account=value), "account"),
        (JobSpec(reservation_id=value), "reservation_id"),
        (JobSpec(custom_attributes={"lsf.app": value}), "custom_attributes: lsf.app"),
    ):
        with pytest.raises(InvalidJobError, match=f"^{field}: bsub can't read"):
            LSF.check_supported(spec)


@pytest.mark.parametrize("option", ["J", "o", "oo", "e", "eo", "I", "Is", "K", "pack"])
def test_options_that_are_ours(option: str) -> None:
    """Options for an array, an interactive job or another log are refused."""
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
    """A name never becomes an array, a pattern, or two columns of bjobs."""
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
    """Memory has the unit of LSF_UNIT_FOR_LIMITS; without it, -M is in KB and rusage in MB."""
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
    """The job's memory is divided by hosts or tasks: 12 MB on 2 hosts with 3 cores each."""
    lsf = Lsf(**settings)
    resources = ResourceSpec(node_count=2, cpu_cores_per_process=3, memory=12 * 1024**2)
    spec = JobSpec(resources=resources)
    lines = lsf.directives(spec)
    assert expected[0] == requirements(spec, lsf)
    assert f"#BSUB -M {expected[1]}" in lines


@pytest.mark.parametrize("unit", ["kb", "PB", "", 1])
def test_an_unknown_unit(unit: Any) -> None:
    """An unknown unit is an error when the Hub starts."""
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
def test_slots(given: dict[str, Any], expected: tuple[int, str]) -> None:
    """Cores are slots; the slots of one node stay together."""
    spec = JobSpec(resources=ResourceSpec(**given))
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
    """All -R are joined, because OpenLava takes one; the administrator's sections replace ours."""
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
    """The administrator's GPU options are joined with ours; zero GPUs are not requested."""
    resources = ResourceSpec(gpu_cores_per_process=gpus)
    spec = JobSpec(resources=resources, custom_attributes={"lsf.gpu": list(given)})
    LSF.check_supported(spec)
    read = [bsub_reads(line) for line in LSF.directives(spec)]
    assert ([] if expected is None else [["-gpu", expected]]) == [
        words for words in read if words[0] == "-gpu"
    ]


def test_gpus_where_resources_are_reserved_by_task() -> None:
    """With reservations for each task, the number of GPUs is marked as the host's (bsub(1),
    -gpu).
    """
    resources = ResourceSpec(gpu_cores_per_process=2, cpu_cores_per_process=8)
    lines = Lsf(lsf_memory_reserved_per="task").directives(JobSpec(resources=resources))
    assert "#BSUB -gpu num=2/host" in lines


def test_an_attribute_takes_the_place_of_ours() -> None:
    """A custom attribute replaces our option, because LSF would take either of the two."""
    spec = JobSpec(duration=timedelta(hours=1), custom_attributes={"lsf.W": "9", "lsf.n": "2,4"})
    options = [line.split()[1:3] for line in LSF.directives(spec)]
    assert [["-J", "jupyter"], ["-W", "9"], ["-n", "2,4"]] == options


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
        ("Failed in an LSF library call: LIM is down; try later. Job", Meaning.UNAVAILABLE),
        ("", Meaning.REFUSED),
    ],
)
def test_what_errors_mean(text: str, expected: Meaning) -> None:
    """Errors are recognised by their texts (lsb.err.c, and IBM's): all have the status 255."""
    assert expected is LSF.meaning(Reply(("x",), 255, "", text))


def test_submissions_that_fail() -> None:
    """A refusal has bsub's own words; a cluster that is down is not a refusal."""
    refused = Reply(("bsub",), 255, "", "gold: No such queue. Job not submitted.")
    error = LSF.submit_error(refused)
    assert (SubmitError, refused.stderr) == (type(error), error.output)
    down = Reply(("bsub",), 255, "", "LSF is down. Please wait ...")
    assert isinstance(LSF.submit_error(down), SchedulerUnavailable)


def test_cancellations_that_fail() -> None:
    """To cancel a job that has ended is not an error; to cancel another user's job is one."""
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
    """LSF and its relatives are recognised by the first line of lsid."""
    assert expected == bool(re.search(LSF.identity, text, re.MULTILINE))
