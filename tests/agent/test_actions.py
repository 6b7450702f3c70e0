"""The agent's actions, with real jobs of the local scheduler and saved output of Slurm."""

import json
import os
import pwd
import resource
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import support
from support.agent import Agent, wait_for

from unispawner.agent import actions, commands
from unispawner.agent.login import login_umask
from unispawner.errors import SchedulerUnavailable
from unispawner.job import JobState, ResourceSpec
from unispawner.schedulers import get_scheduler
from unispawner.schedulers.base import Reply
from unispawner.testing import read_saved_reply

ROOT = os.getuid() == 0
MARK = "0123456789abcdef"
OTHER = "fedcba9876543210"
LOCAL = get_scheduler("local")
OUTPUTS = support.OUTPUTS / "slurm"


def listed() -> dict[str, Any]:
    """Return what `python -m unispawner.schedulers.local` prints for the account of the tests."""
    command = LOCAL.status_command()
    done = subprocess.run(command, capture_output=True, text=True)
    return LOCAL.read_status(Reply(tuple(command), done.returncode, done.stdout, done.stderr))


def left(agent: Agent) -> set[str]:
    """Return the jobs and logs that are left."""
    return {str(path.relative_to(agent.state_dir)) for path in agent.state_dir.glob("*/*")}


def is_over(job_id: str) -> bool:
    found = listed().get(job_id)
    return found is None or found.state.final


# -- a job of the local scheduler ---------------------------------------------------------------


def test_the_life_of_a_job(agent: Agent) -> None:
    """A job is submitted, listed under its owner, found by its mark, cancelled, and cleaned up."""
    spec = agent.spec("echo started; sleep 600", environment={"TOKEN": "topsecret"})
    result = agent.submit(spec).result
    job_id = result["job_id"]
    assert agent.account.pw_name == listed()[job_id].owner
    assert JobState.RUNNING is listed()[job_id].state
    assert {"job_id": job_id} == agent.call("find", mark=MARK).result
    assert wait_for(lambda: "started" in agent.call("log", mark=MARK, lines=5).result["tail"])
    answer = agent.call("status", job_ids=[job_id, "999999999.1"]).result
    assert ([job_id], "RUNNING") == (list(answer), answer[job_id]["state"])
    assert {} == agent.call("cancel", job_id=job_id, force=False).result
    wait_for(lambda: is_over(job_id))
    assert {} == agent.call("cancel", job_id=job_id, force=False).result
    assert {f"jobs/{MARK}", f"logs/{MARK}.log"} == left(agent)
    agent.call("cleanup", mark=MARK)
    assert {f"logs/{MARK}.log"} == left(agent)
    probe = Path(agent.account.pw_dir) / f".unispawner-probe-{MARK}"
    probe.touch()
    agent.call("cleanup", mark=MARK)
    assert probe.exists()
    agent.call("cleanup", mark=MARK, probe=True)
    assert not probe.exists()
    assert result["log"] == str(agent.state_dir / "logs" / f"{MARK}.log")


def test_jobs_with_a_mark_are_listed_and_ended(agent: Agent) -> None:
    """The user's jobs with a mark are listed until they end; one is ended only under its own id."""
    mark = f"prod-{OTHER}"
    job_id = agent.submit(agent.spec("sleep 600", mark=mark)).result["job_id"]
    (found,) = [one for one in agent.call("marked").result["jobs"] if one["mark"] == mark]
    expected = (job_id, agent.account.pw_name, "RUNNING")
    assert expected == (found["job_id"], found["status"]["owner"], found["status"]["state"])
    nothing: dict[str, Any] = {"cancelled": [], "errors": {}}
    assert nothing == agent.call("end_marked", jobs={mark: "999999999.1"}).result
    assert nothing == agent.call("end_marked", jobs={f"test-{OTHER}": job_id}).result
    assert not is_over(job_id)
    assert {**nothing, "cancelled": [mark]} == agent.call("end_marked", jobs={mark: job_id}).result
    wait_for(lambda: is_over(job_id))
    assert mark not in {one["mark"] for one in agent.call("marked").result["jobs"]}


