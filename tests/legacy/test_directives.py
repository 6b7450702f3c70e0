"""Directives of a site's script that have lost their value."""

from __future__ import annotations

import pytest

from unispawner.legacy.directives import drop_empty


@pytest.mark.parametrize(
    "line",
    [
        *("#SBATCH --gres=", "#SBATCH --partition= ", "#SBATCH -p ", "#SBATCH --gres=''"),
        *("#PBS -q ", "#PBS -A", "#PBS -l mem=", "#PBS -l walltime=", "#$ -q ", "#$ -pe "),
        *("#$ -P", "#BSUB -q ", "#BSUB -R"),
    ],
)
def test_directives_without_a_value(line: str) -> None:
    """The scheduler would refuse the script for this line, so that it is left out."""
    assert ("#!/bin/sh\ntrue\n", [line]) == drop_empty(f"#!/bin/sh\n{line}\ntrue\n")


@pytest.mark.parametrize(
    "line",
    [
        *("#SBATCH --gres=gpu:1", "#SBATCH --exclusive", "#SBATCH --export=", "#SBATCH -p long"),
        *("#SBATCH", "#SBATCH --requeue", "#SBATCH -H", "#PBS ", "#PBS -V", "#PBS -l nodes=1:ppn="),
        *("#PBS -q @", "#$ ", "#$ -cwd", "#$ -V", "#$ -j yes", "#BSUB -x", "#BSUB -q long"),
        *("# -q ", "--gres=", "##SBATCH --gres="),
    ],
)
def test_other_lines(line: str) -> None:
    """A flag, a directive with a value, and a line that is no directive stay as they are."""
    script = f"#!/bin/sh\n{line}\ntrue\n"
    assert (script, []) == drop_empty(script)
