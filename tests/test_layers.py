"""The architecture: imports run downward only, and each side has only the packages it may have.

``python tests/test_layers.py`` prints how many rooms (modules and folders) lie on the top floor,
the circles of imports and the longest chain of imports.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

found = find_spec("unispawner")
assert found and found.origin
PACKAGE = Path(found.origin).parent
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))

# What each room, a folder or a module of the top floor, may import from other rooms.
MAY_IMPORT: dict[str, set[str]] = {
    "_version": set(),
    "__init__": {"_version"},
    "texts": set(),
    "reasons": {"texts"},
    "errors": {"reasons", "texts"},
    "launcher": set(),
    "units": {"errors", "texts"},
    "tasks": {"errors"},
    "frames": set(),
    "slow_patterns": set(),
    "metrics": set(),
    "events": set(),
    "job": {"errors", "units"},
    "schedulers": {"errors", "reasons", "texts", "units", "job"},
    "command": {"errors", "schedulers"},
    "script": {"errors", "job", "schedulers", "launcher"},
    "agent": {"command", "errors", "units", "job", "schedulers", "script"},
    # The broker is started by name; nothing imports it.
    "broker": {"command", "errors", "frames", "script", "agent"},
    "submit_host": {"_version", "command", "errors", "frames", "metrics", "schedulers"},
    "run_as": {"errors", "job", "metrics", "schedulers", "submit_host", "tasks"},
    "monitor": {
        *("errors", "job", "metrics", "reasons", "schedulers", "submit_host", "run_as", "tasks"),
        "texts",
    },
    "settings": {
        *("errors", "job", "units", "schedulers", "script", "submit_host", "run_as", "tasks"),
        "slow_patterns",
    },
    "web": {
        *("errors", "job", "metrics", "monitor", "reasons", "schedulers", "tasks", "texts"),
        "units",
    },
    "servers": {
        *("errors", "job", "schedulers", "submit_host", "run_as", "monitor", "settings", "web"),
        *("events", "metrics", "tasks", "texts"),
    },
    "profiles": {
        *("errors", "job", "schedulers", "servers", "slow_patterns", "texts", "units", "web"),
        *("metrics", "submit_host", "tasks"),
    },
    # What batchspawner has under this name.
    "api": {"web"},
    "legacy": {
        *("errors", "job", "schedulers", "script", "submit_host", "run_as", "web", "servers"),
        "tasks",
    },
    # For other people's tests: a fake scheduler, and the conformance suite, which goes to a cluster
    # by the Hub's own way.
    "testing": {
        *("errors", "job", "schedulers", "script", "submit_host", "run_as", "settings", "servers"),
        *("admin", "command"),
    },
    # The commands: everything but the user's side, which they start as a process.
    "admin": {
        *("_version", "errors", "job", "units", "tasks", "schedulers", "script", "submit_host"),
        *("run_as", "monitor", "settings", "web", "servers", "profiles", "legacy", "api"),
    },
}
PURE = {
    *("_version", "errors", "frames", "launcher", "texts", "units", "job", "schedulers", "script"),
    *("events", "reasons", "slow_patterns"),
}
"""Rooms that need no package but the standard library; a template may be Jinja's."""
NO_JUPYTERHUB = {
    *("profiles/fields.py", "profiles/option.py", "profiles/profile.py", "profiles/reading.py"),
    *("profiles/schema.py", "profiles/applications.py", "profiles/own_value.py"),
    "profiles/shell_text.py",
}
"""The model of a profile, which needs no Hub."""


def imports(path: Path, *, typing_too: bool = True) -> Iterator[str]:
    """Yield the dotted names of the modules that a module imports, wherever in it, absolute.

    Without ``typing_too``, what only the type checker imports is left out.
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
        if id(node) in typing_only and not typing_too:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                # "from . import x": x may be a module, or a name in the package's __init__.
                full = f"{module}.{alias.name}"
                yield full if module_path(full) else module


def module_path(name: str) -> Path | None:
    """Return the file of a module of ours; None for another name."""
    first, *parts = name.split(".")
    if first != "unispawner":
        return None
    for path in (Path(*parts).with_suffix(".py") if parts else None, Path(*parts, "__init__.py")):
        if path is not None and (PACKAGE / path).exists():
            return path
    return None


def room(path: Path) -> str:
    """Return the folder, or the module, of the top floor in which a file lies."""
    return path.parts[0].removesuffix(".py")


def ours(path: Path) -> set[Path]:
    """Return the files of ours that a file imports."""
    return {file for name in imports(path) if (file := module_path(name)) and file != path}


def foreign(path: Path) -> set[str]:
    """Return the packages that a file imports, except ours and the standard library's."""
    names = {name.partition(".")[0] for name in imports(path, typing_too=False)} - {"unispawner"}
    return names - sys.stdlib_module_names


