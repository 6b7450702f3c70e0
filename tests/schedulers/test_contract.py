"""What every scheduler promises: a new scheduler is tested here without another line of code."""

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support import OUTPUTS

from unispawner.errors import CancelError, InvalidJobError, SchedulerUnavailable, SubmitError
from unispawner.job import JobInfo, JobSpec, JobState, ResourceSpec, make_mark
from unispawner.schedulers import NAMES, get_scheduler
from unispawner.schedulers import template_dialect as dialect
from unispawner.schedulers.base import ALL_FIELDS, Meaning, Reply, Scheduler
from unispawner.schedulers.reading import find_mentioned
from unispawner.script.rendering import render_script
from unispawner.testing import FakeScheduler, read_saved_reply

MARK = "0123456789abcdef"
ASKED = {
    "node_count": ResourceSpec(node_count=2),
    "process_count": ResourceSpec(process_count=2),
    "processes_per_node": ResourceSpec(processes_per_node=2),
    "cpu_cores_per_process": ResourceSpec(cpu_cores_per_process=2),
    "gpu_cores_per_process": ResourceSpec(gpu_cores_per_process=2),
    "memory": ResourceSpec(memory=2**30),
    "exclusive_node_use": ResourceSpec(exclusive_node_use=True),
    "gpu_type": ResourceSpec(gpu_cores_per_process=1, gpu_type="a100"),
    "constraint": ResourceSpec(constraint="fast"),
}


Nothing = Callable[[], None]
"""To be called by a test that finds nothing to check; see `nothing_to_check`."""

EVERY = [name for name in NAMES if name != "template"]
"""Those that are one scheduler each. The other is as many as there are sets of templates."""
SETS = [f"template {name}" for name in dialect.NAMES]


@pytest.fixture(params=[*EVERY, *SETS, "fake"])
def scheduler(request: pytest.FixtureRequest, tmp_path: Path) -> Scheduler:
    name, _, template = request.param.partition(" ")
    if name == "fake":
        return FakeScheduler(tmp_path)
    return get_scheduler(name, {"template": template} if template else {})


