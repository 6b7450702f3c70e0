"""What of a server's environment no job gets: the Hub's own search paths, and odd names."""

from __future__ import annotations

import logging

import pytest

from unispawner.servers.search_paths import drop_hubs_paths, drop_unsettable


@pytest.mark.parametrize("name", ["PATH", "LD_LIBRARY_PATH", "PYTHONPATH"])
def test_the_hubs_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search path that env_keep takes from the Hub is left out; another value, as
    c.Spawner.environment sets it, and all other variables stay."""
    monkeypatch.setenv(name, "/opt/hub/bin:/usr/bin")
    monkeypatch.setenv("LANG", "C.UTF-8")
    kept = {name: "/opt/hub/bin:/usr/bin", "LANG": "C.UTF-8"}
    assert {"LANG": "C.UTF-8"} == drop_hubs_paths(kept)
    assert {name: "/opt/site"} == drop_hubs_paths({name: "/opt/site"})


def test_names_that_no_shell_exports(caplog: pytest.LogCaptureFixture) -> None:
    """Such a name is left out instead of ending every start; a warning names it once."""
    log = logging.getLogger("test")
    environment = {"BASH_FUNC_of_test%%": "() { :; }", "EUID": "1", "A-B": "x", "A_B": "y"}
    for _ in range(3):
        assert {"A_B": "y"} == drop_unsettable(environment, log)
    assert 1 == len(caplog.records)
    assert "'A-B', 'BASH_FUNC_of_test%%', 'EUID'" in caplog.text
