"""A broker for tests, without root and without agents: it does what its configuration file says.

    FakeBroker(folder).set(version="0.0.1")      # for the next process
    host = FakeBroker(folder).host()

Run as a program it is the broker itself. The file ``config.json`` in its folder has ``version``,
``protocol``, ``greeting`` (other values of the greeting), ``before`` (text that comes before the
greeting), ``errors`` (what it prints to standard error), ``flood`` (what comes without end after
the greeting: ``frames``, ``bodies`` or ``errors``), ``exit`` (end with this status instead of
greeting), ``accounts`` (entries by name), ``names`` (addresses by name, or what becomes of it),
``answers`` (to questions, by name), ``actions``: what becomes of each action of the agent, in turn,
the last for ever:

=============  ====================================================================================
``answer``     the action is done and answered
``die``        the broker dies before the action is done
``do-and-die`` the action is done, and then the broker dies
``ignore``     nothing is ever answered
``refuse``     the request is refused
``late``       the agent is ended by signal 9, because its time is up
``crash``      the agent ends with signal 9, and has done nothing
``babble``     the action is done, and the reply has a megabyte
=============  ====================================================================================

``submit`` makes a file with the job's mark in the folder ``jobs``, ``cancel`` removes it, and
``find`` looks for it. Every process writes a line to ``starts``, and every request one to
``requests``.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unispawner import _version, frames


class FakeBroker:
    """The tests' side: a folder with the configuration and the traces of the fake broker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "jobs").mkdir(parents=True, exist_ok=True)
        self.set()

    def set(self, **settings: Any) -> None:
        """Set what the next process does, and the requests from now on."""
        new = self.folder / "config.new"
        new.write_text(json.dumps(settings))
        new.replace(self.folder / "config.json")

    @property
    def command(self) -> list[str]:
        """The command that starts it."""
        return [sys.executable, str(Path(__file__).absolute()), str(self.folder)]

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the command."""
        return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C.UTF-8"}

    def lines(self, name: str) -> list[str]:
        """Return the lines of ``starts`` or ``requests``."""
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    @property
    def jobs(self) -> list[str]:
        """The marks of the jobs."""
        return sorted(path.name for path in (self.folder / "jobs").iterdir())


async def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until a function returns something true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


class _Program:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.Lock()
        self.counts: dict[str, int] = {}

    @property
    def config(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "config.json").read_text()))

    def note(self, name: str, text: str) -> None:
        with open(self.folder / name, "a") as file:
            file.write(f"{text}\n")

    def send(self, header: dict[str, Any], body: bytes = b"") -> None:
        with self.lock:
            sys.stdout.buffer.write(frames.pack(header, len(body)) + body)
            sys.stdout.buffer.flush()

    def serve(self) -> None:
        self.note("starts", str(os.getpid()))
        config = self.config
        sys.stdout.buffer.write(config.get("before", "").encode())
        sys.stdout.buffer.flush()
        sys.stderr.write(config.get("errors", ""))
        sys.stderr.flush()
        if "exit" in config:
            os._exit(config["exit"])
        self.send(
            {
                "protocol": config.get("protocol", frames.PROTOCOL),
                "version": config.get("version", _version.__version__),
                "clock": time.monotonic() + config.get("clock", 0.0),
                "time": time.time() + config.get("time", 0.0),
                "host": "login1",
                "account": "hubsvc",
                **config.get("greeting", {}),
            }
        )
        if "flood" in config:
            threading.Thread(target=self.flood, args=(config["flood"],), daemon=True).start()
        while prefix := sys.stdin.buffer.read(frames.PREFIX_SIZE):
            header_length, body_length = frames.unpack_prefix(prefix)
            header = frames.unpack_header(sys.stdin.buffer.read(header_length))
            body = sys.stdin.buffer.read(body_length)
            threading.Thread(target=self.take, args=(header, body), daemon=True).start()

    def flood(self, what: str) -> None:
        body = bytes(4 * 1024**2) if what == "bodies" else b""
        while True:
            if what == "errors":
                sys.stderr.write("noise\n" * 1000)
                sys.stderr.flush()
            else:
                self.send({"id": 10**6, "status": 0, "stdout": len(body)}, body)

    def take(self, header: dict[str, Any], body: bytes) -> None:
        kind = header["kind"]
        if kind == "agent":
            self.take_agent(header, json.loads(body))
        elif kind == "account":
            self.note("requests", f"account {header['account']}")
            self.reply(header, {"result": self.config.get("accounts", {}).get(header["account"])})
        elif kind == "name":
            self.take_name(header, body.decode())
        else:
            question = json.loads(body)
            self.note("requests", f"question {question['name']}")
            self.reply(header, self.config.get("answers", {}).get(question["name"], {}))

    def take_name(self, header: dict[str, Any], name: str) -> None:
        """Answer with a name's addresses; "hang" gets no answer, and "refuse" a refusal."""
        self.note("requests", f"name {name}")
        found = self.config.get("names", {}).get(name, [])
        if found == "refuse":
            message = "kind: 'name' must be one of agent. Install the same version for both."
            self.send({"id": header["id"], "refused": "invalid", "message": message})
        elif found != "hang":
            self.reply(header, {"result": found})

    def reply(self, header: dict[str, Any], reply: dict[str, Any]) -> None:
        text = json.dumps({"version": 1, **reply}).encode()
        clock = time.monotonic() + self.config.get("clock", 0.0)
        self.send({"id": header["id"], "status": 0, "stdout": len(text), "clock": clock}, text)

    def take_agent(self, header: dict[str, Any], request: dict[str, Any]) -> None:
        action = request["action"]
        with self.lock:
            number = self.counts[action] = self.counts.get(action, -1) + 1
        plan = self.config.get("actions", {}).get(action, ["answer"])
        what = plan[min(number, len(plan) - 1)]
        self.note("requests", f"{action} {header['account']} {what}")
        if what == "ignore":
            return
        if what == "refuse":
            self.send({"id": header["id"], "refused": "busy", "message": "it is busy"})
            return
        if what == "crash":
            self.send({"id": header["id"], "status": -9, "stdout": 0}, b"Killed")
            return
        if what == "late":
            self.send({"id": header["id"], "status": -9, "stdout": 0, "late": True}, b"it hung")
            return
        if what == "die":
            os._exit(9)
        result = self.do(request)
        if what == "do-and-die":
            os._exit(9)
        more = {"more": " " * 1024**2} if what == "babble" else {}
        self.reply(header, {"result": result, **more})

    def do(self, request: dict[str, Any]) -> Any:
        jobs = self.folder / "jobs"
        mark = str(request.get("mark", request.get("spec", {}).get("mark", "")))
        if request["action"] == "submit":
            (jobs / mark).write_text("")
            return {"job_id": str(int(mark[:8], 16))}
        if request["action"] == "find":
            return {"job_id": str(int(mark[:8], 16)) if (jobs / mark).exists() else ""}
        if request["action"] == "cancel":
            for path in jobs.iterdir():
                if str(int(path.name[:8], 16)) == request["job_id"]:
                    path.unlink()
            return {}
        if request["action"] == "check":
            return {"account": request["account"], "commands": {}}
        return {}


if __name__ == "__main__":
    _Program(Path(sys.argv[1])).serve()
