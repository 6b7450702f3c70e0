"""A configuration that can't work ends the Hub's start. Each Hub here is a real process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

import unispawner
from unispawner.errors import InvalidJobError
from unispawner.servers.spawner import UniSpawner

pytestmark = pytest.mark.hub

PATIENCE = 180.0
PACKAGE = Path(unispawner.__file__).parents[1]

# A Hub that needs neither a proxy nor an account, and only its own files.
CONFIG = """
from jupyterhub.proxy import Proxy

class NoProxy(Proxy):
    should_start = False
    async def add_route(self, routespec, target, data): pass
    async def delete_route(self, routespec): pass
    async def get_all_routes(self): return {{}}

c = get_config()
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_port = {hub_port}
c.JupyterHub.db_url = "sqlite:///:memory:"
c.JupyterHub.cookie_secret = b"x" * 32
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "unispawner.servers.spawner.UniSpawner"
"""

WRONG = """
c.UniSpawner.scheduler = "local"
c.UniSpawner.resources = {"memory": "1G"}
"""

BY_CLASS = """
from unispawner import UniSpawner
c.JupyterHub.spawner_class = UniSpawner
"""

INHERITED = """
from unispawner import UniSpawner
class Ours(UniSpawner): pass
c.JupyterHub.spawner_class = Ours
c.Ours.scheduler = "slurm"
c.Ours.duration = "8:00"
"""


class Hub:
    """A Hub's process, its configuration and its log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ports = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        port, self.port = (one.getsockname()[1] for one in ports)
        for one in ports:
            one.close()
        self.config = CONFIG.format(port=port, hub_port=self.port)
        self.python_path = [str(PACKAGE)]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, config: str) -> subprocess.Popen[bytes]:
        (self.folder / "jupyterhub_config.py").write_text(self.config + config)
        environment = {**os.environ, "PYTHONPATH": ":".join(self.python_path)}
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", "jupyterhub_config.py"],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self.process

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def serves(self, config: str) -> str:
        """Start the Hub, wait until it answers, and end it; return its log."""
        process = self.start(config)
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)
        self.end()
        return self.log

    def refuses(self, config: str) -> str:
        """Start the Hub and wait until it ends with a failure before it has served; return its
        log."""
        process = self.start(config)
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None:
            assert not self._answers(), self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)
        assert 1 == process.returncode, self.log
        return self.log

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/hub/api/", timeout=10) as it:
                return bool(it.status == 200)
        except urllib.error.URLError:
            return False

    def end(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            finally:
                self.process.kill()
                self.process.wait()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    found = Hub(tmp_path)
    yield found
    found.end()


@pytest.fixture
def command(tmp_path: Path) -> Callable[[str, str], str]:
    """Return a function that writes a command into an otherwise empty folder, and returns the lines
    of configuration that make this folder the path."""

    def write(name: str, text: str) -> str:
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return f'c.UniSpawner.scheduler_environment = {{"PATH": "{path.parent}"}}\n'

    return write


def test_what_cannot_work_ends_the_start(hub: Hub) -> None:
    """A wrong configuration ends the Hub with status 1 before it serves, and one line of the log
    names the field."""
    log = hub.refuses(WRONG)
    (line,) = [line for line in log.splitlines() if "configuration of unispawner is wrong" in line]
    assert "memory: The local host does not support this" in line
    assert "[C " in line
    assert "Traceback" not in log


class Ours(UniSpawner):
    """A site's subclass."""


@pytest.mark.parametrize(
    ("spawner_class", "settings", "text"),
    [
        (
            UniSpawner,
            {"scheduler": "slurm", "duration": "8:00"},
            "duration: '8:00' is not a length of time",
        ),
        (
            UniSpawner,
            {"scheduler": "slurm", "sge_memory_per": "host"},
            "'sge_memory_per' trait of",
        ),
        (
            UniSpawner,
            {"scheduler_environment": {"PATH": "/no/such/directory"}},
            "no scheduler's commands were found in /no/such/directory",
        ),
        (
            Ours,
            {"scheduler": "local", "resources": {"memory": "1G"}},
            "memory: The local host does not support this",
        ),
    ],
)
async def test_what_the_check_refuses(
    spawner_class: type[UniSpawner], settings: dict[str, Any], text: str
) -> None:
    """The check refuses what would fail for every user, with the name of the setting; UniSpawner's
    settings count for a site's subclass, too."""
    with pytest.raises(InvalidJobError, match=text):
        await spawner_class.check_config(Config(UniSpawner=settings))


@pytest.mark.parametrize("config", [BY_CLASS + WRONG, INHERITED])
def test_a_spawner_given_as_a_class(hub: Hub, config: str) -> None:
    """The spawner is checked if it is given as a class, and if it is a site's subclass with
    settings of its own."""
    assert "The configuration of unispawner is wrong" in hub.refuses(config)


@pytest.mark.parametrize("name", ["unispawner", "unispawner.servers.spawner.UniSpawner"])
def test_a_spawner_of_an_installed_package(hub: Hub, tmp_path: Path, name: str) -> None:
    """The spawner is checked if it is installed with an entry point, for which JupyterHub imports
    it earlier."""
    info = tmp_path / "site" / "unispawner-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: unispawner\nVersion: 0\n")
    (info / "entry_points.txt").write_text(
        "[jupyterhub.spawners]\nunispawner = unispawner.servers.spawner:UniSpawner\n"
    )
    hub.python_path.insert(0, str(tmp_path / "site"))
    config = f'c.JupyterHub.spawner_class = "{name}"\n{WRONG}'
    assert "The configuration of unispawner is wrong" in hub.refuses(config)