def test_a_forged_row_does_not_count(agent: Agent) -> None:
    """A comment with a line break can look like another job's row; the Hub's side drops a job of
    which the scheduler says that it is another account's, and jobs that have ended are left out."""
    row = "printf '%s|bob|RUNNING|None|n1||N/A|N/A|N/A\\n' 7 8"
    comments = f"echo '7 unispawner:prod-{MARK}'; echo '8 unispawner:prod-{OTHER}'"
    folder = agent.fake_command("squeue", f'case "$*" in *%k*) {comments};; *) {row};; esac')
    slurm = {"scheduler": "slurm", "scheduler_path": [folder]}
    jobs = agent.call("marked", **slurm).result["jobs"]
    assert [("7", "bob"), ("8", "bob")] == [(one["job_id"], one["status"]["owner"]) for one in jobs]


@pytest.mark.parametrize("job_id", ["-f", "1;id", "", "1 2"])
def test_an_odd_id_is_not_ended(agent: Agent, job_id: str) -> None:
    """An id that the scheduler can't have given is refused before any command runs."""
    error = agent.call("end_marked", jobs={MARK: job_id}).error
    assert "AgentError" == error["type"]


def test_the_files_of_a_job_are_private(agent: Agent) -> None:
    """The token is in one file of mode 0600, and in no command line or environment listing."""
    spec = agent.spec("sleep 600", environment={"TOKEN": "topsecret"})
    job_id = agent.submit(spec).result["job_id"]
    private = agent.state_dir / "jobs" / MARK
    files = sorted(private.iterdir())
    assert ["cluster", "environment", "job_id", "script"] == [path.name for path in files]
    assert [0o600] * 4 == [stat.S_IMODE(path.stat().st_mode) for path in files]
    assert [agent.account.pw_uid] * 4 == [path.stat().st_uid for path in files]
    assert "TOKEN" in (private / "environment").read_text()
    assert "topsecret" not in (private / "script").read_text()
    pid = job_id.partition(".")[0]
    assert b"topsecret" not in Path(f"/proc/{pid}/cmdline").read_bytes()


def narrow_umask() -> None:
    os.umask(0o077)


def test_the_certificates_of_a_job(agent: Agent) -> None:
    """The files of internal_ssl are private files of the job, whose environment names them; a file
    of another name is not written. The server's certificate is not among them, because its host is
    not known yet."""
    texts = {"keyfile": "KEY", "clientfile": "CERT", "cafile": "CA", "../other": "text"}
    paths = {"JUPYTERHUB_SSL_KEYFILE": "/of/the/hub", "OTHER": "stays"}
    agent.submit(agent.spec("env; sleep 600", environment=paths), certificates=texts)
    folder = agent.state_dir / "jobs" / MARK
    for name in ("keyfile", "clientfile", "cafile"):
        assert texts[name] == (folder / name).read_text()
        assert 0o600 == stat.S_IMODE((folder / name).stat().st_mode)
    assert [] == list(agent.state_dir.rglob("other"))
    wanted = {
        f"JUPYTERHUB_SSL_KEYFILE={folder}/keyfile",
        f"UNISPAWNER_CLIENT_CERTIFICATE={folder}/clientfile",
        f"JUPYTERHUB_SSL_CLIENT_CA={folder}/cafile",
        "OTHER=stays",
    }

    def printed() -> set[str]:
        return set(agent.call("log", mark=MARK, lines=99).result["tail"].splitlines())

    assert wait_for(lambda: wanted <= printed())
    assert not any(line.startswith("JUPYTERHUB_SSL_CERTFILE=") for line in printed())


