"""``unispawner doctor``: checks whether a configuration can work on this host."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import grp
import logging
import os
import pwd
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

from traitlets.config import Config

from ...errors import InvalidJobError, UniSpawnerError
from ...legacy import BatchSpawnerBase
from ...profiles.spawner import ProfilesSpawner
from ...run_as.broker import GROUP
from ...run_as.sudo import Sudo
from ...servers.spawner import UniSpawner
from ...submit_host.ssh import parse_destination
from ..configured_spawner import class_or_unispawner, load_config, spawner_for_nobody
from . import batchspawner, bundle, probing
from .checks import Doubt, Skipped, list_checks
from .results import Outcome, Result, Results, describe_fault
from .spawners import find_spawners


def run(options: argparse.Namespace) -> int:
    """Run all checks and report each; return the exit status that ``--help`` explains."""
    # What the monitor and the spawners would log is also in the result of a check.
    for logger in ("JupyterHub.unispawner", "traitlets"):
        logging.getLogger(logger).addHandler(logging.NullHandler())
    if options.sudoers:
        return _sudoers(options)
    _check_options(options)
    options.account = options.probe or options.account
    results = Results(quiet=options.json)
    config = Config()
    spawners: list[Any] = []
    try:
        config = load_config(options.config)
        if (spawner := _make_spawner(options, config, results)) is not None:
            spawners = find_spawners(spawner)
            _check(options, spawner, spawners, results)
    except UniSpawnerError as error:
        if not (options.bundle or options.json):
            raise
        results.add(Result("config", "config", Outcome.WRONG, str(error)))
    except Exception as error:  # the command's main has words for it, but no JSON and no bundle
        if not (options.bundle or options.json):
            raise
        text = f"the checks were not finished: {describe_fault(error)}"
        results.add(Result("doctor", "doctor", Outcome.WRONG, text))
    status = results.status(strict=options.strict)
    if options.json:
        print(results.to_json(strict=options.strict))
    if options.bundle:
        bundle.write(options, config, spawners, results.all, status)
    return status


def _check_options(options: argparse.Namespace) -> None:
    """Refuse options that contradict each other, or that have no effect."""
    if options.probe and options.account and options.probe != options.account:
        raise InvalidJobError("--probe and --account: name the same account, or only --probe")
    if (options.profile is not None or options.option) and not options.probe:
        raise InvalidJobError("--profile and --option: they are for --probe ACCOUNT; add it")
    if options.log and not options.bundle:
        raise InvalidJobError("--log: it is for --bundle FILE; add it")
    if options.bundle:
        bundle.check_path(options.bundle)


def _make_spawner(options: argparse.Namespace, config: Config, results: Results) -> Any:
    """Return the Hub's spawner; None if there is no class for it, which is then a result."""
    try:
        cls = class_or_unispawner(config)
    except InvalidJobError as error:  # nothing else that is said here would be about this Hub
        results.add(Result("hub", "hub", Outcome.WRONG, str(error)))
        return None
    return spawner_for_nobody(cls, config, options.config)


def _sudoers(options: argparse.Namespace) -> int:
    """Print the lines for sudoers."""
    config = load_config(options.config)
    spawner = _make_spawner(options, config, Results())
    if spawner is None:
        return 1
    spawners = find_spawners(spawner)
    if not spawners and isinstance(spawner, ProfilesSpawner):
        print("WRONG   profiles: none of them makes a server; `unispawner doctor` says why")
        return 1
    group = options.group or _group_of(spawners)
    hub_account = options.hub_account or _account_of(spawners)
    print_sudoers(spawners, hub_account, group)
    if not any(map(_elsewhere, spawners)):
        print_notes(hub_account, group)
    print_other_groups(spawners, group)
    return 0


def _check(
    options: argparse.Namespace, spawner: Any, spawners: list[Any], results: Results
) -> None:
    """Do all checks of a configuration, and the probe if that is asked for."""
    if not options.account:
        results.note("not checked: acting as a user (--account NAME checks it)")
    elif not options.probe:
        results.note("not checked: a real job, and the network (--probe NAME checks them)")
    for name, check in list_checks(spawner, spawners, options.account, results.note):
        results.add(_do_check(results.unique_id(name), name, check))
    if options.probe:
        probing.run(options, spawner, results)


