"""Sites' configurations for batchspawner, on unispawner's classes of the same names and migrated.

A file in tests/live/sites/ is all that a further site needs.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.clusters import VARIABLES, Cluster, Slurm, cluster_of
from support.folders import readable_folder
from support.hub import HUB_ACCOUNT, USER_GROUP, RunningHub, post_form, running_hub, until
from support.journey import PATIENCE
from support.sites import FOLDER, STARTED, Site, change_the_word, make_programs, read_site

from unispawner.admin.hub_client import HubClient

SITES = [read_site(path) for path in sorted(FOLDER.glob("*.py"))]
EACH_SITE = pytest.mark.parametrize(
    "site",
    [
        pytest.param(site, marks=getattr(pytest.mark, site.scheduler), id=site.name)
        for site in SITES
    ],
)

AS_USERS = f"{HUB_ACCOUNT} ALL=(%{USER_GROUP}) NOPASSWD:SETENV: ALL"
"""What batchspawner's sites have in sudoers, who let the Hub run their commands with `sudo -E`."""

OF_THE_TEST = """
import os
os.environ.update({environment!r})
c.Spawner.cmd = c.UniSpawner.cmd = ["{programs}/jupyterhub-singleuser"]
c.Spawner.poll_interval = 1
c.BatchSpawnerBase.startup_poll_interval = 0.2
"""
RUN_MIGRATE = "import sys; from unispawner.admin.cli import main; sys.exit(main())"
ALL_VARIABLES = "import os; print(dict(os.environ))"


@pytest.fixture(scope="module")
def programs() -> Iterator[Path]:
    """Give a folder with the programs that a site's script may name, and no others."""
    with readable_folder() as folder:
        make_programs(folder / "bin")
        yield folder / "bin"


async def run_site(
    site: Site, config: str, programs: Path, where: str, sudoers: str = AS_USERS
) -> None:
    """Start a server as the site's people do, and check all that the site's file says of it."""
    cluster = cluster_of(site.scheduler)
    variables = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    before = cluster.active(user="alice")
    first = OF_THE_TEST.format(environment=variables, programs=programs)
    try:
        async with running_hub(cluster, config=first + config, sudoers=sudoers) as hub:
            try:
                await use_server(await hub.client("alice"), hub, site)
            except BaseException:
                print(hub.log_tail())  # the Hub is gone when pytest reports the failure
                raise
            await until(lambda: cluster.active(user="alice") <= before, "no job is left")
    finally:
        for left in cluster.active(user="alice") - before:
            cluster.cancel(left, "alice")
    STARTED.setdefault(where, []).append(site.name)


async def use_server(alice: HubClient, hub: RunningHub, site: Site) -> None:
    """Start a server, check it and its job, and stop it."""
    await start(alice, site)
    job_id = find_job_id(await hub.state("alice"))
    variables = ast.literal_eval(await alice.run_cell(ALL_VARIABLES))
    assert site.environment == {name: variables.get(name) for name in site.environment}
    check_job(hub.cluster, job_id, site)
    await alice.stop()


async def start(alice: HubClient, site: Site) -> None:
    """Start a server with the form if there is one, else by the API; wait until it is ready."""
    if site.form is None:
        await alice.start(options=site.rest)
    else:
        answer = await post_form(alice, f"hub/spawn/{alice.user}", site.form)
        assert 302 == answer.code, re.findall(r"(?s)Error:[^<]*", answer.body.decode())
    await alice.wait_ready(timeout=PATIENCE)


def find_job_id(state: dict[str, Any]) -> str:
    """Return the job's id, which the state of a wrapper has in the state of its child, without
    the words that the site has put behind it."""
    while "child_state" in state:
        state = state["child_state"]
    return str(state["job_id"]).partition(" ")[0]


def check_job(cluster: Cluster, job_id: str, site: Site) -> None:
    """Check what the scheduler shows of the job, and what the job has printed."""
    if not site.job and not site.log:
        return
    assert isinstance(cluster, Slurm), f"{cluster.name}: only Slurm's jobs can be checked"
    job = cluster.job(job_id)
    assert site.job == {name: job.get(name) for name in site.job}
    if site.log:
        assert re.search(site.log, Path(job["StdOut"]).read_text())


@EACH_SITE
async def test_the_changed_word(site: Site, programs: Path) -> None:
    """A site that changes only `batchspawner` to `unispawner` gets the same server as before."""
    await run_site(
        site, change_the_word(site.with_programs(programs)), programs, "the word changed"
    )


@EACH_SITE
async def test_migrated(site: Site, programs: Path) -> None:
    """What `unispawner migrate` writes starts the same server on UniSpawner. Where UniSpawner can't
    replace what the site has, it is the configuration with the changed word."""
    text = site.with_programs(programs)
    with readable_folder() as folder:
        old, new = folder / "old.py", folder / "new.py"
        old.write_text(text)
        command = [sys.executable, "-c", RUN_MIGRATE, "migrate", "-o", str(new), str(old)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert 0 == done.returncode, done.stdout + done.stderr
        config = new.read_text()
    if "still runs the servers" in config:
        assert as_code(change_the_word(text)) == as_code(config)
        STARTED.setdefault("migrated, the same as with the word changed", []).append(site.name)
    else:
        await run_site(site, config, programs, "migrated to UniSpawner", "")


def as_code(text: str) -> str:
    """Return what a file says to Python, without its comments."""
    return ast.dump(ast.parse(text))


@pytest.mark.long
@EACH_SITE
async def test_with_batchspawner(site: Site) -> None:
    """Each of these configurations starts the same server with batchspawner and wrapspawner, on a
    node that has batchspawner's program: so a failure elsewhere is unispawner's."""
    with readable_folder() as folder:
        make_programs(folder / "bin", "batchspawner-singleuser")
        config = f"c.Spawner.batchspawner_singleuser_cmd = '{folder}/bin/batchspawner-singleuser'\n"
        config += site.with_programs(folder / "bin")
        await run_site(site, config, folder / "bin", "with batchspawner")
