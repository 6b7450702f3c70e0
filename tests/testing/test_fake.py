"""The fake scheduler, which tests and ci/scale use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unispawner.job import JobInfo, JobState
from unispawner.schedulers.base import Reply
from unispawner.submit_host.dialogue import hold_dialogue
from unispawner.submit_host.host import SubmitHost
from unispawner.testing import FakeScheduler


async def test_many_jobs_are_loaded_at_once(tmp_path: Path) -> None:
    """Loaded jobs are in the answer of the status command, and later jobs get other ids."""
    scheduler = FakeScheduler(tmp_path)
    jobs = {str(n): JobInfo(f"user{n}", JobState.RUNNING) for n in range(1, 1001)}
    scheduler.load(jobs, {"0" * 16: "7"})
    assert "1001" == scheduler.submit("ada")
    scheduler.change("5", JobState.COMPLETED)
    scheduler.hide("6")
    answer = await hold_dialogue(scheduler.query(), SubmitHost(), {"PATH": "/usr/bin:/bin"})
    assert 1000 == len(answer)
    assert (JobState.COMPLETED, "user5") == (answer["5"].state, answer["5"].owner)
    assert jobs["4"] == answer["4"]
    assert "6" not in answer
    assert {"0" * 16: "7"} == scheduler.read_marks(
        Reply(("cat",), 0, (tmp_path / "marks").read_text(), "")
    )


def test_a_change_encodes_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of one job among many makes only the row of this job anew."""
    scheduler = FakeScheduler(tmp_path)
    scheduler.load({str(n): JobInfo("ada", JobState.RUNNING) for n in range(1, 101)})
    encoded: list[object] = []
    dumps = json.dumps

    def count(value: object, **options: object) -> str:
        encoded.append(value)
        return dumps(value)

    monkeypatch.setattr(json, "dumps", count)
    scheduler.change("3", JobState.COMPLETED)
    scheduler.submit("ada")
    assert 2 == sum(isinstance(value, dict) for value in encoded)
