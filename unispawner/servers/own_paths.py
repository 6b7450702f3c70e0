"""Paths that users type for their environments, and that are looked at as the user.

Only the user's own account can say what is there: the Hub may see none of it, and must not follow
what a user makes. The Hub waits for a few seconds at most. A path that nobody could look at is
refused, so that the user tries again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import InvalidJobError, UniSpawnerError
from ..run_as.accounts import Account
from ..run_as.client import PathProblem
from ..texts import join, of_field
from .as_user import find_client

PATIENCE = 20.0
"""How long (seconds) all paths of a choice may take, with the way to the submit host."""
_KINDS = {
    "file": "a file",
    "directory": "a directory",
    "pipe": "a named pipe",
    "socket": "a socket",
    "device": "a device",
}
_WORDS = {
    "missing": "{where} does not exist.",
    "kind": "{where} is {what}, but must be {kind}.",
    "owner": "{where} belongs to {what}. It must belong to you, to root or to an account that the "
    "administrator trusts.",
    "writable": "{where} can be changed by others. If it is yours, take the permission away with: "
    "chmod o-w,g-w {where}. Otherwise choose another place.",
    "denied": "you may not read {where}.",
    "links": "{where} has too many symbolic links.",
    "hangs": "the file system of {where} does not answer. Try again later.",
    "error": "{where} can't be read: {what}.",
}
"""What is wrong with a path, for the user."""
_NOT_CHECKED = "{path} could not be checked on the cluster. Try again later. ({why})"


@dataclass(frozen=True)
class OwnPath:
    """A path that a user has typed.

    Attributes
    ----------
    option
        The option that it was typed for.
    path, kind
        The path, and whether it must be a "file" or a "directory".
    owners, groups
        The accounts and groups that the administrator trusts with it.
    """

    option: str
    path: str
    kind: str
    owners: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the path as data, for ``own_paths`` of a spawner."""
        return asdict(self)


async def check_before_start(spawner: Any, account: Account) -> None:
    """Check the paths of a spawner that is about to submit a job.

    Raises
    ------
    InvalidJobError
        If one is not a thing that the user's job may run, or if nobody could look.
    """
    paths = [OwnPath(**one) for one in spawner.own_paths]
    if wrong := await _find_errors(spawner, paths, account):
        raise InvalidJobError(join_errors(wrong))


def join_errors(wrong: Mapping[str, str]) -> str:
    """Return the errors of some options as one message."""
    return join("; ", [of_field(name, words) for name, words in wrong.items()])


async def find_errors(spawner: Any, paths: Iterable[OwnPath]) -> dict[str, str]:
    """Return what is wrong with paths, by option; the spawner need not have started anything."""
    return await _find_errors(spawner, list(paths), None)


async def _find_errors(
    spawner: Any, paths: list[OwnPath], account: Account | None
) -> dict[str, str]:
    wrong: dict[str, str] = {}

    async def look() -> None:
        if account is None:
            client = await find_client(spawner)
        else:
            client = spawner.agent_client(account)
        for one in paths:
            if found := await client.check_path(one.path, one.kind, one.owners, one.groups):
                wrong[one.option] = explain(found, one.kind)

    if not paths:
        return {}
    try:
        await asyncio.wait_for(look(), PATIENCE)
    except (UniSpawnerError, asyncio.TimeoutError) as error:
        why = str(error) or f"no answer within {PATIENCE:g} s"
        for one in paths:
            wrong.setdefault(one.option, _NOT_CHECKED.format(path=one.path, why=why))
    return wrong


def explain(problem: PathProblem, kind: str) -> str:
    """Return what is wrong with a path, as a sentence for the user."""
    words = _WORDS.get(problem.problem, _WORDS["error"])
    what = _KINDS.get(problem.what, problem.what) or problem.problem
    return words.format(where=problem.where, what=what, kind=_KINDS[kind])
