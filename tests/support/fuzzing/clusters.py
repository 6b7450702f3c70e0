"""Targets: the dialogues with each scheduler, with changed answers of real commands."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from support import OUTPUTS
from support.many_jobs import LISTINGS
from unispawner.agent.executors.base import BatchExecutor
from unispawner.errors import UniSpawnerError
from unispawner.job import JobSpec
from unispawner.legacy.job_id import NoJobId, read_id
from unispawner.schedulers import Scheduler, get_scheduler
from unispawner.schedulers.base import Dialogue, Reply, advance
from unispawner.schedulers.estimate import StartEstimate
from unispawner.schedulers.plain import decode as decode_plain
from unispawner.schedulers.plain import encode as encode_plain
from unispawner.schedulers.questions import DIALOGUES, converse, decode, encode
from unispawner.schedulers.usage import EndedJob
from unispawner.testing import read_saved_reply
from unispawner.web.start_time import StartAnswer

from .mutations import changed
from .samples import WRITTEN
from .target import Target

Answer = list[Any]
"""A command's standard output, standard error and exit status."""
Ask = Callable[[Scheduler], Dialogue[Any]]

FOLDERS = {
    "slurm": ("slurm", "slurm-clusters"),
    "gridengine": ("gridengine",),
    "htcondor": ("htcondor",),
    "pbs": ("pbs",),
    "torque": ("torque",),
    "lsf": ("openlava",),
}
"""The folders of tests/outputs with each scheduler's answers."""
SETTINGS: Mapping[str, tuple[dict[str, Any], ...]] = {
    "slurm": ({}, {"slurm_cluster": "alpha"}),
    "template": tuple({"template": name} for name in ("slurm", "torque", "lsf", "htcondor")),
}
NO_ANSWER: Answer = ["", "no answer", 1]
IDS = ("1", "2", "30", "1000", "1.pbslab", "2.torquelab", "999999")
MOST_COMMANDS = 60
"""How many commands a question may take: each of a few jobs by itself, and some more."""
_LONGEST = 12_000


@cache
def samples(scheduler: str) -> tuple[Reply, ...]:
    """Return real answers of a scheduler's commands, and some that were written by hand."""
    names = ("slurm", "torque", "lsf", "htcondor") if scheduler == "template" else (scheduler,)
    found: list[Reply] = []
    for name in names:
        for folder in FOLDERS[name]:
            found += [read_saved_reply(path) for path in sorted((OUTPUTS / folder).iterdir())]
        found += [Reply(tuple(cmd.split()), 0, text) for cmd, text in WRITTEN.get(name, ())]
        command = {"slurm": "squeue", "htcondor": "condor_q", "lsf": "bjobs"}.get(name, "qstat")
        found.append(Reply((command,), 0, LISTINGS[name](3)))
    return tuple(one for one in found if len(one.stdout) < _LONGEST)


def fitting(scheduler: str, command: Sequence[str]) -> list[Reply]:
    """Return the answers that fit a command best: those to the command with most equal words."""
    scores: defaultdict[int, list[Reply]] = defaultdict(list)
    for one in samples(scheduler):
        if one.command and command and one.command[0] == command[0]:
            scores[len(set(one.command) & set(command))].append(one)
    return [one for score in sorted(scores, reverse=True) for one in scores[score]][:12]


@st.composite
def conversations(draw: DrawFn, scheduler: str) -> dict[str, Any]:
    """Make a question, and the answers to all commands that it takes."""
    options = draw(st.sampled_from(SETTINGS.get(scheduler, ({},))))
    question = draw(st.sampled_from(sorted(QUESTIONS)))
    answers: list[Answer] = []

    def answer(command: list[str]) -> Answer:
        choices = fitting(scheduler, command)
        if not choices or draw(st.integers(0, 9)) == 9:
            choices = list(samples(scheduler))
        saved = draw(st.sampled_from(choices))
        text = saved.stdout
        if draw(st.booleans()):
            text = draw(changed(st.just(text)))
        errors, status = saved.stderr, saved.exit_status
        if draw(st.integers(0, 7)) == 7:
            errors, status = draw(changed(st.just(errors or saved.stdout))), draw(st.integers(0, 2))
        answers.append([text, errors, status])
        return answers[-1]

    try:
        talk(QUESTIONS[question](get_scheduler(scheduler, options)), answer)
    except Exception:  # the target runs it again, and reports it
        pass
    return {"scheduler": scheduler, "options": options, "question": question, "answers": answers}


def talk(dialogue: Dialogue[Any], answer: Callable[[list[str]], Answer]) -> Any:
    """Hold a dialogue, and return its result."""
    reply: Reply | None = None
    commands = 0
    try:
        while True:
            command = advance(dialogue, reply)
            commands += 1
            assert commands <= MOST_COMMANDS, f"too many commands, the last is {command}"
            stdout, stderr, status = answer(command) if commands < 12 else NO_ANSWER
            reply = Reply(tuple(command), status, stdout, stderr)
    except StopIteration as stop:
        return stop.value


def _of_hub(name: str) -> Ask:
    arguments = {"find_address": ("node1",), "query": IDS[:3], "query_tracked": IDS}
    return lambda scheduler: converse(scheduler, name, arguments.get(name, ()))


