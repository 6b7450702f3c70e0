"""Finds Grid Engine's root, cell and ports on this host.

The Hub's side calls it on the Hub's own host. On another host, where the Hub finds nothing, the
user's side and the broker do.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

USUAL_ROOTS = (
    *("/var/lib/gridengine", "/opt/sge", "/opt/gridengine", "/opt/uge", "/opt/univa", "/opt/ogs"),
    *("/usr/share/gridengine", "/usr/local/sge", "/cm/shared/apps/sge/current", "/gridware/sge"),
)
"""Where SGE_ROOT usually is; each has ``<cell>/common/act_qmaster``."""
ROOT_PAUSE = 60.0
"""Seconds after which the root is looked for again where there was none."""

_roots: dict[str, tuple[str, float]] = {}


def complete_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return Grid Engine's settings; where ``sge_root`` is empty, with what this host has.

    Cell and ports come from the Hub's own environment, and only together with its SGE_ROOT: the
    file settings.sh of Grid Engine sets them all.
    """
    result = dict(settings)
    if result["sge_root"]:
        return result
    if os.environ.get("SGE_ROOT"):
        result["sge_cell"] = result["sge_cell"] or os.environ.get("SGE_CELL", "")
        for name in ("sge_qmaster_port", "sge_execd_port"):
            port = os.environ.get(name.upper(), "")
            result[name] = result[name] or (int(port) if port.isdecimal() else 0)
    result["sge_root"] = _remember_root(result["sge_cell"] or "default")
    return result


def _remember_root(cell: str) -> str:
    """Return what :func:`find_root` has found; that it found nothing is remembered for a while."""
    root, when = _roots.get(cell, ("", float("-inf")))
    if not root and time.monotonic() - when > ROOT_PAUSE:
        root = find_root(cell)
        _roots[cell] = (root, time.monotonic())
    return root


def find_root(cell: str) -> str:
    """Return the Hub's own SGE_ROOT, or the first usual place that has the cell; else empty."""
    for root in filter(None, (os.environ.get("SGE_ROOT", ""), *USUAL_ROOTS)):
        try:  # Debian's package brings an empty act_qmaster
            if os.path.getsize(os.path.join(root, cell, "common", "act_qmaster")):
                return root
        except OSError:
            continue
    return ""
