"""The job's script, run by real shells, with values that a careless script would trip over."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from unispawner.errors import InvalidJobError
from unispawner.job import JobSpec
from unispawner.schedulers import get_scheduler
from unispawner.script.rendering import launcher_source, render_environment, render_script

LOCAL = get_scheduler("local")
NASTY = ["", " ", "a b", "'", '"', "$HOME", "`id`", "\\", "a\nb", "*", "-n", "ü€", "#", "!!", "\t"]
PATIENCE = 30
SHOW = "import json, os, sys; json.dump([sys.argv[1:], sys.stdin.read()], sys.stdout)"

SHELLS = [shell for shell in ("/bin/bash", "/bin/sh", "/bin/dash") if os.path.exists(shell)]


def run(
    script: str, shell: str = "/bin/bash", **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shell, "-c", script],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={"PATH": os.environ["PATH"], **environment},
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("shell", ["/bin/csh", "/bin/tcsh -f", "/usr/bin/env fish"])
def test_shells_of_another_language_are_refused(shell: str) -> None:
    """A shell that can't read the script is refused by name, because every job would fail."""
    with pytest.raises(InvalidJobError, match=f"^job_shell: '{shell}' can't run .*sh's language"):
        render_script(JobSpec(executable="true"), LOCAL, shell=shell)


@pytest.mark.parametrize("shell", SHELLS)
def test_environment_values_come_through(tmp_path: Path, shell: str) -> None:
    """The server gets every value without NUL as it is: JSON, quotes, line breaks."""
    environment = {f"VALUE_{i}": value for i, value in enumerate(NASTY)}
    environment["JUPYTERHUB_OAUTH_SCOPES"] = '["access:servers!server=ada/", "a=b"]'
    (tmp_path / "environment").write_text(render_environment(environment), encoding="utf-8")
    code = "import os, json; print(json.dumps(dict(os.environ)))"
    command = f". {tmp_path}/environment && exec {shlex.join([sys.executable, '-c', code])}"
    got = json.loads(run(command, shell).stdout)
    assert environment == {name: got[name] for name in environment}


@pytest.mark.parametrize("epilogue", ["", "echo done >&2"])
@pytest.mark.parametrize("shell", SHELLS)
def test_arguments_and_input_come_through(shell: str, epilogue: str) -> None:
    """The command gets its arguments as they are, and the launcher's text on standard input."""
    text = "first $HOME `id` \\\n'last' EOF\n"
    spec = JobSpec(executable=sys.executable, arguments=("-c", SHOW, *NASTY), epilogue=epilogue)
    done = run(render_script(spec, LOCAL, shell=shell, standard_input=text), shell)
    assert [NASTY, text] == json.loads(done.stdout)
    assert ("done" if epilogue else "") == done.stderr.strip()


def test_the_order_of_things(tmp_path: Path) -> None:
    """Directory, environment, prologue, command and epilogue come in this order."""
    home = tmp_path / "my 'home"
    home.mkdir()
    (home / "env").write_text("export A=1\n")
    spec = JobSpec(
        executable="sh",
        arguments=("-c", 'echo server $A $B; basename "$PWD"'),
        directory=str(home),
        prologue='B=$((A + 1)); export B; echo "prologue $A"',
        epilogue='echo "epilogue $A $B"',
    )
    done = run(render_script(spec, LOCAL, environment_file=str(home / "env")))
    assert ["prologue 1", "server 1 2", "my 'home", "epilogue 1 2"] == done.stdout.splitlines()
    assert 0 == done.returncode


@pytest.mark.parametrize("epilogue", ["", "true", "exit_code=5; (exit 5)"])
@pytest.mark.parametrize("status", [0, 3])
def test_the_servers_exit_status_is_the_jobs(status: int, epilogue: str) -> None:
    """The job ends with the server's exit status, whatever the epilogue's own is."""
    spec = JobSpec(executable="sh", arguments=("-c", f"exit {status}"), epilogue=epilogue)
    assert status == run(render_script(spec, LOCAL)).returncode


