"""The examples of batchspawner's documentation with the one word changed, on a scripted TORQUE."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support import CHECKOUT, OUTPUTS
from support.clusters import Cluster
from support.hub import (
    HUB_ACCOUNT,
    USER_GROUP,
    RunningHub,
    find_program,
    post_form,
    running_hub,
    until,
)
from support.journey import refused_start

from unispawner.admin.hub_client import HubClient

HERE = Path(__file__).parent
PATIENCE = 60
NODES = "int-torquelab.mesabi.xyz.edu in-torquelab.mesabi.xyz.edu torquelab"
"""What the examples make of the node's name."""
SUDOERS = f"""\
Defaults:{HUB_ACCOUNT} !secure_path
{HUB_ACCOUNT} ALL=(%{USER_GROUP}) NOPASSWD:SETENV: ALL"""
SITE = """
import os
os.environ["PATH"] = {folder!r} + ":" + os.environ["PATH"]
c.Spawner.cmd = [{singleuser!r}]
c.Spawner.poll_interval = 1
"""


class ScriptedTorque(Cluster):
    """A TORQUE whose qsub, qstat and qdel are scripts; jobs run on the Hub's own host."""

    name = "torque"
    hub_ip = "127.0.0.1"

    def __init__(self, folder: Path) -> None:
        self.folder_of_commands = folder

    @classmethod
    def why_not(cls) -> str:
        return "" if os.geteuid() == 0 else "its jobs run as several users"

    def active(self, *, user: str = "", name: str = "") -> set[str]:
        jobs = {}
        for path in (self.folder_of_commands / "jobs").iterdir():
            jobs[path.name] = Path("/proc", path.read_text() or "none", "stat")
        alive = {number for number, stat in jobs.items() if stat.exists()}
        return {one for one in alive if jobs[one].read_text().rpartition(")")[2].split()[0] != "Z"}

    def cancel_named(self, name: str) -> None:
        """Cancel nothing: the tests have stopped all jobs."""

    def cancel(self, job_id: str, user: str) -> None:
        raise NotImplementedError

    def listings(self, job_id: str) -> list[list[str]]:
        raise NotImplementedError

    def owner_and_host(self, job_id: str) -> tuple[str, str]:
        raise NotImplementedError


@pytest.fixture(scope="module")
def torque() -> Iterator[ScriptedTorque]:
    """Give the commands, and names for the host that they run jobs on."""
    if reason := ScriptedTorque.why_not():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="unispawner-torque-"))
    folder.chmod(0o755)
    (folder / "jobs").mkdir()
    (folder / "jobs").chmod(0o1777)
    shutil.copy(OUTPUTS / "torque/qstat-x-one-running", folder)
    for name in ("qsub", "qstat", "qdel"):
        shutil.copy(HERE / "torque_commands.py", folder / name)
        (folder / name).chmod(0o755)
    entry = f"127.0.0.1 {NODES} # unispawner's tests\n"
    _edit_hosts(add=entry)
    yield ScriptedTorque(folder)
    _edit_hosts(remove=entry)
    shutil.rmtree(folder)


def _edit_hosts(add: str = "", remove: str = "") -> None:
    """Change /etc/hosts in place, because in a container it may be a bind mount, and ci/* change
    it, too."""
    with open("/run/unispawner-ci.lock", "w") as lock, open("/etc/hosts", "r+") as hosts:
        fcntl.flock(lock, fcntl.LOCK_EX)
        text = hosts.read()
        hosts.seek(0)
        hosts.write((text.replace(remove, "") if remove else text) + add)
        hosts.truncate()


@pytest.fixture(scope="module", params=["seed_torque.py", "seed_profiles.py"])
async def hub(request: pytest.FixtureRequest, torque: ScriptedTorque) -> AsyncIterator[RunningHub]:
    """Give a Hub with each of the two examples."""
    site = SITE.format(
        folder=str(torque.folder_of_commands), singleuser=find_program("jupyterhub-singleuser")
    )
    example = (CHECKOUT / "tests/admin/migrate" / request.param).read_text()
    assert "batchspawner." in example
    example = "c = get_config()\n" + example.replace("batchspawner.", "unispawner.")
    async with running_hub(torque, config=example + site, sudoers=SUDOERS) as running:
        yield running


FIRST = pytest.mark.parametrize("hub", ["seed_torque.py"], indirect=True)
SECOND = pytest.mark.parametrize("hub", ["seed_profiles.py"], indirect=True)


async def _answers(hub: RunningHub, torque: ScriptedTorque, alice: HubClient, name: str) -> str:
    """Wait for a server and for its kernel; return the job's number."""
    await alice.wait_ready(name, timeout=PATIENCE)
    assert "42" == await alice.run_cell("6*7", name)
    state = await hub.state("alice", name)
    job_id = str(state.get("child_state", state)["job_id"])  # a profile's server has its own
    assert job_id.endswith(".torquelab")
    number = job_id.partition(".")[0]
    assert number in torque.active()
    return number


async def _stop(torque: ScriptedTorque, alice: HubClient, name: str, number: str) -> None:
    await alice.stop(name)
    await until(lambda: number not in torque.active(), "the job is gone")
    Path(f"/home/alice/torque.o{number}").unlink()


@FIRST
async def test_the_first_example(hub: RunningHub, torque: ScriptedTorque) -> None:
    """A kernel answers, and the server is at the name that state_exechost_exp makes of the node's
    name."""
    alice = await hub.client("alice")
    await alice.start()
    number = await _answers(hub, torque, alice, "")
    assert "started at int-torquelab.mesabi.xyz.edu:" in hub.log()
    assert "module: not found" in Path(f"/home/alice/torque.o{number}").read_text()
    await _stop(torque, alice, "", number)


@SECOND
async def test_the_second_example(hub: RunningHub, torque: ScriptedTorque) -> None:
    """The form has the five profiles. A chosen one starts with its own settings in addition to the
    general ones, and survives a restart of the Hub."""
    alice = await hub.client("alice")
    page = (await alice.request("GET", "hub/spawn/alice")).body.decode()
    for text in ("Local server", "Mesabi - 12 cores, 128 GB, 4 hours", 'value="lab"'):
        assert text in page
    await post_form(alice, "hub/spawn/alice", {"profile": "mesabi128gb"})
    number = await _answers(hub, torque, alice, "")
    log = hub.log()
    for line in ("-q ram256g@mesabi.xyz.edu", "-l walltime=4:00:00", "-l mem=125gb"):
        assert f"#PBS {line}" in log
    assert "started at in-torquelab.mesabi.xyz.edu:" in log
    assert "mesabi128gb" == (await hub.state("alice"))["profile"]

    hub.kill()
    await hub.start()
    assert "42" == await alice.run_cell("6*7")
    await _stop(torque, alice, "", number)
    assert {} == await hub.state("alice")


@SECOND
async def test_a_profile_by_the_api(hub: RunningHub, torque: ScriptedTorque) -> None:
    """A profile may be chosen as user_options in the API; a missing or wrong key is an error that
    names the possible ones."""
    alice = await hub.client("alice")
    await alice.start("lab", {"profile": "lab"})
    number = await _answers(hub, torque, alice, "lab")
    assert "started at torquelab:" in hub.log()
    await _stop(torque, alice, "lab", number)
    for options in ({"profile": "'; id"}, {"x": "y"}):
        assert "mesabi2c4g12h" in await refused_start(alice, "wrong", options)
