"""Smaller variants of a choice: which are proposed, and that all of them are offered."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unispawner.profiles.profile import Profile
from unispawner.profiles.reading import read_profiles
from unispawner.profiles.smaller_choices import smaller_variants


def profile(**options: Any) -> Profile:
    return read_profiles([{"display_name": "P", "slug": "p", "options": options}])[0]


def proposed(
    one: Profile, choice: dict[str, Any] | None = None, **configured: Any
) -> list[tuple[str, dict[str, Any]]]:
    """Return the words of each variant, and what is different in it."""
    chosen = one.check({"profile": "p", **(choice or {})})
    found = []
    for variant in smaller_variants(chosen, configured):
        options = variant.chosen.user_options
        assert options == one.check(options).user_options
        known = chosen.user_options.items()
        found.append((variant.words, {k: v for k, v in options.items() if (k, v) not in known}))
    return found


def test_what_is_proposed() -> None:
    """One GPU or node less, half of the cores, memory or time, and cores and memory at once."""
    full = profile(
        cpu_cores_per_process={"min": 1, "max": 64, "default": 8},
        memory={"min": "1G", "max": "64G", "default": "16G"},
        duration={"max": "24:00:00", "default": "08:00:00"},
        gpu_cores_per_process={"min": 0, "max": 4, "default": 2},
        node_count={"max": 4, "default": 3},
    )
    assert [
        ("1 GPU", {"gpu_cores_per_process": 1}),
        ("2 nodes", {"node_count": 2}),
        ("4 cores", {"cpu_cores_per_process": 4}),
        ("8 GiB", {"memory": "8G"}),
        ("4 hours", {"duration": "04:00:00"}),
        ("4 cores and 8 GiB", {"cpu_cores_per_process": 4, "memory": "8G"}),
    ] == proposed(full)


CORES = "cpu_cores_per_process"


@pytest.mark.parametrize(
    ("options", "choice", "expected"),
    [
        ({CORES: {"min": 4, "default": 4}}, {}, []),
        ({CORES: {"min": 4, "default": 6}}, {}, [("4 cores", {CORES: 4})]),
        ({CORES: {"min": 2, "step": 4, "default": 14}}, {}, [("6 cores", {CORES: 6})]),
        ({CORES: {"default": 8, "locked": True}}, {}, []),
        ({CORES: {"default": 1}}, {}, []),
        ({CORES: {"max": 9}}, {CORES: 9}, [("4 cores", {CORES: 4})]),
        ({CORES: {"choices": ["1", "4", "6", "8"], "default": "8"}}, {}, [("4 cores", {CORES: 4})]),
        ({CORES: {"choices": ["6", "8"], "default": "8"}}, {}, [("6 cores", {CORES: 6})]),
        ({CORES: {"choices": ["8", "16"], "default": "8"}}, {}, []),
        ({"gpu_cores_per_process": {"default": 1}}, {}, []),
        ({"memory": {"choices": ["300M", "all"], "default": "all"}}, {}, []),
        ({"memory": {"min": "3G", "default": "4G"}}, {}, [("3 GiB", {"memory": "3G"})]),
        (
            {"memory_per_core": {"default": "4G"}},
            {},
            [("2 GiB for each core", {"memory_per_core": "2G"})],
        ),
        ({"duration": {"default": "00:01:00"}}, {}, []),
        ({"queue_name": {"default": "debug"}}, {}, []),
        (
            {CORES: {"default": 8}, "memory": {"default": "1G", "when": {CORES: 8}}},
            {},
            [("4 cores", {CORES: 4}), ("512 MiB", {"memory": "512M"})],
        ),
    ],
)
def test_variants_stay_within_the_bounds(
    options: dict[str, Any], choice: dict[str, Any], expected: list[Any]
) -> None:
    """Bounds, steps, menus, locked options and conditions hold for a smaller choice as well."""
    assert expected == proposed(profile(**options), choice)


def test_a_configured_value_without_a_default() -> None:
    """An option without a default begins at what is configured for the job."""
    one = profile(memory={"max": "64G"})
    assert [] == proposed(one)
    assert [("16 GiB", {"memory": "16G"})] == proposed(one, memory="32G")
    assert [] == proposed(one, memory="lots")


def size(name: str, memory: str, cores: int, **more: str) -> dict[str, Any]:
    override = {**more, "resources": {"memory": memory, CORES: cores}}
    return {"display_name": name, "override": override}


SIZES = {
    "large": size("Large", "8G", 8),
    "other": size("Other", "1G", 1, queue_name="x"),
    "small": size("Small", "2G", 2),
    "medium": size("Medium", "4G", 4),
    "wide": size("Wide", "2G", 16),
}


def test_a_menu() -> None:
    """Of a menu the next smaller choice is proposed that asks for nothing else and for no more."""
    one = profile(size={"choices": SIZES, "default": "large"})
    assert [("Medium", {"size": "medium"})] == proposed(one)
    assert [("Small", {"size": "small"})] == proposed(one, {"size": "medium"})
    assert [] == proposed(one, {"size": "small"})
    assert [("Small", {"size": "small"})] == proposed(one, {"size": "wide"})


@given(
    cores=st.integers(1, 64),
    low=st.integers(1, 64),
    step=st.integers(1, 9),
    memory=st.integers(1, 2**20),
)
def test_every_variant_is_offered_and_smaller(cores: int, low: int, step: int, memory: int) -> None:
    """Whatever the bounds are: what is proposed is offered, and asks for less of something."""
    one = profile(
        cpu_cores_per_process={"min": low, "max": 128, "step": step},
        memory={"min": "1M", "default": "1G"},
    )
    choice: dict[str, Any] = {CORES: low + cores * step, "memory": f"{memory}M"}
    if choice[CORES] > 128:
        return
    chosen = one.check({"profile": "p", **choice})
    before: dict[str, Any] = chosen.values
    for variant in smaller_variants(chosen, {}):
        values: dict[str, Any] = variant.chosen.values
        assert all(values[name] <= before[name] for name in values)
        assert values != before
