"""JobSpec, ResourceSpec and JobInfo: what they accept, infer and refuse."""

import json
import re
from dataclasses import FrozenInstanceError
from datetime import timedelta
from typing import Any

import pytest

from unispawner.errors import InvalidJobError
from unispawner.job import (
    JobInfo,
    JobSpec,
    JobState,
    ResourceSpec,
    hub_of_mark,
    is_mark,
    make_mark,
    merge_resources,
    start_of_mark,
)
from unispawner.units import format_memory

FULL = JobSpec(
    name="jupyter-ada",
    executable="python3",
    arguments=("-I", "-", "--", "a b", "line\nbreak", "'\"$`\\", "ünï"),
    directory="/home/ada/my work",
    environment={"TOKEN": "se'cret\n2nd line", "_a1": ""},
    stdout_path="/home/ada/%u.log",
    resources=ResourceSpec(
        node_count=2,
        process_count=4,
        processes_per_node=2,
        cpu_cores_per_process=3,
        gpu_cores_per_process=1,
        memory=8 * 1024**3,
        exclusive_node_use=True,
    ),
    duration=timedelta(hours=1, seconds=1.5),
    queue_name="gpu",
    account="ml",
    reservation_id="class",
    custom_attributes={"slurm.qos": "high", "slurm.requeue": True, "slurm.x": ["a", 1, 1.5]},
    prologue="module load python\nexport A=1",
    epilogue="echo done",
    mark="0123456789abcdef",
)
CONTROLS = ["\n", "\r", "\t", "\0", "\x1b", "\x7f", "\x85", "\x9b", "\u2028", "\u2029", "\v", "\f"]
LINES = [
    "name",
    "executable",
    "directory",
    "stdout_path",
    "queue_name",
    "account",
    "reservation_id",
    "mark",
]


def job(**fields: Any) -> JobSpec:
    """Make a job with values of any type."""
    return JobSpec(**fields)


def resources(**fields: Any) -> ResourceSpec:
    return ResourceSpec(**fields)


# -- states -------------------------------------------------------------------------------------


def test_final_states() -> None:
    """Three states are final; UNKNOWN is not one of them."""
    final = {JobState.COMPLETED, JobState.FAILED, JobState.CANCELED}
    assert final == {state for state in JobState if state.final}


def test_info_is_plain_data() -> None:
    """JobInfo can be written as JSON, with its state as a word."""
    info = JobInfo("ada", JobState.RUNNING, "m", 1, "node1", 2, 3.5, 4.5, 5.5, "R", True)
    data = json.loads(json.dumps(info.to_dict()))
    assert "RUNNING" == data["state"]
    assert info == JobInfo(**{**data, "state": JobState(data["state"])})


@pytest.mark.parametrize("moment", [1e15, -1e15, 10**400, float("inf"), float("nan")], ids=repr)
@pytest.mark.parametrize("field", ["estimated_start", "start_time", "estimated_end"])
def test_moments_that_no_calendar_has(field: str, moment: float) -> None:
    """A moment that no calendar has becomes None, so that pages can show the job."""
    fields: dict[str, Any] = {field: moment}
    assert getattr(JobInfo("ada", JobState.RUNNING, **fields), field) is None


# -- JobSpec ------------------------------------------------------------------------------------


def test_spec_survives_json() -> None:
    """Every field of a job is the same after JSON, with line breaks in arguments and values."""
    assert FULL == JobSpec.from_dict(json.loads(json.dumps(FULL.to_dict())))


def test_default_spec_survives_json() -> None:
    """A job that asks for nothing is the same after JSON."""
    assert JobSpec() == JobSpec.from_dict(json.loads(json.dumps(JobSpec().to_dict())))


def test_secrets_are_not_in_the_repr() -> None:
    """The repr of a job does not show its environment, which has the server's token."""
    assert "se'cret" not in repr(FULL)


def test_spec_is_immutable() -> None:
    """A job can't be changed after it was checked."""
    with pytest.raises(FrozenInstanceError):
        FULL.name = "x\ny"  # type: ignore[misc] # it must raise


@pytest.mark.parametrize("control", CONTROLS, ids=ascii)
@pytest.mark.parametrize("field", LINES)
def test_control_characters_are_refused_in_lines(field: str, control: str) -> None:
    """Line breaks are refused in fields that become directives."""
    with pytest.raises(InvalidJobError, match=rf"^{field}: "):
        job(**{field: f"a{control}#SBATCH --uid=0"})


