"""How the work of reading an answer grows with its rows."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")
TEN_TIMES_AS_MUCH = 25.0
"""How many times as much processor time an answer with ten times as many rows may take.

For work that grows with the square of the rows it would be a hundred.
"""
TRIES = 5


def assert_linear(few: Callable[[], T], many: Callable[[], T]) -> tuple[T, T]:
    """Check the processor time of the same work with ten times as many rows; return the results.

    Real time does not count, so that a busy machine changes little. The caches of the processor
    and the garbage collector still disturb such a measurement: the collector is off meanwhile, and
    the best of five tries counts.
    """
    ratios = []
    for _ in range(TRIES):
        gc.collect()
        gc.disable()
        try:
            began = time.process_time()
            first = few()
            between = time.process_time()
            second = many()
            ratios.append((time.process_time() - between) / (between - began))
        finally:
            gc.enable()
        if ratios[-1] < TEN_TIMES_AS_MUCH:
            return first, second
    pytest.fail(f"ten times as many rows take {min(ratios):.0f} times as much processor time")
