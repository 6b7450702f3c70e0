"""host_map: a table of names, patterns or a function."""

from __future__ import annotations

import threading
import time
from collections import UserDict, defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from traitlets import TraitError
from traitlets.config import Config

from unispawner import UniSpawner
from unispawner.errors import InvalidJobError, SchedulerUnavailable
from unispawner.settings import host_map as module
from unispawner.settings.host_map import check_host_map, map_host

RULES = {
    "n7": "10.0.0.7",
    r"n(\d+)": r"n\1-ib.cluster",
    r"gpu(?P<number>\d+)\.example": r"\g<number>.gpu",
    r"(?i)login.*": "login-ib",
    r"n.*": "too-late",
}


class ByPrefix(dict):  # type: ignore[type-arg] # a site's own class
    """A table that makes its answers itself, as a site may write one."""

    def __contains__(self, name: object) -> bool:
        return str(name).startswith("n")

    def __getitem__(self, name: str) -> str:
        return f"{name}-ib"


class OwnGet(dict):  # type: ignore[type-arg] # a site's own class
    """A table with a get() of its own."""

    def get(self, name: str, default: Any = None) -> Any:
        return f"{name}.own"


@pytest.mark.parametrize(
    ("host_map", "name", "expected"),
    [
        ({}, "n1", "n1"),
        ({"n1": "10.0.0.1"}, "n1", "10.0.0.1"),
        ({"n1": "10.0.0.1"}, "n1.cluster", "n1.cluster"),
        ({"n.1": "10.0.0.1"}, "nx1", "nx1"),
        (RULES, "n7", "10.0.0.7"),
        (RULES, "n17", "n17-ib.cluster"),
        (RULES, "n17.cluster", "too-late"),
        (RULES, "xn17", "xn17"),
        (RULES, "gpu3.example", "3.gpu"),
        (RULES, "LOGIN1", "login-ib"),
        (lambda name: f"{name}-ib", "n1", "n1-ib"),
        (lambda name: None, "n1", "n1"),
        ({"n1": "a"}.get, "n1", "a"),
        ({"n1": "a"}.get, "n2", "n2"),
        (ByPrefix(), "n1", "n1-ib"),
        (ByPrefix(), "x1", "x1"),
        (OwnGet(), "n1", "n1.own"),
        (defaultdict(lambda: "all", n1="one"), "n1", "one"),
        (defaultdict(lambda: "all", n1="one"), "n2", "all"),
        (UserDict({"n1": "one"}), "n1", "one"),
    ],
)
async def test_names_are_mapped(host_map: Any, name: str, expected: str) -> None:
    """An exact name comes first, then the first pattern that matches the whole name; functions and
    a site's own kinds of table answer in their own way."""
    check_host_map(host_map)
    assert expected == await map_host(host_map, name)


def test_a_configuration_keeps_what_it_has() -> None:
    """A function and a table of the site's own class come through the configuration as they are."""

    def function(name: str) -> str:
        return name

    for given in (function, ByPrefix({"a": "b"}), dict(RULES)):
        config = Config()
        config.UniSpawner.host_map = given
        found = UniSpawner(config=config).host_map
        assert (type(given), given) == (type(found), found)
    config = Config()
    config.UniSpawner.host_map.update({"n1": "a"})
    assert {"n1": "a"} == UniSpawner(config=config).host_map


@pytest.mark.parametrize(
    ("host_map", "words"),
    [
        ({r"n(\d+": "x"}, r"the pattern 'n\(.*' is wrong: missing \)"),
        ({r"n(\d+)": r"n\2"}, r"which replaces .* is wrong: invalid group reference 2"),
        ({r"n(\d+)": r"n\g<rack>"}, r"is wrong: .*rack"),
        ({r"n\d+": "n\\"}, "is wrong: bad escape"),
        ({"n1": ""}, "must be texts"),
        ({"n1": 7}, "must be texts"),
        ({7: "n1"}, "must be texts"),
        ({"": "n1"}, "must be texts"),
    ],
)
def test_wrong_entries_are_found_when_the_hub_starts(host_map: Any, words: str) -> None:
    """A pattern that can't be read, a group that does not exist and a value that is no text are
    errors of the configuration, which name the setting and the entry."""
    with pytest.raises(InvalidJobError, match=f"^host_map: .*{words}"):
        check_host_map(host_map)
    config = Config()
    config.UniSpawner.host_map = host_map
    with pytest.raises(TraitError, match=f"host_map: .*{words}"):
        UniSpawner(config=config)


def _fail(name: str) -> str:
    raise KeyError(name)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (_fail, "c.UniSpawner.host_map failed for the host 'n1': KeyError: 'n1'"),
        (lambda _: 7, "returned 7 for the host 'n1'. It must return"),
        (lambda _: "", "returned '' for the host 'n1'. It must return"),
    ],
)
async def test_a_function_that_fails(function: Callable[[str], object], words: str) -> None:
    """A function's error and a wrong result are reported with the setting and the name. The job
    reports again, because the function may succeed later."""
    with pytest.raises(SchedulerUnavailable) as caught:
        await map_host(function, "n1")
    assert words in caught.value.message


async def test_a_slow_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that takes too long is given up; it does not run on the event loop."""
    monkeypatch.setattr(module, "FUNCTION_TIMEOUT", 0.05)
    with pytest.raises(SchedulerUnavailable, match="did not return within 0.05 s"):
        await map_host(lambda _: time.sleep(0.5), "n1")


async def test_names_of_one_user_delay_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the function is busy with a name that a user's job has reported, it is not asked about
    another name of this user's, and answers others at once."""
    monkeypatch.setattr(module, "FUNCTION_TIMEOUT", 0.05)
    release = threading.Event()
    asked: list[str] = []

    def function(name: str) -> str:
        asked.append(name)
        if name.startswith("dead"):
            release.wait(30)
        return f"{name}.lan"

    try:
        for number in range(50):
            with pytest.raises(SchedulerUnavailable, match="did not return"):
                await map_host(function, f"dead{number}", "eve")
        monkeypatch.setattr(module, "FUNCTION_TIMEOUT", 30.0)
        assert "n1.lan" == await map_host(function, "n1", "alice")
        assert "n2.lan" == await map_host(function, "n2")
    finally:
        release.set()
    assert ["dead0", "n1", "n2"] == asked