def test_a_good_configuration_starts(hub: Hub) -> None:
    """A correct configuration starts without a message of the check."""
    assert "unispawner is wrong" not in hub.serves('c.UniSpawner.scheduler = "local"\n')


def test_an_unknown_setting_is_logged_once(hub: Hub) -> None:
    """An unknown setting is logged once, although the check tries each profile several times."""
    options = {"software": {"choices": {"a": {"display_name": "A", "override": {"prologue": "a"}}}}}
    profiles = [{"display_name": name, "options": options} for name in ("One", "Two")]
    log = hub.serves(
        'c.JupyterHub.spawner_class = "unispawner.ProfilesSpawner"\n'
        'c.UniSpawner.scheduler = "local"\nc.UniSpawner.queue = "long"\n'
        f"c.ProfilesSpawner.profiles = {profiles}\n"
    )
    assert 1 == log.count("Config option `queue` not recognized by `UniSpawner`"), log


def test_a_scheduler_that_is_found_starts(hub: Hub, command: Callable[[str, str], str]) -> None:
    """Resources are checked against the scheduler that was detected."""
    text = '[ "$1" = --version ] && echo "slurm 22.05.8"\nexit 0'
    config = command("squeue", text) + 'c.UniSpawner.resources = {"memory": "1G"}\n'
    log = hub.serves(config)
    assert ("unispawner is wrong" in log, "can't start until" in log) == (False, False)


def test_a_scheduler_that_is_down(hub: Hub, command: Callable[[str, str], str]) -> None:
    """If no scheduler answers, the Hub starts, because users can use servers that run, and the log
    says why no new server can start."""
    text = (
        '[ "$1" = --version ] && echo "slurm 22.05.8" && exit\necho "Unable to contact" >&2; exit 1'
    )
    log = hub.serves(command("squeue", text))
    assert (
        "Servers that need this can't start until it is solved: scheduler: none of the schedulers "
        "on this" in log
    )
    assert "Unable to contact" in log
    assert "unispawner is wrong" not in log


def test_one_of_two_clusters_is_down(hub: Hub, command: Callable[[str, str], str]) -> None:
    """If the cluster of one profile does not answer, the Hub starts, and the log names the profile;
    a mistake in another profile ends the start all the same."""
    text = (
        '[ "$1" = --version ] && echo "slurm 22.05.8" && exit\n'
        '[ "$2" = down ] && echo "Unable to contact" >&2 && exit 1\n'
        '[ "$2" = nope ] && echo "No cluster \'nope\' known by database" >&2 && exit 1\nexit 0'
    )
    names = ("up", "down")
    profiles = [{"display_name": name, "config": {"slurm_cluster": name}} for name in names]
    config = (
        f'{command("squeue", text)}c.UniSpawner.scheduler = "slurm"\n'
        f'c.JupyterHub.spawner_class = "unispawner.ProfilesSpawner"\n'
        f"c.ProfilesSpawner.profiles = {profiles}\n"
    )
    log = hub.serves(config)
    assert (
        "Servers that need this can't start until it is solved: profile 'down': scheduler: Slurm "
        "(down) does not answer" in log
    )
    more = (
        "c.ProfilesSpawner.profiles += [{'display_name': 'x', 'config': {'slurm_cluster': 'nope'}}]"
    )
    assert "profile 'x': slurm_cluster: Slurm's database knows no cluster" in hub.refuses(
        f"{config}{more}\n"
    )


def test_another_spawner_is_no_business_of_ours(hub: Hub) -> None:
    """If the Hub uses another spawner, UniSpawner's settings are not checked, although its module
    is imported."""
    config = f"""
import unispawner.servers.spawner
c.JupyterHub.spawner_class = "simple"
{WRONG}"""
    log = hub.serves(config)
    assert "unispawner is wrong" not in log


def test_a_bug_in_the_check_does_not_keep_the_hub_from_starting(hub: Hub) -> None:
    """An unexpected exception in the check, as of a site's own class, is logged, and the Hub
    starts."""
    config = """
from unispawner import UniSpawner
class Ours(UniSpawner):
    @classmethod
    async def check_config(cls, config): raise RuntimeError("a bug in the check")
c.JupyterHub.spawner_class = Ours
"""
    assert "a bug in the check" in hub.serves(config)


@pytest.mark.parametrize(
    "before",
    [
        "",
        "import jupyterhub.app",
        "import jupyterhub.app; jupyterhub.app.JupyterHub()",
        "import jupyterhub.app; jupyterhub.app.JupyterHub.instance()",
        "import jupyterhub.app; from traitlets.config import Application as A; "
        "type('Kernel', (A,), {}).instance()",
    ],
)
def test_the_import_alone_does_nothing(before: str) -> None:
    """Importing the spawner works and prints nothing in a script, in a test, and in a notebook,
    whose kernel is an application, too."""
    code = f"{before}\nimport unispawner.servers.spawner"
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60
    )
    assert (0, "") == (done.returncode, done.stderr)
