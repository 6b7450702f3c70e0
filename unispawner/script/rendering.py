"""The job's script: the scheduler's directives, and then what the job does.

Apart from the directives the script is the same with every scheduler. It contains no secret,
because several schedulers show scripts to every user (see docs/security.md): the environment comes
from a private file.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from ..errors import InvalidJobError
from ..job import CONTROL, JobSpec
from ..schedulers.base import Scheduler
from .from_template import Place, render_template

_END = "END_OF_UNISPAWNER_LAUNCHER"
_OTHER_LANGUAGE = re.compile(r"t?csh|fish|nu|xonsh|elvish|pwsh|python[\d.]*|perl|tclsh")
"""Names of programs that can't run the script: well-known shells of other languages than sh's."""

# Without traps a signal would end the shell at once, and the server would stay behind. So the shell
# passes signals on and waits, and the epilogue runs after the server's end. Each trapped signal
# makes `wait` return early with a status above 128. A second `wait` returns the real status, or 127
# if the first one had already returned it.
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


@cache
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
        The job; its environment is not part of the script.
    scheduler
        The scheduler that reads the directives.
    shell
        The words after ``#!``: a POSIX shell. A login shell reads ``/etc/profile.d``.
    environment_file
        The file with lines of ``export NAME='value'``, which is read before the prologue.
    standard_input
        The standard input of the job's command: the launcher's text.
    username, homedir
        The job's account and its home, for a set of templates. Such a set has a shell of its own,
        and runs a program beside the environment file.

    Raises
    ------
    InvalidJobError
        If the shell is not an absolute path with at most one argument or has another language
        than sh's, or if a template can't be filled in.
    """
    if (dialect := scheduler.dialect) is not None:
        directory = re.sub("^~", homedir, os.path.dirname(environment_file))
        return render_template(spec, dialect, Place(directory, username, homedir))
    words = shell.split(" ")
    if not shell.startswith("/") or len(words) > 2 or CONTROL.search(shell):
        raise InvalidJobError(
            f"job_shell: {shell!r} must be the absolute path of a shell and at most one argument"
        )
    if any(_OTHER_LANGUAGE.fullmatch(os.path.basename(word)) for word in words):
        raise InvalidJobError(
            f"job_shell: {shell!r} can't run the job's script, which is written in sh's language; "
            "write a shell of that language, as in '/bin/bash -l'"
        )
    # The launcher's text is standard input, in a quoted document, in which the shell expands
    # nothing.
    command = shlex.join([spec.executable, *spec.arguments])
    document = f"\n{standard_input.rstrip()}\n{_END}\n"
    directives = scheduler.directives(spec) if scheduler.directives_in_script else []
    lines = [f"#!{shell}", *directives, "", *scheduler.preamble(spec)]
    if announced := scheduler.announcement(spec):
        # The signal would end the shell, if it comes before the launcher waits for it.
        lines += [f"trap : {announced[0]}"]
    lines += [f"cd {shlex.quote(spec.directory)} || exit 1"] if spec.directory else []
    lines += [f". {shlex.quote(environment_file)} || exit 1"] if environment_file else []
    lines += [spec.prologue] if spec.prologue else []
    if spec.epilogue:
        lines += [f"{command} <<'{_END}' &{document}{_WITH_EPILOGUE}{spec.epilogue}"]
        lines += ["exit $status"]
    else:
        lines += [f"exec {command} <<'{_END}'{document}"]
    return "\n".join(lines).rstrip() + "\n"


def render_environment(environment: Mapping[str, str]) -> str:
    """Return the text of an environment file, which has an ``export`` on each line."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
