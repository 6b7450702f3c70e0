"""What the readers of several schedulers' output share."""

import pytest

from unispawner.schedulers.reading import keep_unique


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], {}),
        ([("1", "a"), ("2", "b")], {"1": "a", "2": "b"}),
        ([("1", "a"), ("2", "b"), ("1", "c")], {"2": "b"}),
        ([("1", "a"), ("1", "b"), ("1", "c")], {}),
        ([("1", None), ("2", "b")], {"2": "b"}),
        ([("1", None), ("1", "a")], {}),
        ([("1", "a"), ("1", None)], {}),
    ],
)
def test_what_comes_twice_does_not_count(
    pairs: list[tuple[str, str | None]], expected: dict[str, str]
) -> None:
    """If a key comes twice, neither value counts: a forged row can't replace another job's."""
    assert expected == keep_unique(pairs)
