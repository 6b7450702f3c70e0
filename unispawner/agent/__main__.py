"""Read a request, do what it asks, write the reply: see :mod:`unispawner.agent.protocol`."""

from __future__ import annotations

from .protocol import main

if __name__ == "__main__":
    main()