def test_a_job_with_the_environment_of_another(agent: Agent) -> None:
    """A second job of a server gets the variables of the first, its own mark, and its own
    certificates, whose paths have its mark."""
    before = {"TOKEN": "top 'secret'", "UNISPAWNER_SSL": "x"}
    agent.submit(agent.spec("sleep 600", environment=before), certificates={"keyfile": "ONE"})
    spec = agent.spec("env; sleep 600", environment={"IGNORED": "1"}, mark=OTHER)
    agent.submit(spec, environment_of=MARK, certificates={"keyfile": "TWO"})
    folder = agent.state_dir / "jobs" / OTHER
    assert "TWO" == (folder / "keyfile").read_text()
    assert 0o600 == stat.S_IMODE((folder / "environment").stat().st_mode)
    text = (folder / "environment").read_text()
    assert (False, False) == (MARK in text, "IGNORED" in text)

    def printed() -> set[str]:
        return set(agent.call("log", mark=OTHER, lines=99).result["tail"].splitlines())

    wanted = {
        "TOKEN=top 'secret'",
        f"UNISPAWNER_MARK={OTHER}",
        f"JUPYTERHUB_SSL_KEYFILE={folder}/keyfile",
    }
    assert wait_for(lambda: wanted <= printed())


@pytest.mark.threat(
    who="user",
    tries="They replace the environment file of a running server before a second job copies it.",
    stopped_by="The agent copies it as that user, follows no link, and reads no other kind of file"
    " and no more than a request may have.",
)
@pytest.mark.parametrize("what", ["missing", "link", "fifo", "large", "binary"])
def test_an_environment_that_cannot_be_copied(agent: Agent, what: str) -> None:
    """The second job is not submitted, and the error says so at once."""
    agent.submit(agent.spec("sleep 600"))
    path = agent.state_dir / "jobs" / MARK / "environment"
    path.unlink()
    if what == "link":
        path.symlink_to("/etc/passwd")
    elif what == "fifo":
        os.mkfifo(path)
    elif what == "large":
        path.write_text("#" * (8 * 1024**2 + 1))
    elif what == "binary":
        path.write_bytes(b"\xff\xfe")
    if what != "missing":
        agent.own(path)
    error = agent.submit(agent.spec("true", mark=OTHER), environment_of=MARK).error
    assert ("AgentError", True) == (error["type"], error["unsent"])
    assert "Stop the server, and start it anew" in error["message"]
    assert not (agent.state_dir / "jobs" / OTHER).exists()


def test_the_environment_of_what_is_no_job(agent: Agent) -> None:
    """Only a mark names the job whose environment is copied: no path gets out of the folder."""
    for mark in ("../other", "/etc", "x"):
        error = agent.submit(agent.spec("true", mark=OTHER), environment_of=mark).error
        assert "is not the mark of a job" in error["message"]


def test_a_job_starts_from_a_clean_environment(agent: Agent) -> None:
    """A job gets the environment that it asks for, and nothing from the Hub's or sudo's."""
    out = agent.directory / "out"
    command = f"env -0 >{out}.new; umask >{out}.umask; pwd >{out}.pwd; mv {out}.new {out}"
    spec = agent.spec(command, environment={"WANTED": 'a "b"\nc'})
    request = agent.request(
        "submit",
        spec=spec.to_dict(),
        shell="/bin/sh",
        scheduler_environment={"SCHEDULER_SETTING": "1"},
    )
    agent.send(
        json.dumps(request).encode(),
        environment={"PATH": "/usr/bin:/bin", "HUB_SECRET": "x", "JUPYTERHUB_CRYPT_KEY": "y"},
        prepare=narrow_umask,
    )
    wait_for(out.exists)
    got = dict(entry.split("=", 1) for entry in out.read_text().split("\0") if entry)
    assert {"HUB_SECRET", "JUPYTERHUB_CRYPT_KEY"} & set(got) == set()
    assert ('a "b"\nc', "1", MARK) == (
        got["WANTED"],
        got["SCHEDULER_SETTING"],
        got["UNISPAWNER_MARK"],
    )
    assert agent.account.pw_dir == got["HOME"]
    assert str(agent.directory) == Path(f"{out}.pwd").read_text().strip()
    assert login_umask() == int(Path(f"{out}.umask").read_text(), 8)


