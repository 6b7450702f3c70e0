"""Runs a configuration file as JupyterHub does, and returns what it sets.

The old file may import batchspawner and wrapspawner, which need not be installed: while it runs,
two stand-ins take their place and give it unispawner's classes. The new file must import neither.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

import unispawner

from ... import legacy
from ...errors import InvalidJobError

WRAPSPAWNER_NAMES = ("ProfilesSpawner", "WrapSpawner")
NAMES = (*legacy.__all__, *WRAPSPAWNER_NAMES)
"""The names of batchspawner's and wrapspawner's that unispawner has, too."""

MODULES = (
    *("batchspawner", "batchspawner.batchspawner", "batchspawner.api"),
    *("wrapspawner", "wrapspawner.wrapspawner"),
)


def counterpart(name: str) -> Any:
    """Return what unispawner has under a name of batchspawner's or wrapspawner's, or None."""
    return getattr(unispawner, name) if name in NAMES else None


class _StandIn(ModuleType):
    """A module of batchspawner's or wrapspawner's, with unispawner's classes."""

    __path__: list[str] = []
    __all__ = list(NAMES)

    def __getattr__(self, name: str) -> Any:
        found = counterpart(name)
        if found is None:
            raise AttributeError(f"unispawner has no counterpart of {self.__name__}.{name}")
        return found


@contextmanager
def stand_ins() -> Iterator[None]:
    """Let code import batchspawner and wrapspawner, and get unispawner's classes."""
    with _replace_modules({name: _StandIn(name) for name in MODULES}):
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


def load_old(path: Path) -> Config:
    """Return what the old file sets; it gets unispawner's classes for batchspawner's.

    Raises
    ------
    InvalidJobError
        If the file raises anything; the message names the line.
    """
    with stand_ins():
        return _load(path, path.absolute().parent)


def load_new(path: Path, folder: Path) -> Config:
    """Return what the new file sets; importing batchspawner or wrapspawner fails.

    Parameters
    ----------
    folder
        Where the files are that it loads itself.

    Raises
    ------
    InvalidJobError
        If the file raises anything; the message names the line.
    """
    with _replace_modules(dict.fromkeys(MODULES)):
        return _load(path, folder)


def _load(path: Path, folder: Path) -> Config:
    loader = PyFileConfigLoader(str(path.absolute()), str(folder))
    try:
        # What the file prints must not end up in the report, or in a configuration on stdout.
        with redirect_stdout(sys.stderr):
            config: Config = loader.load_config()
            return config
    except (Exception, SystemExit) as error:  # the file is a program: it may raise anything
        if isinstance(error, SyntaxError) and error.filename == loader.full_filename:
            line = error.lineno
        else:
            line = _line(error.__traceback__, loader.full_filename)
        raise InvalidJobError(
            f"{path}{f', line {line}' if line else ''}: {type(error).__name__}: {error}"
        ) from None


def _line(trace: TracebackType | None, file: str) -> int | None:
    """Return the last line of a file that was running when an error was raised."""
    line = None
    while trace is not None:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == file else line
        trace = trace.tb_next
    return line
