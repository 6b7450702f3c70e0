"""Folders that other accounts can enter, unlike pytest's `tmp_path`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def readable_folder() -> Iterator[Path]:
    """Give an empty folder that all accounts can read; it is removed at the end."""
    made = Path(tempfile.mkdtemp(prefix="unispawner-test-"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
