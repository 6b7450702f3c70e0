"""Checks what the Hub needs to send mail, without sending any."""

from __future__ import annotations

import getpass
import os
import stat
from collections.abc import Iterable
from typing import Any

from traitlets.config import Config

from ...errors import InvalidJobError
from ...settings.mail import MailSettings, read_settings

_OTHERS = 0o077
"""The bits of a file's mode that let others than its owner do something."""


def find_settings(spawners: Iterable[Any]) -> list[MailSettings]:
    """Return the different settings of mail of some spawners.

    Raises
    ------
    InvalidJobError
        If one of them can't be right.
    """
    found: dict[str, MailSettings] = {}
    for one in spawners:
        data = getattr(one, "mail", None)
        if settings := read_settings(data):
            found.setdefault(repr(data), settings)
    return list(found.values())


def check_login(settings: MailSettings) -> list[str]:
    """Return what is doubtful about the login at the mail server.

    Raises
    ------
    InvalidJobError
        If no mail could be sent with it.
    """
    if not settings.user:
        if settings.password_file:
            return ["password_file: it is not used, because user is not set; set both or neither"]
        return []
    if not settings.password_file:
        raise InvalidJobError(
            f"c.UniSpawner.mail: password_file: it is not set, so the Hub can't log in as "
            f"{settings.user!r}; write the password into a file that only the Hub's account can "
            "read, and name the file here"
        )
    doubts = _check_file(settings.password_file)
    if settings.tls == "none":
        doubts.append(
            'tls: "none" sends the password over the network as plain text; use "starttls" or "ssl"'
        )
    return doubts


def _check_file(path: str) -> list[str]:
    name = "c.UniSpawner.mail: password_file"
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):  # to open a named pipe would wait
            raise InvalidJobError(f"{name}: {path} is not a file; name the file with the password")
        with open(path, "rb") as file:
            empty = not file.read(4096).strip()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InvalidJobError(
            f"{name}: {getpass.getuser()} can't read {path} ({why}), so no mail can be sent; name "
            "the file with the password, and let the Hub's account read it"
        ) from None
    if empty:
        raise InvalidJobError(f"{name}: {path} is empty; write the password into it")
    doubts = []
    if found.st_mode & _OTHERS:
        doubts.append(
            f"password_file: others than its owner may use {path} (mode "
            f"{stat.S_IMODE(found.st_mode):04o}); `chmod 600 {path}`"
        )
    if not os.path.isabs(path):
        doubts.append(f"password_file: {path} depends on the folder in which the Hub starts")
    return doubts


def check_links(config: Config) -> list[str]:
    """Return what keeps a mail from naming the Hub's address."""
    if config.JupyterHub.get("public_url"):
        return []
    return [
        "c.JupyterHub.public_url: it is not set, so mail has no link to the server; set it to the "
        'address that users type, as in "https://hub.example.org/"'
    ]
