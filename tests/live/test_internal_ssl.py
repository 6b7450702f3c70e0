"""A Hub with ``internal_ssl``: a server's certificate is made for the node of its job."""

from __future__ import annotations

import asyncio
import json
import pwd
import re
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support.clusters import Cluster, Slurm
from support.elsewhere import HubElsewhere, LoginNode, why_not_elsewhere
from support.folders import commands_folder
from support.hand_over import CONFIG, SERVER, act, ask_server, offered, second_is_ready
from support.hub import EncryptedHub, started, until, why_no_hub
from support.journey import PATIENCE, log_of, nothing_left, requeue, start

from unispawner.admin.hub_client import HubClient
from unispawner.servers import certificates
from unispawner.web import tls

HELD: dict[str, Any] = {"custom_attributes": {"slurm.hold": True}}
# A web server on the node, with a certificate and its key; it prints its port.
STUB = """
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
stub = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Handler)
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(*sys.argv[1:])
stub.socket = context.wrap_socket(stub.socket, server_side=True, do_handshake_on_connect=False)
print(stub.server_port, flush=True)
stub.serve_forever()
"""
# It outlives the kernel that starts it, and ends with the job.
START_STUB = """
import subprocess, sys
command = [sys.executable, "-c", {stub!r}, {certificate!r}, {key!r}]
stub = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
print(stub.stdout.readline())
"""


class EncryptedHubElsewhere(EncryptedHub, HubElsewhere):
    """A Hub with ``internal_ssl`` in a container, which submits by ssh."""


@pytest.fixture(scope="module")
async def hub(cluster: Cluster) -> AsyncIterator[EncryptedHub]:
    if reason := why_no_hub():
        pytest.skip(reason)
    async with started(EncryptedHub(cluster, config=CONFIG)) as running:
        yield running


@dataclass
class Files:
    """A job's private files, read by root."""

    folder: Path

    @classmethod
    def of(cls, state: dict[str, Any]) -> Files:
        home = pwd.getpwnam(state["account"]).pw_dir
        return cls(Path(home, ".unispawner", "jobs", state["mark"]))

    @property
    def modes(self) -> dict[str, str]:
        return {path.name: oct(path.stat().st_mode & 0o777) for path in self.folder.iterdir()}

    @property
    def certificates(self) -> list[Path]:
        """The certificates of the server, the oldest first."""
        return sorted(self.folder.glob("certfile-*"), key=lambda path: path.stat().st_mtime_ns)

    @property
    def token(self) -> str:
        text = (self.folder / "environment").read_text()
        found = re.search(r"JUPYTERHUB_API_TOKEN\W+(\w{32,})", text)
        assert found
        return found[1]


def addresses(certificate: Path) -> list[str]:
    """Return the addresses that a certificate names."""
    read = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(address) for address in names.get_values_for_type(x509.IPAddress)]


async def test_a_server_on_a_node(hub: EncryptedHub, alice: HubClient) -> None:
    """A kernel of a server on a node answers through the proxy. The certificate names the node
    alone; key and certificates are private files of the user's until the job ends."""
    await start(alice)
    state = await hub.state("alice")
    files = Files.of(state)
    try:
        assert ("https", True) == (state["proto"], bool(state["public_key"]))
        assert "42" == await alice.run_cell("6*7")
        [certificate] = files.certificates
        assert [state["host"]] == addresses(certificate)
        names = {"keyfile", "clientfile", "cafile", certificate.name}
        assert dict.fromkeys(names, "0o600").items() <= files.modes.items()
        shown = "import os; print(os.environ['JUPYTERHUB_SSL_CERTFILE'])"
        assert str(certificate) == (await alice.run_cell(shown)).strip()
    finally:
        await alice.stop()
    assert not files.folder.exists()


