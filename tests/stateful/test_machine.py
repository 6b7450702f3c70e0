"""Random histories of users, Hub, scheduler, nodes and faults; the guarantee holds in each.

A history that has failed is a test of its own in test_histories.py.
"""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import Phase
from support.machine import run

pytestmark = [
    pytest.mark.filterwarnings("ignore:The `version` property of an event schema"),
    # A Hub that is killed leaves what it was about to start.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_every_history_ends_well() -> None:
    """Whatever happens in whichever order: when the faults have cleared, each server can be reached
    or its user was told why not, and nothing is left."""
    run(6, 1)


@pytest.mark.long
@pytest.mark.parametrize("part", range(10))  # in parts, because a test may take ten minutes
def test_many_histories_end_well(part: int) -> None:
    """The same with 10,000 steps in all, and others each time.

    A history that ends badly is printed, with its seed. To run it again, and no other one, to make
    it shorter (which takes minutes), and to try more histories of each seed::

        UNISPAWNER_SEED=123 pytest "tests/stateful/test_machine.py" -k "many and 0"
        UNISPAWNER_SEED=123 UNISPAWNER_SHORTEN=1 pytest …
        UNISPAWNER_HISTORIES=100 pytest …
    """
    number = int(os.environ.get("UNISPAWNER_SEED") or random.randrange(10**6)) + part
    shorten = [Phase.shrink] if os.environ.get("UNISPAWNER_SHORTEN") else []
    print(f"To run this again: UNISPAWNER_SEED={number}, and part 0")
    run(int(os.environ.get("UNISPAWNER_HISTORIES", "25")), number, *shorten)
