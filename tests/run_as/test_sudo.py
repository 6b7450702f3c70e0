"""The way through sudo: what the Hub sends to the agent, and which replies it accepts."""

import asyncio
import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unispawner.errors import AgentError, InvalidJobError, SchedulerUnavailable, SubmitError
from unispawner.job import JobInfo, JobSpec, JobState
from unispawner.run_as import WAYS, base, get_run_as
from unispawner.run_as.accounts import Account
from unispawner.run_as.client import AgentClient
from unispawner.run_as.sudo import Sudo

FakeSudo = Callable[..., AgentClient]
MARK = "0123456789abcdef"


def print_text(text: str, status: int = 0, error: str = "") -> str:
    """Return shell commands that print a text and an error, and end with a status."""
    return f"printf %s {shlex.quote(text)}; printf %s {shlex.quote(error)} >&2; exit {status}"


def reply_with(result: Any) -> str:
    """Return shell commands that print the agent's reply with this result."""
    return print_text(json.dumps({"version": 1, "result": result}))


# -- what is sent -------------------------------------------------------------------------------


async def test_the_command_line(fake_sudo: FakeSudo, tmp_path: Path, ada: Account) -> None:
    """sudo runs exactly the command that sudoers allows, with no -E and no data of the job."""
    client = fake_sudo(reply_with({"job_id": "17"}))
    spec = JobSpec(name="secret name", environment={"TOKEN": "topsecret"}, mark=MARK)
    assert "17" == await client.submit(spec, "/bin/bash -l")
    expected = ["-n", "-H", "-u", ada.name, "--", "/opt/py/bin/python", "-I", "-m"]
    assert [*expected, "unispawner.agent"] == (tmp_path / "arguments").read_text().split("\n")[:-1]


async def test_the_request(fake_sudo: FakeSudo, tmp_path: Path, ada: Account) -> None:
    """The request goes to standard input and has every field that the agent checks."""
    client = fake_sudo(reply_with({"job_id": "17"}))
    spec = JobSpec(environment={"TOKEN": "topsecret"}, mark=MARK)
    await client.submit(spec, "/bin/bash -l")
    request = json.loads((tmp_path / "input").read_text())
    assert {
        "version": 1,
        "action": "submit",
        "account": ada.name,
        "uid": ada.uid,
        "min_uid": 1000,
        "scheduler": "slurm",
        "scheduler_options": {},
        "scheduler_path": [],
        "scheduler_environment": {},
        "state_dir": "~/.unispawner",
        "timeout": 30.0,
        "spec": spec.to_dict(),
        "shell": "/bin/bash -l",
    } == request


