"""A Hub with several clusters: docs/several-clusters.md, and what its profiles have."""

from __future__ import annotations

import re

import pytest
from support import CHECKOUT
from traitlets.config import Config

from unispawner import ProfilesSpawner, UniSpawner
from unispawner.profiles.check import check_profile
from unispawner.profiles.children import ChildFactory
from unispawner.profiles.reading import PROFILE, read_profiles

PAGE = (CHECKOUT / "docs" / "several-clusters.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def children(example: str) -> dict[str, UniSpawner]:
    """Return a spawner of each profile of an example, by the profile's slug."""
    config = Config({"UniSpawner": {"scheduler": "slurm"}})
    exec(example, {"c": config})
    wrapper = ProfilesSpawner(config=config)
    found: dict[str, UniSpawner] = {}
    for profile in read_profiles(wrapper.profiles):
        made = ChildFactory(profile, wrapper).make_spawner({PROFILE: profile.slug})
        assert isinstance(made, UniSpawner)
        found[profile.slug] = made
    return found


@pytest.mark.parametrize("number", range(3))
async def test_the_examples_make_jobs(number: int) -> None:
    """Each profile of each example makes a job, and each is on a cluster of its own, where it
    also asks what its user may use."""
    config = Config({"UniSpawner": {"scheduler": "slurm"}})
    exec(EXAMPLES[number], {"c": config})
    wrapper = ProfilesSpawner(config=config)
    for profile in read_profiles(wrapper.profiles):
        await check_profile(profile, wrapper, ask=False)
    found = children(EXAMPLES[number])
    assert 2 == len(found)
    assert 2 == len({one.cluster_title() for one in found.values()})
    assert 2 == len({one.get_scheduler().title for one in found.values()})
    assert 2 == len({id(one.monitor()) for one in found.values()})
    assert 2 == len({id(one.monitor().usable) for one in found.values()})


def test_there_is_no_other_example() -> None:
    """Every example of the page is tried above."""
    assert 3 == len(EXAMPLES)


def test_the_hubs_address_of_each_cluster() -> None:
    """Each cluster's servers get the address at which its own nodes reach the Hub; the live test of
    two clusters sees it in a job."""
    urls = {slug: one.hub_connect_url for slug, one in children(EXAMPLES[0]).items()}
    assert {"cpu": "http://10.1.0.5:8081", "gpu": "http://10.2.0.5:8081"} == urls
