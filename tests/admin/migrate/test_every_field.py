"""Each field of batchspawner's classes: what its script does with it, and what migrate makes of it.

The tables were written from the schedulers' manual pages. Both ends are checked: batchspawner's own
script is filled in by batchspawner, and UniSpawner's is what ``unispawner render`` prints.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import batchspawner
import pytest
from jupyterhub.spawner import Spawner
from support.migration import CLASSES, migrate_class, render_new, render_old

from unispawner.admin.migrate.literal import literal


class Case(NamedTuple):
    """A value of a field, and what becomes of it."""

    traits: Mapping[str, Any]
    """What the old configuration sets for the class."""
    script: str = ""
    """The lines that batchspawner's script then has; empty if it ignores the field."""
    settings: Mapping[str, Any] = {}
    """What the new configuration sets for UniSpawner, beside what it always sets."""
    job: str = ""
    """The lines that UniSpawner's script then has, or what it asks for beside the script."""
    says: str = ""
    """What the report says."""


class Stays(NamedTuple):
    """A value of a field that only batchspawner's class understands."""

    traits: Mapping[str, Any]
    reason: str


ALWAYS: Mapping[str, Mapping[str, Any]] = {
    "SlurmSpawner": {"scheduler": "slurm", "job_name": "spawner-jupyterhub"},
    "MultiSlurmSpawner": {"scheduler": "slurm", "job_name": "spawner-jupyterhub"},
    "TorqueSpawner": {"scheduler": "torque", "job_name": "jupyterhub-singleuser"},
    "MoabSpawner": {
        "scheduler": "torque",
        "job_name": "jupyterhub-singleuser",
        "torque_moab": True,
    },
    "PBSSpawner": {"scheduler": "pbs", "job_name": "jupyterhub-singleuser"},
    "GridengineSpawner": {"scheduler": "gridengine", "job_name": "spawner-jupyterhub"},
    "CondorSpawner": {"scheduler": "htcondor"},
    "LsfSpawner": {
        "scheduler": "lsf",
        "job_name": "spawner-jupyterhub",
        "custom_attributes": {"lsf.R": "select[type==any]"},
    },
}
"""What the new configuration sets if the old one sets nothing."""

NO_OPTION = "has no option for it, and the old script did not use it."
UNUSED = "The old script did not use it"


def suggest(name: str, settings: Mapping[str, Any]) -> str:
    """Return what the report says of a field that batchspawner's script ignores."""
    ((setting, value),) = settings.items()
    return (
        f"{name}: {UNUSED}, so jobs did not ask for it, and they still don't. If you want it, add: "
        f"{setting} = {literal(value)}"
    )


STOPS = "batchspawner's script ended at the first command that failed."

