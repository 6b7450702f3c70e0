"""The recipes of docs/applications.md are profiles that a Hub takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from traitlets.config import Config

from unispawner import ProfilesSpawner

PAGE = Path(__file__).parents[2] / "docs" / "applications.md"


@pytest.mark.hub
async def test_the_recipes() -> None:
    """Each recipe makes a job, with an example for each text that a user types."""
    (block,) = re.findall(r"```python\n# applications\n(.*?)```", PAGE.read_text(), re.DOTALL)
    config = Config()
    exec(block, {"c": config})
    config.UniSpawner.scheduler = "local"
    config.UniSpawner.run_as = "same_user"
    config.UniSpawner.allow_shared_account = True
    await ProfilesSpawner.check_config(config)
    assert 2 == len(config.ProfilesSpawner.profiles)
