"""The program that ``{cmd}`` runs in a site's template: a file in the job's private folder.

The script around ``{cmd}`` is the site's, and contains neither the launcher nor a secret. The
wrapper reads the environment and starts the launcher, which are files beside it. It has the name of
batchspawner's program, which it replaces. If its first argument is the path of that very program,
it runs this program, which reports by itself.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from ..script.from_template import WRAPPER
from ..script.rendering import launcher_source
from ..script.variables import READ_VARIABLE
from .files import write_private

NAME = WRAPPER

_TEXT = """\
#!/bin/sh
# {name} SERVER-COMMAND ARGUMENTS...: starts one user's server, for one job.
{log}. {environment} || exit 1
unset {read}
[ "$PWD" != / ] || cd
case ${{1-}} in */{name}) if [ -x "$1" ]; then exec "$@"; fi; shift;; esac
exec {start}"$@"
"""


def write_wrapper(
    directory: Path, python: str, options: Sequence[str] | None, *, log: str = ""
) -> Path:
    """Write the wrapper and the launcher into a job's folder, and return the wrapper's path.

    Parameters
    ----------
    directory
        The folder that :meth:`.files.StateDir.create_job` made, with the environment file.
    python
        The Python on the node: a name on the job's PATH, or a path.
    options
        The launcher's options. The server's command comes from the wrapper's arguments. None: the
        job has no launcher, and the command runs as it is.
    log
        The file for the output of the launcher and the server; empty if the script redirects it.
    """
    launcher, wrapper = directory / "launcher.py", directory / NAME
    start = ""
    if options is not None:
        write_private(launcher, launcher_source())
        start = f"{shlex.join([python, '-I', str(launcher), *options, '--'])} "
    text = _TEXT.format(
        name=NAME,
        read=READ_VARIABLE,
        log=f"exec >>{shlex.quote(log)} 2>&1\n" if log else "",
        environment=shlex.quote(str(directory / "environment")),
        start=start,
    )
    write_private(wrapper, text)
    wrapper.chmod(0o700)
    return wrapper
