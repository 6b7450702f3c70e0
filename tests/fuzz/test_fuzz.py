"""Each place where foreign text comes in, with a few hundred inputs: the short form of ci/fuzz."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from support.fuzzing import SECRET, TARGETS, Target, check
from support.fuzzing.target import TooSlow

ODD_TEXT = pytest.mark.threat(
    who="user",
    tries="They get garbled, endless or deeply nested text into anything that the "
    "Hub, the agent or the broker reads.",
    stopped_by="Every reader is fuzzed: only declared errors come out, in bounded time, "
    "and without a secret.",
)

CASES = sorted((Path(__file__).parent / "cases").glob("*.json"))
EXAMPLES = 120


@ODD_TEXT
@pytest.mark.parametrize("name", TARGETS)
def test_declared_errors_only(name: str) -> None:
    """Whatever comes in, only declared errors come out, in time, and without a secret."""
    target = TARGETS[name]

    @seed(1)  # the same inputs in each run: ci/fuzz looks for others
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        suppress_health_check=list(HealthCheck),  # inputs are large, and some are made slowly
    )
    @given(target.inputs)
    def run(value: Any) -> None:
        check(target, value)

    run()


@ODD_TEXT
@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_what_was_found(file: Path) -> None:
    """An input that once broke something does not do so any more."""
    case = json.loads(file.read_text(encoding="utf-8"))
    check(TARGETS[case["target"]], case["input"])


def raise_secret(value: Any) -> None:
    raise ValueError(f"the request has {SECRET}")


def raise_much(value: Any) -> None:
    raise ValueError("x" * 100_000)


def raise_other(value: Any) -> None:
    raise KeyError(value)


def loop(value: Any) -> None:
    while True:
        pass


@pytest.mark.parametrize(
    ("run", "error"),
    [
        (raise_secret, AssertionError),
        (raise_much, AssertionError),
        (raise_other, KeyError),
        (loop, TooSlow),
    ],
)
def test_what_counts_as_found(
    run: Any, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret in an error, an endless error, another error and endless work are found."""
    monkeypatch.setattr("support.fuzzing.target.MOST_SECONDS", 0.2)
    with pytest.raises(error):
        check(Target("x", st.none(), run, (ValueError,)), 1)
