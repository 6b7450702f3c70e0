"""``unispawner doctor``: can what is configured work on this host?

What runs a server is what is looked at: the spawner that the Hub has, or those of its profiles.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import shutil
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from jupyterhub.spawner import Spawner
from traitlets import TraitError
from traitlets.config import Config

from ...errors import AgentError, InvalidJobError, UniSpawnerError
from ...legacy import BatchSpawnerBase
from ...legacy.checks import COMMANDS
from ...profiles import check as profiles_check
from ...profiles.check import near
from ...profiles.reading import PROFILE, Profile, read_profiles
from ...profiles.spawner import ProfilesSpawner
from ...profiles.wrap_spawner import WrapSpawner
from ...run_as.accounts import find_account
from ...run_as.sudo import Sudo
from ...script.rendering import render_script
from ...servers.spawner import UniSpawner
from ...settings import detect
from ...settings.scheduler import SchedulerSettings
from ...submit_host.host import HOST
from ..config_file import class_or_unispawner, load_config, spawner_class, spawner_for_nobody
from . import batchspawner as legacy
from .queues import doubts


class Doubt(Exception):
    """Something that may be meant as it is, but should be looked at."""


Check = tuple[str, Callable[[], Awaitable[str]]]
"""What is checked, and what tells that it is right or raises a UniSpawnerError."""


def run(options: argparse.Namespace) -> int:
    """Check one thing after the other; return 1 if any is wrong."""
    config = load_config(options.config)
    spawner = spawner_for_nobody(class_or_unispawner(config), config, options.config)
    spawners = running(spawner)
    if options.sudoers:
        print_sudoers(spawners, options.hub_account or getpass.getuser(), options.group)
        return 0
    if not options.account:
        print("not checked: acting as a user; --account NAME does")
    failed = 0
    for name, check in checks(spawner, spawners, options.account):
        try:
            print(f"ok      {name}: {asyncio.run(check())}")  # type: ignore[arg-type]
        except Doubt as doubt:
            print(f"look at {name}: {doubt}")
        except UniSpawnerError as error:
            failed = 1
            print(f"WRONG   {name}: {error}")
    return failed


def checks(spawner: Any, spawners: list[Any], account: str | None) -> list[Check]:
    """Return what there is to check.

    Parameters
    ----------
    spawner
        The Hub's.
    spawners
        Those that run servers, as :func:`running` gives them.
    account
        Whose servers to check; None for nobody's.
    """
    ours: list[Any] = [one for one in spawners if isinstance(one, UniSpawner)]
    of_batch: list[Any] = [one for one in spawners if isinstance(one, BatchSpawnerBase)]
    result: list[Check] = [_check("scheduler", _scheduler, one) for one in ours]
    result.append(_check("hub", _hub, spawner, spawners))
    if isinstance(spawner, ProfilesSpawner):
        result.append(_check("profiles", _profiles, spawner))
        result += [_check(f"profile {one.slug}", _profile, spawner, one) for one in known(spawner)]
    else:
        result += [_check("job", _job, one) for one in ours]
        result += [_check("job", legacy.check_templates, one) for one in of_batch]
    result += [_check("commands", _commands, one) for one in ours]
    result += [_check("commands", legacy.check_commands, one) for one in of_batch]
    result += [_check("query", _query, one) for one in ours]
    if any(map(_has_queues, ours)):
        result.append(_check("queues", _queues, spawner))
    pythons = dict.fromkeys(one.agent_python for one in (*ours, *of_batch))
    result += [_check("agent_python", _python, python) for python in pythons]
    if account:
        result += [_check("account", _account, one, account) for one in ours]
        result += [_check("account", legacy.check_account, one, account) for one in of_batch]
    return result


def _check(name: str, check: Callable[..., Awaitable[str]], *arguments: Any) -> Check:
    return name, lambda: check(*arguments)


def print_sudoers(spawners: Iterable[Any], hub_account: str, group: str) -> None:
    """Print the line for sudoers of each Python that runs the agent: one, as a rule."""
    pythons: dict[str, bool] = {}
    for one in spawners:
        if isinstance(one, UniSpawner | BatchSpawnerBase):
            setenv = isinstance(one, BatchSpawnerBase) and legacy.keeps_environment(one)
            pythons[one.agent_python] = pythons.get(one.agent_python, False) or setenv
    for python, setenv in pythons.items():
        print(Sudo(python).sudoers_line(hub_account, group, setenv=setenv))


# -- which spawners there are ----------------------------------------------------------------------


def known(spawner: Any) -> list[Profile]:
    """Return a spawner's profiles, as far as they are known before somebody starts a server."""
    if not (isinstance(spawner, ProfilesSpawner) and isinstance(spawner.profiles, list)):
        return []
    try:
        return read_profiles(spawner.profiles)
    except InvalidJobError:
        return []  # is told by the check of them


