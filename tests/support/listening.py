"""Sockets of this account for tests of what listens on the Hub's own host."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

from unispawner.job import MARK_VARIABLE

MARK = "0123456789abcdef"


@contextlib.contextmanager
def listening(address: str, port: int = 0, mark: str = MARK) -> Iterator[int]:
    """Give the port on which a process of this account listens, which is not this process."""
    code = (
        "import socket, sys\n"
        f"s = socket.socket(socket.AF_INET6 if ':' in {address!r} else socket.AF_INET)\n"
        "s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
        f"s.bind(({address!r}, {port})); s.listen(); print(s.getsockname()[1], flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, MARK_VARIABLE: mark},
        text=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()
