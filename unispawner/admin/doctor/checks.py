"""The checks of ``unispawner doctor``, and which of them a configuration needs.

What is checked are the spawners that run servers: the Hub's own, or those of its profiles.
"""

from __future__ import annotations

import errno
import getpass
import os
import shutil
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jupyterhub.spawner import LocalProcessSpawner, SimpleLocalProcessSpawner, Spawner
from tornado.netutil import is_valid_ip
from traitlets.config import Config

from ... import template_path
from ...errors import AgentError, InvalidJobError, UniSpawnerError
from ...legacy import BatchSpawnerBase
from ...legacy.checks import find_doubts, find_unchecked
from ...profiles.check import check_profile, read_some_profiles, suggest_names
from ...profiles.children import ChildFactory
from ...profiles.reading import PROFILE, Profile
from ...profiles.spawner import ProfilesSpawner
from ...profiles.wrap_spawner import WrapSpawner
from ...run_as.accounts import find_account
from ...schedulers.inventory import Inventory
from ...script.rendering import render_script
from ...servers.spawner import UniSpawner
from ...settings import detect
from ...settings.host_map import map_host
from ...submit_host.connection import CLOCK_TOLERANCE
from ...web.hosts import is_own_host
from ..configured_spawner import UnknownChild, spawner_class, wrapped_spawner
from ..migrate.old_config import SCHEDULERS
from . import (
    batchspawner,
    clusters,
    contradictions,
    mail,
    mine,
    nodes,
    queues,
    start_time,
    weaknesses,
)
from .facts import format_facts
from .spawners import find_jobs, guess_sections, listed_profiles
from .ways import check_way, distinct_ways

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SHOWN = 5
_NEEDS_SCHEDULER = "this check needs the scheduler, which is WRONG above"
_NEEDS_WAY = "this check needs run_as or submit_host, which is WRONG above"
_VARIABLES = {
    "slurm": ("SLURM_CONF",),
    "htcondor": ("CONDOR_CONFIG",),
    "lsf": ("LSF_ENVDIR",),
    "pbs": ("PBS_CONF_FILE", "PBS_SERVER"),
    "torque": ("PBS_DEFAULT", "PBS_SERVER"),
}
"""Variables that choose a cluster. Grid Engine's are taken from the Hub's own environment."""
_WILDCARDS = ("", "0.0.0.0", "::")  # noqa: S104 (only compared with)


class Doubt(Exception):
    """Something that may be intended, but should be looked at."""


class Skipped(Exception):
    """A check that can't be done because of what another check has found wrong."""


Check = tuple[str, Callable[[], Awaitable[str]]]
"""A check's name, and the check, which returns what is right.

It raises a UniSpawnerError, Doubt or Skipped otherwise.
"""


def list_checks(
    spawner: Any, spawners: list[Any], account: str | None, note: Callable[[str], None] = print
) -> list[Check]:
    """Return the checks that a configuration needs.

    Parameters
    ----------
    spawner
        The Hub's spawner.
    spawners
        The spawners that run servers, from :func:`.spawners.find_spawners`.
    account
        The account to try to act as; None to leave that out.
    note
        Takes a line for people that is no result.
    """
    ours: list[Any] = [one for one in spawners if isinstance(one, UniSpawner)]
    of_batch: list[Any] = [one for one in spawners if isinstance(one, BatchSpawnerBase)]
    far = [one for one in ours if one.submit_host]
    result: list[Check] = [_check("submit_host", _submit_host, one) for one in far]
    result += [
        _check("run_as", check_way, one)
        for one in distinct_ways([one for one in ours if one not in far])
    ]
    silent: list[UniSpawner] = []
    result += [_check("scheduler", _with_way, _find_silent, one, silent) for one in ours]
    result.append(_check("hub", _hub, spawner, spawners))
    result.append(_check("security", _security, spawner, spawners))
    if ours:
        result.append(_check("settings", _settings, spawner))
    if any(one.mail for one in ours):
        result.append(_check("mail", _mail, spawner.config, ours))
    if isinstance(spawner, ProfilesSpawner):
        result.append(_check("profiles", _profiles, spawner))
        result += [
            _check(f"profile {one.slug}", _profile, spawner, one)
            for one in listed_profiles(spawner)
        ]
    elif isinstance(spawner, WrapSpawner) and not spawners:
        result.append(_check("child", _child, spawner))
    else:
        result += [_check("job", _with_scheduler, _job, one) for one in ours]
        result += [_check("job", _templates, one) for one in of_batch]
    result += [_check("script", _script, one) for one in of_batch if _doubts(one)]
    result += [_check("commands", _with_scheduler, _commands, one) for one in ours]
    result += [_check("commands", batchspawner.check_commands, one) for one in of_batch]
    result += _list_questions(spawner, ours, silent)
    pythons = dict.fromkeys(one.agent_python for one in (*ours, *of_batch) if one not in far)
    result += [_check("agent_python", _python, python) for python in pythons]
    if account:
        result += _list_of_account(spawner, ours, account, note)
        result += [_check("account", batchspawner.check_account, one, account) for one in of_batch]
    return result


