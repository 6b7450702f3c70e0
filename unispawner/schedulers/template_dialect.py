"""A set of templates: files that describe a scheduler's commands and how to read their answers.

The sets in ``legacy_templates/`` are batchspawner's, word for word; a site may have its own. A set
is a folder with the file ``dialect.ini`` and the job's script. docs/templates.md shows how to write
one.
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

_STATES = ("pending", "running", "held", "stuck", "failed", "ended")
_PATTERNS = ("submitted", "owner", *_STATES, "exec_host", "unknown", "not_found")
_ALL_JOBS = ("answer", "row", "job_id", "owner", *_STATES, "exec_host")
_KEYS = {
    "script": {"file", "directive", "language", "needs"},
    "commands": {"submit", "submit_options", "query", "cancel"},
    "patterns": {*_PATTERNS},
    "all_jobs": {"query", *_ALL_JOBS},
    "fields": None,
}
"""The sections and their keys; the set itself chooses the keys of ``fields``."""
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
"""The names in braces that the text of a field in ``[fields]`` may use."""


@dataclass(frozen=True)
class Dialect:
    """One set of templates.

    Attributes
    ----------
    script, directive
        The template of the job's script, and the beginning of the lines that the scheduler reads.
    submit, query, cancel
        Templates of commands; the last two may use ``{job_id}``.
    patterns
        Regular expressions for the output about one job; each may be missing. ``submitted`` finds
        the id in the output of ``submit``. ``owner``, ``exec_host`` and the names of states read
        the output of ``query``; ``unknown`` and ``not_found`` recognise its failures.
    all_jobs
        ``query``, the command that lists the jobs of all users, and the patterns for its output:
        ``row`` finds each job, and the others are searched in each row. Empty if there is no such
        command.
    fields
        How values of a :class:`~unispawner.ResourceSpec` are written, by their names in the script,
        and the default values of the set's own fields.
    folder, file
        The set's folder, and the script's name in it.
    submit_options
        Words that UniSpawner adds to ``submit``, and that batchspawner's classes do not.
    language
        The language of the script: "shell" or "condor_submit".
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
        """Return a pattern for the output about one job; empty if the set does not have it."""
        return self.patterns.get(name, "")

    def words(self, command: str) -> list[str]:
        """Return the words of a command's template; the set's own programs have full paths."""
        words = shlex.split(command)
        return [f"{self.folder}/{word[2:]}" if word.startswith("./") else word for word in words]

    @property
    def programs(self) -> list[str]:
        """The programs that the commands run."""
        commands = (self.submit, self.query, self.cancel, self.all_jobs.get("query", ""))
        return list(dict.fromkeys(self.words(one)[0] for one in commands if one))


@lru_cache(maxsize=32)
def read_dialect(name: str) -> Dialect:
    """Return the set with a name in ``legacy_templates/``, or in a folder of the site's.

    A set is read once: changes to its files count after a restart of the Hub.

    Raises
    ------
    InvalidJobError
        If there is no such set, or if one of its files is wrong; the message has the file and the
        text.
    """
    folder = _folder(name)
    where = f"template: {folder}/dialect.ini"
    ini = _read(folder, "dialect.ini")
    # No interpolation, because squeue's options contain "%". No comments behind a value, because it
    # may contain any character.
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
            f"template: unknown set {name!r}; known sets: {', '.join(NAMES)}. Set "
            "c.UniSpawner.template to one of them, or to the absolute path of a folder"
        )
    return Path(name)


