"""Loads, before the first request, what the children would otherwise each load anew."""

from __future__ import annotations

import gc
import threading

from ..agent import actions as _actions  # noqa: F401 (loads what the agent's actions need)
from ..agent import login
from ..agent.executors import preload as preload_executors
from ..script.rendering import launcher_source


def preload() -> None:
    """Load all modules; nothing of it starts a thread or reads what a user can change."""
    preload_executors()
    # What they read once, and the patterns that they compile, are in all children then.
    launcher_source()
    login.login_umask()
    login.login_language()
    if threading.active_count() != 1:
        raise RuntimeError("a module has started a thread, so the broker can't fork")
    gc.collect()
    gc.freeze()  # no collection in a child touches, and so copies, what all have in common
