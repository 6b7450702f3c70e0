"""The executor of a set of templates, with commands of the set's own that are told what to say."""

from pathlib import Path

import pytest

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


def says(folder: Path, name: str, stdout: str = "", stderr: str = "", status: int = 0) -> None:
    """Make a command of the set, which keeps what it is given."""
    (folder / f"{name}.said").write_text(stdout)
    (folder / f"{name}.errors").write_text(stderr)
    command = folder / name
    command.write_text(
        f'#!/bin/sh\ncd {folder}\nprintf "%s\\n" "$@" >{name}.given\ncat >{name}.stdin\n'
        f"cat {name}.said\ncat {name}.errors >&2\nexit {status}\n"
    )
    command.chmod(0o755)


def given(folder: Path, name: str) -> list[str]:
    return (folder / f"{name}.given").read_text().split("\n")[:-1]


def submit(folder: Path, spec: JobSpec | None = None) -> str:
    executor = Executor(Template(template=str(folder)))
    return executor.submit_script(spec or JobSpec(), "#!/bin/sh\necho served\n", folder / "job")


def cancel(folder: Path) -> None:
    Executor(Template(template=str(folder))).cancel_id("12", force=False)


def test_the_script_goes_to_standard_input(folder: Path) -> None:
    """So that it is in no file and in no argument; the id is what the set's pattern finds."""
    says(folder, "submit", "Welcome to the cluster.\nJob <12> is submitted.\n")
    assert "12" == submit(folder)
    assert "#!/bin/sh\necho served\n" == (folder / "submit.stdin").read_text()
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
    """No option without its value; the words that are UniSpawner's alone come last."""
    says(folder, "submit", "Job <12>\n")
    submit(folder, spec)
    assert [*words, "-q", "-S", "/bin/sh"] == given(folder, "submit")


def test_the_script_as_a_file(folder: Path) -> None:
    """For a command that names it: the user's alone, to be run as it is, in the job's folder."""
    (folder / "dialect.ini").write_text(INI.replace("-q\n", "{script}\n"))
    says(folder, "submit", "Job <12>\n")
    submit(folder)
    script = folder / "job" / "script"
    assert [str(script), "-S", "/bin/sh"] == given(folder, "submit")
    assert "#!/bin/sh\necho served\n" == script.read_text()
    assert (0o700, "") == (script.stat().st_mode & 0o777, (folder / "submit.stdin").read_text())


@pytest.mark.parametrize("said", ["Job <11>\nJob <12>\n", "Job <11> waits for\nJob <12>.\n"])
def test_the_last_id_counts(folder: Path, said: str) -> None:
    """What a site's own submit filter says comes first."""
    says(folder, "submit", said)
    assert "12" == submit(folder)


def test_without_a_pattern_all_of_it_is_the_id(folder: Path) -> None:
    """As TORQUE's qsub prints it; more than an id is none."""
    (folder / "dialect.ini").write_text(INI.replace("submitted = ^Job <(\\d+)>\n", ""))
    says(folder, "submit", "12.server\n")
    assert "12.server" == submit(folder)
    says(folder, "submit", "hello\n12.server\n")
    with pytest.raises(AgentError, match="the whole output is the id"):
        submit(folder)


def test_no_id(folder: Path) -> None:
    """There may well be a job: the error tells the pattern, and shows what was printed."""
    says(folder, "submit", "Your job is 12\n")
    with pytest.raises(AgentError) as caught:
        submit(folder)
    assert "[patterns] submitted = ^Job <(\\d+)>" in str(caught.value)
    assert "Your job is 12" == caught.value.output
    assert not isinstance(caught.value, SubmitError)


def test_a_refusal(folder: Path) -> None:
    """Its user is told the command's own words; a scheduler that is away is another matter."""
    says(folder, "submit", stderr="No such queue\n", status=1)
    with pytest.raises(SubmitError) as caught:
        submit(folder)
    assert ("No such queue", 1) == (caught.value.output, caught.value.exit_status)
    says(folder, "submit", stderr="I am busy\n", status=1)
    with pytest.raises(SchedulerUnavailable):
        submit(folder)


def test_cancel(folder: Path) -> None:
    """By the set's command; a job that is gone already is as good."""
    says(folder, "cancel")
    cancel(folder)
    assert ["--job", "12"] == given(folder, "cancel")
    says(folder, "cancel", stderr="12: no such job\n", status=1)
    cancel(folder)


def test_a_cancellation_that_fails(folder: Path) -> None:
    """It is told, for the server may run on."""
    says(folder, "cancel", stderr="Not yours\n", status=1)
    with pytest.raises(CancelError) as caught:
        cancel(folder)
    assert "Not yours" == caught.value.output
