"""What of a site's script can't work, or works otherwise than its author expects.

It is found before any user starts a server. The Hub's start, ``unispawner doctor`` and
``unispawner migrate`` say it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from ..errors import InvalidJobError
from ..script.filling import format_template
from . import environment, private_files
from .filling import read_template, template_fields
from .site_script import (
    MOUNT,
    find_shell,
    is_in_closed_container,
    reads_sh,
    runs_script_in_container,
)
from .traits import BatchTraits

_CMD = re.compile(r"\{\{?\s*cmd\s*\}?\}")
_OF_JUPYTERHUB = re.compile(r"\b(?:JUPYTERHUB_[A-Z_]+|JPY_API_TOKEN)\b")
_VARIABLE = re.compile(r"\$ENV\((\w+)\)|\$\{?(\w+)")
_QUOTED_NAME = re.compile(r"[\"'({](\w+)[\"')}]")
_READS_ENVIRONMENT = re.compile(r"getenv|environ|\benv\b|\bENV\b", re.IGNORECASE)


def check_script(spawner: BatchTraits) -> None:
    """Check that a script can start a server, as far as its text shows.

    Raises
    ------
    InvalidJobError
        If it can't, because nothing that it runs gets the server's token.
    """
    script = _fill_roughly(spawner)
    if not script.strip() or reads_sh(script, _read(spawner, "batch_submit_cmd")):
        return
    command = _command(spawner)
    where = f"c.{type(spawner).__name__}.batch_script"
    starts = private_files.find_starts(script, command)
    if not starts:
        raise InvalidJobError(
            f"{where}: the script has no {{cmd}}, which starts the server, and no shell of sh's "
            f"language reads it ({_reader(script)}), so a program of your own does not get the "
            f"server's token. Add {{cmd}}. The script:\n{_read(spawner, 'batch_script')}"
        )
    # A mount may be that of the user's private files, whose place is known only at a start.
    if not MOUNT.search(script) and all(is_in_closed_container(script, at, "/") for at in starts):
        raise InvalidJobError(
            f"{where}: the script starts the server in a container that has not the user's "
            f"folders, and no shell of sh's language reads the script ({_reader(script)}), so it "
            "has no token to pass into the container. Write the script for sh, or mount the user's "
            f"home. The script:\n{_read(spawner, 'batch_script')}"
        )


def find_warnings(spawner: BatchTraits) -> list[str]:
    """Return what an administrator should look at in a script that can be right."""
    script = _fill_roughly(spawner)
    where = f"c.{type(spawner).__name__}.batch_script"
    found = list(find_empty_variables(spawner))
    sh = reads_sh(script, _read(spawner, "batch_submit_cmd"))
    if script.strip() and sh and not private_files.find_starts(script, _command(spawner)):
        found.append(
            f"{where}: the script has no {{cmd}}, so it has to start the server with a program of "
            "its own, which reports the port to the Hub at $JUPYTERHUB_API_URL/batchspawner"
        )
    if script.strip() and runs_script_in_container(script):
        found.append(
            f"{where}: a directive runs the script itself in a container, which must have the "
            f"user's private files: mount c.{type(spawner).__name__}.state_dir, "
            f"{spawner.state_dir}"
        )
    return found


def find_empty_variables(spawner: BatchTraits) -> Iterator[str]:
    """Yield a sentence for each line that reads a variable of the server and finds it empty.

    A script of sh's language has all variables. Another script has those only whose values the
    submit command gets, and so has the submit command itself.
    """
    cls = type(spawner).__name__
    empty = _empty_names(spawner)
    texts = {
        "batch_submit_cmd": _read(spawner, "batch_submit_cmd"),
        "exec_prefix": _read(spawner, "exec_prefix"),
    }
    script = _fill_roughly(spawner)
    if not reads_sh(script, _read(spawner, "batch_submit_cmd")):
        texts["batch_script"] = script
    for trait, text in texts.items():
        for number, line in enumerate(text.splitlines(), 1):
            if line.lstrip().startswith("#"):
                continue
            for name in sorted(_names_read(line) & (empty | set(_secrets(line)))):
                why = f" ({_reader(script)})" if trait == "batch_script" else ""
                yield (
                    f"c.{cls}.{trait}, line {number}: {name} is empty there, because only a script "
                    f"of sh's language gets the server's variables{why}: {line.strip()!r}. If its "
                    f'value is no secret, add it: c.{cls}.public_environment = ["{name}"]. '
                    "If it is a secret, write the script for sh"
                )


def _empty_names(spawner: BatchTraits) -> set[str]:
    """Return the server's variables, as far as the configuration shows, that commands don't get."""
    kept = {name: os.environ[name] for name in spawner.env_keep if name in os.environ}
    set_by_config = {
        name: "" if callable(value) else str(value) for name, value in spawner.environment.items()
    }
    known = {**kept, **set_by_config}
    given = environment.of_submission(known, spawner.find_public_names(known))
    return {name for name in known if not given.get(name)}


def _secrets(line: str) -> Iterator[str]:
    """Yield JupyterHub's variables in a line whose values commands do not get."""
    found = (match[0] for match in _OF_JUPYTERHUB.finditer(line))
    return (name for name in found if name not in environment.PUBLIC)


def _names_read(line: str) -> set[str]:
    """Return the variables that a line of a shell, Python, Perl, … seems to read."""
    names = {first or second for first, second in _VARIABLE.findall(line)}
    if _READS_ENVIRONMENT.search(line):
        names |= set(_QUOTED_NAME.findall(line))
    return names


def _reader(script: str) -> str:
    shell = find_shell(script)
    return f"its first line names {shell}" if shell else "it has no line that names a shell"


def _command(spawner: BatchTraits) -> str:
    return " ".join([spawner.batchspawner_singleuser_cmd, *spawner.cmd])


def _read(spawner: BatchTraits, trait: str) -> str:
    """Return a template; empty if a site's own property or function needs a user for it."""
    try:
        template = read_template(spawner, trait)
    except Exception:  # whatever the site's code raises
        return ""
    return template if isinstance(template, str) else ""


def _fill_roughly(spawner: BatchTraits) -> str:
    """Return the script as it may look; empty if only a user or a hook can make it."""
    template = _read(spawner, "batch_script")
    fields = {**template_fields(spawner), "cmd": _command(spawner)}
    try:
        return format_template(template, **fields)
    except Exception:  # a field that only a form or a hook gives
        return _CMD.sub(lambda match: fields["cmd"], template)
