"""What every scheduler promises: a new scheduler is tested here without another line of code.

The checks themselves are public, in ``unispawner.testing.conformance``: sites run them, too. Here
they are run for every scheduler that unispawner knows, on saved output of real ones.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import OUTPUTS

from unispawner.errors import InvalidJobError, SchedulerUnavailable
from unispawner.job import JobInfo, JobState
from unispawner.schedulers import NAMES, get_scheduler
from unispawner.schedulers import template_dialect as dialect
from unispawner.schedulers.base import Reply, Scheduler
from unispawner.testing import FakeScheduler, read_saved_reply
from unispawner.testing.conformance.samples import LISTINGS, MARK, Nothing, ShowMarks, show_lines
from unispawner.testing.conformance.test_dialect import *  # noqa: F403 (each check is run here)

EVERY = [name for name in NAMES if name != "template"]
"""Those that are one scheduler each. The other is as many as there are sets of templates."""
SETS = [f"template {name}" for name in dialect.NAMES]

SAVED = {
    "flux": "flux/jobs-all",
    "gridengine": "gridengine/qstat-xml-states",
    "htcondor": "htcondor/condor_q-states",
    "lsf": "openlava/bjobs-a-w-all-users",
    "pbs": "pbs/qstat-f-json-all",
    "slurm": "slurm/squeue-bulk",
    "torque": "torque/qstat-x-all",
    "template gridengine": "gridengine/qstat-xml-states",
    "template torque": "torque/qstat-x-all",
}
"""A real answer about the jobs of all users, by the scheduler that reads it; that of Flux is made
from its manual page."""
LISTS = {
    "template slurm": "11 alice RUNNING node1\n12 bob PENDING n/a\n",
    "template htcondor": "11 alice 2 slot1@node1\n12 bob 1 undefined\n",
    "template lsf": "11 alice RUN node1\n12 bob PEND -\n",
    "template pbs": "Job Id: 11.lab|Job_Owner=alice@lab|job_state=R|exec_host=node1/0\n",
}
ODD_ROWS = {
    "flux": "4711|alice|RUN|16|node",
    "slurm": "4711|ali",
    "lsf": "4711 alice",
    "template slurm": "4711",
    "template htcondor": "undefined 4711",
    "template lsf": "- 4711",
}
"""A row that can't be read, in formats with a row for each job."""


def whole_answer(name: str) -> str:
    saved = SAVED.get(name)
    return LISTS[name] if saved is None else read_saved_reply(OUTPUTS / saved).stdout


def scheduler_of(name: str) -> Scheduler:
    kind, _, template = name.partition(" ")
    return get_scheduler(kind, {"template": template} if template else {})


@pytest.fixture(params=[*EVERY, *SETS, "fake"])
def which(request: pytest.FixtureRequest) -> str:
    """Give the name of each scheduler, each set of templates, and the fake scheduler."""
    return str(request.param)


@pytest.fixture
def scheduler(which: str, tmp_path: Path) -> Scheduler:
    return FakeScheduler(tmp_path) if which == "fake" else scheduler_of(which)


@pytest.fixture
def list_answer(which: str) -> str:
    """Give a real answer about the jobs of all users; empty for those that have none."""
    return whole_answer(which) if which in (*SAVED, *LISTS) else ""


@pytest.fixture
def odd_row(which: str) -> str:
    return ODD_ROWS.get(which, "")


@pytest.fixture
def logs_notices(which: str) -> bool:
    return which not in ("template gridengine", "template torque", "template pbs")


@pytest.fixture
def quotes_answers(which: str) -> bool:
    return which in (*SAVED, *LISTS)


@pytest.fixture
def saved_replies(which: str) -> list[Reply]:
    """Give the saved answers of a scheduler; those of LSF and the sets have their own tests."""
    folder = OUTPUTS / which
    return [read_saved_reply(path) for path in sorted(folder.iterdir())] if folder.exists() else []


@pytest.fixture
def reported_elsewhere(which: str, saved_replies: list[Reply]) -> set[str]:
    """Give the fields of JobInfo that a scheduler reports and that its saved list has not: from
    another command, or in jobs of the manuals, which test_pbs.py and test_torque.py have."""
    if which == "gridengine":
        from unispawner.schedulers.gridengine_jobs import read_accounting

        ended = [read_accounting(r.stdout) for r in saved_replies if "qacct" in r.command]
        return {"exit_code"} if any(info and info.exit_code for info in ended) else set()
    return {"pbs": {"estimated_start", "exit_code"}, "torque": {"exit_code"}}.get(which, set())


