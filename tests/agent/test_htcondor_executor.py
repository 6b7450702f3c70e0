"""HTCondor's executor, with a condor_submit and a condor_rm that print HTCondor's real words.

The words are in tests/outputs/htcondor.
"""

import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import support
from support.executor import ExecutorProcess, spec_in

from unispawner.errors import InvalidJobError
from unispawner.job import JobSpec, ResourceSpec
from unispawner.schedulers.htcondor import HTCondor
from unispawner.testing import read_saved_reply

OUTPUTS = support.OUTPUTS / "htcondor"
SUBMITTED = read_saved_reply(OUTPUTS / "condor_submit-terse").stdout


@pytest.fixture
def htcondor(tmp_path: Path) -> ExecutorProcess:
    # A submit description would expand the name of this directory.
    return ExecutorProcess(tmp_path, HTCondor(), tmp_path / "it's $work")


def spec(folder: Path, **fields: Any) -> JobSpec:
    values: dict[str, Any] = {
        "directory": str(folder),
        "resources": ResourceSpec(cpu_cores_per_process=2),
        "custom_attributes": {"htcondor.+Department": "physics"},
        "prologue": "echo prologue",
    }
    return spec_in(folder, **{**values, **fields})


def description(htcondor: ExecutorProcess) -> list[str]:
    """Return the lines of the submit description that condor_submit has read."""
    return htcondor.file("condor_submit").splitlines()


def reads(value: str) -> dict[str, str]:
    """Return the variables that condor_submit reads from the command ``environment``.

    condor_submit(1): first macros are expanded. The value is in double quotes, and a double quote
    in it is written twice. Blanks separate variables, except within single quotes, in which a
    single quote is written twice.
    """
    assert "$" not in value.replace("$(DOLLAR)", "")
    value = value.replace("$(DOLLAR)", "$")
    assert value.startswith('"') and value.endswith('"')
    inner = value[1:-1]
    assert '"' not in inner.replace('""', "")
    words: list[str] = []
    text, word, quoted, at = inner.replace('""', '"'), "", False, 0
    while at < len(text):
        if text[at] == "'" and quoted and text[at : at + 2] == "''":
            word, at = word + "'", at + 1
        elif text[at] == "'":
            quoted = not quoted
        elif text[at] == " " and not quoted:
            words, word = [*words, word], ""
        else:
            word += text[at]
        at += 1
    assert not quoted
    return dict(one.split("=", 1) for one in [*words, word])


def test_the_submit_description(htcondor: ExecutorProcess, tmp_path: Path) -> None:
    """It has the scheduler's lines, the script and a login's variables, and is removed later."""
    htcondor.write("condor_submit", SUBMITTED)
    job = spec(tmp_path)
    assert "1" == htcondor.submit(job)["job_id"]
    option, path = htcondor.arguments("condor_submit")
    assert "-terse" == option
    assert not Path(path).exists()
    lines = description(htcondor)
    expected = HTCondor().directives(job)
    assert expected == lines[: len(expected)]
    script = str(htcondor.work / "script").replace("$", "$(DOLLAR)")
    executable, environment, queue = lines[len(expected) :]
    assert (f"executable = {script}", "queue") == (executable, queue)
    assert environment.startswith("environment = ")
    assert "topsecret" not in "\n".join(lines)


def test_the_script_stays(htcondor: ExecutorProcess, tmp_path: Path) -> None:
    """HTCondor may run the script several times, so that the file stays, readable for its user."""
    htcondor.write("condor_submit", SUBMITTED)
    job = spec(tmp_path)
    htcondor.submit(job)
    (script,) = htcondor.work.iterdir()
    assert ("script", 0o700) == (script.name, stat.S_IMODE(script.stat().st_mode))
    assert "topsecret" not in script.read_text()
    for _ in range(2):
        done = subprocess.run([script], capture_output=True, text=True, timeout=60)
        assert (0, "") == (done.returncode, done.stdout), done.stderr
    assert "prologue\nserved\n" * 2 == Path(job.stdout_path).read_text()


@pytest.mark.parametrize(
    "value",
    [
        "/home/ada",
        "/home/a b",
        "it's",
        "''",
        'say "hi"',
        '"',
        "$HOME $(X) $$(Y)",
        "a=b c=d",
        "back\\slash\\",
        "ünï; `id` #x",
        "",
        " lead and trail ",
    ],
)
def test_a_logins_variables(htcondor: ExecutorProcess, tmp_path: Path, value: str) -> None:
    """The job gets the variables of a login with any value, and no other of the agent's."""
    htcondor.write("condor_submit", SUBMITTED)
    path = f"{tmp_path}:{value}:/usr/bin:/bin"
    more = {"HOME": value, "PATH": path, "LANG": "C.UTF-8", "LD_X": "x", "PYTHONPATH": "x"}
    assert "1" == htcondor.submit(spec(tmp_path), more)["job_id"]
    line = description(htcondor)[-2]
    variables = reads(line.removeprefix("environment = "))
    assert {"HOME": value, "PATH": path, "LANG": "C.UTF-8"} == variables


