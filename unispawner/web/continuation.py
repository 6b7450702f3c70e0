"""How a running server is continued before its job ends, for the pages and the API: status, words.

All sentences that a user reads about this are here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from ..errors import InvalidJobError, UniSpawnerError
from ..texts import Text, join, say
from .summary import describe_duration, format_moment

EXTEND, SECOND_JOB = "extend", "second job"
"""The ways: a longer time limit for the same job, or a second job."""
_MOMENTS = ("estimated_start", "ends", "offered_from")


class TooOften(InvalidJobError):
    """A user continues servers, and gives up the second jobs, faster than anybody needs to."""


@dataclass(frozen=True)
class Continuation:
    """What a user can do, or has done, to go on working after the end of the server's job.

    Attributes
    ----------
    offered
        True if ``POST …/continue`` would do something now.
    label
        The text of the button: "Continue for another 8 hours".
    way
        What the button does: EXTEND or SECOND_JOB.
    seconds
        How much time it gives.
    offered_from
        When it will be offered, in seconds since the epoch; None if it is offered, or never.
    state
        The second job's: empty without one, ``submitting``, ``queued``, ``held``, ``starting``,
        ``ready`` or ``suspended``. When it is ``ready``, ``POST …/switch`` moves the server to it.
    message
        What there is to know, as sentences: what the second job does, or why there is none.
    job_id, exec_host, estimated_start, ends
        The second job's: see :class:`unispawner.web.server_status.ServerStatus`.
    """

    offered: bool = False
    label: str = ""
    way: str = SECOND_JOB
    seconds: float = 0.0
    offered_from: float | None = None
    state: str = ""
    message: str = ""
    job_id: str = ""
    exec_host: str = ""
    estimated_start: float | None = None
    ends: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return data for JSON, with moments as JupyterHub writes them."""
        data = asdict(self)
        for name in _MOMENTS:
            if (moment := data[name]) is not None:
                data[name] = format_moment(moment)
        return data


# -- words ----------------------------------------------------------------------------------------

NOT_OFFERED = say("A server of this class can't be continued.")
NOT_RUNNING = say("This server does not run, so it can't be continued.")
NO_END = say("The end of this server's job is not known, so there is nothing to continue.")
TOO_EARLY = say("It is too early to continue this server.")
JUST_EXTENDED = say("The job was extended just now. The scheduler has not said yet when it ends.")
TOO_OFTEN = say(
    "You have continued servers very often just now. This server goes on as before. Try again in a "
    "minute."
)
NEVER = say("This Hub does not let servers be continued (c.UniSpawner.continue_window is 0).")
STOPPING = say("This server is being stopped.")
NOT_READY = say("There is no second job that is ready. Nothing has changed.")
NOT_NOW = say(
    "The Hub can't move the server at the moment. Nothing has changed. Try again in a minute."
)
WITHDRAWN = say("The second job was cancelled before it was submitted.")
KEPT = say(
    "Your files are there, and the address stays the same. Running kernels, terminals and what is "
    "only in memory are not: save your notebooks first, and run them again afterwards."
)
READY = join(
    " ", [say("The second job is ready. When you switch to it, the first job ends."), KEPT]
)
SUBMITTING = say("The second job is being submitted.")
MOVED = say(
    "The first job has ended, and the second job has taken over. Kernels that ran in the first job "
    "have ended with it: run your notebooks again."
)
FIRST_ENDED = say(
    "The first job has ended before the second job was ready. Your server is back as soon as the "
    "second job is ready. You need not do anything."
)
EXTENDED = say("The time limit of this server's job was extended.")


_ONE = {
    86400: say("Continue for another day"),
    3600: say("Continue for another hour"),
    60: say("Continue for another minute"),
}


def label(seconds: float) -> Text:
    """Return the text of the button that continues a server for that many seconds."""
    minutes = 60 * round(seconds / 60)
    if minutes in _ONE:
        return _ONE[minutes]
    time = describe_duration(timedelta(seconds=seconds))
    return say("Continue for another {time}", time=time)


def waits(message: str) -> Text:
    """Return what is said while the second job waits or starts; the message is of its progress."""
    return say("{progress}. You go on working meanwhile.", progress=message)


def failed(error: UniSpawnerError) -> Text:
    """Return why there is no second job although the user wanted one."""
    return say(
        "There is no second job, and this server goes on as before. {reason}",
        reason=error.message_and_output(),
    )


def no_job_left(error: UniSpawnerError) -> Text:
    """Return why there is no second job, and that the first has ended meanwhile."""
    return say(
        "The first job has ended, and there is no second job. {reason}",
        reason=error.message_and_output(),
    )


def not_extended(reason: str) -> Text:
    """Return that the site's hook has not extended the job."""
    return say(
        "The time limit was not extended: {reason} You can continue with a second job instead.",
        reason=reason,
    )


def other_place(name: str) -> Text:
    """Return that the choice leads elsewhere now."""
    return say(
        "This server can't be continued, because the {field} of its choice is not the same any "
        "more. Save your work, stop the server and start it anew.",
        field=name,
    )
