"""The services of deploy/systemd: their commands, run here without systemd."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import CHECKOUT
from support.hub import free_ports

UNITS = CHECKOUT / "deploy" / "systemd"
SERVER = """
import os, urllib.parse
from http.server import HTTPServer, SimpleHTTPRequestHandler
url = urllib.parse.urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
HTTPServer((url.hostname, url.port), SimpleHTTPRequestHandler).serve_forever()
"""
CONFIG = """
c.JupyterHub.bind_url = "http://127.0.0.1:8000"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.Spawner.cmd = [{python!r}, {server!r}]
c.Spawner.home_dir_template = {home!r}
c.JupyterHub.load_roles = [{{"name": "trial", "scopes": ["admin:servers"], "services": ["trial"]}}]
c.JupyterHub.services = [{{"name": "trial", "api_token": "not-a-secret-of-anybody"}}]
c.JupyterHub.load_groups = {{"g": {{"users": ["alice"]}}}}
c.JupyterHub.log_level = "INFO"
"""


class Services:
    """The Hub and the proxy, each started by the command of its unit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # One for each port that the files of deploy/systemd name.
        free = map(str, free_ports("127.0.0.1", 3))
        self.ports = dict(zip(("8000", "8001", "8081"), free, strict=True))
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {**os.environ, "CONFIGPROXY_AUTH_TOKEN": "t" * 64}
        (folder / "server.py").write_text(SERVER)
        site = CONFIG.format(
            python=sys.executable, server=str(folder / "server.py"), home=str(folder / "home")
        )
        lines = (UNITS / "hub-and-proxy.py").read_text() + site
        port = f"\nc.JupyterHub.hub_port = {self.ports['8081']}\n"
        (folder / "jupyterhub_config.py").write_text(self._ours(lines) + port)

    def _ours(self, text: str) -> str:
        return re.sub(r"\b(8000|8001|8081)\b", lambda found: self.ports[found[0]], text)

    def start(self, name: str) -> None:
        unit = (UNITS / f"{name}.service").read_text()
        found = re.search(r"^ExecStart=(.*)$", unit, re.M)
        hub_url = re.search(r"HUB_URL=(\S+)", unit)
        assert found
        line = found[1].replace("${HUB_URL}", hub_url[1] if hub_url else "")
        line = line.replace("/etc/jupyterhub/", f"{self.folder}/")
        program, *arguments = shlex.split(self._ours(line))
        path = shutil.which(Path(program).name)
        assert path
        with (self.folder / name).open("ab") as log:
            self.running[name] = subprocess.Popen(
                [path, *arguments], cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )

    def end(self, name: str) -> None:
        process = self.running.pop(name)
        process.terminate()
        process.wait(60)

    def ask(self, path: str, method: str = "GET") -> tuple[int, str]:
        """Ask through the proxy; return the status, and which program has answered."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['8000']}{path}",
            method=method,
            headers={"Authorization": "token not-a-secret-of-anybody"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.headers.get("Server", "")
        except urllib.error.HTTPError as error:
            return error.code, error.headers.get("Server", "")
        except OSError:
            return 0, ""

    def wait_for(self, what: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while not what():
            logs = [(self.folder / name).read_text()[-3000:] for name in self.running]
            assert all(one.poll() is None for one in self.running.values()), "\n".join(logs)
            assert time.monotonic() < deadline, "\n".join(logs)
            time.sleep(0.2)

    def serves(self) -> bool:
        """Whether the very server of alice answers through the proxy."""
        status, program = self.ask("/user/alice/")
        return status == 404 and program.startswith("SimpleHTTP")


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    made = Services(tmp_path)
    yield made
    for name in list(made.running):
        made.end(name)


def test_users_do_not_notice_a_restart_of_the_hub(services: Services) -> None:
    """With the proxy as a service of its own, servers answer while the Hub is down, and after
    it is back."""
    services.start("jupyterhub-proxy")
    services.start("jupyterhub")
    services.wait_for(lambda: services.ask("/hub/health")[0] == 200)
    assert services.ask("/hub/api/users/alice/server", "POST")[0] in (201, 202)
    services.wait_for(services.serves)
    services.end("jupyterhub")
    assert services.serves()
    assert services.ask("/hub/health")[0] == 503
    services.start("jupyterhub")
    services.wait_for(lambda: services.ask("/hub/health")[0] == 200)
    assert services.serves()
    assert services.ask("/hub/api/users/alice/server", "DELETE")[0] in (202, 204)
    services.wait_for(lambda: not services.serves())
