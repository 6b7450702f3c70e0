"""RunAs: the request that the agent gets, and what becomes of its reply and its failures."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.fake_sudo import FakeSudo, print_text, reply_with

from unispawner.errors import AgentError, InvalidJobError, SchedulerUnavailable, SubmitError
from unispawner.job import JobSpec
from unispawner.run_as import WAYS, base, get_run_as
from unispawner.run_as.accounts import Account

MARK = "0123456789abcdef"


async def test_the_request(fake_sudo: FakeSudo, ada: Account) -> None:
    """The request goes to standard input and has every field that the agent checks."""
    client = fake_sudo(reply_with({"job_id": "17"}))
    spec = JobSpec(environment={"TOKEN": "topsecret"}, mark=MARK)
    await client.submit(spec, "/bin/bash -l")
    request = json.loads(fake_sudo.input.read_text())
    assert {
        "version": 1,
        "action": "submit",
        "account": ada.name,
        "uid": ada.uid,
        "min_uid": 1000,
        "scheduler": "slurm",
        "scheduler_options": {
            "slurm_memory_as": "mem",
            "slurm_gpus_as": "gpus",
            "slurm_cluster": "",
        },
        "scheduler_path": [],
        "scheduler_environment": {},
        "state_dir": "~/.unispawner",
        "timeout": 30.0,
        "spec": spec.to_dict(),
        "shell": "/bin/bash -l",
    } == request


@pytest.mark.threat(
    who="Hub account",
    tries="Its secrets reach a user's process.",
    stopped_by="The command that becomes the user gets a fixed environment.",
)
async def test_nothing_of_the_hubs_environment_is_passed_on(
    fake_sudo: FakeSudo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sudo's own environment is a fixed PATH and LANG, without any secret of the Hub's."""
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", "topsecret")
    await fake_sudo(reply_with({})).cancel("17")
    lines = fake_sudo.environment.read_text().splitlines()
    names = {line.partition("=")[0] for line in lines}
    assert {"PATH", "LANG"} == names - {"PWD", "OLDPWD", "SHLVL", "_"}


@pytest.mark.parametrize(
    ("text", "status", "how", "output"),
    [
        ("echo boom >&2; exit 1", 1, "exit status 1", "boom"),
        ("echo 'No module named x' >&2; exit 127", 127, "exit status 127", "No module named x"),
        ("kill -9 $$", -9, "signal 9", ""),
        ("exit 0", 0, "exit status 0", ""),
    ],
)
async def test_an_agent_that_crashes(
    fake_sudo: FakeSudo, text: str, status: int, how: str, output: str
) -> None:
    """The error of a crashed agent says how it ended, what it printed and what to try."""
    with pytest.raises(AgentError, match=f"agent of ada ended with {how} and without") as caught:
        await fake_sudo(text).cancel("17")
    assert (status, output) == (caught.value.exit_status, caught.value.output)
    assert "unispawner doctor --account ada" in caught.value.message


async def test_a_python_without_unispawner(fake_sudo: FakeSudo) -> None:
    """If the agent's Python lacks unispawner, the error says so, and where to install it."""
    text = (
        "/opt/py/bin/python: Error while finding module specification for 'unispawner.agent' "
        "(ModuleNotFoundError: No module named 'unispawner')"
    )
    expected = "^agent_python: ada finds no unispawner in the environment of /opt/py/bin/python"
    with pytest.raises(AgentError, match=expected) as caught:
        await fake_sudo(f'echo "{text}" >&2; exit 1').cancel("17")
    assert text == caught.value.output


@pytest.mark.parametrize(
    "text",
    [
        *("hello", "{}", "[]", "null", "1", '{"version": 2, "result": {}}', '{"version": "1"}'),
        *('{"version": 1, "result": {}} trailing', "{" * 100_000, "[" * 100_000, "\x00", "NaN"),
        *('{"version": true', '{"version": 1, "result": 1' + "0" * 5000 + "}"),
    ],
)
async def test_garbage(fake_sudo: FakeSudo, tmp_path: Path, text: str) -> None:
    """Output that is not a valid reply is an error, even with exit status 0."""
    (tmp_path / "garbage").write_text(text)
    with pytest.raises(AgentError, match="without a valid reply"):
        await fake_sudo(f"cat {tmp_path}/garbage").cancel("17")


async def test_bytes_that_are_not_utf8(fake_sudo: FakeSudo) -> None:
    """Bytes that are not UTF-8 are not a valid reply either."""
    with pytest.raises(AgentError, match="without a valid reply"):
        await fake_sudo("printf '\\377\\376\\200'").cancel("17")


async def test_silence(
    fake_sudo: FakeSudo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that never answers is killed after its time limit, as SchedulerUnavailable."""
    monkeypatch.setattr(base, "_GRACE", 0.1)
    with pytest.raises(SchedulerUnavailable, match="sudo did not end within 0.4 s"):
        await fake_sudo(f"echo $$ >{tmp_path}/pid; exec sleep 600", seconds=0.3).cancel("17")
    pid = int((tmp_path / "pid").read_text())
    for _ in range(1000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            break
        await asyncio.sleep(0.01)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.threat(
    who="user",
    tries="Their own agent sends an endless reply.",
    stopped_by="A reply has a limit, and nothing of a longer one counts.",
)
async def test_a_reply_that_is_too_large(fake_sudo: FakeSudo) -> None:
    """A reply longer than the limit is refused."""
    with pytest.raises(AgentError, match=f"more than {base.REPLY_LIMIT} bytes"):
        await fake_sudo("head -c 10000000 /dev/zero").cancel("17")


async def test_the_agents_errors_are_ours(fake_sudo: FakeSudo) -> None:
    """An error that the agent reports is raised with its type and data."""
    sent = SubmitError("Slurm refused the job:", command=["sbatch"], exit_status=1, output="why")
    with pytest.raises(SubmitError) as caught:
        await fake_sudo(print_text(json.dumps({"version": 1, "error": sent.to_dict()}))).submit(
            JobSpec(mark=MARK), "/bin/sh"
        )
    assert sent.to_dict() == caught.value.to_dict()


@pytest.mark.threat(
    who="user",
    tries="Their own agent reports an error of a form that no agent has.",
    stopped_by="An error of an unknown form becomes an AgentError.",
)
@pytest.mark.parametrize(
    "error", [None, 1, [], "text", {"type": "SystemExit"}, {"type": "AgentError", "message": {}}]
)
async def test_forged_errors(fake_sudo: FakeSudo, error: Any) -> None:
    """An error that can't be read is raised as an AgentError."""
    with pytest.raises(AgentError):
        await fake_sudo(print_text(json.dumps({"version": 1, "error": error}))).cancel("17")


def test_each_way_is_found_by_its_name() -> None:
    """Each way is found by its name; the error for an unknown name lists the known ones."""
    for name, cls in WAYS.items():
        assert name == cls.name
        assert cls is type(get_run_as(name, agent_python="x", allow_shared_account=False))
    with pytest.raises(
        InvalidJobError, match="run_as: 'su' must be one of broker, sudo, same_user"
    ):
        get_run_as("su", agent_python="x", allow_shared_account=False)
