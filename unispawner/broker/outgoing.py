"""Writes answers. Whoever does not read them keeps nothing from being done, or from being ended."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..frames import pack
from .memory import CHUNK, Buffer

_PIPE = 4096
"""How many bytes any stream takes without blocking if it takes any."""


@dataclass
class Part:
    """A part of a file in memory."""

    descriptor: int
    offset: int
    length: int


class Outgoing:
    """The queue of frames. Answers stay in their files in memory until they are written."""

    def __init__(self, descriptor: int, buffer: Buffer) -> None:
        self.descriptor = descriptor
        self._buffer = buffer
        mode = os.fstat(descriptor).st_mode
        self._most = _PIPE
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            os.set_blocking(descriptor, False)
            self._most = CHUNK
        self._queue: deque[bytes | Part | Callable[[], None]] = deque()
        self.broken = False
        self.waiting = 0

    def __bool__(self) -> bool:
        return bool(self._queue) and not self.broken

    def put(
        self,
        header: dict[str, Any],
        parts: tuple[Part | bytes, ...] = (),
        done: Callable[[], None] | None = None,
    ) -> None:
        """Append a frame; ``done`` is called when it is written."""
        sizes = [part.length if isinstance(part, Part) else len(part) for part in parts]
        self._queue.append(pack(header, sum(sizes)))
        self._queue += [part for part, size in zip(parts, sizes, strict=True) if size]
        self.waiting += 1
        self._queue.append(done or (lambda: None))

    def write(self) -> None:
        """Write as much as the reader takes."""
        try:
            while self._queue:
                self._write_next()
        except BlockingIOError:
            return
        except OSError:  # the reader has gone: there is nobody left to be answered
            self.drop()

    def _write_next(self) -> None:
        item = self._queue[0]
        if isinstance(item, bytes):
            rest = item[os.write(self.descriptor, item[: self._most]) :]
            if rest:
                self._queue[0] = rest
            else:
                self._queue.popleft()
        elif isinstance(item, Part):
            most = min(item.length, self._most)
            count = self._buffer.send(item.descriptor, item.offset, self.descriptor, most)
            item.offset += count
            item.length -= count
            if not item.length:
                self._queue.popleft()
        else:
            self._queue.popleft()
            self.waiting -= 1
            item()
        if self._most == _PIPE and self._queue:
            raise BlockingIOError  # a terminal or a file: poll asks again

    def drop(self) -> None:
        """Forget everything: nobody reads it."""
        self.broken = True
        while self._queue:
            item = self._queue.popleft()
            if callable(item):
                item()
        self.waiting = 0
