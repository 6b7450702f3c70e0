"""Submits a server's job, and saves beforehand what finds the job again if the Hub dies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ..errors import (
    AgentError,
    InvalidJobError,
    JobEndedError,
    SchedulerUnavailable,
    UniSpawnerError,
)
from ..job import JobSpec, make_mark
from ..run_as.accounts import Account
from ..run_as.client import AgentClient
from ..texts import of_field
from ..web import words
from ..web.availability import find_misfit_of
from ..web.hosts import is_loopback
from ..web.per_hub import PerHub
from ..web.summary import describe_job
from . import certificates, database, event_log, history, own_paths
from .as_user import find_account_of
from .certificates import Identity
from .hub_id import find_hub_id
from .scheduled_job import ScheduledJob
from .search_paths import drop_hubs_paths, drop_unsettable
from .session_facts import measure
from .state import DEAD_ADDRESS, ServerState

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 15.0
"""The pauses (seconds) between two looks for a job whose submission has no answer."""


async def prepare(
    job: ScheduledJob, *, copies_environment: bool = False
) -> tuple[JobSpec, Identity | None]:
    """Return the job to submit and, with ``internal_ssl``, its key; set the state that finds it.

    Parameters
    ----------
    copies_environment
        True if the job gets the environment of another one, so that none is made for it.

    Raises
    ------
    InvalidJobError
        If a setting can't be right.
    AgentError
        If there is no account for it.
    SchedulerUnavailable
        If ``scheduler`` is "auto" and no scheduler answers.
    JobEndedError
        If the server was stopped meanwhile.
    """
    spawner = job.spawner
    stopping = job.state.stopping
    await spawner.find_way()
    spawner.get_host().hurry()
    await spawner.find_scheduler()
    account = await find_account_of(spawner)
    await own_paths.check_before_start(spawner, account)
    if not job.is_current() or job.state.stopping is not stopping:
        raise JobEndedError(words.STOPPED_BEFORE_SUBMISSION)
    mark = make_mark(find_hub_id(spawner), time.time())
    environment = {} if copies_environment else _environment(spawner)
    spec: JobSpec = spawner.job_spec(mark, environment, account.name)
    if unfit := find_misfit_of(spawner, spec):
        raise InvalidJobError(of_field(unfit.field, unfit.message))
    identity = certificates.make_identity(spawner) if spawner.needs_identity else None
    job.state = _first_state(spawner, account, spec)
    job.state.public_key = identity.public_key if identity else ""
    return spec, identity


def _environment(spawner: Any) -> dict[str, str]:
    """Return the server's environment without what no job may get."""
    try:
        environment = drop_unsettable(drop_hubs_paths(spawner.get_env()), spawner.log)
    except Exception as error:  # c.Spawner.environment may hold the administrator's functions
        raise InvalidJobError(
            f"c.Spawner.environment: making the server's environment failed: "
            f"{type(error).__name__}: {error}"
        ) from error
    _warn_of_loopback(spawner, environment)
    return environment


def _first_state(spawner: Any, account: Account, spec: JobSpec) -> ServerState:
    """Return the state that finds a job again before its id is known."""
    scheduler, token = spawner.get_scheduler(), database.find_token(spawner)
    return ServerState(
        scheduler=scheduler.name,
        scheduler_options=scheduler.options,
        cluster=spawner.cluster_title(),
        account=account.name,
        uid=account.uid,
        home=account.home,
        uid_name=account.uid_name,
        mark=spec.mark,
        token_id=token.id,
        token_created=token.created,
        submit_time=time.time(),
        waiting_since=time.time(),
        scheduler_path=spawner.scheduler_path,
        submit_host=spawner.submit_host,
        scheduler_environment=dict(spawner.scheduler_environment),
        state_dir=spawner.state_dir_text(),
        log_dir=spawner.log_dir,
        duration=spec.duration.total_seconds() if spec.duration else None,
        summary=describe_job(spec),
        requested=measure(spec),
        proto="https" if spawner.internal_ssl else "http",
    )


