"""A Hub's configuration, read as the Hub reads it, for what an administrator runs by hand."""

from __future__ import annotations

import re
import sys
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
    """Return what a configuration file sets; nothing if there is none of the default's name.

    Raises
    ------
    InvalidJobError
        If there is no such file, or it can't be run.
    """
    if Path(path).is_file():
        try:
            return PyFileConfigLoader(path).load_config()
        except Exception as error:  # the file is a program: whatever it raises
            raise InvalidJobError(f"{path}: {type(error).__name__}: {error}") from None
    if path != DEFAULT:
        raise InvalidJobError(f"There is no file {path}")
    print(f"There is no {path} here (-f names one): these are the defaults.", file=sys.stderr)
    return Config()


class _Hub(HasTraits):
    spawner_class = EntryPointType(
        LocalProcessSpawner, klass=Spawner, entry_point_group="jupyterhub.spawners"
    )


def spawner_class(config: Config) -> type[Spawner]:
    """Return the class that ``c.JupyterHub.spawner_class`` names, in whatever way.

    Raises
    ------
    InvalidJobError
        If there is none of that name, or it is none of ours.
    """
    hub = config.get("JupyterHub", {})
    try:
        cls = _Hub(**{k: hub[k] for k in hub if k == "spawner_class"}).spawner_class
    except (TraitError, ImportError) as error:
        words = re.sub(r"The 'spawner_class' trait of .*? instance ", "", str(error))
        raise InvalidJobError(f"c.JupyterHub.spawner_class: {words}") from None
    if not issubclass(cls, OURS):
        raise InvalidJobError(f'c.JupyterHub.spawner_class is {cls.__name__}, not "unispawner"')
    found: type[Spawner] = cls
    return found


def class_or_unispawner(config: Config) -> type[Spawner]:
    """Return the class, or UniSpawner if it is none of ours: such a file may not be ready yet."""
    try:
        return spawner_class(config)
    except InvalidJobError:
        return UniSpawner


def spawner_for_nobody(cls: type[Any], config: Config, path: str) -> Any:
    """Return a spawner that is configured as the Hub's would be, but belongs to nobody.

    Parameters
    ----------
    path
        Where the configuration is from, for the error.

    Raises
    ------
    InvalidJobError
        If a setting has a value that its trait refuses.
    """
    try:
        return cls(config=config)
    except Exception as error:  # traitlets' own error, or of a site's class whatever it raises
        raise InvalidJobError(f"{path}: {error}") from None
