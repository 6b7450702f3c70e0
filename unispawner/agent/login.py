"""Settings of a login, so that a job is as if its user had submitted it."""

from __future__ import annotations

import re


def login_umask(definitions: str = "/etc/login.defs") -> int:
    """Return the umask of a login (login.defs(5)), or 022 if the file does not set it.

    Slurm gives a job the umask of its submit command. The profile of a login shell may change it
    again, which it also does in the job.
    """
    value = _read_setting(r"^\s*UMASK\s+([0-7]{1,4})\b", definitions)
    return int(value, 8) if value else 0o022


def login_language(*definitions: str) -> str:
    """Return the LANG of a login (locale.conf(5), or Debian's file), or C.UTF-8 if none sets it."""
    files = definitions or ("/etc/default/locale", "/etc/locale.conf")
    found = (_read_setting(r"""^\s*LANG=["']?([A-Za-z0-9_.@-]+)""", file) for file in files)
    return next(filter(None, found), "C.UTF-8")


def _read_setting(pattern: str, path: str) -> str:
    """Return the first group of a pattern in a file; empty if it does not match."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            match = re.search(pattern, file.read(), re.MULTILINE)
    except OSError:
        return ""
    return match[1] if match else ""