def test_a_job_outlives_the_agent_and_keeps_its_log(agent: Agent) -> None:
    """A job goes on after the agent's end, and writes its output to its own log."""
    spec = agent.spec(
        f"until [ -e {agent.directory}/go ]; do sleep 0.05; done; echo late; echo e >&2"
    )
    job_id = agent.submit(spec).result["job_id"]
    (agent.directory / "go").touch()
    wait_for(lambda: is_over(job_id))
    assert "late\ne" == agent.call("log", mark=MARK, lines=5).result["tail"]
    assert "e" == agent.call("log", mark=MARK, lines=1).result["tail"]


def test_force_ends_a_job_that_ignores_signals(agent: Agent) -> None:
    """Without force a job gets SIGTERM, and with force SIGKILL."""
    ready = agent.directory / "ready"
    job_id = agent.submit(agent.spec(f"trap '' TERM; touch {ready}; sleep 600")).result["job_id"]
    wait_for(ready.exists)
    assert {} == agent.call("cancel", job_id=job_id, force=False).result
    assert not is_over(job_id)
    assert {} == agent.call("cancel", job_id=job_id, force=True).result
    wait_for(lambda: is_over(job_id))


def test_a_reused_process_id_is_another_job(agent: Agent) -> None:
    """A process that has the job's process id by chance is not ended."""
    with subprocess.Popen(["sleep", "600"], start_new_session=True, **agent.as_user()) as process:
        assert {} == agent.call("cancel", job_id=f"{process.pid}.1", force=True).result
        assert None is process.poll()
        process.kill()


@pytest.mark.parametrize("job_id", ["-1.1", "1 2", "--marks", "1.1\n", "", "1", None, ["1.1"]])
@pytest.mark.parametrize("action", ["cancel", "status"])
def test_what_is_no_job_id_reaches_no_command(agent: Agent, action: str, job_id: Any) -> None:
    """Text that is not a job id is an error before any command runs."""
    arguments = {"job_id": job_id, "job_ids": [job_id], "force": False}
    assert "AgentError" == agent.call(action, **arguments).error["type"]


# -- submissions that fail ----------------------------------------------------------------------


def test_a_missing_directory_is_named(agent: Agent) -> None:
    """The error names the missing directory, and no file is left."""
    error = agent.submit(agent.spec("", directory="/no/such/place")).error
    assert "SubmitError" == error["type"]
    assert "/no/such/place" in error["message"]
    assert set() == left(agent)


@pytest.mark.parametrize("shell", ["bash", "/bin/sh\nid", "/bin/sh -x -y"])
def test_a_wrong_shell_is_named(agent: Agent, shell: str) -> None:
    """The error names the setting, and no file is left."""
    error = agent.submit(agent.spec(""), shell=shell).error
    assert ("InvalidJobError", True) == (error["type"], error["message"].startswith("job_shell"))
    assert set() == left(agent)


def test_what_the_scheduler_cannot_do_is_refused_on_this_side_too(agent: Agent) -> None:
    """The agent refuses what the scheduler does not support before it makes any file."""
    spec = agent.spec("", resources=ResourceSpec(memory=1))
    assert "InvalidJobError" == agent.submit(spec).error["type"]
    assert not agent.state_dir.exists()


def test_a_wrong_job_is_refused_on_this_side_too(agent: Agent) -> None:
    """The agent checks the job again."""
    spec = {**agent.spec("").to_dict(), "name": "a\n#SBATCH --uid=0"}
    assert "InvalidJobError" == agent.call("submit", spec=spec, shell="/bin/sh").error["type"]


