"""The legacy classes beside batchspawner 1.3: the same defaults, scripts, commands and calls."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from traitlets import TraitType, Undefined

import unispawner

batchspawner = importlib.import_module("batchspawner")
HOST, JOB = "userhost123", "12345"

CLASSES = (
    *("BatchSpawnerBase", "BatchSpawnerRegexStates", "TorqueSpawner", "MoabSpawner", "PBSSpawner"),
    *("SlurmSpawner", "MultiSlurmSpawner", "GridengineSpawner", "CondorSpawner", "LsfSpawner"),
)
XML = "<job_info><queue_info>{}</queue_info></job_info>"
GE_JOB = "<job_list state='{}'><JB_job_number>12345</JB_job_number>{}</job_list>"
GE_RUNNING = XML.format(GE_JOB.format("running", f"<queue_name>all.q@{HOST}</queue_name>"))
TORQUE_RUNNING = f"<job_state>R</job_state><exec_host>{HOST}/1</exec_host>"
MOAB_RUNNING = f'State="Running" AllocNodeList="{HOST}"'
PBS_RUNNING = f"job_state = R\nexec_host = {HOST}/2*1"

# The output of submit, of query for a waiting and for a running job, and for no job.
ANSWERS = {
    "TorqueSpawner": (JOB, "<job_state>Q</job_state>", TORQUE_RUNNING, ""),
    "MoabSpawner": (JOB, 'State="Idle"', MOAB_RUNNING, ""),
    "PBSSpawner": (JOB, "job_state = Q", PBS_RUNNING, ""),
    "SlurmSpawner": (f"a plugin's word\n{JOB};cluster", "PENDING n/a", f"RUNNING {HOST}", ""),
    "GridengineSpawner": (
        f'Your job {JOB} ("spawner-jupyterhub") has been submitted',
        XML.format(GE_JOB.format("pending", "")),
        GE_RUNNING,
        XML.format(""),
    ),
    "CondorSpawner": (f"1 job(s) submitted to cluster {JOB}.", "1, ", f"2, slot1@{HOST}", ""),
    "LsfSpawner": (
        f"Job <{JOB}> is submitted to default queue <normal>.",
        "PEND -",
        f"RUN {HOST}",
        "",
    ),
}
SETTINGS = {
    "req_queue": "some_queue",
    "req_host": "some.host",
    "req_memory": "5678",
    "req_nprocs": "5",
    "req_runtime": "3-05:10:10",
    "req_options": "--some_option=asdf qwer",
    "req_prologue": "PROLOGUE\nexport A=$B",
    "req_epilogue": "EPILOGUE",
    "req_keepvars_extra": "MORE",
    "args": ["--a=b c", '--d="e\'f"'],
}


@pytest.mark.parametrize("name", CLASSES)
def test_every_trait_and_its_default(name: str) -> None:
    """Each class has all of batchspawner's settings, with the same defaults."""
    ours = getattr(unispawner, name).class_traits()
    for trait, theirs in getattr(batchspawner, name).class_traits().items():
        if type(theirs) is not TraitType or theirs.default_value is not Undefined:
            assert theirs.default_value == ours[trait].default_value, trait
        assert theirs.metadata.get("config") == ours[trait].metadata.get("config"), trait


@pytest.mark.parametrize("name", CLASSES)
def test_every_method(name: str) -> None:
    """Each class has all public methods that a site's subclass may call or replace."""
    theirs = {attribute for attribute in vars(getattr(batchspawner, name)) if attribute[0] != "_"}
    assert set() == theirs - set(dir(getattr(unispawner, name)))


def test_every_public_name() -> None:
    """unispawner and unispawner.legacy have all of batchspawner's names, and JobStatus has the same
    values."""
    names = {*CLASSES, "UserEnvMixin", "JobStatus", "format_template"}
    for module in ("unispawner", "unispawner.legacy"):
        assert names <= set(dir(importlib.import_module(module)))
    theirs = {state.name: state.value for state in batchspawner.JobStatus}
    assert theirs == {state.name: state.value for state in unispawner.JobStatus}


def record_calls(spawner_class: type, answers: tuple[str, ...], calls: list[Any]) -> type:
    """Return a site's subclass that gives its commands prepared answers and records the calls."""
    submitted, pending, running, gone = answers
    left = [submitted, pending, running, running, "cancelled", gone]

    class Recording(spawner_class):
        async def run_command(self, cmd: str, input: str | None = None, env: Any = None) -> str:
            calls.append((cmd, input, None if env is None else sorted(env)))
            return left.pop(0)

    return Recording


async def run_server(
    new_spawner: Any, spawner_class: type, answers: tuple[str, ...], **settings: Any
) -> Any:
    """Start, poll and stop a server; return the commands and all that is visible from outside."""
    calls: list[Any] = []
    spawner = new_spawner(record_calls(spawner_class, answers, calls), **SETTINGS, **settings)
    spawner.startup_poll_interval = 0.01
    seen = [await spawner.poll(), spawner.get_state()]
    seen += [await spawner.start(), spawner.ip, spawner.port, spawner.job_id, spawner.get_state()]
    seen += [await spawner.poll()]
    await spawner.stop()
    # The next query gets no answer: batchspawner takes that for the end of the job.
    seen += [await spawner.poll(), spawner.get_state()]
    return calls, seen


@pytest.mark.parametrize("name", ANSWERS)
async def test_the_life_of_a_server(new_spawner: Any, name: str) -> None:
    """A server's whole life has the same commands in the same order, the same script to the letter,
    and the same results."""
    answers = ANSWERS[name]
    ours = await run_server(new_spawner, getattr(unispawner, name), answers)
    theirs = await run_server(new_spawner, getattr(batchspawner, name), answers)
    assert theirs[1] == ours[1]
    assert [call[:2] for call in theirs[0]] == [call[:2] for call in ours[0]]
    # Each name is in the submit command's environment, so that "-v NAME" finds it.
    assert set(theirs[0][0][2]) <= set(ours[0][0][2])
    assert "batchspawner-singleuser singleuser_command --a=b c" in ours[0][0][1]


async def test_the_name_of_a_node(new_spawner: Any) -> None:
    """MultiSlurmSpawner returns the host of a node's name from daemon_resolver."""
    calls: list[Any] = []
    spawner_class = record_calls(unispawner.MultiSlurmSpawner, ANSWERS["SlurmSpawner"], calls)
    spawner = new_spawner(spawner_class, daemon_resolver={HOST: "there.example"})
    spawner.startup_poll_interval = 0.01
    assert "there.example" == (await spawner.start())[0]
