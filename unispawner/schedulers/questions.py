"""The questions that the Hub asks a scheduler, as plain data.

A question names a scheduler, its settings and what is asked. Whoever answers it, on this host or on
another one, makes the commands itself: a question never holds a command or an environment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .base import Dialogue, Scheduler


@dataclass(frozen=True)
class Question:
    """A question to a scheduler.

    Attributes
    ----------
    name
        What is asked: a key of ``DIALOGUES``.
    arguments
        The ids of jobs, or the name of a node.
    scheduler, options
        The scheduler and its settings, as ``get_scheduler`` takes them.
    """

    name: str
    arguments: tuple[str, ...] = ()
    scheduler: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


DIALOGUES: Mapping[str, Callable[[Scheduler, tuple[str, ...]], Dialogue[Any]]] = {
    "query_tracked": lambda scheduler, ids: scheduler.query_tracked(ids),
    "query": lambda scheduler, ids: scheduler.query(ids or None),
    "inventory": lambda scheduler, _: scheduler.inventory(),
    "find_address": lambda scheduler, names: scheduler.find_address(*names),
}
"""How each question is asked."""
