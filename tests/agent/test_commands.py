"""The agent's commands: a time-out leaves nothing of them behind, and harms nobody else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.agent import wait_for

AGENT = """
import subprocess, sys
from unispawner.agent.commands import run
from unispawner.errors import SchedulerUnavailable

bystander = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL, process_group=0)
ours = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL)
try:
    run(["/bin/sh", "-c", sys.argv[1]], timeout=1.0)
except SchedulerUnavailable as error:
    print(error.message, bystander.poll(), ours.poll(), sep="|")
for process in (bystander, ours):
    process.kill()
"""
if sys.version_info < (3, 11):
    AGENT = AGENT.replace("process_group=0", "preexec_fn=__import__('os').setpgrp")


def run_agent(script: str, *, leads: bool) -> list[str]:
    """Return what an agent prints after a command's time-out, which leads its session or does
    not."""
    command = [sys.executable, "-I", "-c", AGENT, script]
    if not leads:
        command = ["/bin/sh", "-c", '"$@"; true', "sh", *command]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, start_new_session=True, check=True
    )
    return done.stdout.strip().split("|")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("script", "leads"),
    [
        ("sleep 600 & echo $! >{pids}; wait", True),
        ("sleep 600 & echo $! >{pids}", True),  # it holds the output after the command's end
        ("sleep 600 & echo $! >{pids}", False),
        ("set -m; sleep 600 & echo $! >{pids}", True),
    ],
)
def test_a_time_out_ends_what_the_command_has_started(
    tmp_path: Path, script: str, leads: bool
) -> None:
    """A command that does not end in time is killed together with what it has started."""
    pids = tmp_path / "pids"
    message, *_ = run_agent(script.format(pids=pids), leads=leads)
    assert "/bin/sh did not end within 1 s." == message
    pid = int(pids.read_text())
    wait_for(lambda: not is_alive(pid))


def test_a_time_out_ends_nobody_elses_processes() -> None:
    """An agent that does not lead its session, as one that is run by hand in a shell, kills only
    the process group of its command. In any case other processes that it has started go on."""
    assert ["None", "None"] == run_agent("sleep 600", leads=False)[1:]
    assert "None" == run_agent("sleep 600", leads=True)[2]
