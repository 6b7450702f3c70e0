"""Runs a configuration file as JupyterHub does, and returns what it sets.

The old file may import batchspawner and wrapspawner, which need not be installed: while it runs,
two stand-ins take their place and give it unispawner's classes. The new file must import neither.
Modules and files of the site's own that the old file loads may import them, too: they are listed,
and the new file gets them as they are when their words are changed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from traitlets import TraitType
from traitlets.config import Config

import unispawner

from ..config_file import ConfigFile, remove_stray_sections
from .names import API_HANDLER, MODULES, NAMES, counterpart
from .site_files import ChangedModules, change_names, find_changes, forget_modules


class _StandIn(ModuleType):
    """A module of batchspawner's or wrapspawner's, with unispawner's classes."""

    __path__: list[str] = []
    __all__ = list(NAMES)
    __version__ = unispawner.__version__

    def __getattr__(self, name: str) -> Any:
        found = counterpart(name)
        if name == API_HANDLER:
            from ...api import BatchSpawnerAPIHandler as found
        if found is None:
            raise AttributeError(f"unispawner has no counterpart of {self.__name__}.{name}")
        return found


@contextmanager
def stand_ins() -> Iterator[None]:
    """Let code import batchspawner and wrapspawner, and get unispawner's classes."""
    modules = {name: _StandIn(name) for name in MODULES}
    for name, module in modules.items():  # "import batchspawner.api" and then its name
        package, _, last = name.partition(".")
        if last:
            setattr(modules[package], last, module)
    with _replace_modules(modules):
        yield


@contextmanager
def _replace_modules(replaced: Mapping[str, ModuleType | None]) -> Iterator[None]:
    before = {name: sys.modules[name] for name in replaced if name in sys.modules}
    sys.modules.update(replaced)  # type: ignore[arg-type]  # None makes an import fail
    try:
        yield
    finally:
        for name in replaced:
            sys.modules.pop(name, None)
        sys.modules.update(before)


@dataclass
class OldConfig:
    """What the old file sets, and what else it does.

    Attributes
    ----------
    modules
        Modules of the site's that import batchspawner or wrapspawner: name and file.
    others
        The lines to change in other files than the old one: modules, and what load_subconfig loads.
    missing
        What load_subconfig did not find.
    stray
        Names at which a configuration has something else than a section.
    patched
        Attributes of unispawner's own classes that the file changes: ``SlurmSpawner.get_env``.
    """

    config: Config
    modules: dict[str, str] = field(default_factory=dict)
    others: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    missing: Sequence[str] = ()
    stray: Sequence[str] = ()
    patched: Sequence[str] = ()


def load_old(path: Path) -> OldConfig:
    """Run the old file; it gets unispawner's classes for batchspawner's.

    Raises
    ------
    InvalidJobError
        If the file raises anything; the message names the line.
    """
    folder = path.absolute().parent
    file = ConfigFile(path.absolute(), (str(folder),))
    with stand_ins(), _watch_classes() as patched, forget_modules() as modules:
        config = file.run(str(path))
    stray = sorted(remove_stray_sections(config))
    others = {}
    for name in dict.fromkeys([*file.files[1:], *modules.values()]):
        if changes := find_changes(Path(name)):
            others[name] = changes
    return OldConfig(config, modules, others, file.missing, stray, patched)


def load_new(
    path: Path, folder: Path, modules: Mapping[str, str] | None = None, *, shown_as: str = ""
) -> Config:
    """Return what the new file sets; importing batchspawner or wrapspawner fails.

    Parameters
    ----------
    folder
        Where the files are that it loads itself.
    modules
        Modules of the site's own whose words an administrator has to change.
    shown_as
        What ``__file__`` is for the file; its own path if this is empty.

    Raises
    ------
    InvalidJobError
        If the file raises anything; the message names the line.
    """
    file = ConfigFile(
        path.absolute(), (str(folder),), shown_as=shown_as or None, change=change_names
    )
    with ExitStack() as stack:
        stack.enter_context(_replace_modules(dict.fromkeys(MODULES)))
        stack.enter_context(_watch_classes())
        stack.enter_context(ChangedModules(modules or {}))
        stack.enter_context(forget_modules())
        config = file.run(str(path))
    remove_stray_sections(config)
    return config


# -- what a file changes in unispawner's own classes -----------------------------------------------


@contextmanager
def _watch_classes() -> Iterator[list[str]]:
    """Give a list that has at the end what was changed in unispawner's classes; undo it."""
    changed: list[str] = []
    classes = _classes()
    before = {cls: dict(vars(cls)) for cls in classes}
    defaults = {
        trait: trait.default_value
        for attributes in before.values()
        for trait in attributes.values()
        if isinstance(trait, TraitType)
    }
    try:
        yield changed
    finally:
        for cls in classes:
            changed += [f"{cls.__name__}.{name}" for name in _restore(cls, before[cls], defaults)]


def _classes() -> list[type]:
    """Return unispawner's counterparts of the old packages' classes, and their base classes."""
    found = (counterpart(name) for name in NAMES)
    bases = [base for cls in found if isinstance(cls, type) for base in cls.__mro__]
    return [cls for cls in dict.fromkeys(bases) if cls.__module__.startswith("unispawner.")]


def _restore(
    cls: type, before: Mapping[str, Any], defaults: Mapping[TraitType[Any, Any], Any]
) -> list[str]:
    """Give a class its attributes again; return the names of those that were changed."""
    changed = []
    for name in {*before, *vars(cls)}:
        if name.startswith("__") or name in ("_abc_impl", "_abc_cache"):
            continue
        old, new = before.get(name), vars(cls).get(name)
        if old is not new:
            changed.append(name)
            if name in before:
                setattr(cls, name, old)
            else:
                delattr(cls, name)
        elif isinstance(old, TraitType) and old.default_value is not defaults[old]:
            changed.append(name)
            old.default_value = defaults[old]
    return sorted(changed)