def _list_of_account(
    spawner: Any, ours: list[Any], account: str, note: Callable[[str], None]
) -> list[Check]:
    """Return the checks that act as an account."""
    result = [_check("account", _with_scheduler, _account, one, account, note) for one in ours]
    result += [
        _check("start time", _with_scheduler, _start_time, one, account)
        for one in ours
        if start_time.can_be_asked(one)
    ]
    if fields := mine.find_fields(listed_profiles(spawner)):
        result += [_check("mine", _with_scheduler, _mine, one, account, fields) for one in ours]
    return result


def _list_questions(spawner: Any, ours: list[Any], silent: list[UniSpawner]) -> list[Check]:
    """Return the checks that ask the schedulers; those in ``silent`` have not answered before."""
    result = [_check("query", _with_answers, silent, _query, one) for one in ours]
    if any(map(_has_queues, ours)):
        result.append(_check("queues", _queues, spawner, silent))
        result.append(_check("nodes", _nodes, spawner, silent))
    mapped = [one for one in ours if one.host_map]
    result += [_check("host_map", _with_answers, silent, _host_map, one) for one in mapped]
    if len(ours) > 1:
        result.append(_check("clusters", _clusters, ours, silent))
    return result


def _check(name: str, check: Callable[..., Awaitable[str]], *arguments: Any) -> Check:
    return name, lambda: check(*arguments)


async def _need_way(spawner: UniSpawner) -> None:
    """Raise Skipped if the check of the broker or of the submit host has failed."""
    try:
        way = await spawner.find_way()
    except UniSpawnerError:
        raise Skipped(_NEEDS_WAY) from None
    if way.name == "broker" and spawner.brokered_host().connection.problem:
        raise Skipped(_NEEDS_WAY)


async def _with_way(
    check: Callable[..., Awaitable[str]], spawner: UniSpawner, *arguments: Any
) -> str:
    """Do a check for which the Hub must reach the submit host."""
    await _need_way(spawner)
    return await check(spawner, *arguments)


# -- the checks ------------------------------------------------------------------------------------


async def _with_scheduler(
    check: Callable[..., Awaitable[str]], spawner: UniSpawner, *arguments: Any
) -> str:
    """Do a check that needs the scheduler, if the check of the scheduler has found it."""
    try:
        spawner.get_scheduler()
    except InvalidJobError:
        raise Skipped(_NEEDS_SCHEDULER) from None
    return await check(spawner, *arguments)


async def _find_silent(spawner: UniSpawner, silent: list[UniSpawner]) -> str:
    """Check the scheduler; add the spawner to ``silent`` if it has not answered."""
    try:
        return await _scheduler(spawner)
    except UniSpawnerError:
        silent.append(spawner)
        raise


async def _with_answers(
    silent: list[UniSpawner],
    check: Callable[..., Awaitable[str]],
    spawner: UniSpawner,
    *arguments: Any,
) -> str:
    """Do a check that asks the scheduler, unless this would only fail again."""
    if spawner in silent:
        raise Skipped(_NEEDS_SCHEDULER)
    return await _with_scheduler(check, spawner, *arguments)


