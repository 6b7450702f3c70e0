"""Reads a configuration as the Hub does and makes its spawner, for commands of administrators."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from jupyterhub.spawner import LocalProcessSpawner, Spawner
from jupyterhub.traitlets import EntryPointType
from traitlets import HasTraits, TraitError
from traitlets.config import Config

from ..errors import InvalidJobError, UniSpawnerError
from ..legacy import BatchSpawnerBase
from ..profiles.wrap_spawner import WrapSpawner
from ..servers.spawner import UniSpawner
from .config_file import OLD_PACKAGES, ConfigFile, run_json

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
        if path.endswith(".json"):
            return run_json(path)
        folder = str(Path(path).absolute().parent)
        sys.path.append(folder)  # modules of the site's are often beside the file
        file = ConfigFile(Path(path).absolute(), (folder,))
        config = file.run(path)
        for name in file.missing:
            print(f"{path}: load_subconfig({name!r}): there is no such file", file=sys.stderr)
        return config
    if Path(path).is_dir():
        raise InvalidJobError(f"{path}: this is a folder; name the configuration file in it")
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
    if old := _old_package(cls):
        raise InvalidJobError(
            f"c.JupyterHub.spawner_class: {cls.__name__} is a class of {old}, and not of "
            f"unispawner; write unispawner instead of {old} in the configuration, in the files "
            "that it loads and in the modules that it imports"
        )
    if not issubclass(cls, OURS):
        raise InvalidJobError(
            f"c.JupyterHub.spawner_class: {cls.__name__} is not a class of unispawner; set it to "
            '"unispawner"'
        )
    found: type[Spawner] = cls
    return found


def _old_package(cls: type) -> str:
    """Return batchspawner or wrapspawner if a class is derived from its classes; else nothing."""
    packages = (base.__module__.partition(".")[0] for base in cls.__mro__)
    return next((name for name in packages if name in OLD_PACKAGES), "")


def class_or_unispawner(config: Config) -> type[Spawner]:
    """Return the class; UniSpawner if none is set, because the file may not be finished.

    Raises
    ------
    InvalidJobError
        If there is no class of that name, or it is not one of ours.
    """
    return spawner_class(config) if "spawner_class" in config.JupyterHub else UniSpawner


class Nobody:
    """A user who only has a name, for a site's class that can't be made without a user."""

    admin = False

    def __init__(self, name: str = "user") -> None:
        self.name = self.escaped_name = name
        self.url = self.base_url = f"/user/{name}/"
        self.groups: list[Any] = []
        self.spawners: dict[str, Any] = {}
        self.settings: dict[str, Any] = {"template_path": []}


def spawner_for_nobody(
    cls: type[Any], config: Config, path: str, user: Nobody | None = None
) -> Any:
    """Return a spawner with the Hub's configuration that belongs to nobody.

    Parameters
    ----------
    path
        The path of the configuration, for the error.
    user
        The user; by default there is none, unless the class needs one.

    Raises
    ------
    InvalidJobError
        If a setting has a value that its trait refuses.
    """
    errors: list[Exception] = []
    without: list[dict[str, Any]] = [] if user else [{}]
    for more in (*without, {"user": user or Nobody()}):  # a site's class may need a user
        try:
            return cls(config=config, **more)
        except Exception as error:  # and may raise anything
            errors.append(error)
    if isinstance(errors[0], TraitError):
        raise InvalidJobError(f"{path}: {errors[0]}")
    raise InvalidJobError(
        f"{path}: {cls.__name__} can't be made for a user who only has a name: "
        f"{type(errors[-1]).__name__}: {errors[-1]}"
    )


class UnknownChild(InvalidJobError):
    """A wrapper's own code makes no child for a user who has chosen nothing."""


def wrapped_spawner(spawner: WrapSpawner) -> Any:
    """Return the spawner that a wrapper runs servers with.

    Raises
    ------
    InvalidJobError
        If a wrapper's ``child_config`` can't be right, or it can't make a child.
    UnknownChild
        If a site's own code fails: it may need a user, or what a user chooses.
    """
    name = type(spawner).__name__
    try:
        try:
            return spawner.make_child()
        except (UniSpawnerError, TraitError):
            raise
        except Exception:  # a site's own construct_child may raise anything
            if spawner.user is not None:
                raise
            spawner.user = Nobody()
            return spawner.make_child()
    except UniSpawnerError:
        raise
    except TraitError as error:
        raise InvalidJobError(f"c.{name}.child_config: {error}") from None
    except Exception as error:
        raise UnknownChild(
            f"{name}.construct_child fails for a user who has chosen nothing: "
            f"{type(error).__name__}: {error}"
        ) from None
