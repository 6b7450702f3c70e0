"""Commands on this host: their ends and limits, and that they leave nothing behind."""

import asyncio
import gc
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from unispawner.command import STDERR_LIMIT, Finished
from unispawner.errors import AgentError, SchedulerUnavailable
from unispawner.submit_host import host as submit_host
from unispawner.submit_host.host import GROUP_AT_ONCE, SubmitHost

PATH = {"PATH": "/usr/bin:/bin"}
PATIENCE = 30.0


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collect garbage that a test has left, so that no later test is blamed for it."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


async def run(*command: str, host: SubmitHost | None = None, **options: Any) -> Finished:
    defaults: dict[str, Any] = {"environment": PATH, "timeout": PATIENCE, "output_limit": 10_000}
    return await (host or SubmitHost()).run(command, **{**defaults, **options})


async def sh(text: str, **options: Any) -> Finished:
    return await run("/bin/sh", "-c", text, **options)


def alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


async def gone(pids: list[int]) -> None:
    deadline = time.monotonic() + PATIENCE
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a process was left behind"
        await asyncio.sleep(0.02)


async def pids_in(path: Path, count: int) -> list[int]:
    deadline = time.monotonic() + PATIENCE
    while not path.exists() or len(path.read_text().split()) < count:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    return [int(word) for word in path.read_text().split()]


async def test_a_command_is_run_to_its_end() -> None:
    """Exit status, both outputs and the input are exact, byte for byte."""
    data = bytes(range(256)) * 40
    done = await sh("cat; echo oops >&2; exit 3", standard_input=data, output_limit=len(data))
    assert Finished(3, data, b"oops\n") == done


async def test_arguments_are_not_interpreted() -> None:
    """No shell interprets arguments."""
    words = ["a b", "$HOME", "`id`", ";id", "*", "", "a\nb", "'\"\\"]
    done = await run("printf", "%s\\0", *words)
    assert "\0".join([*words, ""]).encode() == done.stdout


async def test_the_environment_is_what_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command gets the given environment only, and starts in the root directory."""
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", "secret")
    done = await run("/usr/bin/env", environment={"A": "1"})
    assert b"A=1\n" == done.stdout
    assert b"/\n" == (await run("pwd")).stdout


async def test_a_command_that_a_signal_ends() -> None:
    """A command that a signal ended has a negative status."""
    assert -9 == (await sh("kill -9 $$")).exit_status


async def test_a_command_that_reads_nothing() -> None:
    """It is not an error if a command does not read its input."""
    done = await run("true", standard_input=b"x" * 10**6)
    assert (0, b"") == (done.exit_status, done.stdout)
    done = await sh("exec <&-; echo read nothing", standard_input=b"x" * 10**6)
    assert b"read nothing\n" == done.stdout


async def test_much_input_and_much_output_at_once() -> None:
    """Input is written and output read at the same time."""
    data = b"x" * 2_000_000
    done = await run("cat", standard_input=data, output_limit=len(data))
    assert data == done.stdout


async def test_too_much_output_is_an_error() -> None:
    """Too much output is an error, and no part of it counts."""
    with pytest.raises(AgentError, match="printed more than 1000 bytes") as caught:
        await sh("head -c 1000000 /dev/zero", output_limit=1000)
    assert "/bin/sh" == caught.value.command[0]
    assert 1000 == len((await sh("head -c 1000 /dev/zero", output_limit=1000)).stdout)


@pytest.mark.parametrize("where", ["", " >&2"])
async def test_endless_output_is_ended(tmp_path: Path, where: str) -> None:
    """Endless output on either stream ends the command at once."""
    with pytest.raises(AgentError, match="printed more than"):
        await sh(f"echo $$ >{tmp_path}/pids; exec cat /dev/zero{where}")
    await gone(await pids_in(tmp_path / "pids", 1))


async def test_a_command_that_was_ended_leaves_no_descriptor() -> None:
    """A command that was killed leaves no open descriptor."""
    gc.disable()
    try:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            with pytest.raises(AgentError):
                await run("cat", "/dev/zero")
            with pytest.raises(SchedulerUnavailable):
                await run("sleep", "600", timeout=0.05)
        await asyncio.sleep(0.5)
        assert before == len(os.listdir("/proc/self/fd"))
    finally:
        gc.enable()


async def test_much_of_standard_error_is_cut() -> None:
    """Much of standard error is cut, and the command goes on."""
    done = await sh("head -c 500000 /dev/zero >&2; echo done")
    assert (STDERR_LIMIT, b"done\n") == (len(done.stderr), done.stdout)


async def test_a_time_out_ends_the_command_and_its_children(tmp_path: Path) -> None:
    """A time-out ends the whole process group, and the error has the command and the limit."""
    text = f"sleep 600 & echo $! $$ >{tmp_path}/pids; wait"
    with pytest.raises(SchedulerUnavailable, match=r"^/bin/sh did not end within 0.5 s"):
        await sh(text, timeout=0.5)
    await gone(await pids_in(tmp_path / "pids", 2))


async def test_a_time_out_ends_children_that_outlive_the_command(tmp_path: Path) -> None:
    """A time-out ends a child that keeps the output open after the command's own end."""
    with pytest.raises(SchedulerUnavailable):
        await sh(f"sleep 600 & echo $! >{tmp_path}/pids", timeout=0.5)
    pids = await pids_in(tmp_path / "pids", 1)
    try:
        for _ in range(100):
            await asyncio.sleep(0.02)
        assert [] == [pid for pid in pids if alive(pid)]
    finally:
        for pid in filter(alive, pids):
            os.kill(pid, 9)


