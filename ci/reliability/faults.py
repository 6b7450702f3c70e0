"""The faults: each has a name, what breaks, and how that is mended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
from collections.abc import Callable
from inspect import isawaitable

import psutil
from support.clusters import run
from support.elsewhere import LoginNode
from support.hub import command_line, until
from support.watch import environment_of, find_listener, processes_with_mark

from unispawner.admin.hub_client import HubClientError

from . import homes, networks, scheduler
from .cell import T_OVER_SSH, Cell, T
from .databases import (
    LockDatabase,
    damage_row,
    fill_disk,
    forbid_writing,
    free_disk,
    permit_writing,
)
from .memory import MemoryLimit
from .moments import EACH_STEP, Action, Fault, nothing

OURS = ("UniSpawner", "ProfilesSpawner")
EACH_STATE = ("running", "starting", "submitted", "stopping")
SOME_STEPS = ("running", "submitted", "start+0.4", "start+1.8", "stop+0.1")


def call(work: Callable[[Cell], object]) -> Action:
    """Return the action that is a single call; what the call returns is awaited if it can be."""

    async def act(cell: Cell) -> None:
        if isawaitable(result := work(cell)):
            await result

    return act


# -- the scheduler's commands -------------------------------------------------------------------


MEND_COMMANDS = call(lambda cell: cell.commands.reset())


def commands(name: str, title: str, mode: str, seconds: float, why: str = "") -> Fault:
    """Return the fault that makes all commands behave so."""
    inject = call(lambda cell: cell.commands.set(mode))
    return Fault(name, title, inject, MEND_COMMANDS, spares=True, seconds=seconds, why=why)


LEGACY_GIVES_UP = (
    "batchspawner's patterns can't tell such an answer from the end of a job, so the server is "
    "given up, and its job is cancelled."
)


COMMANDS = [
    commands("fail", "all commands of the scheduler fail", "fail", seconds=8),
    commands("hang", "all commands hang", "hang", seconds=8),
    commands("slow", "all commands take 4 s longer", "slow", seconds=12),
    commands(
        "nothing",
        "all commands print nothing, with exit status 0",
        "nothing",
        seconds=8,
        why=LEGACY_GIVES_UP,
    ),
    commands(
        "garbled",
        "all commands do their work and print random bytes",
        "garbled",
        seconds=8,
        why=LEGACY_GIVES_UP,
    ),
    commands(
        "half", "all commands do their work and print half", "half", seconds=8, why=LEGACY_GIVES_UP
    ),
    commands(
        "random", "half of all commands fail, half of these after their work", "random", seconds=15
    ),
    Fault(
        "submitted-unheard",
        "the submit command does its work and never answers",
        call(lambda cell: cell.commands.set("hang-after", cell.commands.submitting)),
        MEND_COMMANDS,
        moments=("starting",),
        seconds=3,
        spares=True,
    ),
]

# -- the Hub and its processes ------------------------------------------------------------------


START_HUB = call(lambda cell: cell.hub.start())


async def kill_broker(cell: Cell) -> None:
    """Kill the broker's own process; its children, which serve users, go on."""
    brokers = cell.hub.brokers()
    for broker in brokers:
        broker.kill()
    await until(lambda: not any(map(command_line, brokers)), "the broker has ended")


async def kill_broker_and_agents(cell: Cell) -> None:
    """Kill the broker and all that it has forked for users."""
    for broker in cell.hub.brokers():
        for process in (*broker.children(recursive=True), broker):
            with contextlib.suppress(psutil.NoSuchProcess):  # an agent that is just done
                process.kill()


async def refuse_sudo(cell: Cell) -> None:
    """Let sudo refuse everything; what has it already is killed."""
    cell.hub.forbid_sudo()
    await kill_broker_and_agents(cell)


ALL_MOMENTS = ("running", "submitted", *EACH_STEP)
PROCESSES = [
    Fault(
        "hub-kill",
        "the Hub is killed (SIGKILL) at each step, and started again",
        call(lambda cell: cell.hub.kill()),
        START_HUB,
        moments=ALL_MOMENTS,
        seconds=0.5,
        spares=True,
    ),
    Fault(
        "hub-term",
        "the Hub is ended (SIGTERM) at each step, and started again",
        call(lambda cell: cell.hub.terminate()),
        START_HUB,
        moments=SOME_STEPS,
        seconds=0.5,
        spares=True,
    ),
    Fault(
        "broker-kill",
        "the broker is killed at each step",
        kill_broker,
        moments=ALL_MOMENTS,
        seconds=0,
        spares=True,
        spawners=OURS,
    ),
    Fault(
        "agent-kill",
        "the broker and all agents are killed at each step",
        kill_broker_and_agents,
        moments=ALL_MOMENTS,
        seconds=0,
        spares=True,
        spawners=OURS,
    ),
    Fault(
        "proxy-kill",
        "the proxy is killed, and started again without any route",
        call(lambda cell: cell.hub.kill_proxy()),
        call(lambda cell: cell.hub.start_proxy()),
        moments=("running", "submitted"),
        seconds=2,
        spares=True,
    ),
    Fault(
        "sudo",
        "sudo refuses everything",
        refuse_sudo,
        call(lambda cell: cell.hub.permit_sudo()),
        seconds=8,
        spares=True,
    ),
]

