"""The process that answers a question about a scheduler."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from unispawner.schedulers import questions
from unispawner.schedulers.questions import Question

ROW = "7|alice|RUNNING|None|node1|debug|1|1795741018|1795741618"


def ask(text: bytes, path: Path) -> Any:
    """Return the reply of the process, whose commands are in that folder."""
    done = subprocess.run(
        [sys.executable, "-I", "-m", "unispawner.agent.questions"],
        input=text,
        capture_output=True,
        env={"PATH": str(path), "SITE": "ours"},
        check=True,
    )
    return json.loads(done.stdout)


@pytest.fixture
def squeue(tmp_path: Path) -> Path:
    """Return a folder with a squeue that prints a job, its environment and noise."""
    command = tmp_path / "squeue"
    command.write_text(f"#!/bin/sh\necho '{ROW}'\necho \"odd $SITE $SLURM_TIME_FORMAT $TZ\"\n")
    command.chmod(0o755)
    return tmp_path


def test_a_question_is_answered_in_the_environment_of_the_process(squeue: Path) -> None:
    """The process makes the command itself; it runs with the variables of every question."""
    question = Question("query_tracked", ("7",), "slurm")
    reply = ask(json.dumps(question.to_dict()).encode(), squeue)
    answer = questions.decode(question.name, reply["result"])
    assert 1 == reply["version"]
    assert "node1" == answer.result.jobs["7"].exec_host
    assert ("odd ours %s UTC0",) == answer.notices[0].lines


@pytest.mark.parametrize("text", [b"", b"\xff", b"[" * 100_000, b"{}", b'{"name": "query"}'])
def test_what_is_no_question_is_an_error_of_the_reply(text: bytes, tmp_path: Path) -> None:
    """Garbage gets a reply with an error that says so."""
    assert "AgentError" == ask(text, tmp_path)["error"]["type"]


def test_a_scheduler_that_is_not_there_is_an_error_of_the_reply(tmp_path: Path) -> None:
    """The error of a command crosses with its words."""
    question = Question("survey", (), "gridengine")
    error = ask(json.dumps(question.to_dict()).encode(), tmp_path)["error"]
    assert ("AgentError", "qstat can't be run") == (error["type"], error["message"][:18])


@pytest.mark.parametrize(
    ("host", "addresses"), [("localhost", {"127.0.0.1", "::1"}), ("no-such-host.invalid", {""})]
)
def test_an_address_that_only_the_name_service_here_knows(
    host: str, addresses: set[str], tmp_path: Path
) -> None:
    """A scheduler without addresses of its own leaves a node's name to this host's name service: a
    Hub on another host may not be able to resolve it."""
    question = Question("find_address", (host,), "gridengine")
    assert ask(json.dumps(question.to_dict()).encode(), tmp_path)["result"]["result"] in addresses
