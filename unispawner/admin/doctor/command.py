"""``unispawner doctor``: checks whether a configuration can work on this host."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import grp
import logging
import pwd
import sys
import traceback
from collections.abc import Iterable
from typing import Any

from ...errors import InvalidJobError, UniSpawnerError
from ...legacy import BatchSpawnerBase
from ...run_as.sudo import Sudo
from ...servers.spawner import UniSpawner
from ..configured_spawner import class_or_unispawner, load_config, spawner_for_nobody
from . import batchspawner
from .checks import Doubt, Skipped, list_checks
from .spawners import find_spawners


def run(options: argparse.Namespace) -> int:
    """Run all checks and print a line for each; return 1 if any has failed."""
    # What the monitor and the spawners would log is also in the result of a check.
    for logger in ("JupyterHub.unispawner", "traitlets"):
        logging.getLogger(logger).addHandler(logging.NullHandler())
    config = load_config(options.config)
    try:
        cls = class_or_unispawner(config)
    except InvalidJobError as error:
        print(f"WRONG   hub: {error}")
        return 1  # nothing else that is said here would be about this Hub
    spawner = spawner_for_nobody(cls, config, options.config)
    spawners = find_spawners(spawner)
    if options.sudoers:
        hub_account = options.hub_account or getpass.getuser()
        print_sudoers(spawners, hub_account, options.group)
        print_notes(hub_account, options.group)
        return 0
    if not options.account:
        print("not checked: acting as a user (--account NAME checks it)")
    status = 0
    for name, check in list_checks(spawner, spawners, options.account):
        try:
            print(f"ok      {name}: {asyncio.run(check())}")  # type: ignore[arg-type] # a coroutine
        except Doubt as doubt:
            print(f"look at {name}: {doubt}")
        except Skipped as skipped:
            print(f"skipped {name}: {skipped}")
        except UniSpawnerError as error:
            status = 1
            print(f"WRONG   {name}: {str(error).removeprefix(f'{name}: ')}")
        except Exception as error:  # code of a site's own class may need a user, or be wrong
            place = traceback.extract_tb(error.__traceback__)[-1]
            what = f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno})"
            print(f"look at {name}: this could not be checked: {what}")
    return status


def print_notes(hub_account: str, group: str) -> None:
    """Print to standard error what is strange about the names in a line for sudoers."""
    if hub_account == "root":
        print("--hub-account: root needs no such line; name the Hub's account.", file=sys.stderr)
    try:
        pwd.getpwnam(hub_account)
    except KeyError:
        print(f"--hub-account: this host has no account {hub_account!r}.", file=sys.stderr)
    try:
        grp.getgrnam(group)
    except KeyError:
        print(f"--group: this host has no group {group!r}; create it.", file=sys.stderr)


def print_sudoers(spawners: Iterable[Any], hub_account: str, group: str) -> None:
    """Print a line for sudoers for each Python that runs the agent; usually there is one."""
    pythons: dict[str, bool] = {}
    for one in spawners:
        if isinstance(one, UniSpawner | BatchSpawnerBase):
            setenv = isinstance(one, BatchSpawnerBase) and batchspawner.keeps_environment(one)
            pythons[one.agent_python] = pythons.get(one.agent_python, False) or setenv
    for python, setenv in pythons.items():
        print(Sudo(python).sudoers_line(hub_account, group, setenv=setenv))