# sbatch(1): --mem counts megabytes, --time minutes; MM:SS, HH:MM:SS, D-HH[:MM[:SS]].
SLURM: list[Case | Stays] = [
    Case(
        {"req_partition": "long"},
        "#SBATCH --partition=long",
        {"queue_name": "long"},
        "#SBATCH --partition=long",
    ),
    Case(
        {"req_partition": "long,debug"},
        "#SBATCH --partition=long,debug",
        {"queue_name": "long,debug"},
        "#SBATCH --partition=long,debug",
    ),
    Stays({"req_partition": "long debug"}, "'--partition=long debug' can't be read"),
    Case(
        {"req_queue": "long"},
        says=suggest("req_queue", {"queue_name": "long"}),
    ),
    Case(
        {"req_queue": "q", "req_partition": "p"},
        "#SBATCH --partition=p",
        {"queue_name": "p"},
        "#SBATCH --partition=p",
        "SlurmSpawner.req_queue: The old script did not use it: req_partition is",
    ),
    Case(
        {"req_account": "proj"},
        says=suggest("req_account", {"account": "proj"}),
    ),
    Case(
        {"req_memory": "4G"},
        "#SBATCH --mem=4G",
        {"resources": {"memory": "4G"}},
        "#SBATCH --mem=4194304K",
    ),
    Case(
        {"req_memory": "4000"},
        "#SBATCH --mem=4000",
        {"resources": {"memory": "4000M"}},
        "#SBATCH --mem=4096000K",
    ),
    Case(  # the whole memory of the node
        {"req_memory": "0"},
        "#SBATCH --mem=0",
        {"custom_attributes": {"slurm.mem": "0"}},
        "#SBATCH --mem=0",
        "--mem=0 goes to Slurm as it is: UniSpawner can't read the value.",
    ),
    Case(
        {"req_nprocs": "2"},
        "#SBATCH --cpus-per-task=2",
        {"resources": {"cpu_cores_per_process": 2}},
        "#SBATCH --cpus-per-task=2",
    ),
    Stays({"req_nprocs": "all"}, "UniSpawner has no setting that can hold 'all'"),
    Case(
        {"req_ngpus": "2"},
        says=suggest("req_ngpus", {"resources": {"gpu_cores_per_process": 2}}),
    ),
    Case({"req_ngpus": "many"}, says=f"UniSpawner can't read 'many', and {UNUSED.lower()}"),
    Case(
        {"req_runtime": "8:00:00"},
        "#SBATCH --time=8:00:00",
        {"duration": "8:00:00"},
        "#SBATCH --time=08:00:00",
    ),
    Case(
        {"req_runtime": "90"},
        "#SBATCH --time=90",
        {"duration": "01:30:00"},
        "#SBATCH --time=01:30:00",
    ),
    Case(
        {"req_runtime": "8:00"},
        "#SBATCH --time=8:00",
        {"duration": "00:08:00"},
        "#SBATCH --time=00:08:00",
    ),
    Case(
        {"req_runtime": "1-12"},
        "#SBATCH --time=1-12",
        {"duration": "36:00:00"},
        "#SBATCH --time=36:00:00",
    ),
    Case(
        {"req_runtime": "UNLIMITED"},
        "#SBATCH --time=UNLIMITED",
        {"custom_attributes": {"slurm.time": "UNLIMITED"}},
        "#SBATCH --time=UNLIMITED",
        "--time=UNLIMITED goes to Slurm as it is",
    ),
    Case(
        {"req_gres": "gpu:2"},
        "#SBATCH --gres=gpu:2",
        {"resources": {"gpu_cores_per_process": 2}},
        "#SBATCH --gpus-per-task=2",
    ),
    Case(
        {"req_gres": "gpu"},
        "#SBATCH --gres=gpu",
        {"resources": {"gpu_cores_per_process": 1}},
        "#SBATCH --gpus-per-task=1",
    ),
    Case(
        {"req_gres": "gpu:a100:2,lustre"},
        "#SBATCH --gres=gpu:a100:2,lustre",
        {"custom_attributes": {"slurm.gres": "gpu:a100:2,lustre"}},
        "#SBATCH --gres=gpu:a100:2,lustre",
    ),
    Case(
        {"req_gres": "gpu:2", "req_ngpus": "4"},
        "#SBATCH --gres=gpu:2",
        {"resources": {"gpu_cores_per_process": 2}},
        "#SBATCH --gpus-per-task=2",
        "req_ngpus: The old script did not use it: req_gres asks for the GPUs.",
    ),
    Case(
        {"req_gres": "lustre", "req_ngpus": "4"},
        "#SBATCH --gres=lustre",
        {
            "custom_attributes": {"slurm.gres": "lustre"},
        },
        "#SBATCH --gres=lustre",
        suggest("req_ngpus", {"resources": {"gpu_cores_per_process": 4}}),
    ),
    Case(
        {"req_reservation": "r1"},
        "#SBATCH --reservation=r1",
        {"reservation_id": "r1"},
        "#SBATCH --reservation=r1",
    ),
    Case(
        {"req_qos": "high"},
        says=suggest("req_qos", {"custom_attributes": {"slurm.qos": "high"}}),
    ),
    Case(
        {"req_cluster": "east"},
        says='ask it: slurm_cluster = "east"',
    ),
    Case(
        {"req_options": "--clusters=east"},
        "#SBATCH --clusters=east",
        {"slurm_cluster": "east"},
    ),
    Case({"req_options": "-M east"}, "#SBATCH -M east", {"slurm_cluster": "east"}),
    Case({"req_host": "h"}, says=f"req_host: Slurm {NO_OPTION}"),
    Case(
        {"req_options": "--exclusive --nice=-5 -C a100|v100"},
        "#SBATCH --exclusive --nice=-5 -C a100|v100",
        {
            "custom_attributes": {
                "slurm.exclusive": True,
                "slurm.nice": "-5",
                "slurm.C": "a100|v100",
            }
        },
        "#SBATCH --exclusive\n#SBATCH --nice=-5\n#SBATCH -C a100|v100",
    ),
    Case(
        {"req_options": "--comment='two words' --mail-type BEGIN --mail-type END"},
        "#SBATCH --comment='two words' --mail-type BEGIN --mail-type END",
        {
            "custom_attributes": {
                "slurm.comment": "two words",
                "slurm.mail-type": ["BEGIN", "END"],
            }
        },
        '#SBATCH --comment="two words unispawner:0000000000000000"\n'
        "#SBATCH --mail-type=BEGIN\n#SBATCH --mail-type=END",
    ),
    Case(
        {"req_options": "--exclusive\n#SBATCH --nice=5"},
        "#SBATCH --exclusive\n#SBATCH --nice=5",
        {"custom_attributes": {"slurm.exclusive": True, "slurm.nice": "5"}},
        "#SBATCH --exclusive\n#SBATCH --nice=5",
    ),
    Case(  # the option counted, and the field did not
        {"req_options": "-A one --qos=low --gpus=1", "req_account": "two", "req_qos": "high"},
        "#SBATCH -A one --qos=low --gpus=1",
        {"account": "one", "custom_attributes": {"slurm.qos": "low", "slurm.gpus": "1"}},
        "#SBATCH --account=one\n#SBATCH --qos=low\n#SBATCH --gpus=1",
        f"req_account: {UNUSED}, so it had no effect. Its -A one asks for the same.",
    ),
    Case(
        {"req_options": "-c 4 -t 8:00 --mem=2G", "req_ngpus": "2"},
        "#SBATCH -c 4 -t 8:00 --mem=2G",
        {
            "resources": {
                "cpu_cores_per_process": 4,
                "memory": "2G",
            },
            "duration": "00:08:00",
        },
        "#SBATCH --cpus-per-task=4\n#SBATCH --time=00:08:00\n#SBATCH --mem=2097152K",
    ),
    Case(  # sbatch takes the last of two: the template has the options last
        {"req_options": "--mem=8G", "req_memory": "4G"},
        "#SBATCH --mem=4G\n#SBATCH --mem=8G",
        {"resources": {"memory": "4G"}, "custom_attributes": {"slurm.mem": "8G"}},
        "#SBATCH --mem=4194304K\n#SBATCH --mem=8G",
    ),
    Case(
        {"req_options": "--output=x.log"},
        "#SBATCH --output=x.log",
        says="UniSpawner sets --output=x.log itself. The job's log is in ~/.unispawner/logs.",
    ),
    Stays({"req_options": "exclusive"}, "'exclusive' can't be read: 'exclusive' is not an option"),
    Case(
        {"req_srun": ""},
        "batchspawner-singleuser jupyterhub-singleuser",
        says="UniSpawner runs the server without srun, too.",
    ),
    Stays(
        {"req_srun": "srun --overlap"},
        "the script does not run the server as batchspawner's does: srun --overlap {cmd}",
    ),
]

