"""A target, and the rules that hold for each of them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from hypothesis.strategies import SearchStrategy

SECRET = "5ecret0f5omebodyE15e"
"""A token that inputs may hold; no error may show it."""
MOST_SECONDS = 1.0
"""How much processor time one input may take: ten times as much as the slowest needs."""
LONGEST_ERROR = 10_000
"""How many characters an error may have."""


@dataclass(frozen=True)
class Target:
    """A place where text comes in.

    Attributes
    ----------
    inputs
        Makes values of plain JSON data.
    run
        Hands a value to the code; it raises AssertionError if the result breaks a promise.
    declared
        The errors that the code may raise.
    """

    name: str
    inputs: SearchStrategy[Any]
    run: Callable[[Any], object]
    declared: tuple[type[Exception], ...] = ()


def check(target: Target, value: Any) -> None:
    """Run a target: only declared errors may come out, in time, short, and without the secret."""
    with limited(MOST_SECONDS):
        try:
            target.run(value)
        except target.declared as error:
            shown = f"{error} {getattr(error, 'output', '')} {getattr(error, 'command', '')}"
            assert SECRET not in shown
            assert len(shown) <= LONGEST_ERROR
            return


class TooSlow(BaseException):
    """An input took too much processor time. No code that catches errors may catch this."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """End what takes more processor time than this; in a thread without a limit."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def give_up(_: int, frame: FrameType | None) -> None:
        where = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "C code"
        raise TooSlow(f"more than {seconds} s of processor time, in {where}")

    before = signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
