"""What doctor reports about weaknesses of other programs, and about what a configuration trades."""

from __future__ import annotations

import jupyterhub
import pytest
from support.doctor import PROFILES, Doctor
from traitlets.config import Config

from unispawner import UniSpawner
from unispawner.admin.doctor.weaknesses import find_weaknesses, is_fixed, read_version
from unispawner.monitor.monitor import Monitor

NAMED = "c.JupyterHub.allow_named_servers = True"


def security(doctor: Doctor, config: str) -> str:
    """Return doctor's line about security."""
    (line,) = [line for line in doctor(config)[1] if " security: " in line]
    return line


@pytest.mark.parametrize(
    ("version", "lines", "wrong"),
    [
        ("6.0.1", NAMED, True),
        ("5.3.0", NAMED, True),
        ("6.0.1", "", False),
        ("6.1.0", NAMED, False),
    ],
)
def test_named_servers_of_an_old_jupyterhub(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, version: str, lines: str, wrong: bool
) -> None:
    """A JupyterHub in which named servers of one user can be another's is reported."""
    monkeypatch.setattr(jupyterhub, "__version__", version)
    line = security(doctor, f"{PROFILES}\n{lines}")
    assert wrong == line.startswith("look at security: ")
    assert wrong == ("CVE-2026-108752" in line)


@pytest.mark.parametrize(
    ("version", "lines", "wrong"),
    [
        ("4.6.3", "", True),
        ("5.0.1", "", False),
        ("4.6.3", "c.JupyterHub.proxy_class = 'traefik_file'", False),
        ("what?", "", False),
    ],
)
def test_an_old_proxy(doctor: Doctor, version: str, lines: str, wrong: bool) -> None:
    """A configurable-http-proxy before release 5 is reported, if the Hub uses it."""
    program = doctor.programs / "configurable-http-proxy"
    program.write_text(f"#!/bin/sh\necho '{version}'\n")
    program.chmod(0o755)
    assert wrong == (
        "configurable-http-proxy 4.6.3 breaks" in security(doctor, f"{PROFILES}{lines}")
    )


def test_what_a_configuration_trades(doctor: Doctor) -> None:
    """One origin for all, and a login shell, are mentioned; a Hub without either reads nothing."""
    line = security(doctor, PROFILES)
    assert line.startswith("ok      security: nothing is known to be wrong. c.JupyterHub.subdomain")
    line = security(doctor, f"{PROFILES}\nc.JupyterHub.subdomain_host = 'https://hub.example'")
    assert "origin" not in line


@pytest.mark.parametrize(
    ("answer", "hides", "expected"),
    [
        ("slurm-wlm 22.05.8", True, True),
        ("slurm 22.05.8", False, False),
        ("slurm 25.05.9", True, False),
        ("slurm", True, False),
    ],
)
async def test_an_operator_of_an_old_slurm(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    hides: bool,
    expected: bool,
) -> None:
    """Where jobs are hidden, our advice is an operator, which an old Slurm does not confine."""

    async def hides_jobs(self: Monitor) -> bool:
        return hides

    folder = tmp_path_factory.mktemp("bin")
    (folder / "squeue").write_text(f"#!/bin/sh\necho '{answer}'\n")
    (folder / "squeue").chmod(0o755)
    monkeypatch.setattr(Monitor, "hides_jobs", hides_jobs)
    spawner = UniSpawner(scheduler="slurm", run_as="sudo", scheduler_path=str(folder))
    found = await find_weaknesses(Config(), [spawner])
    assert expected == any("operator" in one for one in found.doubts)
    assert any("login shell" in one for one in found.trades)


def test_versions_of_slurm() -> None:
    """The fixes are in 25.05.9, in 26.05.4 and in what comes after them in the same line."""
    texts = ["22.05.8", "25.05.8", "25.05.9", "25.11.2", "26.05.3", "26.05.4", "27.05.0"]
    fixed = [is_fixed(version) for text in texts if (version := read_version(text))]
    assert [False, False, True, False, False, True, True] == fixed
    assert None is read_version("unknown")
