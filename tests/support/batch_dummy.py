"""A site's subclass of a legacy class, as a site's own tests have it."""

from __future__ import annotations

import asyncio
from typing import Any

from traitlets import Unicode

from unispawner import BatchSpawnerRegexStates

HOST, JOB, PORT, TOKEN = "userhost123", "12345", 54321, "a token that nobody may see"


class Dummy(BatchSpawnerRegexStates):
    """A site's class whose commands are echo."""

    exec_prefix = ""
    batch_submit_cmd = Unicode(f"cat > /dev/null; echo {JOB}")
    batch_query_cmd = Unicode(f"echo RUN {HOST}")
    batch_cancel_cmd = Unicode("echo STOP")
    batch_script = Unicode("{cmd}")
    state_pending_re = Unicode("PEND")
    state_running_re = Unicode("RUN")
    state_exechost_re = Unicode("RUN (.*)$")
    state_unknown_re = Unicode("UNKNOWN")


async def soon(awaitable: Any, seconds: float = 20) -> Any:
    return await asyncio.wait_for(awaitable, seconds)