# pbs_resources(7B): sizes are bytes, "w" is 8 of them; times are [[HH:]MM:]SS.
PBS_FAMILY: list[Case | Stays] = [
    Case(
        {"req_queue": "q", "req_host": "h"},
        "#PBS -q q@h",
        {"queue_name": "q@h"},
        "#PBS -q q@h",
        "If h is not this host's default server, set it for all of",
    ),
    Case({"req_host": "h"}, "#PBS -q @h", {"queue_name": "@h"}, "#PBS -q @h"),
    Case(
        {"req_runtime": "8:00:00"},
        "#PBS -l walltime=8:00:00",
        {"duration": "8:00:00"},
        "#PBS -l walltime=08:00:00",
    ),
    Case(
        {"req_runtime": "3600"},
        "#PBS -l walltime=3600",
        {"duration": "01:00:00"},
        "#PBS -l walltime=01:00:00",
    ),
    Case(
        {"req_runtime": "8:00"},
        "#PBS -l walltime=8:00",
        {"duration": "00:08:00"},
        "#PBS -l walltime=00:08:00",
    ),
    Stays({"req_runtime": "long"}, "UniSpawner has no setting that can hold 'long'"),
    Case(
        {"req_account": "proj"},
        says=suggest("req_account", {"account": "proj"}),
    ),
    Case(
        {"req_account": "one", "req_options": "-A two"},
        "#PBS -A two",
        {"account": "two"},
        "#PBS -A two",
        f"req_account: {UNUSED}, so it had no effect. Its -A two asks for the same.",
    ),
    Stays({"req_options": "-l pmem=2gb; true"}, "can't be read: 'true' is not an option"),
]

TORQUE: list[Case | Stays] = [
    *PBS_FAMILY,
    Case({"req_queue": "q"}, "#PBS -q q@", {"queue_name": "q"}, "#PBS -q q"),
    Case(
        {"req_host": "h"},
        "#PBS -q @h",
        {"queue_name": "@h"},
        says='scheduler_environment = {"PBS_DEFAULT": "h"}',
    ),
    Case(
        {"req_nprocs": "2"},
        "#PBS -l nodes=1:ppn=2",
        {"resources": {"cpu_cores_per_process": 2}},
        "#PBS -l nodes=1:ppn=2",
    ),
    Stays({"req_nprocs": "2:gpus=1"}, "UniSpawner has no setting that can hold '2:gpus=1'"),
    Case(
        {"req_memory": "4gb"},
        "#PBS -l mem=4gb",
        {"resources": {"memory": "4G"}},
        "#PBS -l mem=4194304kb",
    ),
    Case(
        {"req_memory": "4096"},
        "#PBS -l mem=4096",
        {"resources": {"memory": "4K"}},
        "#PBS -l mem=4kb",
    ),
    Case(
        {"req_memory": "100MW"},
        "#PBS -l mem=100MW",
        {"resources": {"memory": "800M"}},
        "#PBS -l mem=819200kb",
    ),
    Case({"req_ngpus": "1"}, says=f"req_ngpus: TORQUE {NO_OPTION}"),
    Case({"req_partition": "p"}, says=f"req_partition: TORQUE {NO_OPTION}"),
    Case(
        {"req_options": "-l pmem=2gb -l vmem=4gb -W group_list=staff"},
        "#PBS -l pmem=2gb -l vmem=4gb -W group_list=staff",
        {
            "custom_attributes": {
                "torque.l": ["pmem=2gb", "vmem=4gb"],
                "torque.W": "group_list=staff",
            }
        },
        "#PBS -l pmem=2gb\n#PBS -l vmem=4gb\n#PBS -W group_list=staff",
    ),
]

