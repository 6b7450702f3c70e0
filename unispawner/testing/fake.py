"""The fake scheduler, and the fake agent that answers from it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from ..errors import AgentError, CancelError, SchedulerUnavailable, UniSpawnerError
from ..job import JobInfo, JobSpec, JobState
from ..run_as import RunAs
from ..run_as.accounts import Account
from ..run_as.client import AgentClient
from ..schedulers import plain
from ..schedulers.base import ALL_FIELDS, Dialogue, Meaning, Reply, Scheduler
from ..schedulers.inventory import Inventory, Node, Queue
from ..schedulers.usable import Usable
from ..schedulers.usage import NO_ACCOUNTING, Accounting
from ..submit_host.host import SubmitHost


class FakeScheduler(Scheduler):
    """A scheduler whose jobs have the states that a test sets.

    Its status command is a real process: a few lines of shell that print the queue. A test can make
    it print an error or garbage instead, or never answer.

    Parameters
    ----------
    directory
        The folder for its files. It must exist, and nothing else may use it.
    nodes
        The names of its nodes.
    """

    name = "fake"
    title = "The fake scheduler"
    commands = ("/bin/sh",)
    job_id = re.compile(r"\d{1,10}", re.ASCII)
    supports = ALL_FIELDS
    may_hide_jobs = True
    states: ClassVar = {state.value: state for state in JobState if state is not JobState.UNKNOWN}
    errors = (
        (r"no such job", Meaning.GONE),
        (r"not your job", Meaning.DENIED),
        (r"does not answer", Meaning.UNAVAILABLE),
    )

    def __init__(
        self,
        directory: str | os.PathLike[str],
        nodes: Sequence[str] = ("node1", "node2", "node3"),
    ) -> None:
        self.directory = Path(directory)
        self._write("nodes", "\n".join(nodes))
        self.jobs: dict[str, JobInfo] = {}
        """All jobs by id; the methods below change them."""
        self.marks: dict[str, str] = {}
        """The id of each job by its mark."""
        self._hidden: set[str] = set()
        self._rows: dict[str, tuple[JobInfo, str]] = {}
        self._write_queue()
        self.recover()

    # -- what a test does ----------------------------------------------------------------------

    def submit(self, owner: str, mark: str = "") -> str:
        """Add a job that waits in the queue, and return its id."""
        job_id = str(len(self.jobs) + 1)
        info = JobInfo(owner, JobState.QUEUED, native_state="QUEUED")
        self.load({job_id: info}, {mark: job_id} if mark else {})
        return job_id

    def load(self, jobs: Mapping[str, JobInfo], marks: Mapping[str, str] | None = None) -> None:
        """Add many jobs at once, as a cluster has them that was there before the test.

        Parameters
        ----------
        jobs
            The jobs by id. Ids are numbers from 1 without gaps, as those of :meth:`submit`.
        marks
            The id of each job by its mark.
        """
        self.jobs.update(jobs)
        self.marks.update(marks or {})
        self._write_queue()

    def change(self, job_id: str, state: JobState, **fields: Any) -> None:
        """Give a job another state, and other fields of :class:`~unispawner.JobInfo`."""
        native = {"native_state": state.value, **fields}
        self.jobs[job_id] = replace(self.jobs[job_id], state=state, **native)
        self._write_queue()

    def forget(self, *job_ids: str) -> None:
        """Forget these jobs, as a scheduler forgets each job some time after its end."""
        self._hidden.update(job_ids)
        for job_id in job_ids:
            # The entry stays, so that no new job gets the same id.
            self.jobs[job_id] = replace(self.jobs[job_id], owner="")
        self._write_queue()

    def hide(self, *job_ids: str) -> None:
        """Show these jobs to their own users only, as Slurm does with PrivateData."""
        self._hidden.update(job_ids)
        self._write_queue()

    def show(self, *job_ids: str) -> None:
        """Show hidden jobs to everybody again."""
        self._hidden.difference_update(job_ids)
        self._write_queue()

    def answer(self, stdout: str = "", stderr: str = "", exit_status: int = 0) -> None:
        """Answer every query with this text and exit status instead of the queue."""
        self._write_answer(
            f"printf %s {shlex.quote(stdout)}\n"
            f"printf %s {shlex.quote(stderr)} >&2\n"
            f"exit {exit_status}\n"
        )

    def hang(self) -> None:
        """Let every query hang."""
        self._write_answer("exec sleep 3600\n")

    def recover(self) -> None:
        """Answer queries with the queue again."""
        self._write_answer(f"exec cat {shlex.quote(str(self.directory / 'queue'))}\n")

    def info(self, job_id: str, owner: str) -> JobInfo | None:
        """Return the job as its owner sees it; None if it is unknown or belongs to another user."""
        info = self.jobs.get(job_id)
        return info if info is not None and info.owner == owner else None

    # -- what a scheduler defines --------------------------------------------------------------

    @property
    def query_key(self) -> Hashable:
        """Return the scheduler itself, because each fake scheduler has its own queue."""
        return self

    def directives(self, spec: JobSpec) -> list[str]:
        """Return a line for each field and each attribute that ``spec`` sets, and for its mark."""
        values = {**spec.resources.__dict__, **spec.__dict__}
        lines = [f"#FAKE {name}={values[name]}" for name in sorted(self.supports) if values[name]]
        more = [f"#FAKE {key}={value}" for key, value in spec.attributes_for(self.name)]
        mark = [f"#FAKE mark={spec.mark}"] if spec.mark else []
        return [f"#FAKE name={spec.name}", *lines, *more, *mark]

    def status_command(self, job_ids: Collection[str] | None = None) -> list[str]:
        """Return the command that runs the script with the answer."""
        return ["/bin/sh", str(self.directory / "status"), *(job_ids or ())]

    def read_status(self, reply: Reply) -> dict[str, JobInfo]:
        """Read the answer, a JSON object with the jobs by id."""
        self.check_answered(reply)
        try:
            rows = json.loads(reply.stdout)
            return {
                job_id: JobInfo(**{**row, "state": self.state(row["state"])})
                for job_id, row in rows.items()
            }
        except (ValueError, TypeError, KeyError, AttributeError):
            raise SchedulerUnavailable(
                "The fake scheduler's answer is not the JSON of a queue.",
                command=reply.command,
                output=reply.text,
            ) from None

    def mark_command(self) -> list[str]:
        """Return the command that prints the marks."""
        return ["/bin/cat", str(self.directory / "marks")]

    def hides_jobs(self) -> Dialogue[bool]:
        """Return True: a test may hide jobs."""
        yield from ()
        return True

    def inventory(self) -> Dialogue[Inventory]:
        """Have a command print the nodes, and return them with one queue."""
        reply = yield ["/bin/cat", str(self.directory / "nodes")]
        self.check_answered(reply)
        queues = frozenset({"default"})
        nodes = tuple(Node(name, cores=8, queues=queues) for name in reply.stdout.split())
        return Inventory((Queue("default", default=True),), nodes)

    # -- its files -----------------------------------------------------------------------------

    def _write_queue(self) -> None:
        """Write the queue; only rows of jobs that have changed are made anew: it may be long."""
        for job_id, job in self.jobs.items():
            if job_id not in self._rows or self._rows[job_id][0] is not job:
                row = f"{json.dumps(job_id)}: {json.dumps(job.to_dict())}"
                self._rows[job_id] = job, row
        shown = [self._rows[job_id][1] for job_id in self.jobs if job_id not in self._hidden]
        self._write("queue", "{" + ",\n".join(shown) + "}")
        marks = [f"{job_id} unispawner:{mark}\n" for mark, job_id in self.marks.items()]
        self._write("marks", "".join(marks))

    def _write_answer(self, text: str) -> None:
        self._write("status", text)

    def _write(self, name: str, text: str) -> None:
        """Replace a file in one step, because a query may be reading it."""
        new = self.directory / f"{name}.new"
        new.write_text(text, encoding="utf-8")
        new.replace(self.directory / name)


class FakeUserSide(RunAs):
    """A fake agent of every account: it answers from a :class:`FakeScheduler`, without a process.

    Attributes
    ----------
    requests
        All requests so far.
    error
        If it is not None, every request raises it, and does nothing.
    log
        The text of every job's log.
    path_problem
        What is wrong with every path: see ``check_path`` of the agent. Empty: nothing.
    usable
        What every user may use. The default: nothing is known.
    accounting
        What the accounting says about every job. The default: there is no accounting.
    """

    name = "fake"

    def __init__(self, scheduler: FakeScheduler) -> None:
        super().__init__(agent_python="python3")
        self.scheduler = scheduler
        self.requests: list[dict[str, Any]] = []
        self.error: UniSpawnerError | None = None
        self.log = ""
        self.path_problem = ""
        self.usable = Usable()
        self.accounting: Accounting = NO_ACCOUNTING

    def command(self, account: Account) -> list[str]:
        """Raise an error, because there is no command to run."""
        raise AgentError("FakeUserSide runs no command; use its method call.")

    def asked(self, action: str) -> list[dict[str, Any]]:
        """Return all requests so far for one action, such as "submit"."""
        return [request for request in self.requests if request["action"] == action]

    async def call(
        self, host: SubmitHost, account: Account, request: Mapping[str, Any], seconds: float
    ) -> Any:
        """Answer one request, after one turn of the event loop."""
        self.requests.append(dict(request))
        await asyncio.sleep(0)
        if self.error is not None:
            self.error.unsent = True
            raise self.error
        return getattr(self, f"_{request['action']}")(account.name, request)

    def _submit(self, owner: str, request: Mapping[str, Any]) -> dict[str, str]:
        return {"job_id": self.scheduler.submit(owner, request["spec"]["mark"])}

    def _cancel(self, owner: str, request: Mapping[str, Any]) -> dict[str, str]:
        info = self.scheduler.jobs.get(request["job_id"])
        if info is not None and info.owner not in ("", owner):
            raise CancelError("The fake scheduler did not cancel the job:", output="not your job")
        if info is not None and info.owner and not info.state.final:
            self.scheduler.change(request["job_id"], JobState.CANCELED)
        return {}

    def _status(self, owner: str, request: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        found = {job_id: self.scheduler.info(job_id, owner) for job_id in request["job_ids"]}
        return {job_id: info.to_dict() for job_id, info in found.items() if info is not None}

    def _find(self, owner: str, request: Mapping[str, Any]) -> dict[str, str]:
        job_id = self.scheduler.marks.get(request["mark"], "")
        return {"job_id": job_id if self.scheduler.info(job_id, owner) else ""}

    def _usable(self, owner: str, request: Mapping[str, Any]) -> dict[str, Any]:
        return dict(plain.encode(self.usable))

    def _usage(self, owner: str, request: Mapping[str, Any]) -> dict[str, Any]:
        return dict(plain.encode(self.accounting))

    def _marked(self, owner: str, request: Mapping[str, Any]) -> dict[str, Any]:
        found = {
            mark: self.scheduler.info(one, owner) for mark, one in self.scheduler.marks.items()
        }
        jobs = [
            {"mark": mark, "job_id": self.scheduler.marks[mark], "status": info.to_dict()}
            for mark, info in found.items()
            if info is not None and not info.state.final
        ]
        return {"jobs": jobs, "left_out": 0}

    def _end_marked(self, owner: str, request: Mapping[str, Any]) -> dict[str, Any]:
        still = {m: one for m, one in request["jobs"].items() if self.scheduler.marks.get(m) == one}
        for job_id in still.values():
            self._cancel(owner, {"job_id": job_id})
        return {"cancelled": list(still), "errors": {}}

    def _log(self, owner: str, request: Mapping[str, Any]) -> dict[str, str]:
        return {"path": "", "tail": "\n".join(self.log.splitlines()[-request["lines"] :])}

    def _check_path(self, owner: str, request: Mapping[str, Any]) -> dict[str, str]:
        return {"problem": self.path_problem, "where": str(request["path"]), "what": ""}

    def _cleanup(self, owner: str, request: Mapping[str, Any]) -> dict[str, str]:
        return {}

    def _check(self, owner: str, request: Mapping[str, Any]) -> dict[str, Any]:
        return {"account": owner, "commands": {}}


def fake_client(
    scheduler: FakeScheduler, owner: str = "alice", side: FakeUserSide | None = None
) -> AgentClient:
    """Return a client whose account need not exist; ``client.run_as`` is its FakeUserSide."""
    return AgentClient(
        account=Account(owner, 60_000, f"/home/{owner}"),
        scheduler=scheduler,
        run_as=side or FakeUserSide(scheduler),
        host=SubmitHost(),
    )


__all__ = ["FakeScheduler", "FakeUserSide", "fake_client"]
