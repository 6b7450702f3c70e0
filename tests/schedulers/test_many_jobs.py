"""Answers with fifty thousand jobs or nodes: the work of reading them grows as the answers do.

The calls of functions are counted, in Python and in C. A call that takes ever longer is found by
its processor time, of which an answer with ten times as many rows may take 25 times as much. Real
time does not count, so that a busy machine changes nothing.
"""

from __future__ import annotations

import cProfile
import signal
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest
from support.attacks import HEAVY_LIST
from support.dialogues import Answer, hold
from support.growth import assert_linear
from support.many_jobs import LISTINGS, first_id
from support.many_nodes import CLUSTERS

from unispawner.schedulers import get_scheduler
from unispawner.schedulers.base import END, Meaning, Reply, meaningful_parts
from unispawner.schedulers.inventory import Inventory
from unispawner.schedulers.questions import converse
from unispawner.schedulers.reading import find_mentioned

MANY = 50_000
MOST_SECONDS = 60.0
"""How much processor time a test may take: twenty times as much as the slowest needs."""
CALLS = {
    "slurm": 80,
    "gridengine": 60,
    "torque": 260,
    "pbs": 260,
    "htcondor": 110,
    "lsf": 300,
    "lsf columns": 70,
}
"""How many calls the reading of one job may take, about a half more than it takes now."""
MORE = {"htcondor": [("[]", "", 0)], "lsf columns": []}
"""The answers to further commands of the question."""


@pytest.fixture(autouse=True)
def limited() -> Iterator[None]:
    """End a test that takes far too much processor time."""

    def give_up(*_: object) -> NoReturn:
        pytest.fail(f"more than {MOST_SECONDS} s of processor time")

    before = signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, MOST_SECONDS)
    yield
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.signal(signal.SIGVTALRM, before)


def count_calls(work: Callable[[], Any]) -> tuple[int, Any]:
    """Return how many functions were called, and what the work returned."""
    profile = cProfile.Profile()
    result = profile.runcall(work)
    return sum(entry.callcount for entry in profile.getstats()), result


def read(name: str, count: int) -> tuple[int, Any]:
    """Answer the monitor's question with so many jobs; return the calls, and the answer."""
    listing = LISTINGS[name](count)
    scheduler, ids = get_scheduler(name.split()[0]), [first_id(name), "999999"]
    refusal: list[Answer] = [("", "bad option -json", 255)] if name == "lsf columns" else []
    answers: list[Answer] = [*refusal, (listing, "", 0), *MORE.get(name, [])]
    dialogue = converse(scheduler, "query_tracked", ids)
    return count_calls(lambda: hold(dialogue, *answers)[0])


@pytest.mark.threat(**HEAVY_LIST)
@pytest.mark.parametrize("name", sorted(LISTINGS))
def test_fifty_thousand_jobs(name: str) -> None:
    """Each job takes a bounded number of operations, and as many in a long list as in a short. No
    call takes ever longer, in C as well."""
    (few, _), (many, answer) = assert_linear(
        lambda: read(name, MANY // 10), lambda: read(name, MANY)
    )
    assert [first_id(name)] == list(answer.result.jobs)
    assert many / MANY < CALLS[name]
    assert many < few * 10.5


@pytest.mark.parametrize("name", sorted(CLUSTERS))
def test_fifty_thousand_nodes(name: str) -> None:
    """Ten times as many nodes take about ten times as much processor time, in C as well."""
    scheduler = get_scheduler(name)
    few, many = CLUSTERS[name](MANY // 10), CLUSTERS[name](MANY)

    def read(texts: list[str]) -> Inventory:
        answers: list[Answer] = [(text, "", 0) for text in texts]
        found: Inventory = hold(converse(scheduler, "inventory"), *answers)[0].result
        return found

    _, found = assert_linear(lambda: read(few), lambda: read(many))
    nodes = MANY // 2 if name == "htcondor" else MANY
    assert (nodes, True) == (len(found.nodes), found.totals().cores > 0)
    assert found.limits(found.queues[0].name if found.queues else "")


@pytest.mark.parametrize("name", sorted(LISTINGS))
def test_the_count_of_a_survey(name: str) -> None:
    """All jobs of a listing are read, and their owners are a hundred accounts."""
    refusal: list[Answer] = [("", "bad option -json", 255)] if name == "lsf columns" else []
    answers: list[Answer] = [*refusal, (LISTINGS[name](1000), "", 0), *MORE.get(name, [])]
    scheduler = get_scheduler(name.split()[0])
    seen = hold(converse(scheduler, "survey"), *answers)[0].result
    assert {f"user{number}" for number in range(100)} == seen.owners
    # With and without the server's name.
    assert seen.jobs == (2000 if name == "torque" else 1000)


def test_fifty_thousand_lines_that_cannot_be_read() -> None:
    """The ids in odd lines are found in one pass over them, however many ids there are."""
    lines = [f"{number}|odd" for number in range(MANY)]
    ids = [str(number) for number in range(10_000)]
    calls, found = count_calls(lambda: find_mentioned(lines, ids))
    assert set(ids) == found
    assert calls < 8 * MANY


@pytest.mark.threat(
    who="user",
    tries="They get megabytes into what a scheduler's command prints, to be searched for errors.",
    stopped_by="Errors are searched in a few kilobytes, and only where a command has failed.",
)
@pytest.mark.parametrize("name", ["slurm", "lsf", "torque", "gridengine", "htcondor", "pbs"])
def test_an_error_is_searched_in_a_few_kilobytes(name: str) -> None:
    """What a failed command means is read from the ends of what it printed."""
    scheduler = get_scheduler(name)
    words = "Connection refused: can't connect, failed to connect: unable to contact, timed out"
    long = "x" * 10**7
    for reply in (
        Reply(("c",), 1, long, words),
        Reply(("c",), 1, f"{long}\n{words}"),
        Reply(("c",), 1, "", f"{words}\n{long}"),
    ):
        assert max(map(len, meaningful_parts(reply))) < 5 * END
        assert Meaning.UNAVAILABLE is scheduler.meaning(reply)


def test_the_words_of_a_good_answer_mean_nothing() -> None:
    """On standard output of a command that succeeded there may be the words of users."""
    answer = Reply(("bjobs",), 0, "7 alice RUN Please wait, LSF is down")
    assert Meaning.REFUSED is get_scheduler("lsf").meaning(answer)
