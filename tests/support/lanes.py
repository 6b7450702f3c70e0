"""Which live tests run side by side: pytest-xdist's workers are the lanes of ci/test."""

from __future__ import annotations

import re

from xdist.scheduler import LoadScopeScheduling

from support.clusters import CLUSTERS

LONGEST_FIRST = ("test_end_to_end.py", "test_two_clusters.py", "test_restart.py")
"""Files with one Hub and much to do. A lane that began with them last would keep all waiting."""

HUB_PER_TEST = ("test_sites.py",)
"""Files of which each test starts its own Hub. They come last, and keep all lanes busy."""


def rank_of(file: str) -> int:
    """Return a number for the name of a file by which files are sorted."""
    return 0 if file in LONGEST_FIRST else 2 if file in HUB_PER_TEST else 1


def unit_of(nodeid: str) -> str:
    """Return the name of the tests that stay together, because a Hub is theirs: of most files the
    tests with the same scheduler."""
    file, _, test = nodeid.partition("::")
    if file.endswith(HUB_PER_TEST):
        return nodeid
    words = re.split(r"[\[\]-]", test)
    return " ".join([file, *(name for name in CLUSTERS if name in words)])


class Lanes(LoadScopeScheduling):
    """Gives a free lane the next unit of tests."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)
