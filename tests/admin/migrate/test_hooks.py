"""Whether a function, or other data, of a configuration uses batchspawner."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from unispawner.admin.migrate.hooks import find_batchspawner_use


def plain(spawner: Any) -> None:
    spawner.environment["A"] = "b"


def direct(spawner: Any) -> None:
    spawner.req_memory = "4G"


def by_name(spawner: Any) -> None:
    setattr(spawner, "req_queue", "long")  # noqa: B010 (as sites write it)


def nested(spawner: Any) -> Any:
    return [lambda: spawner.job_id for _ in range(2)]


def through_another(spawner: Any) -> None:
    direct(spawner)


def recursive(spawner: Any) -> None:
    recursive(spawner)


class Site:
    def method(self, spawner: Any) -> str:
        return str(spawner.exec_prefix)

    def __call__(self, spawner: Any) -> None:
        """Do nothing; but no function's code says so."""


@pytest.mark.parametrize(
    ("value", "use"),
    [
        (plain, ""),
        (recursive, ""),
        (direct, "it uses batchspawner's req_memory"),
        (by_name, "it uses batchspawner's req_queue"),
        (nested, "it uses batchspawner's job_id"),
        (through_another, "it uses batchspawner's req_memory"),
        (functools.partial(direct), "it uses batchspawner's req_memory"),
        (Site().method, "it uses batchspawner's exec_prefix"),
        (Site(), "its code can't be read, and may use batchspawner's attributes"),
        (print, "its code can't be read, and may use batchspawner's attributes"),
        (Site, ""),
        ({"A": "b"}, ""),
        ({"A": "{job_id}"}, "it uses batchspawner's job_id"),
        (None, ""),
        (120, ""),
    ],
)
def test_values_of_a_configuration(value: object, use: str) -> None:
    """Functions are searched with those that they call in the same file; data as it is written."""
    assert use == find_batchspawner_use(value)
