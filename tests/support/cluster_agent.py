"""The client of a user's agent on a real scheduler, without a Hub."""

from __future__ import annotations

import json
import os
import pwd
import secrets
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.agent import PATIENCE, wait_for
from support.clusters import Cluster
from unispawner.job import JobSpec


@dataclass
class ClusterJob:
    """A job, and the folder of its files."""

    job_id: str
    mark: str
    log: Path
    directory: Path

    def text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


@dataclass
class ClusterAgent:
    """A user's agent on a real scheduler.

    Attributes
    ----------
    options
        The scheduler's settings.
    environment
        What the agent finds in its environment; None for what the tests find in theirs.
    code
        Python code that prints JSON, for `probe`.
    jobs
        The ids of the jobs that were submitted.
    """

    cluster: Cluster
    state_dir: Path
    options: dict[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] | None = None
    code: str = ""
    jobs: list[str] = field(default_factory=list)
    user: str = "alice"

    def call(self, action: str, timeout: float = PATIENCE, **more: Any) -> dict[str, Any]:
        """Return the agent's reply to a request."""
        account = pwd.getpwnam(self.user)
        request = {
            "version": 1,
            "action": action,
            "account": account.pw_name,
            "uid": account.pw_uid,
            "min_uid": 1000,
            "scheduler": self.cluster.name,
            "scheduler_options": self.options,
            "scheduler_path": [self.cluster.path] if self.cluster.path else [],
            "scheduler_environment": self.cluster.environment,
            "state_dir": str(self.state_dir),
            "timeout": timeout,
            **more,
        }
        done = subprocess.run(
            [sys.executable, "-I", "-m", "unispawner.agent"],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=PATIENCE * 2,
            cwd="/",
            env=self.environment,
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=os.getgrouplist(account.pw_name, account.pw_gid),
        )
        return dict(json.loads(done.stdout))

    def ask(self, action: str, **more: Any) -> Any:
        """Return the result of a request that must succeed."""
        reply = self.call(action, **more)
        assert "error" not in reply, json.dumps(reply, indent=1)
        return reply["result"]

    def submit(self, command: str = "sleep 300", **fields: Any) -> ClusterJob:
        """Submit a job whose shell runs a command before the server, which is `true`."""
        mark = secrets.token_hex(8)
        values = {"executable": "true", "prologue": command, "mark": mark, "name": "probe"}
        spec = JobSpec(**{**values, **fields})
        result = self.ask("submit", spec=spec.to_dict(), shell="/bin/bash -l")
        self.jobs.append(result["job_id"])
        folder = self.state_dir / "jobs" / mark
        return ClusterJob(result["job_id"], mark, Path(result["log"]), folder)

    def error(self, **fields: Any) -> dict[str, Any]:
        """Submit a job that must be refused; return the error."""
        spec = JobSpec(executable="true", mark="0" * 16, **fields)
        return dict(self.call("submit", spec=spec.to_dict(), shell="/bin/sh")["error"])

    def probe(self, **fields: Any) -> Any:
        """Return the JSON that `code` prints in a job."""
        job = self.submit(f"python3 - <<'EOF'\n{self.code}\nEOF", **fields)
        wait_for(lambda: job.text().count("\n"))
        return json.loads(job.text())

    def status(self, job: ClusterJob) -> dict[str, Any] | None:
        found = self.ask("status", job_ids=[job.job_id]).get(job.job_id)
        return dict(found) if found else None

    def wait_state(self, job: ClusterJob, *states: str) -> dict[str, Any]:
        """Wait until a job is in one of these states; return all that is known about it."""

        def reached() -> dict[str, Any] | None:
            info = self.status(job)
            return info if info and info["state"] in states and not info["ending"] else None

        return dict(wait_for(reached))
