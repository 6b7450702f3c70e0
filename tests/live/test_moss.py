"""jupyterhub_moss with the one word changed: its form and its script, on a real Slurm.

The servers are JupyterLab.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.clusters import VARIABLES, Slurm
from support.folders import readable_folder
from support.hub import HUB_ACCOUNT, USER_GROUP, RunningHub, post_form, running_hub, until
from support.journey import PATIENCE
from support.sites import make_programs

from unispawner.admin.hub_client import HubClient

pytestmark = pytest.mark.slurm

SUDOERS = f"{HUB_ACCOUNT} ALL=(%{USER_GROUP}) NOPASSWD:SETENV: ALL"
CONFIG = """
import os, sys
os.environ.update({environment!r})
sys.path.insert(0, {folder!r})
import jupyterhub_moss
jupyterhub_moss.set_config(c)
c.Spawner.poll_interval = 1
c.MOSlurmSpawner.startup_poll_interval = 0.2
c.MOSlurmSpawner.req_srun = ""
c.MOSlurmSpawner.req_prologue = {site_prologue!r}
c.MOSlurmSpawner.partitions = {{
    "debug": {{
        "description": "Debug",
        "architecture": "x86_64",
        "simple": True,
        "max_runtime": 1800,
        "jupyter_environments": {{
            "full": {{
                "description": "With all that an environment can have",
                "path": {programs!r},
                "add_to_path": True,
                "modules": "gcc python",
                "prologue": {prologue!r},
            }},
            "bare": {{
                "description": "Only programs",
                "path": {programs!r},
                "add_to_path": False,
                "modules": "",
                "prologue": "",
            }},
        }},
    }}
}}
"""
SITE_PROLOGUE = """
module() {
    shift
    export MOSS_MODULES="$*"
}
"""
PROLOGUE = "export MOSS_ENVIRONMENT='its own'"
FORM = {
    "partition": "debug",
    "nprocs": "1",
    "mem": "",
    "ngpus": "0",
    "runtime": "0:20:00",
    "default_url": "/lab",
    "root_dir": "",
    "reservation": "",
    "options": "",
    "environment_id": "",
    "environment_path": "",
    "environment_modules": "",
}
"""The fields that moss's form sends."""


@dataclass(frozen=True)
class Variant:
    """What a person sends, and what the server and its job must have.

    Attributes
    ----------
    on_path
        True if the folder of the environment's programs must come first on the PATH.
    """

    name: str
    form: dict[str, str]
    environment: dict[str, str | None]
    on_path: bool = False
    job: dict[str, str] = field(default_factory=dict)


VARIANTS = [
    Variant(
        "an environment with a path, modules and a prologue",
        {"environment_id": "full"},
        {"MOSS_MODULES": "gcc python", "MOSS_ENVIRONMENT": "its own"},
        on_path=True,
    ),
    Variant(
        "typed options",
        {"environment_id": "full", "options": "--nice=3 --comment=typed", "output": "true"},
        {"MOSS_MODULES": "gcc python"},
        on_path=True,
        job={"Nice": "3", "Comment": "typed", "TimeLimit": "00:20:00", "Partition": "debug"},
    ),
    Variant(
        "a typed path and modules",
        {
            "environment_id": "custom",
            "environment_path": "{programs}",
            "environment_modules": "mine",
        },
        {"MOSS_MODULES": "mine", "MOSS_ENVIRONMENT": None},
        on_path=True,
    ),
    Variant("a bare environment", {"environment_id": "bare"}, {"MOSS_MODULES": None}),
]


@dataclass(frozen=True)
class Moss:
    """A Hub with moss, and the folder with the programs that its environments name."""

    hub: RunningHub
    programs: str


@pytest.fixture(scope="module")
async def moss() -> AsyncIterator[Moss]:
    cluster = Slurm()
    with readable_folder() as folder:
        _install_moss(folder)
        make_programs(folder / "bin")
        programs = f"{folder}/bin"
        config = CONFIG.format(
            environment={name: os.environ[name] for name in VARIABLES if name in os.environ},
            folder=str(folder),
            programs=programs,
            prologue=PROLOGUE,
            site_prologue=SITE_PROLOGUE,
        )
        async with running_hub(cluster, config=config, sudoers=SUDOERS) as hub:
            yield Moss(hub, programs)


def _install_moss(folder: Path) -> None:
    """Copy the installed package, in which a site changes the one word."""
    spec = importlib.util.find_spec("jupyterhub_moss")
    assert spec, "jupyterhub_moss is not installed: pip install 'unispawner[test]'"
    assert spec.origin
    package = shutil.copytree(
        Path(spec.origin).parent,
        folder / "jupyterhub_moss",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    for path in (package, *package.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    changed = 0
    for module in package.glob("*.py"):
        text, count = re.subn(
            r"(?m)^from batchspawner import", "from unispawner import", module.read_text()
        )
        module.write_text(text)
        changed += count
    assert 1 == changed


@pytest.mark.parametrize("variant", VARIANTS, ids=[one.name for one in VARIANTS])
async def test_moss(moss: Moss, variant: Variant) -> None:
    """A person posts moss's form and gets JupyterLab, with all that was chosen and typed."""
    cluster, alice = Slurm(), await moss.hub.client("alice")
    before = cluster.active(user="alice")
    page = (await alice.request("GET", "hub/spawn/alice")).body.decode()
    missing = [name for name in FORM if name != "root_dir" and f'name="{name}"' not in page]
    assert [] == missing
    chosen = {name: text.format(programs=moss.programs) for name, text in variant.form.items()}
    answer = await post_form(alice, "hub/spawn/alice", {**FORM, **chosen})
    assert 302 == answer.code, re.findall(r"(?s)Error:[^<]*", answer.body.decode())
    await alice.wait_ready(timeout=PATIENCE)
    try:
        lab = await alice.request("GET", "user/alice/lab")
        assert 200 == lab.code
        assert "JupyterLab" in lab.body.decode()
        found = await _variables(alice)
        assert variant.environment == {name: found.get(name) for name in variant.environment}
        assert variant.on_path is found["PATH"].startswith(f"{moss.programs}:")
        job = cluster.job(await moss.hub.job_id("alice"))
        assert variant.job == {name: job.get(name) for name in variant.job}
    finally:
        await alice.stop()
    await until(lambda: cluster.active(user="alice") <= before, "no job is left")


async def _variables(client: HubClient) -> dict[str, str]:
    text = await client.run_cell("import os; print(dict(os.environ))")
    variables: dict[str, str] = ast.literal_eval(text)
    return variables
