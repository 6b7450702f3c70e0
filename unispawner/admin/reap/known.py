"""What the Hub knows: the running Hub itself says it, or its database if no Hub runs."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from jupyterhub.app import JupyterHub
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from traitlets import TraitError
from traitlets.config import Config

from ...errors import AgentError, InvalidJobError, clean_output
from ...servers.hub_id import configured_hub_id, find_path, read_hub_id
from ...servers.starts import KnownStarts, read_saved

TIMEOUT = 30.0
"""How long (seconds) the Hub may take to answer."""
TOKEN = "JUPYTERHUB_API_TOKEN"  # noqa: S105 (the name of a variable)
_LARGEST = 512 * 1024**2
_SCOPES = 'the scopes "admin:server_state" and "list:users"'
_OF_THE_HUB = (
    *("db_url", "db_kwargs", "cookie_secret_file", "base_url", "bind_url", "hub_ip", "hub_port"),
    *("hub_bind_url", "internal_ssl"),
)
"""The settings of JupyterHub itself that say where its database, its files and its API are."""
_HUB_PORT = 8081
"""JupyterHub's own default."""
_ANYWHERE = ("", "0.0.0.0", "::", "*")  # noqa: S104 (only compared with)


class KnowsStarts(Protocol):
    """Whoever knows the starts."""

    name: str
    """``hub`` or ``database``."""

    async def ask(self) -> KnownStarts:
        """Return what is known at this moment.

        Raises
        ------
        UniSpawnerError
            If it can't be asked.
        """


class RunningHub:
    """The Hub that runs, asked over its API.

    Parameters
    ----------
    url
        The address of its API, which ends with ``/hub/api``.
    token
        The token of an administrator or of a service.
    """

    name = "hub"

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._token = token

    async def ask(self) -> KnownStarts:
        """Return what the Hub knows, from its memory and its database."""
        if not self._token:
            raise InvalidJobError(
                f"{TOKEN}: set this variable to a token with {_SCOPES}, of an administrator or of "
                "a service, or name a file that holds it with --token-file. If no Hub runs, add "
                "--no-hub"
            )
        headers = {"Authorization": f"token {self._token}", "Accept": "application/json"}
        status, body = await _get(f"{self.url}/unispawner/starts", headers)
        if status == 0:
            raise AgentError(
                f"No Hub answers at {self.url} ({body}). Name the address of its API with "
                "--hub-url, or start the Hub. Only if no Hub of this configuration runs, add "
                "--no-hub: then its database says which servers it has."
            )
        if status in (401, 403):
            raise AgentError(f"The Hub at {self.url} refuses the token: it must have {_SCOPES}.")
        if status != 200:
            raise AgentError(
                f"The Hub at {self.url} answered {status}. Is --hub-url the address of its API, "
                "such as http://127.0.0.1:8081/hub/api, and is it a Hub with this release?",
                output=body,
            )
        try:
            return KnownStarts.from_dict(json.loads(body))
        except (ValueError, RecursionError) as error:
            raise AgentError(f"The Hub at {self.url} gave no answer of this release.") from error

    async def answers(self) -> bool:
        """Return whether anything answers at the address."""
        return (await _get(self.url, {}))[0] != 0


async def find_listener(hub: JupyterHub) -> str:
    """Return the address of the Hub's API if anything listens there, or an empty text.

    No word is spoken: with internal_ssl the Hub hangs up on programs like this one, on a socket
    they find nothing, and a Hub that is too busy to answer runs all the same.
    """
    bind = _bind_address(hub)
    if "unix" in bind.scheme:
        path = unquote(bind.netloc)
        address, opening = path, asyncio.open_unix_connection(path)
    else:
        host, port = _local_host(bind), bind.port or _HUB_PORT
        address, opening = f"{_bracket(host)}:{port}", asyncio.open_connection(host, port)
    try:
        _, writer = await asyncio.wait_for(opening, TIMEOUT)
    except (OSError, asyncio.TimeoutError):
        return ""
    writer.close()
    return address


async def _get(url: str, headers: Mapping[str, str]) -> tuple[int, str]:
    """Return the status and the text of an answer; status 0 and the reason if there is none."""
    request = HTTPRequest(url, headers=dict(headers), follow_redirects=False)
    request.connect_timeout = request.request_timeout = TIMEOUT
    client = AsyncHTTPClient(force_instance=True, max_body_size=_LARGEST)
    try:
        response = await client.fetch(request, raise_error=False)
        text = response.body.decode("utf-8", "replace")
        return response.code, text if response.code == 200 else clean_output(text, 500)
    except (HTTPClientError, OSError, ValueError) as error:
        return 0, clean_output(str(error), 300)
    finally:
        client.close()


