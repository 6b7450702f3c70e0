"""Types of GPU, constraints and qualities of service in the directives of each scheduler."""

from __future__ import annotations

from typing import Any

import pytest

from unispawner.errors import InvalidJobError
from unispawner.job import JobSpec, ResourceSpec
from unispawner.schedulers import get_scheduler
from unispawner.schedulers.gridengine import make_job_template

GOLDEN: list[tuple[str, dict[str, Any], dict[str, Any], list[str]]] = [
    ("slurm", {}, {"gpu_type": "a100"}, ["#SBATCH --gpus-per-task=a100:2"]),
    ("slurm", {}, {"gpu_type": "a100_3g.20gb"}, ["#SBATCH --gpus-per-task=a100_3g.20gb:2"]),
    ("slurm", {}, {"gpu_type": "1g.5gb"}, ["#SBATCH --gpus-per-task=1g.5gb:2"]),
    ("slurm", {}, {"gpu_type": "shard"}, ["#SBATCH --gres=shard:2"]),
    ("slurm", {}, {"gpu_type": "shard:a100"}, ["#SBATCH --gres=shard:a100:2"]),
    ("slurm", {"slurm_gpus_as": "gres"}, {"gpu_type": "a100"}, ["#SBATCH --gres=gpu:a100:2"]),
    (
        "slurm",
        {"slurm_gpus_as": "gres"},
        {"gpu_type": "v100", "processes_per_node": 3},
        ["#SBATCH --ntasks=3", "#SBATCH --ntasks-per-node=3", "#SBATCH --gres=gpu:v100:6"],
    ),
    (
        "slurm",
        {},
        {"constraint": "[rack1*2&rack2*4]|avx512"},
        ["#SBATCH --constraint=[rack1*2&rack2*4]|avx512"],
    ),
    (
        "htcondor",
        {},
        {"gpu_type": "NVIDIA A100-SXM4-40GB"},
        ['require_gpus = DeviceName == "NVIDIA A100-SXM4-40GB"'],
    ),
    (
        "htcondor",
        {},
        {"constraint": "HasAvx512&(!Old|Rack=r1)&Level=4"},
        [
            "requirements = ((TARGET.HasAvx512 == true) && "
            '(((TARGET.Old == true) =!= true) || (TARGET.Rack == "r1")) && (TARGET.Level == 4))'
        ],
    ),
    (
        "pbs",
        {},
        {"gpu_type": "a100", "constraint": "avx512&cpu=rome"},
        ["#PBS -l select=1:ngpus=2:gpu_model=a100:avx512=True:cpu=rome"],
    ),
    (
        "pbs",
        {"pbs_gpu_type_resource": "gpu_type"},
        {"gpu_type": "v100", "node_count": 2},
        ["#PBS -l 'select=2:ngpus=2:gpu_type=v100'", "#PBS -l place=scatter"],
    ),
    (
        "torque",
        {"torque_gpus": True},
        {"gpu_type": "k20", "constraint": "fast,ib"},
        ["#PBS -l nodes=1:ppn=1:gpus=2:k20:fast:ib"],
    ),
    ("lsf", {}, {"gpu_type": "TeslaV100_PCIE"}, ["#BSUB -gpu num=2:gmodel=TeslaV100_PCIE"]),
    (
        "lsf",
        {},
        {"constraint": "avx512&(ib|opa)&!old&type=X86_64"},
        ['#BSUB -R "select[(avx512 && (ib || opa) && !(old) && type==X86_64)]"'],
    ),
    (
        "gridengine",
        {},
        {"gpu_type": "a100", "constraint": "avx512&cpu=rome"},
        ["-l gpu_type=a100", "-l avx512=true,cpu=rome"],
    ),
    (
        "gridengine",
        {"sge_gpu_type_resource": "gpu_model"},
        {"gpu_type": "a100"},
        ["-l gpu_model=a100"],
    ),
]
"""Scheduler, its settings, resources (of a job with 2 GPUs), and the lines that these add."""


def spec_of(resources: dict[str, Any], **fields: Any) -> JobSpec:
    return JobSpec(resources=ResourceSpec(**{"gpu_cores_per_process": 2, **resources}), **fields)


