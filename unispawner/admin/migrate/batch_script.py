"""Finds what a site's ``batch_script`` asks for beyond batchspawner's own.

Both are filled in as batchspawner does it, with the site's settings, and then compared. So it does
not matter how a line is written: with ``{memory}``, with ``{{memory}}`` or with a plain ``4G``.
"""

from __future__ import annotations

import functools
import re
import string
import subprocess
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from jinja2 import Environment, Template, TemplateError, meta, nodes

from .options import KINDS, PREFIXES, Option, parse_options, write_option

_JINJA = Environment(autoescape=False)  # noqa: S701 (a shell script, not HTML)
OF_THE_USER = ("username", "homedir", "keepvars", "cmd")
"""Fields whose values are known only when a server starts."""
_MARKS = {name: f"\ue000{name}\ue001" for name in (*OF_THE_USER, "prologue", "epilogue")}
"""What stands in a filled-in script for a field that must be recognized afterwards."""
_SHELL = re.compile(r"#!\s*/\S*\b(sh|bash|dash)(\s+-\w+)*\s*|#!\s*/usr/bin/env\s+(ba)?sh\s*")
_KEPT = {("R", "select[type==any]")}
"""Options of batchspawner's own scripts that no field of UniSpawner's stands for."""
_LOGS = {"output", "o", "oo", "error", "e", "eo", "log"}
"""Options that say where the job's log goes."""
_COMMAND = re.compile(rf"(exec\s+)?(srun\s+)?{_MARKS['cmd']}", re.ASCII)


class UntranslatableScript(Exception):
    """The script does something that has no counterpart; the text says what."""


@dataclass(frozen=True)
class Script:
    """A script that was filled in and taken apart.

    Attributes
    ----------
    before, command, after
        The lines before the line that runs the server, that line, and the lines after it.
    """

    options: tuple[Option, ...]
    before: tuple[str, ...] = ()
    command: str = ""
    after: tuple[str, ...] = ()
    shell: str = ""


@dataclass
class Comparison:
    """What a site's script makes of the site's settings.

    Attributes
    ----------
    used
        Fields that it uses as batchspawner's script does.
    used_otherwise
        Fields that it uses in another way: ``extra``, ``prologue`` or ``epilogue`` have the result.
    extra
        Options that batchspawner's script does not have.
    from_options
        Those of them that come from ``req_options``.
    dropped
        Options that UniSpawner sets itself.
    has_own_log
        Some of them say where the job's log goes.
    runs_srun
        The script runs the server with Slurm's srun.
    stops_on_error
        The script ends at the first command that fails (``set -e``), as batchspawner's do.
    """

    used: set[str] = field(default_factory=set)
    used_otherwise: set[str] = field(default_factory=set)
    extra: list[Option] = field(default_factory=list)
    from_options: set[Option] = field(default_factory=set)
    dropped: list[str] = field(default_factory=list)
    has_own_log: bool = False
    job_name: str = ""
    directory: str = ""
    prologue: str = ""
    epilogue: str = ""
    runs_srun: bool = False
    stops_on_error: bool = False


def compare(template: str, default: str, fields: Mapping[str, str], scheduler: str) -> Comparison:
    """Find what a site's script does otherwise than batchspawner's.

    Parameters
    ----------
    template, default
        The site's script and batchspawner's.
    fields
        The site's values of all fields but those of the user.
    scheduler
        Whose options they are.

    Raises
    ------
    UntranslatableScript
        If only a script can express the difference.
    """
    _check_fields(template, {*fields, *OF_THE_USER})
    site = _read(template, fields, scheduler)
    plain = {**fields, "options": ""}
    usual = _read(default, plain, scheduler)
    result = Comparison()
    accounted = {*_read(default, dict.fromkeys(fields, ""), scheduler).options}
    for name in fields:
        without = _read(template, {**fields, name: ""}, scheduler)
        if without == site:
            continue
        depends = {*usual.options} - {*_read(default, {**plain, name: ""}, scheduler).options}
        if depends and depends <= {*site.options}:
            result.used.add(name)
            accounted |= depends
        else:
            result.used_otherwise.add(name)
        if name == "options":
            result.from_options = {*site.options} - {*without.options}
    _check_command(site, usual, scheduler)
    _sort_options(result, site, accounted, scheduler)
    _read_body(result, site, usual, fields)
    return result