def _estimate(scheduler: Scheduler) -> Dialogue[StartEstimate]:
    command = scheduler.estimate_command(JobSpec())
    return scheduler.read_estimate((yield command)) if command else StartEstimate()


_ENDED = EndedJob("12", "alice", "0123456789abcdef", 1.5e9, 1.5e9 + 3600, 1.5e9 + 60)

QUESTIONS: Mapping[str, Ask] = {
    **{name: _of_hub(name) for name in DIALOGUES},
    "agent: status": lambda scheduler: scheduler.query(IDS[:3]),
    "agent: marks": lambda scheduler: scheduler.find_marks("alice"),
    "agent: jobs": lambda scheduler: scheduler.find_jobs("0123456789abcdef", "alice"),
    "agent: estimate": _estimate,
    "agent: usable": lambda scheduler: scheduler.usable("alice", ("users", "gpu")),
    "agent: usage": lambda scheduler: scheduler.usage(_ENDED),
}
"""What the Hub asks, and what the agent asks as the user."""


def run(value: dict[str, Any]) -> None:
    """Hold a dialogue with the answers; what the Hub asks must cross to another process."""
    scheduler = get_scheduler(value["scheduler"], value["options"])
    answers: Iterator[Answer] = iter(value["answers"])
    name = value["question"]
    result = talk(QUESTIONS[name](scheduler), lambda _: next(answers, NO_ANSWER))
    if name in DIALOGUES:
        there = json.loads(json.dumps(encode(result)))
        assert decode(name, there) is not None
    elif name == "agent: status":
        assert json.dumps({key: info.to_dict() for key, info in result.items()})
    elif name == "agent: marks":
        assert all(scheduler.job_id.fullmatch(one) for one in result.values())
    elif name in ("agent: usable", "agent: usage"):
        sent = json.loads(json.dumps(encode_plain(result)))
        assert decode_plain(type(result), sent) is not NotImplemented
    elif name == "agent: estimate":
        assert StartAnswer(result).to_dict()
    else:
        assert all(scheduler.job_id.fullmatch(one) for one in result)


# -- submission and cancellation -----------------------------------------------------------------

_SUBMITTING = ("sbatch", "qsub", "bsub", "condor_submit", "scancel", "qdel", "bkill", "condor_rm")


@st.composite
def submissions(draw: DrawFn, scheduler: str) -> dict[str, Any]:
    """Make an answer to a command that submits or cancels."""
    known = [one for one in samples(scheduler) if one.command[0] in _SUBMITTING]
    saved = draw(st.sampled_from(known or list(samples(scheduler))))
    return {
        "scheduler": scheduler,
        "stdout": draw(changed(st.just(saved.stdout))),
        "stderr": draw(changed(st.just(saved.stderr))),
        "status": draw(st.sampled_from((saved.exit_status, 0, 1, 255))),
    }


class _Reader(BatchExecutor):
    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler

    def get_submit_command(self, job: Any, submit_file_path: Any) -> list[str]:
        return []

    def get_cancel_command(self, native_id: str) -> list[str]:
        return []

    def get_status_command(self, native_ids: Any) -> list[str]:
        return []

    def get_list_command(self) -> list[str]:
        return []

    def process_cancel_command_output(self, exit_code: int, out: str) -> None:
        return None

    def parse_status_output(self, exit_code: int, out: str) -> dict[str, Any]:
        return {}


def run_submission(value: dict[str, Any]) -> None:
    """Read a job's id, and make the errors of a submission and of a cancellation."""
    scheduler = get_scheduler(value["scheduler"])
    reply = Reply(("submit",), value["status"], value["stdout"], value["stderr"])
    for error in (scheduler.submit_error(reply), scheduler.cancel_error(reply)):
        assert error is None or len(str(error)) < 10_000
    reader = _reader(value["scheduler"])(scheduler)
    job_id = reader.job_id_from_submit_output(value["stdout"])
    assert scheduler.job_id.fullmatch(job_id)


def _reader(scheduler: str) -> type[_Reader]:
    if scheduler != "lsf":
        return _Reader
    from unispawner.agent.executors.lsf import Executor

    return type("LsfReader", (_Reader,), {"read_job_id": Executor.read_job_id})


def run_legacy_id(value: list[Any]) -> None:
    """Read what a site's parse_job_id has made of an output."""
    returned, output = value
    found = read_id(returned, output)
    assert "\n" not in found.quoted


_PRINTED = [one.stdout for name in FOLDERS for one in samples(name) if len(one.stdout) < 500]

TARGETS = (
    *(
        Target(name, conversations(name), run, (UniSpawnerError,))
        for name in (*FOLDERS, "template")
    ),
    *(
        Target(f"submit-{name}", submissions(name), run_submission, (UniSpawnerError,))
        for name in FOLDERS
    ),
    Target(
        "legacy-job-id",
        st.tuples(changed(st.sampled_from(_PRINTED)), changed(st.sampled_from(_PRINTED))).map(list),
        run_legacy_id,
        (NoJobId,),
    ),
)
