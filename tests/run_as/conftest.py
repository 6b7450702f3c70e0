"""Fixtures: accounts, and a fake sudo that runs a test's own shell commands."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from unispawner.run_as import base, get_run_as
from unispawner.run_as.accounts import Account
from unispawner.run_as.client import AgentClient
from unispawner.schedulers import get_scheduler
from unispawner.submit_host.host import SubmitHost

FakeSudo = Callable[[str], AgentClient]


@pytest.fixture
def account() -> Account:
    """The account that runs the tests."""
    entry = pwd.getpwuid(os.getuid())
    return Account(entry.pw_name, entry.pw_uid, entry.pw_dir)


@pytest.fixture
def ada() -> Account:
    """An account that is not the one that runs the tests, and may not exist."""
    return Account("ada", os.getuid() + 12_345, "/home/ada")


@pytest.fixture
def fake_sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ada: Account) -> FakeSudo:
    """Return a function that makes a client whose sudo is a shell script.

    The script writes its arguments, its environment and its input to files.
    """
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setitem(base._ENVIRONMENT, "PATH", f"{folder}:/usr/bin:/bin")

    def make(text: str, seconds: float = 30.0) -> AgentClient:
        script = folder / "sudo"
        script.write_text(
            "#!/bin/sh\n"
            f"printf '%s\\n' \"$@\" >{tmp_path}/arguments\n"
            f"env >{tmp_path}/environment\n"
            f"cat >{tmp_path}/input\n"
            f"{text}\n"
        )
        script.chmod(0o755)
        return AgentClient(
            account=ada,
            scheduler=get_scheduler("slurm"),
            run_as=get_run_as(
                "sudo", agent_python="/opt/py/bin/python", allow_shared_account=False
            ),
            host=SubmitHost(),
            seconds=seconds,
        )

    return make
