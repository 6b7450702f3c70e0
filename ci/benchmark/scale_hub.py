"""What ci/scale runs in the Hub's process: its gauges, and the spawner that is compared."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from jupyterhub.handlers.base import BaseHandler
from jupyterhub.spawner import Spawner

SERVERS_PER_NODE = 40
FIRST_PORT = 20000
FIRST_UID = 200000
LONG_TURN = 0.01
"""From which length (seconds) on a turn of the event loop is looked at."""
SAMPLE_PAUSE = 0.004
OURS = f"{os.sep}unispawner{os.sep}"
STANDS_IN = f"{OURS}testing.py"


def user_name(number: int) -> str:
    """Return the name of a user, which is that of the account, too."""
    return f"u{number:05d}"


def place(number: int) -> tuple[str, int]:
    """Return address and port of a user's server."""
    node, slot = divmod(number, SERVERS_PER_NODE)
    return f"198.18.{node // 250}.{node % 250 + 1}", FIRST_PORT + slot


def mark(number: int) -> str:
    """Return the mark of a user's job."""
    return f"{number + 1:016x}"


# -- the other spawner, and the configuration ----------------------------------------------------


class TrivialSpawner(Spawner):
    """The least that a spawner can be: what a Hub costs with it is JupyterHub's own share."""

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.there = bool(state)

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "there": True} if getattr(self, "there", False) else {}

    async def start(self) -> str:
        self.there = True
        host, port = place(int(self.user.name[1:]))
        return f"http://{host}:{port}"

    async def poll(self) -> int | None:
        return None if getattr(self, "there", False) else 0

    async def stop(self, now: bool = False) -> None:
        self.there = False


def prepare(c: Any, spawner: str, count: int, folder: str) -> None:
    """Configure a Hub for one of the two spawners, with so many servers that run already."""
    gauges.start()
    c.JupyterHub.extra_handlers = [(r"/scale", GaugesHandler)]
    if spawner == "trivial":
        c.JupyterHub.spawner_class = TrivialSpawner
        return
    import scale_spawner  # only here: the other Hub must not have anything of unispawner

    scale_spawner.prepare(c, count, folder)


# -- the gauges ----------------------------------------------------------------------------------


class Gauges:
    """Measures how long the event loop is held, and by whose code.

    Each turn of the event loop is timed, which is all that it does between two looks at its
    sockets: in seconds of the thread's processor time, because the machine may do other work
    meanwhile, and by the clock. While a turn is a long one, a thread samples where it is: in our
    package (or in what that calls), or in JupyterHub's own code. The garbage collector, which may
    run anywhere, is timed for itself.
    """

    def __init__(self) -> None:
        self._began: float | None = None
        self._cpu = 0.0
        self._thread = threading.main_thread().ident or 0
        self._gc_began = 0.0
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.since, self.cpu_since = time.monotonic(), time.process_time()
        self.longest = {"ours": 0.0, "jupyterhub": 0.0, "gc": 0.0, "clock": 0.0}
        self.held = dict.fromkeys(self.longest, 0.0)
        self.where: dict[str, list[Any]] = {}
        self._samples: list[str] = []
        self._gc_cpu = 0.0

    def start(self) -> None:
        """Begin to measure the event loop, which is running."""
        selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined] # asyncio's
        select = selector.select

        def timed_select(timeout: float | None = None) -> Any:
            if self._began is not None:
                took = time.perf_counter() - self._began
                if took > LONG_TURN:
                    self._take(time.thread_time() - self._cpu, took)
            self._began = None
            try:
                return select(timeout)
            finally:
                self._samples, self._gc_cpu = [], 0.0
                self._cpu, self._began = time.thread_time(), time.perf_counter()

        selector.select = timed_select
        gc.callbacks.append(self._watch_gc)
        threading.Thread(target=self._sample, name="gauges", daemon=True).start()

    def _watch_gc(self, phase: str, info: dict[str, int]) -> None:
        if threading.get_ident() != self._thread:
            return
        if phase == "start":
            self._gc_began = time.thread_time()
        else:
            self._gc_cpu += time.thread_time() - self._gc_began

    def _sample(self) -> None:
        while True:
            time.sleep(SAMPLE_PAUSE)
            began = self._began
            if began is None or time.perf_counter() - began < LONG_TURN / 2:
                continue
            frame = sys._current_frames().get(self._thread)
            first, ours = "", ""
            while frame is not None:
                name = f"{frame.f_code.co_filename}:{frame.f_code.co_name}"
                if OURS in name and not ours:
                    whose = "fake" if STANDS_IN in name else "ours"
                    ours = f"{whose} {name.rpartition(OURS)[2]}"
                if not first and "site-packages" in name:
                    first = name.rpartition("site-packages" + os.sep)[2]
                frame = frame.f_back
            self._samples.append(ours or f"jupyterhub {first}")

    def _take(self, cpu: float, clock: float) -> None:
        """Take note of a long turn."""
        samples = self._samples
        whose = Counter(one.partition(" ")[0] for one in samples or ["jupyterhub"])
        each = max(0.0, cpu - self._gc_cpu) / whose.total()
        parts = {  # what the fake scheduler takes does not count
            "ours": each * whose["ours"],
            "jupyterhub": each * whose["jupyterhub"],
            "gc": self._gc_cpu,
            "clock": clock,
        }
        for name, seconds in parts.items():
            self.held[name] += seconds
            if seconds > self.longest[name]:
                self.longest[name] = seconds
                self.where[name] = [round(seconds, 4), Counter(samples).most_common(4)]

    def read(self) -> dict[str, Any]:
        """Return what was measured since the last reading."""
        statm = Path("/proc/self/statm").read_text().split()
        result = {
            "seconds": time.monotonic() - self.since,
            "cpu": time.process_time() - self.cpu_since,
            "rss": int(statm[1]) * os.sysconf("SC_PAGE_SIZE"),
            "tasks": len(asyncio.all_tasks()),
            "objects": sum(gc.get_count()),
            "longest": self.longest,
            "held": self.held,
            "where": self.where,
        }
        self.reset()
        return result


gauges = Gauges()


class GaugesHandler(BaseHandler):
    """``GET /hub/scale``: what was measured since the last request, and how many servers are up."""

    def get(self) -> None:
        """Reply with the gauges."""
        spawners = [one for user in self.users.values() for one in user.spawners.values()]
        states = Counter(one.pending or ("ready" if one.ready else "none") for one in spawners)
        # A server is taken for ready while it is checked for the first time, too.
        self.finish(json.dumps({**gauges.read(), "servers": states}))
