"""Patterns of administrators that take exponential time for a user's text."""

from __future__ import annotations

import pytest
from support.attacks import SLOW_PATTERN

from unispawner.errors import InvalidJobError
from unispawner.profiles.option import Option
from unispawner.settings.host_map import check_host_map
from unispawner.slow_patterns import LONGEST, find_slow_text, make_texts


@pytest.mark.parametrize(
    "pattern",
    [
        r"n(\d+)",
        r"gpu(?P<number>\d+)\.example",
        r"(?i)login.*",
        r"([a-z]+\d+)(\.[a-z]+)*",
        r"[\w-]+(\.[\w-]+)*\.?",
        r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*",
        r"(\d{1,3}\.){3}\d{1,3}",
        r"proj-\d{4}",
        r"(?:a|b)*(?=c)c(?!d)",
        "",
    ],
)
def test_patterns_of_names_are_quick(pattern: str) -> None:
    """Patterns as administrators write them for nodes and projects are accepted."""
    assert "" == find_slow_text(pattern)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"(a+)+b", "aaaaaaa"),
        (r"(?:[\w_-]+\.?)+", "aaaaaaa"),
        (r"x-(?:a|b|ab)*c", "x-ababa"),
        (r"(a|a)*b", "aaaaaaa"),
        (r"(.*)(.*)(.*)(.*)(.*)(.*)x", "aaaaaaa"),
        (r"(?P<unit>(?:[^-]+-?)*)x", "aaaaaaa"),
    ],
)
def test_a_pattern_that_takes_exponential_time_is_found(pattern: str, text: str) -> None:
    """A pattern that can match a text in very many ways is found, with such a text."""
    assert find_slow_text(pattern).startswith(text)


def test_the_texts_are_as_long_as_a_users_may_be() -> None:
    """A pattern is tried with texts of the length that is allowed."""
    texts = list(make_texts(r"(?:[a-z]+\d?)+"))
    assert {LONGEST} == {len(text) for text in texts}


@pytest.mark.threat(**SLOW_PATTERN)
def test_a_slow_pattern_in_host_map_is_refused() -> None:
    """A pattern in host_map for which a reported name could stall the Hub is refused."""
    with pytest.raises(InvalidJobError, match=r"host_map: .* takes very long for a name like 'aaa"):
        check_host_map({r"(\w+\.?)+-old": "n1"})


@pytest.mark.threat(**SLOW_PATTERN)
def test_a_slow_pattern_of_an_option_is_refused() -> None:
    """A profile's pattern for which a user's text could stall the Hub is refused."""
    with pytest.raises(ValueError, match="takes very long for a text like 'aaa"):
        Option(name="account", pattern="([a-z]+)+")


@pytest.mark.threat(**SLOW_PATTERN)
def test_a_text_is_not_longer_than_a_name() -> None:
    """A longer text is refused before it is compared with the pattern."""
    option = Option(name="account", pattern="[a-z]*")
    assert "a" * LONGEST == option.check("a" * LONGEST)
    with pytest.raises(InvalidJobError, match=f"must have at most {LONGEST} characters"):
        option.check("a" * (LONGEST + 1))
