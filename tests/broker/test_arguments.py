"""The broker's own arguments."""

from __future__ import annotations

import subprocess
import sys

import pytest


def start(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-m", "unispawner.broker", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd="/",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--min-uid", "0"], "it must be at least 1"),
        (["--min-uid", "many"], "invalid"),
        (["--environment", "NAME"], "'NAME' must be NAME=VALUE"),
        (["--environment", "=x"], "must be NAME=VALUE"),
        (["--gro", "x"], "unrecognized arguments"),
        (["extra"], "unrecognized arguments"),
    ],
)
def test_wrong_arguments(arguments: list[str], message: str) -> None:
    """Wrong arguments are an error that names them; nothing is started."""
    done = start(*arguments)
    assert (2, "") == (done.returncode, done.stdout)
    assert message in done.stderr


def test_the_help() -> None:
    """--help has all arguments."""
    text = start("--help").stdout
    for name in ("--group", "--min-uid", "--path", "--environment", "--check"):
        assert name in text
