"""How a request becomes the user's: one file for each way."""

from __future__ import annotations

from ..errors import InvalidJobError
from .base import RunAs
from .same_user import SameUser
from .sudo import Sudo

WAYS: dict[str, type[RunAs]] = {"sudo": Sudo, "same_user": SameUser}


def get_run_as(name: str, *, agent_python: str, allow_shared_account: bool) -> RunAs:
    """Return the way of that name.

    Raises
    ------
    InvalidJobError
        If there is none; the message lists those there are.
    """
    if name not in WAYS:
        raise InvalidJobError(f"run_as: {name!r} is none of {', '.join(WAYS)}")
    return WAYS[name](agent_python, allow_shared_account)


__all__ = ["WAYS", "RunAs", "get_run_as"]
