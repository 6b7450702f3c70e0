"""Times in answers, read by a Hub in any time zone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timezone

import pytest

READ = """
import json, sys, time
time.tzset()
from unispawner.schedulers.gridengine_jobs import read_jobs
from unispawner.schedulers.lsf_jobs import read_time as read_lsf
from unispawner.schedulers.pbs_job import read_time as read_pbs
from unispawner.schedulers.slurm import read_time as read_slurm

moments = []
for moment in map(int, sys.argv[1:]):
    utc = time.gmtime(moment)
    entry = (
        "<job_info><queue_info><job_list state='running'><JB_job_number>1</JB_job_number>"
        "<JB_owner>ada</JB_owner><state>r</state><queue_name>all.q@n1</queue_name>"
        f"<JAT_start_time>{time.strftime('%Y-%m-%dT%H:%M:%S', utc)}</JAT_start_time>"
        "</job_list></queue_info></job_info>"
    )
    moments += [
        read_slurm(str(moment)),
        read_jobs(entry)["1"].start_time,
        read_pbs(time.asctime(utc)),
        read_pbs(str(moment)),
        read_lsf(time.strftime("%b %d %H:%M:%S", utc), moment + 60)[0],
        read_lsf(time.strftime("%b %d %H:%M:%S %Y L", utc), moment - 9e6)[0],
    ]
print(json.dumps(moments))
"""
ZONES = ("UTC", "Asia/Tokyo", "America/New_York", "Europe/Berlin", "Asia/Kathmandu", "")
# Berlin's and New York's last hour of daylight saving comes twice; a skipped hour; New Year.
MOMENTS = (
    *("2026-10-25T00:30", "2026-10-25T01:30", "2026-11-01T05:30", "2026-11-01T06:30"),
    *("2026-03-29T01:30", "2026-12-31T23:59"),
)


@pytest.mark.parametrize("zone", ZONES)
def test_the_zone_of_the_hub_does_not_matter(zone: str) -> None:
    """Each scheduler's times mean the same moment to a Hub of any zone, also as clocks change."""
    moments = [datetime.fromisoformat(text).replace(tzinfo=timezone.utc) for text in MOMENTS]
    numbers = [int(moment.timestamp()) for moment in moments]
    printed = subprocess.run(
        [sys.executable, "-c", READ, *map(str, numbers)],
        env={**os.environ, "TZ": zone},
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    assert [float(number) for number in numbers for _ in range(6)] == json.loads(printed)


def test_a_squeue_that_runs_elsewhere_prints_times_of_the_hubs_zone() -> None:
    """A site's squeue that drops our variables prints local times, which are read as the Hub's."""
    read = (
        "from unispawner.schedulers.slurm import read_time; print(read_time('2026-11-27T09:56:58'))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", read],
        env={**os.environ, "TZ": "Asia/Tokyo"},
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    assert 1795741018.0 == float(printed)