def no_room() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def test_no_room_for_the_files(agent: Agent) -> None:
    """A full disk or quota is an error that says what to check, and no file is left."""
    request = agent.request("submit", spec=agent.spec("", environment={"A": "1"}).to_dict())
    raw = json.dumps({**request, "shell": "/bin/sh"}).encode()
    error = agent.send(raw, prepare=no_room).error
    assert "AgentError" == error["type"]
    assert "quota" in error["message"]
    assert "c.UniSpawner.state_dir" in error["message"]
    assert not (agent.state_dir / "jobs" / MARK).exists()


def test_no_room_is_an_error_with_the_place(agent: Agent) -> None:
    """The error names the directory on the full disk."""
    request = agent.request("submit", spec=agent.spec("", environment={"A": "1"}).to_dict())
    raw = json.dumps({**request, "shell": "/bin/sh"}).encode()
    assert str(agent.state_dir) in agent.send(raw, prepare=no_room).error["message"]


@pytest.mark.parametrize("where", ["/proc/unispawner", "/dev/null/x", "relative"])
def test_a_wrong_state_dir(agent: Agent, where: str) -> None:
    """The error for a wrong state directory names the setting."""
    error = agent.submit(agent.spec(""), state_dir=where).error
    assert "AgentError" == error["type"]
    assert "state_dir" in error["message"]


# -- what jobs leave ----------------------------------------------------------------------------


def age(agent: Agent, mark: str) -> Path:
    directory = Path(agent.state_dir / "jobs" / mark)
    yesterday = time.time() - 86400
    os.utime(directory, (yesterday, yesterday))
    return directory


def stale(agent: Agent, mark: str, job_id: str = "", like: str = "") -> Path:
    """Return a directory that an old job has left, on the cluster of the job with mark `like`."""
    agent.call("check")
    directory = agent.state_dir / "jobs" / mark
    directory.mkdir(mode=0o700)
    agent.own(directory)
    (directory / "environment").write_text("export TOKEN=x\n")
    if like:
        shutil.copy(agent.state_dir / "jobs" / like / "cluster", directory / "cluster")
        agent.own(directory / "cluster")
    if job_id:
        (directory / "job_id").write_text(job_id)
        (directory / "job_id").chmod(0o644)
    return age(agent, mark)


def test_old_directories_of_dead_jobs_are_swept(agent: Agent) -> None:
    """Old directories of ended jobs are removed; those of other jobs, and new ones, stay."""
    live = "a" * 16
    agent.submit(agent.spec("sleep 600", mark=live))
    unheard = "b" * 16  # its submission's answer was lost before the id was written
    agent.submit(agent.spec("sleep 600", mark=unheard))
    (agent.state_dir / "jobs" / unheard / "job_id").unlink()
    for mark in (live, unheard):
        age(agent, mark)
    stale(agent, "c" * 16, "999999999.1", like=live)
    stale(agent, "d" * 16, like=live)
    stale(agent, "e" * 16, "garbage; id", like=live)
    new = "f" * 16
    (agent.state_dir / "jobs" / new).mkdir()
    agent.own(agent.state_dir / "jobs" / new)
    agent.submit(agent.spec("sleep 600", mark=MARK))
    assert {live, unheard, new, MARK} == {
        path.name for path in (agent.state_dir / "jobs").iterdir()
    }


def test_nothing_is_swept_while_the_scheduler_is_down(agent: Agent) -> None:
    """If the scheduler does not answer, nothing is removed."""
    folder = agent.fake_command("squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")
    agent.fake_command("sbatch", "echo 1")
    slurm = {"scheduler": "slurm", "scheduler_path": [folder]}
    agent.submit(agent.spec("", mark="a" * 16), **slurm)
    directory = stale(agent, OTHER, "77", like="a" * 16)
    agent.submit(agent.spec(""), **slurm)
    assert (directory / "environment").exists()


OTHER_CLUSTERS: dict[str, dict[str, Any]] = {
    "slurm_cluster": {"scheduler_options": {"slurm_cluster": "beta"}},
    "environment": {"scheduler_environment": {"SLURM_CONF": "/beta.conf"}},
    "submit host": {"submit_host": "login2"},
}