@pytest.mark.parametrize("end", ["wait", "exit"])
async def test_a_time_out_ends_other_groups_of_the_session(tmp_path: Path, end: str) -> None:
    """A time-out ends what the command has started in process groups of their own."""
    with pytest.raises(SchedulerUnavailable):
        await sh(f"set -m; sleep 600 & echo $! >{tmp_path}/pids; {end}", timeout=0.5)
    await gone(await pids_in(tmp_path / "pids", 1))


async def test_cancellation_ends_the_command(tmp_path: Path) -> None:
    """Cancelling the task ends the command, so that a Hub's shutdown leaves no query behind."""
    task = asyncio.create_task(sh(f"sleep 600 & echo $! $$ >{tmp_path}/pids; wait"))
    pids = await pids_in(tmp_path / "pids", 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone(pids)


@pytest.mark.parametrize("turns", range(1, 12))
async def test_cancellation_while_a_command_is_being_started(turns: int) -> None:
    """Cancelling works at any moment, also while the command starts."""
    task = asyncio.create_task(run("sleep", "0.2"))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=3)
    task.cancel()  # a second time, should it hang
    await asyncio.wait({task}, timeout=3)
    assert {task} == done


SHUTDOWN = """
import asyncio, os, sys
from unispawner.submit_host.host import SubmitHost

async def main():
    run = SubmitHost().run(["/bin/true"], environment={}, timeout=30, output_limit=100)
    task = asyncio.create_task(run)
    for _ in range(int(sys.argv[1])):
        await asyncio.sleep(0)
    for each in asyncio.all_tasks() - {asyncio.current_task()}:
        each.cancel()
    _, pending = await asyncio.wait({task}, timeout=3)
    print("stuck" if pending else "ended", flush=True)
    os._exit(0)

asyncio.run(main())
"""