# -- the connection to the submit host ----------------------------------------------------------


def _login(cell: Cell) -> LoginNode:
    assert cell.login is not None
    return cell.login


SSH = [
    Fault(
        "ssh-drop",
        "the ssh connection to the submit host is dropped at each step",
        call(lambda cell: asyncio.to_thread(_login(cell).cut)),
        moments=SOME_STEPS,
        seconds=0,
        spares=True,
        spawners=("ssh",),
        within=T_OVER_SSH,
    ),
    Fault(
        "ssh-refuse",
        "the submit host's sshd is down, and refuses connections",
        call(lambda cell: asyncio.to_thread(_login(cell).stop)),
        call(lambda cell: asyncio.to_thread(_login(cell).start)),
        moments=EACH_STATE,
        seconds=20,
        spares=True,
        spawners=("ssh",),
        within=T_OVER_SSH,
    ),
]

# -- the job ------------------------------------------------------------------------------------


async def kill_launcher(cell: Cell) -> None:
    """Kill the launcher, which waits for its server on the node."""
    for pid in await _pids_of_job(cell):
        if environment_of(pid).get("JUPYTERHUB_USER") and _is_launcher(pid):
            os.kill(pid, signal.SIGKILL)


async def kill_server(cell: Cell) -> None:
    """Kill the server with SIGKILL, as the kernel does when memory is short."""
    os.kill(await _pid_of_server(cell), signal.SIGKILL)


async def exhaust_memory(cell: Cell) -> None:
    """Give the server little memory, and have it take more: the kernel kills it."""
    client = await cell.client()
    await client.run_cell("1")  # logs in to the server
    limit = MemoryLimit(f"unispawner-faults-{secrets.token_hex(4)}", 24 << 20)
    cell.at_end(limit.close)
    limit.take(await _pid_of_server(cell))
    body = json.dumps({"type": "file", "format": "text", "content": "x" * (60 << 20)})
    with contextlib.suppress(HubClientError, OSError):
        await client.request("PUT", f"{client.server_url()}api/contents/large.txt", body=body)
    await until(limit.killed, "the kernel has killed the server")


async def _pid_of_server(cell: Cell) -> int:
    (target,) = [
        target
        for path, target in (await cell.hub.routes()).items()
        if path.startswith(f"/user/{cell.user}")
    ]
    listener = await asyncio.to_thread(find_listener, target)
    assert listener is not None
    assert listener.pid
    return listener.pid


async def _pids_of_job(cell: Cell) -> list[int]:
    (job,) = await cell.jobs()
    return await asyncio.to_thread(processes_with_mark, job.mark)


def _is_launcher(pid: int) -> bool:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().split(b"\0")[1:3] == [b"-I", b"-"]  # it is read from standard input


async def cancel_job(cell: Cell) -> None:
    """Cancel the job as its user does at the command line."""
    job = await cell.job()
    await asyncio.to_thread(cell.cluster.cancel, job.job_id, cell.user)


SUSPEND = {
    "slurm": (("scontrol", "suspend", "{}"), ("scontrol", "resume", "{}")),
    "gridengine": (("qmod", "-sj", "{}"), ("qmod", "-usj", "{}")),
    "htcondor": (("condor_suspend", "{}"), ("condor_continue", "{}")),
}
REQUEUE = {
    "slurm": ("scontrol", "requeue", "{}"),
    "gridengine": ("qmod", "-rj", "{}"),
    "htcondor": ("condor_vacate_job", "-fast", "{}"),
}
HOLD = {
    "slurm": (("scontrol", "requeuehold", "{}"), ("scontrol", "release", "{}")),
    "htcondor": (("condor_hold", "{}"), ("condor_release", "{}")),
}


def tell_scheduler(find: Callable[[Cell], tuple[str, ...] | None]) -> Action:
    """Return what runs a scheduler's command for the job, as root."""

    async def act(cell: Cell) -> None:
        command, jobs = find(cell), await cell.jobs()
        if command and jobs:
            words = [word.format(jobs[0].job_id) for word in command]
            await asyncio.to_thread(run, *words, check=False)

    return act