@pytest.mark.parametrize("control", CONTROLS, ids=ascii)
def test_control_characters_are_refused_in_attributes(control: str) -> None:
    """Line breaks are refused in the names and values of custom attributes."""
    for attributes in (
        {"slurm.qos": f"a{control}b"},
        {"slurm.qos": ["fine", f"a{control}b"]},
        {f"slurm.q{control}s": "a"},
    ):
        with pytest.raises(InvalidJobError, match="^custom_attributes"):
            job(custom_attributes=attributes)


@pytest.mark.parametrize("field", [*LINES, "prologue", "epilogue"])
@pytest.mark.parametrize("value", [1, b"x", ["x"], True])
def test_text_must_be_text(field: str, value: Any) -> None:
    """A number or a list is refused where text is needed."""
    with pytest.raises(InvalidJobError, match=rf"^{field}: "):
        JobSpec(**{field: value})


@pytest.mark.parametrize("field", [*LINES, "prologue", "epilogue"])
def test_none_is_empty(field: str) -> None:
    """None, which PSI/J uses for what is not set, means empty text; a job always has a name."""
    if field == "name":
        with pytest.raises(InvalidJobError, match="^name: "):
            job(name=None)
    else:
        assert JobSpec() == job(**{field: None})


def test_prologue_and_epilogue_may_have_lines_but_no_nul() -> None:
    """Prologue and epilogue may have line breaks, but no NUL characters."""
    JobSpec(prologue="a\nb", epilogue="\tc\r\n")
    for field in ("prologue", "epilogue"):
        with pytest.raises(InvalidJobError, match=rf"^{field}: "):
            job(**{field: "a\0b"})


def test_arguments_hold_no_nul() -> None:
    """Arguments with NUL characters are refused: no command can get them."""
    with pytest.raises(InvalidJobError, match="^arguments: "):
        JobSpec(arguments=("a", "b\0"))


def test_a_job_needs_a_name() -> None:
    """An empty name is refused."""
    with pytest.raises(InvalidJobError, match="^name: "):
        JobSpec(name="")


@pytest.mark.parametrize(
    "mark",
    [
        *("0123456789ABCDEF", "0123456789abcde", "0123456789abcdef0", "../etc/passwd/..", "x"),
        *("-0123456789abcdef", "Hub-0123456789abcdef", "a/b-0123456789abcdef", "a-b-" + "0" * 16),
        *("0123456789abcdef-0123456789abcdef", "hub-0123456789abcde", "hub-0123456789abcdef\n"),
    ],
)
def test_odd_marks_are_refused(mark: str) -> None:
    """A mark has sixteen hexadecimal digits, perhaps behind a Hub's id: it becomes a part of a
    path."""
    with pytest.raises(InvalidJobError, match="^mark: "):
        JobSpec(mark=mark)


@pytest.mark.parametrize("hub_id", ["", "a", "prod", "0123456789abcde"])
@pytest.mark.parametrize("now", [0.0, 1_800_000_000.9, 2.0**32 - 1])
def test_a_new_mark_tells_its_hub_and_its_age(hub_id: str, now: float) -> None:
    """A mark has the Hub's id and when its start began, in at most 32 characters, which is what the
    Hub's database has room for."""
    mark = make_mark(hub_id, now)
    assert is_mark(mark)
    assert len(mark) <= 32
    assert (hub_id, float(int(now))) == (hub_of_mark(mark), start_of_mark(mark))
    assert mark != make_mark(hub_id, now)


def test_a_mark_of_an_older_release_has_no_hub() -> None:
    """A mark of an older release is a mark; nobody takes a part of it for a Hub's id."""
    assert is_mark("0123456789abcdef")
    assert "" == hub_of_mark("0123456789abcdef")
    assert "0123456789abcdef" == JobSpec(mark="0123456789abcdef").mark


@pytest.mark.parametrize("name", ["A", "_", "PATH", "a1_B"])
def test_environment_names_that_a_shell_can_set(name: str) -> None:
    """Names of variables have letters, digits and underscores."""
    assert {name: "x"} == JobSpec(environment={name: "x"}).environment


@pytest.mark.parametrize(
    "name",
    ["", "1A", "A-B", "A B", "A=B", "A\n", "BASH_FUNC_ml%%", "Ä", "UID", "EUID", "PPID", "A;id"],
)
def test_environment_names_that_a_shell_cannot_set(name: str) -> None:
    """Other names are refused: their lines would end the job or run as commands."""
    with pytest.raises(InvalidJobError, match="^environment: "):
        JobSpec(environment={name: "x"})


