"""Whose certificate a report and a server show."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tornado.iostream import SSLIOStream
from tornado.web import HTTPError

from unispawner.errors import InvalidJobError, SchedulerUnavailable
from unispawner.servers import certificates
from unispawner.web import tls

HERE = "127.0.0.1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Give a spawner's view of JupyterHub's authorities."""
    folder = tmp_path_factory.mktemp("internal-ssl")
    certipy = pytest.importorskip("certipy").Certipy(store_dir=str(folder))
    certipy.trust_from_graph({"notebooks-ca": ["hub-ca"], "hub-ca": ["notebooks-ca"]})
    return SimpleNamespace(
        user=SimpleNamespace(name="alice"),
        internal_certs_location=str(folder),
        internal_trust_bundles={"notebooks-ca": str(folder / "notebooks-ca_trust.crt")},
    )


@pytest.fixture
def hubs(authority: Any) -> ssl.SSLContext:
    """Give the Hub's view of servers."""
    return ssl.create_default_context(
        cafile=str(Path(authority.internal_certs_location, "hub-ca_trust.crt"))
    )


@asynccontextmanager
async def server(
    folder: Path, authority: Any, identity: certificates.Identity, *names: str
) -> AsyncIterator[int]:
    """Give the port of a server with a certificate for a job's key."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    (folder / "key").write_text(identity.files["keyfile"])
    (folder / "crt").write_text(certificates.sign(authority, identity.public_key, names))
    context.load_cert_chain(folder / "crt", folder / "key")

    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listening = await asyncio.start_server(ignore, HERE, 0, ssl=context)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


async def test_the_jobs_own_server(authority: Any, hubs: ssl.SSLContext, tmp_path: Path) -> None:
    """A server with the job's key and a certificate for its address is accepted."""
    mine = certificates.make_identity(authority)
    async with server(tmp_path, authority, mine, f"IP:{HERE}") as port:
        await tls.check_server(HERE, port, mine.public_key, hubs)


@pytest.mark.threat(
    who="other user",
    tries="Their server, with a valid certificate, listens where somebody's server should.",
    stopped_by="With internal_ssl the Hub makes a route only to a server that shows the key of its "
    "own job, in a certificate for that host.",
)
async def test_another_server_of_the_node(
    authority: Any, hubs: ssl.SSLContext, tmp_path: Path
) -> None:
    """A server at the same address with a valid certificate for another job's key is refused."""
    mine, neighbours = (certificates.make_identity(authority) for _ in range(2))
    async with server(tmp_path, authority, neighbours, f"IP:{HERE}") as port:
        with pytest.raises(InvalidJobError, match="port: .* the certificate of another server"):
            await tls.check_server(HERE, port, mine.public_key, hubs)


@pytest.mark.parametrize("names", [["IP:192.0.2.1"], []])
async def test_a_certificate_that_is_not_for_this_host(
    authority: Any, hubs: ssl.SSLContext, tmp_path: Path, names: list[str]
) -> None:
    """The job's key is not enough: the certificate of another node, or that for clients, is
    refused."""
    mine = certificates.make_identity(authority)
    async with server(tmp_path, authority, mine, *names) as port:
        with pytest.raises(InvalidJobError, match="port: .* a certificate that is not for this"):
            await tls.check_server(HERE, port, mine.public_key, hubs)


async def test_a_server_without_encryption(hubs: ssl.SSLContext) -> None:
    """A server that answers in clear is refused, with what is required."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greet, HERE, 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        with pytest.raises(InvalidJobError, match="port: .* does not speak TLS"):
            await tls.check_server(HERE, port, "key", hubs)


async def test_nobody_answers(
    hubs: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    """A server that does not answer, or hangs, has to report again."""
    with pytest.raises(SchedulerUnavailable, match=r"does not answer the Hub \(.*Report again"):
        await tls.check_server(HERE, unused_tcp_port, "key", hubs)
    monkeypatch.setattr(tls, "HANDSHAKE_TIMEOUT", 0.05)
    hang = asyncio.Event()

    async def wait(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hang.wait()
        writer.close()

    async with await asyncio.start_server(wait, HERE, 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        with pytest.raises(SchedulerUnavailable, match=r"not within 0\.05 s"):
            await tls.check_server(HERE, port, "key", hubs)
        hang.set()


def request(*names: str) -> Any:
    """Return a request that comes with a certificate that has these common names."""
    shown = {"subject": tuple((("commonName", name),) for name in names)} if names else {}
    stream = SSLIOStream.__new__(SSLIOStream)
    stream.socket = SimpleNamespace(getpeercert=lambda: shown)  # type: ignore[assignment] # a stub
    return SimpleNamespace(connection=SimpleNamespace(stream=stream))


@pytest.mark.parametrize("names", [["user-alice"], ["proxy-client"], ["traefik.example"], []])
def test_reports_that_may_be_the_users(names: list[str]) -> None:
    """A report comes with the user's own certificate, or with the proxy's; without internal_ssl
    there is none."""
    tls.check_client(request(*names), "alice")
    in_clear: Any = SimpleNamespace(connection=None)
    tls.check_client(in_clear, "alice")


@pytest.mark.threat(
    who="other user",
    tries="They report for somebody's server with its token and the certificate of their own one.",
    stopped_by="With internal_ssl the certificate of a report must be that of the token's user.",
)
@pytest.mark.parametrize("name", ["user-bob", "user-", "user-alice2", "user-ALICE"])
def test_reports_with_another_users_certificate(name: str) -> None:
    """A report with the certificate of another user is refused, whatever its token."""
    with pytest.raises(HTTPError) as raised:
        tls.check_client(request(name), "alice")
    assert 403 == raised.value.status_code
