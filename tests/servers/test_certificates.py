"""The certificates of ``internal_ssl``: which addresses they name, and what is read of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.hub_app import FakeSpawner

from unispawner.errors import InvalidJobError
from unispawner.servers import certificates
from unispawner.testing import FakeScheduler

NODES = {"node1": "192.0.2.10", "node2": "192.0.2.11"}


@pytest.fixture
def spawner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSpawner:
    scheduler = FakeScheduler(tmp_path, [*NODES, "nobody.invalid"])
    monkeypatch.setattr(FakeSpawner, "fake", scheduler, raising=False)
    spawner = FakeSpawner(trusted_alt_names=["IP:192.0.2.1"])
    spawner.host_map = NODES
    return spawner


async def test_all_nodes_are_named(spawner: FakeSpawner) -> None:
    """A certificate names the addresses of all nodes, after host_map; a node without an address is
    left out. The site's own names come first."""
    assert ["IP:192.0.2.10", "IP:192.0.2.11"] == await certificates.find_alt_names(spawner)
    made = await make(spawner)
    assert ["IP:192.0.2.1", "IP:192.0.2.10", "IP:192.0.2.11"] == made


async def test_the_sites_own_names(spawner: FakeSpawner) -> None:
    """Where the site sets ssl_alt_names, no node is looked up."""
    spawner.ssl_alt_names = ["DNS:*.cluster.example"]
    assert ["DNS:*.cluster.example"] == await make(spawner)


async def test_too_many_nodes(spawner: FakeSpawner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster with more nodes than a certificate can name fails the start, with what to set."""
    monkeypatch.setattr(certificates, "MOST_NODES", 2)
    await make(spawner)
    assert isinstance(spawner.certificates_problem, InvalidJobError)
    assert "Set c.UniSpawner.ssl_alt_names" in str(spawner.certificates_problem)


async def test_files_are_read_at_once(spawner: FakeSpawner, tmp_path: Path) -> None:
    """The files are read before another server of the same user can get new ones."""
    paths = {}
    for name in ("keyfile", "certfile", "cafile"):
        paths[name] = str(tmp_path / name)
        Path(paths[name]).write_text(f"the {name}")
    assert paths == await spawner.move_certs(paths)
    wanted = {name: f"the {name}" for name in paths}
    assert wanted == spawner.certificates


async def make(spawner: FakeSpawner) -> Any:
    """Let the spawner make certificates; return what they name."""
    named: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "jupyterhub.spawner.Spawner.create_certs", lambda self: named.append(self.ssl_alt_names)
        )
        await spawner.create_certs()
    return named[0]
