"""The Hub's end of the wire to the agent: makes requests, believes no reply unchecked."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import AgentError
from ..job import JobInfo, JobSpec, JobState
from ..schedulers import Scheduler
from ..submit_host.host import SubmitHost
from . import RunAs
from .accounts import Account


@dataclass(frozen=True, eq=False)
class AgentClient:
    """Asks the agent of one account.

    Attributes
    ----------
    state_dir
        Where the user's files go; ``~`` is the user's home.
    scheduler_path, scheduler_environment
        Added to the agent's otherwise empty environment.
    seconds
        How long one request may take.
    """

    account: Account
    scheduler: Scheduler
    run_as: RunAs
    host: SubmitHost
    state_dir: str = "~/.unispawner"
    min_uid: int = 1000
    scheduler_path: tuple[str, ...] = ()
    scheduler_environment: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 60.0

    async def submit(self, spec: JobSpec, shell: str) -> str:
        """Submit a job and return its id."""
        result = await self._call("submit", spec=spec.to_dict(), shell=shell)
        return self._job_id(result, "job_id")

    async def stage(
        self, mark: str, environment: Mapping[str, str], *, python: str, options: Sequence[str]
    ) -> str:
        """Write a job's private files, and return the path of the wrapper that its script runs."""
        result = await self._call(
            "stage", mark=mark, environment=dict(environment), python=python, options=list(options)
        )
        path = result.get("wrapper") if isinstance(result, dict) else None
        if not isinstance(path, str) or not re.fullmatch(r"/[\w@%+=:,./-]{1,1000}", path):
            raise AgentError(
                f"The private files of {self.account.name} lie at {path!r:.200}, which can't be "
                "written in every script; set state_dir to a path of plain characters."
            )
        return path

    async def cancel(self, job_id: str, *, force: bool = False) -> None:
        """Ask the scheduler to end a job; one that is gone is no error."""
        await self._call("cancel", job_id=job_id, force=force)

    async def status(self, job_ids: Collection[str]) -> dict[str, JobInfo]:
        """Return what the scheduler tells its user of these jobs; those gone are left out."""
        result = await self._call("status", job_ids=list(job_ids))
        if not isinstance(result, dict):
            raise self._nonsense("status")
        return {job_id: self._info(result[job_id]) for job_id in job_ids if job_id in result}

    async def find(self, mark: str) -> str:
        """Return the id of the job with this mark; empty if the scheduler has none."""
        result = await self._call("find", mark=mark)
        if isinstance(result, dict) and result.get("job_id") == "":
            return ""
        return self._job_id(result, "job_id")

    async def log_tail(self, mark: str, lines: int = 20) -> str:
        """Return the last lines of a job's log."""
        result = await self._call("log", mark=mark, lines=lines)
        if not isinstance(result, dict) or not isinstance(result.get("tail"), str):
            raise self._nonsense("log")
        return str(result["tail"])

    async def cleanup(self, mark: str) -> None:
        """Remove the private files of a job that is final."""
        await self._call("cleanup", mark=mark)

    async def check(self) -> dict[str, Any]:
        """Return what ``unispawner doctor`` shows of the user's side."""
        result = await self._call("check")
        if not isinstance(result, dict):
            raise self._nonsense("check")
        return result

    async def _call(self, action: str, **arguments: Any) -> Any:
        request = {
            "version": 1,
            "action": action,
            "account": self.account.name,
            "uid": self.account.uid,
            "min_uid": self.min_uid,
            "scheduler": self.scheduler.name,
            "scheduler_options": self.scheduler.options,
            "scheduler_path": list(self.scheduler_path),
            "scheduler_environment": {
                **self.scheduler.environment(),
                **self.scheduler_environment,
            },
            "state_dir": self.state_dir,
            **arguments,
        }
        return await self.run_as.call(self.host, self.account, request, self.seconds)

    def _job_id(self, result: Any, key: str) -> str:
        job_id = result.get(key) if isinstance(result, dict) else None
        if not isinstance(job_id, str) or not self.scheduler.job_id.fullmatch(job_id):
            raise self._nonsense("job id")
        return job_id

    def _info(self, data: Any) -> JobInfo:
        """Take from a reply only what is of the right type and a sane length."""
        if not isinstance(data, dict) or not isinstance(data.get("owner"), str):
            raise self._nonsense("status")
        try:
            state = JobState(data.get("state"))
        except ValueError:
            state = JobState.UNKNOWN
        return JobInfo(
            owner=data["owner"],
            state=state,
            message=_text(data.get("message"), 1000),
            exit_code=_number(data.get("exit_code"), int),
            exec_host=_text(data.get("exec_host"), 255),
            queue_position=_number(data.get("queue_position"), int),
            estimated_start=_number(data.get("estimated_start"), float),
            start_time=_number(data.get("start_time"), float),
            estimated_end=_number(data.get("estimated_end"), float),
            native_state=_text(data.get("native_state"), 100),
            ending=data.get("ending") is True,
            stuck=data.get("stuck") is True,
        )

    def _nonsense(self, what: str) -> AgentError:
        return AgentError(f"The user's side of {self.account.name} gave no sensible {what}.")


def _text(value: object, limit: int) -> str:
    """Return a short text that can be written anywhere: JSON can hold half a character."""
    return str(value or "")[:limit].encode("utf-8", "replace").decode()


def _number(value: object, kind: type) -> Any:
    """Return a number that is one and not absurd: times go to the year 2242."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**33:
        return None
    return kind(value)
