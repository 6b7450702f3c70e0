"""A real broker process, and the Hub's end of its streams."""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unispawner import frames

PATIENCE = 60.0


@dataclass
class Frame:
    """An answer or a refusal."""

    header: dict[str, Any]
    body: bytes

    @property
    def reply(self) -> dict[str, Any]:
        assert "refused" not in self.header, self.header
        reply = json.loads(self.body[: self.header["stdout"]] or b"{}")
        assert reply, self.stderr
        return dict(reply)

    @property
    def result(self) -> Any:
        assert "error" not in self.reply, self.reply
        return self.reply["result"]

    @property
    def error(self) -> str:
        return str(self.reply["error"]["message"])

    @property
    def stderr(self) -> str:
        return self.body[self.header["stdout"] :].decode("utf-8", "replace")


class BrokerProcess:
    """A broker that has just been started."""

    def __init__(
        self, command: Sequence[str], through_socket: bool = False, **options: Any
    ) -> None:
        ours, theirs = socket.socketpair() if through_socket else (None, None)
        stream = theirs.fileno() if theirs else subprocess.PIPE
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            command,
            stdin=stream,
            stdout=stream,
            stderr=subprocess.PIPE,
            start_new_session=True,
            **options,
        )
        self._log = ""
        if ours and theirs:
            theirs.close()
            self._ours: socket.socket | None = ours
            self.input = self.output = ours.fileno()
        else:
            assert self.process.stdin and self.process.stdout
            self._ours = None
            self.input, self.output = self.process.stdin.fileno(), self.process.stdout.fileno()
        self.ids = itertools.count(1)
        self.answers: dict[Any, Frame] = {}
        self.greeting: dict[str, Any] = {}

    @property
    def pid(self) -> int:
        return self.process.pid

    def greet(self) -> None:
        """Read the greeting."""
        frame = self.read()
        assert frame is not None, self.end()
        self.greeting = frame.header

    def send(
        self,
        kind: str,
        account: str = "",
        body: bytes = b"",
        *,
        seconds: float = PATIENCE,
        changed: Mapping[str, Any] | None = None,
    ) -> Any:
        """Send a request whose header may be changed, and return its id."""
        request = {
            "id": next(self.ids),
            "kind": kind,
            "account": account,
            "deadline": time.monotonic() + seconds,
            **(changed or {}),
        }
        self.write(frames.pack(request, len(body)) + body)
        return request["id"]

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self.input, data) :]

    def ask(self, kind: str, account: str = "", body: bytes = b"", **options: Any) -> Frame:
        """Send a request, and return its answer."""
        return self.answer(self.send(kind, account, body, **options))

    def answer(self, request_id: Any) -> Frame:
        """Return the answer to a request; others are kept."""
        while request_id not in self.answers:
            frame = self.read()
            assert frame is not None, self.end()
            self.answers[frame.header["id"]] = frame
        return self.answers.pop(request_id)

    def read(self) -> Frame | None:
        """Read the next frame; None at the end of the stream."""
        prefix = self._read(frames.PREFIX_SIZE)
        if not prefix:
            return None
        header, body = frames.unpack_prefix(prefix)
        return Frame(frames.unpack_header(self._read(header)), self._read(body))

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            assert select.select([self.output], [], [], PATIENCE)[0], "the broker says nothing"
            chunk = os.read(self.output, count - len(data))
            if not chunk:
                return data
            data += chunk
        return data

    def children(self) -> list[int]:
        """Return the process ids of its children."""
        path = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def close_input(self) -> None:
        """Let its standard input end."""
        if self._ours:
            self._ours.shutdown(socket.SHUT_WR)
        elif self.process.stdin:
            self.process.stdin.close()

    def end(self) -> tuple[int, str]:
        """End it, and return its exit status and its log."""
        if not self._log:
            self.close_input()
            assert self.process.stderr
            self._log = self.process.stderr.read().decode()
            self.process.wait(PATIENCE)
            for stream in (self.process.stdout, self.process.stderr, self._ours):
                if stream:
                    stream.close()
        return self.process.returncode, self._log


@contextmanager
def running_broker(
    *arguments: str,
    code: str = "",
    command: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    **options: Any,
) -> Iterator[BrokerProcess]:
    """Run a broker; ``code`` is run in its process before it starts."""
    start = ["-m", "unispawner.broker"]
    if code:
        start = ["-c", f"{code}\nfrom unispawner.broker.__main__ import main\nmain()"]
    process = BrokerProcess(
        [*(command or (sys.executable, "-I", *start)), *arguments],
        env={"PATH": "/usr/bin:/bin", **(environment or {})},
        cwd="/",
        **options,
    )
    try:
        process.greet()
        yield process
    finally:
        process.process.send_signal(signal.SIGTERM)
        process.end()
