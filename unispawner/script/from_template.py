"""The job's script where a set of templates has one of its own."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import PurePath
from string import Formatter

from ..errors import InvalidJobError
from ..job import JobSpec
from ..schedulers.template import Template
from ..schedulers.template_fields import fields, mentioned
from .filling import field_names, format_template, uses_jinja

WRAPPER = "batchspawner-singleuser"
"""The name, in the job's folder, of what ``{cmd}`` runs: that of batchspawner's, whose place it
takes."""


def launcher_options(spec: JobSpec) -> tuple[list[str], list[str]]:
    """Return the launcher's options and the server's command, from ``-I - OPTIONS -- COMMAND``."""
    at = spec.arguments.index("--") if "--" in spec.arguments else len(spec.arguments)
    return list(spec.arguments[2:at]), list(spec.arguments[at + 1 :])


def has_log(scheduler: Template) -> bool:
    """Return whether the set's script itself sends the job's output to the log of ours."""
    return "log" in mentioned(scheduler.dialect.script)


def render_template(
    spec: JobSpec, scheduler: Template, *, directory: str, username: str, homedir: str
) -> str:
    """Return the script of a job, by its set's template.

    Parameters
    ----------
    directory
        The job's private folder, with the wrapper and the environment file.
    username, homedir
        Whose job it is.

    Raises
    ------
    InvalidJobError
        If the template can't be filled in; it names the file and shows the text.
    """
    dialect = scheduler.dialect
    where = f"template: {dialect.folder}/{dialect.file}"
    values = job_fields(spec, scheduler, directory=directory, username=username, homedir=homedir)
    _check_fields(where, dialect.script, values)
    submit_command(scheduler, values)  # what can't be right there is found with the script
    if uses_jinja(dialect.script):
        text = _fill(where, dialect.script, values)
    else:
        lines = (_line(line, dialect.directive, values) for line in dialect.script.splitlines())
        text = "\n".join(_fill(where, line, values) for line in lines if line is not None)
    return text.rstrip("\n") + "\n"


def job_fields(
    spec: JobSpec, scheduler: Template, *, directory: str, username: str, homedir: str
) -> dict[str, str]:
    """Return every field that the set's templates may name, with its text."""
    folder = PurePath(directory)
    command = shlex.join([str(folder / WRAPPER), *launcher_options(spec)[1]])
    if scheduler.dialect.language == "condor_submit":
        # Within '…' within "…": condor_submit(1), "arguments". A "$(" would begin a macro.
        command = command.replace("'", "''").replace('"', '""').replace("$", "$(DOLLAR)")
    values = fields(
        scheduler.dialect,
        spec,
        cmd=command,
        log=spec.stdout_path or "/dev/null",
        script=str(folder / "script"),
        username=username,
        homedir=homedir,
    )
    # As with any other scheduler: the prologue knows the server's environment, and what it says
    # goes where the server's output goes.
    opened = [] if has_log(scheduler) else [f"exec >>{shlex.quote(values['log'])} 2>&1"]
    opened.append(f". {shlex.quote(str(folder / 'environment'))} || exit 1")
    values["prologue"] = "\n".join([*opened, *filter(None, [spec.prologue])])
    return values


def submit_command(scheduler: Template, values: Mapping[str, str]) -> list[str]:
    """Return the words of the set's submit command; one all of whose fields are empty is left out.

    Raises
    ------
    InvalidJobError
        If it names a field that there isn't.
    """
    dialect = scheduler.dialect
    words = []
    for word in dialect.words(f"{dialect.submit} {dialect.submit_options}"):
        where = f"template: {dialect.folder}/dialect.ini: submit"
        _check_fields(where, word, values)
        names = field_names(word)
        if not names or any(values[name] for name in names):
            words.append(_fill(where, word, values))
    return words


def _check_fields(where: str, template: str, values: Mapping[str, str]) -> None:
    try:
        unknown = sorted(field_names(template) - set(values))
    except ValueError as error:
        raise InvalidJobError(f"{where}: {error}: {_excerpt(template, 'x')!r}") from None
    if unknown:
        raise InvalidJobError(
            f"{where}: there is no field {unknown[0]!r}, in {_excerpt(template, unknown[0])!r}; "
            f"there are {', '.join(sorted(values))}, and what the custom attribute "
            f"template.{unknown[0]} or [fields] gives"
        )


def _excerpt(template: str, name: str) -> str:
    """Return the line in which a field is named; the first if that isn't plain to see."""
    lines = [line for line in template.splitlines() if line.strip()] or [""]
    found = (line for line in lines if re.search(rf"\{{.*\b{re.escape(name)}\b", line))
    return next(found, lines[0])


def _fill(where: str, template: str, values: Mapping[str, str]) -> str:
    try:
        return format_template(template, **values)
    except Exception as error:  # whatever the site's own template raises
        raise InvalidJobError(
            f"{where}: {type(error).__name__}: {error}, in {_excerpt(template, 'x')!r}"
        ) from None


def _line(line: str, directive: str, values: Mapping[str, str]) -> str | None:
    """Return a line of a ``str.format`` template without what would be half a directive."""
    if not line.startswith(directive):
        return line
    names = {name for _, name, _, _ in Formatter().parse(line) if name is not None}
    empty = {name for name in names if not values[name]}
    if names and names == empty:
        return None
    for name in empty:
        line = line.replace(f"@{{{name}}}", "")
    return line