class SavedHub:
    """The database of a Hub that does not run.

    Parameters
    ----------
    hub
        JupyterHub's application with its settings, never started.
    hub_id
        The Hub's id.
    """

    name = "database"

    def __init__(self, hub: JupyterHub, hub_id: str) -> None:
        self._hub, self._hub_id = hub, hub_id

    async def ask(self) -> KnownStarts:
        """Return what the database knows; nothing is written to it."""
        url = self._hub.db_url
        _check_file(url)
        known = KnownStarts(self._hub_id)
        try:
            engine = create_engine(url, **self._hub.db_kwargs)
            try:
                with Session(engine) as session:
                    for _ in read_saved(session, known):
                        pass
            finally:
                engine.dispose()
        except (SQLAlchemyError, ImportError) as error:
            # The error's own text may have the password of db_url.
            raise AgentError(
                f"c.JupyterHub.db_url: the database can't be read: {type(error).__name__}. Is it "
                "the database of this release of JupyterHub?"
            ) from None
        return known


def _check_file(url: str) -> None:
    """Check that the file of a SQLite database exists: SQLite itself would make an empty one."""
    scheme, _, name = url.partition("?")[0].partition(":///")
    path = Path(name).absolute()
    if scheme.startswith("sqlite") and not path.is_file():
        raise InvalidJobError(
            f"c.JupyterHub.db_url: there is no database {path}; run this command in the folder in "
            "which the Hub runs"
        )


def read_hub(config: Config, path: str) -> JupyterHub:
    """Return JupyterHub's application with the settings of a configuration.

    Raises
    ------
    InvalidJobError
        If one of its own settings is wrong.
    """
    given = config.get("JupyterHub", {})
    part = Config({"JupyterHub": {name: given[name] for name in _OF_THE_HUB if name in given}})
    try:
        return JupyterHub(config=part, log_level=logging.CRITICAL)
    except TraitError as error:
        raise InvalidJobError(f"{path}: {error}") from None


def find_hub_id(config: Config, hub: JupyterHub, cls: type) -> str:
    """Return the Hub's id as this configuration has it; empty if no Hub has made one yet.

    Raises
    ------
    InvalidJobError
        If the file with it can't be read.
    """
    return configured_hub_id(cls, config) or read_hub_id(find_path(hub.cookie_secret_file))


def find_url(hub: JupyterHub) -> str:
    """Return the address of the Hub's API on this host.

    Raises
    ------
    InvalidJobError
        If the configuration does not say it.
    """
    bind = _bind_address(hub)
    if hub.internal_ssl or bind.scheme not in ("http", "https"):
        raise InvalidJobError(
            "--hub-url: name the public address of the Hub's API, such as "
            "https://hub.example.org/hub/api; with internal_ssl or a socket its own is not for "
            "programs like this one"
        )
    host, port = _bracket(_local_host(bind)), bind.port or _HUB_PORT
    return f"{bind.scheme}://{host}:{port}{hub.base_url}hub/api"


def _bind_address(hub: JupyterHub) -> SplitResult:
    """Return where the Hub's API listens."""
    return urlsplit(hub.hub_bind_url or f"http://{_bracket(hub.hub_ip)}:{hub.hub_port}")


def _local_host(bind: SplitResult) -> str:
    """Return a host at which this host reaches what listens there."""
    host = bind.hostname
    return "127.0.0.1" if host is None or host in _ANYWHERE else host


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def check_same_hub(known: KnownStarts, configured: str) -> None:
    """Check that a Hub that has answered is the one of the configuration.

    Raises
    ------
    InvalidJobError
        If it is another one, or has no id.
    """
    if not known.hub_id:
        raise InvalidJobError(
            "hub_id: the Hub has no id, so none of its jobs can be known as its own. Its log says "
            "why. Set c.UniSpawner.hub_id, or start the Hub once with this release; with --no-hub, "
            "run this command in the folder in which the Hub runs"
        )
    if configured and configured != known.hub_id:
        raise InvalidJobError(
            f"-f: this configuration's Hub has the id {configured!r}, but the one that has "
            f"answered has {known.hub_id!r}; name its own configuration, or the right --hub-url"
        )


__all__ = [
    "KnowsStarts",
    "RunningHub",
    "SavedHub",
    "check_same_hub",
    "find_hub_id",
    "find_listener",
    "find_url",
    "read_hub",
]