def _do_check(check_id: str, name: str, check: Callable[[], Awaitable[str]]) -> Result:
    try:
        text: str = asyncio.run(check())  # type: ignore[arg-type] # a coroutine
        return Result(check_id, name, Outcome.OK, text)
    except Doubt as doubt:
        return Result(check_id, name, Outcome.LOOK, str(doubt))
    except Skipped as skipped:
        return Result(check_id, name, Outcome.SKIPPED, str(skipped))
    except UniSpawnerError as error:
        return Result(check_id, name, Outcome.WRONG, str(error).removeprefix(f"{name}: "))
    except Exception as error:  # code of a site's own class may need a user, or be wrong
        text = f"this could not be checked: {describe_fault(error)}"
        return Result(check_id, name, Outcome.LOOK, text)


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


def print_other_groups(spawners: Iterable[Any], group: str) -> None:
    """Print to standard error which group the Hub's own command names, if it is another one.

    sudo would refuse that command, because it is not the one of the printed line.
    """
    ours = (one for one in spawners if isinstance(one, UniSpawner))
    used = {one.broker_group or GROUP for one in ours if one.run_as in ("auto", "broker")}
    for other in sorted(used - {group}):
        print(
            f"--group: the Hub's own command names the group {other!r}, and sudo would refuse it. "
            f"Set c.UniSpawner.broker_group = {group!r}.",
            file=sys.stderr,
        )


def _elsewhere(spawner: Any) -> str:
    """Return the host on which a spawner submits, if it is not this one."""
    return spawner.submit_host if isinstance(spawner, UniSpawner) else ""


def _group_of(spawners: Iterable[Any]) -> str:
    named = (one.broker_group for one in spawners if isinstance(one, UniSpawner))
    return next(filter(None, named), GROUP)


def _account_of(spawners: Iterable[Any]) -> str:
    """Return the account that sudo lets start the broker: on another host, that of ssh."""
    by_root = os.getuid() == 0
    given = filter(None, map(_elsewhere, spawners))
    places = [parse_destination(place, by_root=by_root) for place in given]
    return next((one.account for one in places if one.account), getpass.getuser())


def print_sudoers(spawners: Iterable[Any], hub_account: str, group: str) -> None:
    """Print the lines for sudoers that a configuration needs, and others as comments.

    There is one for each broker, and one for each Python that runs the agent by itself.
    """
    spawners = list(spawners)
    brokers = dict.fromkeys(
        _broker_line(one, hub_account, group)
        for one in spawners
        if isinstance(one, UniSpawner) and one.run_as in ("auto", "broker")
    )
    agents = _agent_lines(spawners, hub_account, group)
    if brokers:
        print('# run_as = "broker":')
        print("\n".join(brokers))
        optional = [line for line, needed in agents.items() if not needed]
        if optional:
            print('# run_as = "sudo", with a session of PAM for each action, would need instead:')
            print("\n".join(f"# {line}" for line in optional))
    for line in (line for line, needed in agents.items() if needed):
        print(line)


def _broker_line(spawner: UniSpawner, hub_account: str, group: str) -> str:
    command = replace(spawner.broker_command(), group=group)
    place = f"# on {spawner.submit_host}:\n" if spawner.submit_host else ""
    return place + command.sudoers_line(hub_account)


def _agent_lines(spawners: Iterable[Any], hub_account: str, group: str) -> dict[str, bool]:
    """Return the lines that let sudo run the agent, each with whether it is needed."""
    setenv: dict[str, bool] = {}
    needed: dict[str, bool] = {}
    for one in spawners:
        if isinstance(one, BatchSpawnerBase):
            keeps = batchspawner.keeps_environment(one)
        elif isinstance(one, UniSpawner) and not one.submit_host and one.run_as != "broker":
            keeps = False
        else:
            continue
        python = one.agent_python
        setenv[python] = setenv.get(python, False) or keeps
        uses = not isinstance(one, UniSpawner) or one.run_as != "auto"
        needed[python] = needed.get(python, False) or uses
    return {
        Sudo(python).sudoers_line(hub_account, group, setenv=keeps): needed[python]
        for python, keeps in setenv.items()
    }