@pytest.mark.parametrize(("name", "settings", "resources", "expected"), GOLDEN)
def test_what_a_job_needs_of_its_nodes(
    name: str, settings: dict[str, Any], resources: dict[str, Any], expected: list[str]
) -> None:
    """Each scheduler's directives ask for the GPUs' type and for the nodes' features."""
    scheduler = get_scheduler(name, settings)
    spec = spec_of(resources)
    scheduler.check_supported(spec)
    usual = scheduler.directives(spec_of({}))
    found = [line for line in scheduler.directives(spec) if line not in usual]
    assert [line.replace("'", "") for line in expected] == [line.replace("'", "") for line in found]


@pytest.mark.parametrize("name", ["slurm", "htcondor", "pbs", "torque", "lsf", "gridengine"])
def test_no_gpu_has_no_type(name: str) -> None:
    """With 0 GPUs the type means nothing, and no directive has it."""
    scheduler = get_scheduler(name)
    spec = spec_of({"gpu_type": "a100", "gpu_cores_per_process": 0})
    scheduler.check_supported(spec)
    assert not any("a100" in line for line in scheduler.directives(spec))


def test_a_type_needs_a_number() -> None:
    """A type of GPU without a number of GPUs is refused, with the field to set."""
    with pytest.raises(InvalidJobError, match=r"^gpu_type: 'a100' .* gpu_cores_per_process"):
        get_scheduler("slurm").check_supported(JobSpec(resources=ResourceSpec(gpu_type="a100")))


@pytest.mark.threat(
    who="user",
    tries="They write another directive, or another request, into a GPU's type or a constraint.",
    stopped_by="Only characters are accepted that no directive gives another meaning.",
)
@pytest.mark.parametrize("field", ["gpu_type", "constraint"])
@pytest.mark.parametrize(
    "value",
    [
        *("a\n#SBATCH --uid=0", "a\r", "a;b", "a$HOME", "a`id`", "a'b", 'a"b', "a\\", "#a", "a\0"),
        *("ä", "a\u2028b", " a", "a ", "a\tb", "x" * 201, 7, True, ["a"], "a{b}", "a%b", "a?b"),
    ],
)
def test_characters_that_could_end_a_directive(field: str, value: Any) -> None:
    """A value with another character, or of another type, is refused; the error names the field."""
    with pytest.raises(InvalidJobError, match=rf"^{field}: "):
        spec_of({field: value})


@pytest.mark.parametrize(
    ("name", "resources", "words"),
    [
        ("pbs", {"gpu_type": "a100+100"}, "gpu_type"),
        ("torque", {"gpu_type": "a100+100"}, "gpu_type"),
        ("torque", {"gpu_type": "1g.5gb"}, "gpu_type"),
        ("torque", {"gpu_type": "shared"}, "gpu_type"),
        ("pbs", {"constraint": "a+100"}, "constraint"),
        ("pbs", {"constraint": "a=1+100"}, "constraint"),
        ("pbs", {"constraint": "a:ncpus=100"}, "constraint"),
        ("pbs", {"constraint": "ncpus=100"}, "constraint.*another field"),
        ("pbs", {"constraint": "host=node1"}, "constraint.*another field"),
        ("pbs", {"constraint": "a|b"}, "constraint: .*PBS.* custom attribute pbs.l"),
        ("pbs", {"constraint": "!a"}, "constraint: .*PBS.* custom attribute pbs.l"),
        ("torque", {"constraint": "a|b"}, "constraint: .*TORQUE.* custom attribute torque.l"),
        ("torque", {"constraint": "ppn=9"}, "constraint"),
        ("torque", {"constraint": "gpus"}, "constraint"),
        ("torque", {"constraint": "2"}, "constraint"),
        ("gridengine", {"constraint": "h_rt=999999"}, "constraint: .*h_rt"),
        ("gridengine", {"constraint": "a&gpu=100"}, "constraint: .*gpu"),
        ("gridengine", {"constraint": "a|b"}, "constraint: .*attribute gridengine.l"),
        ("lsf", {"constraint": "a]rusage[mem=0"}, "constraint"),
        ("lsf", {"constraint": "a-b"}, "constraint"),
        ("lsf", {"constraint": "mem=a:b"}, "constraint"),
        ("htcondor", {"constraint": "a.b"}, "constraint"),
        ("htcondor", {"constraint": "a|b&c"}, "constraint: .* add parentheses"),
        ("htcondor", {"constraint": "a*2"}, "constraint"),
        ("htcondor", {"constraint": "(a"}, "constraint: .*missing"),
        ("htcondor", {"constraint": "a&&b"}, "constraint: .*missing"),
        ("htcondor", {"constraint": "(" * 60 + "a" + ")" * 60}, "constraint: .*brackets"),
        ("htcondor", {"constraint": "!" * 60 + "a"}, "constraint: .*in a row"),
        ("lsf", {"gpu_type": "shard:a100"}, "gpu_type: LSF"),
        ("lsf", {"gpu_type": "A B"}, "gpu_type: LSF"),
        ("slurm", {"gpu_type": "A B"}, "gpu_type: .*blanks"),
        ("local", {"constraint": "a"}, "constraint: The local host"),
    ],
)
def test_what_a_scheduler_cannot_write(name: str, resources: dict[str, Any], words: str) -> None:
    """What a scheduler can't express, or would misread, is refused before the submission."""
    scheduler = get_scheduler(name, {"torque_gpus": True} if name == "torque" else {})
    resources = {"gpu_cores_per_process": 0, **resources} if name == "local" else resources
    with pytest.raises(InvalidJobError, match=rf"^{words}"):
        scheduler.check_supported(spec_of(resources))


