"""``unispawner doctor --bundle``: what somebody who helps needs to know, without secrets.

The text of the configuration file is not in it, because code can hold secrets in any form: its
settings are, as the Hub gets them, and functions only by their type.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import platform
import sys
import tarfile
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from traitlets.config import Config

from ..._version import __version__
from ...errors import InvalidJobError, UniSpawnerError
from ...schedulers import plain
from ...servers.spawner import UniSpawner
from .redaction import Redaction
from .results import Result, describe
from .weaknesses import find_proxy_version

FOLDER = "unispawner-bundle"
LOG_BYTES = 512 * 1024
"""How much of the end of the Hub's log goes into a bundle."""
_PACKAGES = (
    *("jupyterhub", "tornado", "traitlets", "sqlalchemy", "alembic", "certipy", "cryptography"),
    *("psij-python", "drmaa", "jupyter-server", "jupyterlab", "batchspawner", "wrapspawner"),
    *("psycopg2", "psycopg2-binary", "psutil", "jinja2", "prometheus_client"),
)


def check_path(path: str) -> None:
    """Refuse a bundle that could not be written, before the checks take their time.

    Raises
    ------
    InvalidJobError
        If the file exists, or its folder does not.
    """
    if not path.endswith((".tar.gz", ".tgz")):
        raise InvalidJobError(f"--bundle: {path}: its name must end in .tar.gz")
    if os.path.lexists(path):
        raise InvalidJobError(f"--bundle: {path} exists already; name another file")
    if not os.access(Path(path).absolute().parent, os.W_OK):
        raise InvalidJobError(f"--bundle: the folder of {path} can't be written; name another file")


def write(
    options: argparse.Namespace,
    config: Config,
    spawners: Iterable[Any],
    results: list[Result],
    status: int,
) -> None:
    """Write the bundle with mode 0600, and print what is in it.

    Raises
    ------
    InvalidJobError
        If it can't be written, or the log can't be read.
    """
    redaction = Redaction()
    redaction.learn_variables(os.environ)
    redaction.learn_config(config)
    sections = dict(config)
    ours = [one for one in spawners if isinstance(one, UniSpawner)]
    files = {
        "versions.txt": redaction.lines(_list_versions()),
        "configuration.json": _dump(redaction.value(sections)),
        "doctor.txt": redaction.lines(one.line() for one in results),
        "doctor.json": _dump(redaction.value(describe(results, status))),
        "schedulers.json": _dump(redaction.value(asyncio.run(_ask_schedulers(ours)))),
    }
    if options.log:
        files["hub.log"] = redaction.text(_read_end(options.log))
    _pack(options.bundle, files)
    _announce(options, files)


def _announce(options: argparse.Namespace, files: dict[str, str]) -> None:
    about = {
        "versions.txt": "versions of unispawner, JupyterHub, Python and the system",
        "configuration.json": "the settings of the configuration",
        "doctor.txt": "the results, as they are printed",
        "doctor.json": "the results, as --json prints them",
        "schedulers.json": "the schedulers' versions, queues and nodes",
        "hub.log": f"the end of {options.log}",
    }
    output = sys.stderr if options.json else sys.stdout
    print(f"{options.bundle} contains:", file=output)
    for name, text in files.items():
        print(f"    {name:<20} {about[name]} ({len(text.encode())} bytes)", file=output)
    print(
        "Secrets are taken out by the names of settings and by how values look. Names of accounts, "
        "hosts and queues are in it. Read it before you send it.",
        file=output,
    )


def _dump(data: Any) -> str:
    return json.dumps(data, indent=2, sort_keys=True, default=str) + "\n"


def _list_versions() -> list[str]:
    lines = [
        f"unispawner {__version__}",
        f"Python {platform.python_version()} ({sys.executable})",
        f"system {platform.platform()}",
        f"configurable-http-proxy {asyncio.run(find_proxy_version()) or '(not found)'}",
    ]
    for package in _PACKAGES:
        try:
            lines.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    try:
        pretty = [
            line.partition("=")[2].strip('"')
            for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
            if line.startswith("PRETTY_NAME=")
        ]
    except OSError:
        pretty = []
    return [*lines, *(f"distribution {name}" for name in pretty), f"written {time.ctime()}", ""]


async def _ask_schedulers(spawners: Iterable[UniSpawner]) -> list[dict[str, Any]]:
    """Return each scheduler's title, version and inventory, or why it has none."""
    found = []
    for spawner in spawners:
        one: dict[str, Any] = {}
        try:
            await spawner.find_scheduler()
            monitor = spawner.monitor()
            one["scheduler"] = monitor.scheduler.title
            one["cluster"] = spawner.cluster_title()
            identity = await monitor.host.ask(
                monitor.scheduler, "identify", environment=monitor.environment
            )
            one["identity"] = plain.encode(identity)
            one["inventory"] = plain.encode(await monitor.inventory.get())
        except UniSpawnerError as error:
            one["error"] = str(error)
        found.append(one)
    return found


def _read_end(path: str) -> str:
    """Return the end of the Hub's log, from the beginning of a line on.

    Parameters
    ----------
    path
        A file, a pipe such as the shell's ``<(journalctl …)``, or ``-`` for the standard input.

    Raises
    ------
    InvalidJobError
        If it can't be read.
    """
    end, cut_off = b"", False
    try:
        with open(0 if path == "-" else path, "rb", closefd=path != "-") as file:
            if file.seekable():
                cut_off = file.seek(0, os.SEEK_END) > LOG_BYTES
                file.seek(-LOG_BYTES if cut_off else 0, os.SEEK_END if cut_off else os.SEEK_SET)
            while part := file.read(LOG_BYTES):
                cut_off = cut_off or len(end + part) > LOG_BYTES
                end = (end + part)[-LOG_BYTES:]
    except OSError as error:
        raise InvalidJobError(f"--log: {path} can't be read: {error.strerror}") from None
    text = end.decode("utf-8", "replace")
    # The beginning of the first line may be missing, and with it the name of a secret.
    return text.partition("\n")[2] if cut_off else text


def _pack(path: str, files: dict[str, str]) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as target:
            os.fchmod(target.fileno(), 0o600)
            with tarfile.open(fileobj=target, mode="w:gz") as archive:
                for name, text in files.items():
                    content = text.encode("utf-8", "replace")
                    entry = tarfile.TarInfo(f"{FOLDER}/{name}")
                    entry.size, entry.mode, entry.mtime = len(content), 0o600, int(time.time())
                    archive.addfile(entry, io.BytesIO(content))
    except OSError as error:
        raise InvalidJobError(f"--bundle: {path} can't be written: {error.strerror}") from None
