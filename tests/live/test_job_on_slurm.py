"""A server's job on a real Slurm.

All that was requested reaches the job, it is as if its user had submitted it, and no other user
learns its secrets. The Hub has its own umask and limits, which no job must get.
"""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.attacks import LISTED_SECRET
from support.clusters import Slurm, run
from support.hub import RunningHub, until
from support.journey import requeue, start

from unispawner.admin.hub_client import HubClient

READS_SECRETS = pytest.mark.threat(**LISTED_SECRET)

pytestmark = pytest.mark.slurm

HUB = {
    "prefix": ["prlimit", "--nofile=512:512"],
    "umask": 0o077,
}
AWKWARD = {
    "QUOTES": """it's "quoted" and \\ escaped `date`""",
    "LINES": "first\nsecond\n",
    "COMMAND": "$(touch /tmp/unispawner-was-here) ${HOME} ; exit 1 # !!",
    "SCOPES": '["access:servers!server=alice/", "x=y"]',
    "EQUATION": "a=b=c==",
    "EMPTY": "",
    "SPACES": "  around  ",
    "UMLAUT": "Übergröße ☃",
    "HEREDOC": "END_OF_UNISPAWNER_LAUNCHER",
}

COUNT_SERVERS = """
import os, subprocess
session = str(os.getsid(os.getppid()))
print(subprocess.getoutput(f"pgrep -c -s {session} -f singleuser"))
"""

ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"

PROBE = """
import json, os, resource
umask = os.umask(0)
os.umask(umask)
names = [name for name in dir(resource) if name.startswith("RLIMIT_")]
limits = {name: resource.getrlimit(getattr(resource, name)) for name in names}
# Jupyter raises its soft limit of open files to 4096; su's PAM session may have set it to 1024.
for name in ("RLIMIT_NOFILE", "RLIMIT_OFILE"):
    limits[name] = [limits[name][0] > 512, limits[name][1]]
print(json.dumps({
    "umask": oct(umask),
    "limits": limits,
    "uid": os.getresuid(),
    "gid": os.getresgid(),
    "groups": sorted(os.getgroups()),
    "PATH": os.environ["PATH"],
    "HOME": os.environ["HOME"],
    "directory": os.getcwd(),
    "nice": os.nice(0),
}))
"""


@pytest.fixture(scope="module")
async def notebook(hub: RunningHub, alice: HubClient) -> AsyncIterator[dict[str, Any]]:
    """Give the state of a server that several tests look at; it has GPUs and no time limit."""
    hub.set(
        "alice",
        environment=AWKWARD,
        resources={"gpu_cores_per_process": 2, "cpu_cores_per_process": 2},
        prologue="declare -f module",
    )
    await start(alice)
    yield await hub.state("alice")
    await alice.stop()


async def cell(client: HubClient, code: str, server_name: str = "") -> Any:
    """Return the JSON that a cell prints."""
    return json.loads(await client.run_cell(code, server_name))


def state_dir(state: dict[str, Any]) -> Path:
    return Path(pwd.getpwnam(state["account"]).pw_dir, ".unispawner")


def log_of(state: dict[str, Any]) -> Path:
    return state_dir(state) / "logs" / f"{state['mark']}.log"


def owner_and_mode(path: Path) -> tuple[str, str]:
    status = path.lstat()
    return pwd.getpwuid(status.st_uid).pw_name, oct(status.st_mode & 0o7777)


@pytest.mark.long
async def test_a_server_that_takes_minutes(hub: RunningHub, alice: HubClient) -> None:
    """A server that needs more than two minutes comes up with the site's own time limits. Its page
    shows the time and the end of the job's log."""
    limits = {"start_timeout": 3600, "http_timeout": 600}
    hub.set("alice", "slow", prologue="echo loading modules; sleep 150", **limits)
    await alice.start("slow")

    async def message() -> str:
        status = await hub.api("GET", "unispawner/servers/alice/slow")
        return str(status["message"]) if "not up yet" in status["message"] else ""

    shown = await until(message, "the page says how long the job runs", seconds=60)
    assert "s of 3600; the server is not up yet. The end of its log:\nloading modules" in shown
    await alice.wait_ready("slow", timeout=240)
    await alice.stop("slow")


# -- what was asked for ------------------------------------------------------------------------


@pytest.fixture
async def reservation() -> AsyncIterator[str]:
    """Give a reservation of two nodes for alice, made by root."""
    name = f"unispawner-{secrets.token_hex(4)}"
    nodes = ("Nodes=node3,node4", "Flags=IGNORE_JOBS")
    start_now = ("StartTime=now", "Duration=10")
    run("scontrol", "create", f"ReservationName={name}", "Users=alice", *nodes, *start_now)
    yield name

    def deleted() -> bool:
        return not run("scontrol", "delete", f"ReservationName={name}", check=False)

    await until(deleted, "the reservation can be deleted: no job uses it")


