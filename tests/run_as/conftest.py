"""Fixtures: accounts, and a fake sudo that runs a test's own shell commands."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
from support.fake_sudo import FakeSudo

from unispawner.run_as import base
from unispawner.run_as.accounts import Account


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
    """A fake sudo in place of the real one; call it with shell commands to get a client."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setitem(base.ENVIRONMENT, "PATH", f"{folder}:/usr/bin:/bin")
    return FakeSudo(folder, ada)
