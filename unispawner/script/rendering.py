"""The job's script: the scheduler's directives, then what the job does.

The same text whatever the scheduler, and no secret in it: several schedulers show scripts to every
user (see docs/security.md), so the environment comes from a private file.
"""

from __future__ import annotations

import os
import re
import shlex
from importlib.resources import files

from ..errors import InvalidJobError
from ..job import CONTROL, JobSpec
from ..schedulers.base import Scheduler
from .from_template import Place, render_template

_END = "END_OF_UNISPAWNER_LAUNCHER"

# A shell would die of a signal at once and leave the server behind: it waits on, so that the
# epilogue runs after the server's end. `wait` returns early, with 128 and more, for each signal
# that is trapped; asked again it gives the real status, or 127 if it had given that already.
_WITH_EPILOGUE = """\
launcher=$!
for signal in TERM INT HUP QUIT USR1 USR2; do
  trap "kill -$signal $launcher 2>/dev/null" $signal
done
while :; do
  wait $launcher; status=$?
  kill -0 $launcher 2>/dev/null || break
done
if [ $status -gt 128 ]; then
  wait $launcher 2>/dev/null; again=$?
  [ $again = 127 ] || status=$again
fi
trap - TERM INT HUP QUIT USR1 USR2
"""


def launcher_source() -> str:
    """Return the text of launcher.py, which every job carries."""
    return files("unispawner").joinpath("launcher.py").read_text(encoding="utf-8")


def render_script(
    spec: JobSpec,
    scheduler: Scheduler,
    *,
    shell: str = "/bin/bash -l",
    environment_file: str = "",
    standard_input: str = "",
    username: str = "USER",
    homedir: str = "/home/USER",
) -> str:
    """Return the script of a job.

    Parameters
    ----------
    spec
        The job; its environment is not written here.
    scheduler
        Whose directives to write.
    shell
        The words behind ``#!``: a POSIX shell. A login shell, so that ``/etc/profile.d`` is read.
    environment_file
        A file of ``export NAME='value'`` lines, read before the prologue.
    standard_input
        What the job's command reads: the launcher's own text.
    username, homedir
        Whose job it is; only a set of templates wants to know. It has a shell of its own, and what
        it runs lies beside the environment file.

    Raises
    ------
    InvalidJobError
        If the shell is not one absolute path with at most one argument, or a set of templates can't
        be filled in.
    """
    if (dialect := scheduler.dialect) is not None:
        directory = re.sub("^~", homedir, os.path.dirname(environment_file))
        return render_template(spec, dialect, Place(directory, username, homedir))
    words = shell.split(" ")
    if not shell.startswith("/") or len(words) > 2 or CONTROL.search(shell):
        raise InvalidJobError(
            f"job_shell: {shell!r} must be a shell's absolute path and at most one argument"
        )
    # The launcher gets its text on standard input; the shell does not look into a quoted document.
    command = shlex.join([spec.executable, *spec.arguments])
    document = f"\n{standard_input.rstrip()}\n{_END}\n"
    directives = scheduler.directives(spec) if scheduler.directives_in_script else []
    lines = [f"#!{shell}", *directives, "", *scheduler.preamble(spec)]
    lines += [f"cd {shlex.quote(spec.directory)} || exit 1"] if spec.directory else []
    lines += [f". {shlex.quote(environment_file)} || exit 1"] if environment_file else []
    lines += [spec.prologue] if spec.prologue else []
    if spec.epilogue:
        lines += [f"{command} <<'{_END}' &{document}{_WITH_EPILOGUE}{spec.epilogue}"]
        lines += ["exit $status"]
    else:
        lines += [f"exec {command} <<'{_END}'{document}"]
    return "\n".join(lines).rstrip() + "\n"


def render_environment(environment: dict[str, str]) -> str:
    """Return the text of an environment file: one quoted ``export`` a line."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