async def test_every_setting_reaches_slurm(
    hub: RunningHub, slurm: Slurm, alice: HubClient, reservation: str
) -> None:
    """Slurm's own description of the job has each resource, queue, account, reservation, time and
    name. A custom attribute may be a bare flag, be repeated, and override one of ours."""
    hub.set(
        "alice",
        "large",
        resources={
            "node_count": 2,
            "process_count": 4,
            "processes_per_node": 2,
            "cpu_cores_per_process": 2,
            "memory": "2G",
            "exclusive_node_use": True,
        },
        queue_name="long",
        account="physics",
        reservation_id=reservation,
        duration="1-12:00:00",
        job_name="""a "long" job's name\\""",
        custom_attributes={
            "slurm.no-requeue": True,
            "slurm.mail-type": ["BEGIN", "FAIL"],
            "slurm.time": "00:07:00",
            "slurm.exclude": False,
            "pbs.queue": "elsewhere",
        },
    )
    await start(alice, "large")
    state = await hub.state("alice", "large")
    job = slurm.job(state["job_id"])
    expected = {
        "JobName": """a "long" job's name\\""",
        "UserId": f"alice({pwd.getpwnam('alice').pw_uid})",
        "NumNodes": "2",
        "NodeList": "node[3-4]",
        "NumTasks": "4",
        "CPUs/Task": "2",
        "NtasksPerN:B:S:C": "2:0:*:*",
        "MinMemoryNode": "1G",
        "OverSubscribe": "NO",
        "Partition": "long",
        "Account": "physics",
        "Reservation": reservation,
        "TimeLimit": "00:07:00",
        "Requeue": "0",
        "MailType": "BEGIN,FAIL",
        "WorkDir": pwd.getpwnam("alice").pw_dir,
        "StdOut": str(log_of(state)),
        "StdErr": str(log_of(state)),
        "StdIn": "/dev/null",
    }
    assert expected == {name: job.get(name) for name in expected}
    await alice.stop("large")


async def test_amounts_in_a_sites_own_way(hub: RunningHub, slurm: Slurm, alice: HubClient) -> None:
    """Memory by the core, GPUs as a generic resource, and all memory of a whole node reach Slurm;
    directives that the site forbids do not."""
    hub.set(
        "alice",
        "percore",
        resources={
            "cpu_cores_per_process": 2,
            "memory_per_core": "300M",
            "gpu_cores_per_process": 1,
        },
        slurm_memory_as="mem-per-cpu",
        slurm_gpus_as="gres",
        omit_directives=["ntasks", "job-name"],
    )
    whole = {"memory": "all", "exclusive_node_use": True}
    hub.set("alice", "whole", resources=whole, queue_name="long")
    await asyncio.gather(start(alice, "percore"), start(alice, "whole"))
    states = [await hub.state("alice", name) for name in ("percore", "whole")]
    job, all_of_it = (slurm.job(state["job_id"]) for state in states)
    assert ("300M", "2") == (job["MinMemoryCPU"], job["CPUs/Task"])
    assert "mem=600M" in job["TRES"].split(",")
    assert job["TresPerNode"] in ("gres:gpu:1", "gres/gpu:1")  # the second: later than 22.05
    assert job["JobName"] != hub.job_name
    assert {"mem=8000M", "cpu=8"} <= set(all_of_it["TRES"].split(","))
    shown = await hub.api("GET", "unispawner/servers/alice/percore")
    assert "2 cores, 1 GPU, 600 MiB" == shown["summary"]
    shown = await hub.api("GET", "unispawner/servers/alice/whole")
    assert "all memory, whole nodes" == shown["summary"]
    await asyncio.gather(*(alice.stop(name) for name in ("percore", "whole")))


async def test_gpus(slurm: Slurm, alice: HubClient, notebook: dict[str, Any]) -> None:
    """A notebook sees as many GPUs and cores as were requested."""
    environment = await cell(alice, ENVIRONMENT)
    assert 2 == len(environment["CUDA_VISIBLE_DEVICES"].split(","))
    assert "2" == environment["SLURM_CPUS_PER_TASK"]


