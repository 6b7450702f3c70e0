"""Reads requests: of each only the header. The body goes unread into a file in memory."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..frames import PREFIX_SIZE, FrameError, unpack_header, unpack_prefix
from .memory import Buffer

KINDS = ("agent", "question", "account", "name")
LONGEST = 86400.0
"""How far ahead (seconds) a deadline may be."""
_NAME_LIMIT = 256
_AT_ONCE = 64
"""How many reads may follow each other before the broker looks after its children again."""


@dataclass
class Request:
    """A request, with its body in a file in memory; the body has not been read."""

    id: int | str
    kind: str
    account: str
    deadline: float
    length: int
    body: int = -1

    @property
    def group(self) -> str:
        """Whose request it is: requests of one group wait for each other."""
        return f"account {self.account}" if self.kind == "agent" else self.kind

    def close(self) -> None:
        """Free the body."""
        if self.body >= 0:
            os.close(self.body)
            self.body = -1


class InvalidRequestError(ValueError):
    """A header is not that of a request. ``id`` is that of the request if it can be read."""

    def __init__(self, message: str, request_id: int | str | None = None) -> None:
        super().__init__(message)
        self.id = request_id


def read_request(header: dict[str, Any], length: int, now: float) -> Request:
    """Return the request of a header.

    Raises
    ------
    InvalidRequestError
        If the header is not valid.
    """
    request_id = header.get("id")
    if not isinstance(request_id, int | str) or len(str(request_id)) > 64:
        raise InvalidRequestError("id: it must be a number or a short text")
    kind, account, deadline = (header.get(key) for key in ("kind", "account", "deadline"))
    if not isinstance(kind, str) or kind not in KINDS:
        raise InvalidRequestError(
            f"kind: {kind!r:.80} must be one of {', '.join(KINDS)}. Is the unispawner on the "
            "submit host older than the Hub's? Install the same version for both.",
            request_id,
        )
    if kind in ("question", "name"):
        account = ""
    elif not isinstance(account, str) or not _is_name(account):
        raise InvalidRequestError(f"account: {account!r:.80} can't be an account", request_id)
    if not isinstance(deadline, int | float) or not abs(deadline) < 2**53:  # NaN is refused, too
        raise InvalidRequestError(f"deadline: {deadline!r:.80} must be a time", request_id)
    if deadline - now > LONGEST:
        raise InvalidRequestError(
            f"deadline: {deadline} is more than a day ahead; is it a time on the broker's clock?",
            request_id,
        )
    return Request(request_id, kind, account, float(deadline), length)


def _is_name(account: str) -> bool:
    return 0 < len(account) <= _NAME_LIMIT and account.isprintable()


class Incoming:
    """The stream of requests.

    Parameters
    ----------
    accept
        Is called with each header and the body's length. It returns the request with the file for
        its body; None drops the body.
    take
        Is called with each request when its body is complete.
    """

    def __init__(
        self,
        descriptor: int,
        buffer: Buffer,
        accept: Callable[[bytes, int], Request | None],
        take: Callable[[Request], None],
    ) -> None:
        self.descriptor = descriptor
        self._buffer = buffer
        self._accept, self._take = accept, take
        mode = os.fstat(descriptor).st_mode
        self._non_blocking = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
        if self._non_blocking:
            os.set_blocking(descriptor, False)
        self._text = b""
        self._header_length = self._body_length = self._left = 0
        self._request: Request | None = None

    def read(self) -> bool:
        """Read what is there; return False at the end of the stream.

        Raises
        ------
        FrameError
            If what was read is not a frame: then nothing that follows can be read, either.
        """
        for _ in range(_AT_ONCE if self._non_blocking else 1):
            try:
                if not self._step():
                    return False
            except BlockingIOError:
                break
        return True

    def abandon(self) -> None:
        """Forget the request that has not come as a whole."""
        if self._request is not None:
            self._request.close()

    def _step(self) -> bool:
        if self._left:
            target = self._request.body if self._request else None
            count = self._buffer.move(self.descriptor, target, self._left)
            self._left -= count
            if count and not self._left:
                self._complete()
            if not count:
                raise FrameError(f"the frame ended {self._left} bytes before its end")
            return True
        wanted = PREFIX_SIZE + self._header_length - len(self._text)
        text = os.read(self.descriptor, wanted)
        self._text += text
        if not text and self._text:
            raise FrameError(f"the frame ended after {len(self._text)} bytes")
        if len(self._text) == PREFIX_SIZE and not self._header_length:
            self._header_length, self._body_length = unpack_prefix(self._text)
        if self._header_length and len(self._text) == PREFIX_SIZE + self._header_length:
            self._begin(self._text[PREFIX_SIZE:])
        elif len(self._text) == PREFIX_SIZE and not self._header_length:
            self._begin(b"")
        return bool(text)

    def _begin(self, header: bytes) -> None:
        self._request = self._accept(header, self._body_length)
        self._left = self._body_length
        self._text, self._header_length, self._body_length = b"", 0, 0
        if not self._left:
            self._complete()

    def _complete(self) -> None:
        request, self._request = self._request, None
        if request is not None:
            self._take(request)


def parse_header(header: bytes, length: int, now: float) -> Request:
    """Return the request of a header as it was sent.

    Raises
    ------
    InvalidRequestError
        If the header is not valid.
    """
    try:
        return read_request(unpack_header(header), length, now)
    except FrameError as error:
        raise InvalidRequestError(str(error)) from None
