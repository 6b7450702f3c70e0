"""The examples of batchspawner's documentation, the one word changed, on a TORQUE of scripts."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from clusters import Cluster
from hub import HUB_ACCOUNT, USER_GROUP, RunningHub, find_program, running_hub, until

pytestmark = pytest.mark.hub
HERE = Path(__file__).parent
PATIENCE = 60
NODE = "int-torquelab.mesabi.xyz.edu"
SUDOERS = f"""\
Defaults:{HUB_ACCOUNT} !secure_path
{HUB_ACCOUNT} ALL=(%{USER_GROUP}) NOPASSWD:SETENV: ALL"""
SITE = """
import os
os.environ["PATH"] = {folder!r} + ":" + os.environ["PATH"]
c.Spawner.cmd = [{singleuser!r}]
c.Spawner.poll_interval = 2
"""


class ScriptedTorque(Cluster):
    """qsub, qstat and qdel that are scripts; jobs run on the Hub's own host."""

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
        """There is none but those that the tests have stopped."""

    def cancel(self, job_id: str, user: str) -> None:
        raise NotImplementedError

    def listings(self, job_id: str) -> list[list[str]]:
        raise NotImplementedError

    def owner_and_host(self, job_id: str) -> tuple[str, str]:
        raise NotImplementedError


@pytest.fixture(scope="module")
def torque() -> Iterator[ScriptedTorque]:
    """The commands, and a name that the node's stands for."""
    folder = Path(tempfile.mkdtemp(prefix="unispawner-torque-"))
    folder.chmod(0o755)
    (folder / "jobs").mkdir()
    (folder / "jobs").chmod(0o1777)
    shutil.copy(HERE / "outputs/torque/qstat-x-one-running", folder)
    for name in ("qsub", "qstat", "qdel"):
        shutil.copy(HERE / "torque/commands.py", folder / name)
        (folder / name).chmod(0o755)
    entry = f"127.0.0.1 {NODE} # unispawner's tests\n"
    _edit_hosts(add=entry)
    yield ScriptedTorque(folder)
    _edit_hosts(remove=entry)
    shutil.rmtree(folder)


def _edit_hosts(add: str = "", remove: str = "") -> None:
    """Change /etc/hosts, in place: in a container it may be a bind mount; ci/* change it, too."""
    with open("/run/unispawner-ci.lock", "w") as lock, open("/etc/hosts", "r+") as hosts:
        fcntl.flock(lock, fcntl.LOCK_EX)
        text = hosts.read()
        hosts.seek(0)
        hosts.write((text.replace(remove, "") if remove else text) + add)
        hosts.truncate()


@pytest.fixture(scope="module")
async def hub(torque: ScriptedTorque) -> AsyncIterator[RunningHub]:
    if reason := torque.why_not():
        pytest.skip(reason)
    site = SITE.format(
        folder=str(torque.folder_of_commands), singleuser=find_program("jupyterhub-singleuser")
    )
    example = (HERE / "torque/jupyterhub_config.py").read_text()
    async with running_hub(torque, config=example + site, sudoers=SUDOERS) as running:
        yield running


async def test_the_first_example(hub: RunningHub, torque: ScriptedTorque) -> None:
    """A kernel answers; the server is at the name that state_exechost_exp makes of the node's."""
    alice = await hub.client("alice")
    await alice.start()
    await alice.wait_ready(timeout=PATIENCE)
    assert "42" == await alice.run_cell("6*7")
    state: dict[str, Any] = await hub.state("alice")
    assert f"started at {NODE}:" in hub.log()
    assert state["job_id"].endswith(".torquelab")
    number = state["job_id"].partition(".")[0]
    assert {number} == torque.active()
    log = Path(f"/home/alice/torque.o{number}")
    assert "module: not found" in log.read_text()
    await alice.stop()
    await until(lambda: not torque.active(), "the job is gone")
    log.unlink()
