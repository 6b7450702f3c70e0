"""The environment file of a site's own script, read by real shells of sh's language."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from unispawner.script.variables import DEFAULT_PATH, READ_VARIABLE, render_reader, render_variables

PATIENCE = 30
MARK = "0123456789abcdef"
HUBS_PATH = "/opt/hub/bin:/usr/bin:/bin"
SECURE_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
TOKEN = "a token that nobody may see"

SHELLS = {
    "bash": ["bash"],
    "dash": ["dash"],
    "zsh": ["zsh", "-f"],
    "ksh": ["ksh"],
    "mksh": ["mksh"],
    "busybox": ["busybox", "sh"],
}
EACH_SHELL = pytest.mark.parametrize(
    "shell",
    [
        pytest.param(
            name, marks=pytest.mark.skipif(not shutil.which(name), reason=f"there is no {name}")
        )
        for name in SHELLS
    ],
)

SERVERS = {
    "JUPYTERHUB_API_TOKEN": TOKEN,
    "JUPYTERHUB_API_URL": "http://hub:8081/hub/api",
    "SITE": "the server's",
    "SECRET": 'it\'s "$HOME"\nand `more`',
    "HOME": "/home/ada",
}
SUBMITTED = {
    **SERVERS,
    "PATH": HUBS_PATH,
    "HOME": "/var/lib/hub",
    "JUPYTERHUB_API_TOKEN": "",
    "SECRET": "",
}


class Job:
    """A job's two files, and a shell that runs lines of a script in the job's environment."""

    def __init__(self, folder: Path, servers: Mapping[str, str] = SERVERS) -> None:
        self.environment, self.reader = folder / "environment", folder / "variables"
        self.environment.write_text(render_variables(servers, MARK, SUBMITTED, [SECURE_PATH]))
        self.reader.write_text(render_reader(str(self.environment), servers, MARK))

    def run(
        self, shell: str, script: str = "", *options: str, given: Mapping[str, str] = SUBMITTED
    ) -> tuple[dict[str, str], str]:
        """Return the environment behind the script, and what was printed as an error."""
        code = "import json, os; print(json.dumps(dict(os.environ)))"
        end = shlex.join([sys.executable, "-c", code])
        done = subprocess.run(
            [*SHELLS[shell], *options],
            input=f"{script}\n{end}\n",
            env=dict(given),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert 0 == done.returncode, done.stderr
        return json.loads(done.stdout.splitlines()[-1]), done.stderr

    @property
    def line(self) -> str:
        return f"test -r {self.reader} && . {self.reader} || echo lost"


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


@EACH_SHELL
@pytest.mark.parametrize("options", [[], ["-eu"]])
def test_what_the_submission_left_out(job: Job, shell: str, options: list[str]) -> None:
    """A script has each of the server's variables, also those that are empty or the Hub's own in
    the submit command's environment. The Hub's PATH is replaced."""
    got, _ = job.run(shell, job.line, *options)
    assert SERVERS == {name: got.get(name) for name in SERVERS}
    assert DEFAULT_PATH == got["PATH"]


@EACH_SHELL
def test_what_the_script_has_set_stays(job: Job, shell: str) -> None:
    """What the script sets, empties or removes stays so when the wrapper reads the file again; only
    the variables that the launcher can't do without are added."""
    change = "export SITE=mine PATH=/opt/mine:$PATH SECRET= JUPYTERHUB_API_URL=http://inner/api"
    script = f"{job.line}\n{change}\nunset HOME JUPYTERHUB_API_TOKEN\n. {job.environment}"
    got, _ = job.run(shell, script)
    assert ("mine", "", "http://inner/api") == (
        got["SITE"],
        got["SECRET"],
        got["JUPYTERHUB_API_URL"],
    )
    assert f"/opt/mine:{DEFAULT_PATH}" == got["PATH"]
    assert "HOME" not in got or "/home/ada" != got["HOME"]
    assert TOKEN == got["JUPYTERHUB_API_TOKEN"]


