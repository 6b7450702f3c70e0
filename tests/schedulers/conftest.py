"""A place for a set of templates, as an administrator would make it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def empty_folder() -> Iterator[Path]:
    """A folder that everybody can read. Not tmp_path: others than its owner can't reach into it."""
    made = Path(tempfile.mkdtemp(prefix="unispawner-set-"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made)