@pytest.mark.slurm
@pytest.mark.parametrize("cluster", ["slurm"], indirect=True, scope="module")
async def test_restarts_and_requeues(hub: EncryptedHub, slurm: Slurm, alice: HubClient) -> None:
    """A job that begins while the Hub is away waits for its certificate; the server goes on after
    a restart of the Hub; a requeue gets a new certificate, whose server's kernel answers."""
    hub.set("alice", **HELD)
    starting = asyncio.ensure_future(alice.start())
    job_id = await hub.job_id("alice")
    state = await hub.state("alice")
    hub.kill()
    starting.add_done_callback(lambda task: task.cancelled() or task.exception())
    slurm.run("scontrol", "release", job_id)

    def waits() -> bool:
        log = Path(log_of(state))
        return log.exists() and "does not answer" in log.read_text()

    await until(waits, "the launcher waits for the Hub", PATIENCE)
    await hub.start()
    await alice.wait_ready("", timeout=PATIENCE)
    hub.set("alice")
    assert "42" == await alice.run_cell("6*7")
    files = Files.of(state)
    [before] = files.certificates

    hub.kill()
    await hub.start()

    async def ready() -> bool:
        return bool((await hub.server("alice")).get("ready"))

    await until(ready, "the server is ready after the restart", PATIENCE)
    assert "42" == await alice.run_cell("6*7")

    await requeue(hub, slurm, alice, "", job_id)
    state = await hub.state("alice")
    assert [before.name] == [path.name for path in files.certificates[:-1]]
    assert [state["host"]] == addresses(files.certificates[-1])
    assert "42" == await alice.run_cell("6*7")
    await alice.stop()


@pytest.mark.parametrize(
    "cluster",
    [
        pytest.param("slurm", marks=pytest.mark.slurm),
        pytest.param("gridengine", marks=[pytest.mark.gridengine, pytest.mark.long]),
        pytest.param("htcondor", marks=[pytest.mark.htcondor, pytest.mark.long]),
    ],
    indirect=True,
    scope="module",
)
async def test_a_second_job_has_its_own_certificate(
    hub: EncryptedHub, cluster: Cluster, alice: HubClient
) -> None:
    """The second job of a server that is continued has a key of its own and a certificate for its
    own node. The proxy and the Hub take it after the switch, and the first job is gone."""
    with commands_folder({"server": SERVER}) as folder:
        hub.set("alice", cmd=[str(folder / "server")])
        await start(alice)
        first = await hub.state("alice")
        await offered(alice)
        if isinstance(cluster, Slurm):
            node = cluster.job(first["job_id"])["NodeList"]
            elsewhere = {"slurm.exclude": node}
            hub.set("alice", cmd=[str(folder / "server")], custom_attributes=elsewhere)
        await act(alice, "continue")
        await second_is_ready(alice)
        second = (await hub.state("alice"))["next"]
        keys = [(Files.of(one).folder / "keyfile").read_text() for one in (first, second)]
        assert keys[0] != keys[1]
        assert first["public_key"] != second["public_key"]
        [certificate] = Files.of(second).certificates
        assert [second["host"]] == addresses(certificate)
        assert not isinstance(cluster, Slurm) or first["host"] != second["host"]
        assert first["mark"] == (await ask_server(alice))["mark"]
        await act(alice, "switch")
        assert {"mark": second["mark"], "user": "alice"} == await ask_server(alice, "who")
        await nothing_left(cluster, first)
        await alice.stop()
        await nothing_left(cluster, second)
    hub.set("alice")