async def _hub(spawner: Any, spawners: list[Any]) -> str:
    config: Config = spawner.config
    for cls in dict.fromkeys(type(one) for one in (spawner, *spawners)):
        _check_names(cls, config)
    cls = spawner_class(config)
    doubts = [
        f"c.{name}: there is no class of this name; did you mean c.{guess}?"
        for name, guess in guess_sections(config).items()
    ]
    if "ProfilesSpawner" in config and not issubclass(cls, ProfilesSpawner):
        doubts.append(
            f"c.ProfilesSpawner is set but not used: c.JupyterHub.spawner_class is {cls.__name__}; "
            'for profiles set it to "unispawner.ProfilesSpawner"'
        )
    _check_proxy_api(config)
    _check_certificate(config, [spawner, *spawners])
    remote = [one for one in spawners if _is_remote(one)]
    if remote and _api_address(config) in _LOOPBACK and await _runs_here_only(remote):
        remote = []
    address = _check_address(config, bool(remote), doubts)
    if doubts:
        raise Doubt("; ".join(doubts))
    return f"{cls.__name__}, the API at {address}"


async def _security(spawner: Any, spawners: list[Any]) -> str:
    """Report known weaknesses of other programs, and what the configuration trades away."""
    found = await weaknesses.find_weaknesses(spawner.config, spawners)
    if found.doubts:
        raise Doubt("; ".join(found.doubts))
    if found.trades:
        return f"nothing is known to be wrong. {'; '.join(found.trades)} (docs/security.md)"
    return "nothing is known to be wrong"


async def _settings(spawner: Any) -> str:
    """Report settings that contradict each other."""
    found = [
        f"profile {one.slug}: {message}"
        for one in listed_profiles(spawner)
        for message in contradictions.of_profile(one, spawner.config)
    ]
    jobs = list(find_jobs(spawner))
    found += [
        f"{prefix}{message}" for prefix, one in jobs for message in contradictions.of_job(one)
    ]
    if jobs:
        found += contradictions.of_pages(spawner.config, template_path)
    if found:
        raise Doubt("; ".join(dict.fromkeys(found)))
    return "none contradicts another"


async def _mail(config: Config, spawners: list[UniSpawner]) -> str:
    """Check what the Hub needs to send mail. A wrong value ends the Hub's start, too."""
    found = mail.find_settings(spawners)
    doubts = [text for one in found for text in mail.check_login(one)] + mail.check_links(config)
    if doubts:
        raise Doubt("; ".join(doubts))
    return f"by {', '.join(one.host for one in found)}; whether it takes mail was not tried"


async def _runs_here_only(spawners: list[Any]) -> bool:
    """Return whether the schedulers say that this host is their only node."""
    hosts: set[str] = set()
    for one in spawners:
        if isinstance(one, UniSpawner) and one.submit_host:
            return False  # jobs are submitted on another host
        try:
            inventory = await _with_its_scheduler(one).monitor().inventory.get()
        except UniSpawnerError:
            return False
        hosts |= inventory.hosts or {""}
    return all([await is_own_host(host) for host in hosts])


def _with_its_scheduler(spawner: Any) -> UniSpawner:
    """Return a UniSpawner that asks a spawner's scheduler: the usual one of a legacy class."""
    if isinstance(spawner, UniSpawner):
        return spawner
    names = (SCHEDULERS.get(cls.__name__) for cls in type(spawner).__mro__)
    return UniSpawner(config=spawner.config, scheduler=next(filter(None, names), "auto"))


def _api_address(config: Config) -> str:
    hub = config.JupyterHub
    return str(hub.get("hub_connect_ip", "") or hub.get("hub_ip", "127.0.0.1"))


def _check_proxy_api(config: Config) -> None:
    """Check that the Hub and the proxy that it starts would speak the same protocol.

    Raises
    ------
    InvalidJobError
        If ``internal_ssl`` lets the proxy's API listen with TLS, and the Hub would not use it.
    """
    proxy = config.ConfigurableHTTPProxy
    url = str(proxy.get("api_url", ""))
    if not config.JupyterHub.get("internal_ssl") or not proxy.get("should_start", True):
        return
    if url.lower().startswith("http://"):
        raise InvalidJobError(
            f"c.ConfigurableHTTPProxy.api_url: {url!r} is not possible with internal_ssl, with "
            f"which the API of the proxy speaks TLS only: write {'https' + url[4:]!r}"
        )


