"""The Hub's own search paths, which no job gets."""

from __future__ import annotations

import pytest

from unispawner.servers.search_paths import drop_hubs_paths


@pytest.mark.parametrize("name", ["PATH", "LD_LIBRARY_PATH", "PYTHONPATH"])
def test_the_hubs_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search path that env_keep takes from the Hub is left out; another value, as
    c.Spawner.environment sets it, and all other variables stay."""
    monkeypatch.setenv(name, "/opt/hub/bin:/usr/bin")
    monkeypatch.setenv("LANG", "C.UTF-8")
    kept = {name: "/opt/hub/bin:/usr/bin", "LANG": "C.UTF-8"}
    assert {"LANG": "C.UTF-8"} == drop_hubs_paths(kept)
    assert {name: "/opt/site"} == drop_hubs_paths({name: "/opt/site"})