@EACH_SHELL
def test_the_wrapper_alone_reads_the_file(job: Job, shell: str) -> None:
    """Where no script has read the file, a variable that differs from the submission's is the
    script's, and all others are added; so is everything after `env -i`."""
    script = f"export SITE=mine PATH=/opt/mine:{HUBS_PATH}:/opt/last\n. {job.environment}"
    got, _ = job.run(shell, script)
    assert {**SERVERS, "SITE": "mine"} == {name: got.get(name) for name in SERVERS}
    assert f"/opt/mine:{DEFAULT_PATH}:/opt/last" == got["PATH"]
    got, _ = job.run(shell, f". {job.environment}", given={"HOME": "/var/lib/hub"})
    assert SERVERS == {name: got.get(name) for name in SERVERS}


@EACH_SHELL
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (HUBS_PATH, "/opt/own/bin:/bin"),
        (SECURE_PATH, "/opt/own/bin:/bin"),
        (f"/tmp/7.1.all.q:{SECURE_PATH}", "/opt/own/bin:/bin"),
        ("/opt/script/bin:/bin", "/opt/script/bin:/bin"),
    ],
)
def test_a_path_of_the_servers_own(tmp_path: Path, shell: str, given: str, expected: str) -> None:
    """A PATH of c.Spawner.environment comes in place of what the submission or sudo has made, and
    never in place of the script's. The line in a script takes it in any case, before the script."""
    job = Job(tmp_path, {**SERVERS, "PATH": "/opt/own/bin:/bin"})
    environment = {**SUBMITTED, "PATH": given, "TMPDIR": "/tmp/7.1.all.q"}
    got, _ = job.run(shell, f". {job.environment}", given=environment)
    assert expected == got["PATH"]
    script = f"{job.line}\nexport PATH=/opt/mine:$PATH\n. {job.environment}"
    got, _ = job.run(shell, script, given=environment)
    assert "/opt/mine:/opt/own/bin:/bin" == got["PATH"]


@EACH_SHELL
def test_search_paths_of_the_hub_are_unset(job: Job, shell: str) -> None:
    """LD_LIBRARY_PATH and PYTHONPATH are unset if they are the Hub's or empty, and stay if the
    script has set them."""
    job.environment.write_text(render_variables({}, MARK, {"PYTHONPATH": "/opt/hub/python"}))
    given = {**SUBMITTED, "PYTHONPATH": "/opt/hub/python", "LD_LIBRARY_PATH": ""}
    got, _ = job.run(shell, job.line, given=given)
    assert not {"PYTHONPATH", "LD_LIBRARY_PATH"} & set(got)
    got, _ = job.run(shell, f"export PYTHONPATH=/mine; . {job.environment}", given=given)
    assert "/mine" == got["PYTHONPATH"]


@pytest.mark.threat(
    who="other user",
    tries="They read a token in the log of a script that shows its commands.",
    stopped_by="The variables are read silently, whatever the shell shows.",
)
@EACH_SHELL
def test_a_shell_that_shows_what_it_runs(job: Job, shell: str) -> None:
    """A script that runs with -x and -v shows its own lines and no variable of the server."""
    got, shown = job.run(shell, f"{job.line}\n: its own line", "-xv")
    assert TOKEN == got["JUPYTERHUB_API_TOKEN"]
    assert TOKEN not in shown
    assert "more" not in shown
    assert 2 <= shown.count(": its own line")


@EACH_SHELL
def test_a_file_that_is_not_there(job: Job, shell: str) -> None:
    """A script under `set -eu` goes on if its file can't be read."""
    job.reader.unlink()
    got, _ = job.run(shell, job.line, "-eu")
    assert "" == got["JUPYTERHUB_API_TOKEN"]


def test_variables_of_the_shell_itself(tmp_path: Path) -> None:
    """IFS and the like are left out: the site's script would run differently."""
    text = render_variables({"IFS": "x", "PS4": "y", "PWD": "/z", "OTHER": "1"}, MARK, {})
    assert "OTHER=1" in text
    assert not any(f"export {name}" in text for name in ("IFS", "PS4", "PWD"))


def test_a_job_whose_submission_has_no_variables(tmp_path: Path) -> None:
    """Without a submit command's environment every variable gets its value at first, and none a
    second time."""
    file = tmp_path / "environment"
    file.write_text(render_variables({"SITE": "the server's"}, MARK))
    script = f". {file}; echo $SITE; SITE=mine; . {file}; echo $SITE ${READ_VARIABLE}"
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        env={"SITE": "the login's", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert ["the server's", f"mine {MARK}"] == done.stdout.splitlines()
