"""Habits of CONTRIBUTING.md for which no linter has a rule; each test lists the offenders."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
FOLDERS = ("unispawner", "tests", "ci", "deploy", "scripts", "psij-descriptors")
AS_SITES_HAVE_THEM = re.compile(r"((^|/)seed_\w+|_config|/live/sites/\w+)\.py$")
"""Configurations and subclasses of sites, which no linter reads."""
PYTHON = re.compile(r"#!.*python")

IGNORE = re.compile(
    r"#\s*(?:noqa(?P<rules>:\s*[A-Z]+[0-9]+(?:[\s,]+[A-Z]+[0-9]+)*)?"
    r"|type:\s*ignore(?P<codes>\[[\w, -]+\])?)(?P<reason>.*)"
)
"""A comment that turns off a rule on its line, the rules, and what stands behind it."""


def files() -> Iterator[Path]:
    """Yield our programs and modules in Python; a program of ci/ has no extension."""
    for folder in FOLDERS:
        for path in sorted((TOP / folder).rglob("*")):
            if path.suffix not in (".py", "") or not path.is_file():
                continue
            if AS_SITES_HAVE_THEM.search(path.as_posix()) or "outputs" in path.parts:
                continue
            if path.suffix == ".py" or PYTHON.match(path.read_text(encoding="utf-8")):
                yield path


def comments(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line number and the text of each comment; a text like one in a string is none."""
    lines = io.StringIO(path.read_text(encoding="utf-8"))
    for token in tokenize.generate_tokens(lines.readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def has_reason(comment: str) -> bool:
    """Return whether a comment turns off no rule, or names the rule and says why."""
    found = IGNORE.search(comment)
    if found is None:
        return True
    return bool((found["rules"] or found["codes"]) and re.search(r"\w{3}", found["reason"]))


def test_each_ignored_rule_has_its_reason() -> None:
    """Whoever meets a rule that is turned off can read on the same line why that is right."""
    found = list(files())
    assert {"launcher.py", "test_habits.py", "bench"} <= {path.name for path in found}
    wrong = [
        f"{path.relative_to(TOP)}:{line}: {comment}"
        for path in found
        for line, comment in comments(path)
        if not has_reason(comment)
    ]
    assert [] == wrong


def test_ruff_reads_each_program() -> None:
    """ruff finds Python by its extension, so pyproject.toml lists the programs that have none."""
    text = (TOP / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^extend-include = \[$(.*?)^\]$", text, re.M | re.S)
    assert block
    programs = {str(path.relative_to(TOP)) for path in files() if not path.suffix}
    assert programs == set(re.findall(r'"(.+?)"', block[1]))


def test_each_disabled_check_of_a_shell_script_has_its_reason() -> None:
    """A comment before "shellcheck disable" says why the check is wrong there."""
    wrong = []
    scripts = [path for path in (TOP / "ci").rglob("*") if path.is_file()]
    for path in scripts:
        lines = path.read_text(encoding="utf-8").splitlines()
        wrong += [
            f"{path.relative_to(TOP)}:{number + 1}: {line.strip()}"
            for number, line in enumerate(lines)
            if "# shellcheck disable=" in line
            and not re.match(r"\s*# \w", lines[number - 1])
            and not re.search(r"disable=\S+ \S", line)
        ]
    assert scripts
    assert [] == wrong


def test_each_test_says_what_it_checks() -> None:
    """Each test and each module of tests has a docstring."""
    wrong = []
    for path in sorted((TOP / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if node.name.startswith("test_")
        ]
        wrong += [
            f"{path.relative_to(TOP)}: {getattr(node, 'name', 'the module')}"
            for node in (tree, *nodes)
            if not ast.get_docstring(node)
        ]
    assert [] == wrong
