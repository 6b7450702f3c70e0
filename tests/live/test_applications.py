"""Choices that set the server's command and first page, and a user's own environment, on Slurm."""

from __future__ import annotations

import html
import json
import os
import pwd
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.clusters import Slurm
from support.hub import RunningHub, find_program, post_form, running_hub
from support.journey import refused_start

from unispawner.admin.hub_client import HubClient

pytestmark = pytest.mark.slurm
PATIENCE = 60
CONFIG = """
c.JupyterHub.spawner_class = "unispawner.ProfilesSpawner"
c.ProfilesSpawner.profiles = [{
    "display_name": "Session", "slug": "session",
    "options": {
        "application": {
            "choices": {
                "lab": {"display_name": "JupyterLab", "override": {"default_url": "/lab"}},
                "tree": {
                    "display_name": "Files of a project",
                    "override": {"default_url": "/lab/tree/{username}", "notebook_dir": "~"},
                },
            },
            "default": "lab",
        },
        "software": {
            "choices": {
                "site": "The site's",
                "own": {
                    "display_name": "My own",
                    "value": {"display_name": "Folder", "pattern": "/.*", "example": "/home/a/env"},
                    "override": {
                        "cmd": ["{value}/bin/serve"],
                        "prologue": "export OWN_IN_SHELL={value}",
                        "environment": {"OWN_IN_FILE": "{value}"},
                    },
                },
            },
            "default": "site",
        },
    },
}]
"""
OWN = {"profile": "session", "software": "own"}


@pytest.fixture(scope="module")
async def hub(slurm: Slurm) -> AsyncIterator[RunningHub]:
    async with running_hub(slurm, config=CONFIG) as running:
        yield running


@pytest.fixture(scope="module")
def own() -> Iterator[Path]:
    """An environment of alice's, whose path has blanks and quotes."""
    account = pwd.getpwnam("alice")
    folder = Path(account.pw_dir) / 'it\'s my "own" $(id) env'
    (folder / "bin").mkdir(parents=True)
    program = folder / "bin" / "serve"
    program.write_text(f'#!/bin/sh\nexec {find_program("jupyterhub-singleuser")} "$@"\n')
    os.mkfifo(folder / "pipe")
    (folder / "shared").mkdir()
    for path in (program, folder / "bin", folder / "pipe", folder / "shared", folder):
        path.chmod(0o755)
        os.chown(path, account.pw_uid, account.pw_gid)
    (folder / "shared").chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.hub
async def test_an_own_environment(hub: RunningHub, alice: HubClient, own: Path) -> None:
    """The server runs the program of the user's own environment, whose path arrives unchanged, and
    opens with the chosen page. It stays after a restart of the Hub."""
    fields = {"session--software": "own", "session--software_own": str(own)}
    fields |= {"profile": "session", "session--application": "tree"}
    assert 302 == (await post_form(alice, "hub/spawn/alice", fields)).code
    await alice.wait_ready(timeout=PATIENCE)
    names = "['OWN_IN_SHELL', 'OWN_IN_FILE']"
    code = f"import os, json; print(json.dumps([os.environ[name] for name in {names}]))"
    assert [str(own)] * 2 == json.loads(await alice.run_cell(code))
    first = await alice.request("GET", "user/alice/", follow=False)
    assert "/user/alice/lab/tree/alice" == first.headers["Location"].rstrip("?")
    hub.kill()
    await hub.start()
    assert [str(own)] * 2 == json.loads(await alice.run_cell(code))
    await alice.stop()


@pytest.mark.threat(
    who="user",
    tries="They choose an environment that is somebody else's, that others can change, or that is "
    "a named pipe.",
    stopped_by="The agent looks at the path as the user, before the form is accepted and again "
    "before the job is submitted.",
)
async def test_what_is_not_the_users_own(hub: RunningHub, alice: HubClient, own: Path) -> None:
    """The form and the API refuse what the user's job must not run, and the form keeps what was
    typed and says why beside the field."""
    bob = pwd.getpwnam("bob").pw_dir
    wrong = {
        f"{own}/none": f"{own}/none does not exist",
        f"{own}/pipe": f"{own}/pipe is a named pipe, but must be a directory",
        f"{own}/shared": f"{own}/shared can be changed by others",
        bob: f"{bob} belongs to bob",
    }
    for path, words in wrong.items():
        fields = {**{f"session--{name}": one for name, one in OWN.items()}, "profile": "session"}
        fields["session--software_own"] = path
        page = (await post_form(alice, "hub/spawn/alice", fields)).body.decode()
        shown = html.unescape(page)
        assert words in shown
        assert f'value="{html.escape(path)}"' in page.replace("&#34;", "&quot;").replace(
            "&#39;", "&#x27;"
        )
        assert "is-invalid" in page
        assert words in await refused_start(alice, "", {**OWN, "software_own": path})
    assert "" not in await alice.servers()


@pytest.mark.threat(
    who="stranger",
    tries="They write a link that starts a user's server with an environment of theirs.",
    stopped_by="A link can't choose a text of the user's. It fills the form, and the user decides.",
)
@pytest.mark.hub
async def test_a_link_with_a_path(hub: RunningHub, alice: HubClient, own: Path) -> None:
    """A link that starts a server at once does not choose a path; the form shows what it asks
    for."""
    page = await alice.request(
        "GET", "hub/spawn/alice?profile=session&software=own&software_own=/tmp"
    )
    shown = html.unescape(page.body.decode())
    assert "a link can't choose this for you" in shown
    assert 'value="/tmp"' in shown
    assert "" not in await alice.servers()
