"""Memory that is short: a cgroup of our own, in which the kernel kills for want of memory."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_V1 = Path("/sys/fs/cgroup/memory")
_V2 = Path("/sys/fs/cgroup")


class MemoryLimit:
    """A cgroup with little memory. `close` it when its processes have ended.

    Attributes
    ----------
    path
        Its folder.
    """

    def __init__(self, name: str, limit: int) -> None:
        """Make it.

        Raises
        ------
        OSError
            If this machine does not let us: the row says so then.
        """
        old = (_V1 / "memory.limit_in_bytes").exists()
        self.path = (_V1 if old else _V2) / name
        self.path.mkdir()
        file = "memory.limit_in_bytes" if old else "memory.max"
        try:
            (self.path / file).write_text(str(limit))
        except OSError:
            self.close()
            raise

    def take(self, pid: int) -> None:
        """Move a process into it; what the process has already does not count."""
        (self.path / "cgroup.procs").write_text(str(pid))

    def killed(self) -> bool:
        """Return whether nothing is left in it."""
        return not (self.path / "cgroup.procs").read_text().split()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.rmdir(self.path)