def circles() -> list[list[str]]:
    """Return the groups of modules that import each other, by whatever way (Tarjan's)."""
    index: dict[Path, int] = {}
    low: dict[Path, int] = {}
    stack: list[Path] = []
    result = []

    def visit(path: Path) -> None:
        index[path] = low[path] = len(index)
        stack.append(path)
        for other in sorted(ours(path)):
            if other not in index:
                visit(other)
                low[path] = min(low[path], low[other])
            elif other in stack:
                low[path] = min(low[path], index[other])
        if low[path] == index[path]:
            group = stack[stack.index(path) :]
            del stack[stack.index(path) :]
            if len(group) > 1:
                result.append(sorted(map(str, group)))

    for path in MODULES:
        if path not in index:
            visit(path)
    return result


def longest_chain() -> list[str]:
    """Return the longest chain of rooms, each of which imports the next."""
    below: dict[str, set[str]] = {}
    for path in MODULES:
        rooms = {room(other) for other in ours(path)} - {room(path)}
        below.setdefault(room(path), set()).update(rooms)

    def chain(name: str, above: frozenset[str] = frozenset()) -> list[str]:
        rooms = sorted(below.get(name, set()) - above)
        longest = max((chain(one, above | {name}) for one in rooms), key=len, default=[])
        return [name, *longest]

    return max(map(chain, sorted(below)), key=len)


def test_imports_run_downward() -> None:
    """Each room imports only rooms that lie below it."""
    wrong = [
        f"{path} imports {other}"
        for path in MODULES
        for other in sorted(ours(path))
        if room(other) not in {room(path), "__init__"} | MAY_IMPORT[room(path)]
    ]
    assert [] == wrong


def test_the_table_has_each_room_and_no_circle() -> None:
    """A new folder has its line in the table, and what the table allows has an order."""
    assert {room(path) for path in MODULES} == set(MAY_IMPORT)
    left = dict(MAY_IMPORT)
    while left:
        lowest = [name for name, below in left.items() if not below & set(left)]
        assert lowest, f"a circle among {sorted(left)}"
        for name in lowest:
            del left[name]


def test_no_modules_import_each_other() -> None:
    """A module can be understood without those that import it: there are no circles."""
    assert [] == circles()


def test_foreign_packages_are_where_they_belong() -> None:
    """The pure rooms need no package; the user's side no JupyterHub; the Hub no PSI/J, no DRMAA."""
    wrong = []
    for path in MODULES:
        packages = foreign(path)
        if room(path) in PURE:
            bad = packages - ({"jinja2"} if room(path) == "script" else set())
        elif room(path) == "agent":
            bad = packages - ({"psij"} if path.parts[1] == "executors" else {"drmaa"})
        elif path.as_posix() in NO_JUPYTERHUB:
            bad = packages & {"jupyterhub", "tornado", "psij", "drmaa"}
        else:
            bad = packages & {"psij", "drmaa"}
        wrong += [f"{path} imports {name}" for name in sorted(bad)]
    assert [] == wrong


def private_names() -> set[str]:
    """Return JupyterHub's private names: of spawners, users, proxies and request handlers."""
    from jupyterhub.apihandlers.base import APIHandler
    from jupyterhub.proxy import Proxy
    from jupyterhub.spawner import Spawner
    from jupyterhub.user import User
    from traitlets import HasTraits

    classes = [
        cls
        for top in (Spawner, User, Proxy, APIHandler)
        for cls in top.__mro__
        if cls.__module__.startswith("jupyterhub.")
    ]
    names = {name for cls in classes for name in vars(cls) if "_default" not in name}
    names -= set(vars(HasTraits)) | set(vars(type("Any", (HasTraits,), {})))
    return {name for name in names if name.startswith("_") and not name.startswith("__")}


def test_one_module_uses_what_jupyterhub_keeps_to_itself() -> None:
    """JupyterHub's private attributes change with any release: they are in web/bookkeeping.py."""
    assert {"_spawn_future", "_poll_callback", "_run_apply_user_options"} <= private_names()
    wrong = []
    for path in MODULES:
        tree = ast.parse((PACKAGE / path).read_text(encoding="utf-8"))
        used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        used |= {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        used |= {
            node.name
            for cls in ast.walk(tree)
            if isinstance(cls, ast.ClassDef)
            for node in cls.body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        if path.as_posix() != "web/bookkeeping.py":
            wrong += [f"{path}: {name}" for name in sorted(used & private_names())]
    assert [] == wrong


if __name__ == "__main__":
    top = sorted({room(path) for path in MODULES} - {"__init__", "_version"})
    between = {(room(path), room(other)) for path in MODULES for other in ours(path)}
    print(f"modules: {len(MODULES)}")
    print(f"rooms on the top floor: {len(top)}: {' '.join(top)}")
    print(f"imports between rooms: {sum(a != b and b != '__init__' for a, b in between)}")
    print(f"circles: {len(circles())}: {circles()}")
    print(f"longest chain of rooms: {len(longest_chain())}: {' > '.join(longest_chain())}")
