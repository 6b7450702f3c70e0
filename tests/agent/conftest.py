"""The agent as what it is: a process of an ordinary account."""

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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from unispawner.job import JobSpec

PATIENCE = 60
MARK = "0123456789abcdef"


@dataclass
class Done:
    """How the agent ended."""

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
    """An account, a directory of its own, and the agent run as it."""

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

    def as_user(self) -> dict[str, Any]:
        """What makes subprocess start something as the account."""
        if os.getuid() == self.account.pw_uid:
            return {}
        groups = os.getgrouplist(self.account.pw_name, self.account.pw_gid)
        return {
            "user": self.account.pw_uid,
            "group": self.account.pw_gid,
            "extra_groups": groups,
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
        """Give a path to the account."""
        if os.getuid() == 0:
            os.chown(path, self.account.pw_uid, self.account.pw_gid, follow_symlinks=False)
        return path

    def spec(self, command: str, **fields: Any) -> JobSpec:
        """A job whose shell runs a command before the server, which is `true`."""
        values = {"executable": "true", "prologue": command, "mark": MARK, **fields}
        return JobSpec(**{"directory": str(self.directory), **values})

    def submit(self, spec: JobSpec, **arguments: Any) -> Done:
        return self.call("submit", spec=spec.to_dict(), **{"shell": "/bin/sh", **arguments})

    def fake_command(self, name: str, text: str) -> str:
        """Make a command; the directory, for `scheduler_path`."""
        folder = self.directory / "bin"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
        return str(folder)


def wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def _account() -> pwd.struct_passwd:
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid())
    for name in ("alice", "bob"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    ordinary = [entry for entry in pwd.getpwall() if 1000 <= entry.pw_uid < 60_000]
    if not ordinary:
        pytest.skip("this host has no ordinary account")
    return ordinary[0]


@pytest.fixture
def agent() -> Iterator[Agent]:
    """The agent of an ordinary account: alice where there is one, else whoever there is."""
    # Not tmp_path: others than root can't reach into that.
    directory = Path(tempfile.mkdtemp(prefix="unispawner-test-"))
    found = Agent(_account(), directory)
    found.own(directory)
    try:
        yield found
    finally:
        _kill_jobs(directory)
        shutil.rmtree(directory, ignore_errors=True)


def _kill_jobs(directory: Path) -> None:
    """End what local jobs a test left: those whose script lies in its directory."""
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            pid = int(command.parent.name)
            if str(directory).encode() in command.read_bytes() and os.getsid(pid) == pid:
                os.killpg(pid, signal.SIGKILL)


@pytest.fixture(name="wait_for")
def _wait_for() -> Callable[[Callable[[], Any]], Any]:
    """Wait until something is true, and return it."""
    return wait_for
