"""AgentClient: the Hub's side of the conversation with the agent.

The agent runs as the user, who can forge its replies: every value of a reply is checked here.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .. import metrics
from ..errors import AgentError, clean_output
from ..job import JobInfo, JobSpec, JobState, is_mark
from ..schedulers import Scheduler, plain
from ..schedulers.estimate import Outlook, StartEstimate
from ..schedulers.usable import Usable, make_usable
from ..schedulers.usage import Accounting, EndedJob, clean
from ..submit_host.host import SubmitHost
from .accounts import Account
from .base import RunAs


@dataclass(frozen=True)
class MarkedJob:
    """A job of an account that has a mark, as the account's own side reports it."""

    mark: str
    job_id: str
    info: JobInfo


@dataclass(frozen=True)
class PathProblem:
    """What is wrong with a path, as the user's side reports it: see ``check_path`` of the agent."""

    problem: str
    where: str
    what: str


_OF_PROBLEM = ("problem", "where", "what")


@dataclass(frozen=True, eq=False)
class AgentClient:
    """Sends requests to the agent of one account, one method for each action of the agent.

    Each method raises AgentError if the agent fails or its reply is not valid,
    SchedulerUnavailable if no answer comes in time, and the error that the agent itself reports.

    Attributes
    ----------
    state_dir
        The folder for the user's private files; ``~`` stands for the user's home.
    log_dir
        The folder for the logs; empty means the folder "logs" in ``state_dir``.
    logs_kept
        How many logs are kept.
    trusted_parents
        Folders above the two that others than root and the user may change.
    min_uid
        The lowest uid that may run servers; the agent checks it again.
    scheduler_path, scheduler_environment
        Folders and variables that are added to the agent's otherwise empty environment.
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
    log_dir: str = ""
    logs_kept: int = 20
    trusted_parents: tuple[str, ...] = ()

    async def submit(
        self,
        spec: JobSpec,
        shell: str,
        *,
        certificates: Mapping[str, str] | None = None,
        environment_of: str = "",
    ) -> str:
        """Submit a job whose script runs in this shell, and return the job's id.

        Parameters
        ----------
        certificates
            The text of the files ``keyfile``, ``clientfile`` and ``cafile`` of ``internal_ssl``.
        environment_of
            The mark of the account's job whose environment this one gets in place of the spec's.
        """
        more: dict[str, Any] = {"certificates": dict(certificates)} if certificates else {}
        more |= {"environment_of": environment_of} if environment_of else {}
        result = await self._call("submit", spec=spec.to_dict(), shell=shell, **more)
        return self._job_id(result)

    async def estimate(self, spec: JobSpec, shell: str) -> StartEstimate:
        """Return when a job would start if it was submitted now; nothing is submitted.

        The job's environment, which holds secrets, is not sent.
        """
        spec = replace(spec, environment={})
        result = await self._call("estimate", spec=spec.to_dict(), shell=shell)
        try:
            outlook = Outlook(result["outlook"])
            start, reason = (
                _number(result["start"], float),
                clean_output(_text(result["reason"], 300)),
            )
        except (KeyError, TypeError, ValueError):
            raise self._invalid_reply("estimate", result) from None
        moment = start if outlook in (Outlook.NOW, Outlook.LATER) else None
        return StartEstimate(outlook, moment, reason)

    async def stage(
        self,
        mark: str,
        environment: Mapping[str, str],
        *,
        python: str,
        options: Sequence[str],
        submitted: Mapping[str, str] | None = None,
    ) -> str:
        """Write a job's private files; return the path of the wrapper that its script must run.

        Parameters
        ----------
        submitted
            Those variables of the submit command that the job may see with another value.
        """
        result = await self._call(
            "stage",
            mark=mark,
            environment=dict(environment),
            python=python,
            options=list(options),
            submitted=dict(submitted or {}),
        )
        path = result.get("wrapper") if isinstance(result, dict) else None
        if not isinstance(path, str):
            raise self._invalid_reply("path of a wrapper", result)
        if not re.fullmatch(r"/[\w@%+=:,./-]{1,1000}", path):
            raise AgentError(
                f"The private files of {self.account.name} are at {path!r:.200}, a path that can't "
                "be written into every script. Set state_dir to a path that has only letters, "
                "digits and _@%+=:,./-."
            )
        return path

    async def missing(self, programs: Collection[str]) -> set[str]:
        """Return those of some paths at which there is no program that the user may run."""
        result = await self._call("missing", programs=sorted(programs))
        missing = result.get("missing") if isinstance(result, dict) else None
        if not isinstance(missing, list):
            raise self._invalid_reply("list of programs", result)
        return {program for program in programs if program in missing}

    async def cancel(self, job_id: str, *, force: bool = False) -> None:
        """Have the scheduler end a job; a job that no longer exists is not an error.

        With ``force``, it is ended at once and not asked to end by itself first.
        """
        await self._call("cancel", job_id=job_id, force=force)

    async def status(self, job_ids: Collection[str]) -> dict[str, JobInfo]:
        """Return what the scheduler reports to the user about these jobs.

        Jobs that the scheduler does not know are left out.
        """
        result = await self._call("status", job_ids=list(job_ids))
        if not isinstance(result, dict):
            raise self._invalid_reply("status", result)
        return {job_id: self._info(result[job_id]) for job_id in job_ids if job_id in result}

    async def find(self, mark: str) -> str:
        """Return the id of the job with this mark; empty if the scheduler has no such job."""
        result = await self._call("find", mark=mark)
        if isinstance(result, dict) and result.get("job_id") == "":
            return ""
        return self._job_id(result)

    async def find_jobs(self, mark: str) -> list[str]:
        """Return the ids of the user's jobs that show a mark anywhere, in their scripts, say."""
        result = await self._call("find_jobs", mark=mark)
        found = result.get("job_ids") if isinstance(result, dict) else None
        if not isinstance(found, list):
            raise self._invalid_reply("list of job ids", result)
        return [self._job_id({"job_id": job_id}) for job_id in found]

    async def marked(self) -> tuple[list[MarkedJob], int]:
        """Return the account's jobs that have a mark and have not ended, and how many are left out.

        A job counts only if the scheduler says that it is the account's.
        """
        result = await self._call("marked")
        rows = result.get("jobs") if isinstance(result, dict) else None
        left_out = result.get("left_out") if isinstance(result, dict) else None
        if not isinstance(rows, list) or type(left_out) is not int:
            raise self._invalid_reply("list of jobs with marks", result)
        jobs = [self._marked_job(row) for row in rows]
        return [one for one in jobs if self.account.owns(one.info.owner)], left_out

    def _marked_job(self, row: Any) -> MarkedJob:
        job_id, mark = self._job_id(row), row.get("mark")
        if not is_mark(mark):
            raise self._invalid_reply("mark", row)
        return MarkedJob(mark, job_id, self._info(row.get("status")))

    async def end_marked(self, jobs: Mapping[str, str]) -> tuple[set[str], dict[str, str]]:
        """Cancel jobs, ids by mark, but none whose id is another job's by now.

        Returns
        -------
        tuple
            The marks of the jobs that the scheduler was asked to end, and errors by mark. A job
            that is in neither of them does not exist any more.
        """
        result = await self._call("end_marked", jobs=dict(jobs))
        cancelled = result.get("cancelled") if isinstance(result, dict) else None
        errors = result.get("errors") if isinstance(result, dict) else None
        if not isinstance(cancelled, list) or not isinstance(errors, dict):
            raise self._invalid_reply("list of marks", result)
        return (
            {mark for mark in jobs if mark in cancelled},
            {mark: clean_output(str(errors[mark]), 1000) for mark in jobs if mark in errors},
        )

    async def usable(self) -> Usable:
        """Return what the scheduler says that the user may use."""
        result = await self._call("usable")
        try:
            found = plain.decode(Usable, result)
        except (ValueError, TypeError):
            raise self._invalid_reply("list of what the user may use", result) from None
        return make_usable(found.entries, found.rules, partial=found.partial)

    async def usage(self, job: EndedJob) -> Accounting:
        """Return what the accounting says that a job has used."""
        result = await self._call(
            "usage",
            job_id=job.job_id,
            mark=job.mark,
            submitted=job.submitted,
            ended=job.ended,
            started=job.started,
        )
        try:
            found: Accounting = plain.decode(Accounting, result)
        except (ValueError, TypeError):
            raise self._invalid_reply("answer about what a job has used", result) from None
        return replace(found, usage=None if found.usage is None else clean(found.usage))

    async def log_tail(self, mark: str, lines: int = 20) -> str:
        """Return the last lines of a job's log."""
        return (await self.log_end(mark, lines))[0]

    async def log_end(self, mark: str, lines: int) -> tuple[str, int]:
        """Return the last lines of a job's log, and how many bytes it has."""
        result = await self._call("log", mark=mark, lines=lines)
        if not isinstance(result, dict) or not isinstance(result.get("tail"), str):
            raise self._invalid_reply("log", result)
        tail = str(result["tail"])
        size = result.get("size")
        return tail, size if type(size) is int else len(tail)

    async def cleanup(self, mark: str, *, probe: bool = False) -> None:
        """Remove the private files of a job that has ended; its log stays.

        With ``probe``, also the file in the home that the doctor's probe has made.
        """
        await self._call("cleanup", mark=mark, **({"probe": True} if probe else {}))

    async def check(self) -> dict[str, Any]:
        """Return what ``unispawner doctor`` shows about the agent: account, umask, commands, …"""
        result = await self._call("check")
        if not isinstance(result, dict):
            raise self._invalid_reply("check", result)
        return result

    async def check_path(
        self, path: str, kind: str, owners: Sequence[str] = (), groups: Sequence[str] = ()
    ) -> PathProblem | None:
        """Return what is wrong with a path that the user has typed; None if nothing is.

        Parameters
        ----------
        kind
            "directory" or "file".
        owners, groups
            The names of accounts and groups that the administrator trusts with it.
        """
        result = await self._call(
            "check_path", path=path, kind=kind, owners=list(owners), groups=list(groups)
        )
        if not isinstance(result, dict) or not isinstance(result.get("problem"), str):
            raise self._invalid_reply("answer about a path", result)
        if not result["problem"]:
            return None
        words = {name: clean_output(_text(result.get(name), 300), 300) for name in _OF_PROBLEM}
        return PathProblem(**words)

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
            **self._places(),
            **arguments,
        }
        with metrics.measured(metrics.AGENT, self.scheduler.name, action):
            return await self.run_as.call(self.host, self.account, request, self.seconds)

    def _places(self) -> dict[str, Any]:
        """Return what is set of the submit host, the folder for logs, and unsafe directories."""
        place = self.host.place
        places = {
            "submit_host": "" if place == SubmitHost.place else place,
            "log_dir": self.log_dir,
            "logs_kept": 0 if self.logs_kept == AgentClient.logs_kept else self.logs_kept,
            "trusted_parents": list(self.trusted_parents),
        }
        return {name: value for name, value in places.items() if value}

    def _job_id(self, result: Any) -> str:
        job_id = result.get("job_id") if isinstance(result, dict) else None
        if not isinstance(job_id, str) or not self.scheduler.job_id.fullmatch(job_id):
            raise self._invalid_reply("job id", result)
        return job_id

    def _info(self, data: Any) -> JobInfo:
        """Return what a reply says about a job; values of a wrong type or length are dropped."""
        if not isinstance(data, dict) or not isinstance(data.get("owner"), str):
            raise self._invalid_reply("status", data)
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

    def _invalid_reply(self, expected: str, reply: object) -> AgentError:
        return AgentError(
            f"The agent of {self.account.name} sent no valid {expected}. Is the unispawner of "
            "c.UniSpawner.agent_python the same as the Hub's? The reply was:",
            output=_text(reprlib.repr(reply), 300),
        )


def _text(value: object, limit: int) -> str:
    """Return a text of limited length that any encoding can write.

    JSON can hold one half of a surrogate pair, which neither a page nor a log can show.
    """
    return str(value or "")[:limit].encode("utf-8", "replace").decode()


def _number(value: object, kind: type) -> Any:
    """Return a finite number below 2**33, which as a time is the year 2242; None otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**33:
        return None
    return kind(value)
