"""Serves one request: see :mod:`unispawner.agent.protocol`."""

from __future__ import annotations

from .protocol import main

if __name__ == "__main__":
    main()