async def test_unset_is_the_schedulers_default(slurm: Slurm, notebook: dict[str, Any]) -> None:
    """What the administrator does not set is not requested: time and memory are the partition's."""
    job = slurm.job(notebook["job_id"])
    expected = {
        "Partition": "debug",
        "TimeLimit": "00:30:00",
        "MinMemoryCPU": "500M",
        "NumNodes": "1",
        "OverSubscribe": "OK",
        "Requeue": "1",
    }
    assert expected == {name: job.get(name) for name in expected}


@pytest.mark.threat(
    who="job",
    tries="Its variables hold shell syntax.",
    stopped_by="Each variable arrives unchanged, and no shell interprets it.",
)
async def test_environment(alice: HubClient, notebook: dict[str, Any]) -> None:
    """Each variable arrives unchanged, whatever its value, and no shell interprets it."""
    environment = await cell(alice, ENVIRONMENT)
    assert AWKWARD == {name: environment.get(name) for name in AWKWARD}
    assert not os.path.exists("/tmp/unispawner-was-here")


@pytest.mark.parametrize("end", ["stop", "scancel"])
async def test_prologue_and_epilogue(
    hub: RunningHub, slurm: Slurm, alice: HubClient, end: str
) -> None:
    """The prologue sets up the server's environment. The epilogue runs after the server has ended,
    when the user stops it and when the job is cancelled at the command line."""
    name = f"around-{end}"
    hub.set(
        "alice",
        name,
        prologue='export FROM_PROLOGUE="set by $USER"',
        epilogue='echo "epilogue: $(pgrep -c -s 0 -f singleuser) servers are left"',
    )
    await start(alice, name)
    assert "set by alice" == (await cell(alice, ENVIRONMENT, name))["FROM_PROLOGUE"]
    assert await cell(alice, COUNT_SERVERS, name) > 0
    state = await hub.state("alice", name)
    if end == "stop":
        await alice.stop(name)
    else:
        run("scancel", state["job_id"], user="alice")
    await until(lambda: "epilogue:" in log_of(state).read_text(), "the epilogue has run")
    assert "epilogue: 0 servers are left" == log_of(state).read_text().splitlines()[-1]


async def test_directory_with_spaces(hub: RunningHub, slurm: Slurm, carol: str) -> None:
    """A home directory with a space and a quote in its name works."""
    client = await hub.client(carol)
    await start(client)
    state = await hub.state(carol)
    home = pwd.getpwnam(carol).pw_dir
    job = slurm.job(state["job_id"])
    assert home == job["WorkDir"]
    assert str(log_of(state)) == job["StdOut"]
    probed = await cell(client, PROBE)
    assert (home, home) == (probed["HOME"], probed["directory"])
    assert "reported" in log_of(state).read_text()
    await client.stop()


@pytest.fixture
async def carol() -> AsyncIterator[str]:
    """Give a user whose home has a space in its name."""
    name = f"carol-{secrets.token_hex(3)}"
    run("useradd", "-m", "-d", f"/home/{name}'s home", "-G", "hubusers", "-s", "/bin/bash", name)
    yield name

    def deleted() -> bool:
        run("userdel", "-r", name, check=False)  # refuses while a process of the user's runs
        return run("getent", "passwd", name, check=False) == ""

    await until(deleted, f"{name} is deleted")


# -- as if the user had submitted it -----------------------------------------------------------


async def test_like_a_plain_sbatch(alice: HubClient, notebook: dict[str, Any]) -> None:
    """Umask, limits, groups, PATH and `module` are those of a plain sbatch from a login shell, not
    the Hub's."""
    script = f"#!/bin/bash -l\ndeclare -f module\npython3 - <<'EOF'\n{PROBE}\nEOF\n"
    submit = (
        "cat > plain && sbatch -c 2 -W -Q -o plain.out plain && cat plain.out; rm plain plain.out"
    )
    printed = await asyncio.to_thread(run, "bash", "-c", submit, user="alice", stdin=script)
    module, _, plain = printed.rpartition("\n")
    assert json.loads(plain) == await cell(alice, PROBE)
    assert module.startswith("module ()")
    assert module in log_of(notebook).read_text()


# -- files and secrets -------------------------------------------------------------------------


@READS_SECRETS
async def test_private_files(alice: HubClient, notebook: dict[str, Any]) -> None:
    """The files of a job can be read by its user alone, and no script is left."""
    base = state_dir(notebook)
    job = base / "jobs" / notebook["mark"]
    for folder in (base, base / "jobs", base / "logs", job):
        assert ("alice", "0o700") == owner_and_mode(folder)
    assert ["cluster", "environment", "job_id"] == sorted(os.listdir(job))
    for file in (job / "environment", job / "job_id", log_of(notebook)):
        assert ("alice", "0o600") == owner_and_mode(file)


