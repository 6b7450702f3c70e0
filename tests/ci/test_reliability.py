"""The rows of ci/faults, and the table that they become."""

from __future__ import annotations

from reliability.faults import FAULTS
from reliability.figures import Row, count, from_json, merge, table, to_json
from reliability.moments import MOMENTS
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