class Foreigner:
    """Certificates that the Hub's authority has signed, and stubs on a node that show them.

    The files are in a folder of alice's, since her job reads them.
    """

    def __init__(self, hub: EncryptedHub, alice: HubClient, folder: Path) -> None:
        self.hub, self.alice, self.folder = hub, alice, folder

    def sign(self, user: str, *names: str) -> tuple[Path, Path]:
        """Return the files of a certificate of a user's and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        spawner = SimpleNamespace(
            user=SimpleNamespace(name=user), internal_certs_location=str(self.hub.certificates)
        )
        stem = self.folder / f"{user}{len(list(self.folder.iterdir()))}"
        certificate, secret = stem.with_suffix(".crt"), stem.with_suffix(".key")
        signed = certificates.sign(spawner, tls.encode_key(key.public_key()), names)
        certificate.write_text(signed)
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate, secret

    async def serve(self, certificate: Path, key: Path) -> int:
        """Start a web server with a certificate in alice's job; return its port."""
        code = START_STUB.format(stub=STUB, certificate=str(certificate), key=str(key))
        return int(await self.alice.run_cell(code))

    async def through_proxy(self, host: str, port: int) -> int:
        """Return the status of a page behind a route of the proxy's to a port."""
        await self.hub.route(f"stub{port}", f"https://{host}:{port}")
        return int((await self.alice.request("GET", f"stub{port}/")).code)

    def report(self, token: str, certificate: Path, key: Path, body: Any) -> tuple[int, Any]:
        """Report with a token and a certificate; return the status and the answer."""
        context = ssl.create_default_context(cafile=str(self.hub.certificates / "hub-ca_trust.crt"))
        context.load_cert_chain(certificate, key)
        request = Request(
            f"https://{self.hub.hub_ip}:{self.hub.hub_port}/hub/api/unispawner/report",
            data=json.dumps(body).encode(),
            headers={"Authorization": f"token {token}"},
        )
        try:
            with urlopen(request, context=context, timeout=20) as response:
                return response.status, json.load(response)
        except HTTPError as error:
            with error:
                return error.code, json.load(error)["message"]


@pytest.mark.threat(
    who="node",
    tries="A server on one node answers in the place of another, with its own certificate.",
    stopped_by="With internal_ssl a certificate names its own node alone, and the proxy checks it.",
)
@pytest.mark.slurm
@pytest.mark.parametrize("cluster", ["slurm"], indirect=True, scope="module")
async def test_foreign_certificates(
    hub: EncryptedHub, alice: HubClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy takes no server that shows the certificate of another node, or one for clients. The
    Hub makes no route to another user's server on the same node, and takes no report with another
    user's certificate. Whoever has no certificate reaches neither the server nor the Hub."""
    await start(alice)
    state = await hub.state("alice")
    host, port, files = state["host"], state["port"], Files.of(state)
    foreign = Foreigner(hub, alice, files.folder)
    monkeypatch.chdir(hub.folder)  # paths in JupyterHub's list of certificates are relative to it

    right = await foreign.serve(*foreign.sign("alice", f"IP:{host}"))
    other_node = await foreign.serve(*foreign.sign("alice", "IP:192.0.2.1", "DNS:other"))
    for_clients = await foreign.serve(*foreign.sign("alice"))
    neighbour = await foreign.serve(*foreign.sign("bob", f"IP:{host}"))
    codes = [await foreign.through_proxy(host, one) for one in (right, other_node, for_clients)]
    assert [200, 503, 503] == codes

    bobs = foreign.sign("bob", f"IP:{host}")
    mine = files.certificates[0], files.folder / "keyfile"
    begun = {"event": "begun", "host": host}
    code, message = foreign.report(files.token, *bobs, begun)
    assert (403, "The certificate of this report is not that of the server's user.") == (
        code,
        message,
    )
    code, answer = foreign.report(files.token, *mine, begun)
    assert (200, ["certificate"]) == (code, list(answer))
    for wrong, why in (
        (neighbour, "shows the certificate of another server"),
        (other_node, "shows a certificate that is not for this server"),
    ):
        code, message = foreign.report(files.token, *mine, {"host": host, "port": wrong})
        assert code == 409
        assert why in message
    assert (host, port) == ((await hub.state("alice"))["host"], (await hub.state("alice"))["port"])

    stranger = ssl.create_default_context()
    stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
    for url in (f"https://{host}:{port}/", f"https://{hub.hub_ip}:{hub.hub_port}/hub/api/"):
        with pytest.raises(OSError, match=r"(?i)certificate|alert|reset|eof|closed"):
            urlopen(url, context=stranger, timeout=20)
    await alice.stop()


@pytest.mark.slurm
async def test_over_ssh(slurm: Slurm) -> None:
    """A Hub elsewhere, which submits by ssh, has servers with certificates for their nodes."""
    if reason := why_no_hub() or why_not_elsewhere():
        pytest.skip(f"no Hub elsewhere: {reason}")
    with LoginNode(slurm) as login:
        async with started(EncryptedHubElsewhere(slurm, login)) as hub:
            await test_a_server_on_a_node(hub, await hub.client("alice"))
