"""What ci/bench computes from its measurements, and what it writes into a page."""

from __future__ import annotations

import math

import pytest
from benchmark import page
from benchmark.figures import Load, Minute, Results, is_listing, percentile, ratio


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([4.0], 99, 4.0),
        ([1.0, 2.0, 3.0], 50, 2.0),
        ([1.0, 2.0], 50, 1.5),
        ([5.0, 1.0, 3.0, 2.0, 4.0], 0, 1.0),
        ([5.0, 1.0, 3.0, 2.0, 4.0], 100, 5.0),
        ([0.0, 10.0], 99, 9.9),
    ],
)
def test_a_percentile(values: list[float], percent: float, expected: float) -> None:
    """A percentile lies between the two nearest of the sorted values, in proportion."""
    assert pytest.approx(expected) == percentile(values, percent)


def test_what_is_not_known_is_nan_and_an_empty_cell() -> None:
    """Without values there is no percentile and no ratio, and the table's cell is empty."""
    assert math.isnan(percentile([], 50))
    assert math.isnan(ratio(1.0, 0.0))
    assert "" == page.seconds(math.nan)
    assert "1.00 s" == page.against("1.00 s", 1.0, math.nan)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("squeue -h -a -t all -o %i|%u", True),
        ("squeue -h --partition=bench -t R,PD -o %i %t %B", True),
        ("squeue -h -j 12 -o %T %B", False),
        ("squeue -h --jobs=12", False),
        ("squeue -h -j12", False),
        ("squeue -h -u alice", False),
        ("squeue -h --user=alice", False),
        ("squeue --me -o %i", False),
        ("squeue -h -j 12,13", True),
        ("squeue -h --jobs=12,13", True),
        ("sinfo -h", False),
        ("sacct -j 12", False),
    ],
)
def test_a_listing_asks_about_all_jobs(command: str, expected: bool) -> None:
    """A squeue for one id or one user is filtered by slurmctld; with several ids it sends all
    jobs. Other commands are no listings of jobs."""
    assert expected == is_listing(command.split())


PAGE = """# Title

<!-- figures: written by ci/bench -->
old
<!-- end of figures -->

The rest.
"""


def test_only_what_is_between_the_marks_is_replaced() -> None:
    """A run writes its figures between two marks, and keeps these and the rest of the page; a
    second run with the same figures changes nothing."""
    once = page.replace_between(PAGE, "figures", "\nnew\n")
    assert PAGE.replace("old\n", "\nnew\n\n") == once
    assert once == page.replace_between(once, "figures", "new")


@pytest.mark.parametrize(
    "broken",
    [
        "nothing",
        PAGE + PAGE,
        PAGE.replace("<!-- end of figures -->", ""),
        "<!-- end of figures --> <!-- figures: written by ci/bench -->",
    ],
)
def test_a_page_without_its_marks_is_refused(broken: str) -> None:
    """A page that has lost a mark is not overwritten: the error names both marks."""
    with pytest.raises(ValueError, match="end of figures"):
        page.replace_between(broken, "figures", "new")


def test_the_table_compares_with_the_floor() -> None:
    """Medians are compared with the floor's, over all rounds; bare sbatch has no Hub to measure."""
    floor = Load([1.0], [1.0, 3.0], [0.5], [2.0], [1.0], [0.01], 0.05)
    ours = Load([1.0], [3.0], [1.0], [3.0], [1.0], [0.01, 0.02], 0.1)
    bare = Load(api_ready=[0.5], ready=[1.0], stopped=[0.5])
    titles = {"bare": "bare sbatch", "floor": "floor", "ours": "UniSpawner"}
    table = page.load_table({"bare": bare, "floor": floor, "ours": ours}, titles)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert ["---", *["---:"] * 10] == rows[1]
    assert ["bare sbatch", "0.50 s (0.50 ×)", "1.00 s (0.50 ×)"] == rows[2][:3]
    assert [""] * 5 == rows[2][6:]
    assert ["floor", "1.00 s", "2.00 s", "3.00 s"] == rows[3][:4]
    assert ["UniSpawner", "1.00 s (1.00 ×)", "3.00 s (1.50 ×)", "3.00 s"] == rows[4][:4]
    assert ["1.00 s (2.00 ×)", "1.00 s", "3.00 s (1.50 ×)", "1.00 s (1.00 ×)"] == rows[4][4:8]
    assert ["15 ms", "20 ms", "100 ms"] == rows[4][8:]


def test_all_tables() -> None:
    """Each number of users has its table, the smallest first; the last table counts a minute, in
    which a candidate that was not measured has an empty cell."""
    results = Results()
    results.load(20, "floor").ready.append(2.0)
    results.load(1, "floor").ready.append(1.0)
    results.held["floor"] = Minute(60, 0, processes=61, cpu=0.25)
    results.waiting["ours"] = Minute(4, 1)
    text = page.tables(results, {"floor": "floor", "ours": "UniSpawner"})
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert ["### 1 user", "### 20 users at once", "### A minute without starts"] == headings
    assert "| floor |  |  | 60 | 0 | 61 | 0.2 s |  |  |" in text
    assert "| UniSpawner |  |  |  |  |  |  | 4 | 1 |" in text
