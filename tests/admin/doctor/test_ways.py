"""What ``unispawner doctor`` reports about the way of becoming a user."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest
from support.doctor import Doctor
from support.fake_broker import FakeBroker

from unispawner.run_as import base, decision


def test_a_submit_host_that_can_not_be_reached(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that fails is reported once, and what needs it is skipped."""
    fails = (
        "#!/bin/sh\necho 'ssh: connect to host login1 port 22: Connection refused' >&2\nexit 255\n"
    )
    (doctor.programs / "ssh").write_text(fails)
    monkeypatch.setitem(base.ENVIRONMENT, "PATH", f"{doctor.programs}:/usr/bin:/bin")
    status, lines = doctor(
        'c.JupyterHub.spawner_class = "unispawner"\nc.JupyterHub.hub_ip = "0.0.0.0"\n'
        'c.UniSpawner.scheduler = "slurm"\nc.UniSpawner.submit_host = "hubsvc@login1"\n',
        *("--account", "alice"),
    )
    assert 1 == status
    wrong = [line for line in lines if line.startswith("WRONG")]
    assert 1 == len(wrong), wrong
    assert wrong[0].startswith("WRONG   submit_host: nothing listens on port 22 of login1")
    skipped = [line.split(":")[0] for line in lines if line.startswith("skipped")]
    names = ("scheduler", "query", "queues", "nodes", "account", "start time")
    assert [f"skipped {name}" for name in names] == skipped


def test_the_group_of_the_broker_is_missing(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group that this host lacks is reported by doctor before a user meets it."""
    broker = FakeBroker(tmp_path)
    sudo = f'#!/bin/sh\n[ "$2" = -l ] || exec {shlex.join(broker.command)}\n'
    (doctor.programs / "sudo").write_text(sudo)
    monkeypatch.setitem(base.ENVIRONMENT, "PATH", f"{doctor.programs}:/usr/bin:/bin")
    monkeypatch.setattr(decision, "_decided", {})
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    doctor.program("python")  # whose files are right, wherever this checkout has its own
    _, lines = doctor(
        'c.JupyterHub.spawner_class = "unispawner"\nc.JupyterHub.hub_ip = "0.0.0.0"\n'
        'c.UniSpawner.scheduler = "slurm"\nc.UniSpawner.broker_group = "no-such"\n'
        f"c.UniSpawner.agent_python = {str(doctor.programs / 'python')!r}\n"
    )
    wrong = [line for line in lines if "broker_group" in line]
    assert 1 == len(wrong), lines
    assert wrong[0].startswith("WRONG   run_as: broker_group: this host has no group 'no-such'")


def test_a_broker_that_is_not_root(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A far broker that was started without sudo answers, but serves only its own account."""
    broker = FakeBroker(tmp_path)
    broker.set(greeting={"uid": 992})
    ssh = f"#!/bin/sh\nexec {shlex.join(broker.command)}\n"
    (doctor.programs / "ssh").write_text(ssh)
    monkeypatch.setitem(base.ENVIRONMENT, "PATH", f"{doctor.programs}:/usr/bin:/bin")
    _, lines = doctor(
        'c.JupyterHub.spawner_class = "unispawner"\nc.JupyterHub.hub_ip = "0.0.0.0"\n'
        'c.UniSpawner.scheduler = "slurm"\nc.UniSpawner.submit_host = "hubsvc@login2"\n'
    )
    (found,) = [line for line in lines if " submit_host: " in line]
    assert found.startswith("look at submit_host: the broker on ")
    assert found.endswith("must begin with sudo -n")
