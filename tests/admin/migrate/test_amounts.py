"""Memory and time in each scheduler's own units."""

from __future__ import annotations

from datetime import timedelta

import pytest

from unispawner.admin.migrate.amounts import read_memory, read_runtime, write_duration

K, M, G = 1024, 1024**2, 1024**3


@pytest.mark.parametrize(
    ("scheduler", "text", "size"),
    [
        ("slurm", "4000", 4000 * M),  # sbatch(1): megabytes by default
        ("slurm", "4G", 4 * G),
        ("slurm", "512m", 512 * M),
        ("slurm", " 4G ", 4 * G),
        ("slurm", "0", None),  # all of the node's
        ("slurm", "4G per node", None),
        ("torque", "4096", 4 * K),  # pbs_resources(7B): bytes, or words of 8 bytes
        ("torque", "4gb", 4 * G),
        ("torque", "4GW", 32 * G),
        ("pbs", "4gb", 4 * G),
        ("pbs", "4gb:ngpus=1", None),
        ("gridengine", "4096", 4 * K),  # sge_types(1): "K" is 1024, "k" is 1000
        ("gridengine", "4G", 4 * G),
        ("gridengine", "4g", 4 * 1000**3),
        ("htcondor", "512", 512 * M),  # condor_submit(1): MiB by default
        ("htcondor", "4 GB", 4 * G),
        ("htcondor", "2 * Cpus", None),
        ("lsf", "4gb", 4 * G),
        ("lsf", "4000", None),  # lsf.conf(5): LSF_UNIT_FOR_LIMITS
    ],
)
def test_memory(scheduler: str, text: str, size: int | None) -> None:
    """An amount is a number of bytes; what is not an amount is None."""
    assert size == read_memory(text, scheduler)


@pytest.mark.parametrize(
    ("scheduler", "text", "minutes"),
    [
        ("slurm", "90", 90),  # sbatch(1): minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS
        ("slurm", "8:00", 8),
        ("slurm", "8:00:00", 480),
        ("slurm", "1-12", 36 * 60),
        ("slurm", "1-12:30", 36 * 60 + 30),
        ("slurm", "UNLIMITED", None),
        ("slurm", "0", None),
        ("torque", "90", 1.5),  # seconds, MM:SS, HH:MM:SS
        ("pbs", "8:00", 8),
        ("gridengine", "8:00:00", 480),
        ("gridengine", "1-12", None),
        ("lsf", "90", 90),  # bsub(1): minutes, HH:MM
        ("lsf", "8:30", 510),
        ("htcondor", "8:00:00", 480),  # HTCondor has no option of its own
        ("htcondor", "8:00", None),
        ("htcondor", "3600", None),
    ],
)
def test_time(scheduler: str, text: str, minutes: float | None) -> None:
    """A length of time is read as the scheduler's option reads it."""
    expected = None if minutes is None else timedelta(minutes=minutes)
    assert expected == read_runtime(text, scheduler)


@pytest.mark.parametrize(
    ("text", "hours", "written"),
    [
        ("8:00:00", 8, "8:00:00"),  # says the same to UniSpawner
        ("8:00", 8, "08:00:00"),  # UniSpawner refuses this
        ("480", 8, "08:00:00"),
        ("1-12", 36, "36:00:00"),
        ("100:00:00", 100, "100:00:00"),
    ],
)
def test_time_as_a_person_writes_it(text: str, hours: int, written: str) -> None:
    """The administrator's own text stays where UniSpawner reads it in the same way."""
    assert written == write_duration(text, timedelta(hours=hours))
