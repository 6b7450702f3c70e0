"""The errors: the data they carry, their tree in the docstring, and forged errors."""

import json
import re
from typing import Any

import pytest

from unispawner import errors
from unispawner.errors import (
    AgentError,
    SubmitError,
    UniSpawnerError,
    clean_output,
    error_from_dict,
)
from unispawner.schedulers.base import CommandNotFound


def tree(cls: type[UniSpawnerError] = UniSpawnerError) -> list[type[UniSpawnerError]]:
    # Subclasses of other modules, which other tests may have imported, never cross the boundary.
    own = [sub for sub in cls.__subclasses__() if sub.__module__ == errors.__name__]
    return [cls, *(each for sub in own for each in tree(sub))]


@pytest.mark.parametrize("cls", tree(), ids=lambda cls: cls.__name__)
def test_every_error_crosses_the_boundary(cls: type[UniSpawnerError]) -> None:
    """An error keeps its type and its data on the way through JSON."""
    sent = cls("It failed.", command=("sbatch", "-p x"), exit_status=1, output=" why \n")
    got = error_from_dict(json.loads(json.dumps(sent.to_dict())))
    assert cls is type(got)
    assert sent.to_dict() == got.to_dict()
    assert ("sbatch", "-p x") == got.command
    assert (1, "why") == (got.exit_status, got.output)


def test_a_subclass_of_another_module_crosses_as_what_it_is() -> None:
    """A dialogue's own errors cross the boundary as the error that they are a kind of."""
    assert "AgentError" == CommandNotFound("squeue can't be run").to_dict()["type"]


def test_the_tree_is_drawn_at_the_top() -> None:
    """The tree in the module's docstring has a line for each error, in the order of the classes."""
    assert errors.__doc__
    drawn = re.findall(r"^(?: [├└]── )?(\w+Error|SchedulerUnavailable) ", errors.__doc__, re.M)
    assert [cls.__name__ for cls in tree()] == drawn


@pytest.mark.parametrize("cls", tree()[1:], ids=lambda cls: cls.__name__)
def test_each_docstring_says_where_an_error_comes_from(cls: type[UniSpawnerError]) -> None:
    """The docstring of each error names the parts of the package that raise it."""
    assert "Raised " in (cls.__doc__ or "")


def test_text_is_message_and_output() -> None:
    """The text of an error is its message and then its output, unless the message contains it."""
    assert "a\nb" == str(SubmitError("a", output="b"))
    assert "a: b" == str(SubmitError("a: b", output="b"))
    assert "a" == str(SubmitError("a"))


def test_the_end_of_long_output_is_kept() -> None:
    """Output that is too long loses its beginning, because the reason stands at its end."""
    error = SubmitError("a", output="x" * 10_000 + "the reason")
    assert errors.OUTPUT_LIMIT == len(error.output)
    assert error.output.endswith("the reason")


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"type": "KeyboardInterrupt", "message": "m"},
        {"type": ["SubmitError"], "message": {"a": 1}, "command": "rm -rf", "exit_status": "0"},
        {"type": None, "message": None, "command": None, "exit_status": None, "output": None},
        {"type": {}, "message": [], "command": {"a": 1}, "exit_status": [], "output": [1]},
        {"message": "m" * 10**6, "output": "o" * 10**6, "command": ["c" * 10**6] * 1000},
    ],
)
def test_forged_errors_are_tamed(data: dict[str, Any]) -> None:
    """A forged error becomes an AgentError whose values have the right types and lengths."""
    error = error_from_dict(data)
    assert AgentError is type(error)
    assert 0 < len(error.message) <= errors.OUTPUT_LIMIT
    assert len(error.output) <= errors.OUTPUT_LIMIT
    assert sum(len(word) for word in error.command) <= 50 * 500
    assert error.exit_status is None
    assert all(isinstance(word, str) for word in error.command)


@pytest.mark.threat(
    who="user",
    tries="They write escape sequences and false lines into what a command prints, for the log.",
    stopped_by="Control characters in the output of a command are replaced before it is kept.",
)
def test_a_commands_output_moves_no_cursor() -> None:
    """An error keeps its command's output without control characters, in its text as well."""
    error = AgentError("It failed.", output="a\x1b[2J\rWARN\u2028x\x9b1m\nb")
    assert "a\ufffd[2J\ufffdWARN\ufffdx\ufffd1m\nb" == error.output
    assert all(one.isprintable() or one == "\n" for one in str(error))


def test_lines_of_a_terminal() -> None:
    """A line that ends as on a terminal, like ssh's own, ends without a strange character."""
    assert 3 * "\N{REPLACEMENT CHARACTER}" == clean_output("\u202a\u202e\u2066")
    assert "one\ntwo\N{REPLACEMENT CHARACTER}three" == clean_output("one\r\ntwo\rthree\r\n")