def _check_certificate(config: Config, spawners: list[Any]) -> None:
    """Check that, with internal_ssl, the Hub can be reached where it should be.

    Raises
    ------
    InvalidJobError
        If the Hub's certificate would not name an address at which it is reached: no server
        could start, or every page would be "Service Unavailable".
    """
    hub = config.JupyterHub
    if not hub.get("internal_ssl"):
        return
    given = [getattr(one, "hub_connect_url", None) for one in spawners]
    urls = [str(url) for url in dict.fromkeys([*given, hub.get("hub_connect_url")]) if url]
    hosts = [urlsplit(url).hostname or "" for url in urls]
    if not hub.get("hub_connect_url"):  # which replaces the address for the proxy, too
        hosts.insert(0, _api_address(config))
    # As JupyterHub does: where the Hub listens everywhere, the proxy uses the host's name.
    hosts = [socket.gethostname() if host in _WILDCARDS else host for host in hosts]
    always = [socket.getfqdn(), urlsplit(str(hub.get("subdomain_host", ""))).hostname]
    named = {*hub.get("trusted_alt_names", []), *(f"DNS:{name}" for name in always)}
    wrong = [
        f"hub_connect_url: {url!r} must begin with https:// with internal_ssl"
        for url in urls
        if url.lower().startswith("http://")
    ]
    for host in dict.fromkeys(hosts):
        if host in _LOOPBACK or {f"IP:{host}", f"DNS:{host}"} & named:
            continue
        entry = f"IP:{host}" if is_valid_ip(host) else f"DNS:{host}"
        wrong.append(
            f"c.JupyterHub.trusted_alt_names: the nodes or the proxy reach the Hub at {host}, and "
            "with internal_ssl its certificate must name it, or nothing reaches the Hub there; "
            f"add {entry!r}, and remove the folder internal-ssl of an earlier start"
        )
    if wrong:
        raise InvalidJobError("; ".join(wrong))


def _check_address(config: Config, remote: bool, doubts: list[str]) -> str:
    """Return where the nodes reach the Hub's API; add to the doubts if it can't listen there."""
    hub = config.JupyterHub
    listens = str(hub.get("hub_ip", "127.0.0.1"))
    address = _api_address(config)
    if "hub_bind_url" in hub:
        return str(hub["hub_bind_url"])
    if remote and address in _LOOPBACK:
        raise InvalidJobError(
            f"c.JupyterHub.hub_ip: the nodes can't reach the Hub's API at {address}, unless this "
            "host is the only node; set it to an address of this host that they can reach"
        )
    if reason := _why_not_here(listens):
        doubts.append(
            f"c.JupyterHub.hub_ip: {reason}, so a Hub can't start here; set it to the address of "
            "this host at which the nodes reach it"
        )
    if address in _WILDCARDS:
        return f"all addresses; the nodes use the name {socket.gethostname()}"
    return address


def _why_not_here(host: str) -> str:
    """Return why a Hub on this host can't listen at an address; empty if it can."""
    if host in _WILDCARDS:
        return ""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        return f"{host} can't be resolved ({error.strerror})"
    try:
        with socket.socket(family, kind) as listener:
            listener.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            return f"{host} is not an address of this host"
    return ""


def _check_names(cls: type[Spawner], config: Config) -> None:
    """Raise for a setting that the class lacks, in its own section or in one it inherits."""
    known = set(cls.class_trait_names(config=True))
    for part in cls.__mro__:
        if part in Spawner.__mro__ or part.__name__ not in config:
            continue
        if unknown := sorted(set(config[part.__name__]) - known):
            raise InvalidJobError(
                f"c.{part.__name__} has no setting {suggest_names(unknown, known)}"
            )


def _is_remote(spawner: Any) -> bool:
    """Return whether its servers are on other hosts and find the Hub by the address it has here."""
    try:
        if isinstance(spawner, UniSpawner) and spawner.get_scheduler().loopback:
            return False
    except InvalidJobError:
        pass  # the check of the scheduler reports it
    ours = isinstance(spawner, UniSpawner | BatchSpawnerBase)
    return ours and spawner.hub_connect_url is None


