"""What a site's script asks for beyond batchspawner's own, for each scheduler's directives."""

from __future__ import annotations

from typing import Any

import batchspawner
import pytest

from unispawner.admin.migrate.batch_script import Comparison, UntranslatableScript, compare
from unispawner.admin.migrate.old_config import SCHEDULERS


def compare_script(cls: str, script: str, **given: str) -> Comparison:
    """Compare with batchspawner's script of a class, its other fields at their defaults."""
    traits = getattr(batchspawner, cls).class_traits()
    fields = {
        name.removeprefix("req_"): trait.default_value
        for name, trait in traits.items()
        if name.startswith("req_") and name not in ("req_username", "req_homedir", "req_keepvars")
    }
    assert given.keys() <= fields.keys()
    default = traits["batch_script"].default_value
    return compare(script or default, default, {**fields, **given}, SCHEDULERS[cls])


CONDOR = """Executable = /bin/sh
RequestMemory = {memory}
Arguments = "-c 'exec {cmd}'"
"""


@pytest.mark.parametrize(
    ("cls", "script", "given", "expected"),
    [
        pytest.param(
            "SlurmSpawner",
            "#SBATCH -p {partition}\n#SBATCH --mem={memory}\n{cmd}",
            {"partition": "p", "memory": "4G", "runtime": "60"},
            {"used": {"memory"}, "used_otherwise": {"partition"}, "extra": [("p", "p")]},
            id="a line as in batchspawner's script, and one of the site's own",
        ),
        pytest.param(
            "SlurmSpawner",
            "#SBATCH --mem=4G\n{cmd}",
            {"memory": "4G"},
            {"used": set(), "extra": [("mem", "4G")]},
            id="a fixed value that equals the field's",
        ),
        pytest.param(
            "SlurmSpawner",
            "{% if memory %}#SBATCH --mem={{memory}}{% endif %}\n{{cmd}}",
            {"memory": "4G"},
            {"used": {"memory"}, "extra": []},
            id="Jinja",
        ),
        pytest.param(
            "SlurmSpawner",
            "#SBATCH {options}\n{cmd}",
            {"options": "--exclusive"},
            {"used_otherwise": {"options"}, "extra": [("exclusive", True)]},
            id="options",
        ),
        pytest.param(
            "SlurmSpawner",
            "#SBATCH -o {homedir}/x.log\n#SBATCH -J jl\n#SBATCH --chdir={homedir}\n{cmd}",
            {},
            {"dropped": ["-o {homedir}/x.log"], "has_own_log": True, "job_name": "jl"},
            id="log, name and the home",
        ),
        pytest.param(
            "SlurmSpawner",
            "#SBATCH --chdir=/scratch/{username}\n{cmd}",
            {},
            {"prologue": 'cd "/scratch/$USER" || exit 1'},
            id="another directory",
        ),
        pytest.param(
            "SlurmSpawner",
            "#!/bin/bash -l\nmodule load a\n#SBATCH --late\ncd {homedir}\nsrun {cmd}\ndate",
            {},
            {
                "prologue": "module load a\n#SBATCH --late\ncd $HOME",
                "epilogue": "date",
                "runs_srun": True,
                "extra": [],
            },
            id="what is done before and after; directives end at the first command",
        ),
        pytest.param(
            "SlurmSpawner",
            "set -euo pipefail\n{prologue}\necho {partition}\n{cmd}",
            {"prologue": "module load a", "partition": "p"},
            {
                "prologue": "module load a\necho p",
                "stops_on_error": True,
                "used_otherwise": {"partition", "prologue"},
            },
            id="the prologue between the site's own lines",
        ),
        pytest.param(
            "TorqueSpawner",
            "#PBS -q {queue}@{host}\n#PBS -l walltime=1:00:00\n#PBS -A x\n{cmd}",
            {"queue": "q", "host": "h"},
            {"used": {"queue", "host"}, "extra": [("l", "walltime=1:00:00"), ("A", "x")]},
            id="TORQUE",
        ),
        pytest.param(
            "PBSSpawner",
            "#PBS -l select=1:ncpus={nprocs}:mem={memory}\n#PBS -l place=excl\n{cmd}",
            {"nprocs": "2", "memory": "4gb"},
            {"used": {"nprocs", "memory"}, "extra": [("l", "place=excl")]},
            id="PBS",
        ),
        pytest.param(
            "GridengineSpawner",
            "#!/bin/bash\ndate\n#$ -pe smp {nprocs}\n#$ -S /bin/bash\n{cmd}",
            {"nprocs": "4"},
            {
                "used_otherwise": {"nprocs"},
                "extra": [("pe", "smp 4")],
                "dropped": ["-S /bin/bash"],
                "prologue": "date",
            },
            id="Grid Engine reads directives after commands, too",
        ),
        pytest.param(
            "LsfSpawner",
            '#BSUB -R "select[type==any]"  # why\n#BSUB -q {queue}\n#BSUB -W {runtime}\n{cmd}',
            {"queue": "q", "runtime": "8:00"},
            {
                "used": {"queue"},
                "used_otherwise": {"runtime"},
                "extra": [("R", "select[type==any]"), ("W", "8:00")],
            },
            id="LSF",
        ),
        pytest.param(
            "CondorSpawner",
            CONDOR + "+Site = 1\n{options}\nQueue",
            {"memory": "4G", "options": "x = 2"},
            {
                "used": {"memory"},
                "used_otherwise": {"options"},
                "extra": [("+Site", "1"), ("x", "2")],
            },
            id="HTCondor",
        ),
        pytest.param(
            "CondorSpawner",
            CONDOR + "initialdir = /scratch/{username}\nQueue",
            {},
            {"prologue": 'cd "/scratch/$USER" || exit 1'},
            id="HTCondor: another directory",
        ),
    ],
)
def test_differences(
    cls: str, script: str, given: dict[str, str], expected: dict[str, Any]
) -> None:
    """Fields, options and shell lines are sorted into those that have a counterpart."""
    found = compare_script(cls, script, **given)
    assert expected == {name: getattr(found, name) for name in expected}


