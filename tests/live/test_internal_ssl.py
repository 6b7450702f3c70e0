"""A Hub with ``internal_ssl``: its servers' certificates reach nodes that nobody knew before."""

from __future__ import annotations

import pwd
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from support.clusters import Slurm
from support.hub import EncryptedHub, until, why_no_hub
from support.journey import requeue, start

from unispawner.admin.hub_client import HubClient

pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module")
async def hub(slurm: Slurm) -> AsyncIterator[EncryptedHub]:
    if reason := why_no_hub():
        pytest.skip(reason)
    hub = EncryptedHub(slurm)
    try:
        await hub.start()
        yield hub
    finally:
        await hub.close()


@pytest.fixture(scope="module")
async def alice(hub: EncryptedHub) -> HubClient:
    return await hub.client("alice")


def jobs_folder(state: dict[str, Any]) -> Path:
    return Path(pwd.getpwnam(state["account"]).pw_dir, ".unispawner", "jobs", state["mark"])


async def test_a_server_with_certificates(
    hub: EncryptedHub, slurm: Slurm, alice: HubClient
) -> None:
    """A kernel of a server on a node answers through the proxy, which trusts the certificate of the
    server. The server refuses whoever has no certificate. Its key is a private file of the user's
    until the job ends. All of this holds after a restart of the Hub and a requeue of the job."""
    await start(alice)
    state = await hub.state("alice")
    assert "https" == state["proto"]
    assert "42" == await alice.run_cell("6*7")

    folder = jobs_folder(state)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in folder.iterdir()}
    assert {"keyfile": "0o600", "certfile": "0o600", "cafile": "0o600"}.items() <= modes.items()
    shown = "import os; print(os.environ['JUPYTERHUB_SSL_KEYFILE'])"
    assert str(folder / "keyfile") == (await alice.run_cell(shown)).strip()

    stranger = ssl.create_default_context()
    stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(OSError, match=r"(?i)certificate|alert|reset|eof|closed"):
        urlopen(f"https://{state['host']}:{state['port']}/", context=stranger, timeout=20)

    hub.kill()
    await hub.start()

    async def ready() -> bool:
        return bool((await hub.server("alice")).get("ready"))

    await until(ready, "the server is ready after the restart", 60)
    assert "42" == await alice.run_cell("6*7")

    await requeue(hub, slurm, alice, "", state["job_id"])
    await alice.stop()
    assert not folder.exists()
