"""The executor of a set of templates, with commands in the set's folder that only print."""

from pathlib import Path

import pytest
from support.executor import FakeCommands

from unispawner.agent.executors.template import Executor
from unispawner.errors import AgentError, CancelError, SchedulerUnavailable, SubmitError
from unispawner.job import JobSpec
from unispawner.schedulers.template import Template

INI = """\
[script]
file = job.sh

[commands]
submit = ./submit --queue={queue} --site={site} -q
submit_options = -S /bin/sh
query = query {job_id}
cancel = ./cancel --job {job_id}

[patterns]
submitted = ^Job <(\\d+)>
owner = ^(\\S+)
not_found = no such job
unknown = busy

[fields]
site =
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dialect.ini").write_text(INI)
    (tmp_path / "job.sh").write_text("#!/bin/sh\n{cmd}\n")
    (tmp_path / "job").mkdir()
    return tmp_path


def submit(folder: Path, spec: JobSpec | None = None) -> str:
    executor = Executor(Template(template=str(folder)))
    return executor.submit_script(spec or JobSpec(), "#!/bin/sh\necho served\n", folder / "job")


def cancel(folder: Path) -> None:
    Executor(Template(template=str(folder))).cancel_id("12", force=False)


def test_the_script_goes_to_standard_input(folder: Path) -> None:
    """The script is in no file and no argument; the set's pattern finds the job's id."""
    FakeCommands(folder).write("submit", "Welcome to the cluster.\nJob <12> is submitted.\n")
    assert "12" == submit(folder)
    assert "#!/bin/sh\necho served\n" == FakeCommands(folder).stdin("submit")
    assert [] == list((folder / "job").iterdir())


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (JobSpec(), []),
        (JobSpec(queue_name="batch"), ["--queue=batch"]),
        (JobSpec(custom_attributes={"template.site": "lyon"}), ["--site=lyon"]),
    ],
)
def test_an_empty_word_is_left_out(folder: Path, spec: JobSpec, words: list[str]) -> None:
    """An option without a value is left out; the words of submit_options come last."""
    FakeCommands(folder).write("submit", "Job <12>\n")
    submit(folder, spec)
    assert [*words, "-q", "-S", "/bin/sh"] == FakeCommands(folder).arguments("submit")


def test_the_script_as_a_file(folder: Path) -> None:
    """If the command names {script}, it is an executable file in the job's private folder."""
    (folder / "dialect.ini").write_text(INI.replace("-q\n", "{script}\n"))
    FakeCommands(folder).write("submit", "Job <12>\n")
    submit(folder)
    script = folder / "job" / "script"
    assert [str(script), "-S", "/bin/sh"] == FakeCommands(folder).arguments("submit")
    assert "#!/bin/sh\necho served\n" == script.read_text()
    assert (0o700, "") == (script.stat().st_mode & 0o777, FakeCommands(folder).stdin("submit"))


@pytest.mark.parametrize("printed", ["Job <11>\nJob <12>\n", "Job <11> waits for\nJob <12>.\n"])
def test_the_last_id_counts(folder: Path, printed: str) -> None:
    """The last id in the output counts, because a site's submit filter prints before it."""
    FakeCommands(folder).write("submit", printed)
    assert "12" == submit(folder)


def test_without_a_pattern_all_of_it_is_the_id(folder: Path) -> None:
    """Without the pattern, the whole output must be the id, as with TORQUE's qsub."""
    (folder / "dialect.ini").write_text(INI.replace("submitted = ^Job <(\\d+)>\n", ""))
    FakeCommands(folder).write("submit", "12.server\n")
    assert "12.server" == submit(folder)
    FakeCommands(folder).write("submit", "hello\n12.server\n")
    with pytest.raises(AgentError, match="the whole output is the id"):
        submit(folder)


def test_no_id(folder: Path) -> None:
    """The job may exist: the error shows the pattern and the output, and is no SubmitError."""
    FakeCommands(folder).write("submit", "Your job is 12\n")
    with pytest.raises(AgentError) as caught:
        submit(folder)
    assert "[patterns] submitted = ^Job <(\\d+)>" in str(caught.value)
    assert "Your job is 12" == caught.value.output
    assert not isinstance(caught.value, SubmitError)


def test_a_refusal(folder: Path) -> None:
    """A refusal has the command's own words; a scheduler that is down is another error."""
    FakeCommands(folder).write("submit", stderr="No such queue\n", status=1)
    with pytest.raises(SubmitError) as caught:
        submit(folder)
    assert ("No such queue", 1) == (caught.value.output, caught.value.exit_status)
    FakeCommands(folder).write("submit", stderr="I am busy\n", status=1)
    with pytest.raises(SchedulerUnavailable):
        submit(folder)


def test_cancel(folder: Path) -> None:
    """The set's command gets the id; it is not an error if the job has ended."""
    FakeCommands(folder).write("cancel")
    cancel(folder)
    assert ["--job", "12"] == FakeCommands(folder).arguments("cancel")
    FakeCommands(folder).write("cancel", stderr="12: no such job\n", status=1)
    cancel(folder)


def test_a_cancellation_that_fails(folder: Path) -> None:
    """A failed cancellation is an error with the command's words, as the job may run on."""
    FakeCommands(folder).write("cancel", stderr="Not yours\n", status=1)
    with pytest.raises(CancelError) as caught:
        cancel(folder)
    assert "Not yours" == caught.value.output
