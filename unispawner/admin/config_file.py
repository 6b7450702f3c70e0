"""Reads a Hub's configuration as the Hub does, for commands that an administrator runs."""

from __future__ import annotations

import re
import sys
import traceback
from pathlib import Path
from typing import Any

from jupyterhub.spawner import LocalProcessSpawner, Spawner
from jupyterhub.traitlets import EntryPointType
from traitlets import HasTraits, TraitError
from traitlets.config.loader import Config, PyFileConfigLoader

from ..errors import InvalidJobError
from ..legacy import BatchSpawnerBase
from ..profiles.wrap_spawner import WrapSpawner
from ..servers.spawner import UniSpawner

OURS = (UniSpawner, BatchSpawnerBase, WrapSpawner)
DEFAULT = "jupyterhub_config.py"


def load_config(path: str) -> Config:
    """Return the settings of a configuration file; none if the default file does not exist.

    Raises
    ------
    InvalidJobError
        If another file does not exist, or the file can't be run.
    """
    if Path(path).is_file():
        try:
            return PyFileConfigLoader(path).load_config()
        except Exception as error:  # the file is a program: whatever it raises
            frames = traceback.extract_tb(error.__traceback__)
            line = next((one.lineno for one in reversed(frames) if one.filename == path), None)
            where = path if line is None else f"{path}, line {line}"
            missing = error.name if isinstance(error, ModuleNotFoundError) else ""
            hint = (
                f"; write unispawner instead of {missing} in this line, too"
                if missing in ("batchspawner", "wrapspawner")
                else ""
            )
            raise InvalidJobError(f"{where}: {type(error).__name__}: {error}{hint}") from None
    if path != DEFAULT:
        raise InvalidJobError(f"{path}: there is no such file")
    print(
        f"There is no {path} here; the defaults are used (-f names another file).", file=sys.stderr
    )
    return Config()


class _Hub(HasTraits):
    spawner_class = EntryPointType(
        LocalProcessSpawner, klass=Spawner, entry_point_group="jupyterhub.spawners"
    )


def spawner_class(config: Config) -> type[Spawner]:
    """Return the class of ``c.JupyterHub.spawner_class``: a class, its name, or an entry point's.

    Raises
    ------
    InvalidJobError
        If there is no class of that name, or it is not one of ours.
    """
    hub = config.get("JupyterHub", {})
    try:
        cls = _Hub(**{k: hub[k] for k in hub if k == "spawner_class"}).spawner_class
    except (TraitError, ImportError) as error:
        words = re.sub(
            r"The 'spawner_class' trait of .*? instance (must be a type, but )?", "", str(error)
        )
        raise InvalidJobError(
            f"c.JupyterHub.spawner_class: {words}; set it to a class of unispawner, such as "
            '"unispawner" or "unispawner.ProfilesSpawner"'
        ) from None
    if not issubclass(cls, OURS):
        raise InvalidJobError(
            f"c.JupyterHub.spawner_class: {cls.__name__} is not a class of unispawner; set it to "
            '"unispawner"'
        )
    found: type[Spawner] = cls
    return found


def class_or_unispawner(config: Config) -> type[Spawner]:
    """Return the class, or UniSpawner if it is not one of ours: the file may not be finished."""
    try:
        return spawner_class(config)
    except InvalidJobError:
        return UniSpawner


def spawner_for_nobody(cls: type[Any], config: Config, path: str) -> Any:
    """Return a spawner with the Hub's configuration that belongs to nobody.

    Parameters
    ----------
    path
        The path of the configuration, for the error.

    Raises
    ------
    InvalidJobError
        If a setting has a value that its trait refuses.
    """
    try:
        return cls(config=config)
    except Exception as error:  # a site's class may raise anything
        raise InvalidJobError(f"{path}: {error}") from None
