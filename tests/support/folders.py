"""Folders that other accounts can enter, unlike pytest's `tmp_path`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def commands_folder(scripts: Mapping[str, str], mode: int = 0o755) -> Iterator[Path]:
    """Give a folder with commands that all accounts can run; it is removed at the end."""
    with readable_folder() as folder:
        folder.chmod(mode)
        for name, text in scripts.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        yield folder


@contextmanager
def readable_folder() -> Iterator[Path]:
    """Give an empty folder that all accounts can read; it is removed at the end."""
    made = Path(tempfile.mkdtemp(prefix="unispawner-test-"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
