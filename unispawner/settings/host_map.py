"""``c.UniSpawner.host_map``: by which name or address the Hub reaches a node."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

from ..errors import InvalidJobError, SchedulerUnavailable
from ..slow_patterns import find_slow_text
from ..tasks import Questions

HostMap: TypeAlias = Mapping[str, str] | Callable[[str], object]

FUNCTION_TIMEOUT = 5.0
"""How long (seconds) the administrator's function may take for one name."""
_NAME = re.compile(r"[\w.:-]+", re.ASCII)
"""A key that is a name or an address; every other key is a pattern."""
# A function may ask a directory, and the Hub's event loop must not wait for it. Names that jobs
# report have threads of their own, so that the scheduler's names never wait for them.
_OURS = Questions(4, "unispawner-host-map")
_THEIRS = Questions(32, "unispawner-host-map-reported")


def check_host_map(host_map: HostMap) -> None:
    """Check names, patterns and what replaces them.

    Raises
    ------
    InvalidJobError
        For the first entry that is wrong.
    """
    if not isinstance(host_map, Mapping):
        return
    for key, value in host_map.items():
        if not (isinstance(key, str) and isinstance(value, str) and key and value):
            raise InvalidJobError(
                f"host_map: {key!r}: {value!r}: both must be texts that are not empty"
            )
        if not _NAME.fullmatch(key):
            _check_pattern(key, value)


def _check_pattern(pattern: str, value: str) -> None:
    try:
        # The empty alternative gives a match in which every group exists.
        match = re.compile(f"{re.compile(pattern).pattern}\n|").match("")
    except re.error as error:
        raise InvalidJobError(f"host_map: the pattern {pattern!r} is wrong: {error}") from None
    if text := find_slow_text(pattern):
        raise InvalidJobError(
            f"host_map: the pattern {pattern!r} takes very long for a name like {text!r}, which a "
            "server may report, and the Hub would wait. Write it so that each part of a name can "
            r"be matched in one way only: [\w-]+(\.[\w-]+)* instead of ([\w-]+\.?)+"
        )
    try:
        assert match is not None
        match.expand(value)
    except (re.error, IndexError) as error:
        raise InvalidJobError(
            f"host_map: {value!r}, which replaces what the pattern {pattern!r} matches, is wrong: "
            f"{error}"
        ) from None


async def map_host(host_map: HostMap, name: str, asker: str = "") -> str:
    """Return what the Hub reaches a host by; the name itself if ``host_map`` does not have it.

    Parameters
    ----------
    asker
        Whose job has reported the name; empty if it is the scheduler's.

    Raises
    ------
    SchedulerUnavailable
        If the administrator's function or table fails for this name, or takes too long.
    """
    if type(host_map) is dict:
        return _look_up(host_map, name)
    threads = _THEIRS if asker else _OURS
    who = f"{asker or name} {id(host_map)}"  # profiles may have functions of their own
    try:
        found = await threads.ask(partial(_call, host_map), name, who, FUNCTION_TIMEOUT)
    except asyncio.TimeoutError:
        raise SchedulerUnavailable(
            f"c.UniSpawner.host_map: the function did not return within {FUNCTION_TIMEOUT:g} s "
            f"for the host {name!r}."
        ) from None
    except Exception as error:  # the administrator's own code: whatever it raises
        raise SchedulerUnavailable(
            f"c.UniSpawner.host_map failed for the host {name!r}: {type(error).__name__}: {error}"
        ) from error
    if found is None:
        return name
    if not isinstance(found, str) or not found:
        raise SchedulerUnavailable(
            f"c.UniSpawner.host_map returned {found!r} for the host {name!r}. It must return "
            "a name or an address as a text, or None to leave the name as it is."
        )
    return found


def _call(host_map: HostMap, name: str) -> object:
    """Ask a function, or a table of the administrator's own class in that class's own way."""
    if not isinstance(host_map, Mapping):
        return host_map(name)
    found = host_map[name] if name in host_map else host_map.get(name)
    if found is None and hasattr(host_map, "__missing__"):
        found = host_map[name]
    return _look_up(host_map, name) if found is None else found


def _look_up(host_map: Mapping[str, str], name: str) -> str:
    """Return what a table has for a name: an exact name comes before all patterns."""
    if name in host_map:
        return host_map[name]
    for key, value in host_map.items():
        if not _NAME.fullmatch(key) and (match := re.fullmatch(key, name)):
            return match.expand(value)
    return name
