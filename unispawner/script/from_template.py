"""The job's script where a set of templates has one of its own."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from ..errors import InvalidJobError
from ..job import JobSpec
from ..schedulers.template_dialect import Dialect
from ..schedulers.template_fields import all_fields, find_mentioned
from .filling import field_names, fill_template, find_line, unknown_field, uses_jinja

WRAPPER = "batchspawner-singleuser"
"""The name, in the job's folder, of the program that ``{cmd}`` runs.

It is the name of batchspawner's own program, which this one replaces.
"""


@dataclass(frozen=True)
class Place:
    """Where a job's private files lie, and whose job it is.

    Attributes
    ----------
    directory
        The job's private folder, with the wrapper and the environment file.
    username, homedir
        The account that submits the job, and its home directory.
    """

    directory: str
    username: str
    homedir: str


def runs_launcher(spec: JobSpec) -> bool:
    """Return whether a job's command is the launcher, which is read from standard input.

    A server's always is; the jobs of the conformance suite are small shell commands.
    """
    return spec.arguments[:2] == ("-I", "-")


def launcher_options(spec: JobSpec) -> tuple[list[str], list[str]]:
    """Return the launcher's options and the server's command, from ``-I - OPTIONS -- COMMAND``.

    A job without the launcher has no options, and its command is its own.
    """
    if not runs_launcher(spec):
        return [], [spec.executable, *spec.arguments]
    at = spec.arguments.index("--") if "--" in spec.arguments else len(spec.arguments)
    return list(spec.arguments[2:at]), list(spec.arguments[at + 1 :])


def writes_log(dialect: Dialect) -> bool:
    """Return whether the set's script itself sends the job's output to our log file."""
    return "log" in find_mentioned(dialect.script)


def render_template(spec: JobSpec, dialect: Dialect, place: Place) -> str:
    """Return the script of a job, made from the set's template.

    Raises
    ------
    InvalidJobError
        If the template can't be filled in; it names the file and shows the text.
    """
    where = f"template: {dialect.folder}/{dialect.file}"
    values = job_fields(spec, dialect, place)
    _check_fields(where, dialect.script, values)
    submit_command(dialect, values)  # so that a mistake in it is found together with the script's
    if uses_jinja(dialect.script):
        text = fill_template(where, dialect.script, values)
    else:
        lines = (_line(line, dialect.directive, values) for line in dialect.script.splitlines())
        text = "\n".join(fill_template(where, line, values) for line in lines if line is not None)
    return text.rstrip("\n") + "\n"


def job_fields(spec: JobSpec, dialect: Dialect, place: Place) -> dict[str, str]:
    """Return every field that the set's templates may name, with its text."""
    folder = PurePath(place.directory)
    command = shlex.join([str(folder / WRAPPER), *launcher_options(spec)[1]])
    if dialect.language == "condor_submit":
        # Within '…' within "…": condor_submit(1), "arguments". A "$(" would begin a macro.
        command = command.replace("'", "''").replace('"', '""').replace("$", "$(DOLLAR)")
    values = all_fields(
        dialect,
        spec,
        cmd=command,
        log=spec.stdout_path or "/dev/null",
        script=str(folder / "script"),
        username=place.username,
        homedir=place.homedir,
    )
    # As with every other scheduler, the prologue sees the server's environment, and its output
    # goes into the server's log.
    opened = [] if writes_log(dialect) else [f"exec >>{shlex.quote(values['log'])} 2>&1"]
    opened.append(f". {shlex.quote(str(folder / 'environment'))} || exit 1")
    values["prologue"] = "\n".join([*opened, *filter(None, [spec.prologue])])
    return values


def submit_command(dialect: Dialect, values: Mapping[str, str]) -> list[str]:
    """Return the words of the set's submit command, without those whose fields are all empty.

    Raises
    ------
    InvalidJobError
        If the command names a field that does not exist.
    """
    words = []
    for word in dialect.words(f"{dialect.submit} {dialect.submit_options}"):
        where = f"template: {dialect.folder}/dialect.ini: submit"
        _check_fields(where, word, values)
        names = field_names(word)
        if not names or any(values[name] for name in names):
            words.append(fill_template(where, word, values))
    return words


def _check_fields(where: str, template: str, values: Mapping[str, str]) -> None:
    """Refuse a field that does not exist: Jinja would write nothing in its place."""
    try:
        unknown = sorted(field_names(template) - set(values))
    except ValueError as error:
        raise InvalidJobError(f"{where}: {error}, in {find_line(template)!r}") from None
    if unknown:
        raise InvalidJobError(
            f"{unknown_field(where, template, unknown[0], values)} To add a field of your own, set "
            f"the custom attribute template.{unknown[0]}, or add a line to [fields] in dialect.ini."
        )


def _line(line: str, directive: str, values: Mapping[str, str]) -> str | None:
    """Return a line of a ``str.format`` template, or None if it would be half a directive."""
    if not line.startswith(directive):
        return line
    names = field_names(line)
    empty = {name for name in names if not values[name]}
    if names and names == empty:
        return None
    for name in empty:
        line = line.replace(f"@{{{name}}}", "")
    return line


__all__ = [
    "WRAPPER",
    "Place",
    "job_fields",
    "launcher_options",
    "render_template",
    "runs_launcher",
    "submit_command",
    "writes_log",
]