PBS: list[Case | Stays] = [
    *PBS_FAMILY,
    Case({"req_queue": "q"}, "#PBS -q q", {"queue_name": "q"}, "#PBS -q q"),
    Case(
        {"req_host": "h"},
        "#PBS -q @h",
        {"queue_name": "@h"},
        says='scheduler_environment = {"PBS_SERVER": "h"}',
    ),
    Case(
        {"req_nprocs": "2", "req_memory": "4gb"},
        "#PBS -l select=1:ncpus=2:mem=4gb",
        {"resources": {"cpu_cores_per_process": 2, "memory": "4G"}},
        "#PBS -l select=1:ncpus=2:mem=4194304kb",
    ),
    Stays({"req_nprocs": "4:mpiprocs=4"}, "UniSpawner has no setting that can hold '4:mpiprocs=4'"),
    Stays({"req_memory": "4gb:ngpus=1"}, "UniSpawner has no setting that can hold '4gb:ngpus=1'"),
    Case(
        {"req_ngpus": "1"},
        says=suggest("req_ngpus", {"resources": {"gpu_cores_per_process": 1}}),
    ),
    Case({"req_partition": "p"}, says=f"req_partition: PBS {NO_OPTION}"),
    Case(
        {"req_options": "-l place=excl -m abe -V"},
        "#PBS -l place=excl -m abe -V",
        {"custom_attributes": {"pbs.l": "place=excl", "pbs.m": "abe"}},
        "#PBS -l place=excl\n#PBS -m abe",
        "req_options: UniSpawner sets -V itself.",
    ),
]

# sge_types(1): "G" is 1024**3 bytes and "g" 1000**3; a time is HH:MM:SS or seconds.
GRIDENGINE: list[Case | Stays] = [
    Case(
        {"req_queue": "all.q"},
        says=suggest("req_queue", {"queue_name": "all.q"}),
    ),
    Case(
        {"req_account": "proj"},
        says=suggest("req_account", {"account": "proj"}),
    ),
    Case(
        {"req_memory": "4G"},
        says=suggest("req_memory", {"resources": {"memory": "4G"}}),
    ),
    Case(
        {"req_memory": "4g"},
        says=suggest("req_memory", {"resources": {"memory": "3906250K"}}),
    ),
    Case(
        {"req_nprocs": "2"},
        says=suggest("req_nprocs", {"resources": {"cpu_cores_per_process": 2}}),
    ),
    Case(
        {"req_ngpus": "1"},
        says=suggest("req_ngpus", {"resources": {"gpu_cores_per_process": 1}}),
    ),
    Case(
        {"req_runtime": "3600"},
        says=suggest("req_runtime", {"duration": "01:00:00"}),
    ),
    Case({"req_partition": "p"}, says=f"req_partition: Grid Engine {NO_OPTION}"),
    Case({"req_host": "h"}, says=f"req_host: Grid Engine {NO_OPTION}"),
    Case(
        {"req_options": "-l h_rt=3600,h_vmem=4G -pe smp 4 -r n"},
        "#$ -l h_rt=3600,h_vmem=4G -pe smp 4 -r n",
        {
            "custom_attributes": {
                "gridengine.l": "h_rt=3600,h_vmem=4G",
                "gridengine.pe": "smp 4",
                "gridengine.r": "n",
            }
        },
        "-l h_rt=3600,h_vmem=4G\n-pe smp 4\n-r n",
    ),
    Case(  # the options counted, and the fields did not
        {"req_options": "-l h_rt=60 -pe smp 4", "req_runtime": "8:00:00", "req_nprocs": "2"},
        "#$ -l h_rt=60 -pe smp 4",
        {"custom_attributes": {"gridengine.l": "h_rt=60", "gridengine.pe": "smp 4"}},
        "-l h_rt=60\n-pe smp 4",
        f"req_runtime: {UNUSED}, so it had no effect. Its -l h_rt=60 asks for the same.",
    ),
    Case(
        {"req_options": "-S /bin/bash"},
        "#$ -S /bin/bash",
        says="req_options: UniSpawner sets -S /bin/bash itself.",
    ),
    Stays({"req_options": "-S /usr/bin/perl"}, "no counterpart of the option -S /usr/bin/perl"),
]

