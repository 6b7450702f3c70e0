"""What /hub/metrics learns of a server's job: how long each phase took, and how it ended."""

from __future__ import annotations

import time

from ... import metrics
from ...errors import UniSpawnerError
from ...job import JobInfo, JobState
from ...web import bookkeeping
from ..history import Ending
from ..second_job import PairedJob

_OUTCOMES = ("stopped", "ended", "failed", "refused")
_RUNS = (JobState.RUNNING, JobState.SUSPENDED)


class JobMeasures:
    """Measures the phases of a start, each once; a start of an earlier Hub has none.

    A phase ends at the first sign of its end: a server may report before the scheduler has said
    that its job runs.
    """

    def __init__(self, job: PairedJob) -> None:
        self._job = job
        self._since: float | None = None
        self._queue: float | None = None
        self._queue_name = ""
        self._run_ends = False

    def note_start(self) -> None:
        """Take note that the start begins."""
        self._since = time.monotonic()
        for outcome in _OUTCOMES:  # Prometheus sees the first one only if there was a 0 before it
            metrics.ENDS.labels(*self._labels, outcome, "")

    def note_submitted(self, queue_name: str) -> None:
        """Take note that the scheduler has the job."""
        self._end_phase("submit")
        self._queue, self._queue_name = time.monotonic(), queue_name

    def note_state(self, info: JobInfo) -> None:
        """Take note of an answer of the scheduler's."""
        if info.state in _RUNS:
            self._note_runs()
        if self._run_ends and not (info.ending or info.state.final):
            self.note_requeue()

    def _note_runs(self) -> None:
        if self._queue is None:
            return
        waited, self._queue = time.monotonic() - self._queue, None
        self._end_phase("queue")
        profile = str(getattr(bookkeeping.outer(self._job.spawner), "child_profile", "") or "")
        queue = metrics.QUEUES.label(self._queue_name, *self._labels)
        profile = metrics.PROFILES.label(profile)
        metrics.QUEUE_WAIT.labels(*self._labels, queue, profile).observe(waited)

    def note_reported(self) -> None:
        """Take note that the server has reported where it listens."""
        self._note_runs()
        self._end_phase("boot")

    def note_ready(self, *, resumed: bool) -> None:
        """Take note that JupyterHub has reached the server, which a restart may have left."""
        if resumed:
            metrics.RESUMED.labels(*self._labels, "server").inc()
        self._end_phase("ready")
        self._since = None

    def note_resumed_start(self) -> None:
        """Take note that a start goes on that a restart has interrupted."""
        metrics.RESUMED.labels(*self._labels, "start").inc()

    def note_requeue(self) -> None:
        """Take note that the job of a server is run again."""
        self._run_ends = False
        metrics.REQUEUES.labels(*self._labels).inc()

    def note_run_end(self) -> None:
        """Take note that a run of the job is ending; the scheduler may run it again."""
        self._run_ends = True

    def note_refused(self, error: UniSpawnerError) -> None:
        """Take note of a report that was not accepted."""
        name = type(error).__name__
        metrics.REPORTS_REFUSED.labels(*self._labels, name).inc()

    def note_end(self, ending: Ending) -> None:
        """Take note of how the server has ended, or that its start has failed."""
        self._since = self._queue = None
        metrics.ENDS.labels(*self._labels, ending.outcome or "unknown", ending.cause).inc()

    @property
    def _labels(self) -> tuple[str, str]:
        try:
            return self._job.monitor.labels
        except UniSpawnerError:  # a start that fails because no scheduler was found
            return "unknown", ""

    def _end_phase(self, phase: str) -> None:
        """Observe a phase, if it is one of a start that we have seen from its beginning."""
        if self._since is None:
            return
        now = time.monotonic()
        metrics.START.labels(*self._labels, phase).observe(now - self._since)
        self._since = now