def _check_fields(template: str, known: Collection[str]) -> None:
    """Refuse fields that no setting defines, and a script whose lines depend on the user."""
    decisive: set[str] = set()
    if is_jinja(template):
        try:
            tree = _JINJA.parse(template)
        except TemplateError as error:
            raise UntranslatableScript(f"the script is not a valid template: {error}") from None
        found = meta.find_undeclared_variables(tree)
        tests: list[nodes.Node] = [node.test for node in tree.find_all(nodes.If)]
        tests += [node.test for node in tree.find_all(nodes.CondExpr)]
        tests += [node.iter for node in tree.find_all(nodes.For)]
        tests += tree.find_all(nodes.Filter)
        decisive = {name for test in tests for name in _names(test)} & {*OF_THE_USER}
    else:
        try:
            names = [name for _, name, _, _ in string.Formatter().parse(template) if name]
            found = {re.split(r"[.\[]", name)[0] for name in names}  # {memory[0]} is memory's
        except ValueError as error:
            raise UntranslatableScript(f"the script is not a valid template: {error}") from None
    if unknown := sorted(found - {*known}):
        raise UntranslatableScript(f"no setting defines what the script uses: {_braced(unknown)}")
    if decisive:
        users = _braced(sorted(decisive))
        raise UntranslatableScript(f"the lines of the script depend on the user, by {users}")


