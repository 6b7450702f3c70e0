"""A place for a set of templates, as an administrator would make it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.folders import readable_folder


@pytest.fixture
def empty_folder() -> Iterator[Path]:
    """A folder that everybody can read."""
    with readable_folder() as folder:
        yield folder
