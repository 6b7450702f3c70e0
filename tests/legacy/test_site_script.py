"""How a site's own script is read: its shell, its header, and what runs in a container."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from unispawner.legacy.site_script import add_to_header, is_in_closed_container, reads_sh

FOLDER = "/home/ada/.unispawner/legacy/jobs/0123456789abcdef"


@pytest.mark.parametrize(
    ("script", "submit"),
    [
        ("#!/bin/bash\n", "sbatch"),
        ("#!/bin/bash -l\r\n", "sbatch"),
        ("#! /usr/bin/zsh -f\n", "sbatch"),
        ("#!/usr/bin/env -S bash -l\n", "sbatch"),
        ("#!/usr/bin/env VAR=1 dash\n", "sbatch"),
        ("#!/bin/busybox sh\n", "sbatch"),
        ("#!/usr/bin/ksh93\n", "sbatch"),
        ("#!/opt/bash-5.2/bin/bash-5.2\n", "sbatch"),
        ("#!/bin/bash\n#SBATCH -S 4\n", "sbatch --parsable"),
        ("#PBS -l walltime=1\nhostname\n", "qsub"),  # no first line: the login shell, sh mostly
        ("#BSUB -q normal\nhostname\n", "bsub"),
        ("#PBS -S /bin/bash\nhostname\n", "qsub"),
        ("#!/bin/bash\n#PBS -S /bin/tcsh\n", "qsub"),  # PBS lets the shell run the file
        ("#!/bin/csh\n#$ -S /bin/bash\n", "qsub"),  # Grid Engine does not
        ("#!/bin/csh\n#$ -N x\n", "qsub -S /bin/sh"),
    ],
)
def test_scripts_of_sh(script: str, submit: str) -> None:
    """The first line, and the options with which schedulers choose a shell, say what reads a
    script; where nothing does, the scheduler's default is a shell of sh's language."""
    assert reads_sh(script, submit)


@pytest.mark.parametrize(
    ("script", "submit"),
    [
        ("#!/bin/csh\n", "sbatch"),
        ("#!/usr/bin/env tcsh\n", "sbatch"),
        ("#!/usr/bin/env python3\n", "sbatch"),
        ("#!/usr/bin/fish\n", "sbatch"),
        ("#!/usr/bin/perl -w\n", "sbatch"),
        ("#PBS -S /usr/bin/python3\nx\n", "qsub"),
        ("#!/bin/bash\n#$ -S /bin/tcsh\n", "qsub"),
        ("#!/bin/bash\n#$ -N x\n", "qsub -S /usr/bin/python3"),
        ("\nExecutable = /bin/sh\n# a comment\nQueue\n", "condor_submit"),
        ("", "sbatch"),
    ],
)
def test_scripts_of_other_languages(script: str, submit: str) -> None:
    """A script of csh, Python or HTCondor's submit description is no script of sh."""
    assert not reads_sh(script, submit)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("#!/bin/sh\n#SBATCH -n 1\n\n# why\n#SBATCH -t 5\n\nrun\n", "#SBATCH -t 5\nLINE\n\nrun\n"),
        ("#!/bin/sh\nrun\n#$ -N late\n", "#!/bin/sh\nLINE\nrun\n#$ -N late\n"),
        ("#!/bin/sh", "#!/bin/sh\nLINE\n"),
        ("#!/bin/sh\r\n#PBS -q x\r\nrun\r\n", "#PBS -q x\r\nLINE\nrun\r\n"),
        (":\n#PBS -q x\nrun\n", ":\n#PBS -q x\nLINE\nrun\n"),
        (
            "#!/bin/sh\n#SBATCH -n 1\ncat > job <<EOF\n#!/bin/sh\n#SBATCH -n 2\nrun\nEOF\n",
            "#SBATCH -n 1\nLINE\ncat > job <<EOF\n#!/bin/sh\n#SBATCH -n 2\nrun\nEOF\n",
        ),
    ],
)
def test_a_line_behind_the_directives(script: str, expected: str) -> None:
    """The line comes behind all directives and comments and before the first command, and never
    into a script within the script."""
    changed = add_to_header(script, "LINE")
    assert changed.endswith(expected)
    assert script.rstrip("\n") == changed.replace("LINE\n", "").rstrip("\n")


@pytest.mark.parametrize("character", ["\u2028", "\x85", "\x0b", "\x0c", "\x1c", "\r"])
def test_a_comment_that_another_character_seems_to_end(character: str) -> None:
    """Only a line feed ends a comment or a directive: the rest of it never becomes a command."""
    script = f"#!/bin/sh\n#SBATCH --comment=a{character}touch x\nrun\n"
    expected = script.replace("\nrun", "\nLINE\nrun")
    assert expected == add_to_header(script, "LINE")


@pytest.mark.parametrize(
    "script",
    [
        "docker run -e A image CMD",
        "sudo /usr/bin/podman run --rm image CMD",
        "docker run \\\n  -e A \\\n  image \\\n  CMD\n",
        'docker run image bash -c "\ncd /x\nCMD"',
        "docker run -i image bash <<EOF\ncd /x\nCMD\nEOF\n",
        "cat > job <<'EOF'\n#!/bin/sh\ndocker run image CMD\nEOF\nbash job",
        'RUN="docker run image"\n$RUN CMD',
        'RUN=(docker run \\\n  image)\n"${RUN[@]}" CMD',
        "if docker info; then docker run image CMD; fi",
        "srun --container-image=image CMD",
        "enroot start image CMD",
        "shifter --image=image CMD",
        "singularity exec --no-home x.sif CMD",
        "singularity exec -C x.sif CMD",
        "apptainer exec --nv --containall x.sif bash -c 'CMD'",
    ],
)
def test_containers_without_the_users_folders(script: str) -> None:
    """A container of its own files is found, however the script writes the command."""
    assert is_in_closed_container(script, script.index("CMD"), FOLDER)


@pytest.mark.parametrize(
    "script",
    [
        "srun CMD",
        "docker pull image; CMD",
        "docker pull image\nCMD",
        "# docker run image\nCMD",
        "/opt/docker/bin/start CMD",
        'echo "it\'s docker run"\nCMD',
        "cat > job <<EOF\ndocker pull image\nCMD\nEOF\nbash job",
        "docker run -v /home:/home image CMD",
        "docker run -v $HOME:$HOME image CMD",
        "srun --container-image=image --container-mounts=/home:/home CMD",
        "apptainer exec x.sif CMD",
        "apptainer exec --nv -B /data x.sif bash -c 'CMD'",
        "singularity exec -C -B /home x.sif CMD",
        "RUN='srun --mpi=none'\n$RUN CMD",
    ],
)
def test_commands_that_see_the_users_folders(script: str) -> None:
    """Outside of containers, and in those that mount the home, the private files are there."""
    assert not is_in_closed_container(script, script.index("CMD"), FOLDER)


@pytest.mark.skipif(shutil.which("csh") is None, reason="there is no csh")
def test_the_line_in_csh() -> None:
    """A queue of Grid Engine may have csh for its shell: it prints the message and goes on."""
    from unispawner.legacy.private_files import add_variables

    script = add_variables("#!/bin/bash\n#$ -N x\necho goes on\n", "/etc/hostname/wrapper")
    done = subprocess.run(["csh", "-f"], input=script, capture_output=True, text=True, timeout=30)
    assert "goes on" == done.stdout.splitlines()[-1]
    assert 0 == done.returncode
