"""What a site's ``batch_script`` asks for, beside batchspawner's own.

Both are filled in as batchspawner does, with the site's settings, and then compared: so it does not
matter how a line is written, with ``{memory}``, ``{{memory}}`` or a plain ``4G``.
"""

from __future__ import annotations

import re
import string
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field

from jinja2 import Environment, TemplateError, meta, nodes

from .options import KINDS, PREFIXES, Option, parse_options

OF_THE_USER = ("username", "homedir", "keepvars", "cmd")
"""Fields whose value is known only when a server starts."""
_MARKS = {name: f"\ue000{name}\ue001" for name in (*OF_THE_USER, "prologue", "epilogue")}
_SHELL = re.compile(r"#!\s*/\S*\b(sh|bash|dash)(\s+-\w+)*\s*|#!\s*/usr/bin/env\s+(ba)?sh\s*")
_KEPT = {("R", "select[type==any]")}
"""Of batchspawner's own scripts: what no field of UniSpawner's says."""
_COMMAND = re.compile(rf"(exec\s+)?(srun\s+)?{_MARKS['cmd']}", re.ASCII)


class OwnScript(Exception):
    """The script does something that has no counterpart; says what."""


@dataclass(frozen=True)
class Script:
    """A script that was filled in and taken apart."""

    options: tuple[Option, ...]
    before: tuple[str, ...] = ()
    command: str = ""
    after: tuple[str, ...] = ()
    shell: str = ""


@dataclass
class Asked:
    """What a site's script makes of the site's settings.

    Attributes
    ----------
    used
        Fields that it uses as batchspawner's script does.
    covered
        Fields that it uses in another way: what comes of that is among ``extra``, or in the text.
    extra
        Options that batchspawner's script does not have.
    dropped
        Options for what UniSpawner sees to by itself.
    stops
        The script ends at the first command that fails (``set -e``), as batchspawner's do.
    """

    used: set[str] = field(default_factory=set)
    covered: set[str] = field(default_factory=set)
    extra: list[Option] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    job_name: str = ""
    directory: str = ""
    prologue: str = ""
    epilogue: str = ""
    stops: bool = False


def compare(
    template: str, default: str, fields: Mapping[str, str], names: set[str], scheduler: str
) -> Asked:
    """Find what a site's script does otherwise than batchspawner's.

    Parameters
    ----------
    template, default
        The site's script and batchspawner's.
    fields
        The values that the site's configuration has for them.
    names
        All fields that there are.
    scheduler
        Whose options they are.

    Raises
    ------
    OwnScript
        If the difference can't be expressed without a script.
    """
    _check_fields(template, names)
    site = _read(template, fields, scheduler)
    plain = {**fields, "options": ""}
    usual = _read(default, plain, scheduler)
    asked = Asked()
    accounted: set[Option] = set()
    for name in fields:
        without = {**fields, name: ""}
        if name in OF_THE_USER or _read(template, without, scheduler) == site:
            continue
        depends = {*usual.options} - {*_read(default, {**plain, name: ""}, scheduler).options}
        if depends and depends <= {*site.options}:
            asked.used.add(name)
            accounted |= depends
        else:
            asked.covered.add(name)
    _sort(asked, site, {*usual.options} | accounted, usual, scheduler)
    _read_body(asked, site, usual, fields)
    return asked


def _check_fields(template: str, names: set[str]) -> None:
    """Refuse names that nothing gives, and a script that is another one for each user."""
    if not is_jinja(template):
        try:
            found = {name for _, name, _, _ in string.Formatter().parse(template) if name}
        except ValueError as error:
            raise OwnScript(f"it is no template: {error}") from None
        for_some: set[str] = set()
    else:
        environment = Environment(autoescape=False)  # noqa: S701 (a shell script, not HTML)
        try:
            tree = environment.parse(template)
        except TemplateError as error:
            raise OwnScript(f"it is no template: {error}") from None
        found = meta.find_undeclared_variables(tree)
        tests = [node.test for node in tree.find_all(nodes.If)]
        tests += [node.test for node in tree.find_all(nodes.CondExpr)]
        tests += [node.iter for node in tree.find_all(nodes.For)]
        filters = list(tree.find_all(nodes.Filter))
        parts = [name for test in (*tests, *filters) for name in _names(test)]
        for_some = {*parts} & {*OF_THE_USER}
    if unknown := found - names - {"cmd"}:
        raise OwnScript(f"no setting gives {', '.join(sorted(unknown))}")
    if for_some:
        raise OwnScript(f"it is another one for each {', '.join(sorted(for_some))}")


def _names(node: nodes.Node) -> set[str]:
    own = {node.name} if isinstance(node, nodes.Name) else set()
    return own | {name.name for name in node.find_all(nodes.Name)}


def is_jinja(template: str) -> bool:
    """Return whether batchspawner takes a template for Jinja's, and not for ``str.format``'s."""
    return "{{" in template or "{%" in template


