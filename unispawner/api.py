"""What ``batchspawner.api`` has, for configurations that add batchspawner's handler themselves.

The Hub has the handler anyway as soon as a configuration imports unispawner.
"""

from __future__ import annotations

from .web.reports import PortHandler as BatchSpawnerAPIHandler

__all__ = ["BatchSpawnerAPIHandler"]
