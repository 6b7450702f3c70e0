"""Decides how the Hub acts as its users, once for each command line of the broker."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from .. import tasks
from ..errors import InvalidJobError, SchedulerUnavailable, UniSpawnerError
from ..submit_host.brokered import BrokeredHost
from ..submit_host.host import HOST
from .base import ENVIRONMENT
from .broker import BrokerCommand
from .sudo import REFUSED

log = logging.getLogger("JupyterHub.unispawner")  # with the Hub's own handlers

SUDO_TIMEOUT = 10.0
"""How long (seconds) sudo may take to say what it permits: its rules may be in a directory."""
REFUSAL_TIME = 30.0
"""How long (seconds) sudo's answer about a command of saved settings is reused."""
GREETING_TIMEOUT = 20.0
"""How long (seconds) the broker may take to greet when the Hub starts."""

HostOf = Callable[[BrokerCommand], BrokeredHost]
"""Returns the host that the broker of a command serves."""


@dataclass(frozen=True)
class Way:
    """A way of becoming the user: the name of a class in ``WAYS``, and why it is used."""

    name: str
    reason: str


_Key = tuple[str, tuple[str, ...]]
_decided: dict[_Key, Way] = {}


def decide_now(asked: str, submit_host: str, command: BrokerCommand) -> Way | None:
    """Return the way if it can be decided without asking sudo; None otherwise."""
    if submit_host:
        return Way("broker", f"submit_host is {submit_host!r}")
    if asked == "same_user":
        return Way(asked, "run_as names it")
    if asked in ("auto", "broker") and os.getuid() == 0:
        return Way("broker", "the Hub runs as root")
    if asked == "sudo":
        return Way(asked, "run_as names it")
    return _decided.get((asked, tuple(command.words)))


async def decide(asked: str, submit_host: str, command: BrokerCommand, host: BrokeredHost) -> Way:
    """Return the way, decide it if that was not done before, and log it once.

    Parameters
    ----------
    asked
        ``c.UniSpawner.run_as``.
    host
        The host that the broker of this command would serve.

    Raises
    ------
    InvalidJobError
        If ``run_as`` is "broker" and sudo does not permit that.
    """
    key = asked, tuple(command.words)
    way = decide_now(asked, submit_host, command)
    if way is None:
        permitted = await _is_permitted(command, host)
        if permitted:
            why = "run_as names it" if asked == "broker" else "sudo permits its command"
            way = Way("broker", why)
        elif asked == "broker":
            raise InvalidJobError(
                'run_as: it is "broker", but sudo does not let the Hub start the broker without a '
                "password. `unispawner doctor --sudoers` prints the line that sudoers needs: with "
                f"NOPASSWD, and with the very command {' '.join(command.script_words)}"
            )
        else:
            words = " ".join(command.script_words)
            way = Way(
                "sudo", f"sudo does not permit the broker's command without a password: {words}"
            )
    if key not in _decided:
        log.info("run_as: the Hub acts as its users through %s, because %s", way.name, way.reason)
    _decided[key] = way
    return way


async def choose_command(
    asked: str, submit_host: str, saved: BrokerCommand, today: BrokerCommand, host_of: HostOf
) -> BrokerCommand:
    """Return the broker's command for a server that was saved under other settings than today's.

    That is the one of the saved settings, as long as sudo permits it: the server's profile or a
    hook may have chosen them. If sudo permits today's only, that one is right where just the
    folders of the commands have changed. Another environment could mean another cluster.

    Raises
    ------
    SchedulerUnavailable
        If only today's command is permitted and it has another environment.
    """
    if saved == today or not await _is_refused(saved, submit_host, host_of):
        return saved
    if submit_host:
        usable = not await _is_refused(today, submit_host, host_of)
    else:
        usable = (await decide(asked, submit_host, today, host_of(today))).name == "broker"
    if not usable:
        return saved
    old, new = " ".join(saved.script_words), " ".join(today.script_words)
    if saved.environment != today.environment:
        raise SchedulerUnavailable(
            "scheduler_environment: a server was started with other variables than today's, and "
            f"sudo does not permit the broker's command with those any more: {old}. Let sudoers "
            f"have that line, too, until such servers have ended; today's command is: {new}"
        )
    if saved not in _replaced:
        _replaced.append(saved)
        log.warning(
            "scheduler_path: servers were started with %r, and sudo does not permit the broker's "
            "command with this any more. The Hub reaches their jobs through the broker with "
            "today's path, %r.",
            saved.path,
            today.path,
        )
    return today


_replaced: list[BrokerCommand] = []
_refusals: dict[tuple[str, tuple[str, ...]], tuple[float, asyncio.Task[bool]]] = {}
"""When sudo was asked about a command, and its answer; after a restart many servers ask at once."""


async def _is_refused(command: BrokerCommand, submit_host: str, host_of: HostOf) -> bool:
    """Return whether sudo certainly does not permit a command, here or on the submit host."""
    key = submit_host, tuple(command.words)
    asked_at, asking = _refusals.get(key, (0.0, None))
    is_old = time.monotonic() > asked_at + REFUSAL_TIME
    if asking is None or asking.get_loop() is not asyncio.get_running_loop() or is_old:
        asking = tasks.start(_ask_sudo(command, submit_host, host_of), "question to sudo")
        _refusals[key] = time.monotonic(), asking
    return await asyncio.shield(asking)


async def _ask_sudo(command: BrokerCommand, submit_host: str, host_of: HostOf) -> bool:
    host = host_of(command)
    if not submit_host:
        return not await _is_permitted(command, host)
    try:
        await host.connection.greet(GREETING_TIMEOUT)
    except SchedulerUnavailable as error:
        return REFUSED.search(error.output) is not None
    return False


async def _is_permitted(command: BrokerCommand, host: BrokeredHost) -> bool:
    """Return whether sudo permits the very command without a password; it asks for none."""
    try:
        done = await HOST.run(
            ["sudo", "-n", "-l", "--", *command.script_words],
            environment=ENVIRONMENT,
            timeout=SUDO_TIMEOUT,
            output_limit=64 * 1024,
            urgent=True,
        )
    except UniSpawnerError:
        return False
    if done.exit_status != 0:
        return False
    # A rule without NOPASSWD is in the list, too.
    try:
        await host.connection.greet(GREETING_TIMEOUT)
    except SchedulerUnavailable as error:
        return REFUSED.search(error.output) is None
    return True