@pytest.fixture(autouse=True)
def nothing_to_check(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Nothing:
    """Count the test for its scheduler; the function takes it out of the count of those that had
    something to check. tests/conftest.py prints both numbers."""
    callspec = getattr(request.node, "callspec", None)
    params = callspec.params if callspec else {}
    name = str(params.get("scheduler") or params.get("name") or "all").partition(" ")[0]
    record_property("contract", name)
    return lambda: record_property("contract: nothing to check", name)


def written(scheduler: Scheduler, spec: JobSpec) -> list[str]:
    """Return the directives of a job; a set of templates has them in its own script."""
    if scheduler.dialect is None:
        return scheduler.directives(spec)
    lines = render_script(spec, scheduler).splitlines()
    return [line for line in lines if line.startswith(scheduler.dialect.directive)]


def complete(scheduler: Scheduler, spec: JobSpec) -> JobSpec:
    """Return a job with what the scheduler can't do without; only one of the sets has such
    fields.
    """
    if scheduler.dialect is None or not scheduler.dialect.needs:
        return spec
    assert ("memory", "runtime") == scheduler.dialect.needs
    resources = replace(spec.resources, memory=spec.resources.memory or 2**20)
    return replace(spec, resources=resources, duration=spec.duration or timedelta(minutes=1))


def reply(stdout: str = "", stderr: str = "", status: int = 0) -> Reply:
    return Reply(("query",), status, stdout, stderr)


def spec_for(field: str) -> JobSpec:
    if field in ASKED:
        return JobSpec(resources=ASKED[field])
    if field == "duration":
        return JobSpec(duration=timedelta(hours=1))
    text: Any = "something"
    return JobSpec(**{field: text})


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


def test_tables_are_complete(scheduler: Scheduler) -> None:
    """A scheduler defines everything that the base class requires, with the right types."""
    assert not inspect.isabstract(scheduler)
    assert re.fullmatch(r"[a-z_]+", scheduler.name)
    assert scheduler.title
    assert all(isinstance(command, str) for command in scheduler.commands)
    assert scheduler.needed_commands() or scheduler.name == "local"
    assert scheduler.supported() <= ALL_FIELDS
    assert set(scheduler.needed_commands()) >= set(scheduler.commands)
    assert isinstance(scheduler.loopback, bool)
    assert scheduler.errors
    for pattern, meaning in scheduler.errors:
        re.compile(pattern)
        assert isinstance(meaning, Meaning)


def test_states_are_ours(scheduler: Scheduler) -> None:
    """A scheduler's words mean states other than UNKNOWN; some mean running, some final ones."""
    states = set(scheduler.states.values())
    assert states <= set(JobState) - {JobState.UNKNOWN}
    assert JobState.RUNNING in states
    assert any(state.final for state in states)


def test_a_new_state_is_unknown(scheduler: Scheduler) -> None:
    """A word that a later release adds means UNKNOWN, so that no server is lost."""
    assert JobState.UNKNOWN is scheduler.state("BRAND_NEW_STATE")
    assert not scheduler.state("BRAND_NEW_STATE").final


NO_JOB_IDS = (
    *("", " ", "1 2", "-f", "--me", "1\n2", "1\n", "\n1", "1;id", "1,2"),
    *("$1", "`1`", "*", "1|2"),
)


def test_no_job_id(scheduler: Scheduler) -> None:
    """Text that isn't the id of one job never reaches a command."""
    assert [] == [text for text in NO_JOB_IDS if scheduler.job_id.fullmatch(text)]


def test_job_ids_are_bounded_and_ascii(scheduler: Scheduler) -> None:
    """A job id from the user's side has a limited length and ASCII only: it goes into commands."""
    assert not scheduler.job_id.fullmatch("1" * 300)
    assert not scheduler.job_id.fullmatch("١٢٣")


def test_status_commands_are_argument_lists(scheduler: Scheduler) -> None:
    """Commands are lists of words without shell text; a job's id is a word or a part of one."""
    commands = [scheduler.status_command(), scheduler.status_command(["11", "22"])]
    for command in (*commands, scheduler.mark_command()):
        assert isinstance(command, list)
        assert all(isinstance(word, str) and word for word in command)
        assert "-c" not in command
        assert not re.search(r"[;&<>$`\0]", " ".join(command))
    words = " ".join(commands[1])
    if scheduler.dialect:  # it asks for one after the other, or has a list
        assert re.search(r"\b11\b", words) or "{job_id}" not in scheduler.dialect.query
    else:
        assert re.search(r"\b11\b.*\b22\b", words)
        assert "\n" not in words
    assert scheduler.status_command() != scheduler.status_command(["11"])


def test_a_failed_query_is_no_answer(scheduler: Scheduler) -> None:
    """An error that names no job raises SchedulerUnavailable, which says nothing about any job."""
    with pytest.raises(SchedulerUnavailable) as caught:
        scheduler.read_status(reply(stderr="Segmentation fault", status=139))
    assert (139, ("query",)) == (caught.value.exit_status, caught.value.command)
    assert "Segmentation fault" in caught.value.output


@pytest.mark.parametrize(
    "garbage", ["what?\n", "<html>503</html>\n", "1|alice\n", "\0\0\0\n", "�\n", "{", '{"1": 2}']
)
def test_garbage_is_no_answer(scheduler: Scheduler, garbage: str) -> None:
    """Text that the scheduler would not print raises, whatever the exit status is."""
    with pytest.raises(SchedulerUnavailable):
        scheduler.read_status(reply(garbage))


# -- a site's wrapper prints more than the scheduler ----------------------------------------------

NOTICE = "Notice: maintenance on 2026-12-01, \x1b[1mlog out\x1b[0m"
HEADING = "CLUSTER: lab"
SAVED = {
    "gridengine": "gridengine/qstat-xml-states",
    "htcondor": "htcondor/condor_q-states",
    "lsf": "openlava/bjobs-a-w-all-users",
    "pbs": "pbs/qstat-f-json-all",
    "slurm": "slurm/squeue-bulk",
    "torque": "torque/qstat-x-all",
    "template gridengine": "gridengine/qstat-xml-states",
    "template torque": "torque/qstat-x-all",
}
"""A real answer about the jobs of all users, by the scheduler that reads it."""
LISTS = {
    "template slurm": "11 alice RUNNING node1\n12 bob PENDING n/a\n",
    "template htcondor": "11 alice 2 slot1@node1\n12 bob 1 undefined\n",
    "template lsf": "11 alice RUN node1\n12 bob PEND -\n",
    "template pbs": "Job Id: 11.lab|Job_Owner=alice@lab|job_state=R|exec_host=node1/0\n",
}
ODD_ROWS = {
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


@pytest.mark.parametrize("name", [*SAVED, *LISTS])
def test_a_notice_of_the_sites_is_passed_over(name: str) -> None:
    """A notice and a heading around an answer hide no job, and are kept for the log."""
    scheduler, text = scheduler_of(name), whole_answer(name)
    expected = scheduler.read_status(reply(text))
    assert expected
    answer = reply(f"{HEADING}\n{NOTICE}\n\n{text.rstrip()}\n\n{NOTICE}\n")
    assert expected == scheduler.read_status(answer)
    if name not in ("template gridengine", "template torque", "template pbs"):
        assert {HEADING, NOTICE} <= {line.strip() for line in answer.passed_over}


@pytest.mark.parametrize("name", ODD_ROWS)
def test_an_odd_row_hides_no_other(name: str) -> None:
    """A row that can't be read is passed over, the others count, and its id is not missing."""
    scheduler, text = scheduler_of(name), whole_answer(name)
    answer = reply(f"{text.rstrip()}\n{ODD_ROWS[name]}\n")
    jobs = scheduler.read_status(answer)
    assert scheduler.read_status(reply(text)) == jobs
    assert "4711" not in jobs
    assert {"4711"} == find_mentioned(answer.passed_over, ["4711", "47", "711"])


@pytest.mark.parametrize("name", [*SAVED, *LISTS])
def test_an_answer_of_which_nothing_can_be_read_is_quoted(name: str) -> None:
    """If nothing can be read, the error quotes the first lines, without control characters."""
    with pytest.raises(SchedulerUnavailable, match="could not be read") as caught:
        scheduler_of(name).read_status(reply("\n".join([NOTICE, "x" * 1000, *"1234567"])))
    assert "Notice: maintenance on 2026-12-01, \ufffd[1mlog out" in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert "… and 4 more" in str(caught.value)
    assert len(str(caught.value)) < 600


def test_failed_marks_are_no_answer(scheduler: Scheduler) -> None:
    """If the scheduler does not answer, no job is taken for one that was never submitted."""
    with pytest.raises(SchedulerUnavailable):
        scheduler.read_marks(reply(f"1 unispawner:{MARK}", "down", 1))


def show_lines(jobs: list[tuple[str, str]]) -> str:
    return "\n".join(f"{job_id} unispawner:{mark}" for job_id, mark in jobs)


def show_contexts(jobs: list[tuple[str, str]]) -> str:
    return "".join(
        f"{'=' * 62}\njob_number:   {job_id}\ncontext:      unispawner={mark}\n"
        for job_id, mark in jobs
    )


def show_class_ads(jobs: list[tuple[str, str]]) -> str:
    return json.dumps([{"ClusterId": job_id, "UnispawnerMark": mark} for job_id, mark in jobs])


def show_scripts(jobs: list[tuple[str, str]]) -> str:
    return "".join(f"Job <{job_id}>, Command <# unispawner:{mark};>\n" for job_id, mark in jobs)


def show_json(jobs: list[tuple[str, str]]) -> str:
    rows = {job_id: {"Variable_List": {"UNISPAWNER_MARK": mark}} for job_id, mark in jobs}
    return json.dumps({"timestamp": 1, "pbs_version": "1", "Jobs": rows})


def show_xml(jobs: list[tuple[str, str]]) -> str:
    rows = (
        f"<Job><Job_Id>{job_id}</Job_Id><Variable_List>UNISPAWNER_MARK={mark}</Variable_List></Job>"
        for job_id, mark in jobs
    )
    return f"<Data>{''.join(rows)}</Data>"


LISTINGS: dict[str, Callable[[list[tuple[str, str]]], str]] = {
    "gridengine": show_contexts,
    "htcondor": show_class_ads,
    "lsf": show_scripts,
    "pbs": show_json,
    "torque": show_xml,
}
"""How the output of a scheduler's `mark_command` shows jobs' ids and marks, if its `read_marks` is
its own."""


@pytest.mark.parametrize(
    ("job_id", "mark"),
    [
        (None, "(null)"),
        (None, ""),
        (None, "0123"),
        (None, f"{MARK}0"),
        (None, MARK.upper()),
        (None, f"-{MARK}"),
        (None, f"Prod-{MARK}"),
        (None, f"pr.od-{MARK}"),
        (None, f"prod-{MARK}-1"),
        (None, f"{MARK}-{MARK}"),
        (None, f"prod-{MARK[1:]}"),
        ("-f", MARK),
        ("-f", f"prod-{MARK}"),
        ("1;id", MARK),
        ("", MARK),
    ],
)
def test_text_that_is_not_a_mark_is_ignored(
    scheduler: Scheduler, job_id: str | None, mark: str
) -> None:
    """Only a whole mark with a job's id counts: users can write what marks are kept in."""
    own = {"local": "11.22"}.get(scheduler.name, "11")
    other = own.replace("11", "33")
    show = LISTINGS.get(scheduler.name, show_lines)
    listing = show([(own, "fedcba9876543210"), (other if job_id is None else job_id, mark)])
    assert {"fedcba9876543210": own} == scheduler.read_marks(reply(listing))


def test_directives_are_lines(scheduler: Scheduler, nothing_to_check: Nothing) -> None:
    """Each directive is a line that begins with "#" in a script."""
    lines = written(scheduler, complete(scheduler, JobSpec(name="a b", queue_name="q")))
    if not lines:
        assert set() == scheduler.supported()
        nothing_to_check()
    for line in lines:
        assert "\n" not in line
        assert line.startswith("#") or not is_shell_text(scheduler)


def is_shell_text(scheduler: Scheduler) -> bool:
    """Return whether a shell reads the directives; a set of templates may use another language."""
    return scheduler.directives_in_script and (
        scheduler.dialect is None or bool(scheduler.dialect.directive)
    )


HOSTILE: dict[str, dict[str, Any]] = {
    "queue_name": {"queue_name": "q'\"$(id)"},
    "account": {"account": "a$(id)`id`"},
    "attribute": {"custom_attributes": {".x": "$(id)\\"}},
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_text_stays_in_its_line(scheduler: Scheduler, what: str) -> None:
    """Text that a shell would run is refused, or it is in a line that is a comment to the shell."""
    values = dict(HOSTILE[what])
    if what == "attribute":
        values["custom_attributes"] = {f"{scheduler.name}.x": "$(id)\\"}
    spec = complete(scheduler, JobSpec(**values))
    try:
        scheduler.check_supported(spec)
        lines = written(scheduler, spec)
    except InvalidJobError as error:
        assert what in error.message or "$(id)" in error.message
        return
    (line,) = [line for line in lines if "id)" in line]
    assert line.startswith("#") or not is_shell_text(scheduler)
    assert "\n" not in line
    assert scheduler.dialect is None or "$(id)" not in line


@pytest.mark.parametrize("hub_id", ["1", "prod", "0123456789abcde", "abcdef"])
def test_marks_with_a_hubs_id_are_read(scheduler: Scheduler, hub_id: str) -> None:
    """A mark has its Hub's id where the Hub has one; marks of older releases have none."""
    own = {"local": "11.22"}.get(scheduler.name, "11")
    other = own.replace("11", "33")
    mark = make_mark(hub_id, 1_800_000_000.0)
    show = LISTINGS.get(scheduler.name, show_lines)
    expected = {mark: own, MARK: other}
    assert expected == scheduler.read_marks(reply(show([(own, mark), (other, MARK)])))


@pytest.mark.parametrize("name", [name for name in EVERY if name != "local"])
@pytest.mark.parametrize("mark", [MARK, "0123456789abcde-6b49d2000011aabb"])
def test_a_script_has_the_mark_as_it_is(name: str, mark: str) -> None:
    """Nothing of a mark is escaped or cut in a scheduler's directives, however long it is."""
    lines = get_scheduler(name).directives(JobSpec(mark=mark))
    assert 1 == sum(bool(re.search(rf"[:=\"]{mark}(?![\w-])", line)) for line in lines)


@pytest.mark.parametrize("name", [name for name in EVERY if name != "local"])
def test_the_mark_is_with_the_job(name: str) -> None:
    """A job's directives contain its mark, by which it is found if a submission's answer is
    lost.
    """
    lines = get_scheduler(name).directives(JobSpec(mark=MARK))
    assert 1 == sum(MARK in line for line in lines)


@pytest.mark.parametrize("scheduler", SETS, indirect=True)
def test_a_template_has_no_place_for_a_mark(scheduler: Scheduler) -> None:
    """A set of templates asks for no marks, so that no other job can be found by mistake. A job is
    found by the id that the agent has written down, or ends because its environment is gone.
    """
    assert [] == scheduler.mark_command()
    with pytest.raises(StopIteration) as done:
        next(scheduler.find_marks("ada"))
    assert {} == done.value.value


def test_a_refused_option_is_named(scheduler: Scheduler, nothing_to_check: Nothing) -> None:
    """Options that make no server, such as an array or an interactive job, are refused by name."""
    keys = [key for key in scheduler.refused if re.fullmatch(r"[A-Za-z0-9+][\w.+-]*", key)]
    assert bool(keys) == bool(scheduler.refused)
    if not keys:
        nothing_to_check()
    for key in keys:
        spec = JobSpec(custom_attributes={f"{scheduler.name}.{key}": "x"})
        with pytest.raises(InvalidJobError, match=re.escape(f"{scheduler.name}.{key}")):
            scheduler.check_supported(spec)


def test_directives_hold_no_environment(scheduler: Scheduler) -> None:
    """A job's environment, with the token in it, is neither in a directive nor in the script."""
    spec = complete(scheduler, JobSpec(environment={"TOKEN": "topsecret"}, mark=MARK))
    assert "topsecret" not in "\n".join([*written(scheduler, spec), render_script(spec, scheduler)])


@pytest.mark.parametrize("field", sorted(ALL_FIELDS))
def test_what_is_asked_for_is_written_or_refused(scheduler: Scheduler, field: str) -> None:
    """What a job asks for is written into its directives, or the job is refused."""
    spec = complete(scheduler, spec_for(field))
    if field in scheduler.supported():
        scheduler.check_supported(spec)
        usual = written(scheduler, complete(scheduler, JobSpec()))
        assert set(written(scheduler, spec)) - set(usual)
    else:
        named = "(gpu_type|gpu_cores_per_process)" if field == "gpu_type" else field
        with pytest.raises(InvalidJobError, match=rf"^{named}: .*{re.escape(scheduler.title)}"):
            scheduler.check_supported(spec)


def test_a_refusal_has_the_schedulers_words(scheduler: Scheduler) -> None:
    """Text that no pattern knows is a refusal, and the error contains the text."""
    failed = reply(stderr="No thank you", status=1)
    submit, cancel = scheduler.submit_error(failed), scheduler.cancel_error(failed)
    assert (SubmitError, "No thank you") == (type(submit), submit.output)
    assert isinstance(cancel, CancelError)
    assert "No thank you" == cancel.output


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


def find_reported(scheduler: Scheduler, replies: Iterable[Reply]) -> set[str]:
    """Return the fields of JobInfo that a scheduler fills from these answers."""
    found: set[str] = set()
    blank = JobInfo("", JobState.UNKNOWN)
    for reply in replies:
        try:
            jobs = scheduler.read_status(reply)
        except SchedulerUnavailable:
            continue  # another command's, or a failure
        for info in jobs.values():
            found |= {
                f.name for f in fields(info) if getattr(info, f.name) != getattr(blank, f.name)
            }
    return found


@pytest.mark.parametrize("name", [name for name in EVERY if name not in ("local", "lsf")])
def test_reported_fields_are_in_real_output(name: str) -> None:
    """For each field that a scheduler reports, its saved output has a value. What another command
    reports, such as an accounting, has its own reader.
    """
    scheduler = get_scheduler(name)
    replies = [read_saved_reply(path) for path in sorted((OUTPUTS / name).iterdir())]
    found = find_reported(scheduler, replies)
    if name == "gridengine":
        from unispawner.schedulers.gridengine_jobs import read_accounting

        ended = [read_accounting(reply.stdout) for reply in replies if "qacct" in reply.command]
        found |= {"exit_code"} if any(info and info.exit_code for info in ended) else set()
    # No saved job has an estimate or has ended by itself. test_pbs.py and test_torque.py have such
    # jobs from the manuals.
    known = {"pbs": {"estimated_start", "exit_code"}, "torque": {"exit_code"}}.get(name, set())
    assert set() == known & found, "these exceptions are needed no more"
    assert set() == scheduler.reports - found - known


def test_reported_fields_are_fields_of_a_job(scheduler: Scheduler) -> None:
    """Each reported field is a field of JobInfo: a misspelt one would be a false row in the
    docs.
    """
    assert scheduler.reports <= {f.name for f in fields(JobInfo)}