@READS_SECRETS
async def test_bob_learns_no_secret(
    hub: RunningHub, slurm: Slurm, alice: HubClient, notebook: dict[str, Any]
) -> None:
    """No listing, process list, spool file or log shows another user the server's token."""
    token = (await cell(alice, ENVIRONMENT))["JUPYTERHUB_API_TOKEN"]
    job_id = notebook["job_id"]
    listings = {
        "scontrol": f"scontrol show -dd job {job_id}",
        "squeue": "squeue -a -o %all",
        "ps": "cat /proc/[0-9]*/cmdline | tr '\\0' ' '",
    }
    for what, command in listings.items():
        shown = run("bash", "-c", command, user="bob", check=False)
        assert (job_id if what != "ps" else "slurmd") in shown, what
        assert token not in shown, what
    script = run("scontrol", "write", "batch_script", job_id, "-", user="bob", check=False)
    assert "job script retrieval failed" in script
    assert "unispawner" not in script
    # grep reads the words from standard input, where no process list shows them.
    spool = Path(slurm.config("StateSaveLocation")).parent
    for folder in (spool, state_dir(notebook), hub.folder, Path("/proc")):
        where = f"{folder}/[0-9]*/environ" if folder == Path("/proc") else str(folder)
        found = run("bash", "-c", f"grep -rlasF -f - {where}", user="bob", check=False, stdin=token)
        assert "" == found
    denied = run("ls", str(state_dir(notebook)), user="bob", check=False)
    assert "Permission denied" in denied
    assert token not in hub.log()


async def test_state_dir_outside_home(hub: RunningHub, alice: HubClient) -> None:
    """`state_dir` may be outside the home directory, and the last 20 logs are kept there."""
    base = Path(tempfile.mkdtemp(prefix="unispawner-state-"))
    try:
        base.chmod(0o1777)
        logs = base / "alice" / "logs"
        logs.mkdir(parents=True)
        for number in range(25):
            log = logs / f"{number:016x}.log"
            log.touch()
            os.utime(log, (number, number))
        run("chown", "-R", "alice", str(base / "alice"))
        hub.set("alice", "elsewhere", state_dir=f"{base}/{{username}}")
        await start(alice, "elsewhere")
        mark = (await hub.state("alice", "elsewhere"))["mark"]
        kept = [f"{number:016x}.log" for number in range(6, 25)]
        assert sorted([*kept, f"{mark}.log"]) == sorted(os.listdir(logs))
        job = base / "alice" / "jobs" / mark
        assert ("alice", "0o600") == owner_and_mode(job / "environment")
        assert [("alice", "0o700")] * 3 == [owner_and_mode(one) for one in (logs.parent, logs, job)]
        await alice.stop("elsewhere")
        await until(lambda: not job.exists(), "the private files are gone")
    finally:
        shutil.rmtree(base)


# -- a job that comes back ---------------------------------------------------------------------


@pytest.mark.threat(
    who="other user",
    tries="They take the port of a job that the scheduler runs again elsewhere.",
    stopped_by="The route of such a job goes to the dead address until it reports anew.",
)
async def test_requeued_job_is_followed(hub: RunningHub, slurm: Slurm, alice: HubClient) -> None:
    """While a requeued job waits, its route goes to the dead address; when it runs again, it
    reports anew and a kernel answers at the same URL. Its token is valid until the stop, and no
    longer."""
    await start(alice, "requeued")
    state = await hub.state("alice", "requeued")
    token = (await cell(alice, ENVIRONMENT, "requeued"))["JUPYTERHUB_API_TOKEN"]
    path = "/user/alice/requeued"
    node = (await hub.routes())[path]

    await requeue(hub, slurm, alice, "requeued", state["job_id"])
    again = await hub.state("alice", "requeued")
    assert state["job_id"] == again["job_id"]
    assert "1" == slurm.job(state["job_id"])["Restarts"]
    assert f"http://{again['host']}:{again['port']}" == (await hub.routes())[path] != node
    environment = await cell(alice, ENVIRONMENT, "requeued")
    assert token == environment["JUPYTERHUB_API_TOKEN"]

    assert 200 == await _status_with(hub, token)
    await alice.stop("requeued")
    assert 403 == await _status_with(hub, token)


async def _status_with(hub: RunningHub, token: str) -> int:
    """Return the status of the Hub's answer to a request with this token."""
    client = HubClient(hub.url)
    try:
        headers = {"Authorization": f"token {token}"}
        return (await client.request("GET", "hub/api/user", headers=headers)).code
    finally:
        client.close()
