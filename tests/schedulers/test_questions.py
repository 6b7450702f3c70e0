"""Questions and answers as data: what crosses to another host, and what is refused there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.dialogues import hold

from unispawner.errors import AgentError, InvalidJobError, SchedulerUnavailable
from unispawner.job import JobInfo, JobState
from unispawner.schedulers import get_scheduler, questions
from unispawner.schedulers.base import AnswerTooLarge, CommandNotFound, Reply
from unispawner.schedulers.identity import Identity
from unispawner.schedulers.questions import Notice, Question, Survey, Tracked
from unispawner.schedulers.template_dialect import read_dialect

ROWS = """7|alice|RUNNING|None|node1|debug|1|1795741018|1795741618
8|bob|PENDING|Resources|n/a|debug|1|N/A|N/A
Notice 1: maintenance on Tuesday
9|alice|odd
Notice 2: maintenance on Tuesday
"""
SLURM = get_scheduler("slurm")


def answered(name: str, *arguments: str, stdout: str = ROWS, scheduler: str = "slurm") -> Any:
    """Return the answer to a question after it was sent to and fro as JSON."""

    def run(command: list[str], environment: Mapping[str, str]) -> Reply:
        return Reply(tuple(command), 0, stdout)

    question = Question(name, arguments, scheduler)
    sent = Question.from_dict(json.loads(json.dumps(question.to_dict())))
    assert question == sent
    return questions.decode(name, json.loads(json.dumps(questions.answer(sent, run))))


def test_the_monitors_answer_has_only_what_was_asked_for() -> None:
    """The answer has the jobs that were asked for, the ids in odd lines, and a few such lines."""
    answer = answered("query_tracked", "7", "9", "77")
    assert ["7"] == list(answer.result.jobs)
    assert JobState.RUNNING is answer.result.jobs["7"].state
    assert frozenset({"9"}) == answer.result.unread
    lines = ("Notice 1: maintenance on Tuesday", "9|alice|odd")
    assert (Notice("squeue", lines),) == answer.notices


def test_the_monitors_answer_is_small_however_many_jobs_there_are() -> None:
    """Fifty thousand jobs of others, and as many odd lines, add nothing to the answer."""
    rows = [f"{n}|bob|RUNNING|None|node1|debug|1|0|0\nodd {n}" for n in range(10, 50_010)]
    few = questions.encode(answered("query_tracked", "7"))
    many = questions.encode(answered("query_tracked", "7", stdout=ROWS + "\n".join(rows)))
    assert few["result"] == many["result"]
    assert len(json.dumps(many)) < len(json.dumps(few)) + 500


def test_each_kind_of_answer_comes_back() -> None:
    """Each question's answer crosses as JSON and is of the type that the table names."""
    assert Survey(2, frozenset({"alice", "bob"})) == answered("survey").result
    few = answered("query", "7", "8").result
    assert ({"7", "8"}, True) == (set(few.jobs), few.by_id)
    assert "10.0.0.7" == answered("find_address", "n1", stdout="NodeAddr=10.0.0.7 x").result
    numbers = "_NPROCESSORS_ONLN 2\n_PHYS_PAGES 4096\nPAGESIZE 4096\n"
    (node,) = answered("inventory", stdout=numbers, scheduler="local").result.nodes
    assert (2, 2**24) == (node.cores, node.memory)
    words = "slurm-wlm 22.05.8\n7|alice|RUNNING|None|node1|debug|1|0|0\n"
    confirmed = Identity("slurm-wlm 22.05.8", confirmed=True)
    assert confirmed == answered("identify", stdout=words).result
    assert set(questions.DIALOGUES) == set(questions.RESULTS)


def test_a_command_that_is_missing_is_no_scheduler() -> None:
    """A host without the command has no such scheduler, which is an answer."""

    def run(command: list[str], environment: Mapping[str, str]) -> Reply:
        raise CommandNotFound("squeue can't be run")

    found = questions.answer(Question("identify", (), "slurm"), run)
    assert questions.decode("identify", found).result is None


def test_a_list_that_is_too_large_is_an_answer() -> None:
    """A scheduler with too many jobs to be read answers, and how many there are is not known."""

    def run(command: list[str], environment: Mapping[str, str]) -> Reply:
        if "--version" in command:
            return Reply(tuple(command), 0, "slurm-wlm 22.05.8\n")
        raise AnswerTooLarge("squeue printed more than 67108864 bytes")

    found = questions.answer(Question("identify", (), "slurm"), run)
    expected = Identity("slurm-wlm 22.05.8", confirmed=True)
    assert expected == questions.decode("identify", found).result
    found = questions.answer(Question("survey", (), "slurm"), run)
    assert Survey() == questions.decode("survey", found).result


