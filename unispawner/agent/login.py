"""What a login of the user's would have, so that a job is as if the user had submitted it."""

from __future__ import annotations

import re


def login_umask(definitions: str = "/etc/login.defs") -> int:
    """Return the umask of a login (login.defs(5)): Slurm gives a job that of its submit command.

    022 where the file says nothing; a login shell's profile may change it again, in the job, too.
    """
    value = _setting(r"^\s*UMASK\s+([0-7]{1,4})\b", definitions)
    return int(value, 8) if value else 0o022


def login_language(*definitions: str) -> str:
    """Return the LANG of a login (locale.conf(5), or Debian's file), C.UTF-8 if none is set."""
    files = definitions or ("/etc/default/locale", "/etc/locale.conf")
    found = (_setting(r"""^\s*LANG=["']?([A-Za-z0-9_.@-]+)""", file) for file in files)
    return next(filter(None, found), "C.UTF-8")


def _setting(pattern: str, path: str) -> str:
    """Return the first group of a pattern in a file; empty if it isn't there."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            match = re.search(pattern, file.read(), re.MULTILINE)
    except OSError:
        return ""
    return match[1] if match else ""
