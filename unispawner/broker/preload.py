"""Loads, before the first request, what the children would otherwise each load anew."""

from __future__ import annotations

import gc
import threading
from importlib import import_module

from ..agent import actions as _actions  # noqa: F401 (loads what the agent's actions need)
from ..agent.executors import preload as preload_executors

_STANDARD = (
    *("encodings.idna", "encodings.utf_8", "encodings.ascii", "encodings.latin_1"),
    *("json", "subprocess", "tempfile", "traceback", "uuid", "xml.etree.ElementTree"),
    *("importlib.metadata", "glob", "shutil", "logging", "csv", "statistics", "_strptime"),
)
"""Of the standard library: what the agent, the schedulers and PSI/J import late."""


def preload() -> None:
    """Load all modules; nothing of it starts a thread or reads what a user can change."""
    for name in _STANDARD:
        import_module(name)
    preload_executors()
    if threading.active_count() != 1:
        raise RuntimeError("a module has started a thread, so the broker can't fork")
    gc.collect()
    gc.freeze()  # no collection in a child touches, and so copies, what all have in common
