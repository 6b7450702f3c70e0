"""Imports run downward only, and what is public is there (docs/design)."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import unispawner

PACKAGE = Path(unispawner.__file__).parent
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
LONGER = {"launcher.py": 650}
"""One file by design: a node gets it whole."""

# For each place, what of the package it may import; longest prefix first. What is not named here is
# the Hub's side and may import all but the user's side and the executors.
MAY_IMPORT = {
    "launcher": set(),
    "_version": set(),
    "errors": set(),
    "units": {"errors"},
    "job": {"errors", "units"},
    "schedulers": {"errors", "units", "job", "schedulers"},
    "script": {"errors", "job", "schedulers", "launcher", "script"},
    "agent": {"errors", "units", "job", "schedulers", "script", "agent"},
    "__init__": {"_version"},
}
STANDARD_LIBRARY_ONLY = {"launcher", "_version", "errors", "units", "job", "schedulers", "script"}


def imports(path: Path) -> Iterator[str]:
    """The dotted names that a module imports, wherever in it; relative ones made absolute.

    What only the type checker imports does not count.
    """
    tree = ast.parse((PACKAGE / path).read_text(encoding="utf-8"))
    package = ["unispawner", *path.parts[:-1]]
    typing_only = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.unparse(branch.test)
        for statement in branch.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module == "unispawner" or (node.level and not node.module):
                yield from (f"{module}.{alias.name}" for alias in node.names)
            else:
                yield module


def place(path: Path) -> str:
    return path.parts[0].removesuffix(".py")


def ours(path: Path) -> set[str]:
    return {
        name.split(".")[1]
        for name in imports(path)
        if name.startswith("unispawner.") and not name.split(".")[1].startswith("__version")
    }


def foreign(path: Path) -> set[str]:
    names = {name.partition(".")[0] for name in imports(path)} - {"unispawner"}
    return names - sys.stdlib_module_names


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_run_downward(path: Path) -> None:
    """The value types know nothing; schedulers neither side; the user's side nothing of the Hub."""
    allowed = MAY_IMPORT.get(place(path))
    if allowed is None:
        assert "agent" not in ours(path)
    else:
        assert ours(path) <= allowed


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_foreign_packages_are_where_they_belong(path: Path) -> None:
    """The user's side never pays for JupyterHub; the Hub never loads PSI/J or DRMAA."""
    if place(path) in STANDARD_LIBRARY_ONLY:
        assert foreign(path) <= ({"jinja2"} if path.name == "filling.py" else set())
    elif place(path) == "agent":
        in_executors = path.parts[1] == "executors"
        assert foreign(path) <= ({"psij"} if in_executors else {"drmaa"})
    else:
        assert set() == foreign(path) & {"psij", "drmaa"}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_no_module_is_too_long(path: Path) -> None:
    """One screenful of contents; what grows beyond is two things."""
    lines = (PACKAGE / path).read_text(encoding="utf-8").count("\n")
    assert lines <= LONGER.get(str(path), 400)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_only_resume_touches_what_jupyterhub_keeps_to_itself(path: Path) -> None:
    """Its private attributes change with any release."""
    private = {"_spawn_future", "_spawn_pending", "_check_pending", "_stop_pending"}
    tree = ast.parse((PACKAGE / path).read_text(encoding="utf-8"))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert str(path) == "servers/resume.py" or set() == used & private


@pytest.mark.parametrize("name", unispawner.__all__)
def test_public_names_are_there(name: str) -> None:
    """Each can be imported, is listed, and comes from us."""
    assert getattr(unispawner, name)
    assert name in dir(unispawner)


def test_other_names_are_not() -> None:
    """A typing error is an AttributeError, and so an ImportError."""
    with pytest.raises(AttributeError, match="UniSpawnr"):
        _ = unispawner.UniSpawnr
    with pytest.raises(ImportError):
        from unispawner import UniSpawnr  # noqa: F401


def test_public_names_come_when_they_are_asked_for() -> None:
    """The user's side imports the package, too."""
    code = (
        "import sys, unispawner; before = 'jupyterhub' in sys.modules\n"
        "from unispawner import JobSpec, SubmitError; between = 'jupyterhub' in sys.modules\n"
        "from unispawner import UniSpawner; print(before, between, 'jupyterhub' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "False False True" == done.stdout.strip(), done.stderr


def test_the_fake_scheduler_is_public() -> None:
    """Others test their configuration with it."""
    from unispawner import testing

    for name in testing.__all__:
        assert getattr(testing, name).__doc__


@pytest.mark.parametrize("cls", ["UniSpawner", "ProfilesSpawner", "SlurmSpawner"])
def test_no_private_name_of_jupyterhubs_is_taken(cls: str) -> None:
    """Its spawner has private attributes that its pages ask for: `_failed` is a server's, say."""
    from jupyterhub.spawner import Spawner
    from traitlets.config import LoggingConfigurable

    private = {name for name in vars(Spawner) if name.startswith("_")}
    private -= {*vars(LoggingConfigurable), *(name for name in private if "_default" in name)}
    mine = [
        one for one in getattr(unispawner, cls).__mro__ if one.__module__.startswith("unispawner")
    ]
    assert {name for one in mine for name in vars(one)} & private <= ON_PURPOSE


ON_PURPOSE = {"_run_apply_user_options"}  # the one way to check what it sets
