"""A job of a Hub with ``internal_ssl``: when its server gets a certificate, and for which host.

The Hub is a real one's own application, with JupyterHub's own authorities; the scheduler is a fake.
What the launcher does with the answer is in tests/test_launcher.py, and the whole way in
tests/live/test_internal_ssl.py.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography import x509
from support.hub import until
from support.hub_app import NODE, OTHER, PATIENCE, Hub, Server, hub_app, starting_server
from traitlets.config import Config

from unispawner.errors import InvalidJobError
from unispawner.job import JobState
from unispawner.servers import certificates
from unispawner.servers.node_certificates import AT_ONCE, PAUSE
from unispawner.servers.state import ServerState
from unispawner.web import tls, words
from unispawner.web.allowance import Allowance
from unispawner.web.hosts import own_addresses

pytestmark = [
    pytest.mark.hub,
    pytest.mark.filterwarnings("ignore:The `version` property of an event schema"),
]


@pytest.fixture(scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hub]:
    folder = tmp_path_factory.mktemp("hub")
    config = Config()
    config.JupyterHub.internal_ssl = True
    config.JupyterHub.internal_certs_location = str(folder / "internal-ssl")
    async with hub_app(folder, config) as found:
        yield found


@pytest.fixture
async def server(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    async with starting_server(hub, monkeypatch) as found:
        yield found


def begun(host: str = NODE) -> dict[str, str]:
    return {"event": "begun", "host": host}


def addresses(certificate: str) -> list[str]:
    """Return the addresses that a certificate (PEM) names."""
    read = x509.load_pem_x509_certificate(certificate.encode())
    names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(one) for one in names.get_values_for_type(x509.IPAddress)]


async def certificate(hub: Hub, server: Server, host: str = NODE) -> str:
    response = await hub.post(begun(host), server.token)
    assert 200 == response.code
    return str(json.loads(response.body)["certificate"])


async def message(hub: Hub, server: Server, host: str = NODE) -> tuple[int, str]:
    response = await hub.post(begun(host), server.token)
    return response.code, json.loads(response.body)["message"]


async def test_only_when_the_scheduler_confirms(hub: Hub, server: Server) -> None:
    """A job's word is not enough: as long as the scheduler does not say that the job runs, the job
    has to report again. Then the certificate names that host and has the job's key."""
    await server.submitted()
    assert (503, words.HOST_UNKNOWN) == await message(hub, server)
    await server.running()
    given = await certificate(hub, server)
    assert [NODE] == addresses(given)
    saved = server.spawner.orm_spawner.state["public_key"]
    read = x509.load_pem_x509_certificate(given.encode())
    assert saved == tls.encode_key(read.public_key())


@pytest.mark.threat(
    who="job",
    tries="It asks for a certificate for a host on which it does not run.",
    stopped_by="The Hub signs only for the host on which the scheduler says that the job runs.",
)
async def test_not_for_another_host(hub: Hub, server: Server) -> None:
    """A job can't get a certificate for a host on which it does not run."""
    await server.running()
    code, why = await message(hub, server, OTHER)
    assert (409, True) == (code, f"the server reports {OTHER}" in why)
    assert 400 == (await hub.post({"event": "begun"}, server.token)).code


