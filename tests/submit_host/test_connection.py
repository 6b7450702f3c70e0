"""The connection to a broker: requests, deadlines, restarts, and what it says of failures."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.fake_broker import FakeBroker, until

from unispawner import frames
from unispawner.errors import AgentError, SchedulerUnavailable
from unispawner.submit_host import broker_process, restarts, tolerance
from unispawner.submit_host import connection as module
from unispawner.submit_host.connection import Connection

MARK = "0123456789abcdef"


@pytest.fixture
def broker(tmp_path: Path) -> FakeBroker:
    """A fake broker."""
    return FakeBroker(tmp_path)


@pytest.fixture
def connection(broker: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """A connection to it, which pauses shortly between attempts."""
    monkeypatch.setattr(restarts, "FIRST_PAUSE", 0.05)
    found = Connection(broker.command, broker.environment)
    yield found
    found.close()


async def ask(connection: Connection, seconds: float = 30.0, **request: str) -> object:
    """Send the agent's request, and return the result of its reply."""
    body = json.dumps({"action": "find", "mark": MARK, **request}).encode()
    finished = await connection.request({"kind": "agent", "account": "alice"}, body, seconds)
    return json.loads(finished.stdout)["result"]


async def test_many_requests_cross_one_process(broker: FakeBroker, connection: Connection) -> None:
    """Many requests at once get their own answers from one process."""
    marks = [f"{number:016x}" for number in range(0x1000, 0x1000 + 60)]
    await asyncio.gather(*(ask(connection, action="submit", mark=mark) for mark in marks[::2]))
    found = await asyncio.gather(*(ask(connection, mark=mark) for mark in marks))
    expected = [{"job_id": "0" if number % 2 == 0 else ""} for number in range(60)]
    assert expected == found
    assert 1 == len(broker.lines("starts")) == connection.starts
    assert broker.jobs == marks[::2]


async def test_a_broker_that_dies_is_restarted(broker: FakeBroker, connection: Connection) -> None:
    """After a broker has died, the next request goes to a new one."""
    await ask(connection)
    assert connection.pid
    os.kill(connection.pid, signal.SIGKILL)
    await until(lambda: connection.pid is None)
    await ask(connection)
    assert 2 == len(broker.lines("starts"))
    assert "" == connection.problem


async def test_open_requests_of_a_lost_broker_are_unknown(
    broker: FakeBroker, connection: Connection
) -> None:
    """A request that a broker has got before it dies is neither done nor undone: nobody knows."""
    broker.set(actions={"submit": ["do-and-die"]})
    before = time.monotonic()
    with pytest.raises(SchedulerUnavailable, match="not known what became") as caught:
        await ask(connection, 40.0, action="submit")
    assert not caught.value.unsent
    assert before + 39.0 < caught.value.open_until < time.monotonic() + 40.0
    assert [MARK] == broker.jobs


async def test_requests_wait_for_the_next_broker(
    broker: FakeBroker, connection: Connection
) -> None:
    """A request that comes while there is no connection is sent when there is one again."""
    broker.set(exit=1)
    waiting = asyncio.ensure_future(ask(connection))
    await until(lambda: broker.lines("starts"))
    broker.set()
    assert {"job_id": ""} == await waiting


