"""``unispawner doctor`` on a host whose programs are those of a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.doctor import Doctor


@pytest.fixture
def doctor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Doctor:
    result = Doctor(tmp_path, capsys)
    monkeypatch.setenv("PATH", str(result.programs))
    return result
