"""The check of ``unispawner doctor`` whether the scheduler says when a job would start."""

from __future__ import annotations

from ...errors import AgentError
from ...run_as.accounts import find_account
from ...schedulers.estimate import Outlook
from ...servers.spawner import UniSpawner
from ...web.summary import describe_moment


def can_be_asked(spawner: UniSpawner) -> bool:
    """Return whether forms of this spawner ask a scheduler when a server would start."""
    try:
        return bool(spawner.estimate_start and spawner.get_scheduler().estimates_start)
    except Exception:  # the check of the scheduler reports it
        return False


async def check_start_time(spawner: UniSpawner, name: str) -> str:
    """Ask about the job of the configuration, as the account; nothing is submitted.

    Raises
    ------
    UniSpawnerError
        If there is no answer.
    """
    account = await find_account(name, spawner.min_uid, host=spawner.get_host())
    spec = spawner.job_spec("", environment={}, account=account.name)
    found = await spawner.agent_client(account).estimate(spec, spawner.job_shell)
    title = spawner.get_scheduler().title
    if found.outlook is Outlook.REFUSED:
        return f"{title} answers that it can't start a job of {name} now: {found.reason}"
    if found.start is None:
        raise AgentError(
            f"{title} gave no answer that can be read, so forms do not say when a server would "
            "start. If sbatch is a script of the site's, check whether it passes --test-only on"
        )
    return f"{title} says that a job of {name} would start at {describe_moment(found.start)}"
