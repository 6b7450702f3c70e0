"""A child of the broker, its answer, and the processes of its session."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest
from support.agent import wait_for

from unispawner.broker import processes
from unispawner.broker.accounts import Rules
from unispawner.broker.incoming import Request
from unispawner.broker.memory import make_file
from unispawner.broker.processes import STDERR_LIMIT, Child
from unispawner.command import members


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Child]:
    """Start a child that does what a function does with the descriptors of its reply and errors."""

    def start(does: Callable[[int, int], None], seconds: float = 60) -> Child:
        def work(request: Request, reply: int, errors: int, *_: object) -> NoReturn:
            try:
                os.setsid()
                does(reply, errors)
            finally:
                os._exit(0)

        monkeypatch.setattr(processes, "work", work)
        request = Request(1, "agent", "alice", time.monotonic() + seconds, 0, make_file("request"))
        return Child(request, Rules(os.getuid(), os.getuid()), (1024, 1024))

    return start


def read(child: Child) -> tuple[dict[str, object], bytes]:
    """Return the header and the body of a child's answer."""
    wait_for(child.reap)
    header, parts = child.answer()
    body = b""
    for part in parts:
        if isinstance(part, bytes):
            body += part
        else:
            body += os.pread(part.descriptor, part.length, part.offset)
    child.close()
    return header, body


@pytest.mark.threat(
    who="user",
    tries="They leave a process behind that holds the answer open.",
    stopped_by="The output is a file in memory, so the answer ends with the child.",
)
def test_an_answer_does_not_wait_for_a_grandchild(start: Callable[..., Child]) -> None:
    """The answer ends when the child does, also if a process that it has left holds the reply."""

    def does(reply: int, errors: int) -> None:
        os.write(reply, b"result")
        os.write(errors, b"warning")
        if not os.fork():
            os.setsid()
            time.sleep(60)

    child = start(does)
    header, body = read(child)
    assert {"id": 1, "status": 0, "stdout": 6} == header
    assert b"resultwarning" == body


@pytest.mark.threat(
    who="user",
    tries="Their process in the broker fills the memory with its reply.",
    stopped_by="The reply is a file in memory whose size is sealed.",
)
def test_a_reply_has_a_limit(start: Callable[..., Child]) -> None:
    """Nobody can fill the memory with a reply: a write beyond its size is refused."""

    def does(reply: int, errors: int) -> None:
        try:
            while True:
                os.write(reply, b"x" * 65536)
        except PermissionError:
            os.write(errors, b"refused")
        for size in (0, 2**30):
            try:
                os.truncate(reply, size)
            except PermissionError:
                os.write(errors, b" refused")

    header, body = read(start(does))
    assert 1024**2 == header["stdout"]
    assert body.endswith(b"refused refused refused")


def test_a_moved_end_of_the_reply(start: Callable[..., Child]) -> None:
    """A child that moves the end of its reply or errors gets no more than its own files."""

    def does(reply: int, errors: int) -> None:
        os.lseek(reply, 2**40, os.SEEK_SET)
        os.lseek(errors, 2**40, os.SEEK_SET)

    header, body = read(start(does))
    assert 1024**2 == header["stdout"]
    assert 1024**2 + STDERR_LIMIT == len(body)


def test_the_end_of_the_errors(start: Callable[..., Child]) -> None:
    """Of much output to standard error the answer has the end."""

    def does(reply: int, errors: int) -> None:
        os.write(errors, b"begin" + b"x" * 200_000 + b"end")

    _, body = read(start(does))
    assert STDERR_LIMIT == len(body)
    assert body.endswith(b"xend")


@pytest.mark.threat(
    who="root",
    tries="Root kills a process whose number has become another one's.",
    stopped_by="A process is killed as soon as it is found in the session.",
)
def test_a_process_is_killed_as_soon_as_it_is_found(
    start: Callable[..., Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number must not become that of another process while others are looked for."""
    child, events = start(lambda reply, errors: time.sleep(60), seconds=-2.5), []

    def find(session: int) -> Iterator[int]:
        for pid in (71, 72):
            events.append(f"found {pid}")
            yield pid

    monkeypatch.setattr(processes, "members", find)
    monkeypatch.setattr(processes, "_kill", lambda pid: events.append(f"killed {pid}"))
    assert child.kill_if_late()
    os.kill(child.pid, signal.SIGKILL)
    os.waitpid(child.pid, 0)
    child.close()
    expected = ["found 71", "killed 71", "found 72", "killed 72"]
    assert [f"killed {child.pid}", *expected] == events


def test_the_members_of_a_session() -> None:
    """All processes of a session are found, also in other process groups and whatever their name
    is, but not those that have left it."""
    name = "x) S 1 1 1 (y"
    code = (
        "import ctypes, os, subprocess, sys, time\n"
        "ctypes.CDLL(None).prctl(15, sys.argv[1].encode(), 0, 0, 0)\n"
        "group = subprocess.Popen(['sleep', '60'], preexec_fn=lambda: os.setpgid(0, 0))\n"
        "left = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
        "print(group.pid, left.pid, flush=True)\n"
        "time.sleep(60)"
    )
    leader = subprocess.Popen(
        ["sh", "-c", f'"{sys.executable}" -c "$0" "$1" & wait', code, name],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert leader.stdout
    with leader.stdout:
        group, left = map(int, leader.stdout.readline().split())
    try:
        found = list(members(leader.pid))
        assert group in found
        assert 2 == len(found)  # and the process with the odd name
        assert not {left, leader.pid, os.getpid()} & set(found)
        assert {group} == set(found) - set(members(leader.pid, spared_group=group))
    finally:
        for pid in (*members(leader.pid), left, leader.pid):
            os.kill(pid, signal.SIGKILL)
        leader.wait()