# condor_submit(1): request_memory counts megabytes, and may be an expression.
HTCONDOR: list[Case | Stays] = [
    Case(
        {"req_memory": "512"},
        "RequestMemory = 512",
        {"resources": {"memory": "512M"}},
        "request_memory = 524288KB",
    ),
    Case(
        {"req_memory": "4 GB"},
        "RequestMemory = 4 GB",
        {"resources": {"memory": "4G"}},
        "request_memory = 4194304KB",
    ),
    Case(
        {"req_memory": "ifthenelse(Big, 8192, 1024)"},
        "RequestMemory = ifthenelse(Big, 8192, 1024)",
        {"custom_attributes": {"htcondor.request_memory": "ifthenelse(Big, 8192, 1024)"}},
        "request_memory = ifthenelse(Big, 8192, 1024)",
        "request_memory = ifthenelse(Big, 8192, 1024) goes to HTCondor as it is",
    ),
    Case(
        {"req_nprocs": "2"},
        "RequestCpus = 2",
        {"resources": {"cpu_cores_per_process": 2}},
        "request_cpus = 2",
    ),
    Case(
        {"req_nprocs": "1 + Big"},
        "RequestCpus = 1 + Big",
        {"custom_attributes": {"htcondor.request_cpus": "1 + Big"}},
        "request_cpus = 1 + Big",
        "request_cpus = 1 + Big goes to HTCondor as it is",
    ),
    Case(
        {"req_ngpus": "1"},
        says=suggest("req_ngpus", {"resources": {"gpu_cores_per_process": 1}}),
    ),
    Case(
        {"req_account": "group_a"},
        says=suggest("req_account", {"account": "group_a"}),
    ),
    Case(
        {"req_runtime": "8:00:00"},
        says=suggest("req_runtime", {"duration": "8:00:00"}),
    ),
    Case({"req_runtime": "3600"}, says="req_runtime: UniSpawner can't read '3600'"),
    Case({"req_queue": "q"}, says=f"req_queue: HTCondor {NO_OPTION}"),
    Case({"req_partition": "p"}, says=f"req_partition: HTCondor {NO_OPTION}"),
    Case({"req_host": "h"}, says=f"req_host: HTCondor {NO_OPTION}"),
    Case(
        {"req_options": '+Project = "x"\nrequest_gpus = 2\nRequirements = (Arch == "X")'},
        '+Project = "x"\nrequest_gpus = 2\nRequirements = (Arch == "X")',
        {
            "custom_attributes": {
                "htcondor.+Project": '"x"',
                "htcondor.requirements": '(Arch == "X")',
            },
            "resources": {"gpu_cores_per_process": 2},
        },
        '+Project = "x"\nrequest_gpus = 2\nrequirements = (Arch == "X")',
    ),
    Case(
        {"req_options": "request_gpus = 2", "req_ngpus": "1"},
        "request_gpus = 2",
        {"resources": {"gpu_cores_per_process": 2}},
        "request_gpus = 2",
        f"req_ngpus: {UNUSED}, so it had no effect. Its request_gpus = 2 asks for the same.",
    ),
    Stays({"req_options": "+Project"}, "'+Project' is not a command of a submit description"),
    # Its script is a submit description: nothing runs before or after the server.
    Case({"req_prologue": "module load a"}, says=f"req_prologue: {UNUSED}"),
    Case({"req_epilogue": "date"}, says=f"req_epilogue: {UNUSED}"),
]

# bsub(1): -W is [HH:]MM; the unit of -M is the site's.
LSF: list[Case | Stays] = [
    Case({"req_queue": "night"}, "#BSUB -q night", {"queue_name": "night"}, "#BSUB -q night"),
    Case(
        {"req_account": "proj"},
        says=suggest("req_account", {"account": "proj"}),
    ),
    Case(
        {"req_memory": "4gb"},
        says=suggest("req_memory", {"resources": {"memory": "4G"}}),
    ),
    Case({"req_memory": "4000"}, says="req_memory: UniSpawner can't read '4000'"),
    Case(
        {"req_nprocs": "2"},
        says=suggest("req_nprocs", {"resources": {"cpu_cores_per_process": 2}}),
    ),
    Case(
        {"req_ngpus": "1"},
        says=suggest("req_ngpus", {"resources": {"gpu_cores_per_process": 1}}),
    ),
    Case(
        {"req_runtime": "8:00"},
        says=suggest("req_runtime", {"duration": "08:00:00"}),
    ),
    Case({"req_options": "-x"}, says=f"req_options: {UNUSED}, so it had no effect."),
    Case({"req_partition": "p"}, says=f"req_partition: LSF {NO_OPTION}"),
    Case({"req_host": "h"}, says=f"req_host: LSF {NO_OPTION}"),
]

WITH_SHELL: list[Case | Stays] = [
    Case(
        {"req_prologue": "module load a\nexport X='b c'"},
        "module load a\nexport X='b c'",
        {"prologue": "module load a\nexport X='b c'"},
        "module load a\nexport X='b c'",
        STOPS,
    ),
    Case({"req_epilogue": "date"}, "date", {"epilogue": "date"}, "date"),
    Stays({"req_prologue": "if true; then"}, "the server runs within a loop, a condition"),
]
"""What holds for all of batchspawner's scripts but HTCondor's."""

