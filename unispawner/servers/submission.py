"""From settings to a job id, with all saved that would find the job again."""

from __future__ import annotations

import os
import pwd
import secrets
import time
from typing import TYPE_CHECKING

from ..errors import (
    AgentError,
    InvalidJobError,
    JobEndedError,
    SchedulerUnavailable,
    UniSpawnerError,
)
from ..job import JobSpec
from ..run_as.accounts import find_account
from ..run_as.client import AgentClient
from ..web.summary import summary
from . import address as report
from . import database as saving
from .state import ServerState

if TYPE_CHECKING:
    from .spawner import UniSpawner


async def prepare(spawner: UniSpawner) -> JobSpec:
    """Return the job to submit; all that finds it again is saved before there is one.

    Raises
    ------
    InvalidJobError
        If a setting can't be right.
    AgentError
        If there is no account for it, or the database takes no changes.
    SchedulerUnavailable
        If the scheduler is to be found by itself and does not answer.
    JobEndedError
        If the server was stopped meanwhile.
    """
    if spawner.internal_ssl:
        raise InvalidJobError(
            "c.JupyterHub.internal_ssl: the certificates can't be brought to the nodes yet"
        )
    before, stopping = spawner.state, spawner.state.stopping
    await spawner.find_scheduler()
    same_name = spawner.account_name is None
    account = await find_account(_account_name(spawner), spawner.min_uid, same_name=same_name)
    if spawner.state is not before or before.stopping is not stopping:
        raise JobEndedError("The start was stopped before there was a job.")
    try:
        environment = spawner.get_env()
    except Exception as error:  # c.Spawner.environment may hold the administrator's functions
        raise InvalidJobError(
            f"environment: {type(error).__name__}: {error} (c.Spawner.environment)"
        ) from error
    spec = spawner.job_spec(secrets.token_hex(8), environment)
    spawner.state = ServerState(
        scheduler=spawner.get_scheduler().name,
        scheduler_options=spawner.get_scheduler().options,
        cluster=spawner.cluster,
        account=account.name,
        mark=spec.mark,
        token_id=saving.token_id(spawner),
        submit_time=time.time(),
        waiting_since=time.time(),
        scheduler_path=spawner.scheduler_path,
        scheduler_environment=dict(spawner.scheduler_environment),
        state_dir=spawner.state_dir,
        duration=spec.duration.total_seconds() if spec.duration else None,
        summary=summary(spec),
    )
    if spawner.server is not None:
        spawner.server.ip, spawner.server.port = report.DEAD_ADDRESS
    if not spawner.commit():
        raise AgentError("The Hub's database takes no changes just now; try again.")
    return spec


async def submit(spawner: UniSpawner, spec: JobSpec) -> None:
    """Submit a job, and save its id before anything else is awaited.

    Raises
    ------
    UniSpawnerError
        If there is no job; nothing is left of it then.
    """
    client = await spawner.client()
    try:
        job_id = await client.submit(spec, spawner.job_shell)
    except (AgentError, SchedulerUnavailable) as error:
        # The answer is lost; the job need not be.
        job_id = await _find_lost(spawner, client)
        if not job_id:
            _failed(spawner, client)
            raise error
    except UniSpawnerError:
        _failed(spawner, client)
        raise
    spawner.track(client, job_id, submitted=True)
    spawner.state.job_id = job_id
    spawner.commit()
    title, log = spawner.get_scheduler().title, f"{spawner.state_dir}/logs/{spec.mark}.log"
    spawner.log.info("%s: job %s on %s, its log: %s", spawner._log_name, job_id, title, log)


async def _find_lost(spawner: UniSpawner, client: AgentClient) -> str:
    try:
        return await client.find(spawner.state.mark)
    except UniSpawnerError as error:
        spawner.log.warning("%s: can't look for the job: %s", spawner._log_name, error)
        return ""


def _failed(spawner: UniSpawner, client: AgentClient) -> None:
    # A job that was submitted after all finds no environment and ends at once.
    spawner.start_clean_up(client)
    spawner.state.mark = ""
    spawner.commit()


def _account_name(spawner: UniSpawner) -> str:
    if spawner.account_name is not None:
        try:
            name = spawner.account_name(spawner)
        except Exception as error:  # the administrator's own function: whatever it raises
            raise AgentError(
                f"c.UniSpawner.account_name failed: {type(error).__name__}: {error}"
            ) from error
    elif spawner.run_as == "same_user" and spawner.allow_shared_account:
        name = pwd.getpwuid(os.getuid()).pw_name
    else:
        name = spawner.user.name
    if not isinstance(name, str) or not name:
        raise AgentError(f"c.UniSpawner.account_name gave {name!r}, which is no account's name")
    return name
