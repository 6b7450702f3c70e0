"""Sentences that are made where no reader is known, and come to the Hub as plain English. Pure.

Why a job waits or has ended, and that a scheduler refused something, is found out on the user's
side or from a command's output, and crosses as a string. A sentence of ours is a constant, marked
with :func:`.texts.english`. Where the Hub shows such a string, :func:`recognise` makes a text of
it, which is looked up in the catalogues by its English. Anything else, such as the scheduler's own
words, is shown as it is.
"""

from __future__ import annotations

import re

from .texts import Text, english, fill, names_in

KILLED = english("the job was killed by signal {number}")
EXIT_STATUS = english("the job ended with exit status {number}")
ENDED_WITH_CODE = english("the job was ended (code {number})")
UNKNOWN_JOB = english("{scheduler} does not know the job any more")
SOMEBODY_ELSES = english("{scheduler} says that job {job} is somebody else's")

REFUSED = english("{scheduler} refused the job:")
ACCEPTS_NO_JOBS = english("{scheduler} accepts no jobs at the moment:")
CANT_CANCEL = english("{scheduler} can't cancel jobs at the moment:")
NOT_CANCELLED = english("{scheduler} did not cancel the job:")
NO_ANSWER = english("{scheduler} did not answer a question about jobs:")

_NEVER = english("{reason}. It will never start as it is: cancel it and change the choice")
_WITH_VALUES = (
    *(KILLED, EXIT_STATUS, ENDED_WITH_CODE, UNKNOWN_JOB, SOMEBODY_ELSES),
    *(REFUSED, ACCEPTS_NO_JOBS, CANT_CANCEL, NOT_CANCELLED, NO_ANSWER, _NEVER),
)
_VALUES = {
    "number": r"-?[0-9]{1,10}",
    "job": r"[^\s:]{1,100}",
    # Its title, and the name of a cluster.
    "scheduler": r"[^\n:]{1,100}",
    "reason": r"(?s:.{1,1000})",
}
"""What the values of these sentences look like."""
_LONGEST = 300
"""How many characters a sentence of ours without values may have: longer texts are foreign."""


def _as_pattern(message: str) -> re.Pattern[str]:
    pattern = re.escape(message)
    for name in names_in(message):
        pattern = pattern.replace(re.escape(f"{{{name}}}"), f"(?P<{name}>{_VALUES[name]})")
    return re.compile(pattern)


_PATTERNS = {message: _as_pattern(message) for message in _WITH_VALUES}


def never_starts(reason: str) -> str:
    """Return the reason of a job that waits, and that only another request would let start."""
    return fill(_NEVER, {"reason": reason})


def is_never(reason: str) -> bool:
    """Return whether a reason is one of :func:`never_starts`."""
    return reason.endswith(fill(_NEVER, {"reason": ""}))


def recognise(text: str) -> str:
    """Return a text that a reader gets in their language, if it is a sentence of ours.

    The string stays the same. It may be foreign: then its values are shown as they are, and names
    in braces in it stand for nothing.
    """
    if isinstance(text, Text):
        return text
    for message, pattern in _PATTERNS.items():
        if found := pattern.fullmatch(text):
            values = {name: _recognise_whole(value) for name, value in found.groupdict().items()}
            return Text(text, message=message, values=values)
    return _recognise_whole(text)


def _recognise_whole(text: str) -> str:
    return Text(text, message=text) if text and len(text) <= _LONGEST else text