def test_a_variable_that_cannot_be_written(htcondor: ExecutorProcess, tmp_path: Path) -> None:
    """A variable with a line break is refused: it would begin another command."""
    htcondor.write("condor_submit", SUBMITTED)
    reply = htcondor.submit(spec(tmp_path), {"HOME": "/home/ada\nqueue 100"})
    assert "InvalidJobError" == reply["error"]
    assert "HOME contains a line break" in reply["message"]
    assert not (tmp_path / "condor_submit.arguments").exists()


def test_a_directory_that_cannot_be_written(htcondor: ExecutorProcess, tmp_path: Path) -> None:
    """A wrong directory is refused before condor_submit runs, and no description is left."""
    htcondor.write("condor_submit", SUBMITTED)
    job = spec(tmp_path, directory="/home/ada/end\\")
    assert "InvalidJobError" == htcondor.submit(job)["error"]
    assert not (tmp_path / "condor_submit.arguments").exists()
    assert ["script"] == [path.name for path in htcondor.work.iterdir()]


@pytest.mark.parametrize(
    ("stdout", "stderr", "expected"),
    [
        (SUBMITTED, "", "1"),
        ("33.0 - 33.0\n", "", "33"),
        ("1234567890.0 - 1234567890.0\n", "", "1234567890"),
        ("site: memory set to 1 GB\n7.0 - 7.0\n", "", "7"),
        ("35.0 - 35.0\n", read_saved_reply(OUTPUTS / "condor_submit-unused-line").stderr, "35"),
    ],
)
def test_job_ids(
    htcondor: ExecutorProcess, tmp_path: Path, stdout: str, stderr: str, expected: str
) -> None:
    """The job's id is the number of the cluster, whatever is printed around it."""
    htcondor.write("condor_submit", stdout, stderr)
    assert expected == htcondor.submit(spec(tmp_path))["job_id"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bad-requirements", "SubmitError"),
        ("bad-initialdir", "SubmitError"),
        ("missing-executable", "SubmitError"),
        ("root", "SubmitError"),
        ("service-user", "SubmitError"),
        ("schedd-down", "SchedulerUnavailable"),
        ("schedd-killed", "SchedulerUnavailable"),
    ],
)
def test_submissions_that_fail(
    htcondor: ExecutorProcess, tmp_path: Path, name: str, expected: str
) -> None:
    """A refusal and a schedd that is down are different errors, with condor_submit's words."""
    saved = read_saved_reply(OUTPUTS / f"condor_submit-{name}")
    htcondor.write("condor_submit", saved.stdout, saved.stderr, saved.exit_status)
    reply = htcondor.submit(spec(tmp_path))
    assert expected == reply["error"]
    assert saved.text.strip() == reply["output"].strip()


@pytest.mark.parametrize("text", ["", "hello\n", "Submitting job(s).\n"])
def test_an_answer_without_an_id(htcondor: ExecutorProcess, tmp_path: Path, text: str) -> None:
    """The job may exist, so that the error is one after which the Hub searches the job."""
    htcondor.write("condor_submit", text)
    assert "AgentError" == htcondor.submit(spec(tmp_path))["error"]


@pytest.mark.parametrize(
    ("stderr", "expected"),
    [
        (None, None),
        (read_saved_reply(OUTPUTS / "condor_rm-finished").stderr, None),
        (read_saved_reply(OUTPUTS / "condor_rm-twice").stderr, None),
        (read_saved_reply(OUTPUTS / "condor_rm-service-user").stderr, "CancelError"),
        ("\nPermission denied to remove job 78.0\n", "CancelError"),
        ("\nCouldn't find/remove all jobs in cluster 78\n", "CancelError"),
        (read_saved_reply(OUTPUTS / "condor_rm-schedd-down").stderr, "SchedulerUnavailable"),
        (read_saved_reply(OUTPUTS / "condor_rm-schedd-hangs").stderr, "SchedulerUnavailable"),
        (read_saved_reply(OUTPUTS / "condor_rm-schedd-killed").stderr, "SchedulerUnavailable"),
    ],
)
def test_cancellations(htcondor: ExecutorProcess, stderr: str | None, expected: str | None) -> None:
    """To cancel a job that has ended is not an error; to cancel another user's job is one.

    condor_rm gets the number of the process: for a cluster its error would not distinguish the two.
    """
    printed = read_saved_reply(OUTPUTS / "condor_rm").stdout
    htcondor.write("condor_rm", "" if stderr else printed, stderr or "", 1 if stderr else 0)
    assert expected == htcondor.cancel("25").get("error")
    assert ["25.0"] == htcondor.arguments("condor_rm")


def test_what_the_agent_loads(htcondor: ExecutorProcess, tmp_path: Path) -> None:
    """The executor's module is loaded once by its name, and JupyterHub is not loaded."""
    htcondor.write("condor_submit", SUBMITTED)
    htcondor.submit(spec(tmp_path))
    loaded = [name for name in htcondor.modules if name.endswith("psij_htcondor")]
    assert ["unispawner.agent.executors.psij_htcondor"] == loaded
    assert "jupyterhub" not in {name.partition(".")[0] for name in htcondor.modules}


def test_an_account_with_a_blank_is_refused() -> None:
    """The schedd would start nobody's jobs once it has met an account with a blank in its name."""
    from unispawner.agent.executors.htcondor import check_account

    check_account("AD\\alice")
    with pytest.raises(InvalidJobError, match="'alice smith' has a blank"):
        check_account("alice smith")
