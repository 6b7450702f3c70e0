"""Flux, of which no real one was at hand.

The files in tests/outputs/flux follow flux-jobs(1), flux-resource(1) and RFC 20, with values as in
answers that others have published. The rules of a directive are those of flux-core's own parser
(flux.job.directives, 0.88), with which these scripts were read.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest
from support import OUTPUTS
from support.jobs import MARK, full_job

from unispawner.errors import CancelError, InvalidJobError, SchedulerUnavailable
from unispawner.job import JobInfo, JobSpec, JobState, ResourceSpec
from unispawner.schedulers.base import Reply
from unispawner.schedulers.flux import Flux, expand_hosts, expand_ids, read_f58
from unispawner.schedulers.inventory import Inventory, Node, Queue
from unispawner.script.rendering import render_script
from unispawner.testing import read_saved_reply

FLUX = Flux()
SCRIPT = """\
#!/bin/bash -l
# flux: --job-name="my job unispawner:0123456789abcdef"
# flux: --output=/home/ada/.unispawner/logs/0123456789abcdef.log
# flux: --nslots=6
# flux: --cores-per-slot=4
# flux: --gpus-per-slot=2
# flux: --nodes=2
# flux: --exclusive
# flux: --requires="a100&ib"
# flux: --time-limit=5400s
# flux: --queue=batch
# flux: --bank=ml
# flux: --setattr="user.note=two words"
# flux: --unbuffered
"""
# All of flux-batch(1): --nslots, --cores-per-slot, --gpus-per-slot, --nodes and --exclusive are its
# JOB PARAMETERS; --requires CONSTRAINTS; --time-limit takes a Flux standard duration (RFC 23).


def saved(name: str) -> Reply:
    return read_saved_reply(OUTPUTS / "flux" / name)


def read_words(line: str) -> list[str]:
    """Return the words of a directive as flux batch reads it."""
    lexer = shlex.shlex(line.removeprefix("# flux: "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.escapedquotes = "\"'"
    assert not re.search("[\"']{3}", line), "a text of several lines would begin"
    return list(lexer)


def test_a_job_that_asks_for_everything() -> None:
    """Each request of a job becomes a directive of flux batch, in front of the script."""
    spec = JobSpec(
        name="my job",
        executable="python3",
        stdout_path=f"/home/ada/.unispawner/logs/{MARK}.log",
        duration=timedelta(minutes=90),
        queue_name="batch",
        account="ml",
        mark=MARK,
        resources=ResourceSpec(
            node_count=2,
            process_count=6,
            cpu_cores_per_process=4,
            gpu_cores_per_process=2,
            exclusive_node_use=True,
            constraint="a100&ib",
        ),
        custom_attributes={"flux.setattr": ["user.note=two words"], "flux.unbuffered": True},
    )
    FLUX.check_supported(spec)
    assert SCRIPT == render_script(spec, FLUX).partition("\n\n")[0] + "\n"


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "two words",
        'a "b"',
        "it's",
        "back\\slash",
        "'''",
        '"""',
        "#x",
        "$(id)",
        "ünï",
        "a&b|!c",
    ],
)
def test_flux_reads_what_was_written(text: str) -> None:
    """The parser of flux batch gets each value back as it was."""
    spec = JobSpec(account=text, custom_attributes={"flux.B": text})
    lines = [line for line in FLUX.directives(spec) if re.search(r"--bank|-B ", line)]
    assert [[f"--bank={text}"], ["-B", text]] == [read_words(line) for line in lines]


def test_quotes_that_no_directive_has_are_refused() -> None:
    """Three quotes in a row would swallow the lines that follow; a name loses its quotes."""
    text = "a'''\"\"\"b"
    with pytest.raises(InvalidJobError, match=r"^account: .*quotes"):
        FLUX.directives(JobSpec(account=text))
    assert ["--job-name=a______b"] == read_words(FLUX.directives(JobSpec(name=text))[0])


def test_memory_is_refused() -> None:
    """Flux gives no memory to jobs, and the error says what it gives."""
    with pytest.raises(InvalidJobError, match="^memory: Flux .*cores and whole nodes"):
        FLUX.check_supported(full_job(reservation_id="", qos="", custom_attributes={}))


def test_active_jobs() -> None:
    """The list has pending, held and running jobs; a limit that is "never" is none."""
    jobs = FLUX.read_status(saved("jobs-all"))
    assert 7 == len(jobs)
    expected = JobInfo(
        "alice",
        JobState.RUNNING,
        exec_host="node3",
        start_time=1791485339.3808882,
        estimated_end=1791488939.0,
        native_state="RUN",
    )
    assert expected == jobs["91088924704768"]
    waiting = jobs["91150983626752"]
    assert (JobState.QUEUED, 1791486000.0) == (waiting.state, waiting.estimated_start)
    assert JobState.HELD is jobs["91093387444224"].state
    assert "the job waits for another job" == jobs["91091000000000"].message
    assert jobs["91087000000000"].estimated_end is None
    ending = jobs["91086000000000"]
    assert (JobState.RUNNING, True, "node06") == (ending.state, ending.ending, ending.exec_host)