async def test_a_request_is_never_sent_after_its_deadline(
    broker: FakeBroker, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request whose time passes while there is no connection has certainly not happened."""
    monkeypatch.setattr(restarts, "PATIENCE", 1000)
    monkeypatch.setattr(restarts, "LONGEST_PAUSE", 0.05)
    broker.set(exit=3, errors="no such thing\n")
    # On a busy machine the first end takes a while.
    with pytest.raises(SchedulerUnavailable, match="exit status 3") as greeting:
        await connection.greet(60.0)
    assert "no such thing" == greeting.value.output
    with pytest.raises(SchedulerUnavailable, match="no connection to the submit host") as caught:
        await ask(connection, 0.5, action="submit")
    assert caught.value.unsent
    broker.set()
    await ask(connection)
    assert ["find alice answer"] == broker.lines("requests")


async def test_a_broker_that_can_not_start_is_reported_soon(
    broker: FakeBroker, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """After a few attempts requests fail, and do not wait for their deadline. Users read a plain
    sentence; the reason, and what the broker has printed, are in the log."""
    broker.set(exit=1, errors="sudo: a password is required\n")
    with pytest.raises(SchedulerUnavailable, match="in the Hub's log") as caught:
        await ask(connection, 600.0)
    assert caught.value.unsent
    assert "sudo" not in str(caught.value)
    assert "exit status 1" in connection.problem
    assert "exit status 1" in caplog.text
    assert "sudo: a password is required" in caplog.text
    assert restarts.PATIENCE == len(broker.lines("starts"))


async def test_a_user_who_waits_cuts_the_pause_short(
    broker: FakeBroker, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """During a long pause a request fails at once. With a user who waits there is an attempt soon,
    whose result the request gets; many such users make no more attempts than one."""
    monkeypatch.setattr(restarts, "PATIENCE", 1)
    monkeypatch.setattr(restarts, "FIRST_PAUSE", 600.0)
    monkeypatch.setattr(restarts, "LONGEST_PAUSE", 600.0)
    broker.set(exit=1)
    with pytest.raises(SchedulerUnavailable):
        await connection.greet(60.0)
    with pytest.raises(SchedulerUnavailable, match="no connection"):
        await ask(connection, 600.0)
    assert 1 == len(broker.lines("starts"))

    monkeypatch.setattr(restarts, "SHORTEST_PAUSE", 0.5)
    requests = []
    for _ in range(20):
        connection.hurry()
        requests.append(asyncio.ensure_future(ask(connection, 600.0)))
    found = await asyncio.gather(*requests, return_exceptions=True)
    assert {SchedulerUnavailable} == set(map(type, found))
    assert 2 == len(broker.lines("starts"))

    broker.set()
    connection.hurry()
    assert {"job_id": ""} == await ask(connection, 600.0)


@pytest.mark.parametrize(
    ("flood", "words"),
    [
        ("frames", "frames or .* that answer no request"),
        ("bodies", "frames or .* that answer no request"),
        ("errors", "bytes to standard error within a minute"),
    ],
)
async def test_a_flood_ends_the_connection(
    broker: FakeBroker,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    flood: str,
    words: str,
) -> None:
    """A broker that sends frames nobody has asked for, or that prints without end, loses its
    connection; the log says why, and little of what it printed. All of it is read in a thread of
    the connection's own, not in the event loop; the next broker is started after a pause."""
    monkeypatch.setattr(tolerance, "BYTES", 8 * 1024**2)
    counting: set[str] = set()
    for name in ("take_unasked", "take_errors"):
        take = getattr(tolerance.Tolerance, name)

        def count(one: tolerance.Tolerance, size: int, take: Any = take) -> None:
            counting.add(threading.current_thread().name)
            take(one, size)

        monkeypatch.setattr(tolerance.Tolerance, name, count)
    broker.set(flood=flood)
    with suppress(SchedulerUnavailable):  # the flood may come before the greeting was looked at
        await connection.greet(60.0)
    await until(lambda: connection.problem)
    assert {"connection to a broker"} == counting
    assert re.search(words, connection.problem)
    assert len(caplog.text) < 3 * broker_process.KEPT
    broker.set(errors="unispawner.broker: serves hubsvc\n")
    await ask(connection)
    assert 2 == len(broker.lines("starts"))


def test_what_may_be_used_up_within_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """An amount is there again after a minute, and until then what is more is refused."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    left = tolerance.PerMinute(3)
    assert [True, True, False] == [left.take(), left.take(2), left.take()]
    now += 60.0
    assert [True, False] == [left.take(3), left.take()]


async def test_a_program_that_does_not_exist(tmp_path: Path) -> None:
    """The error for a command that can't be run names it."""
    connection = Connection([str(tmp_path / "none")], {})
    with pytest.raises(SchedulerUnavailable, match="none: No such file") as caught:
        await connection.greet(10.0)
    assert caught.value.unsent
    connection.close()


async def test_text_before_the_greeting_is_passed_over(
    broker: FakeBroker, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """What a start-up file prints before the greeting does no harm and is logged once."""
    broker.set(before="Welcome to login1!\n" * 40)
    await ask(connection)
    await ask(connection)
    found = [record for record in caplog.records if "before the broker's greeting" in record.msg]
    assert 1 == len(found)
    assert "Welcome to login1!" in found[0].getMessage()


async def test_text_instead_of_a_greeting_is_quoted(
    broker: FakeBroker, connection: Connection
) -> None:
    """If the far side only prints text and ends, the error quotes the text."""
    broker.set(before="This account is currently not available.\n", exit=1)
    with pytest.raises(SchedulerUnavailable, match="exit status 1") as caught:
        await connection.greet(10.0)
    assert "This account is currently not available." == caught.value.output


async def test_endless_text_instead_of_a_greeting(
    broker: FakeBroker, connection: Connection
) -> None:
    """A far side that prints without end is given up."""
    broker.set(before="y\n" * 100_000)
    with pytest.raises(SchedulerUnavailable, match="65536 bytes and no greeting"):
        await connection.greet(10.0)


@pytest.mark.parametrize("other", [{"version": "0.0.9"}, {"protocol": 2}, {"protocol": "x"}])
async def test_another_version_on_the_far_side(
    broker: FakeBroker, connection: Connection, other: dict[str, object]
) -> None:
    """A broker of another version is refused, and the error says what to do."""
    broker.set(**other)
    with pytest.raises(SchedulerUnavailable, match="Install the same version for both"):
        await connection.greet(10.0)


async def test_garbage_ends_the_connection(broker: FakeBroker, connection: Connection) -> None:
    """A far side that sends something that is not a frame is started anew."""
    noise = frames.MAGIC + b"\xff" * 20
    script = f"import os, sys; os.write(1, {noise!r}); sys.stdin.read()"
    other = Connection([sys.executable, "-c", script], broker.environment)
    with pytest.raises(SchedulerUnavailable, match="not a frame"):
        await other.greet(10.0)
    other.close()


async def test_a_broker_that_does_not_answer(
    broker: FakeBroker, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that leaves a request without an answer until its time is over is replaced."""
    monkeypatch.setattr(module, "ANSWER_TIME", 0.2)
    broker.set(actions={"submit": ["ignore"]})
    await connection.greet(60.0)  # on a busy machine its start takes longer than the request
    with pytest.raises(SchedulerUnavailable, match="not known what became"):
        await ask(connection, 0.3, action="submit")
    assert "did not answer in time" in connection.problem
    await ask(connection)
    assert 2 == len(broker.lines("starts"))


async def test_a_request_that_ran_out_of_time(broker: FakeBroker, connection: Connection) -> None:
    """If the broker ended a process because its time was up, nobody knows what it has done."""
    broker.set(actions={"submit": ["late"]})
    with pytest.raises(SchedulerUnavailable, match="did not finish in time") as caught:
        await ask(connection, action="submit")
    assert (False, "it hung") == (caught.value.unsent, caught.value.output)
    assert caught.value.open_until > 0
    await ask(connection)
    assert 1 == len(broker.lines("starts"))


async def test_a_refusal_is_certain(broker: FakeBroker, connection: Connection) -> None:
    """What the broker refuses has certainly not happened."""
    broker.set(actions={"submit": ["refuse"]})
    with pytest.raises(SchedulerUnavailable, match="it is busy") as caught:
        await ask(connection, action="submit")
    assert caught.value.unsent


async def test_a_request_that_is_too_large(broker: FakeBroker, connection: Connection) -> None:
    """A request that no frame can hold is refused; the connection stays."""
    with pytest.raises(AgentError, match="too large") as caught:
        await connection.request({"kind": "agent"}, bytes(frames.BODY_LIMIT + 1), 10.0)
    assert caught.value.unsent
    with pytest.raises(AgentError, match="too large"):
        await connection.request({"kind": "account", "account": "x" * 9000}, b"", 10.0)
    assert [] == broker.lines("starts")


async def test_a_large_request_crosses_a_slow_pipe(
    broker: FakeBroker, connection: Connection
) -> None:
    """A request of some megabytes reaches a broker that reads slowly; others follow it."""
    large = ask(connection, padding="x" * (4 * 1024**2))
    found = await asyncio.gather(large, ask(connection), ask(connection))
    assert [{"job_id": ""}] * 3 == list(found)


async def test_deadlines_are_times_on_the_brokers_clock(
    broker: FakeBroker, connection: Connection
) -> None:
    """A deadline is sent as a time on the clock that the greeting has shown."""
    broker.set(clock=5000.0)
    await ask(connection)
    assert connection.greeting
    assert 4990.0 < connection.greeting.clock_offset <= 5000.0


async def test_a_clock_that_drifts_away(
    broker: FakeBroker, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers show the broker's clock. One that runs ahead counts at once. One that falls behind
    counts after a while, because an answer may only have waited."""
    for given, expected in ((5000.0, 5000.0), (5100.0, 5100.0), (5050.0, 5100.0)):
        broker.set(clock=given)
        await ask(connection)
        assert connection.greeting
        assert expected - 30.0 < connection.greeting.clock_offset <= expected
    monkeypatch.setattr(broker_process, "CLOCK_INTERVAL", 0.0)
    await ask(connection)  # the last one of the old interval
    await ask(connection)
    assert connection.greeting
    assert 5020.0 < connection.greeting.clock_offset <= 5050.0


@pytest.mark.parametrize(("offset", "words"), [(90.0, "ahead of"), (-90.0, "behind"), (1.0, "")])
async def test_the_time_of_day_on_the_far_side(
    broker: FakeBroker,
    connection: Connection,
    caplog: pytest.LogCaptureFixture,
    offset: float,
    words: str,
) -> None:
    """The log says by how much the far side's time of day is wrong, if users could notice it."""
    broker.set(time=offset)
    await ask(connection)
    found = [one.getMessage() for one in caplog.records if "time of day" in one.msg]
    assert bool(words) == bool(found)
    assert not words or f"s {words} the Hub's" in found[0]


def test_several_event_loops_share_a_connection(broker: FakeBroker, connection: Connection) -> None:
    """Event loops in several threads, one after the other or at once, use one broker."""
    results: list[object] = []

    def work() -> None:
        results.append(asyncio.run(ask(connection)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(ask(connection))
    assert [{"job_id": ""}] * 4 == results
    assert 1 == len(broker.lines("starts"))


async def test_a_cancelled_wait_hurts_nobody(broker: FakeBroker, connection: Connection) -> None:
    """Whoever stops to wait for an answer leaves the connection as it is."""
    broker.set(actions={"submit": ["ignore"]})
    waiting = asyncio.ensure_future(ask(connection, action="submit"))
    await until(lambda: broker.lines("requests"))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await ask(connection)
    assert 1 == len(broker.lines("starts"))


HUB = """
import asyncio, json, sys
from unispawner.submit_host.connection import Connection

async def main():
    connection = Connection(json.loads(sys.argv[1]), {})
    await connection.greet(20)
    print(connection.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def test_the_broker_ends_with_a_killed_hub(broker: FakeBroker) -> None:
    """If the Hub is killed with SIGKILL, its broker reads the end of its input and ends."""
    hub = subprocess.Popen(
        [sys.executable, "-c", HUB, json.dumps(broker.command)], stdout=subprocess.PIPE, text=True
    )
    assert hub.stdout
    pid = int(hub.stdout.readline())
    hub.kill()
    hub.wait()
    hub.stdout.close()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("clock", [float("nan"), float("inf"), 10**400, "1", None, True])
async def test_a_clock_that_is_none(
    broker: FakeBroker, connection: Connection, clock: object
) -> None:
    """A greeting without a usable time is a failure of the broker's, which is reported as one."""
    for name in ("clock", "time"):
        broker.set(greeting={name: clock})
        with pytest.raises(SchedulerUnavailable, match="its greeting has no clock"):
            await connection.greet(20.0)


async def test_a_greeting_can_not_imitate_the_log(
    broker: FakeBroker, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """What a broker says of itself is one line of the log, without control characters."""
    caplog.set_level("INFO")
    broker.set(greeting={"host": "\x1b[2Jlogin1\nx", "account": ["hub\r\nsvc"]})
    await ask(connection)
    found = [one.getMessage() for one in caplog.records if "runs on" in one.msg]
    assert 1 == len(found)
    assert found[0].isprintable()


async def test_advice_replaces_the_exit_status() -> None:
    """A command that ends with a known failure is reported by the advice for it alone."""
    connection = Connection(["/bin/sh", "-c", "exit 3"], {}, lambda *_: "run_as: mend it.")
    with pytest.raises(SchedulerUnavailable) as caught:
        await connection.greet(20.0)
    connection.close()
    assert "run_as: mend it." == caught.value.message


async def test_a_long_command_is_logged_with_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """The end of ssh's command has the host and the broker's arguments, so it is in the log."""
    options = [f"option-{number}" for number in range(100)]
    connection = Connection(["/bin/false", *options, "hubsvc@login1"], {})
    with pytest.raises(SchedulerUnavailable):
        await connection.greet(20.0)
    connection.close()
    assert "/bin/false" in caplog.text
    assert "option-99 hubsvc@login1" in caplog.text