@pytest.mark.parametrize("turns", [2, 4, 6])
def test_the_hub_can_end_while_a_command_is_being_started(turns: int) -> None:
    """JupyterHub's shutdown, which cancels every task and waits, ends while a command starts."""
    command = [sys.executable, "-c", SHUTDOWN, str(turns)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert "ended" == done.stdout.strip(), done.stderr


@pytest.mark.parametrize("command", ["no-such-command", "/", "/etc/passwd"])
async def test_a_command_that_cannot_be_run(command: str) -> None:
    """A command that can't be run is an error with its name and the reason."""
    with pytest.raises(AgentError, match=rf"^{command} can't be run: \w+") as caught:
        await run(command)
    assert (command,) == caught.value.command


async def test_no_more_at_once_than_allowed(tmp_path: Path) -> None:
    """No more commands run at a time than allowed; the others wait for their turn."""
    host = SubmitHost(at_once=2)
    text = f"touch {tmp_path}/$$; ls {tmp_path} | wc -l; sleep 0.05; rm {tmp_path}/$$"
    done = await asyncio.gather(*(sh(text, host=host) for _ in range(10)))
    assert [0] * 10 == [one.exit_status for one in done]
    assert {1, 2} >= {int(one.stdout) for one in done}


async def test_a_turn_is_given_back_whatever_happens() -> None:
    """Time-outs, cancellations and missing commands give their turns back."""
    host = SubmitHost(at_once=1)
    for _ in range(2):
        with pytest.raises(SchedulerUnavailable):
            await run("sleep", "600", host=host, timeout=0.1)
        with pytest.raises(AgentError):
            await run("no-such-command", host=host)
        task = asyncio.create_task(run("sleep", "600", host=host))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert 0 == (await run("true", host=host)).exit_status


async def test_waiting_for_a_turn_does_not_count_as_time(tmp_path: Path) -> None:
    """The time limit begins with the command, not with the wait for a turn."""
    host = SubmitHost(at_once=1)
    first = asyncio.create_task(sh(f"until [ -e {tmp_path}/go ]; do sleep 0.02; done", host=host))
    await asyncio.sleep(0.1)
    second = asyncio.create_task(run("true", host=host, timeout=20.0))
    (tmp_path / "go").touch()
    assert [0, 0] == [one.exit_status for one in await asyncio.gather(first, second)]


def test_a_host_serves_one_loop_after_another() -> None:
    """A host works in one event loop after another."""
    host = SubmitHost(at_once=1)
    for _ in range(2):
        both = asyncio.run(_twice(host))
        assert [0, 0] == [one.exit_status for one in both]


async def _twice(host: SubmitHost) -> list[Finished]:
    return list(await asyncio.gather(run("true", host=host), run("true", host=host)))


async def test_one_groups_hanging_commands_hold_nobody_up(tmp_path: Path) -> None:
    """Commands of one user that hang do not hold up other users."""
    host = SubmitHost(at_once=GROUP_AT_ONCE + 1)
    hanging = [
        asyncio.ensure_future(sh("sleep 600", host=host, group="mallory"))
        for _ in range(GROUP_AT_ONCE + 5)
    ]
    await asyncio.sleep(0.1)
    assert b"ok\n" == (await sh("echo ok", host=host, group="alice")).stdout
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)


async def test_many_servers_of_one_user_hold_nobody_up() -> None:
    """A user who starts thirty named servers gets two turns at a time: others who come after that
    have theirs at once, and in the order in which they come."""
    host, order = SubmitHost(at_once=3), []

    async def start(user: str) -> None:
        async with host._turns_for(user):
            order.append(user)
            await asyncio.sleep(0)

    users = [*["alice"] * 30, "bob", "carol", "dave"]
    await asyncio.gather(*map(start, users))
    assert sorted(users) == sorted(order)
    assert ["bob", "carol", "dave"] == [user for user in order if user != "alice"]
    assert order.index("dave") < 10


async def test_what_several_groups_hang_holds_nobody_up_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Hanging commands of several users give their turns to others after a while."""
    monkeypatch.setattr(submit_host, "LONGEST_TURN", 0.5)
    host = SubmitHost(at_once=2 * GROUP_AT_ONCE)
    hanging = [
        asyncio.ensure_future(sh("sleep 600", host=host, group=group))
        for group in ("mallory", "eve")
        for _ in range(GROUP_AT_ONCE)
    ]
    await asyncio.sleep(0.1)
    done = await asyncio.wait_for(sh("echo ok", host=host, group="alice"), 10)
    assert b"ok\n" == done.stdout
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    assert 2 * GROUP_AT_ONCE == host._turns_of("", 0)._value


async def test_commands_that_cannot_be_ended_are_not_added_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user with commands that can't be killed gets an error until they end; others go on."""

    def refused(*_: int) -> None:
        raise PermissionError

    host = SubmitHost()
    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as context:
        context.setattr(os, "killpg", refused)
        for _ in range(GROUP_AT_ONCE):
            with pytest.raises(SchedulerUnavailable, match="did not end"):
                await sh(
                    f"echo $$ >>{tmp_path}/pids; exec sleep 600",
                    host=host,
                    group="mallory",
                    timeout=0.3,
                )
    with pytest.raises(SchedulerUnavailable, match="earlier commands for mallory still hang"):
        await sh("true", host=host, group="mallory")
    await sh("true", host=host, group="alice")
    await asyncio.sleep(0.1)
    assert len(os.listdir("/proc/self/fd")) <= before + 2 * GROUP_AT_ONCE  # asyncio's pidfds
    for pid in await pids_in(tmp_path / "pids", GROUP_AT_ONCE):
        os.kill(pid, 9)
    await gone(await pids_in(tmp_path / "pids", GROUP_AT_ONCE))
    await asyncio.sleep(0.2)
    await sh("true", host=host, group="mallory")
