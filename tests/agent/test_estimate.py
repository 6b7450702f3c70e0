"""The agent's question when a job would start: what the scheduler's command gets, and what not."""

from __future__ import annotations

import pytest
from support.agent import Agent

from unispawner.job import JobSpec, ResourceSpec

SPEC = JobSpec(
    name="jupyter",
    executable="python3",
    directory="~/work",
    resources=ResourceSpec(cpu_cores_per_process=4, memory=2**30),
    queue_name="debug",
)
ANSWER = "sbatch: Job 12 to start at 1795794003 using 4 processors on nodes n1 in partition debug"


def slurm(agent: Agent, text: str) -> dict[str, object]:
    """Return the request's scheduler: a fake sbatch that notes what it gets."""
    notes = agent.directory / "notes"
    notes.mkdir(mode=0o777, exist_ok=True)
    notes.chmod(0o777)
    folder = agent.fake_command(
        "sbatch", f'echo "$*" >{notes}/words; env >{notes}/env; cat >{notes}/script; {text}'
    )
    return {"scheduler": "slurm", "scheduler_path": [folder], "shell": "/bin/bash -l"}


def test_the_question(agent: Agent) -> None:
    """sbatch gets the script of a submission on its standard input, and submits nothing. No file of
    the job is written, and the job's own local times keep their meaning."""
    request = slurm(agent, f"echo '{ANSWER}' >&2")
    result = agent.call("estimate", spec=SPEC.to_dict(), **request).result
    assert 1_795_794_003 == result["start"]
    notes = agent.directory / "notes"
    assert "--test-only" == (notes / "words").read_text().strip()
    script = (notes / "script").read_text()
    for line in ("cpus-per-task=4", "mem=1048576K", "partition=debug", "output=/dev/null"):
        assert f"#SBATCH --{line}\n" in script
    assert f"#SBATCH --chdir={agent.account.pw_dir}/work\n" in script
    environment = (notes / "env").read_text().splitlines()
    assert "SLURM_TIME_FORMAT=%s" in environment
    assert not [line for line in environment if line.startswith("TZ=")]
    assert not (agent.state_dir / "jobs").exists()


def test_a_refusal(agent: Agent) -> None:
    """A job that Slurm refuses has an answer, too."""
    request = slurm(agent, "echo 'allocation failure: Invalid account' >&2; exit 1")
    result = agent.call("estimate", spec=SPEC.to_dict(), **request).result
    assert {"outlook": "refused", "start": None, "reason": "Invalid account"} == result


def test_no_answer(agent: Agent) -> None:
    """A controller that does not answer is an error, not a refusal."""
    request = slurm(agent, "echo 'Unable to contact slurm controller' >&2; exit 1")
    error = agent.call("estimate", spec=SPEC.to_dict(), **request).error
    assert "SchedulerUnavailable" == error["type"]


@pytest.mark.threat(
    who="user",
    tries="They ask when a job would start that carries an option of their own.",
    stopped_by="The agent checks the job as it does for a submission.",
)
@pytest.mark.parametrize("key", ["wrap", "array", "test-only", "output"])
def test_a_job_that_cannot_be_a_server(agent: Agent, key: str) -> None:
    """What a submission refuses, a question refuses as well."""
    spec = {**SPEC.to_dict(), "custom_attributes": {f"slurm.{key}": "x"}}
    error = agent.call("estimate", spec=spec, **slurm(agent, "exit 0")).error
    assert "InvalidJobError" == error["type"]
    assert not (agent.directory / "notes" / "script").exists()


def test_a_scheduler_without_such_a_question(agent: Agent) -> None:
    """Where the scheduler has no such command, nothing is known and nothing runs."""
    result = agent.call("estimate", spec=SPEC.to_dict(), shell="/bin/sh", scheduler="pbs").result
    assert {"outlook": "unknown", "start": None, "reason": ""} == result