@pytest.mark.parametrize("name", OTHER_CLUSTERS)
def test_files_of_another_cluster_are_not_swept(agent: Agent, name: str) -> None:
    """A cluster that knows no job of an id says nothing of another cluster's job of that id: its
    private files stay, and the same cluster's are removed."""
    heading = "JOBID|USER|STATE|REASON|EXEC_HOST|PARTITION|PRIORITY|START_TIME|END_TIME"
    folder = agent.fake_command("squeue", f"case $1 in -h) ;; *) echo '{heading}';; esac")
    agent.fake_command("sbatch", "echo 1")
    slurm = {"scheduler": "slurm", "scheduler_path": [folder]}
    for mark, more in (("a" * 16, {}), ("b" * 16, OTHER_CLUSTERS[name])):
        agent.submit(agent.spec("", mark=mark), **{**slurm, **more})
    for mark in ("a" * 16, "b" * 16):
        age(agent, mark)
    agent.submit(agent.spec(""), **slurm)
    assert {"b" * 16, MARK} == {path.name for path in (agent.state_dir / "jobs").iterdir()}


def test_files_that_no_scheduler_is_asked_about(agent: Agent) -> None:
    """The files of another cluster's job are removed after two months."""
    directory = stale(agent, OTHER, "77")
    long_ago = time.time() - 61 * 86400
    os.utime(directory, (long_ago, long_ago))
    agent.submit(agent.spec("true"))
    assert not directory.exists()


# -- Slurm's words ------------------------------------------------------------------------------


def replay(agent: Agent, command: str, name: str) -> str:
    """Make a command that prints saved output."""
    reply = read_saved_reply(OUTPUTS / name)
    (agent.directory / "stdout").write_text(reply.stdout)
    (agent.directory / "stderr").write_text(reply.stderr)
    here = agent.directory
    return str(
        agent.fake_command(
            command,
            f'cp "$2" {here}/script 2>/dev/null; echo "$@" >{here}/arguments; umask >{here}/umask\n'
            f"cat {here}/stdout; cat {here}/stderr >&2; exit {reply.exit_status}",
        )
    )


def test_a_slurm_submission(agent: Agent) -> None:
    """One sbatch gets the script and the user's umask; the script's file is removed."""
    folder = replay(agent, "sbatch", "sbatch-parsable")
    spec = agent.spec("", resources=ResourceSpec(memory=2**30), queue_name="debug")
    result = agent.submit(spec, scheduler="slurm", scheduler_path=[folder], shell="/bin/bash -l")
    assert "9" == result.result["job_id"]
    script = (agent.directory / "script").read_text()
    assert script.startswith("#!/bin/bash -l\n#SBATCH --job-name=jupyter\n")
    for line in ("--partition=debug", "--mem=1048576K", f"--comment=unispawner:{MARK}"):
        assert f"#SBATCH {line}\n" in script
    assert f"#SBATCH --output={agent.state_dir}/logs/{MARK}.log\n" in script
    assert (agent.directory / "arguments").read_text().startswith("--parsable /")
    assert {"cluster", "environment", "job_id"} == {
        path.name for path in (agent.state_dir / "jobs" / MARK).iterdir()
    }
    assert {"job_id": "9"} == agent.call(
        "find", mark=MARK, scheduler="slurm", scheduler_path=[folder]
    ).result


@pytest.mark.parametrize(
    ("printed", "expected"),
    [("9", "9"), ("9;cluster2", "9"), ("hello from a plugin\n9\n", "9"), ("9\nbye\n\n", "9")],
)
def test_the_job_id_is_found_among_what_a_site_prints(
    agent: Agent, printed: str, expected: str
) -> None:
    """The job's id is found among the output of plugins; a cluster's name may follow it."""
    folder = agent.fake_command("sbatch", f"printf '%s\\n' '{printed}'")
    result = agent.submit(agent.spec(""), scheduler="slurm", scheduler_path=[folder]).result
    assert expected == result["job_id"]