PATTERNS: list[Case | Stays] = [
    Stays({"state_pending_re": "Q"}, "UniSpawner reads the scheduler's answers without patterns"),
    Stays({"state_running_re": "R"}, "UniSpawner reads the scheduler's answers without patterns"),
    Stays({"state_unknown_re": "U"}, "UniSpawner reads the scheduler's answers without patterns"),
    Stays({"state_exechost_re": "(x)"}, "UniSpawner reads the scheduler's answers without patt"),
    Case(
        {"state_exechost_exp": r"\1.example.org"},
        settings={"host_map": {r"([^.]+)": r"\1.example.org"}},
        says="host_map: It makes node1.example.org of",
    ),
    Case(
        {"state_exechost_exp": r"ib-\g<1>"},
        settings={"host_map": {r"(.+)": r"ib-\g<1>"}, "report_host": "short"},
        says="host_map: It makes ib-node1 of",
    ),
    Case({"state_exechost_exp": r"\1"}, says="state_exechost_exp: It leaves the name as it is."),
    Stays({"state_exechost_exp": r"\g<0>-ib"}, "it uses more than the host's name"),
]
"""What holds for the classes with patterns: BatchSpawnerRegexStates."""

EVERYWHERE: list[Case | Stays] = [
    Case({"exec_prefix": "sudo  -E -u {username}"}, says="It is batchspawner's default."),
    *(
        Case({"exec_prefix": prefix}, says="exec_prefix: UniSpawner becomes the user itself")
        for prefix in (
            "/usr/bin/sudo -n -H -u {username}",
            "sudo --user={username} --",
            "runuser -u {username} --",
        )
    ),
    *(
        Stays({"exec_prefix": prefix}, "UniSpawner becomes the user in another way")
        for prefix in ("ssh login1 sudo -u {username}", "sudo -u svc", "sudo -u {username} env A=1")
    ),
    Stays({"exec_prefix": ""}, "UniSpawner becomes the user in another way (c.UniSpawner.run_as)"),
    *(
        Stays({name: "site-command {job_id}"}, "it is not the command that batchspawner runs by")
        for name in ("batch_submit_cmd", "batch_query_cmd", "batch_cancel_cmd")
    ),
    Case({"startup_poll_interval": 2.0}, says="UniSpawner asks for the states of all jobs at once"),
    Case(
        {"batchspawner_singleuser_cmd": "/opt/hub/bin/batchspawner-singleuser"},
        says="UniSpawner needs no such program on the nodes.",
    ),
    Case(
        {"batchspawner_singleuser_cmd": "env A=1 batchspawner-singleuser"},
        settings={"cmd": ["env", "A=1", "jupyterhub-singleuser"]},
        job="exec python3 -I - --host fqdn -- env A=1 jupyterhub-singleuser",
        says="batchspawner-singleuser is left out, and no shell reads the words.",
    ),
    Stays(
        {"batchspawner_singleuser_cmd": "/opt/site/wrap"},
        "it is not batchspawner-singleuser but the site's own program",
    ),
    Case(
        {"req_keepvars_extra": "SITE"},
        settings={"env_keep": ["JUPYTERHUB_SINGLEUSER_APP", "SITE"]},
        says="These variables have the values of the Hub's own environment.",
    ),
    Case(
        {"req_keepvars_extra": "A=b c,ALL"},
        settings={"prologue": "export A='b c'"},
        job="export A='b c'",
        says="UniSpawner ignores ALL and NONE: a job has the environment of a login.",
    ),
    Case({"req_username": "x"}, says="req_username: batchspawner has no such setting"),
]

RESOLVER = Case(
    {"daemon_resolver": {"n1": "host1"}}, settings={"host_map": {"n1": "host1"}}, says="host_map"
)

TABLES: Mapping[str, list[Case | Stays]] = {
    "SlurmSpawner": [*SLURM, *WITH_SHELL, *PATTERNS],
    "MultiSlurmSpawner": [*SLURM, *WITH_SHELL, *PATTERNS, RESOLVER],
    "TorqueSpawner": [*TORQUE, *WITH_SHELL, *PATTERNS],
    "MoabSpawner": [*TORQUE, *WITH_SHELL, *PATTERNS],
    "PBSSpawner": [*PBS, *WITH_SHELL, *PATTERNS],
    "GridengineSpawner": [*GRIDENGINE, *WITH_SHELL],
    "CondorSpawner": [*HTCONDOR, *PATTERNS],
    "LsfSpawner": [*LSF, *WITH_SHELL],
}


def cases(kind: type) -> list[Any]:
    """Return the table's cases of a kind, with the class and what is set as their name."""
    return [
        pytest.param(cls, case, id=f"{cls}-{_write(case.traits)}")
        for cls, table in TABLES.items()
        for case in (*table, *EVERYWHERE)
        if isinstance(case, kind)
    ]


def _write(traits: Mapping[str, Any]) -> str:
    return ",".join(f"{name}={value!r}" for name, value in traits.items())


def job_lines(config: Path) -> set[str]:
    """Return the lines of UniSpawner's script, and of what it asks for beside the script.

    They lack the launcher's option for the signal that only UniSpawner's jobs on Slurm ask for.
    """
    lines = render_new(config).replace(" --ending USR1@300", "").split("\n")
    return {"", *(line.removeprefix("#   ").partition(" <<'")[0] for line in lines)}