@pytest.mark.parametrize("value", ["a\0secret", 1, None])
def test_environment_values_are_text_and_never_shown(value: Any) -> None:
    """The error for a wrong value names the variable and does not show the value."""
    with pytest.raises(InvalidJobError, match="TOKEN") as caught:
        JobSpec(environment={"TOKEN": value})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("field", ["environment", "prologue", "name", "arguments"])
def test_text_can_be_written_as_utf8(field: str) -> None:
    """Bytes of the Hub's environment that are not UTF-8 are refused."""
    value: Any = {"environment": {"A": "\udcff"}, "arguments": ("\udcff",)}.get(field, "\udcff")
    with pytest.raises(InvalidJobError):
        JobSpec(**{field: value})


@pytest.mark.parametrize("key", ["qos", ".qos", "slurm.", "slurm.-x", "slurm.a b", "slurm.a=b", ""])
def test_attribute_names(key: str) -> None:
    """The name of a custom attribute is a scheduler's name, a dot and an option's name."""
    with pytest.raises(InvalidJobError, match=r"^custom_attributes.*slurm\.qos"):
        JobSpec(custom_attributes={key: "x"})


@pytest.mark.parametrize("value", [{"a": 1}, b"x", [["x"]], object()])
def test_attribute_values(value: Any) -> None:
    """The value of a custom attribute is text, a number, a truth value or a list of these."""
    with pytest.raises(InvalidJobError, match="^custom_attributes"):
        JobSpec(custom_attributes={"slurm.qos": value})


def test_attributes_of_one_scheduler() -> None:
    """Flags, repeated options and other schedulers' attributes are treated as by PSI/J."""
    spec = JobSpec(
        custom_attributes={
            "slurm.qos": "high",
            "SLURM.requeue": True,
            "slurm.hold": False,
            "slurm.mail-type": ["BEGIN", "END"],
            "pbs.W": "x",
        }
    )
    expected = [("qos", "high"), ("requeue", True), ("mail-type", "BEGIN"), ("mail-type", "END")]
    assert expected == spec.attributes_for("slurm")
    assert [("W", "x")] == spec.attributes_for("pbs")
    assert [] == spec.attributes_for("lsf")


@pytest.mark.parametrize(
    "data", [{"uid": 0}, {"resources": {"uid": 0}}, {"resources": {"memory": "4X"}}]
)
def test_unknown_and_wrong_fields_are_refused(data: dict[str, Any]) -> None:
    """Data of a request is checked like a configuration."""
    with pytest.raises(InvalidJobError):
        JobSpec.from_dict(data)


def test_an_unknown_key_is_an_error_with_the_known_ones() -> None:
    """The error for an unknown key lists the known keys."""
    with pytest.raises(InvalidJobError, match=r"resources: unknown key 'mem'; .*memory"):
        ResourceSpec.from_dict({"mem": "4G"})


# -- ResourceSpec -------------------------------------------------------------------------------


def test_memory_is_read_with_its_unit() -> None:
    """Memory may have a unit, as in 4G, or be a number of bytes."""
    assert 4 * 1024**3 == ResourceSpec.from_dict({"memory": "4G"}).memory
    assert 2**32 == ResourceSpec.from_dict({"memory": 2**32}).memory
    assert None is ResourceSpec.from_dict({"memory": None}).memory


