"""What of others is in the wheel of unispawner-lab: THIRD-PARTY.md says it."""

from __future__ import annotations

import json
import os
import zipfile

import pytest
from support import CHECKOUT
from support.lab import WHEEL


def test_bundled_packages_are_named_with_their_licence() -> None:
    """Each package that webpack has put into the wheel is in THIRD-PARTY.md, with its licence."""
    if not os.environ.get(WHEEL):
        pytest.skip("the wheel of unispawner-lab is not built")
    with zipfile.ZipFile(os.environ[WHEEL]) as archive:
        (name,) = [one for one in archive.namelist() if one.endswith("/third-party-licenses.json")]
        packages = json.loads(archive.read(name))["packages"]
    page = (CHECKOUT / "THIRD-PARTY.md").read_text()
    assert packages
    assert [] == [one["name"] for one in packages if one["name"] not in page]
    assert {"MIT"} == {one["licenseId"] for one in packages}
    assert [] == [one["name"] for one in packages if not one["extractedText"].strip()]
