"""Decides how the Hub acts as its users, once for each command line of the broker."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass

from ..errors import InvalidJobError, SchedulerUnavailable, UniSpawnerError
from ..submit_host.brokered import BrokeredHost
from ..submit_host.host import HOST
from .base import ENVIRONMENT
from .broker import BrokerCommand
from .sudo import REFUSED

log = logging.getLogger("JupyterHub.unispawner")  # with the Hub's own handlers

SUDO_TIMEOUT = 10.0
"""How long (seconds) sudo may take to say what it permits: its rules may be in a directory."""
GREETING_TIMEOUT = 20.0
"""How long (seconds) the broker may take to greet when the Hub starts."""


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
