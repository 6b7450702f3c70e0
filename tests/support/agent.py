"""The agent as a real process of an ordinary account."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.accounts import ordinary_account, own_account
from unispawner.job import JobSpec
from unispawner.run_as import get_run_as
from unispawner.run_as.accounts import Account
from unispawner.run_as.client import AgentClient
from unispawner.schedulers import get_scheduler
from unispawner.submit_host.host import SubmitHost

PATIENCE = 60
MARK = "0123456789abcdef"


@dataclass
class Done:
    """The outcome of a run of the agent."""

    status: int
    stdout: bytes
    stderr: str

    @property
    def reply(self) -> dict[str, Any]:
        reply = json.loads(self.stdout)
        assert 1 == reply["version"]
        return dict(reply)

    @property
    def result(self) -> Any:
        assert "error" not in self.reply, self.reply
        return self.reply["result"]

    @property
    def error(self) -> dict[str, Any]:
        return dict(self.reply["error"])


@dataclass
class Agent:
    """An account with a directory of its own, and the agent that runs as this account."""

    account: pwd.struct_passwd
    directory: Path

    @property
    def state_dir(self) -> Path:
        return self.directory / "state"

    def request(self, action: str, **arguments: Any) -> dict[str, Any]:
        return {
            "version": 1,
            "action": action,
            "account": self.account.pw_name,
            "uid": self.account.pw_uid,
            "min_uid": min(1000, self.account.pw_uid),
            "scheduler": "local",
            "scheduler_options": {},
            "scheduler_path": [],
            "scheduler_environment": {},
            "state_dir": str(self.state_dir),
            "timeout": PATIENCE,
            **arguments,
        }

    @property
    def groups(self) -> list[int]:
        """The groups of the agent's process."""
        if os.getuid() == self.account.pw_uid:
            return os.getgroups()
        return os.getgrouplist(self.account.pw_name, self.account.pw_gid)

    def as_user(self) -> dict[str, Any]:
        """Return the arguments with which subprocess starts a process as the account."""
        if os.getuid() == self.account.pw_uid:
            return {}
        return {
            "user": self.account.pw_uid,
            "group": self.account.pw_gid,
            "extra_groups": self.groups,
        }

    def call(self, action: str, **arguments: Any) -> Done:
        return self.send(json.dumps(self.request(action, **arguments)).encode())

    def send(
        self,
        raw: bytes,
        *,
        options: list[str] | None = None,
        environment: dict[str, str] | None = None,
        prepare: Callable[[], None] | None = None,
        as_root: bool = False,
    ) -> Done:
        done = subprocess.run(
            [sys.executable, "-I", *(options or []), "-m", "unispawner.agent"],
            input=raw,
            capture_output=True,
            timeout=PATIENCE,
            env=environment or {"PATH": "/usr/bin:/bin"},
            cwd="/",
            preexec_fn=prepare,
            **({} if as_root else self.as_user()),
        )
        return Done(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"))

    def own(self, path: Path) -> Path:
        """Make the account the owner of a path."""
        if os.getuid() == 0:
            os.chown(path, self.account.pw_uid, self.account.pw_gid, follow_symlinks=False)
        return path

    def spec(self, command: str, **fields: Any) -> JobSpec:
        """Return a job whose shell runs a command before the server, which is `true`."""
        values = {"executable": "true", "prologue": command, "mark": MARK, **fields}
        return JobSpec(**{"directory": str(self.directory), **values})

    def submit(self, spec: JobSpec, **arguments: Any) -> Done:
        return self.call("submit", spec=spec.to_dict(), **{"shell": "/bin/sh", **arguments})

    def fake_command(self, name: str, text: str) -> str:
        """Write a command; return its directory, for `scheduler_path`."""
        folder = self.directory / "bin"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
        return str(folder)


def as_same_user(account: Account, state_dir: Path, *, shared: bool = False) -> AgentClient:
    """Return a client for the local scheduler whose agent runs as the account that runs the
    tests."""
    return AgentClient(
        account=account,
        scheduler=get_scheduler("local"),
        run_as=get_run_as("same_user", agent_python=sys.executable, allow_shared_account=shared),
        host=SubmitHost(),
        state_dir=str(state_dir),
        min_uid=min(1000, max(1, os.getuid())),
    )


def wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


@contextmanager
def agent_of_a_user() -> Iterator[Agent]:
    """Give an agent of the account that runs the tests, or of an ordinary one if root runs them."""
    own = own_account()
    account = own if own.pw_uid else ordinary_account()
    # Not tmp_path, which only its owner and root can enter.
    directory = Path(tempfile.mkdtemp(prefix="unispawner-test-"))
    found = Agent(account, directory)
    found.own(directory)
    try:
        yield found
    finally:
        _kill_jobs(directory)
        shutil.rmtree(directory, ignore_errors=True)


def _kill_jobs(directory: Path) -> None:
    """End the local jobs that a test has left, which are those whose script is in its directory."""
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            pid = int(command.parent.name)
            if str(directory).encode() in command.read_bytes() and os.getsid(pid) == pid:
                os.killpg(pid, signal.SIGKILL)