def test_no_job_id_is_an_error(agent: Agent) -> None:
    """Output without a job id is an error that contains the output."""
    folder = agent.fake_command("sbatch", "echo welcome")
    error = agent.submit(agent.spec(""), scheduler="slurm", scheduler_path=[folder]).error
    assert ("AgentError", "welcome") == (error["type"], error["output"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sbatch-bad-partition", "SubmitError"),
        ("sbatch-too-much-memory", "SubmitError"),
        ("sbatch-ctld-down", "SchedulerUnavailable"),
    ],
)
def test_a_refusal_has_sbatchs_words(agent: Agent, name: str, expected: str) -> None:
    """A refusal is an error with sbatch's own words and exit status."""
    folder = replay(agent, "sbatch", name)
    error = agent.submit(agent.spec(""), scheduler="slurm", scheduler_path=[folder]).error
    reply = read_saved_reply(OUTPUTS / name)
    assert (expected, reply.stderr.strip()) == (error["type"], error["output"])
    assert reply.exit_status == error["exit_status"]
    assert "sbatch" == error["command"][0]


def test_a_refused_submission_leaves_nothing(agent: Agent) -> None:
    """A refused submission leaves no secret and no log."""
    folder = replay(agent, "sbatch", "sbatch-bad-partition")
    agent.submit(agent.spec(""), scheduler="slurm", scheduler_path=[folder])
    assert set() == left(agent)


def test_a_submission_of_unknown_outcome_keeps_its_files(agent: Agent) -> None:
    """If sbatch gives no answer, the files stay: the Hub may find the job later."""
    folder = replay(agent, "sbatch", "sbatch-ctld-hangs")
    agent.fake_command("squeue", f"echo '12 unispawner:{MARK}'")
    slurm = {"scheduler": "slurm", "scheduler_path": [folder]}
    assert "SchedulerUnavailable" == agent.submit(agent.spec(""), **slurm).error["type"]
    assert {"job_id": "12"} == agent.call("find", mark=MARK, **slurm).result
    assert (agent.state_dir / "jobs" / MARK / "environment").exists()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("scancel-cancelled", None),
        ("scancel-unknown-id", None),
        ("scancel-bad-id", None),
        ("scancel-other-user", "CancelError"),
        ("scancel-ctld-down", "SchedulerUnavailable"),
    ],
)
def test_a_failed_cancellation_has_scancels_words(
    agent: Agent, name: str, expected: str | None
) -> None:
    """A failed cancellation has scancel's words; it is not an error if the job has ended."""
    folder = replay(agent, "scancel", name)
    arguments = {"job_id": "15", "force": False, "scheduler": "slurm", "scheduler_path": [folder]}
    reply = agent.call("cancel", **arguments).reply
    assert expected == (reply["error"]["type"] if "error" in reply else None)
    assert "15" == (agent.directory / "arguments").read_text().strip()


def test_a_job_is_found_by_its_mark_alone(agent: Agent) -> None:
    """A job is found by its mark if the agent ended before it wrote the id."""
    folder = agent.fake_command("squeue", f"echo '11 (null)'; echo '12 unispawner:{MARK}'")
    slurm = {"scheduler": "slurm", "scheduler_path": [folder]}
    assert {"job_id": "12"} == agent.call("find", mark=MARK, **slurm).result
    assert {"job_id": ""} == agent.call("find", mark=OTHER, **slurm).result


def test_not_finding_is_no_answer_while_the_scheduler_is_down(agent: Agent) -> None:
    """If the scheduler does not answer, the search for a job is an error."""
    folder = replay(agent, "squeue", "squeue-ctld-down")
    error = agent.call("find", mark=MARK, scheduler="slurm", scheduler_path=[folder]).error
    assert "SchedulerUnavailable" == error["type"]