async def test_nothing_of_the_hubs_environment_is_passed_on(
    fake_sudo: FakeSudo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sudo's own environment is a fixed PATH and LANG, without any secret of the Hub's."""
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", "topsecret")
    await fake_sudo(reply_with({})).cancel("17")
    lines = (tmp_path / "environment").read_text().splitlines()
    names = {line.partition("=")[0] for line in lines}
    assert {"PATH", "LANG"} == names - {"PWD", "OLDPWD", "SHLVL", "_"}


# -- what goes wrong ----------------------------------------------------------------------------


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


async def test_a_missing_sudo(
    fake_sudo: FakeSudo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where sudo is not installed, the error names the command that is missing."""
    client = fake_sudo("")
    (tmp_path / "bin" / "sudo").unlink()
    monkeypatch.setitem(base._ENVIRONMENT, "PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(AgentError, match="sudo can't be run: No such file"):
        await client.cancel("17")


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


@pytest.mark.parametrize(
    "error", [None, 1, [], "text", {"type": "SystemExit"}, {"type": "AgentError", "message": {}}]
)
async def test_forged_errors(fake_sudo: FakeSudo, error: Any) -> None:
    """An error that can't be read is raised as an AgentError."""
    with pytest.raises(AgentError):
        await fake_sudo(print_text(json.dumps({"version": 1, "error": error}))).cancel("17")


# -- which replies are accepted -------------------------------------------------------------------


@pytest.mark.parametrize(
    "job_id",
    ["17\n", "1 2", "-f", "", "1,2", "1;id", None, 17, True, ["17"], {"a": 1}, "9" * 100, "１７"],
)
@pytest.mark.parametrize("action", ["submit", "find"])
async def test_a_forged_job_id(fake_sudo: FakeSudo, action: str, job_id: Any) -> None:
    """A job id goes into commands, the database and the log, so a wrong one is refused."""
    client = fake_sudo(reply_with({"job_id": job_id}))
    if action == "find":
        if job_id == "":
            assert "" == await client.find(MARK)
            return
        with pytest.raises(AgentError, match="no valid job id"):
            await client.find(MARK)
        return
    with pytest.raises(AgentError, match="no valid job id"):
        await client.submit(JobSpec(mark=MARK), "/bin/sh")


@pytest.mark.parametrize("result", [None, [], "17", 17, {}, {"other": 1}])
async def test_a_result_of_another_shape(fake_sudo: FakeSudo, result: Any) -> None:
    """The result of every action must have the right shape; the error shows what came."""
    client = fake_sudo(reply_with(result))
    for call in (
        client.submit(JobSpec(mark=MARK), "/bin/sh"),
        client.find(MARK),
        client.log_tail(MARK),
    ):
        with pytest.raises(AgentError, match="no valid .* reply was:"):
            await call
    if not isinstance(result, dict):
        for call in (client.status(["17"]), client.check()):
            with pytest.raises(AgentError, match="no valid"):
                await call
    else:
        assert {} == await client.status(["17"])


FORGED = {"owner": "ada", "state": "RUNNING"}


@pytest.mark.parametrize(
    ("forged", "expected"),
    [
        ({}, {}),
        ({"state": "BRAND_NEW"}, {"state": JobState.UNKNOWN}),
        ({"state": None}, {"state": JobState.UNKNOWN}),
        ({"message": "m" * 5000}, {"message": "m" * 1000}),
        ({"message": None, "exec_host": None}, {}),
        ({"exec_host": "h" * 5000}, {"exec_host": "h" * 255}),
        ({"exec_host": ["a"]}, {"exec_host": "['a']"}),
        ({"exit_code": "0"}, {}),
        ({"exit_code": True}, {}),
        ({"exit_code": 137}, {"exit_code": 137}),
        ({"queue_position": 2.9}, {"queue_position": 2}),
        ({"estimated_start": float("nan")}, {}),
        ({"estimated_start": float("inf"), "estimated_end": -float("inf")}, {}),
        ({"estimated_start": 1e9}, {"estimated_start": 1e9}),
        ({"ending": "yes"}, {}),
        ({"ending": True}, {"ending": True}),
        ({"uid": 0, "__class__": "x"}, {}),
    ],
)
async def test_forged_information(
    fake_sudo: FakeSudo, forged: dict[str, Any], expected: dict[str, Any]
) -> None:
    """A forged value of a wrong type is dropped, and one that is too long is cut."""
    client = fake_sudo(reply_with({"17": {**FORGED, **forged}, "18": FORGED}))
    info = JobInfo(**{"owner": "ada", "state": JobState.RUNNING, **expected})
    assert {"17": info} == await client.status(["17"])


@pytest.mark.parametrize("field", ["exit_code", "queue_position", "estimated_start"])
async def test_a_forged_number_beyond_all_bounds(fake_sudo: FakeSudo, field: str) -> None:
    """A number beyond all bounds, which JSON allows, is dropped."""
    client = fake_sudo(reply_with({"17": {**FORGED, field: 10**400}}))
    assert None is getattr((await client.status(["17"]))["17"], field)


@pytest.mark.parametrize("moment", [1e300, 1e18, -1e18])
async def test_a_forged_time_can_be_shown(fake_sudo: FakeSudo, moment: float) -> None:
    """An absurd time does not break the user's progress messages."""
    from unispawner.monitor.monitor import TrackedJob
    from unispawner.web.words import progress_event

    client = fake_sudo(reply_with({"17": {**FORGED, "state": "QUEUED", "estimated_start": moment}}))
    info = (await client.status(["17"]))["17"]
    progress_event(TrackedJob("17", client, info=info), None, "Slurm")


@pytest.mark.parametrize("field", ["message", "exec_host", "native_state"])
async def test_forged_text_can_be_written(fake_sudo: FakeSudo, field: str) -> None:
    """Half a surrogate pair, which JSON allows, is replaced: no page or log could hold it."""
    client = fake_sudo(reply_with({"17": {**FORGED, field: "\ud800"}}))
    getattr((await client.status(["17"]))["17"], field).encode()


@pytest.mark.parametrize("forged", [None, [], "x", {}, {"owner": 1}, {"owner": None}])
async def test_information_without_an_owner(fake_sudo: FakeSudo, forged: Any) -> None:
    """A job's information without an owner is refused."""
    with pytest.raises(AgentError, match="no valid status"):
        await fake_sudo(reply_with({"17": forged})).status(["17"])


async def test_a_deeply_nested_value(fake_sudo: FakeSudo) -> None:
    """A deeply nested value raises an AgentError at most, and never a RecursionError."""
    for depth in (500, 900, 5000):
        nested = "[" * depth + "]" * depth
        text = f'{{"version": 1, "result": {{"17": {{"owner": "a", "message": {nested}}}}}}}'
        try:
            await fake_sudo(print_text(text)).status(["17"])
        except AgentError:
            pass


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


def test_each_way_is_found_by_its_name() -> None:
    """Each way is found by its name; the error for an unknown name lists the known ones."""
    for name, cls in WAYS.items():
        assert name == cls.name
        assert cls is type(get_run_as(name, agent_python="x", allow_shared_account=False))
    with pytest.raises(InvalidJobError, match="run_as: 'su' must be one of sudo, same_user"):
        get_run_as("su", agent_python="x", allow_shared_account=False)
