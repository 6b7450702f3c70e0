"""Finds a job that a failed submission has left, and cancels it.

A site's submit command may have submitted the job although it has failed, or has printed no id that
can be used. The agent then looks for the job as its user, by the mark that is in the path of the
job's private folder, and cancels it with the scheduler's own command. No text that the submit
command has printed is in any command. A job that is not found ends by itself as soon as it runs,
because its private files are removed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..errors import UniSpawnerError
from ..run_as.client import AgentClient
from ..schedulers import get_scheduler, scheduler_class
from ..schedulers.slurm import is_one_cluster
from .environment import of_scheduler

SEARCH_PAUSES = (5.0, 30.0)
"""How long (seconds) to wait before each further search: a command that was killed because it took
too long may submit the job later."""

SHOW_VARIABLES = ("gridengine", "pbs", "torque")
"""Schedulers that show no script: a job is found by a variable that it is submitted with."""
_PROGRAMS = {
    "sbatch": "slurm",
    "condor_submit": "htcondor",
    "bsub": "lsf",
    "msub": "torque",
}
_QSTAT = (("-xml", "gridengine"), ("-x", "torque"), ("-f", "pbs"))
"""Which scheduler's qsub it is, by the options of the query command's qstat."""
_CLUSTER = re.compile(r"(?<!\S)(?:-M|--clusters?)[= ]*([\w,.-]+)", re.ASCII)


def find_scheduler(submit_command: str, query_command: str, default: str) -> str:
    """Return the name of the scheduler that a site's commands talk to; empty if they hide it.

    Parameters
    ----------
    default
        The scheduler of the spawner's class, which may have other commands than its own.
    """
    names = set(re.findall(r"(?<![\w.-])[a-z_]+(?![\w-])", submit_command))
    for program, scheduler in _PROGRAMS.items():
        if program in names:
            return scheduler
    if "qsub" in names and not default:
        options = query_command.split()
        return next((name for option, name in _QSTAT if option in options), "pbs")
    return default


def make_search_client(
    client: AgentClient, scheduler: str, commands: Mapping[str, str], environment: Mapping[str, Any]
) -> AgentClient:
    """Return a client whose agent runs a scheduler's commands where the site's commands find them.

    Parameters
    ----------
    client
        The client of the job's account.
    commands
        The site's commands, and its script, filled in.
    environment
        The server's environment.
    """
    settings = {one.name: one.default for one in scheduler_class(scheduler).settings()}
    settings.update({"use_drmaa": False} if "use_drmaa" in settings else {})
    variables = of_scheduler(environment)
    if scheduler == "slurm" and (found := _find_cluster(commands)):
        if is_one_cluster(found):
            settings["slurm_cluster"] = found
            variables.pop("SLURM_CLUSTERS", None)
        else:
            variables["SLURM_CLUSTERS"] = found
    return replace(
        client,
        scheduler=get_scheduler(scheduler, scheduler_class(scheduler).complete_settings(settings)),
        scheduler_path=tuple(_find_folders(commands)),
        scheduler_environment=variables,
    )


async def cancel_jobs(client: AgentClient, mark: str) -> list[str]:
    """Cancel the user's jobs that show a mark; return their ids.

    Raises
    ------
    UniSpawnerError
        If the scheduler does not answer.
    """
    job_ids = await client.find_jobs(mark)
    errors: list[UniSpawnerError] = []
    for job_id in job_ids:
        try:
            await client.cancel(job_id)
        except UniSpawnerError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return job_ids


def _find_folders(commands: Mapping[str, str]) -> list[str]:
    """Return the folders of the programs that the commands name by a path, and the Hub's PATH."""
    named = [
        os.path.dirname(word)
        for command in commands.values()
        for word in re.findall(r"(?<![^\s'\"=])/[\w./+-]+", command)
    ]
    own = os.environ.get("PATH", "").split(":")
    return [*dict.fromkeys(one for one in (*named, *own) if one.startswith("/"))]


def _find_cluster(commands: Mapping[str, str]) -> str:
    """Return the cluster that a submit command, or a directive of the script, names."""
    lines = [line for text in commands.values() for line in text.splitlines()]
    named = [line for line in lines if "sbatch" in line or line.startswith("#SBATCH")]
    found = (_CLUSTER.search(line) for line in named)
    return next((match[1] for match in found if match), "")
