"""The environment file of a job whose script is the site's own: what the script has set counts.

The file is read twice. A line in the script reads it before the site's own lines; the wrapper,
which starts the server, reads it again. A script of another language has no such line, and a step
or a container may begin with a new environment, so the wrapper alone may read it, too.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping

from ..job import SEARCH_PATHS

READER = "variables"
"""The name of the file beside the environment file that a site's script reads."""
READ_VARIABLE = "UNISPAWNER_ENVIRONMENT"
"""It holds the job's mark where the script has read the file; the wrapper removes it."""
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What a job has in place of the Hub's own PATH; it is sudo's usual ``secure_path``."""
_OF_SHELLS = (DEFAULT_PATH, "/usr/local/bin:/usr/bin:/usr/local/sbin:/usr/sbin")
"""What shells take for PATH if their environment has none."""
_SHELLS_OWN = frozenset({"IFS", "OPTIND", "PS4", "PWD", "OLDPWD", "SHLVL", "_"})
"""Variables of the shell itself: the site's script would run differently with other values."""
_LAUNCHERS = ("JUPYTERHUB_", "JPY_", "UNISPAWNER_CLIENT_")
"""How the names begin that the launcher or the server can't do without."""

_TEXT = """\
# The variables of one user's server, for one job. The job's script and the wrapper read this file.
if [ "${{{read}-}}" = {mark} ]; then :
{again}
else :
{first}
export {read}={mark}
fi
"""
# A shell that shows what it reads or runs (sh -vx) would write the variables into the job's log.
_QUIETLY = """\
case $- in *[vx]*) unispawner_flags=$-; set +vx;; *) unispawner_flags=;; esac
. {file}
case $unispawner_flags in *v*) set -v;; esac
case $unispawner_flags in *x*) set -x;; esac
unset unispawner_flags
"""


def render_variables(
    environment: Mapping[str, str],
    mark: str,
    submitted: Mapping[str, str] | None = None,
    paths: Collection[str] = (),
) -> str:
    """Return the text of the file, which shells of sh's language can read under ``set -eu``.

    Where nobody has read the file yet, a variable gets its value if it is unset, or still as the
    submission gave it. Afterwards the script's word counts: only what the server can't do without
    is added where it is unset or empty.

    Parameters
    ----------
    mark
        The job's mark.
    submitted
        The variables of the submit command: the Hub's own search paths, and in place of secrets
        empty values. None if the submit command has none of the server's variables; then every
        variable gets its value.
    paths
        Further values of PATH that are not the script's: what PATH is behind ``sudo``, for example.
    """
    given = {name: value for name, value in environment.items() if name not in _SHELLS_OWN}
    if submitted is None:
        first = [_export(name, value) for name, value in given.items()]
    else:
        first = list(_add_missing(given, submitted, paths))
    again = [
        f'[ "${{{name}-}}" ] || {_export(name, value)}'
        for name, value in given.items()
        if name.startswith(_LAUNCHERS)
    ]
    return _TEXT.format(
        read=READ_VARIABLE, mark=mark, first="\n".join(first), again="\n".join(again)
    )


def render_reader(environment_file: str, environment: Mapping[str, str], mark: str) -> str:
    """Return the text of the file that the script reads: it reads the environment file silently.

    A PATH of the server's own comes in place of what a login has made, because nothing that the
    script does has come before.
    """
    path = ""
    if "PATH" in environment:
        path = f'[ "${{{READ_VARIABLE}-}}" = {mark} ] || {_export("PATH", environment["PATH"])}\n'
    return path + _QUIETLY.format(file=shlex.quote(environment_file))


def _add_missing(
    environment: Mapping[str, str], submitted: Mapping[str, str], paths: Collection[str]
) -> Iterator[str]:
    for name, value in environment.items():
        before, export = submitted.get(name, ""), _export(name, value)
        if name == "PATH":
            yield _case_of_path(["", before, *paths, *_OF_SHELLS], export)
        elif not before:
            yield f'[ "${{{name}-}}" ] || {export}'
        elif before == value:
            yield f'[ "${{{name}+x}}" ] || {export}'
        else:
            unchanged = f'[ "${{{name}-}}" != {shlex.quote(before)} ]'
            yield f'{{ {unchanged} && [ "${{{name}+x}}" ]; }} || {export}'
    for name in sorted(SEARCH_PATHS - {"PATH"} - set(environment)):
        hubs = shlex.quote(submitted.get(name, ""))
        yield f"case ${{{name}-}} in ''|{hubs}) unset {name};; esac"
    hubs = submitted.get("PATH", "")
    if "PATH" not in environment and not set(hubs.split(":")) <= set(DEFAULT_PATH.split(":")):
        whole = shlex.quote(hubs)
        without = f"${{PATH%%{whole}*}}{DEFAULT_PATH}${{PATH#*{whole}}}"
        yield f"case :${{PATH-}}: in *:{whole}:*) export PATH={without};; esac"


def _case_of_path(values: Collection[str], command: str) -> str:
    """Return a command for some values of PATH, also behind the folder that Grid Engine adds."""
    quoted = [shlex.quote(value) for value in dict.fromkeys(values)]
    behind = [f'"${{TMPDIR-}}":{value}' for value in quoted if value != "''"]
    return f"case ${{PATH-}} in {'|'.join([*quoted, *behind])}) {command};; esac"


def _export(name: str, value: str) -> str:
    return f"export {name}={shlex.quote(value)}"
