"""A server on a real Hub that is continued with a second job: its program, and what users do."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from support.hub import until
from unispawner.admin.hub_client import HubClient, HubClientError

CONFIG = """
from unispawner.servers import hand_over

hand_over.EARLIEST = 0.0  # a server can be continued at once
c.JupyterHub.init_spawners_timeout = 1
c.UniSpawner.duration = "01:00:00"
"""
"""The Hub's configuration: nobody has to wait for the end of a server's time."""

SERVER = f"""#!{sys.executable}
import http.server, json, os, ssl, urllib.request
from urllib.parse import urlsplit

MINE = os.environ
TLS = None
if MINE.get("JUPYTERHUB_SSL_KEYFILE"):
    certificate = MINE["JUPYTERHUB_SSL_CERTFILE"], MINE["JUPYTERHUB_SSL_KEYFILE"]
    authority = MINE["JUPYTERHUB_SSL_CLIENT_CA"]
    TLS = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
    TLS.verify_mode = ssl.CERT_REQUIRED
    TLS.load_cert_chain(*certificate)

def ask_hub():
    request = urllib.request.Request(MINE["JUPYTERHUB_API_URL"] + "/user")
    request.add_header("Authorization", "token " + MINE["JUPYTERHUB_API_TOKEN"])
    context = None
    if TLS:
        context = ssl.create_default_context(cafile=authority)
        context.load_cert_chain(*certificate)
    with urllib.request.urlopen(request, context=context) as answer:
        return json.load(answer)["name"]

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        found = {{"mark": MINE["UNISPAWNER_MARK"]}}
        if self.path.endswith("/who"):
            found["user"] = ask_hub()
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(
    ("0.0.0.0", urlsplit(MINE["JUPYTERHUB_SERVICE_URL"]).port), Handler
)
if TLS:
    server.socket = TLS.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
"""
"""A server that answers with the mark of its job, and at …/who with the owner of its token."""


async def status(client: HubClient) -> dict[str, Any]:
    found = await client.api("GET", f"unispawner/servers/{client.user}")
    return found if isinstance(found, dict) else dict(json.loads(found))


async def act(client: HubClient, action: str, method: str = "POST") -> Any:
    return await client.api(method, f"unispawner/servers/{client.user}/{action}")


async def offered(client: HubClient) -> None:
    """Wait until the server can be continued."""

    async def found() -> bool:
        return bool((await status(client))["continuation"]["offered"])

    await until(found, "it is offered to continue the server", 60)


async def second_is_ready(client: HubClient) -> None:
    async def ready() -> bool:
        found = (await status(client))["continuation"]
        assert found["state"] or not found["message"], found["message"]
        return bool(found["state"] == "ready")

    await until(ready, "the second job is ready", 60)


async def ask_server(client: HubClient, path: str = "") -> dict[str, str]:
    """Return what a server answers at its usual address; `{}` if it does not."""
    try:
        answer = await client.request("GET", f"user/{client.user}/{path}")
    except (OSError, HubClientError):
        return {}
    return dict(json.loads(answer.body)) if answer.code == 200 else {}


async def answers_from(client: HubClient, state: Mapping[str, Any]) -> None:
    """Wait until the server's usual address leads to a job."""

    async def found() -> bool:
        return bool((await ask_server(client)).get("mark") == state["mark"])

    await until(found, f"the server of job {state['job_id']} answers", 60)