def _has_queues(spawner: UniSpawner) -> bool:
    try:
        return not spawner.get_scheduler().loopback
    except UniSpawnerError:
        return False  # the check of the scheduler reports it


async def _profiles(spawner: ProfilesSpawner) -> str:
    try:
        given = spawner.refresh_profiles()
        if not isinstance(given, list):
            return "a function; its result depends on the user and is checked at each start"
        return ", ".join(one.slug for one in read_some_profiles(given))
    except InvalidJobError as error:
        raise spawner.with_place(error) from None


async def _templates(spawner: BatchSpawnerBase) -> str:
    found = await batchspawner.check_templates(spawner)
    if unchecked := find_unchecked(spawner):
        raise Doubt(
            f"{', '.join(unchecked)}: code of the site's own needs a user, so this could not be "
            "checked; `unispawner render --user NAME` tries it"
        )
    return found


async def _script(spawner: BatchSpawnerBase) -> str:
    raise Doubt("; ".join(_doubts(spawner)))


def _doubts(spawner: BatchSpawnerBase) -> list[str]:
    try:
        return find_doubts(spawner)
    except Exception:  # code of the site needs a user: the check of the job reports it
        return []


async def _child(spawner: WrapSpawner) -> str:
    try:
        return type(wrapped_spawner(spawner)).__name__
    except UnknownChild as error:
        raise Doubt(
            f"{error.message}. So the spawner that it makes is not checked; `unispawner render "
            "--user NAME --option FIELD=VALUE` tries it"
        ) from None


async def _profile(spawner: ProfilesSpawner, profile: Profile) -> str:
    try:
        await check_profile(profile, spawner)
    except UniSpawnerError as error:
        why = await _why_no_scheduler(profile, spawner)
        if why and (error.message == why or error.message.startswith("scheduler: ")):
            raise Skipped(_NEEDS_SCHEDULER) from None
        if isinstance(error, InvalidJobError) and spawner.profiles_file:
            named = InvalidJobError(f"profile {profile.slug!r}: {error.message}")
            raise spawner.with_place(named) from None
        raise
    cls = ChildFactory(profile, spawner).spawner_class
    name = cls.__name__
    changes_account = issubclass(cls, LocalProcessSpawner)
    if changes_account and not issubclass(cls, SimpleLocalProcessSpawner) and os.getuid() != 0:
        raise Doubt(
            f"spawner: {name} can start servers as their users only if the Hub runs as root, and "
            f"this is {getpass.getuser()}"
        )
    return f"{name}, checked at every bound of its options" if profile.options else name


async def _why_no_scheduler(profile: Profile, spawner: ProfilesSpawner) -> str:
    """Return what the check of a profile's scheduler reports; empty if it finds nothing wrong."""
    try:
        child = ChildFactory(profile, spawner).make_spawner({PROFILE: profile.slug})
        if isinstance(child, UniSpawner):
            await _scheduler(child)
    except UniSpawnerError as error:
        return error.message
    return ""


async def _scheduler(spawner: UniSpawner) -> str:
    await spawner.find_scheduler()
    scheduler = spawner.get_scheduler()
    how = " (detected)" if spawner.scheduler == "auto" else ""
    environment = spawner.command_environment()
    if spawner.submits_here:
        _check_files_of(scheduler.name, environment)
    await detect.check(scheduler, spawner.get_host(), environment)
    cluster = os.environ.get("SLURM_CLUSTERS")
    chosen = scheduler.cluster_name or environment.get("SLURM_CLUSTERS")
    if scheduler.name == "slurm" and cluster and not chosen:
        raise Doubt(
            f"{scheduler.title}{how}: SLURM_CLUSTERS is set here, but its commands do not get it "
            "from the Hub's own environment. If they need it: c.UniSpawner.slurm_cluster = "
            f"{cluster!r}"
        )
    for name in _VARIABLES.get(scheduler.name, ()) if spawner.submits_here else ():
        value = os.environ.get(name)
        if value and name not in environment:
            raise Doubt(
                f"{scheduler.title}{how}: {name} is set here, but its commands do not get it from "
                "the Hub's own environment. If they need it: c.UniSpawner.scheduler_environment = "
                f"{{{name!r}: {value!r}}}"
            )
    where = "" if spawner.submits_here else f" on {spawner.search_host().place}"
    return f"{scheduler.title}{how}{where}"