def running(spawner: Any) -> list[Any]:
    """Return the spawners that run servers, those that would be checked alike only once."""
    if not isinstance(spawner, WrapSpawner):
        return [spawner]
    if not isinstance(spawner, ProfilesSpawner):
        try:
            return [spawner.construct_child()]
        except TraitError as error:
            raise InvalidJobError(f"c.{type(spawner).__name__}.child_config: {error}") from None
    found: dict[object, Spawner] = {}
    for profile in known(spawner):
        try:
            child = profiles_check.make_child(spawner, profile, {PROFILE: profile.slug})
        except InvalidJobError:
            continue  # is told by the check of the profile
        found.setdefault(_key(child), child)
    return list(found.values()) or [UniSpawner(config=spawner.config)]


def _key(spawner: Spawner) -> object:
    """Return what is the same of two spawners that are checked alike."""
    names: Iterable[str] = ()
    if isinstance(spawner, UniSpawner):
        names = (*SchedulerSettings.class_own_traits(config=True), "agent_python")
    elif isinstance(spawner, BatchSpawnerBase):
        names = (*COMMANDS, "agent_python")
    return type(spawner), *(repr(getattr(spawner, name)) for name in names)


# -- what is checked -------------------------------------------------------------------------------


async def _hub(spawner: Any, spawners: list[Any]) -> str:
    config: Config = spawner.config
    for cls in dict.fromkeys(type(one) for one in (spawner, *spawners)):
        _check_names(cls, config)
    cls = spawner_class(config)
    hub = config.JupyterHub
    address = str(hub.get("hub_connect_ip", "") or hub.get("hub_ip", "127.0.0.1"))
    remote = any(map(_is_remote, spawners))
    if remote and address in ("127.0.0.1", "localhost", "::1") and "hub_bind_url" not in hub:
        raise InvalidJobError(
            f"The nodes can't reach the Hub's API at {address}: set c.JupyterHub.hub_ip to an "
            "address of this host that they can reach"
        )
    if "ProfilesSpawner" in config and not issubclass(cls, ProfilesSpawner):
        raise Doubt(
            f"c.ProfilesSpawner is set, but counts for nothing: c.JupyterHub.spawner_class is "
            f'{cls.__name__}, not "unispawner.ProfilesSpawner"'
        )
    return f"{cls.__name__}, the API at {address}"


def _check_names(cls: type[Spawner], config: Config) -> None:
    """Refuse settings that a class doesn't have, in its own section and in those it inherits."""
    there = set(cls.class_trait_names(config=True))
    for part in cls.__mro__:
        if part in Spawner.__mro__ or part.__name__ not in config:
            continue
        if unknown := sorted(set(config[part.__name__]) - there):
            raise InvalidJobError(f"c.{part.__name__} has no {near(unknown, there)}")


def _is_remote(spawner: Any) -> bool:
    """Return whether servers are on other hosts and know the Hub by the address it has here."""
    if isinstance(spawner, UniSpawner) and spawner.get_scheduler().loopback:
        return False
    ours = isinstance(spawner, UniSpawner | BatchSpawnerBase)
    return ours and spawner.hub_connect_url is None


def _has_queues(spawner: UniSpawner) -> bool:
    try:
        return not spawner.get_scheduler().loopback
    except UniSpawnerError:
        return True  # is told by the check of the scheduler


