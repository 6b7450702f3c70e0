"""A file system that never answers, as NFS whose server is gone: FUSE without anybody behind it."""

from __future__ import annotations

import ctypes
import os

_MS_NOSUID, _MS_NODEV, _MNT_DETACH = 2, 4, 2
_libc = ctypes.CDLL(None, use_errno=True)


class HangingMount:
    """A folder in which everything waits, for everybody, until it is closed."""

    def __init__(self, path: str) -> None:
        """Mount it.

        Raises
        ------
        OSError
            If the kernel refuses, for example because it has no FUSE.
        """
        self._path = path
        self._device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self._device},rootmode=40755,user_id=0,group_id=0,allow_other"
        flags = _MS_NOSUID | _MS_NODEV
        try:
            _call("mount", b"hanging", path.encode(), b"fuse", flags, options.encode())
        except OSError:
            os.close(self._device)
            raise

    def close(self) -> None:
        """Take it off; what waits in it gets an error, and then finds the folder below."""
        _call("umount2", self._path.encode(), _MNT_DETACH)
        os.close(self._device)  # ends the connection, and so all that waits


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
