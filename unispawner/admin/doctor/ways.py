"""The check of ``unispawner doctor`` for how the Hub becomes a user, and where."""

from __future__ import annotations

from typing import Any

from ...errors import AgentError
from ...servers.spawner import UniSpawner
from ...submit_host.host import HOST

TIMEOUT = 60.0
"""How long (seconds) the broker may take to check its files."""
_SHOWN = 5


def distinct_ways(spawners: list[Any]) -> list[UniSpawner]:
    """Return one spawner for each way of becoming a user that a configuration has."""
    ways: dict[object, UniSpawner] = {}
    for one in spawners:
        command = one.broker_command()
        key = one.run_as, one.submit_host, repr(one.ssh_options), tuple(command.words)
        ways.setdefault(key, one)
    return list(ways.values())


async def check_way(spawner: UniSpawner) -> str:
    """Report the way of becoming a user; if it is the broker's, start the broker.

    Raises
    ------
    UniSpawnerError
        If this way is not possible here.
    """
    way = await spawner.find_way()
    if way.name != "broker":
        return f"{way.name}, because {way.reason}"
    if not spawner.submit_host:
        await _check_files(spawner.broker_command().python)
    await spawner.check_way()
    greeting = spawner.brokered_host().connection.greeting
    where = f"; it runs on {greeting.host} for {greeting.account}" if greeting else ""
    return f"{way.name}, because {way.reason}{where}"


async def _check_files(python: str) -> None:
    """Have the broker say which of its files others could change, or can't read.

    Raises
    ------
    AgentError
        If there are any: started as root, it would refuse to run, or not work for users.
    """
    done = await HOST.run(
        [python, "-I", "-m", "unispawner.broker", "--check"],
        environment={"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"},
        timeout=TIMEOUT,
        output_limit=1024**2,
    )
    if done.exit_status != 0:
        found = (done.stdout + done.stderr).decode("utf-8", "replace").strip().splitlines()
        more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        raise AgentError(
            "agent_python: the broker would not work as root with it:",
            output="\n".join([*found[:_SHOWN], *more]),
        )
