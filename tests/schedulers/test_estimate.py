"""When a job would start: what Slurm printed, and what that means."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import support

from unispawner.errors import SchedulerUnavailable
from unispawner.job import JobSpec
from unispawner.schedulers import get_scheduler
from unispawner.schedulers.base import ESTIMATE_ENVIRONMENT, Reply
from unispawner.schedulers.estimate import Outlook, StartEstimate
from unispawner.testing import read_saved_reply

OUTPUTS = support.OUTPUTS / "slurm"
SLURM = get_scheduler("slurm")
NOW = 1_795_794_000.0

# -- what Slurm printed ---------------------------------------------------------------------------


def read(name: str) -> StartEstimate:
    return SLURM.read_estimate(read_saved_reply(OUTPUTS / name))


def test_a_start_that_slurm_names() -> None:
    """The moment is printed in seconds since the epoch, because SLURM_TIME_FORMAT asks for it."""
    assert {"SLURM_TIME_FORMAT": "%s"} == ESTIMATE_ENVIRONMENT
    found = read("test-only")
    assert (1_795_794_003.0, False) == (found.start, found.by_inventory)


@pytest.mark.parametrize(("zone", "hours"), [("UTC0", 0), ("JST-9", 9), ("EST5", -5)])
def test_a_local_time_is_the_submit_hosts(zone: str, hours: int) -> None:
    """Where a site's own sbatch loses the variable, the time is the local one of the host on which
    the agent runs."""
    code = (
        "from unispawner.schedulers import get_scheduler\n"
        "from unispawner.testing import read_saved_reply\n"
        f"reply = read_saved_reply({str(OUTPUTS / 'test-only-local-time')!r})\n"
        "print(get_scheduler('slurm').read_estimate(reply).start)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TZ": zone},
        capture_output=True,
        text=True,
        check=True,
    )
    utc = 1_795_794_022.0  # 2026-11-27T15:40:22Z
    assert utc - 3600 * hours == float(done.stdout)


def test_a_time_that_cannot_be_read() -> None:
    """A moment in a format of the site's own ("Tomorr 00:40") is not known."""
    assert StartEstimate() == read("test-only-relative")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("bad-gres", "Requested node configuration is not available"),
        ("bad-partition", "Invalid partition name specified"),
        ("bad-feature", "Invalid feature specification"),
        ("bad-reservation", "Requested reservation is invalid"),
        ("bad-time", "Invalid --time specification"),
    ],
)
def test_a_refusal(name: str, reason: str) -> None:
    """A refusal has Slurm's words, without what Slurm puts before them."""
    assert StartEstimate(Outlook.REFUSED, reason=reason) == read(f"test-only-{name}")


def test_slurm_does_not_answer() -> None:
    """A controller that can't be reached has not refused anything."""
    with pytest.raises(SchedulerUnavailable):
        read("test-only-ctld-down")


@pytest.mark.parametrize(
    "text", ["", "Job 12 to start at", "Job 12 to start at  using 4 processors", "Job 1 " * 10_000]
)
def test_an_answer_that_is_none(text: str) -> None:
    """Anything else that is printed without an error means that nothing is known."""
    assert StartEstimate() == SLURM.read_estimate(Reply(("sbatch",), 0, text))
    assert Outlook.REFUSED is SLURM.read_estimate(Reply(("sbatch",), 1, text)).outlook


@pytest.mark.parametrize("key", ["hold", "H", "dependency", "d"])
def test_a_job_that_waits_for_something_else(key: str) -> None:
    """Slurm's answer leaves out that a job is held or depends on another, so nobody asks."""
    assert [] == SLURM.estimate_command(JobSpec(custom_attributes={f"slurm.{key}": "x"}))
    assert ["sbatch", "--test-only"] == SLURM.estimate_command(JobSpec())
    beta = get_scheduler("slurm", {"slurm_cluster": "beta"})
    assert ["sbatch", "-M", "beta", "--test-only"] == beta.estimate_command(JobSpec())


# -- what an estimate means -----------------------------------------------------------------------


def test_now_and_later() -> None:
    """A start within a minute is "now"; a long wait begins after five minutes."""
    soon, later = StartEstimate.at(NOW + 59, NOW), StartEstimate.at(NOW + 400, NOW)
    assert (Outlook.NOW, Outlook.LATER) == (soon.outlook, later.outlook)
    assert (0.0, 400.0) == (soon.wait(NOW), later.wait(NOW))
    assert (False, True) == (soon.waits_long(NOW), later.waits_long(NOW))
    assert not StartEstimate.at(NOW + 299, NOW).waits_long(NOW)
    assert soon.is_much_sooner(later, NOW)
    assert not later.is_much_sooner(StartEstimate.at(NOW + 500, NOW), NOW)


def test_a_wait_of_unknown_length() -> None:
    """What can't start now waits long, and whatever is not known is neither sooner nor later."""
    never, unknown = StartEstimate(Outlook.REFUSED), StartEstimate()
    assert never.waits_long(NOW)
    assert StartEstimate.at(NOW + 10_000, NOW).is_much_sooner(never, NOW)
    assert not never.is_much_sooner(never, NOW)
    for other in (never, unknown, StartEstimate(Outlook.PERHAPS)):
        assert not unknown.is_much_sooner(other, NOW)
        assert not other.is_much_sooner(unknown, NOW)
    assert not unknown.waits_long(NOW)
