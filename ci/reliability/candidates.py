"""Which spawner class is tried, and how its Hub is configured."""

from __future__ import annotations

import os

from support.clusters import VARIABLES, Cluster
from support.hub import HUB_ACCOUNT, USER_GROUP, find_program

from .commands import Commands

AGENT_TIMEOUT = 15
"""Seconds, of which T is made: see docs/reliability.md."""
PROXY_CHECK = 30
"""Seconds between two looks of JupyterHub at the routes of its proxy, which must be less than T."""
COMMON = f"""
c.JupyterHub.init_spawners_timeout = 1
c.JupyterHub.last_activity_interval = {PROXY_CHECK}
c.UniSpawner.agent_timeout = {AGENT_TIMEOUT}
c.UniSpawner.use_drmaa = False
"""
PROFILES = """
c.JupyterHub.spawner_class = "unispawner.ProfilesSpawner"
c.ProfilesSpawner.profiles = [{"display_name": "Small", "slug": "small"}]
"""
LEGACY = """
c.Spawner.cmd = [{singleuser!r}]
c.BatchSpawnerBase.startup_poll_interval = 0.5
c.Spawner.poll_interval = 2
import os
os.environ.update({environment!r})
"""
LEGACY_CLASSES = {
    "slurm": """
c.JupyterHub.spawner_class = "unispawner.SlurmSpawner"
c.SlurmSpawner.req_memory = "500"
c.SlurmSpawner.req_runtime = "30"
c.SlurmSpawner.req_options = "--job-name={job_name}"
c.SlurmSpawner.batch_submit_cmd = "{path}/sbatch --parsable"
c.SlurmSpawner.batch_query_cmd = '{path}/squeue -h -j {{job_id}} -o "%T %B"'
c.SlurmSpawner.batch_cancel_cmd = "{path}/scancel {{job_id}}"
""",
    "gridengine": """
c.JupyterHub.spawner_class = "unispawner.GridengineSpawner"
c.GridengineSpawner.req_options = "-S /bin/bash -N {job_name}"
c.GridengineSpawner.batch_submit_cmd = "{path}/qsub"
c.GridengineSpawner.batch_query_cmd = "{path}/qstat -xml"
c.GridengineSpawner.batch_cancel_cmd = "{path}/qdel {{job_id}}"
""",
    "htcondor": """
c.JupyterHub.spawner_class = "unispawner.CondorSpawner"
c.CondorSpawner.req_memory = "500"
c.CondorSpawner.req_nprocs = "1"
c.CondorSpawner.req_options = 'JobBatchName = "{job_name}"'
c.CondorSpawner.batch_submit_cmd = "{path}/condor_submit"
c.CondorSpawner.batch_query_cmd = (
    '{path}/condor_q {{job_id}} -format "%s, " JobStatus -format "%s" RemoteHost '
    '-format "\\n" True'
)
c.CondorSpawner.batch_cancel_cmd = "{path}/condor_rm {{job_id}}"
""",
}
OPTIONS = {"ProfilesSpawner": {"profile": "small"}}
"""What the user chooses, by spawner class."""
SPAWNERS = ("UniSpawner", "ProfilesSpawner", "legacy", "ssh")
"""What is tried; "ssh" is UniSpawner of a Hub in a container that reaches the cluster by ssh."""
SUDOERS = f"{HUB_ACCOUNT} ALL=(%{USER_GROUP}) NOPASSWD:SETENV: ALL"
"""What batchspawner's sites have, whose Hub runs their commands with ``sudo -E``."""


def config(spawner: str, cluster: Cluster, commands: Commands, job_name: str) -> str:
    """Return the lines of the configuration for a spawner class on a cluster."""
    if spawner in ("UniSpawner", "ssh"):
        return COMMON
    if spawner == "ProfilesSpawner":
        return COMMON + PROFILES
    lines = LEGACY.format(
        singleuser=find_program("jupyterhub-singleuser"),
        environment={name: os.environ[name] for name in VARIABLES if name in os.environ},
    )
    lines += LEGACY_CLASSES[cluster.name].format(job_name=job_name, path=commands.folder)
    return COMMON + lines


def sudoers(spawner: str) -> str:
    """Return the line of sudoers that this class needs; empty for the usual ones."""
    return SUDOERS if spawner == "legacy" else ""