def test_an_error_of_a_command_reaches_the_dialogue() -> None:
    """A command that fails is the answer's error, unless the dialogue goes on without it."""

    def run(command: list[str], environment: Mapping[str, str]) -> Reply:
        raise SchedulerUnavailable("squeue did not answer")

    with pytest.raises(SchedulerUnavailable, match="did not answer"):
        questions.answer(Question("query_tracked", ("7",), "slurm"), run)
    address = questions.answer(Question("find_address", ("node1",), "slurm"), run)
    assert "" == questions.decode("find_address", address).result


def test_commands_get_the_variables_of_the_settings() -> None:
    """What a scheduler's settings mean for its commands' environment goes to whoever runs them."""
    seen: list[Mapping[str, str]] = []

    def run(command: list[str], environment: Mapping[str, str]) -> Reply:
        seen.append(environment)
        raise SchedulerUnavailable("enough")

    options = {"sge_root": "/opt/sge", "sge_cell": "west"}
    with pytest.raises(SchedulerUnavailable, match="enough"):
        questions.answer(Question("survey", (), "gridengine", options), run)
    assert ("/opt/sge", "west") == (seen[0]["SGE_ROOT"], seen[0]["SGE_CELL"])


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"name": "query", "scheduler": "slurm", "arguments": "7"},
        {"name": "query", "scheduler": "slurm", "arguments": [7]},
        {"name": "query", "scheduler": "slurm", "arguments": ["7" * 256]},
        {"name": "query", "scheduler": "slurm", "arguments": ["7"] * 100_001},
        {"name": "query", "scheduler": 3, "arguments": []},
        {"name": "query", "scheduler": "slurm", "options": []},
        {"name": "__class__", "scheduler": "slurm", "arguments": []},
        {"name": ["query"], "scheduler": "slurm", "arguments": []},
    ],
)
def test_what_is_no_question_is_refused(data: object) -> None:
    """Data that is not a question raises an AgentError, and nothing is run."""
    with pytest.raises(AgentError):
        Question.from_dict(data)


def test_an_unknown_scheduler_or_setting_is_refused() -> None:
    """The scheduler and its settings are checked as those of a configuration are."""
    for question in (Question("survey", (), "evil"), Question("survey", (), "slurm", {"x": 1})):
        with pytest.raises(InvalidJobError):
            questions.answer(question, lambda command, environment: Reply((), 0, ""))


@pytest.mark.parametrize("wrong", ["--helper=/tmp/x", "-o", "7\n8", "7,8", "", "7 8", "$(id)"])
def test_arguments_that_are_no_ids_never_reach_a_command(wrong: str) -> None:
    """What does not look like a job's id becomes no word of a command; other jobs are asked for."""
    for name in ("query", "query_tracked"):
        answer, commands = hold(questions.converse(SLURM, name, ["7", wrong, "8"]), (ROWS, "", 0))
        assert ["7", "8"] == list(answer.result.jobs)
        assert [SLURM.status_command(["7", "8"] if name == "query" else None)] == commands
    answer, commands = hold(questions.converse(SLURM, "query", [wrong]))
    assert ({}, []) == (answer.result.jobs, commands)


@pytest.mark.parametrize("names", [[], ["a", "b"]])
def test_an_address_is_of_one_node(names: list[str]) -> None:
    """The question about an address takes one name."""
    with pytest.raises(AgentError, match="takes one name"):
        hold(questions.converse(SLURM, "find_address", names))


@pytest.mark.parametrize(
    "data",
    [None, [], {}, {"result": {"jobs": {"7": {"owner": 3}}}}, {"result": {}, "notices": 3}],
)
def test_an_answer_of_another_kind_says_nothing_about_any_job(data: object) -> None:
    """An answer that can't be read is a SchedulerUnavailable that says what to do."""
    with pytest.raises(SchedulerUnavailable, match="Install the same release"):
        questions.decode("query_tracked", data)


def test_an_answer_is_what_the_dialogue_returned() -> None:
    """In the same process the answer is the dialogue's own result, with its notices."""
    answer, commands = hold(questions.converse(SLURM, "query_tracked", ["8"]), (ROWS, "", 0))
    assert isinstance(answer.result, Tracked)
    assert isinstance(answer.result.jobs["8"], JobInfo)
    assert [SLURM.status_command()] == commands


@pytest.mark.parametrize("name", questions.DIALOGUES)
def test_commands_that_others_can_change(empty_folder: Path, name: str) -> None:
    """No question runs the commands of a set of templates that others can change."""
    folder = empty_folder / "set"
    shutil.copytree(read_dialect("slurm").folder, folder)
    folder.chmod(0o777)

    def run(command: list[str], environment: Mapping[str, str]) -> Reply:
        raise AssertionError(command)

    question = Question(name, ("7",), "template", {"template": str(folder)})
    with pytest.raises(InvalidJobError, match="can be changed by others"):
        questions.answer(question, run)