@pytest.mark.parametrize(
    ("given", "total"),
    [
        ({}, "2G"),
        ({"cpu_cores_per_process": 4}, "8G"),
        ({"cpu_cores_per_process": 4, "process_count": 3}, "24G"),
        ({"node_count": 2, "processes_per_node": 2}, "8G"),
        ({"memory": None}, "2G"),
    ],
)
def test_memory_per_core(given: dict[str, Any], total: str) -> None:
    """memory_per_core makes the job's total memory: that of all cores of all processes."""
    spec = ResourceSpec.from_dict({"memory_per_core": "2G", **given})
    assert total == format_memory(spec.memory or 0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"memory_per_core": "2G", "memory": "4G"},
            "memory_per_core: '2G', and memory is set, too",
        ),
        ({"memory_per_core": "4000"}, "memory_per_core: '4000' is 4000 bytes; write '4000M' or"),
        ({"memory_per_core": "all"}, "memory_per_core: 'all' is not an amount of memory"),
    ],
)
def test_a_wrong_memory_per_core(given: dict[str, Any], message: str) -> None:
    """Both kinds of memory at once are an error, and so is what is not an amount."""
    with pytest.raises(InvalidJobError, match=re.escape(message)):
        ResourceSpec.from_dict(given)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([{"memory": "4G"}, {"memory_per_core": "2G"}], {"memory_per_core": "2G"}),
        ([{"memory_per_core": "2G"}, {"memory": "4G"}], {"memory": "4G"}),
        ([{"memory": "4G"}, {"memory_per_core": None}], {"memory": "4G", "memory_per_core": None}),
        (
            [{"memory": "4G"}, {"cpu_cores_per_process": 2}],
            {"memory": "4G", "cpu_cores_per_process": 2},
        ),
        (
            [{"memory": "4G", "memory_per_core": "2G"}, {}],
            {"memory": "4G", "memory_per_core": "2G"},
        ),
    ],
)
def test_resources_in_layers(layers: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    """A profile's memory overrides the site's memory_per_core, and the reverse."""
    assert expected == merge_resources(*layers)


def test_a_low_memory_reaches_the_agent() -> None:
    """A job's own data is in bytes: what was read once is not read again."""
    spec = JobSpec(resources=ResourceSpec.from_dict({"memory": "512K"}))
    assert spec == JobSpec.from_dict(json.loads(json.dumps(spec.to_dict())))


@pytest.mark.parametrize(
    "field",
    [
        "node_count",
        "process_count",
        "processes_per_node",
        "cpu_cores_per_process",
        "gpu_cores_per_process",
        "memory",
    ],
)
@pytest.mark.parametrize("value", [-1, True, "2", 1.0, 2**53, [1]])
def test_counts_are_whole_numbers(field: str, value: Any) -> None:
    """The error for a wrong count names the field and the value."""
    with pytest.raises(InvalidJobError, match=rf"^{field}: "):
        ResourceSpec(**{field: value})


def test_only_gpus_may_be_none_at_all() -> None:
    """Zero GPUs are allowed, and zero memory, which means all; zero of anything else is refused."""
    assert 0 == ResourceSpec.from_dict({"memory": "all"}).memory
    assert 0 == ResourceSpec(gpu_cores_per_process=0).gpu_cores_per_process
    for field in ("node_count", "process_count", "cpu_cores_per_process"):
        with pytest.raises(InvalidJobError, match=rf"^{field}: 0 .* at least 1"):
            resources(**{field: 0})


@pytest.mark.parametrize("value", [1, 0, "yes", None])
def test_exclusive_is_true_or_false(value: Any) -> None:
    """Text is not accepted as True."""
    with pytest.raises(InvalidJobError, match="^exclusive_node_use: "):
        ResourceSpec(exclusive_node_use=value)


@pytest.mark.parametrize(
    ("given", "nodes", "per_node", "processes"),
    [
        ({}, 1, 1, 1),
        ({"node_count": 3}, 3, 1, 3),
        ({"process_count": 4}, 1, 4, 4),
        ({"processes_per_node": 4}, 1, 4, 4),
        ({"node_count": 2, "processes_per_node": 4}, 2, 4, 8),
        ({"node_count": 2, "process_count": 8}, 2, 4, 8),
        ({"process_count": 8, "processes_per_node": 4}, 2, 4, 8),
        ({"node_count": 2, "process_count": 8, "processes_per_node": 4}, 2, 4, 8),
    ],
)
def test_what_is_left_out_is_inferred(
    given: dict[str, Any], nodes: int, per_node: int, processes: int
) -> None:
    """Nodes and processes are inferred from each other as in PSI/J's ResourceSpecV1."""
    spec = ResourceSpec(**given)
    assert (nodes, per_node, processes) == (spec.nodes, spec.per_node, spec.processes)


@pytest.mark.parametrize(
    "given",
    [
        {"process_count": 5, "processes_per_node": 2},
        {"process_count": 1, "processes_per_node": 2},
        {"node_count": 2, "process_count": 3},
        {"node_count": 4, "process_count": 2},
        {"node_count": 2, "process_count": 4, "processes_per_node": 4},
    ],
)
def test_counts_that_contradict_each_other_are_refused(given: dict[str, Any]) -> None:
    """The error for contradicting counts names all three."""
    with pytest.raises(InvalidJobError, match=r"process_count.*node_count.*processes_per_node"):
        ResourceSpec(**given)