def _read(folder: Path, name: str) -> str:
    try:
        return folder.joinpath(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidJobError(
            f"template: {folder}/{name} can't be read: {reason}. The Hub and the users must be "
            "able to read it"
        ) from None


def _check(where: str, values: Mapping[str, Mapping[str, str]]) -> None:
    for section, found in values.items():
        if section not in _KEYS:
            raise InvalidJobError(
                f"{where}: unknown section [{section}]; known sections: {', '.join(_KEYS)}"
            )
        known = _KEYS[section]
        for key in found:
            if known is not None and key not in known:
                raise InvalidJobError(
                    f"{where}: [{section}]: unknown key {key!r}; known keys: "
                    f"{', '.join(sorted(known))}"
                )
    for section, keys in _NEEDED.items():
        for key in keys if section in values or section != "all_jobs" else ():
            if not values.get(section, {}).get(key):
                raise InvalidJobError(f"{where}: [{section}]: the key {key!r} is missing")
    script = values["script"]
    if "/" in script["file"]:
        raise InvalidJobError(
            f"{where}: [script]: file: {script['file']!r} must be a name in the set's own folder"
        )
    if script.get("language", "shell") not in _LANGUAGES:
        raise InvalidJobError(
            f"{where}: [script]: language: {script['language']!r} must be one of "
            f"{', '.join(_LANGUAGES)}"
        )
    for section in ("patterns", "all_jobs"):
        for key, text in values.get(section, {}).items():
            if key != "query":
                check_pattern(f"{where}: [{section}]: {key}", text, group=key in _WITH_A_GROUP)
    _check_commands(where, values)
    for name, text in values.get("fields", {}).items():
        if name in UNITS:
            _check_template(f"{where}: [fields]: {name}", text, UNITS[name])


def _check_commands(where: str, values: Mapping[str, Mapping[str, str]]) -> None:
    everybody = values.get("all_jobs", {}).get("query", "")
    commands = {**values["commands"], "query of [all_jobs]": everybody}
    for name, command in commands.items():
        try:
            shlex.split(command)
        except ValueError as error:
            raise InvalidJobError(f"{where}: {name}: {command!r}: {error}") from None
        if not name.startswith("submit"):  # the fields of submit are checked with each job
            known = set() if name not in values["commands"] else {"job_id"}
            _check_template(f"{where}: {name}", command, known)
    if not everybody and "{job_id}" not in values["commands"]["query"]:
        raise InvalidJobError(
            f"{where}: [commands]: query: {values['commands']['query']!r} must contain {{job_id}}, "
            "or the section [all_jobs] must have the patterns that find a job in a list"
        )


def _check_template(what: str, text: str, known: set[str]) -> None:
    """Make sure that a text has no other names in braces."""
    try:
        found = format_fields(text)
    except ValueError as error:
        raise InvalidJobError(f"{what}: {text!r}: {error}") from None
    if wrong := sorted(found - known) + ["{{"] * ("{{" in text):
        raise InvalidJobError(
            f"{what}: {text!r}: unknown field {wrong[0]!r}; known fields: "
            f"{', '.join(sorted(known)) or 'none'}"
        )


def format_fields(template: str) -> set[str]:
    """Return the names in braces in a template of ``str.format``.

    Raises
    ------
    ValueError
        If the text is not such a template, as when a brace is left open.
    """
    return {name for _, name, _, _ in Formatter().parse(template) if name is not None}


def make_linear(pattern: str) -> str:
    r"""Return a pattern that finds the same group, but never in exponential or quadratic time.

    batchspawner's ``(?:[\w_-]+\.?)+`` for a host's name takes a minute for thirty letters that turn
    out not to be a name, and ``\s+`` before it takes 15 seconds for forty thousand blanks. A user
    may be able to write the text that is searched. So these two parts are replaced by parts that
    match the same text in one way only.
    """
    # Of several blanks the last one is enough.
    pattern = re.sub(r"^\\s\+(?![?+])", r"\\s", pattern)
    return pattern.replace(r"(?:[\w_-]+\.?)+", r"[\w_-]+(?:\.[\w_-]+)*\.?")


def check_pattern(what: str, text: str, *, group: bool) -> None:
    """Check a regular expression.

    Parameters
    ----------
    what
        The file or setting that holds the expression; the error begins with it.
    group
        Whether the expression needs a group.

    Raises
    ------
    InvalidJobError
        If the text is not a regular expression, or lacks the group.
    """
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise InvalidJobError(
            f"{what}: {text!r} is not a valid regular expression: {error}"
        ) from None
    if group and text and not pattern.groups:
        raise InvalidJobError(
            f"{what}: {text!r} needs a group around the part that is wanted, as in (\\S+)"
        )


def check_trusted(dialect: Dialect) -> None:
    """Check that only root and the Hub's account can change a set, and that users can read it.

    The Hub runs the set's commands under its own account, and the users' side submits with them.
    The check is made on the Hub's side.

    Raises
    ------
    InvalidJobError
        If a file or folder has wrong permissions; the message names it.
    """
    if dialect.name in NAMES:
        return  # the set is a part of unispawner
    own = [Path(word) for word in dialect.programs if word.startswith(f"{dialect.folder}/")]
    inside = [Path(dialect.folder, "dialect.ini"), Path(dialect.folder, dialect.file), *own]
    paths = {path for one in inside for path in (one, *one.parents)}
    # The targets of links are checked, too.
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
                "the Hub runs what is written there. Give it to root, with mode 0755 or less"
            )
        needed = 0o001 if folder else 0o005 if path in own else 0o004
        if mode & needed != needed:
            raise InvalidJobError(
                f"template: users can't read {path}, and jobs are submitted with it: chmod o+rX"
            )
