"""Grid Engine through DRMAA, or with qsub where DRMAA is not available."""

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
from ..files import write_script

LIBRARIES = (
    "/usr/lib/gridengine-drmaa/lib/libdrmaa.so.1.0",
    "/usr/lib64/libdrmaa.so.1.0",
    "/usr/lib/*/libdrmaa.so.1.0",
)
"""Where distributions put the library (Debian, Fedora)."""
_DRMAA = (sys.executable, "-I", "-m", "unispawner.agent.drmaa")


class Executor:
    """Submits the script as a command that is run where it is.

    A script that qsub reads itself would be copied to where everybody can read it. It would also be
    run by the queue's shell instead of the one in its first line (queue_conf(5), shell_start_mode).
    """

    def __init__(self, scheduler: Scheduler) -> None:
        assert isinstance(scheduler, GridEngine)
        self.scheduler = scheduler

    def submit_script(self, spec: JobSpec, script: str, directory: Path) -> str:
        """Submit a job; the script's file is needed until the job has ended."""
        path = write_script(directory, script)
        options = [*self.scheduler.directives(spec), "-b y", "-shell n"]
        if self.scheduler.use_drmaa:
            attributes = {"remoteCommand": str(path), **make_job_template(options)}
            reply = self._drmaa({"action": "submit", "template": attributes})
        else:
            words = [word for option in options for word in shlex.split(option)]
            reply = run(["qsub", "-terse", *words, str(path)])
        if reply.exit_status:
            raise self.scheduler.submit_error(reply)
        for line in reversed(reply.stdout.splitlines()):  # a wrapper may print a notice, too
            if self.scheduler.job_id.fullmatch(line.strip()):
                return line.strip()
        # Not a SubmitError, because the job may exist: the Hub then searches it.
        raise AgentError("Grid Engine printed no job id:", command=reply.command, output=reply.text)

    def cancel_id(self, job_id: str, *, force: bool) -> None:
        """Delete a job; Grid Engine itself kills a job that does not end."""
        if self.scheduler.use_drmaa:
            reply = self._drmaa({"action": "cancel", "job_id": job_id})
        else:
            reply = run(["qdel", job_id])
        if reply.exit_status and (error := self.scheduler.cancel_error(reply)) is not None:
            raise error

    def check(self) -> str:
        """Return the name and version that the library reports, or "qsub"."""
        if not self.scheduler.use_drmaa:
            return "qsub"
        reply = self._drmaa({"action": "check"})
        if reply.exit_status:
            raise _drmaa_error(reply)
        return f"DRMAA of {reply.stdout.strip()}"

    def _drmaa(self, request: dict[str, object]) -> Reply:
        """Run the process that uses the library.

        Raises
        ------
        AgentError
            If there is no library, or if it ended the process; in that case the job may exist.
        """
        environment = {
            "DRMAA_LIBRARY_PATH": self._library(),
            "LANG": "C.UTF-8",
            # The library needs more thread-local storage than glibc reserves for libraries that are
            # loaded later.
            "GLIBC_TUNABLES": "glibc.rtld.optional_static_tls=4096",
        }
        reply = run(_DRMAA, standard_input=json.dumps(request), environment=environment)
        if reply.exit_status not in (0, 1):
            raise _drmaa_error(reply)
        return reply

    def _library(self) -> str:
        """Return the library's path.

        Raises
        ------
        AgentError
            If there is no such file.
        """
        root = self.scheduler.sge_root
        below_root = (f"{glob.escape(root)}/lib/*/libdrmaa.so*",) if root else ()
        configured = self.scheduler.drmaa_library_path or os.environ.get("DRMAA_LIBRARY_PATH", "")
        patterns = (glob.escape(configured),) if configured else (*below_root, *LIBRARIES)
        for pattern in patterns:
            if found := sorted(map(str, glob.glob(pattern))):
                return found[0]
        raise AgentError(
            f"The DRMAA library was not found at {' or '.join(patterns)}. Install it (on Debian: "
            "gridengine-drmaa1.0), set c.UniSpawner.drmaa_library_path to its path, or set "
            "c.UniSpawner.use_drmaa = False to work without it."
        )


def _drmaa_error(reply: Reply) -> AgentError:
    message = "DRMAA does not work; c.UniSpawner.use_drmaa = False works without it:"
    return AgentError(
        message, command=reply.command, exit_status=reply.exit_status, output=reply.text
    )
