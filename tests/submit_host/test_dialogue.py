"""Dialogues with a scheduler, as the Hub and as the user's side hold them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unispawner.agent import commands
from unispawner.errors import AgentError, InvalidJobError, SchedulerUnavailable, UniSpawnerError
from unispawner.schedulers.base import QUERY_ENVIRONMENT, Dialogue, Reply
from unispawner.submit_host import dialogue
from unispawner.submit_host.host import SubmitHost

Hold = Callable[[Dialogue[Any]], Any]
BIN = {"PATH": "/usr/bin:/bin"}


def _hub(question: Dialogue[Any]) -> Any:
    return asyncio.run(dialogue.hold_dialogue(question, SubmitHost(), BIN))


@pytest.fixture(params=[_hub, commands.hold_dialogue], ids=["hub", "agent"])
def hold(request: pytest.FixtureRequest) -> Hold:
    """Return the function with which either side holds a dialogue."""
    found: Hold = request.param
    return found


def sh(text: str) -> list[str]:
    return ["/bin/sh", "-c", text]


def test_several_commands_and_a_result(hold: Hold) -> None:
    """Commands run one after the other, and each may use the reply to the one before."""

    def question() -> Dialogue[list[str]]:
        first = yield ["/bin/echo", "one"]
        second = yield ["/bin/echo", first.stdout.strip(), "two"]
        third = yield sh(f"echo {second.stdout.strip()} three")
        return third.stdout.split()

    assert ["one", "two", "three"] == hold(question())


def test_a_question_that_takes_no_command(hold: Hold) -> None:
    """A dialogue may end without a command."""

    def question() -> Dialogue[dict[str, str]]:
        yield from ()  # the function is a generator
        return {}

    assert {} == hold(question())


@pytest.mark.parametrize("result", [None, False, [], ""])
def test_a_result_that_is_nothing_is_a_result(hold: Hold, result: object) -> None:
    """A result of None ends a dialogue."""

    def question() -> Dialogue[object]:
        yield ["/bin/true"]
        return result

    assert result == hold(question())


def test_the_reply_of_a_command(hold: Hold) -> None:
    """A dialogue gets exit status and both outputs, even if the command fails."""

    def question() -> Dialogue[Reply]:
        return (yield sh("echo out; echo err >&2; exit 3"))

    expected = Reply(tuple(sh("echo out; echo err >&2; exit 3")), 3, "out\n", "err\n")
    assert expected == hold(question())


def test_what_is_no_text_does_not_break_it(hold: Hold) -> None:
    """Bytes that are not text are replaced."""

    def question() -> Dialogue[str]:
        return (yield sh(r"printf 'a\377b'")).stdout

    assert "a\N{REPLACEMENT CHARACTER}b" == hold(question())


def test_a_command_that_cannot_be_run_raises_where_it_was_yielded(hold: Hold) -> None:
    """A command that can't be run raises at the yield, so that a dialogue can go on without it."""

    def question() -> Dialogue[tuple[str, str]]:
        try:
            yield ["/no/such/qacct", "-j", "1"]
        except UniSpawnerError as error:
            caught = error.message
        reply = yield ["/bin/echo", "after"]
        return caught, reply.stdout

    caught, after = hold(question())
    assert "/no/such/qacct" in caught
    assert "after\n" == after


def test_two_in_a_row_that_cannot_be_run(hold: Hold) -> None:
    """A dialogue may answer an error with another command that fails."""

    def question() -> Dialogue[int]:
        errors = 0
        for _ in range(2):
            try:
                yield ["/no/such/command"]
            except AgentError:
                errors += 1
        return errors

    assert 2 == hold(question())


def test_what_it_does_not_catch_comes_out(hold: Hold) -> None:
    """An error that a dialogue does not catch is raised after the dialogue's clean-up."""
    cleaned: list[bool] = []

    def question() -> Dialogue[None]:
        try:
            yield ["/no/such/squeue"]
        finally:
            cleaned.append(True)

    with pytest.raises(AgentError, match="/no/such/squeue"):
        hold(question())
    assert [True] == cleaned


@pytest.mark.parametrize("error", [InvalidJobError("no"), ZeroDivisionError("a bug")])
def test_what_a_dialogue_raises_comes_out(hold: Hold, error: Exception) -> None:
    """Every error that a dialogue raises comes out as it is."""

    def question() -> Dialogue[None]:
        yield ["/bin/true"]
        raise error

    with pytest.raises(type(error)) as caught:
        hold(question())
    assert error is caught.value


def test_a_command_that_hangs(hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command has its own time limit."""
    monkeypatch.setattr(dialogue, "QUERY_TIMEOUT", 0.3)
    run = commands.run
    monkeypatch.setattr(commands, "run", lambda command, **more: run(command, **more, timeout=0.3))

    def question() -> Dialogue[str]:
        try:
            yield ["/bin/sleep", "60"]
        except SchedulerUnavailable as error:
            caught = error.message
        yield ["/bin/true"]
        return caught

    assert "/bin/sleep did not" in hold(question())


async def test_the_loop_is_not_held_up_by_reading() -> None:
    """Answers are read in another thread, since fifty thousand rows take a while."""
    threads: list[threading.Thread] = []

    def question() -> Dialogue[None]:
        threads.append(threading.current_thread())
        yield ["/bin/true"]
        threads.append(threading.current_thread())

    await dialogue.hold_dialogue(question(), SubmitHost(), BIN)
    assert threading.current_thread() not in threads
    assert 2 == len(threads)


async def test_the_hubs_commands_have_the_given_environment_only() -> None:
    """The Hub's commands get the given environment, and nothing of the Hub's, which has secrets."""

    def question() -> Dialogue[str]:
        return (yield ["/usr/bin/env"]).stdout

    printed = await dialogue.hold_dialogue(question(), SubmitHost(), {"A": "1"})
    expected = {"A": "1", **QUERY_ENVIRONMENT}
    assert expected == dict(line.split("=", 1) for line in printed.splitlines())


def test_times_are_printed_in_utc(hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands print times in UTC on both sides, whatever zone the site or its Hub has."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setitem(BIN, "TZ", "America/New_York")

    def question() -> Dialogue[str]:
        return (yield ["date", "-d", "@1795741018", "+%FT%T"]).stdout.strip()

    assert "2026-11-27T00:56:58" == hold(question())


def test_the_agents_commands_are_on_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent's commands are found on the PATH that the Hub has sent."""
    command = tmp_path / "squeue"
    command.write_text("#!/bin/sh\necho here\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    def question() -> Dialogue[str]:
        return (yield ["squeue"]).stdout

    assert "here\n" == commands.hold_dialogue(question())
