"""Grid Engine through DRMAA, or with qsub where that is not to be had."""

from __future__ import annotations

import glob
import json
import os
import shlex
import sys
from pathlib import Path

from ...errors import AgentError
from ...job import JobSpec
from ...schedulers.base import Reply, Scheduler
from ...schedulers.gridengine import GridEngine, make_job_template
from ..commands import run
from ..files import write_private

LIBRARIES = (
    "/usr/lib/gridengine-drmaa/lib/libdrmaa.so.1.0",
    "/usr/lib64/libdrmaa.so.1.0",
    "/usr/lib/*/libdrmaa.so.1.0",
)
"""Where distributions put the library (Debian, Fedora)."""
_DRMAA = (sys.executable, "-I", "-m", "unispawner.agent.drmaa")


class Executor:
    """Submits the script as a command that stays where it is.

    qsub's own way would copy it to where everybody can read it, and would run it with the queue's
    shell instead of the script's own first line (queue_conf(5), shell_start_mode).
    """

    def __init__(self, scheduler: Scheduler) -> None:
        assert isinstance(scheduler, GridEngine)
        self.scheduler = scheduler

    def submit_script(self, spec: JobSpec, script: str, directory: Path) -> str:
        """Submit; the script's file is needed until the job is final."""
        path = directory / "script"
        write_private(path, script)
        path.chmod(0o700)
        options = [*self.scheduler.directives(spec), "-b y", "-shell n"]
        if self.scheduler.use_drmaa:
            attributes = {"remoteCommand": str(path), **make_job_template(options)}
            reply = self._drmaa({"action": "submit", "template": attributes})
        else:
            words = [word for option in options for word in shlex.split(option)]
            reply = run(["qsub", "-terse", *words, str(path)])
        if reply.exit_status:
            raise self.scheduler.submit_error(reply)
        for line in reversed(reply.stdout.split()):
            if self.scheduler.job_id.fullmatch(line):
                return line
        # Not a SubmitError: there may well be a job, which the Hub then looks for.
        raise AgentError("Grid Engine gave no job id:", command=reply.command, output=reply.text)

    def cancel_id(self, job_id: str, *, force: bool) -> None:
        """Delete a job; Grid Engine itself kills what doesn't end."""
        if self.scheduler.use_drmaa:
            reply = self._drmaa({"action": "cancel", "job_id": job_id})
        else:
            reply = run(["qdel", job_id])
        if reply.exit_status and (error := self.scheduler.cancel_error(reply)) is not None:
            raise error

    def check(self) -> str:
        """Return what the library says of itself, if it is used."""
        if not self.scheduler.use_drmaa:
            return "qsub"
        reply = self._drmaa({"action": "check"})
        if reply.exit_status:
            raise _broken(reply)
        return f"DRMAA of {reply.stdout.strip()}"

    def _drmaa(self, request: dict[str, object]) -> Reply:
        """Run our process that talks to the library.

        Raises
        ------
        AgentError
            If there is no library, or it killed the process; there may be a job, then.
        """
        environment = {
            "DRMAA_LIBRARY_PATH": self._library(),
            "LANG": "C.UTF-8",
            # The library's thread-local storage is larger than glibc reserves for late comers.
            "GLIBC_TUNABLES": "glibc.rtld.optional_static_tls=4096",
        }
        reply = run(_DRMAA, standard_input=json.dumps(request), environment=environment)
        if reply.exit_status not in (0, 1):
            raise _broken(reply)
        return reply

    def _library(self) -> str:
        """Return the library's path.

        Raises
        ------
        AgentError
            If it isn't found.
        """
        root = self.scheduler.sge_root
        below_root = (f"{glob.escape(root)}/lib/*/libdrmaa.so*",) if root else ()
        configured = self.scheduler.drmaa_library_path or os.environ.get("DRMAA_LIBRARY_PATH", "")
        patterns = (glob.escape(configured),) if configured else (*below_root, *LIBRARIES)
        for pattern in patterns:
            if found := sorted(map(str, glob.glob(pattern))):
                return found[0]
        raise AgentError(
            f"libdrmaa is not at {' or '.join(patterns)}. Install it (on Debian: "
            "gridengine-drmaa1.0), say where it is with c.UniSpawner.drmaa_library_path, or do "
            "without it: c.UniSpawner.use_drmaa = False."
        )


def _broken(reply: Reply) -> AgentError:
    message = "DRMAA does not work (c.UniSpawner.use_drmaa = False does without it):"
    return AgentError(
        message, command=reply.command, exit_status=reply.exit_status, output=reply.text
    )
