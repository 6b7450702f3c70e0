"""Flux by flux batch and flux cancel; it was never run with a real Flux.

PSI/J's own executor for Flux does not fit: it makes the job itself and takes no script, watches it
by a thread that ends with the agent, and needs Flux's bindings in the agent's Python.
"""

from __future__ import annotations

from pathlib import Path

from ...errors import AgentError
from ...job import JobSpec
from ...schedulers import Scheduler
from ...schedulers.flux import read_f58
from ..commands import run


class Executor:
    """Runs the command flux, with the script on standard input: flux batch keeps a copy of it."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler

    def submit_script(self, spec: JobSpec, script: str, directory: Path) -> str:
        """Submit a job, and return its id as a decimal number, which every command of Flux takes.

        Raises
        ------
        UniSpawnerError
            If Flux refuses the job or does not answer.
        AgentError
            If Flux prints no id: the job may exist, so the Hub looks for it by its mark.
        """
        reply = run(["flux", "batch"], standard_input=script)
        if reply.exit_status:
            raise self.scheduler.submit_error(reply)
        for line in reversed(reply.stdout.split("\n")[:-1]):  # the last line may be cut
            if self.scheduler.job_id.fullmatch(job_id := read_f58(line.strip())):
                return job_id
        raise AgentError(f"{self.scheduler.title} printed no job id:", output=reply.stdout)

    def cancel_id(self, job_id: str, *, force: bool) -> None:
        """Cancel a job; Flux kills it some seconds later if it does not end (flux-cancel(1))."""
        reply = run(["flux", "cancel", job_id])
        if reply.exit_status and (error := self.scheduler.cancel_error(reply)) is not None:
            raise error

    def check(self) -> str:
        """Return the version of Flux's command."""
        reply = run(["flux", "version"])
        if reply.exit_status:
            raise AgentError("The command flux does not work:", output=reply.text)
        words = reply.stdout.split()
        version = words[words.index("libflux-core:") + 1] if "libflux-core:" in words else "?"
        return f"flux-core {version}"
