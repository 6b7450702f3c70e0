"""The rows of ci/faults, and the table that they become."""

from __future__ import annotations

from dataclasses import replace

from reliability.faults import FAULTS
from reliability.figures import Row, count, from_json, merge, summary, table, to_json
from reliability.moments import MOMENTS, Fault, nothing
from reliability.plan import estimate, make_tasks, share_lanes
from support.guarantee import Kind, Server, Violation

ROW = Row("fail", "slurm", "UniSpawner", 3, {}, 1.4, "")
BAD = Row(
    "half", "slurm", "legacy", 2, {"LOST": 1, "TOKEN": 2}, float("inf"), "a | b\n<c>\n[I 2026] log"
)
TITLES = {"half": "half of it", "fail": "all fail"}


def test_each_fault_strikes_at_moments_that_exist() -> None:
    """A fault names at least one moment, and only known ones."""
    assert all(one.moments and set(one.moments) <= set(MOMENTS) for one in FAULTS.values())


def test_violations_are_counted_by_kind() -> None:
    """Each kind is counted on its own."""
    found = [Violation(kind, 1, Server("a"), "") for kind in (Kind.LOST, Kind.TOKEN, Kind.TOKEN)]
    assert {"LOST": 1, "TOKEN": 2} == count(found)


def test_rows_survive_a_file_and_new_ones_replace_old_ones() -> None:
    """A run in pieces gives one table: the newest row of each cell counts."""
    again = Row("fail", "slurm", "UniSpawner", 3, {"LOST": 1}, 9.0, "")
    rows = merge(from_json(to_json([ROW, BAD])), [again])
    assert [again, BAD] == rows


def test_the_table() -> None:
    """Faults stand in their order; a row that isn't zero says why; a cell holds no Markdown."""
    lines = table([ROW, BAD], TITLES, {"half": "because."}).splitlines()[2:]
    assert [
        "| half of it | slurm, legacy | 2 | 1 | 0 | 0 | 2 | never | a / b &lt;c> "
        "**Why not zero:** because. |",
        "| all fail | slurm, UniSpawner | 3 | 0 | 0 | 0 | 0 | 1 | (the server goes on) |",
    ] == lines


def test_the_summary() -> None:
    """The sums over all rows stand above the table, and how loaded the machine was."""
    rows = [ROW, BAD, replace(ROW, load=7.6), replace(ROW, load=2.2)]
    assert (
        "**4 rows, 11 trials: 1 lost, 0 orphaned, 0 doubled, 2 other.** The load average of the "
        "machine was between 2 and 8 (median 8), so the seconds are upper bounds."
    ) == summary(rows)


SHORT = Fault("short", "", nothing, moments=("running", "stop+0.1"), seconds=5)
LONG = Fault("long", "", nothing, moments=("running",), seconds=600, schedulers=("slurm",))


def test_what_is_tried_and_in_which_order() -> None:
    """The longest row comes first; other classes than UniSpawner are tried at a few moments."""
    tasks = make_tasks([SHORT, LONG], ["slurm", "htcondor"], ["UniSpawner", "legacy"])
    assert [
        ("long", "slurm", "UniSpawner", ("running",)),
        ("long", "slurm", "legacy", ("running",)),
        ("short", "slurm", "UniSpawner", ("running", "stop+0.1")),
        ("short", "htcondor", "UniSpawner", ("running", "stop+0.1")),
        ("short", "slurm", "legacy", ("running",)),
        ("short", "htcondor", "legacy", ("running",)),
    ] == [(*task.key, task.moments) for task in tasks]


def test_an_earlier_run_says_how_long_a_row_takes() -> None:
    """The estimate is what the row took before, unless it is tried at other moments now."""
    before = Row("short", "slurm", "UniSpawner", 2, {}, 1.0, "", took=77.0)
    (task,) = make_tasks([SHORT], ["slurm"], ["UniSpawner"], took={before.key: before})
    assert 77 == task.estimate
    (task,) = make_tasks(
        [SHORT], ["slurm"], ["UniSpawner"], moments=["running"], took={before.key: before}
    )
    assert 77 != task.estimate


def test_the_lanes_go_where_the_work_is() -> None:
    """Each scheduler has a lane, those with more work have more, and no lane is idle."""
    tasks = make_tasks([SHORT, LONG], ["slurm", "htcondor"], ["UniSpawner", "legacy"])
    assert {"slurm": 3, "htcondor": 1} == share_lanes(tasks, 4)
    assert {"slurm": 4, "htcondor": 2} == share_lanes(tasks, 99)
    assert 630 == estimate(tasks, {"slurm": 4, "htcondor": 2})
