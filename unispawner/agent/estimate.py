"""Asks the scheduler, as the user, when a job would start; submits nothing and writes no file.

The job's script goes to the command's standard input: the same script as that of a submission, but
for the paths of the job's private files, which do not exist.
"""

from __future__ import annotations

import os
from dataclasses import replace

from ..job import JobSpec
from ..schedulers import Scheduler
from ..schedulers.base import ESTIMATE_ENVIRONMENT
from ..schedulers.estimate import StartEstimate
from ..script.rendering import launcher_source, render_script
from .commands import run

TIMEOUT = 8.0
"""How long (seconds) the command may take: whoever looks at a form does not wait longer."""
OUTPUT_LIMIT = 64 * 1024


def ask_for_start(spec: JobSpec, scheduler: Scheduler, shell: str) -> StartEstimate:
    """Return when a job would start if it was submitted now, as its scheduler says.

    Raises
    ------
    InvalidJobError
        If the job can't be written as a script.
    SchedulerUnavailable
        If the scheduler does not answer in time.
    """
    command = scheduler.estimate_command(spec)
    if not command:
        return StartEstimate()
    script = render_script(
        replace(spec, stdout_path=os.devnull),
        scheduler,
        shell=shell,
        standard_input=launcher_source(),
    )
    reply = run(
        command,
        standard_input=script,
        environment=ESTIMATE_ENVIRONMENT,
        timeout=TIMEOUT,
        output_limit=OUTPUT_LIMIT,
    )
    return scheduler.read_estimate(reply)