def test_slurm_writes_the_quality_of_service() -> None:
    """The field is --qos, and a custom attribute of that name comes later, so that it counts."""
    slurm = get_scheduler("slurm")
    spec = JobSpec(qos="high", custom_attributes={"slurm.qos": "low"})
    lines = [line for line in slurm.directives(spec) if "--qos" in line]
    assert ["#SBATCH --qos=high", "#SBATCH --qos=low"] == lines


def test_moab_writes_the_quality_of_service() -> None:
    """With Maui or Moab the field is an extension, and nothing else fits into it."""
    torque = get_scheduler("torque", {"torque_moab": True})
    assert "#PBS -W x=QOS:high" in torque.directives(JobSpec(qos="high"))
    with pytest.raises(InvalidJobError, match=r"^qos: "):
        torque.check_supported(JobSpec(qos="high;FLAGS:x"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pbs", "PBS .* custom attribute pbs.p"),
        ("torque", "TORQUE .* c.UniSpawner.torque_moab = True"),
        ("lsf", "LSF .* custom attribute lsf.sla"),
        ("gridengine", "Grid Engine .* custom attribute gridengine.l"),
        ("htcondor", r"HTCondor .* accounting group \(account\)"),
        ("local", "The local host .* leave it unset"),
    ],
)
def test_a_scheduler_without_qualities_of_service(name: str, words: str) -> None:
    """A scheduler that has none refuses the field and names what to use instead."""
    with pytest.raises(InvalidJobError, match=rf"^qos: {words}"):
        get_scheduler(name).check_supported(JobSpec(qos="high"))


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        ("ib", "select[(ib) && fast]"),
        ("select[ib] rusage[mem=5]", "select[(ib) && fast] rusage[mem=5]"),
        ("order[ut] select[a || b]", "select[(a || b) && fast] order[ut]"),
        ("rusage[lic=1]", "select[fast] rusage[lic=1]"),
        ("", "select[fast]"),
    ],
)
def test_lsf_joins_a_selection(theirs: str, expected: str) -> None:
    """The administrator's own selection and the constraint both count."""
    attributes = {"lsf.R": theirs} if theirs else {}
    spec = spec_of({"constraint": "fast"}, custom_attributes=attributes)
    assert f'#BSUB -R "{expected}"' in get_scheduler("lsf").directives(spec)


def test_htcondor_joins_requirements() -> None:
    """The administrator's own expressions and the job's both count, in one line each."""
    own = {"htcondor.requirements": 'OpSys == "LINUX"', "htcondor.Require_GPUs": "Capability > 7"}
    spec = spec_of({"constraint": "fast", "gpu_type": "A"}, custom_attributes=own)
    lines = [line for line in get_scheduler("htcondor").directives(spec) if "equire" in line]
    assert [
        'require_gpus = (Capability > 7) && DeviceName == "A"',
        'requirements = (OpSys == "LINUX") && (TARGET.fast == true)',
    ] == lines


def test_drmaa_takes_the_resources() -> None:
    """The options of Grid Engine can also be written as a DRMAA job template."""
    spec = spec_of({"constraint": "fast&cpu=rome", "gpu_type": "a100"})
    template = make_job_template(get_scheduler("gridengine").directives(spec))
    assert "-l gpu_type=a100 -l fast=true,cpu=rome" in str(template["nativeSpecification"])
