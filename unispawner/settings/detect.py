"""Finds out which scheduler a host has. Several have a ``qstat``, so that it is asked its name."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .. import tasks
from ..errors import InvalidJobError, SchedulerUnavailable
from ..schedulers import NAMES, Scheduler
from ..schedulers.identity import Identity
from ..submit_host.host import SubmitHost

_Key = tuple[SubmitHost, tuple[tuple[str, str], ...]]
_found: dict[_Key, str] = {}
_looking: dict[tuple[_Key, asyncio.AbstractEventLoop], asyncio.Task[list[Found]]] = {}
log = logging.getLogger("JupyterHub.unispawner")  # with the Hub's own handlers


@dataclass(frozen=True)
class Found(Identity):
    """A scheduler whose command this host has, and what the command says about itself."""

    name: str = ""
    command: str = ""

    def __str__(self) -> str:
        if self.confirmed:
            return f"{self.name} ({self.answer}): {self.problem or 'answers'}"
        if self.problem:
            return f"{self.name}, if its command answers: {self.problem}"
        return f"not {self.name}: {self.command} prints {self.answer or 'nothing'!r}"


def recall(host: SubmitHost, environment: Mapping[str, str]) -> str:
    """Return the name that :func:`find` has found on this host with this environment.

    Raises
    ------
    InvalidJobError
        If it has found nothing yet.
    """
    try:
        return _found[_key(host, environment)]
    except KeyError:
        raise InvalidJobError(
            'scheduler: it is "auto", and the Hub has not found out yet which scheduler this is. '
            "To avoid the search, set c.UniSpawner.scheduler"
        ) from None


async def find(
    host: SubmitHost, environment: Mapping[str, str], make: Callable[[str], Scheduler]
) -> str:
    """Return the name of the one scheduler of this host that answers, and remember it.

    Parameters
    ----------
    make
        Returns the scheduler of a name, with the site's settings.

    Raises
    ------
    InvalidJobError
        If the host has no scheduler, or several answer.
    SchedulerUnavailable
        If the host has schedulers and none answers just now.
    """
    if (key := _key(host, environment)) not in _found:
        # All servers that start meanwhile wait for the same search.
        turn = (key, asyncio.get_running_loop())
        if turn not in _looking:
            work = ask_all(host, environment, make)
            _looking[turn] = tasks.start(work, "looking for a scheduler")
        try:
            found = await asyncio.shield(_looking[turn])
        finally:
            if (task := _looking.get(turn)) is not None and task.done():
                del _looking[turn]
        _found[key] = _choose(found, environment["PATH"], host)
        candidates = "; ".join(map(str, found))
        log.info(
            'scheduler = "auto" means %s on %s. Found: %s', _found[key], _name(host), candidates
        )
    return _found[key]


async def ask_all(
    host: SubmitHost, environment: Mapping[str, str], make: Callable[[str], Scheduler]
) -> list[Found]:
    """Ask every scheduler whose command is on the path for its name, and then about its jobs."""
    found = await asyncio.gather(*(_ask(make(name), host, environment) for name in NAMES))
    return [one for one in found if one is not None]


async def check(scheduler: Scheduler, host: SubmitHost, environment: Mapping[str, str]) -> None:
    """Check that a host has a scheduler's commands, that they are its own, and that they answer.

    Raises
    ------
    InvalidJobError
        If the commands are another scheduler's, or if its settings are wrong.
    SchedulerUnavailable
        If there are no such commands, or if they don't answer.
    """
    scheduler.check_set_up()
    if not scheduler.identify_command:
        return
    found = await _ask(scheduler, host, environment)
    if found is None:
        raise SchedulerUnavailable(
            f"scheduler: {scheduler.title}'s {scheduler.identify_command[0]} was not found in "
            f"{environment['PATH']}{_elsewhere(host)}. Set c.UniSpawner.scheduler_path to its "
            "directory"
        )
    if found.problem:
        raise SchedulerUnavailable(f"scheduler: {scheduler.title} does not answer: {found.problem}")
    if not found.confirmed:
        raise InvalidJobError(
            f"scheduler: the command {found.command} is not {scheduler.title}'s; it prints "
            f"{found.answer!r}. Set c.UniSpawner.scheduler to the scheduler of {_name(host)}, "
            "or c.UniSpawner.scheduler_path to the directory of the right command"
        )


async def _ask(
    scheduler: Scheduler, host: SubmitHost, environment: Mapping[str, str]
) -> Found | None:
    if not scheduler.identify_command:
        return None
    surroundings = {**scheduler.environment(), **environment}
    identity: Identity | None = await host.ask(scheduler, "identify", environment=surroundings)
    if identity is None:
        return None
    return Found(
        name=scheduler.name,
        command=scheduler.identify_command[0],
        answer=identity.answer,
        confirmed=identity.confirmed,
        problem=identity.problem,
    )


def _name(host: SubmitHost) -> str:
    return "this host" if host.here else host.place


def _elsewhere(host: SubmitHost) -> str:
    return "" if host.here else f" on {host.place}"


def _choose(found: list[Found], path: str, host: SubmitHost) -> str:
    """Return the name of the only scheduler that answers; raise an error otherwise."""
    here = [one for one in found if one.confirmed or one.problem]
    answering = [one for one in here if not one.problem]
    if len(answering) == 1:
        return answering[0].name
    listing = "".join(f"\n  {one}" for one in found)
    if answering:
        raise InvalidJobError(
            f"scheduler: several schedulers answer on {_name(host)}. Set c.UniSpawner.scheduler "
            f"to one of them:{listing}"
        )
    if here:
        raise SchedulerUnavailable(
            f"scheduler: none of the schedulers on {_name(host)} answers. To make the Hub wait for "
            f"one of them, set c.UniSpawner.scheduler:{listing}"
        )
    local = ', or c.UniSpawner.scheduler = "local" for processes on this host' if host.here else ""
    raise InvalidJobError(
        f"scheduler: no scheduler's commands were found in {path}{_elsewhere(host)}. Set "
        f"c.UniSpawner.scheduler_path to their directory{local}."
        f"{' Found:' + listing if found else ''}"
    )


def _key(host: SubmitHost, environment: Mapping[str, str]) -> _Key:
    return host, tuple(sorted(environment.items()))