@pytest.mark.parametrize("lost", ["directory", "environment_file"])
def test_without_its_files_a_job_ends(tmp_path: Path, lost: str) -> None:
    """A job whose directory or environment file is missing ends before it runs anything."""
    spec = JobSpec(executable="echo", arguments=("ran",))
    environment_file = ""
    if lost == "directory":
        spec = replace(spec, directory=str(tmp_path / "none"))
    else:
        environment_file = str(tmp_path / "none")
    done = run(render_script(spec, LOCAL, environment_file=environment_file))
    assert (1, "") == (done.returncode, done.stdout)


@pytest.mark.parametrize("name", ["TERM", "INT", "USR1"])
def test_a_signal_reaches_the_server_and_the_epilogue_still_runs(tmp_path: Path, name: str) -> None:
    """A signal to the job's shell reaches the server; the epilogue runs after the server's end."""
    code = (
        "import signal, sys, time\n"
        f"signal.signal(signal.SIG{name}, lambda *_: sys.exit(9))\n"
        "print('up', flush=True)\n"
        "time.sleep(60)\n"
    )
    spec = JobSpec(executable=sys.executable, arguments=("-c", code), epilogue="echo epilogue")
    path = tmp_path / "script"
    path.write_text(render_script(spec, LOCAL))
    with subprocess.Popen(
        ["/bin/bash", str(path)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    ) as job:
        assert job.stdout
        assert "up\n" == job.stdout.readline()
        # The shell sets its traps right after it has started the server.
        deadline = time.monotonic() + PATIENCE
        number = getattr(signal, f"SIG{name}")
        while not _catches(job.pid, number):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        job.send_signal(number)
        assert "epilogue\n" == job.stdout.readline()
        assert 9 == job.wait(PATIENCE)


def _catches(pid: int, number: int) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    mask = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt"))
    return bool(mask >> (number - 1) & 1)


def test_no_secret_is_in_the_script() -> None:
    """The script has no secret, because other users can read it with some schedulers."""
    spec = JobSpec(executable="x", environment={"TOKEN": "topsecret"})
    assert "topsecret" not in render_script(spec, LOCAL, environment_file="/e")


def test_the_script_reads_the_same_whatever_the_scheduler() -> None:
    """Scripts for different schedulers differ in their directives only."""
    spec = JobSpec(executable="x", prologue="p", epilogue="e")
    slurm = render_script(spec, get_scheduler("slurm"))
    plain = "\n".join(line for line in slurm.splitlines() if not line.startswith("#SBATCH"))
    assert render_script(spec, LOCAL) == plain + "\n"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("epilogue", ["", "echo done"])
def test_the_real_launcher_in_a_script_is_valid_shell(shell: str, epilogue: str) -> None:
    """A script with the real launcher is valid shell: no line of the launcher ends the document."""
    spec = JobSpec(executable="python3", arguments=("-I", "-"), epilogue=epilogue)
    script = render_script(spec, LOCAL, shell=shell, standard_input=launcher_source())
    done = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True)
    assert (0, "") == (done.returncode, done.stderr)
    assert 2 == script.count("END_OF_UNISPAWNER_LAUNCHER")


@pytest.mark.parametrize("shell", ["/bin/bash -l", "/bin/sh", "/opt/a/zsh"])
def test_shells(shell: str) -> None:
    """A shell is an absolute path with at most one argument, as the kernel reads a first line."""
    assert f"#!{shell}\n" in render_script(JobSpec(executable="x"), LOCAL, shell=shell)


@pytest.mark.parametrize("shell", ["", "bash", "/bin/bash -l -x", "/bin/sh\nid", "/bin/sh\0"])
def test_no_shells(shell: str) -> None:
    """Other text is refused with the setting's name."""
    with pytest.raises(InvalidJobError, match="^job_shell: "):
        render_script(JobSpec(executable="x"), LOCAL, shell=shell)
