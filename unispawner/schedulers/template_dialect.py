"""A set of templates: how one scheduler's commands are written and their answers read, in files.

The sets of ``legacy_templates/`` are batchspawner's, to the letter; a site may have its own. A set
is a folder with ``dialect.ini`` and the job's script that it names; docs/templates.md tells how one
is written.
"""

from __future__ import annotations

import configparser
import os
import re
import shlex
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from string import Formatter

from ..errors import InvalidJobError

NAMES = ("torque", "moab", "pbs", "slurm", "gridengine", "htcondor", "lsf")
"""The sets that come with unispawner."""

_STATES = ("pending", "running", "held", "stuck", "ended")
_PATTERNS = ("submitted", "owner", *_STATES, "exec_host", "unknown", "not_found")
_ALL_JOBS = ("answer", "row", "job_id", "owner", *_STATES, "exec_host")
_KEYS = {
    "script": {"file", "directive", "language", "needs"},
    "commands": {"submit", "submit_options", "query", "cancel"},
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
_LANGUAGES = ("shell", "condor_submit")
UNITS = {
    "memory": {"bytes", "kibibytes", "mebibytes", "gibibytes"},
    "runtime": {"seconds", "minutes", "clock"},
    "gres": {"gpus"},
}
"""What the text of a field in ``[fields]`` may name in braces."""


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
        ``submitted`` finds the id in what ``submit`` prints, ``owner``, ``exec_host`` and those of
        the states read what ``query`` prints, ``unknown`` and ``not_found`` its failures.
    all_jobs
        ``query``, the command that lists everybody's jobs, and how its answer is read: ``row``
        finds each job, the others are searched in it. Empty if there is no such command.
    fields
        How values of a :class:`~unispawner.ResourceSpec` are written, by their name in the script;
        and what other fields of the script are where nothing else is said.
    folder, file
        Where it was read from: the folder, and the script's name in it.
    submit_options
        Words that UniSpawner puts behind ``submit``, which batchspawner's classes don't.
    language
        Whose words the script is in: "shell", or "condor_submit".
    needs
        Fields that the script can't do without.
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
    folder: str = ""
    file: str = ""
    submit_options: str = ""
    language: str = "shell"
    needs: tuple[str, ...] = field(default=())

    def pattern(self, name: str) -> str:
        """Return a pattern for one job's output; empty if the set has none."""
        return self.patterns.get(name, "")

    def words(self, command: str) -> list[str]:
        """Return a command's words, templates still; one of the set's own programs by its path."""
        words = shlex.split(command)
        return [f"{self.folder}/{word[2:]}" if word.startswith("./") else word for word in words]

    @property
    def programs(self) -> list[str]:
        """The programs that its commands run."""
        commands = (self.submit, self.query, self.cancel, self.all_jobs.get("query", ""))
        return list(dict.fromkeys(self.words(one)[0] for one in commands if one))


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
    where = f"template: {folder}/dialect.ini"
    ini = _read(folder, "dialect.ini")
    # No interpolation: "%" is squeue's. A value may hold any character, so there are no comments
    # behind it.
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    try:
        parser.read_string(ini)
    except configparser.Error as error:
        raise InvalidJobError(f"{where}: {' '.join(str(error).split())}") from None
    values = {section: dict(parser[section]) for section in parser.sections()}
    _check(where, values)
    script = values["script"]
    return Dialect(
        name=name,
        script=_read(folder, script["file"]),
        directive=script.get("directive", ""),
        patterns=values.get("patterns", {}),
        all_jobs=values.get("all_jobs", {}),
        fields=values.get("fields", {}),
        folder=str(folder),
        file=script["file"],
        language=script.get("language", "shell"),
        needs=tuple(script.get("needs", "").replace(",", " ").split()),
        **values["commands"],
    )


def _folder(name: str) -> Path:
    """Return the folder of a set."""
    if name in NAMES:
        try:
            return Path(str(files("unispawner.legacy_templates").joinpath(name)))
        except ModuleNotFoundError:  # a checkout, or an editable install that isn't strict
            return Path(__file__).resolve().parents[2] / "legacy_templates" / name
    if not name.startswith("/"):
        raise InvalidJobError(
            f"template: there is no set {name!r}; there are {', '.join(NAMES)}, or give the whole "
            "path of a folder (c.UniSpawner.template)"
        )
    return Path(name)


def _read(folder: Path, name: str) -> str:
    try:
        return folder.joinpath(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidJobError(
            f"template: {folder}/{name} can't be read: {reason}. Users must be able to read it, too"
        ) from None


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
    script = values["script"]
    if "/" in script["file"]:
        raise InvalidJobError(f"{where}: file: {script['file']!r} must lie in the set's own folder")
    if script.get("language", "shell") not in _LANGUAGES:
        raise InvalidJobError(
            f"{where}: language: {script['language']!r} is none of {', '.join(_LANGUAGES)}"
        )
    for section in ("patterns", "all_jobs"):
        for key, text in values.get(section, {}).items():
            if key != "query":
                check_pattern(f"{where}: [{section}] {key}", text, group=key in _WITH_A_GROUP)
    _check_commands(where, values)
    for name, text in values.get("fields", {}).items():
        if name in UNITS:
            _check_template(f"{where}: [fields] {name}", text, UNITS[name])


def _check_commands(where: str, values: Mapping[str, Mapping[str, str]]) -> None:
    everybody = values.get("all_jobs", {}).get("query", "")
    commands = {**values["commands"], "query of [all_jobs]": everybody}
    for name, command in commands.items():
        try:
            shlex.split(command)
        except ValueError as error:
            raise InvalidJobError(f"{where}: {name}: {command!r}: {error}") from None
        if not name.startswith("submit"):  # what a submission may name is seen when one is made
            known = set() if name not in values["commands"] else {"job_id"}
            _check_template(f"{where}: {name}", command, known)
    if not everybody and "{job_id}" not in values["commands"]["query"]:
        raise InvalidJobError(
            f"{where}: query: {values['commands']['query']!r} needs {{job_id}}, or there must be "
            "[all_jobs], whose patterns find a job in a list"
        )


def _check_template(what: str, text: str, known: set[str]) -> None:
    """Make sure that a text names nothing else in braces."""
    try:
        found = {name for _, name, _, _ in Formatter().parse(text) if name is not None}
    except ValueError as error:
        raise InvalidJobError(f"{what}: {text!r}: {error}") from None
    if wrong := sorted(found - known) + ["{{"] * ("{{" in text):
        there = f"only {', '.join(sorted(known))}" if known else "nothing"
        raise InvalidJobError(f"{what}: {text!r} names {wrong[0]!r}; {there} is known here")


def linear(pattern: str) -> str:
    r"""Return a pattern that finds the same group, and not in exponential or quadratic time.

    batchspawner's ``(?:[\w_-]+\.?)+`` for a host's name takes a minute for thirty letters that are
    no name after all, and ``\s+`` before it a quarter of one for forty thousand blanks; and a user
    may have a hand in what is searched. So they stand for what says the same in one way only.
    """
    # Of several blanks the last will do.
    pattern = re.sub(r"^\\s\+(?![?+])", r"\\s", pattern)
    return pattern.replace(r"(?:[\w_-]+\.?)+", r"[\w_-]+(?:\.[\w_-]+)*\.?")


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


def check_trusted(dialect: Dialect) -> None:
    """Make sure that nobody but root and we can change a set: its commands run as we.

    And that everybody can read it, for the user's side submits by it. Asked on the Hub's side.

    Raises
    ------
    InvalidJobError
        Naming the file or folder.
    """
    if dialect.name in NAMES:
        return  # it came with unispawner itself
    own = [Path(word) for word in dialect.programs if word.startswith(f"{dialect.folder}/")]
    inside = [Path(dialect.folder, "dialect.ini"), Path(dialect.folder, dialect.file), *own]
    paths = {path for one in inside for path in (one, *one.parents)}
    # Where links lead to counts, too.
    paths |= {path for one in paths for path in (one.resolve(), *one.resolve().parents)}
    for path in sorted(paths):
        try:
            status = path.stat()
        except OSError as error:
            raise InvalidJobError(f"template: {path}: {error.strerror}") from None
        mode, folder = status.st_mode, stat.S_ISDIR(status.st_mode)
        sticky = folder and mode & stat.S_ISVTX and status.st_uid == 0
        others = mode & stat.S_IWOTH or (mode & stat.S_IWGRP and status.st_gid != 0)
        if status.st_uid not in (0, os.geteuid()) or (others and not sticky):
            raise InvalidJobError(
                f"template: {path} can be changed by others than root and the Hub's account, and "
                "the Hub runs what is written there: make it root's, with mode 0755 or less"
            )
        needed = 0o001 if folder else 0o005 if path in own else 0o004
        if mode & needed != needed:
            raise InvalidJobError(
                f"template: users can't read {path}, and their side submits by it: chmod o+rX"
            )
