"""Cases that only root can set up: processes, files and directories of another account."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support import CHECKOUT
from support.accounts import needs_root
from support.agent import Agent, as_same_user
from support.folders import readable_folder

from unispawner.agent.files import StateDir
from unispawner.errors import AgentError, InvalidJobError
from unispawner.run_as.accounts import Account
from unispawner.schedulers.local import start_time
from unispawner.schedulers.template import Template

FOLDER_ABOVE = pytest.mark.threat(
    who="other user",
    tries="They own, or can change, a folder above the user's private files.",
    stopped_by="Every folder and link on the way is checked, at its own place, before each"
    " use; only root and the user may be able to change it.",
)
AGENT_AS_ROOT = pytest.mark.threat(
    who="root",
    tries="A wrong configuration runs an agent as root.",
    stopped_by="The agent refuses to run as root.",
)

pytestmark = needs_root

STRANGER = 12345
"""A uid and a gid that nobody needs to have."""

# -- the agent ----------------------------------------------------------------------------------


@AGENT_AS_ROOT
def test_the_agent_refuses_root(agent: Agent) -> None:
    """The agent refuses to run as root, whatever the request says."""
    request = {**agent.request("check"), "uid": 0, "account": "root", "min_uid": 0}
    error = agent.send(json.dumps(request).encode(), as_root=True).error
    assert "uid 0" in error["message"]
    assert not agent.state_dir.exists()


@AGENT_AS_ROOT
async def test_an_agent_of_roots_own_is_refused(tmp_path: Path) -> None:
    """A Hub that runs as root gets an error when it runs the agent as itself."""
    with pytest.raises(AgentError, match="uid 0"):
        await as_same_user(Account("root", 0, "/root"), tmp_path / "state").check()
    assert not (tmp_path / "state").exists()


@pytest.mark.threat(
    who="other user",
    tries="They have the Hub cancel somebody else's job.",
    stopped_by="The agent cancels as its own user, and the scheduler refuses.",
)
def test_a_job_of_somebody_elses_cannot_be_cancelled(agent: Agent) -> None:
    """Cancelling a job of another account is an error; the job is not reported as gone."""
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as process:
        job_id = f"{process.pid}.{start_time(process.pid)}"
        error = agent.call("cancel", job_id=job_id, force=True).error
        assert "CancelError" == error["type"]
        assert None is process.poll()
        process.kill()


# -- the user's private files -------------------------------------------------------------------


@FOLDER_ABOVE
@pytest.mark.parametrize("name", ["", "jobs"])
def test_a_directory_of_somebody_elses_is_refused(tmp_path: Path, name: str) -> None:
    """A state_dir of another account is refused, because its owner could read the private files in
    it."""
    (tmp_path / "state" / "jobs").mkdir(parents=True, mode=0o777)
    os.chown(tmp_path / "state" / name, STRANGER, -1)
    with pytest.raises(AgentError, match=f"belongs to uid {STRANGER}, not to uid 0"):
        StateDir.open(str(tmp_path / "state"))


@FOLDER_ABOVE
def test_a_directory_below_somebody_elses_is_refused(tmp_path: Path) -> None:
    """A state_dir below a directory of another account is refused, because its owner could replace
    it."""
    above = tmp_path / "alice"
    above.mkdir()
    os.chown(above, STRANGER, -1)
    with pytest.raises(AgentError, match="can be changed by others"):
        StateDir.open(str(above / "state"))


@FOLDER_ABOVE
@pytest.mark.parametrize(("bits", "fits"), [(0o775, False), (0o755, True), (0o1777, True)])
def test_a_directory_above_that_a_group_can_change(tmp_path: Path, bits: int, fits: bool) -> None:
    """A directory above that another group can change is refused, because its members could replace
    ours. Root's sticky directories, such as /tmp, are accepted."""
    above = tmp_path / "scratch"
    above.mkdir()
    above.chmod(bits)
    os.chown(above, -1, STRANGER)
    if fits:
        assert above / "state" == StateDir.open(str(above / "state")).path
    else:
        with pytest.raises(AgentError, match=f"{above} can be changed by others"):
            StateDir.open(str(above / "state"))


# -- a site's set of templates ------------------------------------------------------------------


@pytest.mark.threat(
    who="root",
    tries="Somebody else can change the commands of a set of templates.",
    stopped_by="Only root and the Hub's account may be able to change a set.",
)
def test_a_template_of_somebody_elses_is_refused() -> None:
    """A template file of another account is refused whatever its mode, because its owner could
    change it at any time."""
    with readable_folder() as folder:
        shutil.copytree(CHECKOUT / "legacy_templates" / "slurm", folder, dirs_exist_ok=True)
        template = Template(template=str(folder))
        template.check_set_up()
        os.chown(folder / "job.sh", STRANGER, STRANGER)
        with pytest.raises(InvalidJobError, match=f"{folder}/job.sh can be changed by others"):
            template.check_set_up()