def _read(template: str, fields: Mapping[str, str], scheduler: str) -> Script:
    marks = {name: mark for name, mark in _MARKS.items() if fields.get(name, "x")}
    values = {**dict.fromkeys(_MARKS, ""), **fields, **marks}
    try:
        if is_jinja(template):
            environment = Environment(autoescape=False)  # noqa: S701 (a shell script, not HTML)
            text = environment.from_string(template).render(**values)
        else:
            text = template.format(**values)
    except (TemplateError, LookupError, ValueError, AttributeError) as error:
        raise OwnScript(f"it can't be filled in: {error}") from None
    if scheduler == "htcondor":
        return Script(tuple(_options(text, scheduler)))
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
            options += _options(line.removeprefix(prefix), scheduler)
        else:
            began = began or bool(line.strip() and not line.lstrip().startswith("#"))
            before.append(line)
    if not lines:
        raise OwnScript("it has no {cmd}")
    return Script(
        tuple(options), tuple(before), lines[0].strip(), tuple(map(str.rstrip, lines[1:])), shell
    )


def _options(text: str, scheduler: str) -> list[Option]:
    try:
        return parse_options(text, scheduler)
    except ValueError as error:
        raise OwnScript(f"{_readable(text.strip())!r}: {error}") from None


def _sort(
    asked: Asked, site: Script, accounted: set[Option], usual: Script, scheduler: str
) -> None:
    """Tell what the site's options are for: our own business, or the scheduler's."""
    kinds = KINDS[scheduler]
    for option in site.options:
        name, text = option[0], str(option[1])
        kind, words = kinds.get(name), _readable(f"{name}={text}")
        if kind == "name" and "\ue000" not in text:
            asked.job_name = text
        elif option in accounted and option not in _KEPT:
            continue
        elif kind == "directory":
            home = text == _MARKS["homedir"] or text.endswith("/" + _MARKS["username"])
            asked.directory = "" if home else text
        elif kind in ("name", "ours") or (kind == "shell" and re.search(r"/(ba|da)?sh$", text)):
            asked.dropped.append(words)
        elif kind or "\ue000" in text:
            raise OwnScript(f"the option {words}")
        else:
            asked.extra.append(option)
    commands = {option for option in usual.options if kinds.get(option[0]) == "command"}
    if not commands <= {*site.options}:
        raise OwnScript("it runs the server in another way")


def _read_body(asked: Asked, site: Script, usual: Script, fields: Mapping[str, str]) -> None:
    if not site.command:
        if asked.directory:
            raise OwnScript(f"the job's directory is {_readable(asked.directory)}")
        return
    if site.shell and not _SHELL.fullmatch(site.shell):
        raise OwnScript(f"it is no script of bash or sh: {site.shell}")
    if not _COMMAND.fullmatch(site.command):
        raise OwnScript(f"it runs the server in another way: {_readable(site.command)}")
    first = (f'cd "{asked.directory}" || exit 1',) if asked.directory else ()
    asked.prologue = _text((*first, *site.before), usual.before, fields)
    asked.epilogue = _text(site.after, usual.after, fields)
    stopping = re.compile(r"set -\w*e")
    asked.stops = any(stopping.match(line) for line in {*site.before} & {*usual.before})


def _text(lines: tuple[str, ...], usual: tuple[str, ...], fields: Mapping[str, str]) -> str:
    """Return what a part of the script does beyond the usual, for a shell to read by itself."""
    known = {line.strip() for line in usual if not line.strip().startswith("\ue000")}
    text = "\n".join(line for line in lines if line.strip() not in known or not line.strip())
    for name in ("prologue", "epilogue"):
        text = text.replace(_MARKS[name], fields.get(name, ""))
    for line in text.split("\n"):
        in_quotes = "\ue000" in line and "'" in line  # where the shell would replace nothing
        if _MARKS["cmd"] in line or _MARKS["keepvars"] in line or in_quotes:
            raise OwnScript(f"this line: {_readable(line)}")
    text = text.replace(_MARKS["username"], "$USER").replace(_MARKS["homedir"], "$HOME")
    text = re.sub(r"\n{3,}", "\n\n", text).strip("\n")
    if text.endswith("\\") or not _is_whole(text):
        raise OwnScript("the server is run in the middle of a shell's construct")
    return text


def _is_whole(text: str) -> bool:
    """Return whether a shell could read a text that ends here; it runs none of it."""
    try:
        done = subprocess.run(["bash", "-n"], input=text.encode(), capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):  # no bash here: the job will tell
        return True
    # A here-document without its end is no error to bash.
    return done.returncode == 0 and b"here-document" not in done.stderr


def _readable(text: str) -> str:
    """Return text with the fields as a template has them."""
    return re.sub("\ue000(\\w+)\ue001", r"{\1}", text)
