"""What every scheduler's file, and every set of templates, must do: no cluster is needed.

unispawner's own tests run these checks for each scheduler that it knows.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Sequence
from dataclasses import fields

import pytest

from ...errors import CancelError, InvalidJobError, SchedulerUnavailable, SubmitError
from ...job import JobInfo, JobSpec, JobState, make_mark
from ...schedulers.base import ALL_FIELDS, Meaning, Reply, Scheduler
from ...schedulers.reading import find_mentioned
from ...script.rendering import render_script
from .samples import (
    HEADING,
    HOSTILE,
    MARK,
    NO_JOB_IDS,
    NOTICE,
    Nothing,
    ShowMarks,
    complete,
    find_reported,
    has_place_for_mark,
    has_word,
    is_shell_text,
    reply,
    sample_id,
    spec_for,
    written,
)


def test_tables_are_complete(scheduler: Scheduler) -> None:
    """A scheduler defines everything that the base class requires, with the right types.

    Why: the Hub reads these tables without a further check, for messages, pages and commands.
    """
    assert not inspect.isabstract(scheduler)
    assert re.fullmatch(r"[a-z_]+", scheduler.name)
    assert scheduler.title
    assert all(isinstance(command, str) for command in scheduler.commands)
    assert scheduler.needed_commands() or scheduler.loopback
    assert scheduler.supported() <= ALL_FIELDS
    assert set(scheduler.needed_commands()) >= set(scheduler.commands)
    assert isinstance(scheduler.loopback, bool)
    assert scheduler.errors
    for pattern, meaning in scheduler.errors:
        re.compile(pattern)
        assert isinstance(meaning, Meaning)


def test_states_are_ours(scheduler: Scheduler) -> None:
    """A scheduler's words mean states other than UNKNOWN; some mean running, some final ones.

    Why: a server starts when its job runs, and is gone when its job is in a final state.
    """
    states = set(scheduler.states.values())
    assert states <= set(JobState) - {JobState.UNKNOWN}
    assert JobState.RUNNING in states
    assert any(state.final for state in states)


def test_a_new_state_is_unknown(scheduler: Scheduler) -> None:
    """A word that a later release adds means UNKNOWN, so that no server is lost.

    Why: an unknown state changes nothing in the Hub; a guessed one could end a server that runs.
    """
    assert JobState.UNKNOWN is scheduler.state("BRAND_NEW_STATE")
    assert not scheduler.state("BRAND_NEW_STATE").final


def test_no_job_id(scheduler: Scheduler) -> None:
    """Text that isn't the id of one job never reaches a command.

    Why: the id comes from the user's side, and the Hub writes it into commands for all users.
    """
    assert [text for text in NO_JOB_IDS if scheduler.job_id.fullmatch(text)] == []


def test_job_ids_are_bounded_and_ascii(scheduler: Scheduler) -> None:
    """A job id from the user's side has a limited length and ASCII only: it goes into commands.

    Why: the Hub keeps ids in its database and shows them; two ids that look the same are a trap.
    """
    assert not scheduler.job_id.fullmatch("1" * 300)
    assert not scheduler.job_id.fullmatch("١٢٣")


def test_status_commands_are_argument_lists(scheduler: Scheduler) -> None:
    """Commands are lists of words without shell text; a job's id is a word or a part of one.

    Why: the Hub runs them without a shell.
    """
    first, second = sample_id(scheduler), sample_id(scheduler, 22)
    commands = [scheduler.status_command(), scheduler.status_command([first, second])]
    for command in (*commands, scheduler.mark_command()):
        assert isinstance(command, list)
        assert all(isinstance(word, str) and word for word in command)
        assert "-c" not in command
        assert not re.search(r"[;&<>$`\0]", " ".join(command))
    words = " ".join(commands[1])
    if scheduler.dialect:  # it asks for one after the other, or has a list
        assert re.search(r"\b11\b", words) or "{job_id}" not in scheduler.dialect.query
    else:
        assert re.search(rf"\b{re.escape(first)}\b.*\b{re.escape(second)}\b", words)
        assert "\n" not in words
    assert scheduler.status_command() != scheduler.status_command([first])


def test_a_failed_query_is_no_answer(scheduler: Scheduler) -> None:
    """An error that names no job raises SchedulerUnavailable, which says nothing about any job.

    Why: if a crash of the command counted as "no jobs", the Hub would drop all servers at once.
    """
    with pytest.raises(SchedulerUnavailable) as caught:
        scheduler.read_status(reply(stderr="Segmentation fault", status=139))
    assert (caught.value.exit_status, caught.value.command) == (139, ("query",))
    assert "Segmentation fault" in caught.value.output


@pytest.mark.parametrize(
    "garbage", ["what?\n", "<html>503</html>\n", "1|alice\n", "\0\0\0\n", "�\n", "{", '{"1": 2}']
)
def test_garbage_is_no_answer(scheduler: Scheduler, garbage: str) -> None:
    """Text that the scheduler would not print raises, whatever the exit status is.

    Why: a broken wrapper must not empty a Hub.
    """
    with pytest.raises(SchedulerUnavailable):
        scheduler.read_status(reply(garbage))


def test_a_notice_of_the_sites_is_passed_over(
    scheduler: Scheduler, list_answer: str, logs_notices: bool, nothing_to_check: Nothing
) -> None:
    """A notice and a heading around an answer hide no job, and are kept for the log.

    Why: sites wrap commands and announce maintenance there; servers go on meanwhile.
    """
    if not list_answer:
        return nothing_to_check()
    expected = scheduler.read_status(reply(list_answer))
    assert expected
    answer = reply(f"{HEADING}\n{NOTICE}\n\n{list_answer.rstrip()}\n\n{NOTICE}\n")
    assert expected == scheduler.read_status(answer)
    if logs_notices:
        assert {HEADING, NOTICE} <= {line.strip() for line in answer.passed_over}


def test_an_odd_row_hides_no_other(
    scheduler: Scheduler, list_answer: str, odd_row: str, nothing_to_check: Nothing
) -> None:
    """A row that can't be read is passed over, the others count, and its id is not missing.

    Why: one job of another user with a strange state must not make the Hub blind to all others.
    """
    if not odd_row:
        return nothing_to_check()
    answer = reply(f"{list_answer.rstrip()}\n{odd_row}\n")
    jobs = scheduler.read_status(answer)
    assert scheduler.read_status(reply(list_answer)) == jobs
    assert "4711" not in jobs
    assert {"4711"} == find_mentioned(answer.passed_over, ["4711", "47", "711"])


def test_an_answer_of_which_nothing_can_be_read_is_quoted(
    scheduler: Scheduler, quotes_answers: bool, nothing_to_check: Nothing
) -> None:
    """If nothing can be read, the error quotes the first lines, without control characters.

    Why: the administrator finds the cause in the Hub's log, and the log stays a log.
    """
    if not quotes_answers:
        return nothing_to_check()
    with pytest.raises(SchedulerUnavailable, match="could not be read") as caught:
        scheduler.read_status(reply("\n".join([NOTICE, "x" * 1000, *"1234567"])))
    assert "Notice: maintenance on 2026-12-01, \ufffd[1mlog out" in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert "… and 4 more" in str(caught.value)
    assert len(str(caught.value)) < 600


def test_failed_marks_are_no_answer(scheduler: Scheduler) -> None:
    """If the scheduler does not answer, no job is taken for one that was never submitted.

    Why: the Hub would submit a second job for the same server.
    """
    with pytest.raises(SchedulerUnavailable):
        scheduler.read_marks(reply(f"1 unispawner:{MARK}", "down", 1))


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
    scheduler: Scheduler, show_marks: ShowMarks, job_id: str | None, mark: str
) -> None:
    """Only a whole mark with a job's id counts: users can write what marks are kept in.

    Why: a forged mark would give a server another job, which then gets the server's stop.
    """
    own, other = sample_id(scheduler), sample_id(scheduler, 33)
    listing = show_marks([(own, "fedcba9876543210"), (other if job_id is None else job_id, mark)])
    assert {"fedcba9876543210": own} == scheduler.read_marks(reply(listing))


@pytest.mark.parametrize("hub_id", ["1", "prod", "0123456789abcde", "abcdef"])
def test_marks_with_a_hubs_id_are_read(
    scheduler: Scheduler, show_marks: ShowMarks, hub_id: str
) -> None:
    """A mark has its Hub's id where the Hub has one; marks of older releases have none.

    Why: several Hubs may share a cluster, and each looks after its own jobs only.
    """
    own, other = sample_id(scheduler), sample_id(scheduler, 33)
    mark = make_mark(hub_id, 1_800_000_000.0)
    expected = {mark: own, MARK: other}
    assert expected == scheduler.read_marks(reply(show_marks([(own, mark), (other, MARK)])))


@pytest.mark.parametrize("mark", [MARK, "0123456789abcde-6b49d2000011aabb"])
def test_a_script_has_the_mark_as_it_is(
    scheduler: Scheduler, nothing_to_check: Nothing, mark: str
) -> None:
    """Nothing of a mark is escaped or cut in a scheduler's directives, however long it is.

    Why: the Hub finds a job by its mark if the answer of the submit command was lost.
    """
    if not has_place_for_mark(scheduler):
        return nothing_to_check()
    lines = scheduler.directives(JobSpec(mark=mark))
    assert sum(has_word(line, mark) for line in lines) == 1
    assert sum(mark in line for line in lines) == 1


def test_a_template_has_no_place_for_a_mark(
    scheduler: Scheduler, nothing_to_check: Nothing
) -> None:
    """A set of templates asks for no marks, so that no other job can be found by mistake.

    Why: a job is found by the id that the agent has written down, or ends because its environment
    is gone.
    """
    if scheduler.dialect is None:
        return nothing_to_check()
    assert scheduler.mark_command() == []
    with pytest.raises(StopIteration) as done:
        next(scheduler.find_marks("ada"))
    assert done.value.value == {}


def test_directives_are_lines(scheduler: Scheduler, nothing_to_check: Nothing) -> None:
    """Each directive is a line that begins with "#" in a script.

    Why: a shell reads the script, and must take a directive for a comment.
    """
    lines = written(scheduler, complete(scheduler, JobSpec(name="a b", queue_name="q")))
    if not lines:
        assert set() == scheduler.supported()
        nothing_to_check()
    for line in lines:
        assert "\n" not in line
        assert line.startswith("#") or not is_shell_text(scheduler)


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_text_stays_in_its_line(scheduler: Scheduler, what: str) -> None:
    """Text that a shell would run is refused, or it is in a line that is a comment to the shell.

    Why: such text may come from what users choose in the form.
    """
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


def test_a_refused_option_is_named(scheduler: Scheduler, nothing_to_check: Nothing) -> None:
    """Options that make no server, such as an array or an interactive job, are refused by name.

    Why: the administrator reads the mistake when the Hub starts, not when a user's server fails.
    """
    keys = [key for key in scheduler.refused if re.fullmatch(r"[A-Za-z0-9+][\w.+-]*", key)]
    assert bool(keys) == bool(scheduler.refused)
    if not keys:
        nothing_to_check()
    for key in keys:
        spec = JobSpec(custom_attributes={f"{scheduler.name}.{key}": "x"})
        with pytest.raises(InvalidJobError, match=re.escape(f"{scheduler.name}.{key}")):
            scheduler.check_supported(spec)


def test_directives_hold_no_environment(scheduler: Scheduler) -> None:
    """A job's environment, with the token in it, is neither in a directive nor in the script.

    Why: every user of a cluster can list scripts and options of others on some schedulers.
    """
    spec = complete(scheduler, JobSpec(environment={"TOKEN": "topsecret"}, mark=MARK))
    assert "topsecret" not in "\n".join([*written(scheduler, spec), render_script(spec, scheduler)])


@pytest.mark.parametrize("field", sorted(ALL_FIELDS))
def test_what_is_asked_for_is_written_or_refused(scheduler: Scheduler, field: str) -> None:
    """What a job asks for is written into its directives, or the job is refused.

    Why: a limit that is dropped in silence gives users jobs that nobody offered them.
    """
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
    """Text that no pattern knows is a refusal, and the error contains the text.

    Why: users read on the page of a failed start why the scheduler refused the job.
    """
    failed = reply(stderr="No thank you", status=1)
    submit, cancel = scheduler.submit_error(failed), scheduler.cancel_error(failed)
    assert (SubmitError, "No thank you") == (type(submit), submit.output)
    assert isinstance(cancel, CancelError)
    assert cancel.output == "No thank you"


def test_reported_fields_are_in_saved_output(
    scheduler: Scheduler,
    saved_replies: Sequence[Reply],
    reported_elsewhere: Collection[str],
    nothing_to_check: Nothing,
) -> None:
    """For each field that a scheduler reports, its saved output has a value.

    Why: the docs' table of what users see comes from ``reports``, and must be true.
    """
    if not saved_replies:
        return nothing_to_check()
    found = find_reported(scheduler, saved_replies)
    assert set() == set(reported_elsewhere) & found, "these exceptions are needed no more"
    assert set() == scheduler.reports - found - set(reported_elsewhere)


def test_reported_fields_are_fields_of_a_job(scheduler: Scheduler) -> None:
    """Each reported field is a field of JobInfo: a misspelt one would be a false row in the docs.

    Why: the docs' table of what users see comes from ``reports``, and must be true.
    """
    assert scheduler.reports <= {f.name for f in fields(JobInfo)}
