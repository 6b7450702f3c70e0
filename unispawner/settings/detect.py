"""Which scheduler does this host have? Several have a ``qstat``: it is asked who it is."""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .. import tasks
from ..errors import InvalidJobError, SchedulerUnavailable, UniSpawnerError
from ..schedulers import NAMES, Scheduler
from ..schedulers.base import Meaning, Reply
from ..submit_host.dialogue import hold_dialogue
from ..submit_host.host import SubmitHost

IDENTIFY_TIMEOUT = 10.0
"""Seconds."""
_Key = tuple[tuple[str, str], ...]
_known: dict[_Key, str] = {}
_looking: dict[tuple[_Key, asyncio.AbstractEventLoop], asyncio.Task[list[Found]]] = {}
log = logging.getLogger("JupyterHub.unispawner")  # with the Hub's own handlers


@dataclass(frozen=True)
class Found:
    """A scheduler whose command this host has.

    Attributes
    ----------
    says
        The first line of what the command says it is.
    is_it
        True if that is this scheduler, and not another with a command of the same name.
    problem
        Why it does not answer, or can't even say who it is just now; empty if it does.
    """

    name: str
    command: str
    says: str = ""
    is_it: bool = False
    problem: str = ""

    def __str__(self) -> str:
        if self.is_it:
            return f"{self.name} ({self.says}): {self.problem or 'answers'}"
        if self.problem:
            return f"perhaps {self.name}: {self.problem}"
        return f"no {self.name}: {self.command} says {self.says or 'nothing'!r}"


def known(environment: Mapping[str, str]) -> str:
    """Return what :func:`find` has found with this environment.

    Raises
    ------
    InvalidJobError
        If it has found nothing yet.
    """
    try:
        return _known[_key(environment)]
    except KeyError:
        raise InvalidJobError(
            'scheduler: "auto", and it is not known yet which one there is; to be certain, set '
            "c.UniSpawner.scheduler"
        ) from None


async def find(
    host: SubmitHost, environment: Mapping[str, str], make: Callable[[str], Scheduler]
) -> str:
    """Return the name of the one scheduler that is here and answers; it is remembered.

    Parameters
    ----------
    make
        Gives a scheduler of a name, with the site's settings.

    Raises
    ------
    InvalidJobError
        If there is none, or several answer.
    SchedulerUnavailable
        If there are some and none answers just now.
    """
    if (key := _key(environment)) not in _known:
        # However many start at once, it is looked up once.
        turn = (key, asyncio.get_running_loop())
        if turn not in _looking:
            _looking[turn] = tasks.start(look(host, environment, make), "looking for a scheduler")
        try:
            found = await asyncio.shield(_looking[turn])
        finally:
            if (task := _looking.get(turn)) is not None and task.done():
                del _looking[turn]
        _known[key] = _only(found, environment["PATH"])
        log.info("scheduler: auto is %s of %s", _known[key], "; ".join(map(str, found)))
    return _known[key]


async def look(
    host: SubmitHost, environment: Mapping[str, str], make: Callable[[str], Scheduler]
) -> list[Found]:
    """Ask every scheduler whose command is on the path who it is, and then about its jobs."""
    found = await asyncio.gather(*(_look_for(make(name), host, environment) for name in NAMES))
    return [one for one in found if one is not None]


async def check(scheduler: Scheduler, host: SubmitHost, environment: Mapping[str, str]) -> None:
    """Make sure that a scheduler's commands are here, are its own, and answer.

    Raises
    ------
    InvalidJobError
        If they are another scheduler's, or what its settings name can't be right.
    SchedulerUnavailable
        If they are not here, or don't answer.
    """
    scheduler.check_set_up()
    if not scheduler.identify_command:
        return
    found = await _look_for(scheduler, host, environment)
    if found is None:
        raise SchedulerUnavailable(
            f"scheduler: {scheduler.title}'s {scheduler.identify_command[0]} is not found in "
            f"{environment['PATH']} (c.UniSpawner.scheduler_path)"
        )
    if found.problem:
        raise SchedulerUnavailable(f"scheduler: {scheduler.title} does not answer: {found.problem}")
    if not found.is_it:
        raise InvalidJobError(
            f"scheduler: the {found.command} found is not {scheduler.title}'s; it says "
            f"{found.says!r}. Set c.UniSpawner.scheduler to what is here, or "
            "c.UniSpawner.scheduler_path to where the right one is"
        )


async def _look_for(
    scheduler: Scheduler, host: SubmitHost, environment: Mapping[str, str]
) -> Found | None:
    command = scheduler.identify_command
    if not command or shutil.which(command[0], path=environment["PATH"]) is None:
        return None
    surroundings = {**scheduler.environment(), **environment}
    try:
        done = await host.run(
            command,
            environment=surroundings,
            timeout=IDENTIFY_TIMEOUT,
            output_limit=64 * 1024,
            urgent=True,
        )
    except SchedulerUnavailable as error:
        return Found(scheduler.name, command[0], problem=error.message)
    except UniSpawnerError as error:
        return Found(scheduler.name, command[0], says=error.message)
    text = (done.stdout + b"\n" + done.stderr).decode("utf-8", "replace").strip()
    says = text.partition("\n")[0].strip()[:100]
    if not re.search(scheduler.identity, text, re.MULTILINE):
        # Slurm without a configuration file has even its version from slurmctld.
        reply = Reply(tuple(command), done.exit_status, text)
        away = done.exit_status and scheduler.meaning(reply) is Meaning.UNAVAILABLE
        return Found(scheduler.name, command[0], says, problem=says if away else "")
    try:
        await hold_dialogue(scheduler.query(), host, surroundings)
    except UniSpawnerError as error:
        return Found(scheduler.name, command[0], says, is_it=True, problem=str(error))
    return Found(scheduler.name, command[0], says, is_it=True)


def _only(found: list[Found], path: str) -> str:
    here = [one for one in found if one.is_it or one.problem]
    answering = [one for one in here if not one.problem]
    if len(answering) == 1:
        return answering[0].name
    listing = "".join(f"\n  {one}" for one in found)
    if answering:
        raise InvalidJobError(
            "scheduler: several answer on this host; set c.UniSpawner.scheduler to one of them:"
            + listing
        )
    if here:
        raise SchedulerUnavailable(
            "scheduler: of those on this host none answers; set c.UniSpawner.scheduler, so that "
            f"the Hub needs not look:{listing}"
        )
    raise InvalidJobError(
        f"scheduler: no scheduler's commands were found in {path}. Set c.UniSpawner.scheduler_path "
        'to where they are, or c.UniSpawner.scheduler = "local" for processes on this host.'
        f"{' Found:' + listing if found else ''}"
    )


def _key(environment: Mapping[str, str]) -> _Key:
    return tuple(sorted(environment.items()))
