"""Runs a configuration file as JupyterHub does, and finds out in which line it fails."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import TracebackType

from traitlets.config import Config
from traitlets.config.loader import (
    ConfigFileNotFound,
    FileConfigLoader,
    JSONFileConfigLoader,
    PyFileConfigLoader,
)

from ..errors import InvalidJobError

OLD_PACKAGES = ("batchspawner", "wrapspawner")
_OF_STAR_IMPORTS = {
    **dict.fromkeys(("Any", "Dict", "Float", "Instance", "Integer", "List", "Tuple"), "traitlets"),
    **dict.fromkeys(("Type", "Unicode", "default", "directional_link"), "traitlets"),
    **dict.fromkeys(("Spawner", "LocalProcessSpawner", "set_user_setuid"), "jupyterhub.spawner"),
    **dict.fromkeys(("asyncio", "json", "os", "pwd", "re"), "Python's standard library"),
}
"""What batchspawner and wrapspawner have imported, by where it comes from."""


class ConfigFile(PyFileConfigLoader):
    """A configuration file that is run, with the files that it loads itself by load_subconfig.

    Parameters
    ----------
    folders
        Where the files are that it loads. A Hub looks for them in the folder in which it was
        started, which is usually the folder of its configuration.
    shown_as
        What ``__file__`` is while the file runs; the file's own path if None.
    change
        Changes the text of a file that is loaded by load_subconfig before it is run.

    Attributes
    ----------
    files
        The files that have been run: this file and those that it loaded.
    missing
        The names given to load_subconfig that no file has; a Hub ignores them.
    """

    def __init__(
        self,
        path: str | Path,
        folders: tuple[str, ...],
        *,
        shown_as: str | None = None,
        change: Callable[[str], str] | None = None,
    ) -> None:
        super().__init__(str(path), folders)  # type: ignore[arg-type] # filefind takes several
        self.folders = folders
        self.shown_as = shown_as
        self.change = change
        self.is_part = False
        self.files: list[str] = []
        self.missing: list[str] = []

    def load_subconfig(self, fname: str, path: str | None = None) -> None:
        """Load another file into this file's settings; a Hub ignores one that does not exist."""
        part = ConfigFile(fname, (path,) if path else self.folders, change=self.change)
        part.is_part, part.files, part.missing = True, self.files, self.missing
        try:
            config = part.load_config()
        except ConfigFileNotFound:
            self.missing.append(str(fname))
        else:
            self.config.merge(config)

    def _read_file_as_dict(self) -> None:
        """Run the file; the settings are then in ``config``."""
        self.files.append(self.full_filename)
        namespace = {
            "c": self.config,
            "load_subconfig": self.load_subconfig,
            "get_config": lambda: self.config,
            "__file__": self.shown_as or self.full_filename,
        }
        raw = Path(self.full_filename).read_bytes()
        text = self.change(raw.decode()) if self.change and self.is_part else raw
        code = compile(text, self.full_filename, "exec")
        exec(code, namespace)  # noqa: S102 (it is what a Hub does with this file)

    def run(self, name: str) -> Config:
        """Run the file and return its settings; what it prints goes to standard error.

        Parameters
        ----------
        name
            The name of the file for the message.

        Raises
        ------
        InvalidJobError
            If anything is raised. The message names the file and the line, and what to do.
        """
        try:
            # What the file prints must not end up in a report, or in a script on stdout.
            with redirect_stdout(sys.stderr), _like_a_hub(name):
                config: Config = self.load_config()
        except (Exception, SystemExit) as error:  # the file is a program: it may raise anything
            raise InvalidJobError(f"{self._place(error, name)}: {_explain(error)}") from None
        return config

    def _place(self, error: BaseException, name: str) -> str:
        """Return the file and the line that were running when an error was raised."""
        own = self.files[0] if self.files else ""
        if isinstance(error, SyntaxError) and error.filename in self.files:
            file, line = str(error.filename), error.lineno
        else:
            file, line = _last_line(error.__traceback__, self.files)
        place = name if file in ("", own) else file
        return f"{place}, line {line}" if line else place


@contextmanager
def _like_a_hub(name: str) -> Iterator[None]:
    """Let the file see the arguments of a Hub, and go to another folder for itself only."""
    before, folder = sys.argv, os.getcwd()
    sys.argv = ["jupyterhub", "-f", name]
    try:
        yield
    finally:
        sys.argv = before
        os.chdir(folder)


def run_json(path: str) -> Config:
    """Return the settings of a configuration in JSON.

    Raises
    ------
    InvalidJobError
        If it can't be read.
    """
    loader: FileConfigLoader = JSONFileConfigLoader(path)
    try:
        config: Config = loader.load_config()
    except Exception as error:  # whatever traitlets makes of a wrong file
        raise InvalidJobError(f"{path}: {type(error).__name__}: {error}") from None
    return config


def _last_line(trace: TracebackType | None, files: list[str]) -> tuple[str, int | None]:
    """Return the last line of some files in a traceback, with its file."""
    file, line = "", None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename in files:
            file, line = trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next
    return file, line


def _explain(error: BaseException) -> str:
    """Return an error's words, and what an administrator can do."""
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg}"
    if isinstance(error, SystemExit):
        why = f": {error.code}" if isinstance(error.code, str) else ""
        return f"SystemExit: the file ends the program itself{why}"
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        if package == "unispawner":
            return f"{text}; all names of batchspawner and wrapspawner are in unispawner itself"
        if package in OLD_PACKAGES:
            return f"{text}; write unispawner instead of {package} in this line, too"
        return (
            f"{text}; if the Hub finds it, run this command with the Hub's Python (this is "
            f"{sys.executable}) and with the Hub's PYTHONPATH"
        )
    if isinstance(error, NameError) and error.name in _OF_STAR_IMPORTS:
        return (
            f"{text}; `from batchspawner import *` gave other packages' names, too, and unispawner "
            f"does not: import {error.name} from {_OF_STAR_IMPORTS[error.name]}"
        )
    if isinstance(error, KeyError) and _is_of_environ(error):
        return f"{text}; set this environment variable here as the Hub has it"
    return text


def _is_of_environ(error: BaseException) -> bool:
    """Return whether an error comes from ``os.environ[…]``."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__") == os.__name__


def remove_stray_sections(config: Config) -> dict[str, object]:
    """Remove what is at the top level and is not a section, and return it.

    ``c.jupyterhub.port = 443`` makes such a thing: only a name that begins with a capital is a
    section, and a Hub ignores everything else.
    """
    stray = {name: value for name, value in config.items() if not isinstance(value, Config)}
    for name in stray:
        del config[name]
    return stray