@pytest.fixture
def show_marks(scheduler: Scheduler) -> ShowMarks:
    return LISTINGS.get(scheduler.name, show_lines)


@pytest.fixture(autouse=True)
def nothing_to_check(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Nothing:
    """Count the test for its scheduler; the function takes it out of the count of those that had
    something to check. tests/conftest.py prints both numbers."""
    callspec = getattr(request.node, "callspec", None)
    params = callspec.params if callspec else {}
    name = str(params.get("which") or params.get("name") or "all").partition(" ")[0]
    record_property("contract", name)
    return lambda: record_property("contract: nothing to check", name)


@pytest.mark.parametrize("name", NAMES)
def test_a_scheduler_is_found_by_its_name(name: str) -> None:
    """The name in the configuration, the module's name and the scheduler's own name are the
    same.
    """
    assert name == get_scheduler(name).name
    assert f"unispawner.schedulers.{name}" == type(get_scheduler(name)).__module__


def test_an_unknown_name_is_an_error_with_the_known_ones() -> None:
    """The error for an unknown name lists the known names."""
    with pytest.raises(InvalidJobError, match=", ".join(NAMES)):
        get_scheduler("slurmm")
    with pytest.raises(InvalidJobError):
        get_scheduler("../job")


@pytest.mark.parametrize("name", NAMES)
def test_importing_a_scheduler_is_cheap(name: str) -> None:
    """A scheduler imports only the standard library and unispawner's value types."""
    code = (
        "import sys; before = set(sys.modules)\n"
        f"import unispawner.schedulers as s; s.get_scheduler({name!r})\n"
        "new = {m for m in set(sys.modules) - before}\n"
        "ours = sorted(m for m in new if m.startswith('unispawner'))\n"
        "others = {m.partition('.')[0] for m in new} - sys.stdlib_module_names - {'unispawner'}\n"
        "print(sorted(others), *ours)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    others, _, ours = done.stdout.strip().partition(" ")
    assert "[]" == others, done.stderr
    assert f"unispawner.schedulers.{name}" in ours.split()
    # If a scheduler needs several modules, their names begin with its own.
    family = {"torque": "pbs", "template": "dialect"}.get(name, name)
    own = {
        one
        for one in ours.split()
        if f"{one}_".startswith(
            (f"unispawner.schedulers.{name}", f"unispawner.schedulers.{family}_")
        )
    }
    assert set(ours.split()) - own <= {
        "unispawner",
        "unispawner._version",
        "unispawner.errors",
        "unispawner.job",
        "unispawner.units",
        "unispawner.schedulers",
        "unispawner.schedulers.base",
        "unispawner.schedulers.constraints",
        "unispawner.schedulers.estimate",
        "unispawner.schedulers.inventory",
        "unispawner.schedulers.reading",
        "unispawner.schedulers.usable",
        "unispawner.schedulers.usage",
        "unispawner.reasons",
        "unispawner.texts",
    }


def test_the_fake_reads_what_it_writes(tmp_path: Path) -> None:
    """FakeScheduler's status command is a real process that prints its queue."""
    fake = FakeScheduler(tmp_path)
    job_id = fake.submit("alice", MARK)
    fake.change(job_id, JobState.RUNNING, exec_host="node1")

    def ask(command: list[str]) -> Reply:
        done = subprocess.run(command, capture_output=True, text=True)
        return Reply(tuple(command), done.returncode, done.stdout, done.stderr)

    expected = JobInfo("alice", JobState.RUNNING, exec_host="node1", native_state="RUNNING")
    assert {job_id: expected} == fake.read_status(ask(fake.status_command()))
    assert {MARK: job_id} == fake.read_marks(ask(fake.mark_command()))
    fake.answer(stderr="fake does not answer", exit_status=3)
    with pytest.raises(SchedulerUnavailable, match="does not answer"):
        fake.read_status(ask(fake.status_command()))
    fake.recover()
    fake.forget(job_id)
    assert {} == fake.read_status(ask(fake.status_command()))
