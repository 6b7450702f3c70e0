"""Tries a real sudo with other lines of sudoers, in a mount namespace: the host keeps its own."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence

_SCRIPT = """
set -e
mount -t tmpfs -o mode=755 tmpfs /etc/sudoers.d
cat >/etc/sudoers.d/unispawner
chmod 440 /etc/sudoers.d/unispawner
exec setpriv --reuid "$1" --regid "$2" --clear-groups "$0" -c '
import json, subprocess, sys
commands, text, environment = json.loads(sys.argv[1])
for command in commands:
    done = subprocess.run(command, input=text.encode(), capture_output=True, cwd="/",
        env=environment)
    print(json.dumps([done.returncode, done.stdout.decode("latin-1"), done.stderr.decode()]))
' "$3"
"""


def can_have_a_sandbox() -> bool:
    """Return whether this process may have a mount namespace, and there is a sudo."""
    if os.getuid() != 0 or not shutil.which("sudo") or not shutil.which("setpriv"):
        return False
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/etc/sudoers.d"]
    return subprocess.run(command, capture_output=True).returncode == 0


def run_with_sudoers(
    line: str,
    account: pwd.struct_passwd,
    commands: Sequence[Sequence[str]],
    standard_input: str = "",
    environment: Mapping[str, str] | None = None,
) -> list[tuple[int, str, str]]:
    """Run commands as an account without further groups, with this line as the only one.

    Parameters
    ----------
    environment
        The commands' whole environment; that of this process if it is None.

    Returns
    -------
    list
        Of each command the exit status, its standard output and its standard error.
    """
    what = json.dumps([commands, standard_input, environment])
    done = subprocess.run(
        [
            *("unshare", "-m", "sh", "-c", _SCRIPT, sys.executable),
            *(str(account.pw_uid), str(account.pw_gid), what),
        ],
        input=f"{line}\n",
        capture_output=True,
        text=True,
    )
    assert 0 == done.returncode, done.stderr
    outcomes = [json.loads(text) for text in done.stdout.splitlines()]
    assert len(commands) == len(outcomes)
    return [(status, stdout, stderr) for status, stdout, stderr in outcomes]
