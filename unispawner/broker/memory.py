"""Memory that holds what belongs to one user: no child of another user ever gets a copy of it."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import platform

CHUNK = 256 * 1024
_LIBC = ctypes.CDLL(None, use_errno=True)
# Looked up once: each child would do it again.
_memfd_create, _prctl, _syscall = _LIBC.memfd_create, _LIBC.prctl, _LIBC.syscall
_CLOEXEC, _ALLOW_SEALING = 1, 2
"""Flags of memfd_create(2)."""
_ADD_SEALS = getattr(fcntl, "F_ADD_SEALS", 1033)
_SEAL_SEAL, _SEAL_SHRINK, _SEAL_GROW = 1, 2, 4
"""fcntl(2). A file whose size is sealed refuses to be written beyond its end."""
_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4
"""Options of prctl(2)."""

_KEYCTL = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "ppc64le": 271, "s390x": 280}
"""The number of keyctl(2), which the C library does not offer, by machine."""
_KEYCTL_JOIN_SESSION_KEYRING = 1


class Buffer:
    """The only place through which foreign bytes pass in the broker itself.

    It is wiped after each use. In addition the kernel gives it to no child (madvise(2),
    MADV_DONTFORK).
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, CHUNK, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._memory.madvise(mmap.MADV_DONTFORK)
        self._view = memoryview(self._memory)
        self._zeros = bytes(CHUNK)

    def move(self, source: int, target: int | None, most: int) -> int:
        """Read up to ``most`` bytes and write them to a file in memory; None drops them.

        Returns
        -------
        int
            How many bytes were read; 0 at the end of the source.
        """
        count = 0
        try:
            count = os.readv(source, [self._view[: min(most, CHUNK)]])
            written = 0 if target is not None else count
            while written < count:
                assert target is not None
                written += os.write(target, self._view[written:count])
            return count
        finally:
            self._wipe(count)

    def send(self, source: int, offset: int, target: int, most: int) -> int:
        """Write up to ``most`` bytes of a file in memory, and return how many were written."""
        count = 0
        try:
            count = os.preadv(source, [self._view[: min(most, CHUNK)]], offset)
            return os.write(target, self._view[:count])
        finally:
            self._wipe(count)

    def _wipe(self, count: int) -> None:
        self._view[:count] = self._zeros[:count]


def make_file(name: str, size: int | None = None) -> int:
    """Return the descriptor of a new file in memory, which no path leads to.

    Parameters
    ----------
    size
        How many bytes it can hold; None means any number.
    """
    descriptor: int = _memfd_create(name.encode(), _CLOEXEC | _ALLOW_SEALING)
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"memfd_create: {os.strerror(number)}")
    if size is not None:
        os.truncate(descriptor, size)
        fcntl.fcntl(descriptor, _ADD_SEALS, _SEAL_GROW | _SEAL_SHRINK | _SEAL_SEAL)
    return descriptor


def forbid_looking() -> None:
    """Let no other process of the same account read this process's memory or descriptors.

    A change of the uid undoes this (prctl(2), PR_SET_DUMPABLE), so it must be repeated afterwards.

    Raises
    ------
    OSError
        If the kernel does not do it.
    """
    if _prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) or _prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_DUMPABLE has no effect")


def leave_keyring() -> None:
    """Join a new session keyring, as a login does: Kerberos keeps tickets in it.

    Otherwise all children would share that of the Hub. Where containers forbid it, or where the
    number is not known, nothing happens.
    """
    if number := _KEYCTL.get(platform.machine()):
        _syscall(number, _KEYCTL_JOIN_SESSION_KEYRING, None)
