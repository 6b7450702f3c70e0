"""The way through sudo: its command, its refusals and the line for sudoers."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fake_sudo import FakeSudo, print_text, reply_with

from unispawner.errors import AgentError, InvalidJobError
from unispawner.job import JobSpec
from unispawner.run_as import base, get_run_as
from unispawner.run_as.accounts import Account
from unispawner.run_as.sudo import Sudo

MARK = "0123456789abcdef"


@pytest.mark.threat(
    who="Hub account",
    tries="Data of a job is in the command line that sudo runs.",
    stopped_by="The request is JSON on standard input.",
)
async def test_the_command_line(fake_sudo: FakeSudo, ada: Account) -> None:
    """sudo runs exactly the command that sudoers allows, with no -E and no data of the job."""
    client = fake_sudo(reply_with({"job_id": "17"}))
    spec = JobSpec(name="secret name", environment={"TOKEN": "topsecret"}, mark=MARK)
    assert "17" == await client.submit(spec, "/bin/bash -l")
    expected = ["-n", "-H", "-u", ada.name, "--", "/opt/py/bin/python", "-I", "-m"]
    assert [*expected, "unispawner.agent"] == fake_sudo.arguments.read_text().split("\n")[:-1]


@pytest.mark.parametrize(
    "text",
    [
        "sudo: a password is required\n",
        "sudo: unknown user ada\nsudo: error initializing audit plugin sudoers_audit\n",
        "hub is not in the sudoers file.\nsudo: a password is required\n",
        "sudo: /etc/sudoers.d is world writable\nsudo: a password is required\n",
        "sudo: account validation failure, is your account locked?\n",
        "Sorry, user hub may not run sudo on vm.\n",
    ],
)
async def test_a_refusing_sudo(fake_sudo: FakeSudo, ada: Account, text: str) -> None:
    """A refusal by sudo is reported in its own words, with the command that helps."""
    with pytest.raises(AgentError) as caught:
        await fake_sudo(print_text("", 1, text)).cancel("17")
    assert caught.value.message.startswith(f"sudo does not let the Hub act as {ada.name}.")
    assert "unispawner doctor --sudoers" in caught.value.message
    assert text.strip() == caught.value.output
    assert 1 == caught.value.exit_status


async def test_a_sudo_that_allows_another_command(fake_sudo: FakeSudo) -> None:
    """A sudoers line for another Python is a refusal, too; the text is from sudo 1.9's parse.c."""
    text = "Sorry, user hub is not allowed to execute '/opt/py/bin/python' as ada on vm.\n"
    with pytest.raises(AgentError, match="unispawner doctor --sudoers"):
        await fake_sudo(print_text("", 1, text)).cancel("17")


async def test_a_python_that_users_cannot_read(fake_sudo: FakeSudo) -> None:
    """If sudo allows the agent but can't run it, the error names the Python and not sudoers."""
    text = "sudo: unable to execute /opt/py/bin/python: Permission denied\n"
    with pytest.raises(
        AgentError, match="^agent_python: ada can't run /opt/py/bin/python"
    ) as caught:
        await fake_sudo(print_text("", 1, text)).cancel("17")
    assert "sudoers" not in caught.value.message
    assert text.strip() == caught.value.output


async def test_a_missing_sudo(
    fake_sudo: FakeSudo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where sudo is not installed, the error names the command that is missing."""
    client = fake_sudo("")
    (tmp_path / "bin" / "sudo").unlink()
    monkeypatch.setitem(base.ENVIRONMENT, "PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(AgentError, match="sudo can't be run: No such file"):
        await client.cancel("17")


# -- sudoers ------------------------------------------------------------------------------------


def line_for(python: str, hub: str = "hub", group: str = "hubusers") -> str:
    run_as = get_run_as("sudo", agent_python=python, allow_shared_account=False)
    assert isinstance(run_as, Sudo)
    return run_as.sudoers_line(hub, group)


def test_the_sudoers_line() -> None:
    """The sudoers line allows one command, for the members of one group, without a password."""
    expected = "hub ALL=(%hubusers) NOPASSWD: /opt/py/bin/python -I -m unispawner.agent"
    assert expected == line_for("/opt/py/bin/python")


def test_the_sudoers_line_for_an_environment_that_is_kept() -> None:
    """For batchspawner's ``sudo -E`` the line has the tag SETENV."""
    line = Sudo("/opt/py/bin/python").sudoers_line("hub", "hubusers", setenv=True)
    expected = "hub ALL=(%hubusers) NOPASSWD:SETENV: /opt/py/bin/python -I -m unispawner.agent"
    assert expected == line


@pytest.mark.threat(
    who="user",
    tries="They log in under the name of the Hub's own account, to read the Hub's secrets.",
    stopped_by="The Hub's own account is refused.",
)
def test_the_hubs_own_account_is_refused(account: Account) -> None:
    """The Hub's own account is refused, because its server could read the Hub's secrets."""
    run_as = get_run_as("sudo", agent_python="/x", allow_shared_account=False)
    with pytest.raises(AgentError, match="the Hub's own account"):
        run_as.command(account)


@pytest.mark.parametrize("sign", '"\\*?[]!')
def test_a_python_that_sudoers_cannot_name(sign: str) -> None:
    """A path with a character that sudoers can't take literally is refused."""
    with pytest.raises(InvalidJobError, match="^agent_python: .* use another path"):
        line_for(f"/opt/a{sign}b/python")
