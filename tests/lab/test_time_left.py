"""What JupyterLab is told about the time left."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config
from unispawner_lab.hub import Hub, NoAnswer, NotKnown
from unispawner_lab.time_left import NOT_KNOWN, OFTEN, SELDOM, TimeLeft
from unispawner_lab.words import ANNOUNCED, STATES


class FakeHub(Hub):
    """Answers with a status or an error, and counts the questions."""

    def __init__(self, **status: Any) -> None:
        self.found: dict[str, Any] | Exception = {"state": "running", **status}
        self.asked = 0

    async def status(self) -> dict[str, Any]:
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


class Timed(TimeLeft):
    """Has a clock that a test moves."""

    now = 0.0

    def clock(self) -> float:
        return self.now


async def test_the_answer() -> None:
    """The answer has the seconds, the end in UTC, the reason and the warnings, and nothing else."""
    answer = await Timed(FakeHub(time_left=5400.0, job_id="7", user="ada")).answer()
    assert {"time_left": 5400.0, "reason": "", "warnings": [900, 300]} == {
        name: value for name, value in answer.items() if name != "end"
    }
    assert answer["end"].endswith("Z")


async def test_the_hub_is_asked_seldom() -> None:
    """Between two questions the time runs by this server's own clock. Near the end the Hub is asked
    more often. Many windows make one question."""
    hub = FakeHub(time_left=8 * 3600.0)
    time_left = Timed(hub)
    await asyncio.gather(*(time_left.answer() for _ in range(5)))
    time_left.now = SELDOM - 1
    assert 8 * 3600 - SELDOM + 1 == (await time_left.answer())["time_left"]
    assert 1 == hub.asked
    hub.found = {"state": "running", "time_left": 600.0}
    time_left.now = SELDOM
    assert (600.0, 2) == ((await time_left.answer())["time_left"], hub.asked)
    time_left.now += OFTEN
    await time_left.answer()
    assert 3 == hub.asked


async def test_a_hub_that_does_not_answer() -> None:
    """The last answer counts on, down to 0, and the Hub is asked again after a while."""
    hub = FakeHub(time_left=400.0)
    time_left = Timed(hub)
    await time_left.answer()
    hub.found = NoAnswer("down")
    for now, left in ((60.0, 340.0), (61.0, 339.0), (500.0, 0.0)):
        time_left.now = now
        assert left == (await time_left.answer())["time_left"]
    assert 3 == hub.asked


async def test_a_hub_without_unispawner() -> None:
    """Nothing is known, nothing is said, and the Hub is left in peace."""
    hub = FakeHub()
    hub.found = NotKnown()
    time_left = Timed(hub)
    time_left.now = 5.0
    answer = await time_left.answer()
    assert (None, None, "") == tuple(answer[name] for name in ("time_left", "end", "reason"))
    time_left.now += NOT_KNOWN - 1
    await time_left.answer()
    assert 1 == hub.asked


@pytest.mark.parametrize("left", [None, "7", True, -1, float("nan"), float("inf"), 2.0**40, {}])
async def test_a_time_left_that_makes_no_sense(left: Any) -> None:
    """A value that is not a number of seconds counts as unknown."""
    assert (await Timed(FakeHub(time_left=left)).answer())["time_left"] is None


@pytest.mark.parametrize("state", sorted(STATES))
async def test_the_reason_of_an_early_end(state: str) -> None:
    """A job that waits again, or is being stopped, is a reason to save."""
    hub = FakeHub(time_left=None)
    hub.found = {"state": state, "time_left": None}
    assert STATES[state] == (await Timed(hub).answer())["reason"]


def announced(folder: Path, text: str) -> str:
    path = folder / "ending"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("hubs", "expected", "reason"),
    [(None, 60, ANNOUNCED), (3600.0, 60, ANNOUNCED), (100.0, 100, "")],
)
async def test_an_end_that_the_scheduler_announces(
    tmp_path: Path, hubs: float | None, expected: int, reason: str
) -> None:
    """It counts if the Hub knows no end or a later one. A scheduler that is a minute early does not
    make the end uncertain."""
    file = announced(tmp_path, str(time.time() + 60))
    answer = await Timed(FakeHub(time_left=hubs), file).answer()
    assert (True, reason) == (abs(answer["time_left"] - expected) < 30, answer["reason"])


@pytest.mark.parametrize("text", ["", "soon", "nan", "inf", "1e300"])
async def test_an_announcement_that_makes_no_sense(tmp_path: Path, text: str) -> None:
    """A file that holds no moment announces nothing."""
    time_left = Timed(FakeHub(time_left=None), announced(tmp_path, text))
    assert (await time_left.answer())["time_left"] is None


async def test_an_announcement_of_somebody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link, a pipe, and another account's file in a folder for all announce nothing; the server
    waits for none of them."""
    real = announced(tmp_path, str(time.time() + 60))
    (tmp_path / "link").symlink_to(real)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "nothing"):
        time_left = Timed(FakeHub(time_left=None), str(tmp_path / name))
        assert (await time_left.answer())["time_left"] is None
    own = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: own + 1)
    assert (await Timed(FakeHub(time_left=None), real).answer())["time_left"] is None


async def test_warnings_of_the_administrator() -> None:
    """The warnings are a setting of Jupyter's server."""
    config = Config({"TimeLeft": {"warnings": [120, 1800]}})
    assert [1800, 120] == (await Timed(FakeHub(), config=config).answer())["warnings"]
