"""What the broker loads before it forks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def run(code: str) -> object:
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, cwd="/"
    )
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout)


def test_what_is_loaded_before_the_fork() -> None:
    """Loaded are PSI/J and the executors that only define classes: no DRMAA, no JupyterHub, no
    templates, no HTCondor; there is no thread, and no executor instance."""
    found = run(
        "import gc, json, sys, threading\n"
        "from unispawner.broker.preload import preload\n"
        "preload()\n"
        "from psij import JobExecutor\n"
        "gc.unfreeze()\n"
        "instances = [one for one in gc.get_objects() if isinstance(one, JobExecutor)]\n"
        "print(json.dumps([sorted(sys.modules), threading.active_count(), len(instances)]))"
    )
    assert isinstance(found, list)
    modules, threads, instances = found
    assert (1, 0) == (threads, instances)
    names = set(modules)
    for executor in ("slurm", "pbs", "torque", "lsf", "local", "gridengine"):
        assert f"unispawner.agent.executors.{executor}" in names
    assert not {"drmaa", "jupyterhub", "jinja2", "tornado"} & names
    assert not {name for name in names if name.endswith((".htcondor", ".template"))} - {
        "unispawner.schedulers.htcondor",
        "unispawner.schedulers.template",
    }


@pytest.mark.threat(
    who="root",
    tries="Root loads a plugin of PSI/J from a folder of somebody's.",
    stopped_by="PSI/J is loaded without its search for plugins.",
)
def test_psij_searches_no_plugins(tmp_path: Path) -> None:
    """PSI/J is loaded without its search: no file of a folder psij-descriptors is run, and nothing
    else of Python's is changed afterwards."""
    folder = tmp_path / "psij-descriptors"
    folder.mkdir()
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    before = "import json, pkgutil, sys; search = pkgutil.iter_modules; "
    load = (
        "from unispawner.agent.executors import load_psij; load_psij(); import psij; "
        "print(json.dumps(search is pkgutil.iter_modules))"
    )
    assert run(f"{before}sys.path.append({str(tmp_path)!r}); {load}") is True
    assert not (tmp_path / "ran").exists()
    run(f"{before}sys.path.append({str(tmp_path)!r}); import psij; print(1)")
    assert (tmp_path / "ran").exists()  # so it would have been run


def test_executors_start_no_thread() -> None:
    """An executor of PSI/J has no thread that asks the scheduler, and parses no template."""
    found = run(
        "import json, sys, threading\n"
        "from unispawner.agent.executors import get_executor\n"
        "from unispawner.schedulers import get_scheduler\n"
        "names = ('slurm', 'pbs', 'torque', 'lsf', 'htcondor', 'local')\n"
        "executors = [get_executor(get_scheduler(name)) for name in names]\n"
        "parsed = [hasattr(one, 'generator') for one in executors]\n"
        "print(json.dumps([threading.active_count(), any(parsed)]))"
    )
    assert [1, False] == found


def test_all_installed_packages_are_checked_before_they_are_loaded() -> None:
    """The check of who can change the code knows each installed package that the broker loads."""
    found = run(
        "import json, sys\n"
        "from unispawner.broker import safety\n"
        "before = set(sys.modules)\n"
        "from unispawner.broker.preload import preload\n"
        "preload()\n"
        "files = {name: getattr(sys.modules[name], '__file__', '') or ''"
        " for name in set(sys.modules) - before}\n"
        "used = {name.partition('.')[0] for name in files if 'site-packages' in files[name]}\n"
        "print(json.dumps([sorted(used - set(safety._PACKAGES)), sorted(used)]))"
    )
    assert isinstance(found, list)
    unknown, used = found
    assert [] == unknown
    assert "psij" in used
