"""A server may be run by a spawner that another wraps, and JupyterHub knows only the outer one."""

from __future__ import annotations

from typing import Any


def front(spawner: Any) -> Any:
    """Return the spawner that JupyterHub knows: a wrapper has set itself as ``wrapper``.

    What is pending or ready, the start's future, the poll's timer and what is saved are its own.
    """
    while getattr(spawner, "wrapper", None) is not None:
        spawner = spawner.wrapper
    return spawner


def serving(spawner: Any) -> Any:
    """Return the spawner that runs the server: the child of a wrapper that has one."""
    while getattr(spawner, "child_spawner", None) is not None:
        spawner = spawner.child_spawner
    return spawner
