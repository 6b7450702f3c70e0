"""A set of templates: how one scheduler's commands are written and their answers read, in files.

The sets of ``legacy_templates/`` are batchspawner's, to the letter; a site may have its own. A set
is a folder with ``dialect.ini`` and the job's script that it names.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import InvalidJobError

NAMES = ("torque", "moab", "pbs", "slurm", "gridengine", "htcondor", "lsf")
"""The sets that come with unispawner."""

_PATTERNS = ("submitted", "pending", "running", "exec_host", "unknown", "not_found")
_ALL_JOBS = ("row", "job_id", "owner", "pending", "running", "exec_host")
_KEYS = {
    "script": {"file", "directive"},
    "commands": {"submit", "query", "cancel"},
    "patterns": {*_PATTERNS},
    "all_jobs": {"query", *_ALL_JOBS},
    "fields": None,
}
"""The sections there are, and their keys; those of ``fields`` are the set's own."""
_NEEDED = {
    "script": ["file"],
    "commands": ["submit", "query", "cancel"],
    "all_jobs": ["query", "row", "job_id", "owner"],
}
_WITH_A_GROUP = {"submitted", "exec_host", "job_id", "owner"}


@dataclass(frozen=True)
class Dialect:
    """One set of templates, as read.

    Attributes
    ----------
    script, directive
        The job's script, a template; and how its lines begin that the scheduler reads.
    submit, query, cancel
        Commands, templates; ``{job_id}`` is known to the last two.
    patterns
        Regular expressions for what the commands print about one job; each may be missing:
        ``submitted`` finds the id in what ``submit`` prints, ``pending``, ``running`` and
        ``exec_host`` read what ``query`` prints, ``unknown`` and ``not_found`` its failures.
    all_jobs
        ``query``, the command that lists everybody's jobs, and how its answer is read: ``row``
        finds each job, the others are searched in it. Empty if there is no such command.
    fields
        How values of a :class:`~unispawner.ResourceSpec` are written, by their name in the script.
    """

    name: str
    script: str
    directive: str
    submit: str
    query: str
    cancel: str
    patterns: Mapping[str, str]
    all_jobs: Mapping[str, str]
    fields: Mapping[str, str]

    def pattern(self, name: str) -> str:
        """Return a pattern for one job's output; empty if the set has none."""
        return self.patterns.get(name, "")


@lru_cache(maxsize=32)
def read_dialect(name: str) -> Dialect:
    """Return a set by its name in ``legacy_templates/``, or of a site's own folder.

    A set is read once: a changed file counts when the Hub is started again.

    Raises
    ------
    InvalidJobError
        If there is no such set, or a file of it can't be right; it says which, and shows the text.
    """
    folder = _folder(name)
    ini = _read(folder, "dialect.ini")
    # No interpolation: "%" is squeue's. A value may hold any character, so there are no comments
    # behind it.
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    try:
        parser.read_string(ini)
    except configparser.Error as error:
        raise InvalidJobError(f"{folder}/dialect.ini: {' '.join(str(error).split())}") from None
    values = {section: dict(parser[section]) for section in parser.sections()}
    _check(f"{folder}/dialect.ini", values)
    return Dialect(
        name=name,
        script=_read(folder, values["script"]["file"]),
        directive=values["script"].get("directive", ""),
        patterns=values.get("patterns", {}),
        all_jobs=values.get("all_jobs", {}),
        fields=values.get("fields", {}),
        **values["commands"],
    )


def _folder(name: str) -> Any:
    """Return the folder of a set, as something with ``joinpath`` and ``read_text``."""
    if name in NAMES:
        try:
            return files("unispawner.legacy_templates").joinpath(name)
        except ModuleNotFoundError:  # a checkout, or an editable install that isn't strict
            return Path(__file__).resolve().parents[2] / "legacy_templates" / name
    if "/" not in name:
        raise InvalidJobError(
            f"template: there is no set {name!r}; there are {', '.join(NAMES)}, or give the path "
            "of a folder"
        )
    return Path(name)


def _read(folder: Any, name: str) -> str:
    try:
        text: str = folder.joinpath(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidJobError(
            f"template: {folder}/{name} can't be read: {reason}. Users must be able to read it, too"
        ) from None
    return text


def _check(where: str, values: Mapping[str, Mapping[str, str]]) -> None:
    for section, found in values.items():
        if section not in _KEYS:
            raise InvalidJobError(f"{where}: there is no section [{section}]")
        known = _KEYS[section]
        for key in found:
            if known is not None and key not in known:
                raise InvalidJobError(f"{where}: [{section}] has no {key}; it has {sorted(known)}")
    for section, keys in _NEEDED.items():
        for key in keys if section in values or section != "all_jobs" else ():
            if not values.get(section, {}).get(key):
                raise InvalidJobError(f"{where}: [{section}] needs {key}")
    for section in ("patterns", "all_jobs"):
        for key, text in values.get(section, {}).items():
            if key != "query":
                check_pattern(f"{where}: [{section}] {key}", text, group=key in _WITH_A_GROUP)


def check_pattern(what: str, text: str, *, group: bool) -> None:
    """Make sure that a regular expression is one, and has the group that is asked for.

    Raises
    ------
    InvalidJobError
        Naming ``what`` and showing the text.
    """
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise InvalidJobError(f"{what}: {text!r} is no regular expression: {error}") from None
    if group and text and not pattern.groups:
        raise InvalidJobError(f"{what}: {text!r} needs a group, as in (\\S+), for what is wanted")
