"""The id of this Hub, which is the first part of each job's mark.

``unispawner reap`` ends jobs of this Hub only, and several Hubs may use one cluster. The id is made
once, and kept in a file beside JupyterHub's cookie secret; ``c.UniSpawner.hub_id`` overrules it. A
Hub that can't have such a file works all the same: its jobs have marks without a Hub's id, which
``unispawner reap`` only lists.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path
from typing import Any

from ..errors import InvalidJobError
from ..job import HUB_ID

FILE = "unispawner_hub_id"
"""The file's name."""
_SETTING = "unispawner_hub_id"
"""Where the Hub's application keeps the id for all spawners."""
_MARKS_JOBS = {"hub_id", "child_class"}
"""Traits of a spawner whose jobs have marks, or of a wrapper, whose children's jobs may have."""
_LONGEST = 100
"""How many bytes of the file are read."""


def find_path(cookie_secret_file: str) -> Path:
    """Return the path of the file, beside the one that ``cookie_secret_file`` names."""
    return Path(os.path.abspath(os.path.expanduser(cookie_secret_file))).with_name(FILE)


def read_hub_id(path: Path) -> str:
    """Return the Hub's id in a file; empty if there is no file.

    Raises
    ------
    InvalidJobError
        If the file can't be read, holds something else, or another account could change it.
    """
    try:
        # A FIFO must not hang the Hub.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise InvalidJobError(f"{path}: the Hub's id can't be read: {error.strerror}") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise InvalidJobError(f"{path}: this must be a file with the Hub's id; remove it")
        if found.st_mode & 0o022:
            raise InvalidJobError(
                f"{path}: other accounts can change the Hub's id; run: chmod 600 {path}"
            )
        text = os.read(descriptor, _LONGEST).decode("utf-8", "replace").strip()
    finally:
        os.close(descriptor)
    if not re.fullmatch(HUB_ID, text):
        raise InvalidJobError(
            f"{path}: {text!r} is not the id of a Hub (1 to 15 lower-case letters and digits). "
            "Write the id into it that this Hub's jobs have, or remove the file: then the Hub "
            "makes a new id when it starts, and takes its earlier jobs for another Hub's"
        )
    return text


def make_hub_id(path: Path) -> str:
    """Return the Hub's id in a file; make the file, with mode 0600, if there is none.

    Two Hubs that start at the same time get the same id: the file appears with its content, and
    whoever comes second reads it.

    Raises
    ------
    InvalidJobError
        If the file can't be made or read.
    """
    if found := read_hub_id(path):
        return found
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(f"{secrets.token_hex(4)}\n")
                file.flush()
                os.fsync(descriptor)
            os.link(new, path)  # unlike a rename, it never replaces a file
        except FileExistsError:
            pass  # another Hub was first
        finally:
            os.unlink(new)
    except OSError as error:
        raise InvalidJobError(f"{path}: the Hub's id can't be written: {error.strerror}") from None
    return read_hub_id(path)


def set_up(hub: Any) -> None:
    """Give all spawners of a Hub its id; called once, when the Hub starts.

    Parameters
    ----------
    hub
        JupyterHub's application.
    """
    if not _MARKS_JOBS & set(hub.spawner_class.class_trait_names()):
        return  # a legacy class: its jobs have no place for a mark
    configured = configured_hub_id(hub.spawner_class, hub.config)
    try:
        hub_id = configured or make_hub_id(find_path(hub.cookie_secret_file))
    except InvalidJobError as error:
        hub.log.error(
            "Jobs get no Hub's id, so `unispawner reap` only lists those that no server owns. Set "
            "c.UniSpawner.hub_id, or solve this and start the Hub again: %s",
            error,
        )
        return
    hub.tornado_settings[_SETTING] = hub_id


def configured_hub_id(spawner_class: type, config: Any) -> str:
    """Return what ``hub_id`` is set to for the Hub's spawners; empty if it is not set."""
    names = [cls.__name__ for cls in spawner_class.__mro__]
    sections = (config.get(name, {}) for name in (*names, "UniSpawner"))
    return next((str(one["hub_id"]) for one in sections if one.get("hub_id")), "")


def hub_id_of(settings: Any) -> str:
    """Return the Hub's id in the settings of its application; empty if it has none."""
    return str(settings.get(_SETTING, ""))


def find_hub_id(spawner: Any) -> str:
    """Return the id of a spawner's Hub; empty if it has none."""
    return str(spawner.hub_id) or hub_id_of(getattr(spawner.user, "settings", None) or {})