@pytest.mark.parametrize(("cls", "case"), cases(Case))
def test_a_field_that_is_translated(tmp_path: Path, cls: str, case: Case) -> None:
    """batchspawner's script has the value, the new configuration has it, and so has its job."""
    old = render_old(cls, case.traits)
    if case.script:
        assert case.script in old
        assert set(case.script.split("\n")) <= set(old.split("\n"))
    else:
        assert render_old(cls, {}) == old
    found = migrate_class(tmp_path, cls, case.traits)
    assert found.is_translated
    assert {**ALWAYS[cls], **case.settings} == found.settings
    assert case.says in found.report
    assert set(case.job.split("\n")) <= job_lines(found.path)


@pytest.mark.parametrize(("cls", "case"), cases(Stays))
def test_a_field_that_keeps_the_old_class(tmp_path: Path, cls: str, case: Stays) -> None:
    """unispawner's class of the same name runs the servers with it, and the report says why."""
    found = migrate_class(tmp_path, cls, case.traits)
    assert f"unispawner.{cls}" == found.config.JupyterHub.spawner_class
    assert case.traits.items() <= dict(found.config[cls]).items()
    for name in case.traits:
        assert f"{name}: " in found.report
    assert case.reason in found.report
    assert case.reason in " ".join(found.text.replace("#", " ").split())


@pytest.mark.parametrize("cls", CLASSES)
def test_every_trait_of_batchspawner_is_in_the_table(cls: str) -> None:
    """A trait that a later release adds makes this fail: migrate has to learn it."""
    traits = set(getattr(batchspawner, cls).class_traits(config=True))
    ours = traits - set(Spawner.class_traits(config=True)) - {"batch_script"}
    named = {name for case in (*TABLES[cls], *EVERYWHERE) for name in case.traits}
    assert set() == ours - named


@pytest.mark.parametrize("cls", CLASSES)
def test_a_class_without_settings(tmp_path: Path, cls: str) -> None:
    """UniSpawner gets the scheduler, and the job's name in batchspawner's script."""
    found = migrate_class(tmp_path, cls, {})
    assert ALWAYS[cls] == found.settings
    assert render_new(found.path)


@pytest.mark.parametrize("cls", CLASSES)
def test_commands_in_another_directory(tmp_path: Path, cls: str) -> None:
    """The directory of batchspawner's commands becomes scheduler_path; of Moab's it is no use."""
    names = ("batch_submit_cmd", "batch_query_cmd", "batch_cancel_cmd")
    usual = {name: getattr(batchspawner, cls).class_traits()[name].default_value for name in names}
    found = migrate_class(tmp_path, cls, {name: f"/opt/s/bin/{usual[name]}" for name in names})
    if cls == "MoabSpawner":
        assert "UniSpawner runs TORQUE's own commands." in found.report
        assert "scheduler_path" not in found.settings
    else:
        assert "/opt/s/bin" == found.settings["scheduler_path"]


@pytest.mark.parametrize("cls", CLASSES)
def test_sudo_within_the_commands(tmp_path: Path, cls: str) -> None:
    """Where batchspawner's own commands become the user by themselves, UniSpawner does instead."""
    traits = getattr(batchspawner, cls).class_traits()
    names = ("batch_submit_cmd", "batch_cancel_cmd")
    sudo = {name: f"sudo -E -u {{username}} {traits[name].default_value}" for name in names}
    found = migrate_class(tmp_path, cls, {"exec_prefix": "", **sudo})
    assert ALWAYS[cls] == found.settings
    assert "exec_prefix: UniSpawner becomes the user itself (run_as)" in found.report


@pytest.mark.parametrize("cls", CLASSES)
def test_the_default_script_written_out(tmp_path: Path, cls: str) -> None:
    """A batch_script that is batchspawner's own needs no setting."""
    script = getattr(batchspawner, cls).class_traits()["batch_script"].default_value
    found = migrate_class(tmp_path, cls, {"batch_script": script})
    assert ALWAYS[cls] == found.settings


