"""Asks a host which scheduler it has. Several have a ``qstat``, so that it is asked its name."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import InvalidJobError, SchedulerUnavailable, UniSpawnerError
from .base import AnswerTooLarge, CommandNotFound, Dialogue, Meaning, Reply, Scheduler

LONGEST = 100
"""How many characters of a command's answer are kept."""


@dataclass(frozen=True)
class Identity:
    """What a host's command says about itself.

    Attributes
    ----------
    answer
        The line in which it identifies itself, or else the first line that it prints.
    confirmed
        True if the answer is this scheduler's, and not of another with a command of the same name.
    problem
        Why the scheduler does not answer, or can't even identify itself now; empty if it answers.
    """

    answer: str = ""
    confirmed: bool = False
    problem: str = ""


def identify(scheduler: Scheduler) -> Dialogue[Identity | None]:
    """Ask a scheduler's command for its name, and then about its jobs.

    Return None if the host does not have the command.

    Raises
    ------
    InvalidJobError
        If the scheduler says that one of its settings is wrong.
    """
    command = list(scheduler.identify_command)
    if not command:
        return None
    try:
        reply = yield command
    except CommandNotFound:
        return None
    except SchedulerUnavailable as error:
        return Identity(problem=error.message)
    except UniSpawnerError as error:
        return Identity(error.message)
    text = f"{reply.stdout}\n{reply.stderr}".strip()
    identity = re.search(scheduler.identity, text, re.MULTILINE)
    if identity is None:
        answer = text.partition("\n")[0].strip()[:LONGEST]
        # A Slurm without a configuration file asks slurmctld even for its version.
        whole = Reply(reply.command, reply.exit_status, text)
        away = reply.exit_status and scheduler.meaning(whole) is Meaning.UNAVAILABLE
        return Identity(answer, problem=answer if away else "")
    # A site's wrapper may print a notice before it.
    line = text[text.rfind("\n", 0, identity.start()) + 1 :].partition("\n")[0]
    answer = line.strip()[:LONGEST]
    try:
        yield from scheduler.query()
    except InvalidJobError:
        raise
    except AnswerTooLarge:
        pass  # it answers; the monitor asks for its own jobs only
    except UniSpawnerError as error:
        return Identity(answer, confirmed=True, problem=str(error))
    return Identity(answer, confirmed=True)