def _check_files_of(scheduler: str, environment: Mapping[str, str]) -> None:
    """Check that the files exist that choose a cluster: without them Slurm's commands only wait.

    Raises
    ------
    InvalidJobError
        For the first that can't be read.
    """
    for name in _VARIABLES.get(scheduler, ()):
        path = environment.get(name, "")
        if path.startswith("/") and not os.access(path, os.R_OK):
            raise InvalidJobError(
                f"scheduler_environment: {name}: {getpass.getuser()} finds no {path} on this host "
                "or can't read it; correct c.UniSpawner.scheduler_environment"
            )


async def _job(spawner: UniSpawner) -> str:
    spawner.check_names()
    spec = spawner.job_spec("0" * 16, environment={})
    render_script(spec, spawner.get_scheduler(), shell=spawner.job_shell)
    return f"the settings make a valid job for {spawner.get_scheduler().title}"


async def _commands(spawner: UniSpawner) -> str:
    if not spawner.submits_here:
        return f"they are on {spawner.search_host().place}; --account NAME looks for them there"
    path = spawner.command_environment()["PATH"]
    found = {
        name: shutil.which(name, path=path) for name in spawner.get_scheduler().needed_commands()
    }
    missing = [name for name, where in found.items() if where is None]
    if missing:
        raise InvalidJobError(
            f"c.UniSpawner.scheduler_path: {', '.join(missing)} not found in {path}; add the "
            "directory of the scheduler's commands"
        )
    paths = ", ".join(str(where) for where in found.values())
    if absent := _absent_folders(spawner.scheduler_path):
        raise Doubt(
            f"c.UniSpawner.scheduler_path: {', '.join(absent)} is not a folder of this host; found "
            f"in other folders: {paths}"
        )
    return paths or "no commands are needed"


def _absent_folders(path: str) -> list[str]:
    return [folder for folder in path.split(":") if folder and not os.path.isdir(folder)]


async def _query(spawner: UniSpawner) -> str:
    await _need_way(spawner)
    seen = await spawner.monitor().survey()
    asker = _asker(spawner)
    owners = seen.owners - {asker}
    cluster = spawner.cluster_title()
    prefix = f"{cluster}: " if cluster else ""
    if seen.jobs is None:
        return f"{prefix}the list of all jobs is too large: only those of servers are asked for"
    return (
        f"{prefix}{asker} sees {_count(seen.jobs, 'job')} of {_count(len(owners), 'other account')}"
        ". If there are more, the scheduler hides jobs from the Hub (Slurm: PrivateData=jobs)"
    )


def _asker(spawner: UniSpawner) -> str:
    """Return the account that asks the scheduler: on another host, the one that ssh logs in to."""
    greeting = None if spawner.submits_here else spawner.brokered_host().connection.greeting
    return greeting.account if greeting else getpass.getuser()


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


async def _queues(spawner: Any, silent: list[UniSpawner]) -> str:
    def compare(one: UniSpawner, inventory: Inventory) -> list[str]:
        return queues.compare(one.job_spec("0" * 16, environment={}), inventory)

    await _compare_jobs(spawner, silent, compare, "the limits are not known")
    return "every job is within the limits that the scheduler reports"


async def _nodes(spawner: Any, silent: list[UniSpawner]) -> str:
    await _compare_jobs(spawner, silent, nodes.compare, "the nodes are not known")
    return "every job can run on some node, as far as the scheduler says"