async def _profiles(spawner: ProfilesSpawner) -> str:
    if not isinstance(spawner.profiles, list):
        return "a function: what it returns depends on the user, and is checked at a start"
    return ", ".join(one.slug for one in profiles_check.listed(spawner))


async def _profile(spawner: ProfilesSpawner, profile: Profile) -> str:
    await profiles_check.check_profile(spawner, profile)
    name = spawner.class_of(profile).__name__
    return f"{name}, at every bound of its options" if profile.options else name


async def _scheduler(spawner: UniSpawner) -> str:
    await spawner.find_scheduler()
    scheduler = spawner.get_scheduler()
    how = " (found by itself)" if spawner.scheduler == "auto" else ""
    await detect.check(scheduler, HOST, spawner.command_environment())
    return f"{scheduler.title}{how}"


async def _job(spawner: UniSpawner) -> str:
    spec = spawner.job_spec("0" * 16, environment={})
    render_script(spec, spawner.get_scheduler(), shell=spawner.job_shell)
    return f"the settings make a job for {spawner.get_scheduler().title}"


async def _commands(spawner: UniSpawner) -> str:
    path = spawner.command_environment()["PATH"]
    found = {
        name: shutil.which(name, path=path) for name in spawner.get_scheduler().needed_commands()
    }
    missing = [name for name, where in found.items() if where is None]
    if missing:
        raise InvalidJobError(
            f"{', '.join(missing)} not found in {path}: set c.UniSpawner.scheduler_path"
        )
    return ", ".join(str(where) for where in found.values()) or "none are needed"


async def _query(spawner: UniSpawner) -> str:
    jobs = await spawner.monitor().query()
    owners = {info.owner for info in jobs.values()} - {getpass.getuser()}
    return (
        f"{len(jobs)} jobs of {len(owners)} other accounts are shown to {getpass.getuser()}. If "
        "there should be more, the scheduler hides jobs from the Hub (Slurm: PrivateData=jobs)"
    )


async def _queues(spawner: Any) -> str:
    found: list[str] = []
    for whose, one in _jobs(spawner):
        try:
            inventory = await one.monitor().inventory.get()
            spec = one.job_spec("0" * 16, environment={})
        except InvalidJobError:
            continue  # is told by the check of the job or profile
        except UniSpawnerError as error:
            raise Doubt(f"what they allow is not known: {error.message}") from None
        found += [f"{whose}{doubt}" for doubt in doubts(spec, inventory)]
    if found:
        raise Doubt("; ".join(dict.fromkeys(found)))
    return "as far as the scheduler tells, they allow what is asked for"


def _jobs(spawner: Any) -> Iterator[tuple[str, UniSpawner]]:
    """Yield UniSpawners that ask for what can be asked for, with the words that say whose it is."""
    if isinstance(spawner, UniSpawner):
        yield "", spawner
    for profile in known(spawner):
        for user_options in profile.variants():
            try:
                child = profiles_check.make_child(spawner, profile, user_options)
            except InvalidJobError:
                continue  # is told by the check of the profile
            if isinstance(child, UniSpawner):
                yield f"profile {profile.slug}: ", child


async def _python(python: str) -> str:
    return _readable(python)


def _readable(python: str) -> str:
    given = Path(os.path.abspath(python))
    real = given.resolve()
    for part in (given, *given.parents, real, *real.parents):
        try:
            readable = os.stat(part).st_mode & 0o005 == 0o005
        except OSError:
            readable = False  # not even by us
        if not readable:
            raise AgentError(
                f"Users can't read {part}, so they can't run {python}: make the virtual "
                "environment elsewhere, with a Python of the system's"
            )
    return f"{python} is readable by users"


async def _account(spawner: UniSpawner, name: str) -> str:
    if os.getuid() == 0:
        print("        (you are root: run this as the Hub's account to see what sudo lets it do)")
    account = await find_account(name, spawner.min_uid)
    told = await spawner.agent_client(account).check()
    return ", ".join(f"{key} {value}" for key, value in told.items())
