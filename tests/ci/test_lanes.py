"""How ci/test distributes the live tests over its lanes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support import CHECKOUT
from support.accounts import own_account
from support.lanes import HUB_PER_TEST, LONGEST_FIRST, rank_of, unit_of

LIVE = CHECKOUT / "tests" / "live"


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("test_a.py::test_one", "test_a.py::test_two", True),
        ("test_a.py::test_one[slurm]", "test_a.py::test_two[slurm-x]", True),
        ("test_a.py::test_one[slurm]", "test_a.py::test_one[htcondor]", False),
        ("test_a.py::test_one[x-slurm]", "test_a.py::test_two[slurm]", True),
        ("test_a.py::test_one", "test_b.py::test_one", False),
        ("test_sites.py::test_one[a]", "test_sites.py::test_one[b]", False),
    ],
)
def test_tests_of_one_hub_stay_together(one: str, other: str, together: bool) -> None:
    """Tests of a file that use the same scheduler run in one lane, because they share a Hub. Where
    each test has a Hub of its own, each may run in another lane."""
    assert together == (unit_of(f"tests/live/{one}") == unit_of(f"tests/live/{other}"))


def test_what_begins_first_and_last() -> None:
    """The longest files come first, and those whose tests fill a lane for a moment come last."""
    files = [*HUB_PER_TEST, "test_a.py", "test_b.py", *LONGEST_FIRST]
    assert [*LONGEST_FIRST, "test_a.py", "test_b.py", *HUB_PER_TEST] == sorted(files, key=rank_of)


def test_the_files_that_are_named_exist() -> None:
    """A file that gets another name is not forgotten in the list of those that begin first."""
    named = {*LONGEST_FIRST, *HUB_PER_TEST}
    assert named == {name for name in named if (LIVE / name).exists()}


@pytest.mark.skipif(own_account().pw_uid == 0, reason="root may have lanes")
def test_a_machine_without_lanes(tmp_path: Path) -> None:
    """Without the rights for lanes, a message says so at once, and the commands run on the machine
    itself."""
    script = """
        say() { echo "$*"; }
        . "$1/ci/lanes.sh"
        checkout=$1 dir=$2
        exec {lock}>"$dir/lock"
        start_lanes 2 && exit 3
        end_lanes
        in_lanes echo here
        in_first_lane echo here
        lane_pythons /usr/bin/python3
    """
    command = ["bash", "-ec", script, "bash", str(CHECKOUT), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (0, "here\nhere\n") == (done.returncode, done.stdout), done.stderr
    assert "unshare" in (tmp_path / "lanes" / "0.log").read_text()