async def let_requeued_begin(cell: Cell) -> None:
    """Let a requeued job begin at once; Slurm would let it wait for two minutes."""
    if cell.cluster.name != "slurm":
        return
    (job,) = await until(cell.jobs, "the requeued job")
    command = ("scontrol", "update", f"JobId={job.job_id}", "StartTime=now")
    await until(lambda: not run(*command, check=False), "the job may begin again", 60)


async def end_preempting(cell: Cell) -> None:
    await scheduler.end_preempting(cell)
    await let_requeued_begin(cell)


async def limit_time(cell: Cell) -> None:
    """Let the job's time be over soon."""
    (job,) = await cell.jobs()
    command = ("scontrol", "update", f"JobId={job.job_id}", "TimeLimit=1")
    await asyncio.to_thread(run, *command)
    await until(lambda: not cell.cluster.jobs(cell.hub.job_name), "its time is over", 150, pause=1)


JOBS = [
    Fault(
        "launcher-kill",
        "the launcher is killed",
        kill_launcher,
        moments=("running", "submitted"),
        seconds=0,
        spawners=OURS,
    ),
    Fault(
        "server-kill",
        "the server is killed, as for want of memory",
        kill_server,
        moments=("running",),
        seconds=0,
        why="The watcher read the environment of a process that was ending. It is mended.",
    ),
    Fault(
        "memory",
        "the server takes more memory than its cgroup has, and the kernel kills it",
        exhaust_memory,
        moments=("running",),
        seconds=0,
        spawners=OURS,
    ),
    Fault(
        "cancel",
        "the job is cancelled at the command line",
        cancel_job,
        moments=("running", "submitted"),
        seconds=0,
    ),
    Fault(
        "requeue",
        "the job is sent back to the queue, and begins again",
        tell_scheduler(lambda cell: REQUEUE[cell.cluster.name]),
        let_requeued_begin,
        moments=("running",),
        seconds=3,
        schedulers=("slurm", "htcondor"),
        spawners=OURS,
    ),
    Fault(
        "hold",
        "the job is stopped and held, and released",
        tell_scheduler(lambda cell: HOLD[cell.cluster.name][0]),
        tell_scheduler(lambda cell: HOLD[cell.cluster.name][1]),
        moments=("running",),
        seconds=8,
        schedulers=tuple(HOLD),
        spawners=OURS,
    ),
    Fault(
        "suspend",
        "the job is suspended for 8 s, and resumed",
        tell_scheduler(lambda cell: SUSPEND[cell.cluster.name][0]),
        tell_scheduler(lambda cell: SUSPEND[cell.cluster.name][1]),
        moments=("running",),
        seconds=8,
        spares=True,
        why="batchspawner's patterns do not know this state, so the server is given up, and its "
        "job is cancelled.",
    ),
    Fault(
        "time",
        "the job's time is over",
        limit_time,
        moments=("running",),
        seconds=0,
        schedulers=("slurm",),
    ),
]

# -- homes, the Hub's database ------------------------------------------------------------------

HOMES = [
    Fault(
        "home-missing",
        "the user's home is missing",
        homes.take_away,
        homes.give_back,
        seconds=6,
    ),
    Fault(
        "home-read-only",
        "the user's home is read-only",
        homes.mount_read_only,
        homes.unmount,
        seconds=6,
    ),
    Fault("home-full", "the user's home is full", homes.mount_full, homes.unmount, seconds=6),
    Fault(
        "home-hang",
        "everything in the user's home hangs, as on NFS without a server",
        homes.hang,
        homes.answer_again,
        seconds=20,
        spares=True,
    ),
]


async def lock_database(cell: Cell) -> None:
    cell.broken = LockDatabase(cell.hub.folder / "hub.sqlite")


async def free_database(cell: Cell) -> None:
    assert cell.broken is not None
    cell.broken.close()
    cell.broken = None


def kill_and_damage(state: str) -> Action:
    """Return what kills the Hub, and then writes another text in place of the saved state."""

    async def act(cell: Cell) -> None:
        cell.hub.kill()
        damage_row(cell.hub.folder / "hub.sqlite", cell.user, state)

    return act


DATABASES = [
    Fault(
        "db-locked",
        "another program locks the Hub's database for 12 s",
        lock_database,
        free_database,
        moments=EACH_STATE,
        seconds=12,
        spares=True,
    ),
    Fault(
        "db-read-only",
        "the Hub's database can't be written",
        call(lambda cell: forbid_writing(cell.hub.folder)),
        call(lambda cell: permit_writing(cell.hub.folder)),
        moments=EACH_STATE,
        seconds=6,
        spares=True,
    ),
    Fault(
        "disk-full",
        "the disk with the Hub's database and log is full",
        call(lambda _: asyncio.to_thread(fill_disk)),
        call(lambda _: asyncio.to_thread(free_disk)),
        moments=EACH_STATE,
        seconds=8,
        spares=True,
    ),
    Fault(
        "db-row",
        "the server's saved state is emptied while the Hub is away",
        kill_and_damage("{}"),
        START_HUB,
        moments=("running", "submitted"),
        seconds=0,
    ),
    Fault(
        "db-row-text",
        "the server's saved state is cut off while the Hub is away, so that it is not JSON",
        kill_and_damage('{"job_id": "'),
        START_HUB,
        moments=("running",),
        seconds=0,
    ),
]

