"""What the tests of the commands share."""

import sys

import pytest


@pytest.fixture(autouse=True)
def _keep_search_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore sys.path: the commands and the configurations that they run add folders to it, in
    which later tests would find a module jupyterhub_config."""
    monkeypatch.setattr(sys, "path", list(sys.path))