OWN_SCRIPTS: list[tuple[str, Case]] = [
    (
        "TorqueSpawner",
        Case(
            {
                "batch_script": "#!/bin/sh\n#PBS -q {queue}\n#PBS -l nodes=1:ppn={nprocs}\n"
                "#PBS -l walltime=8:00:00,pmem=2gb\n#PBS -N jl\n#PBS -o /tmp/{username}.log\n"
                "module load a\n{cmd}\n",
                "req_queue": "batch",
                "req_nprocs": "4",
            },
            "#PBS -q batch\n#PBS -l nodes=1:ppn=4\n#PBS -l walltime=8:00:00,pmem=2gb\n#PBS -N jl",
            {
                "scheduler": "torque",
                "job_name": "jl",
                "queue_name": "batch",
                "resources": {"cpu_cores_per_process": 4},
                "custom_attributes": {"torque.l": "walltime=8:00:00,pmem=2gb"},
                "prologue": "module load a",
            },
            "#PBS -q batch\n#PBS -l nodes=1:ppn=4\n#PBS -l walltime=8:00:00,pmem=2gb\n#PBS -N jl",
            "UniSpawner sets -o /tmp/{username}.log itself. The job's log is in",
        ),
    ),
    (
        "PBSSpawner",
        Case(
            {
                "batch_script": "#!/bin/bash\n#PBS -l select=1:ncpus={{nprocs}}:mem={{memory}}\n"
                "{% if account %}#PBS -A {{account}}{% endif %}\n#PBS -l place=excl\n{{cmd}}\n",
                "req_nprocs": "2",
                "req_memory": "4gb",
                "req_account": "proj",
                "req_host": "unused",
            },
            "#PBS -l select=1:ncpus=2:mem=4gb\n#PBS -A proj\n#PBS -l place=excl",
            {
                "scheduler": "pbs",
                "account": "proj",
                "resources": {"cpu_cores_per_process": 2, "memory": "4G"},
                "custom_attributes": {"pbs.l": "place=excl"},
            },
            "#PBS -l select=1:ncpus=2:mem=4194304kb\n#PBS -A proj\n#PBS -l place=excl",
            f"req_host: {UNUSED}, so it had no effect.",
        ),
    ),
    (
        "GridengineSpawner",
        Case(
            {
                "batch_script": "#!/bin/bash\n#$ -N jl\n#$ -pe smp {nprocs}\n#$ -q {queue}\n"
                "#$ -l h_vmem={memory},h_rt=3600\n#$ -cwd\n#$ -V\n. /etc/bashrc\n{cmd}\n",
                "req_nprocs": "2",
                "req_queue": "all.q",
                "req_memory": "4G",
            },
            "#$ -pe smp 2\n#$ -q all.q\n#$ -l h_vmem=4G,h_rt=3600",
            {
                "scheduler": "gridengine",
                "job_name": "jl",
                "queue_name": "all.q",
                "custom_attributes": {
                    "gridengine.pe": "smp 2",
                    "gridengine.l": "h_vmem=4G,h_rt=3600",
                },
                "prologue": ". /etc/bashrc",
            },
            "-N jl\n-q all.q\n-pe smp 2\n-l h_vmem=4G,h_rt=3600\n. /etc/bashrc",
            "UniSpawner sets -cwd, -V itself.",
        ),
    ),
    (
        "CondorSpawner",
        Case(
            {
                "batch_script": "Executable = /bin/sh\nRequestMemory = {memory}\n"
                "RequestCpus = 4\nArguments = \"-c 'exec {cmd}'\"\n"
                "Initialdir = /scratch/{username}\nGetEnv = True\n{options}\nQueue\n",
                "req_memory": "2048",
                "req_options": '+Project = "x"',
            },
            'RequestMemory = 2048\nRequestCpus = 4\n+Project = "x"',
            {
                "scheduler": "htcondor",
                "resources": {"memory": "2G", "cpu_cores_per_process": 4},
                "custom_attributes": {"htcondor.+Project": '"x"'},
                "prologue": 'cd "/scratch/$USER" || exit 1',
            },
            'request_memory = 2097152KB\nrequest_cpus = 4\n+Project = "x"\n'
            'cd "/scratch/$USER" || exit 1',
        ),
    ),
    (
        "LsfSpawner",
        Case(
            {
                "batch_script": '#!/bin/sh\n#BSUB -R "rusage[mem={memory}] span[hosts=1]"\n'
                "#BSUB -q {queue}\n#BSUB -n {nprocs}\n#BSUB -W {runtime}\n#BSUB -P proj\n"
                "#BSUB -o {homedir}/lsf.out\nset -eu\n{cmd}\n",
                "req_memory": "4000",
                "req_queue": "night",
                "req_nprocs": "2",
                "req_runtime": "8:00",
            },
            '#BSUB -R "rusage[mem=4000] span[hosts=1]"\n#BSUB -q night\n#BSUB -n 2\n#BSUB -W 8:00',
            {
                "scheduler": "lsf",
                "queue_name": "night",
                "account": "proj",
                "duration": "08:00:00",
                "resources": {"cpu_cores_per_process": 2},
                "custom_attributes": {"lsf.R": "rusage[mem=4000] span[hosts=1]"},
            },
            '#BSUB -R "rusage[mem=4000] span[hosts=1]"\n#BSUB -q night\n#BSUB -n 2\n'
            "#BSUB -W 8:00\n#BSUB -P proj",
        ),
    ),
]


@pytest.mark.parametrize(
    ("cls", "case"), OWN_SCRIPTS, ids=[f"{cls}-own-script" for cls, _ in OWN_SCRIPTS]
)
def test_a_script_of_the_site(tmp_path: Path, cls: str, case: Case) -> None:
    """Its directives arrive in UniSpawner's job; a Slurm site's is in test_migrate.py."""
    assert set(case.script.split("\n")) <= {*render_old(cls, case.traits).split("\n")}
    found = migrate_class(tmp_path, cls, case.traits)
    assert case.settings == found.settings
    assert case.says in found.report
    assert set(case.job.split("\n")) <= job_lines(found.path)
