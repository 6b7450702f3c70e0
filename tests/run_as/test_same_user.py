"""The way without a user boundary: only the Hub's own account, with a real agent."""

import os
import sys
from pathlib import Path

import pytest

from unispawner.errors import AgentError
from unispawner.run_as import get_run_as
from unispawner.run_as.accounts import Account
from unispawner.run_as.client import AgentClient
from unispawner.schedulers import get_scheduler
from unispawner.submit_host.host import SubmitHost


def client(account: Account, state_dir: Path, *, shared: bool = False) -> AgentClient:
    return AgentClient(
        account=account,
        scheduler=get_scheduler("local"),
        run_as=get_run_as("same_user", agent_python=sys.executable, allow_shared_account=shared),
        host=SubmitHost(),
        state_dir=str(state_dir),
        min_uid=min(1000, max(1, os.getuid())),
    )


@pytest.mark.parametrize("shared", [False, True])
async def test_another_account_is_refused(account: Account, tmp_path: Path, shared: bool) -> None:
    """Another account is refused; the error names both ways out and what a shared account costs."""
    other = Account("eve", account.uid + 1, "/home/eve")
    with pytest.raises(AgentError, match="'sudo'") as caught:
        await client(other, tmp_path, shared=shared).check()
    assert "c.UniSpawner.allow_shared_account = True" in caught.value.message
    assert "no protection from each other" in caught.value.message


async def test_no_sudo_is_in_the_command(account: Account, tmp_path: Path) -> None:
    """The agent's command is run as it is, without sudo."""
    command = client(account, tmp_path).run_as.command(account)
    assert [sys.executable, "-I", "-m", "unispawner.agent"] == command


@pytest.mark.skipif(os.getuid() == 0, reason="the agent refuses root")
async def test_the_hubs_own_account_is_served(account: Account, tmp_path: Path) -> None:
    """A real agent serves a request of the Hub's own account."""
    assert account.name == (await client(account, tmp_path / "state").check())["account"]


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
async def test_a_hub_of_roots_own_runs_nothing(account: Account, tmp_path: Path) -> None:
    """The agent refuses to run as root, even for a Hub that runs as root."""
    with pytest.raises(AgentError, match="uid 0"):
        await client(account, tmp_path / "state").check()
    assert not (tmp_path / "state").exists()