def test_ended_jobs() -> None:
    """A job that has ended has its result and its exit code; -128 means that it never ran."""
    jobs = FLUX.read_status(saved("jobs-by-id"))
    found = [(info.state.value, info.exit_code) for info in jobs.values()]
    expected: list[tuple[str, int | None]] = [
        ("COMPLETED", 0),
        ("FAILED", 3),
        ("CANCELED", 143),
        ("FAILED", 142),
        ("CANCELED", None),
    ]
    assert expected == found
    late = jobs["91083000000000"]
    assert ("the job reached its time limit", "time_limit") == (late.message, FLUX.find_cause(late))


def test_unknown_jobs() -> None:
    """A job that Flux does not know is missing, and hides no other."""
    assert {"91088924704768"} == set(FLUX.read_status(saved("jobs-one-unknown")))
    assert {} == FLUX.read_status(saved("jobs-unknown"))
    assert {} == FLUX.read_status(saved("jobs-none"))


@pytest.mark.parametrize(
    "reply",
    [
        saved("jobs-no-broker"),
        Reply(("flux",), 0, ""),
        Reply(("flux",), 1, "", ""),
        Reply(("flux",), 1, "", "JobID 1 unknown\nrpc: Function not implemented"),
    ],
)
def test_no_answer(reply: Reply) -> None:
    """Without a broker, and without the heading of a list, nothing is said about any job."""
    with pytest.raises(SchedulerUnavailable):
        FLUX.read_status(reply)


def hold(
    dialogue: Generator[list[str], Reply, Any], *replies: Reply
) -> tuple[Any, list[list[str]]]:
    commands = [next(dialogue)]
    for reply in replies:
        try:
            commands.append(dialogue.send(reply))
        except StopIteration as done:
            return done.value, commands
    raise AssertionError("the dialogue has not ended")


def test_ended_jobs_are_asked_for_by_id() -> None:
    """The list has active jobs only, so a tracked job that it lacks is asked for by its id."""
    dialogue = FLUX.query_tracked(["91088924704768", "91080000000000", "999999"])
    jobs, commands = hold(dialogue, saved("jobs-all"), saved("jobs-by-id"))
    assert ["91080000000000", "999999"] == commands[1][-2:]
    assert {"91088924704768", "91080000000000"} <= set(jobs)
    assert "999999" not in jobs


def test_cancelling() -> None:
    """A job that is unknown has ended; Flux's refusal is an error with its words."""
    assert FLUX.cancel_error(saved("cancel-unknown")) is None
    denied = Reply(("flux", "cancel"), 1, "", "flux-cancel: ERROR: ƒ1: Operation not permitted")
    assert isinstance(FLUX.cancel_error(denied), CancelError)
    away = Reply(("flux", "cancel"), 1, "", saved("jobs-no-broker").stderr)
    assert isinstance(FLUX.cancel_error(away), SchedulerUnavailable)


def test_the_inventory() -> None:
    """Hosts, cores, GPUs and queues come from the resource set; queues are properties there."""
    replies = [saved(name) for name in ("resource-R-all", "resource-R-free", "queue-list")]
    inventory, _ = hold(FLUX.inventory(), *replies)
    batch = frozenset({"batch"})
    expected = Inventory(
        (Queue("batch"), Queue("debug")),
        (
            Node(
                "login1",
                cores=4,
                idle_cores=4,
                gpus=0,
                idle_gpus=0,
                queues=frozenset({"debug"}),
                features=frozenset(),
            ),
            Node(
                "node01",
                cores=8,
                idle_cores=4,
                gpus=2,
                idle_gpus=1,
                queues=batch,
                features=frozenset(),
            ),
            Node(
                "node02",
                cores=8,
                idle_cores=0,
                gpus=2,
                idle_gpus=0,
                queues=batch,
                features=frozenset({"a100"}),
            ),
        ),
    )
    assert expected == inventory


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"execution": {}}', '{"execution": {"R_lite": [{"rank": "9-1"}]}}']
)
def test_a_bad_resource_set_is_no_answer(text: str) -> None:
    """What is not a resource set raises."""
    with pytest.raises(SchedulerUnavailable, match="could not be read"):
        hold(FLUX.inventory(), Reply(("flux",), 0, text), Reply(("flux",), 1, ""), saved("version"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("node5", ["node5"]),
        ("node[3-4,7]", ["node3", "node4", "node7"]),
        ("n[08-10]-ib,login", ["n08-ib", "n09-ib", "n10-ib", "login"]),
        ("node[x-y]", ["node", "x-y"]),
    ],
)
def test_host_lists(text: str, expected: list[str]) -> None:
    """A host list (RFC 29) is expanded in its order, with leading zeros."""
    assert expected == list(expand_hosts(text))


def test_id_sets() -> None:
    """An idset (RFC 22) is expanded, with or without brackets."""
    assert [0, 1, 2, 7] == expand_ids("0-2,7") == expand_ids("[0-2,7]")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ƒiFkbMhFM", "91088924704768"),
        ("fiFsPiQD5", "91093387444224"),
        ("91088924704768", "91088924704768"),
        ("not-a-job", ""),
        ("ƒ0OIl", ""),
        ("١٢٣", ""),
        ("", ""),
    ],
)
def test_ids_in_base_58(text: str, expected: str) -> None:
    """An id as flux batch prints it (RFC 19) becomes the number that all commands take."""
    assert expected == read_f58(text)


def test_the_version_identifies_it() -> None:
    """The answer of `flux version` has the line by which "auto" knows Flux."""
    assert re.search(FLUX.identity, saved("version").stdout, re.MULTILINE)
