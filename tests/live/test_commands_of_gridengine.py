"""The real Grid Engine accepts our directives, and answers all accounts."""

from __future__ import annotations

import os
import shlex
import subprocess
from datetime import timedelta

import pytest
from support import clusters

from unispawner.job import JobSpec
from unispawner.schedulers.base import Reply, advance
from unispawner.schedulers.gridengine import GridEngine

pytestmark = pytest.mark.gridengine

SGE = GridEngine()
NODE1, NODE2 = "sgenode1.cluster.example", "sgenode2.cluster.example"


@pytest.fixture(scope="module")
def gridengine() -> clusters.Cluster:
    """Give the real Grid Engine of ci/gridengine."""
    return clusters.cluster_of("gridengine")


@pytest.mark.parametrize("name", ["ü b", "1/2:3", "None", "a'b\"c<d>&", "-x", "x" * 600, "[$({~`"])
def test_the_qmaster_takes_every_name(gridengine: clusters.Cluster, name: str) -> None:
    """The qmaster accepts every job name that our directives contain."""
    option = shlex.split(SGE.directives(JobSpec(name=name))[0])
    command = ["qsub", "-terse", "-h", "-b", "y", *option, "true"]
    shell = ["su", "-w", ",".join(gridengine.environment), "-", "alice", "-c", shlex.join(command)]
    done = subprocess.run(shell, capture_output=True, text=True)
    assert 0 == done.returncode, done.stderr
    job_id = done.stdout.strip()
    try:
        assert job_id in SGE.read_status(Reply((), 0, subprocess.getoutput("qstat -xml -u '*'")))
    finally:
        subprocess.run(["qdel", job_id], check=True, capture_output=True)


@pytest.mark.parametrize("user", ["bob", "jupyterhub"])
def test_anybody_may_ask_for_the_cluster(gridengine: clusters.Cluster, user: str) -> None:
    """A user and the Hub's account, who are not managers, may query the whole inventory."""
    question, reply = SGE.inventory(), None
    with pytest.raises(StopIteration) as stop:
        while True:
            command = advance(question, reply)
            done = subprocess.run(
                ["setpriv", "--reuid", user, "--regid", user, "--init-groups", *command],
                capture_output=True,
                text=True,
                env={"PATH": os.environ["PATH"], **gridengine.environment},
                timeout=30,
            )
            reply = Reply(tuple(command), done.returncode, done.stdout, done.stderr)
    found = stop.value.value
    assert {NODE1, NODE2} == found.hosts
    assert [2, 0] == [node.gpus for node in found.nodes]
    limits = {queue.name: queue.max_duration for queue in found.queues}
    assert {"all.q": None, "short.q": timedelta(minutes=10)} == limits
    assert found.waiting is not None
