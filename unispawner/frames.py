"""The frames in which the Hub and the broker speak: see :mod:`unispawner.broker`.

A frame is ``MAGIC``, the length of its header (2 bytes), the length of its body (4 bytes), both in
network order, then the header, a JSON object, and then the body. The header is small and holds
nothing secret. The broker reads it, and hands the body unread to the process that becomes the user.

====================  ==========================================================================
frame                 header
====================  ==========================================================================
greeting, first       ``protocol``, ``version`` (unispawner's), ``clock`` (the broker's
                      time.monotonic), ``time`` (its time.time), ``host``, ``account`` (who has
                      started it), ``uid`` (the broker's own)
request               ``id``, ``kind``, ``account`` (for ``agent`` and ``account``) and
                      ``deadline``, a time on the broker's clock
answer                ``id``, ``status`` (the exit status of the process, or minus its signal)
                      and ``stdout``, how many bytes of the body are its standard output; the rest
                      is the end of its standard error. ``late`` is true if it was ended by a
                      signal because its time was up; otherwise there is no ``late``
refusal               ``id``, ``refused`` (``late``, ``invalid``, ``busy``, ``ending``) and
                      ``message``; there was no process
both                  ``clock``, the broker's time.monotonic when it wrote them
====================  ==========================================================================

The kinds of requests are ``agent`` (the body is a request to :mod:`unispawner.agent`), ``question``
(the body is a :class:`unispawner.schedulers.questions.Question` as JSON), ``account`` (no body; the
result is an account's entry, or None if there is none) and ``name`` (the body is a ``HOST_NAME``;
the result is a list of its addresses there). The standard output of all four is a reply
``{"version": 1, "result": …}`` or ``{"version": 1, "error": …}``.
"""

from __future__ import annotations

import json
import re
import struct
from typing import Any

PROTOCOL = 1
MAGIC = b"\0uS1"
"""How each frame begins: no text that a shell's start-up file prints does."""
HEADER_LIMIT = 4096
"""How many bytes a header may have."""
BODY_LIMIT = 16 * 1024**2
"""How many bytes a body may have."""
HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?", re.ASCII)
"""The name of a node, which the submit host resolves. A job may have made it up."""
_PREFIX = struct.Struct("!4sHI")
PREFIX_SIZE = _PREFIX.size
"""How many bytes come before the header."""


class FrameError(ValueError):
    """What was read is not a frame."""


def pack(header: dict[str, Any], body_length: int = 0) -> bytes:
    """Return the beginning of a frame, up to its body.

    Raises
    ------
    FrameError
        If the header or the body is too long.
    """
    text = json.dumps(header).encode()
    if len(text) > HEADER_LIMIT or body_length > BODY_LIMIT:
        raise FrameError(f"a header of {len(text)} or a body of {body_length} bytes is too long")
    return _PREFIX.pack(MAGIC, len(text), body_length) + text


def unpack_prefix(prefix: bytes) -> tuple[int, int]:
    """Return the lengths of the header and of the body.

    Raises
    ------
    FrameError
        If this is not the beginning of a frame, or if a length is too large.
    """
    if len(prefix) != PREFIX_SIZE:
        raise FrameError(f"the frame ended after {len(prefix)} bytes")
    magic, header, body = _PREFIX.unpack(prefix)
    if magic != MAGIC:
        raise FrameError(f"{prefix!r} is not the beginning of a frame")
    if header > HEADER_LIMIT or body > BODY_LIMIT:
        raise FrameError(f"a header of {header} or a body of {body} bytes is too long")
    return header, body


def unpack_header(text: bytes) -> dict[str, Any]:
    """Return a frame's header.

    Raises
    ------
    FrameError
        If it is not a JSON object.
    """
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        raise FrameError("the header is not JSON") from None
    if not isinstance(header, dict):
        raise FrameError("the header is not an object")
    return header