async def test_the_mapped_address(
    hub: Hub, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With host_map the certificate names the address of the route, and the scheduler's name."""
    monkeypatch.setattr(server.spawner, "host_map", {"node17": OTHER})
    await server.running("node17")
    given = await certificate(hub, server, "node17")
    assert [OTHER] == addresses(given)
    read = x509.load_pem_x509_certificate(given.encode())
    names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert ["node17"] == names.get_values_for_type(x509.DNSName)


async def test_the_hubs_own_host(hub: Hub, server: Server) -> None:
    """On the Hub's own host the route may need any address of the host, so all are named."""
    await server.running("127.0.0.1")
    given = await certificate(hub, server, "127.0.0.1")
    own = {str(address) for address in own_addresses() if not address.is_link_local}
    assert own == set(addresses(given))
    assert "127.0.0.1" in own


async def test_a_job_that_is_run_again(hub: Hub, server: Server) -> None:
    """A requeued job gets a new certificate for its new node, with the same key."""
    await server.running()
    first = await certificate(hub, server)
    server.runs_on(OTHER)
    await server.spawner.monitor().refresh(PATIENCE)
    await until(lambda: server.info and server.info.exec_host == OTHER, "it has moved")
    second = await certificate(hub, server, OTHER)
    assert ([NODE], [OTHER]) == (addresses(first), addresses(second))
    keys = {
        tls.encode_key(x509.load_pem_x509_certificate(one.encode()).public_key())
        for one in (first, second)
    }
    assert {server.spawner.server_job.state.public_key} == keys
    assert 409 == (await hub.post(begun(NODE), server.token)).code


async def test_an_answer_that_is_lost(hub: Hub, server: Server) -> None:
    """A job that asks again, since the answer did not arrive, gets a certificate again; after a
    restart of the Hub as well, from what is saved."""
    await server.running()
    await certificate(hub, server)
    saved = server.spawner.get_state()
    restored = ServerState.from_dict(saved)
    assert restored.public_key
    assert [NODE] == addresses(await certificate(hub, server))
    del saved["public_key"]
    assert "" == ServerState.from_dict(saved).public_key


@pytest.mark.threat(
    who="job",
    tries="It asks for a certificate when it is being cancelled, or has ended.",
    stopped_by="A job that ends gets no certificate, and its token is revoked.",
)
async def test_a_job_that_is_being_cancelled(hub: Hub, server: Server) -> None:
    """A late report of a job that is being ended, or has ended, gets nothing."""
    await server.running()
    job = server.spawner.server_job
    job.state.stopping = True
    assert (409, words.ENDING) == await message(hub, server)
    job.state.stopping = False
    assert 200 == (await hub.post(begun(), server.token)).code
    server.spawner.fake.change(job.state.job_id, JobState.CANCELED)
    await server.spawner.monitor().refresh(PATIENCE)
    await until(lambda: job.over, "the job has ended")
    assert (409, words.ENDING) == await message(hub, server)


async def test_a_server_of_an_older_release(hub: Hub, server: Server) -> None:
    """A job whose certificate names all nodes reports as it did, and is not asked for its key."""
    await server.running()
    server.spawner.server_job.state.public_key = ""
    response = await hub.post(begun(), server.token)
    assert (200, {}) == (response.code, json.loads(response.body))
    assert 200 == (await hub.post({"host": NODE, "port": 2000}, server.token)).code
    assert f"https://{NODE}:2000" == await asyncio.wait_for(server.start, PATIENCE)


async def test_the_server_must_have_the_key(
    hub: Hub, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A route is made when what listens at the reported port has shown the job's own key."""
    asked: list[Any] = []

    async def refuse(*arguments: Any) -> None:
        asked.append(arguments[:3])
        raise InvalidJobError("port: it is another's")

    async def accept(*arguments: Any) -> None:
        asked.append(arguments[:3])

    await server.running()
    monkeypatch.setattr(tls, "check_server", refuse)
    assert 409 == (await hub.post({"host": NODE, "port": 2000}, server.token)).code
    assert ("", 0) == server.where
    monkeypatch.setattr(tls, "check_server", accept)
    assert 200 == (await hub.post({"host": NODE, "port": 2000}, server.token)).code
    assert [(NODE, 2000, server.spawner.server_job.state.public_key)] * 2 == asked
    assert f"https://{NODE}:2000" == await asyncio.wait_for(server.start, PATIENCE)


@pytest.mark.threat(
    who="job",
    tries="It asks for certificates without end, so that the Hub does nothing but sign.",
    stopped_by="One question of a job at a time is looked into, and its certificates are counted.",
)
async def test_many_questions_at_once(
    hub: Hub, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a certificate is being made, the same job is not given another one; the launcher asks
    again later."""
    await server.running()
    wait, asked = asyncio.Event(), 0

    async def names(_: Any) -> list[str]:
        nonlocal asked
        asked += 1
        await wait.wait()
        return []

    monkeypatch.setattr(certificates, "find_sites_names", names)
    first = asyncio.create_task(certificate(hub, server))
    await until(lambda: asked == 1, "the first one is being made")
    others = await asyncio.gather(*(message(hub, server) for _ in range(20)))
    assert {(503, words.REPORT_UNDER_CHECK)} == set(others)
    wait.set()
    assert [NODE] == addresses(await first)
    assert [NODE] == addresses(await certificate(hub, server))
    assert 2 == asked


async def test_many_certificates(hub: Hub, server: Server) -> None:
    """A job gets some certificates without a pause, and later another one each ten seconds. A
    question before that leaves no message for its user."""
    await server.running()
    now = 0.0
    held = server.spawner.server_job
    held.allowance = Allowance(AT_ONCE * 2, clock=lambda: now)
    held._reports.certificates.allowance = Allowance(AT_ONCE, PAUSE, lambda: now)
    for _ in range(AT_ONCE):
        await certificate(hub, server)
    assert (503, words.TOO_MANY_CERTIFICATES) == await message(hub, server)
    assert held.tracked
    assert "" == held.tracked.refusal
    now = PAUSE
    await certificate(hub, server)
    assert (503, words.TOO_MANY_CERTIFICATES) == await message(hub, server)