def _braced(names: Iterable[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in names)


def _names(node: nodes.Node) -> set[str]:
    own = {node.name} if isinstance(node, nodes.Name) else set()
    return own | {name.name for name in node.find_all(nodes.Name)}


def is_jinja(template: str) -> bool:
    """Return whether batchspawner reads a template with Jinja, and not with ``str.format``."""
    return "{{" in template or "{%" in template


@functools.lru_cache(maxsize=8)  # a comparison fills two templates in some twenty times each
def _compile(template: str) -> Template:
    return _JINJA.from_string(template)


def _read(template: str, fields: Mapping[str, str], scheduler: str) -> Script:
    """Fill a template in, and take it apart."""
    marks = {name: mark for name, mark in _MARKS.items() if fields.get(name, "x")}
    values = {**dict.fromkeys(_MARKS, ""), **fields, **marks}
    try:
        if is_jinja(template):
            text = _compile(template).render(**values)
        else:
            text = template.format(**values)
    except (TemplateError, LookupError, ValueError, AttributeError) as error:
        raise UntranslatableScript(f"the script can't be filled in: {error}") from None
    if scheduler == "htcondor":
        return Script(tuple(_parse_options(text, scheduler)))
    return _take_apart(text, scheduler)


def _take_apart(text: str, scheduler: str) -> Script:
    lines = text.strip("\n").split("\n")
    shell = lines.pop(0) if lines[0].startswith("#!") else ""
    options: list[Option] = []
    before: list[str] = []
    prefix, began = PREFIXES[scheduler], False
    while lines and _MARKS["cmd"] not in lines[0]:
        line = lines.pop(0).rstrip()
        # These two read directives wherever they are; the others up to the first command.
        if line.startswith(prefix) and not (began and scheduler not in ("gridengine", "lsf")):
            options += _parse_options(line.removeprefix(prefix), scheduler)
        else:
            began = began or bool(line.strip() and not line.lstrip().startswith("#"))
            before.append(line)
    if not lines:
        raise UntranslatableScript("the script has no {cmd}")
    return Script(
        tuple(options), tuple(before), lines[0].strip(), tuple(map(str.rstrip, lines[1:])), shell
    )


def _parse_options(text: str, scheduler: str) -> list[Option]:
    try:
        return parse_options(text, scheduler)
    except ValueError as error:
        raise UntranslatableScript(f"{_unmark(text.strip())!r} can't be read: {error}") from None


def _sort_options(result: Comparison, site: Script, accounted: set[Option], scheduler: str) -> None:
    """Sort the site's options: those that UniSpawner sets itself, and those for the scheduler."""
    kinds = KINDS[scheduler]
    for option in site.options:
        name, text = option[0], str(option[1])
        kind, words = kinds.get(name), _unmark(write_option(option, scheduler))
        job_name = _read_job_name(text) if kind == "name" else ""
        if job_name:
            result.job_name = job_name
        elif option in accounted and option not in _KEPT:
            continue
        elif kind == "directory":
            result.directory = "" if text == _MARKS["homedir"] else text
        elif kind in ("name", "ours") or (kind == "shell" and re.search(r"/(ba|da)?sh$", text)):
            result.dropped.append(words)
            result.has_own_log = result.has_own_log or name in _LOGS
        elif kind or "\ue000" in text:
            raise UntranslatableScript(f"UniSpawner has no counterpart of the option {words}")
        else:
            result.extra.append(option)


def _read_job_name(text: str) -> str:
    """Return a job's name as UniSpawner's job_name has it; empty if it can't have it."""
    plain = text.replace(_MARKS["username"], "")
    known = not re.search("[{}\ue000]", plain)
    return text.replace(_MARKS["username"], "{username}") if known else ""


def _check_command(site: Script, usual: Script, scheduler: str) -> None:
    """Make sure that the site's script runs the server as batchspawner's does."""
    commands = {one for one in usual.options if KINDS[scheduler].get(one[0]) == "command"}
    if not commands <= {*site.options}:
        raise UntranslatableScript("the script does not run the server as batchspawner's does")
    if site.command and not _COMMAND.fullmatch(site.command):
        raise UntranslatableScript(
            f"the script does not run the server as batchspawner's does: {_unmark(site.command)}"
        )


def _read_body(result: Comparison, site: Script, usual: Script, fields: Mapping[str, str]) -> None:
    """Find what the site's script does before the server starts, and after it has ended."""
    if site.shell and not _SHELL.fullmatch(site.shell):
        raise UntranslatableScript(f"the script is not for sh or bash: {site.shell}")
    first = (f'cd "{result.directory}" || exit 1',) if result.directory else ()
    result.prologue = _find_text((*first, *site.before), usual.before, fields)
    result.epilogue = _find_text(site.after, usual.after, fields)
    result.runs_srun = "srun" in site.command.partition(_MARKS["cmd"])[0]
    stopping = re.compile(r"set -\w*e")
    result.stops_on_error = any(stopping.match(line) for line in {*site.before} & {*usual.before})


def _find_text(lines: tuple[str, ...], usual: tuple[str, ...], fields: Mapping[str, str]) -> str:
    """Return a part of the script without batchspawner's own lines, for a shell to read."""
    known = {line.strip() for line in usual if not line.strip().startswith("\ue000")}
    text = "\n".join(line for line in lines if line.strip() not in known or not line.strip())
    for name in ("prologue", "epilogue"):
        text = text.replace(_MARKS[name], fields.get(name, ""))
    for line in text.split("\n"):
        in_quotes = "\ue000" in line and "'" in line  # the shell would put no value in there
        if _MARKS["cmd"] in line or _MARKS["keepvars"] in line or in_quotes:
            raise UntranslatableScript(
                f"only batchspawner can fill in this line: {_unmark(line.strip())}"
            )
    text = text.replace(_MARKS["username"], "$USER").replace(_MARKS["homedir"], "$HOME")
    text = re.sub(r"\n{3,}", "\n\n", text).strip("\n")
    if text.endswith("\\") or not _is_complete(text):
        raise UntranslatableScript("the server runs within a loop, a condition or the like")
    return text


def _is_complete(text: str) -> bool:
    """Return whether a shell could read a text that ends here; nothing of it is run."""
    try:
        done = subprocess.run(["bash", "-n"], input=text.encode(), capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):  # no bash here: the job's log will show it
        return True
    # To bash, a here-document without its end is only worth a warning.
    return done.returncode == 0 and b"here-document" not in done.stderr


def _unmark(text: str) -> str:
    """Return text with the fields as a template has them."""
    return re.sub("\ue000(\\w+)\ue001", r"{\1}", text)