async def submit(
    job: ScheduledJob,
    spec: JobSpec,
    identity: Identity | None = None,
    *,
    environment_of: str = "",
) -> None:
    """Save what finds the job again, submit it, and save its id before anything else.

    Parameters
    ----------
    environment_of
        The mark of the job whose environment this one gets; empty means that of ``spec``.

    Raises
    ------
    UniSpawnerError
        If there is no job; nothing is left of it then.
    """

    def point_nowhere() -> None:
        if job.server is not None and job.has_route:
            # A restarted Hub asks the server before it knows better.
            job.server.proto = job.state.proto
            job.server.ip, job.server.port = DEAD_ADDRESS

    # Not with others' changes (commit_soon): while a whole class starts, the event loop would take
    # seconds to come back here, in which the scheduler could already start the job.
    if not job.commit(point_nowhere):
        job.state.mark = ""
        raise AgentError(words.DATABASE_REFUSES)
    try:
        client = await job.client()
    except UniSpawnerError:
        _give_up(job)
        raise
    try:
        files = identity.files if identity else None
        job_id = await client.submit(
            spec, job.spawner.job_shell, certificates=files, environment_of=environment_of
        )
    except (AgentError, SchedulerUnavailable) as error:
        job_id = "" if error.unsent else await _find_lost(job, client, error)
        if not job_id:
            _give_up(job)
            raise error
    except UniSpawnerError:
        _give_up(job)
        raise
    job.track(client, job_id, submitted=True)
    job.note_submitted(spec)
    job.state.job_id = job_id
    event_log.note_submitted(job)
    history.note_submitted(
        job
    )  # by itself: if the database refuses it, the id is saved all the same
    await job.commit_soon()
    log = f"{client.log_dir or f'{client.state_dir}/logs'}/{spec.mark}.log"
    job.spawner.log.info("%s: job %s on %s, its log: %s", job.name, job_id, job.title, log)


async def _find_lost(job: ScheduledJob, client: AgentClient, error: UniSpawnerError) -> str:
    """Look for the job of a submission without an answer; return "" if there is certainly none.

    That a job is missing counts only when nobody can be at work on the submission any more. Until
    then, and while nobody answers, the start stays pending and keeps its mark.
    """
    pause, warned = _FIRST_PAUSE, ""
    job.lost = error
    try:
        while True:
            asked_at = time.monotonic()
            try:
                found = await client.find(job.state.mark)
                if found or asked_at >= error.open_until:
                    return found
            except UniSpawnerError as failure:
                if failure.message != warned:
                    job.spawner.log.warning(
                        "%s: the submission failed, and it is not known whether there is a job; "
                        "looking for it again until that is known: %s",
                        job.name,
                        failure,
                    )
                warned = failure.message
            left = error.open_until - time.monotonic()
            await asyncio.sleep(min(pause, left) if left > 0 else pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
    finally:
        job.lost = None


def _give_up(job: ScheduledJob) -> None:
    """Forget a submission that has failed."""
    # A job that was submitted after all finds no environment and ends at once.
    job.start_clean_up()
    job.state.mark = ""
    job.commit()


_WARNED: PerHub[set[str]] = PerHub(set)
"""The addresses of the Hub's API that the log has a warning about."""


def _warn_of_loopback(spawner: Any, environment: Mapping[str, str]) -> None:
    """Warn if servers, which run on other hosts, would look for the Hub on their own host."""
    url = str(environment.get("JUPYTERHUB_API_URL", ""))
    warned = _WARNED.of(spawner.user.settings)
    if spawner.get_host().here or url in warned or not is_loopback(urlsplit(url).hostname or ""):
        return
    warned.add(url)
    spawner.log.warning(
        "c.Spawner.hub_connect_url: servers would look for the Hub at %s, which on a node is the "
        "node itself. Set it to the address at which the nodes reach the Hub, such as "
        "'http://hub.example.org:8081' (or c.JupyterHub.hub_ip, if this host has that address)",
        url,
    )