async def _compare_jobs(
    spawner: Any,
    silent: list[UniSpawner],
    compare: Callable[[UniSpawner, Inventory], list[str]],
    unknown: str,
) -> None:
    """Compare the job at each bound of what users can choose with what the scheduler has.

    Raises
    ------
    Doubt
        With what ``compare`` returns; with ``unknown`` if the scheduler does not say what it has.
    """
    if silent:
        raise Skipped(_NEEDS_SCHEDULER)
    found: list[str] = []
    for prefix, one in find_jobs(spawner):
        await _need_way(one)
        try:
            inventory = await one.monitor().inventory.get()
            found += [f"{prefix}{message}" for message in compare(one, inventory)]
        except InvalidJobError:
            continue  # the check of the job or the profile reports it
        except UniSpawnerError as error:
            raise Doubt(f"{unknown}: {error.message}") from None
    if found:
        raise Doubt("; ".join(dict.fromkeys(found)))


async def _clusters(spawners: list[UniSpawner], silent: list[UniSpawner]) -> str:
    if silent:
        raise Skipped(_NEEDS_SCHEDULER)
    found = clusters.find_clusters(spawners)
    if doubts := await clusters.find_doubts(found):
        raise Doubt("; ".join(doubts))
    return ", ".join(sorted({one.get_scheduler().title for one in found.values()}))


async def _host_map(spawner: UniSpawner) -> str:
    """Try the table or function on the scheduler's nodes."""
    await _need_way(spawner)
    try:
        hosts = sorted((await spawner.monitor().inventory.get()).hosts)
        mapped = {host: await map_host(spawner.host_map, host) for host in hosts}
    except UniSpawnerError as error:
        raise Doubt(error.message) from None
    changed = [f"{host} becomes {name}" for host, name in mapped.items() if name != host]
    if hosts and not changed:
        raise Doubt(
            f"host_map: it changes the name of none of the scheduler's nodes: {_shorten(hosts)}; "
            "a pattern is a regular expression of Python's that matches a whole name, as in "
            r'{r"n(\d+)": r"n\1-ib"}'
        )
    return f"{_shorten(changed)}" if changed else "the scheduler lists no nodes to try it on"


def _shorten(texts: list[str]) -> str:
    return ", ".join([*texts[:_SHOWN], *["..."] * (len(texts) > _SHOWN)])


async def _submit_host(spawner: UniSpawner) -> str:
    """Start the broker there, and see what may keep servers from finding the Hub."""
    await spawner.check_way()
    connection = spawner.brokered_host().connection
    greeting = connection.greeting
    assert greeting
    if abs(greeting.time_offset) > CLOCK_TOLERANCE:
        raise Doubt(
            f"the time of day on {greeting.host} differs from the Hub's by "
            f"{abs(greeting.time_offset):.0f} s; set the clocks of both hosts (NTP)"
        )
    if not greeting.is_root:
        raise Doubt(
            f"the broker on {greeting.host} does not run as root, so only {greeting.account} can "
            "have servers; the command of the Hub's key in authorized_keys must begin with sudo -n"
        )
    return f"the broker runs on {greeting.host} for {greeting.account}"


async def _python(python: str) -> str:
    return _check_readable(python)


def _check_readable(python: str) -> str:
    """Check that users can read a Python, and every folder on the way to it and to its target."""
    given = Path(os.path.abspath(python))
    real = given.resolve()
    for part in (given, *given.parents, real, *real.parents):
        try:
            readable = os.stat(part).st_mode & 0o005 == 0o005
        except OSError:
            readable = False  # not even this process can look
        if not readable:
            raise AgentError(
                f"agent_python: users can't read {part} and so can't run {python}; create the "
                "virtual environment in another place, with the system's Python"
            )
    return f"{python} is readable by users"


async def _start_time(spawner: UniSpawner, name: str) -> str:
    await _need_way(spawner)
    return await start_time.check_start_time(spawner, name)


async def _mine(spawner: UniSpawner, name: str, fields: list[str]) -> str:
    await _need_way(spawner)
    words, doubt = await mine.check_mine(spawner, name, fields)
    if doubt:
        raise Doubt(f"{words}. {doubt}")
    return words


async def _account(spawner: UniSpawner, name: str, note: Callable[[str], None]) -> str:
    if os.getuid() == 0 and not spawner.submit_host:
        note("        (you are root; as the Hub's account, this checks what sudo allows it)")
    await _need_way(spawner)
    account = await find_account(name, spawner.min_uid, host=spawner.get_host())
    facts = await spawner.agent_client(account).check()
    return format_facts(facts)