# -- several at once, the network, clocks -------------------------------------------------------


async def run_neighbour(cell: Cell) -> None:
    """Start another Hub on this cluster, with a server of the same user, and kill it meanwhile."""
    cell.neighbour = hub = cell.make_hub()
    await hub.start()
    client = await hub.client(cell.user)
    starting = asyncio.ensure_future(client.start())
    await asyncio.sleep(1)
    hub.kill()
    await asyncio.wait({starting})
    starting.exception()
    await hub.start()


async def end_neighbour(cell: Cell) -> None:
    """Stop the other Hub, and what it has left."""
    assert cell.neighbour is not None
    with contextlib.suppress(HubClientError):
        await cell.neighbour.api("DELETE", f"users/{cell.user}/server")
    await cell.neighbour.close()
    await asyncio.to_thread(cell.cluster.cancel_named, cell.neighbour.job_name)
    cell.neighbour = None


FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
"""Debian's package libfaketime."""


def set_clock(seconds: int) -> Action:
    """Return what starts the Hub again with another clock; jobs and the scheduler keep theirs."""

    async def act(cell: Cell) -> None:
        cell.hub.kill()
        variables = [f"FAKETIME={seconds:+d}", "FAKETIME_DONT_FAKE_MONOTONIC=1"]
        cell.hub.prefix = ["env", f"LD_PRELOAD={FAKETIME}", *variables] if seconds else []
        await cell.hub.start()

    return act


OTHERS = [
    Fault(
        "at-once",
        "start, stop and start at once",
        nothing,  # the moment itself is the trial
        moments=("at once", "at once, slower"),
        seconds=0,
    ),
    Fault(
        "two-hubs",
        "another Hub on the cluster, with a server of the same user, is killed",
        run_neighbour,
        end_neighbour,
        moments=("running",),
        seconds=1,
        spares=True,
    ),
    Fault(
        "network",
        "the network between the Hub and the nodes is cut for 60 s",
        networks.cut,
        networks.mend,
        moments=("running", "submitted", "stopping"),
        seconds=60,
        spares=True,
    ),
    Fault(
        "network-long",
        "the network between the Hub and the nodes is cut for 10 minutes",
        networks.cut,
        networks.mend,
        moments=("running",),
        seconds=600,
        spares=True,
        spawners=("UniSpawner",),
    ),
    Fault(
        "clock-ahead",
        "the Hub's clock is 10 minutes ahead of the cluster's",
        set_clock(600),
        set_clock(0),
        seconds=8,
        spares=True,
    ),
    Fault(
        "clock-behind",
        "the Hub's clock is 10 minutes behind the cluster's",
        set_clock(-600),
        set_clock(0),
        seconds=8,
        spares=True,
    ),
]

# -- the scheduler itself -----------------------------------------------------------------------

CONTROLLERS = [
    Fault(
        "controller-stop",
        "the scheduler's controller is stopped for 180 s",
        scheduler.freeze,
        scheduler.thaw,
        moments=("running", "starting", "stopping"),
        seconds=180,
        spares=True,
        spawners=("UniSpawner",),
    ),
    Fault(
        "controller-kill",
        "the scheduler's controller is killed, and started again",
        scheduler.kill,
        scheduler.bring_up,
        moments=EACH_STATE,
        seconds=5,
        spares=True,
    ),
    Fault(
        "controller-lost",
        "the scheduler loses all its state; another user's job gets the id of ours",
        scheduler.lose_state,
        scheduler.bring_up_and_take_the_id,
        moments=("running", "submitted"),
        seconds=1,
        before=scheduler.keep_empty_state,
    ),
    Fault(
        "node-off",
        "the node of the server loses its power, and boots after 20 s",
        scheduler.power_off,
        scheduler.power_on,
        moments=("running", "stopping"),
        seconds=20,
        spawners=("UniSpawner",),
        before=scheduler.shorten_lease,
        within=T + scheduler.LEASE,
    ),
    Fault(
        "preempt",
        "another user's job pre-empts the server's, which is queued again and begins anew",
        scheduler.preempt,
        end_preempting,
        moments=("running",),
        seconds=15,
        schedulers=("slurm",),
        spawners=OURS,
    ),
]

FAULTS: dict[str, Fault] = {
    one.name: one
    for one in [*COMMANDS, *PROCESSES, *SSH, *JOBS, *HOMES, *DATABASES, *OTHERS, *CONTROLLERS]
}
