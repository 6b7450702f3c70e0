"""For tests without a cluster: a scheduler with a scripted queue, and what goes with it.

For unispawner's own tests, and for those of whoever configures or extends it::

    scheduler = FakeScheduler(tmp_path)
    client = fake_client(scheduler, "alice")
    monitor = Monitor(scheduler, SubmitHost(), {}, 15.0)
    job = TrackedJob(await client.submit(JobSpec(), "/bin/sh"), client)
    monitor.track(job, submitted=True)
    scheduler.change(job.job_id, JobState.RUNNING, exec_host="node1")
    await monitor.refresh(10)
"""

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

from .errors import AgentError, CancelError, SchedulerUnavailable, UniSpawnerError
from .job import JobInfo, JobSpec, JobState
from .run_as import RunAs
from .run_as.accounts import Account
from .run_as.client import AgentClient
from .schedulers.base import ALL_FIELDS, Dialogue, Meaning, Reply, Scheduler
from .schedulers.inventory import Inventory, Node, Queue
from .submit_host.host import SubmitHost


class FakeScheduler(Scheduler):
    """A scheduler whose jobs do as they are told.

    Its status command is a real process: a few lines of shell that print the queue. What it prints
    can be replaced by an error, by garbage or by silence.

    Parameters
    ----------
    directory
        Where its files go; it must exist and be its own.
    nodes
        The hosts it has.
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
        """What the scheduler knows; change it with the methods below."""
        self.marks: dict[str, str] = {}
        """Job ids by mark."""
        self._hidden: set[str] = set()
        self._write_queue()
        self.recover()

    # -- the script ----------------------------------------------------------------------------

    def submit(self, owner: str, mark: str = "") -> str:
        """Add a job that waits; return its id."""
        job_id = str(len(self.jobs) + 1)
        self.jobs[job_id] = JobInfo(owner, JobState.QUEUED, native_state="QUEUED")
        if mark:
            self.marks[mark] = job_id
        self._write_queue()
        return job_id

    def change(self, job_id: str, state: JobState, **fields: Any) -> None:
        """Give a job another state, and other fields of :class:`~unispawner.JobInfo`."""
        native = {"native_state": state.value, **fields}
        self.jobs[job_id] = replace(self.jobs[job_id], state=state, **native)
        self._write_queue()

    def forget(self, *job_ids: str) -> None:
        """Know nothing of these jobs any more, as after a while of every job that has ended."""
        self._hidden.update(job_ids)
        for job_id in job_ids:
            # The entry stays, so that no id is given twice.
            self.jobs[job_id] = replace(self.jobs[job_id], owner="")
        self._write_queue()

    def hide(self, *job_ids: str) -> None:
        """Show these jobs to their own users only, as Slurm does with PrivateData."""
        self._hidden.update(job_ids)
        self._write_queue()

    def show(self, *job_ids: str) -> None:
        """Show jobs that were hidden."""
        self._hidden.difference_update(job_ids)
        self._write_queue()

    def answer(self, stdout: str = "", stderr: str = "", exit_status: int = 0) -> None:
        """Answer each query with this instead of the queue."""
        self._write_answer(
            f"printf %s {shlex.quote(stdout)}\n"
            f"printf %s {shlex.quote(stderr)} >&2\n"
            f"exit {exit_status}\n"
        )

    def hang(self) -> None:
        """Answer no query."""
        self._write_answer("exec sleep 3600\n")

    def recover(self) -> None:
        """Answer queries with the queue again."""
        self._write_answer(f"exec cat {shlex.quote(str(self.directory / 'queue'))}\n")

    def info(self, job_id: str, owner: str) -> JobInfo | None:
        """Return what a job's own user is told of it; None if it is not known, or another's."""
        info = self.jobs.get(job_id)
        return info if info is not None and info.owner == owner else None

    # -- Scheduler -----------------------------------------------------------------------------

    @property
    def asked_as(self) -> Hashable:
        """Return itself: each fake has a queue of its own."""
        return self

    def directives(self, spec: JobSpec) -> list[str]:
        """Return a line for each thing that ``spec`` asks for."""
        asked = {**spec.resources.__dict__, **spec.__dict__}
        lines = [f"#FAKE {name}={asked[name]}" for name in sorted(self.supports) if asked[name]]
        return [f"#FAKE name={spec.name}", *lines]

    def status_command(self, job_ids: Collection[str] | None = None) -> list[str]:
        """Return a shell with the script that answers."""
        return ["/bin/sh", str(self.directory / "status"), *(job_ids or ())]

    def read_status(self, reply: Reply) -> dict[str, JobInfo]:
        """Read a JSON object of jobs by id."""
        self.check_answered(reply)
        try:
            rows = json.loads(reply.stdout)
            return {
                job_id: JobInfo(**{**row, "state": self.state(row["state"])})
                for job_id, row in rows.items()
            }
        except (ValueError, TypeError, KeyError, AttributeError):
            raise SchedulerUnavailable(
                "The fake queue could not be read.", command=reply.command, output=reply.text
            ) from None

    def mark_command(self) -> list[str]:
        """Return a cat of the marks."""
        return ["/bin/cat", str(self.directory / "marks")]

    def inventory(self) -> Dialogue[Inventory]:
        """Ask a cat for the nodes."""
        reply = yield ["/bin/cat", str(self.directory / "nodes")]
        self.check_answered(reply)
        queues = frozenset({"default"})
        nodes = tuple(Node(name, cores=8, queues=queues) for name in reply.stdout.split())
        return Inventory((Queue("default", default=True),), nodes)

    # -- its files -----------------------------------------------------------------------------

    def _write_queue(self) -> None:
        shown = {key: job.to_dict() for key, job in self.jobs.items() if key not in self._hidden}
        self._write("queue", json.dumps(shown))
        marks = [f"{job_id} unispawner:{mark}\n" for mark, job_id in self.marks.items()]
        self._write("marks", "".join(marks))

    def _write_answer(self, text: str) -> None:
        self._write("status", text)

    def _write(self, name: str, text: str) -> None:
        """Replace a file whole: a query may be reading it."""
        new = self.directory / f"{name}.new"
        new.write_text(text, encoding="utf-8")
        new.replace(self.directory / name)


class FakeUserSide(RunAs):
    """Serves what the agent would be asked, from a :class:`FakeScheduler`, without a process.

    Attributes
    ----------
    requests
        All that was asked.
    error
        Raised instead of an answer, unless it is None.
    log
        What each job has written.
    """

    name = "fake"

    def __init__(self, scheduler: FakeScheduler) -> None:
        super().__init__(agent_python="python3")
        self.scheduler = scheduler
        self.requests: list[dict[str, Any]] = []
        self.error: UniSpawnerError | None = None
        self.log = ""

    def command(self, account: Account) -> list[str]:
        """Raise: there is no process."""
        raise AgentError("The fake user's side is no process.")

    def asked(self, action: str) -> list[dict[str, Any]]:
        """Return the requests for one action."""
        return [request for request in self.requests if request["action"] == action]

    async def call(
        self, host: SubmitHost, account: Account, request: Mapping[str, Any], seconds: float
    ) -> Any:
        """Serve one request; it takes a turn of the event loop."""
        self.requests.append(dict(request))
        await asyncio.sleep(0)
        if self.error is not None:
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

    def _log(self, owner: str, request: Mapping[str, Any]) -> dict[str, str]:
        return {"path": "", "tail": "\n".join(self.log.splitlines()[-request["lines"] :])}

    def _cleanup(self, owner: str, request: Mapping[str, Any]) -> dict[str, str]:
        return {}

    def _check(self, owner: str, request: Mapping[str, Any]) -> dict[str, Any]:
        return {"account": owner, "commands": {}}


def fake_client(
    scheduler: FakeScheduler, owner: str = "alice", side: FakeUserSide | None = None
) -> AgentClient:
    """Return a client of an account that need not exist; ``client.run_as`` is its user's side."""
    return AgentClient(
        account=Account(owner, 60_000, f"/home/{owner}"),
        scheduler=scheduler,
        run_as=side or FakeUserSide(scheduler),
        host=SubmitHost(),
    )


def read_saved_reply(path: str | os.PathLike[str]) -> Reply:
    """Read a real command's saved output: what parsers are tested with.

    The file holds a line ``$ command``, what the command printed, where it printed errors a line
    ``--- stderr`` and these, and a last line ``--- exit status N``.
    """
    text = Path(path).read_text(encoding="utf-8")
    match = re.fullmatch(
        r"\$ (?P<command>.*)\n(?P<stdout>(?s:.*?))"
        r"(?:^--- stderr\n(?P<stderr>(?s:.*?)))?^--- exit status (?P<status>\d+)\n?",
        text,
        re.MULTILINE,
    )
    if match is None:
        raise ValueError(f"{path} is no saved output of a command")
    words = tuple(match["command"].split(" "))
    return Reply(words, int(match["status"]), match["stdout"], match["stderr"] or "")


__all__ = ["FakeScheduler", "FakeUserSide", "fake_client", "read_saved_reply"]
