"""``c.UniSpawner.mail``: how the Hub sends mail to its users."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ..errors import InvalidJobError

_ADDRESS = re.compile(r"[A-Za-z0-9.#$&'*+/=?^_`{}~-]{1,64}@[A-Za-z0-9.-]{1,255}")
"""One plain address: nothing that a mail server could take for a second one, or for a header, and
no % or ! of an old way to name another server."""


class MailSettings(BaseModel):
    """``c.UniSpawner.mail``: how the Hub sends mail.

    Attributes
    ----------
    host, port
        The SMTP server.
    sender
        The address in "From"; its key is ``from``.
    to
        A user's address: a text with ``{username}``, or a function of the spawner that returns an
        address, or nothing if this user gets no mail. It is called on the event loop, so that it
        must not wait.
    tls
        ``starttls``, ``ssl`` (TLS from the first byte) or ``none``.
    user, password_file
        The login, if the server wants one. Only the Hub's account should be able to read the file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(min_length=1)
    port: int = Field(25, ge=1, le=65535)
    sender: str = Field(alias="from")
    to: str | Callable[..., Any]
    tls: Literal["starttls", "ssl", "none"] = "starttls"
    user: str = ""
    password_file: str = ""

    @field_validator("sender")
    @classmethod
    def _one_address(cls, value: str) -> str:
        if not is_address(value):
            raise ValueError(f"{value!r} must be an address, such as hub@example.org")
        return value

    @field_validator("to")
    @classmethod
    def _an_address_of_each_user(cls, value: Any) -> Any:
        example = value.replace("{username}", "alice") if isinstance(value, str) else ""
        if isinstance(value, str) and ("{" in example or not is_address(example)):
            raise ValueError(f"{value!r} must be like {{username}}@example.org, or a function")
        return value


def read_settings(data: object) -> MailSettings | None:
    """Return the settings of ``c.UniSpawner.mail``; None if there are none.

    Raises
    ------
    InvalidJobError
        Naming the first key that can't be right.
    """
    if not data:
        return None
    try:
        return MailSettings.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"][:1])
        raise InvalidJobError(f"c.UniSpawner.mail: {key}: {_words(first)}") from None


def _words(error: Any) -> str:
    """Return one of pydantic's errors in an administrator's words."""
    if error["type"] == "missing":
        return "this key is required"
    if error["type"] == "extra_forbidden":
        known = (field.alias or name for name, field in MailSettings.model_fields.items())
        return f"unknown key; known keys: {', '.join(sorted(known))}"
    if error["type"] == "value_error":
        return str(error["msg"]).removeprefix("Value error, ")
    return str(error["msg"]).replace("Input should be", f"{error['input']!r} must be", 1)


def is_address(text: object) -> bool:
    """Return whether a text is one plain mail address."""
    return isinstance(text, str) and _ADDRESS.fullmatch(text) is not None