@pytest.mark.parametrize("cls", list(SCHEDULERS))
def test_the_default_script_has_no_differences(cls: str) -> None:
    """Nothing is left but its job's name, the option that LSF keeps, and that it stops."""
    found = compare_script(cls, "")
    assert [] == found.dropped
    assert ([("R", "select[type==any]")] if cls == "LsfSpawner" else []) == found.extra
    assert ("", "", "") == (found.prologue, found.epilogue, found.directory)


def test_options_of_the_site_are_known_from_those_of_the_script() -> None:
    """The report says which setting an option comes from."""
    found = compare_script(
        "SlurmSpawner", "#SBATCH --nice=5\n#SBATCH {options}\n{cmd}", options="-x n1 --hold"
    )
    assert {("x", "n1"), ("hold", True)} == found.from_options


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("{cmd} {site}", "no setting defines what the script uses: {site}"),
        ("{{cmd}} {{a}} {{b}}", "no setting defines what the script uses: {a}, {b}"),
        ("{cmd", "the script is not a valid template: expected '}' before end of string"),
        ("{% if %}{{cmd}}", "the script is not a valid template: Expected an expression"),
        ("{memory[0][1]}{cmd}", "the script can't be filled in: string index out of range"),
        ("echo {memory}", "the script has no {cmd}"),
        ("#SBATCH mem\n{cmd}", "'mem' can't be read: 'mem' is not an option"),
        ("#SBATCH --comment={username}\n{cmd}", "counterpart of the option --comment={username}"),
        ("{% if username == 'a' %}x{% endif %}{{cmd}}", "depend on the user, by {username}"),
        ("{{cmd | replace('a', 'b')}}", "depend on the user, by {cmd}"),
        ("#!/usr/bin/python3\n{cmd}", "the script is not for sh or bash: #!/usr/bin/python3"),
        ("nohup {cmd} &", "does not run the server as batchspawner's does: nohup {cmd} &"),
        ("singularity exec x {cmd}", "batchspawner's does: singularity exec x {cmd}"),
        ("while true; do\n{cmd}\ndone", "the server runs within a loop, a condition or the like"),
        ("cat <<EOF\n{cmd}\nEOF", "the server runs within a loop, a condition or the like"),
        ("env \\\n{cmd}", "the server runs within a loop, a condition or the like"),
        ("echo {keepvars}\n{cmd}", "only batchspawner can fill in this line: echo {keepvars}"),
        ("{cmd}\n{cmd}", "only batchspawner can fill in this line: {cmd}"),
        ("echo '{username}'\n{cmd}", "only batchspawner can fill in this line: echo '{username}'"),
    ],
)  # fmt: skip
def test_what_only_a_script_can_express(script: str, reason: str) -> None:
    """The reason names the field, the option or the line."""
    with pytest.raises(UntranslatableScript) as caught:
        compare_script("SlurmSpawner", script)
    assert reason in str(caught.value)


def test_a_submit_description_that_runs_something_else() -> None:
    """HTCondor's Executable and Arguments are the command."""
    with pytest.raises(UntranslatableScript, match="does not run the server"):
        compare_script("CondorSpawner", CONDOR.replace("/bin/sh", "/opt/site/run"))