def test_psij_leaves_nothing_in_the_home(agent: Agent) -> None:
    """PSI/J's default work directory is not created."""
    home = Path(agent.account.pw_dir)
    before = sorted(home.glob(".psij*/**/*"))
    folder = replay(agent, "sbatch", "sbatch-parsable")
    agent.submit(agent.spec(""), scheduler="slurm", scheduler_path=[folder])
    assert before == sorted(home.glob(".psij*/**/*"))


def test_what_doctor_wants_to_know(agent: Agent) -> None:
    """The check reports the scheduler's commands and their paths."""
    folder = agent.fake_command("sbatch", "")
    result = agent.call("check", scheduler="slurm", scheduler_path=[folder]).result
    assert f"{folder}/sbatch" == result["commands"]["sbatch"]
    assert {"sbatch", "squeue", "scancel"} == set(result["commands"])
    assert sys.executable == result["python"]
    assert pwd.getpwuid(agent.account.pw_uid).pw_name == result["account"]


# -- the files of a legacy job ------------------------------------------------------------------


def stage(agent: Agent, **environment: str) -> Path:
    """Write the files of a job; return its folder."""
    arguments = {"mark": MARK, "environment": environment, "python": sys.executable}
    submitted = {"SITE": "the server's"}
    done = agent.call("stage", options=["--host", "short"], submitted=submitted, **arguments)
    return Path(done.result["wrapper"]).parent


def test_the_files_of_a_legacy_job(agent: Agent) -> None:
    """The wrapper, the launcher, the environment and what the script reads are private files."""
    folder = stage(agent, SITE="the server's", JUPYTERHUB_API_TOKEN="topsecret")
    names = {"batchspawner-singleuser": 0o700, "launcher.py": 0o600, "environment": 0o600}
    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert {**names, "variables": 0o600} == found
    assert "topsecret" in (folder / "environment").read_text()
    assert "topsecret" not in (folder / "variables").read_text()


@pytest.mark.parametrize("site", ["the script's", "the server's"])
def test_batchspawners_own_program_behind_the_wrapper(agent: Agent, site: str) -> None:
    """The wrapper runs batchspawner's program, given by its path, without the launcher: it reports
    by itself. It has what the script has set."""
    folder = stage(agent, SITE="the server's", JUPYTERHUB_API_TOKEN="topsecret")
    program = agent.directory / "batchspawner-singleuser"
    program.write_text('#!/bin/sh\necho "$@" $SITE $JUPYTERHUB_API_TOKEN $UNISPAWNER_ENVIRONMENT\n')
    program.chmod(0o755)
    agent.directory.chmod(0o755)
    line = (
        f'. {folder}/variables; export SITE="{site}"; {folder}/batchspawner-singleuser {program} a'
    )
    environment = {"PATH": os.environ["PATH"], "SITE": "the server's", "JUPYTERHUB_API_TOKEN": ""}
    done = subprocess.run(["/bin/sh", "-c", line], env=environment, capture_output=True, text=True)
    assert f"a {site} topsecret\n" == done.stdout


def test_programs_that_are_missing(agent: Agent) -> None:
    """Paths without a program are named."""
    done = agent.call("missing", programs=["/bin/sh", "/etc/passwd", "/opt/nowhere/program"])
    assert {"missing": ["/etc/passwd", "/opt/nowhere/program"]} == done.result


def test_a_job_in_a_line_that_cannot_be_read_is_not_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a job occurs only in a line that can't be read, the answer says nothing about it."""
    printed = "7|alice|RUNNING|None|node1|debug|1|0|0\n8|ali\n"

    def answer(command: list[str], **_: object) -> Reply:
        return Reply(tuple(command), 0, printed)

    monkeypatch.setattr(commands, "run", answer)
    slurm = get_scheduler("slurm")
    assert {"7"} == set(actions.ask_for_jobs(slurm, ["7", "9"]))
    with pytest.raises(SchedulerUnavailable, match="in lines that can't be read") as caught:
        actions.ask_for_jobs(slurm, ["7", "8"])
    assert "8|ali" == caught.value.output
