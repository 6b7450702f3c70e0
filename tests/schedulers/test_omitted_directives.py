"""Directives that a site forbids are left out, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from unispawner.errors import InvalidJobError
from unispawner.job import JobSpec, ResourceSpec
from unispawner.schedulers import Scheduler, get_scheduler

RESOURCES = {"node_count": 1, "processes_per_node": 2, "cpu_cores_per_process": 3, "memory": "6G"}
NO_PROCESSES = {"cpu_cores_per_process": 3, "memory": "6G", "gpu_cores_per_process": 3}
JOBS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "gridengine": ({**NO_PROCESSES, "exclusive_node_use": True}, {"reservation_id": "7"}),
    "htcondor": (NO_PROCESSES, {"queue_name": ""}),
    "lsf": ({**RESOURCES, "gpu_cores_per_process": 1, "exclusive_node_use": True}, {}),
    "pbs": ({**RESOURCES, "gpu_cores_per_process": 1, "exclusive_node_use": True}, {}),
    "slurm": ({**RESOURCES, "gpu_cores_per_process": 1, "exclusive_node_use": True}, {}),
    "torque": (RESOURCES, {}),
}
"""A job for each scheduler that asks for much: resources and other fields."""
OMITTED: dict[str, dict[str, list[str]]] = {
    "gridengine": {
        "h_vmem": ["-l h_vmem=2097152K"],
        "h_rt": ["-l h_rt=3600"],
        "gpu": ["-l gpu=3"],
        "pe": ["-pe smp 3"],
        "w": ["-w e"],
        "q": ["-q q"],
        "P": ["-P a"],
        "ar": ["-ar 7"],
        "notify": ["-notify"],
    },
    "htcondor": {
        "request_memory": ["request_memory = 6291456KB"],
        "request_cpus": ["request_cpus = 3"],
        "notification": ["notification = never"],
    },
    "lsf": {
        "M": ["#BSUB -M 6291456"],
        "W": ["#BSUB -W 1:00"],
        "wa": ["#BSUB -wa USR1", "#BSUB -wt 5"],
        "R": ['#BSUB -R "rusage[mem=6144] span[hosts=1]"'],
    },
    "pbs": {
        "walltime": ["#PBS -l walltime=01:00:00"],
        "m": ["#PBS -m n"],
        "place": ["#PBS -l place=exclhost"],
        "l": [
            "#PBS -l select=1:ncpus=6:mpiprocs=2:mem=6291456kb:ngpus=2",
            "#PBS -l place=exclhost",
            "#PBS -l walltime=01:00:00",
        ],
    },
    "slurm": {
        "mem": ["#SBATCH --mem=6291456K"],
        "ntasks": ["#SBATCH --ntasks=2"],
        "ntasks-per-node": ["#SBATCH --ntasks-per-node=2"],
        "propagate": ["#SBATCH --propagate=CORE"],
        "open-mode": ["#SBATCH --open-mode=append"],
        "time": ["#SBATCH --time=01:00:00"],
        "signal": ["#SBATCH --signal=B:USR1@300"],
        "job-name": ["#SBATCH --job-name=jupyter"],
    },
    "torque": {
        "mem": ["#PBS -l mem=6291456kb"],
        "nodes": ["#PBS -l nodes=1:ppn=6"],
    },
}
"""The lines that are missing, by scheduler and by the name in omit_directives."""
CASES = [(name, key, lines) for name, cases in OMITTED.items() for key, lines in cases.items()]


def job(scheduler: Scheduler, *omitted: str, **attributes: Any) -> JobSpec:
    resources, others = JOBS[scheduler.name]
    fields = {"queue_name": "q", "account": "a", "duration": timedelta(hours=1), **others}
    own = {**dict.fromkeys(omitted, False), **attributes}
    return JobSpec(
        resources=ResourceSpec.from_dict(resources),
        custom_attributes={f"{scheduler.name}.{key}": value for key, value in own.items()},
        mark="0123456789abcdef",
        stdout_path="/log",
        signal_before_end=300 if scheduler.announces else 0,
        **fields,
    )


@pytest.mark.parametrize(("name", "key", "missing"), CASES)
def test_a_directive_that_is_left_out(name: str, key: str, missing: list[str]) -> None:
    """The directives of that name are gone, all others are as before."""
    scheduler = get_scheduler(name)
    spec = job(scheduler, key)
    scheduler.check_omitted([key])
    scheduler.check_supported(spec)
    before = scheduler.directives(job(scheduler))
    assert [line for line in before if line not in missing] == scheduler.directives(spec)
    assert len(missing) == len(before) - len(scheduler.directives(spec))


@pytest.mark.parametrize(
    ("name", "key", "line"),
    [
        ("lsf", "rusage", '#BSUB -R "span[hosts=1]"'),
        ("lsf", "span", '#BSUB -R "rusage[mem=6144]"'),
        ("pbs", "mem", "#PBS -l select=1:ncpus=6:mpiprocs=2:ngpus=2"),
        ("pbs", "ncpus", "#PBS -l select=1:mpiprocs=2:mem=6291456kb:ngpus=2"),
        ("pbs", "ngpus", "#PBS -l select=1:ncpus=6:mpiprocs=2:mem=6291456kb"),
    ],
)
def test_a_part_that_is_left_out(name: str, key: str, line: str) -> None:
    """A part of a directive is left out by its own name."""
    scheduler = get_scheduler(name)
    scheduler.check_omitted([key])
    assert line in scheduler.directives(job(scheduler, key))


@pytest.mark.parametrize("name", OMITTED)
def test_every_name_has_an_effect(name: str) -> None:
    """Each name that can be left out is one that a job of this scheduler may have."""
    settings: dict[str, Any] = {"torque_moab": True} if name == "torque" else {}
    others = (
        [{"slurm_gpus_as": "gres", "slurm_memory_as": "mem-per-cpu"}] if name == "slurm" else []
    )
    without_effect = set(get_scheduler(name).omittable())
    for options in (settings, *others):
        scheduler = get_scheduler(name, options)
        full = job(scheduler)
        if name == "torque":
            full = JobSpec(**{**full.__dict__, "reservation_id": "r"})
        asked = replace(full.resources, constraint="fast")
        if asked.gpu_cores_per_process:
            asked = replace(asked, gpu_type="a100")
        full = replace(full, resources=asked, qos="high" if name == "slurm" else "")
        if name in ("slurm", "lsf"):
            full = JobSpec(**{**full.__dict__, "reservation_id": "r", "directory": "/home/a"})
        for key in list(without_effect):
            less = JobSpec(**{**full.__dict__, "custom_attributes": {f"{name}.{key}": False}})
            if scheduler.directives(less) != scheduler.directives(full):
                without_effect.discard(key)
    assert set() == without_effect


@pytest.mark.parametrize("name", OMITTED)
def test_a_name_that_cannot_be_left_out(name: str) -> None:
    """A name that no job has, and what a server needs, is refused with the names that can be."""
    scheduler = get_scheduler(name)
    for key in ("memory", "output", "o", "comment", "v", "ac"):
        with pytest.raises(InvalidJobError, match=rf"^omit_directives: '{key}' can't .*; names th"):
            scheduler.check_omitted([key])


@pytest.mark.parametrize("name", ["local", "template"])
def test_schedulers_without_directives(name: str) -> None:
    """Where unispawner writes no directives, none can be left out."""
    with pytest.raises(InvalidJobError, match="names that can: none"):
        get_scheduler(name).check_omitted(["mem"])


def test_an_attribute_in_place_of_what_is_left_out() -> None:
    """A custom attribute of the site's own stays, also of the same name."""
    slurm = get_scheduler("slurm")
    lines = slurm.directives(job(slurm, "mem", **{"mem-per-cpu": "1G"}))
    assert ["#SBATCH --mem-per-cpu=1G"] == [line for line in lines if "--mem" in line]


def test_false_of_an_option_that_is_not_ours() -> None:
    """False still leaves out an attribute that a profile would else have."""
    slurm = get_scheduler("slurm")
    assert slurm.directives(job(slurm)) == slurm.directives(job(slurm, "requeue", "comment"))
