"""The signal that a scheduler sends before a job's end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from unispawner import UniSpawner
from unispawner.errors import InvalidJobError
from unispawner.job import JobSpec
from unispawner.schedulers import NAMES, get_scheduler
from unispawner.script.rendering import render_script

HOUR = timedelta(hours=1)
MARK = "0123456789abcdef"


@pytest.mark.parametrize(
    ("name", "seconds", "duration", "announced", "directives"),
    [
        ("slurm", 300, HOUR, ("USR1", 300), ["#SBATCH --signal=B:USR1@300"]),
        ("slurm", 300, None, ("USR1", 300), ["#SBATCH --signal=B:USR1@300"]),
        ("slurm", 300, HOUR / 30, ("USR1", 60), ["#SBATCH --signal=B:USR1@60"]),
        ("slurm", 0, HOUR, None, []),
        ("gridengine", 60, HOUR, ("USR2", 60), ["-notify"]),
        ("gridengine", 0, HOUR, None, []),
        ("lsf", 61, HOUR, ("USR1", 120), ["#BSUB -wa USR1", "#BSUB -wt 2"]),
        ("lsf", 0, HOUR, None, []),
    ],
)
def test_what_a_job_asks_for(
    name: str,
    seconds: int,
    duration: timedelta | None,
    announced: tuple[str, int] | None,
    directives: list[str],
) -> None:
    """The directives ask for the signal that the launcher is told, and for nothing else. A short
    job on Slurm gets it in its second half. 0 asks for nothing."""
    scheduler = get_scheduler(name)
    spec = JobSpec(duration=duration, signal_before_end=seconds)
    without = scheduler.directives(JobSpec(duration=duration))
    assert announced == scheduler.announcement(spec)
    assert directives == [line for line in scheduler.directives(spec) if line not in without]


@pytest.mark.parametrize(
    ("name", "option", "value", "written"),
    [
        ("slurm", "signal", "B:TERM@120", ["#SBATCH --signal=B:TERM@120"]),
        ("slurm", "signal", False, []),
        ("gridengine", "notify", True, ["-notify"]),
        ("gridengine", "notify", False, []),
        ("lsf", "wa", "URG", ["#BSUB -wa URG"]),
        ("lsf", "wt", False, []),
    ],
)
def test_a_site_s_own_option_wins(
    name: str, option: str, value: str | bool, written: list[str]
) -> None:
    """A signal in the custom attributes, or its omission, comes in place of ours. The launcher is
    then told nothing, because only the site knows what the signal means."""
    scheduler = get_scheduler(name)
    spec = JobSpec(custom_attributes={f"{name}.{option}": value}, signal_before_end=300)
    words = ("signal", "notify", "-wa", "-wt")
    assert scheduler.announcement(spec) is None
    assert written == [one for one in scheduler.directives(spec) if any(w in one for w in words)]


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"slurm", "gridengine", "lsf", "template"}))
def test_a_scheduler_without_a_signal_refuses_it(name: str) -> None:
    """Where no signal comes, asking for one is an error that names the setting."""
    scheduler = get_scheduler(name)
    with pytest.raises(InvalidJobError, match="^signal_before_end: 60: .* sends no signal"):
        scheduler.check_supported(JobSpec(signal_before_end=60))
    scheduler.check_supported(JobSpec(signal_before_end=0))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"scheduler": "slurm"}, ("--ending", "USR1@300")),
        ({"scheduler": "slurm", "signal_before_end": 120}, ("--ending", "USR1@120")),
        ({"scheduler": "slurm", "signal_before_end": 0}, ()),
        ({"scheduler": "slurm", "omit_directives": ["signal"]}, ()),
        ({"scheduler": "gridengine"}, ()),
        ({"scheduler": "gridengine", "signal_before_end": 60}, ("--ending", "USR2@60")),
        ({"scheduler": "pbs"}, ()),
    ],
)
def test_what_the_launcher_is_told(settings: dict[str, Any], expected: tuple[str, ...]) -> None:
    """The launcher gets the signal and the seconds. By default only Slurm's jobs ask for one."""
    arguments = UniSpawner(**settings).job_spec(MARK, {}).arguments
    options = arguments[: arguments.index("--")]
    found = options.index("--ending") if "--ending" in options else len(options)
    assert expected == options[found : found + 2]


def test_the_script_survives_an_early_signal() -> None:
    """The job's shell does not die of a signal that comes during the prologue."""
    slurm = get_scheduler("slurm")
    spec = JobSpec(executable="python3", prologue="module load x", signal_before_end=300)
    lines = render_script(spec, slurm).splitlines()
    assert lines.index("trap : USR1") < lines.index("module load x")
    assert "trap : USR1" not in render_script(JobSpec(executable="python3"), slurm)


@pytest.mark.parametrize("seconds", [-1, 65536, True, 1.5])
def test_seconds_that_make_no_sense(seconds: Any) -> None:
    """What no scheduler takes is refused before it is in a directive."""
    with pytest.raises(InvalidJobError, match="^signal_before_end: .* from 0 to 65535"):
        JobSpec(signal_before_end=seconds)
