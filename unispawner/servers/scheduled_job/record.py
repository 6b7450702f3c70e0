"""Keeps a server's job in its user's history, and sends the user mail about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import UniSpawnerError
from .. import event_log, history, notices
from ..second_job import PairedJob
from .measures import JobMeasures


class JobRecord:
    """Notes what becomes of a job, once: in the history, in mail, in metrics and in events."""

    def __init__(self, job: PairedJob, measures: JobMeasures) -> None:
        self._job = job
        self._measures = measures
        self._knows_end = False

    def note_ready(self, *, again: bool) -> None:
        """Take note that the server is up.

        Parameters
        ----------
        again
            True if a restarted Hub has found a server that was ready before.
        """
        if not again:
            history.note_ready(self._job)
        notices.note_ready(self._job, again=again)

    @contextmanager
    def failure_noted(self) -> Iterator[None]:
        """Take note of a start that raises an error."""
        try:
            yield
        except UniSpawnerError as error:
            self._job.note_failure(error)
            ending = history.failed_start(self._job, error)
            self._measures.note_end(ending)
            event_log.note_end(self._job, ending.outcome, ending.reason, ending.cause)
            history.note_failed_start(self._job, ending)
            notices.note_end(self._job, ending)
            self._knows_end = True
            raise

    def note_end(self) -> None:
        """Take note that the Hub forgets the server, unless its start is known to have failed."""
        if self._job.state.mark and not self._knows_end:
            ending = history.find_ending(self._job)
            self._measures.note_end(ending)
            event_log.note_end(self._job, ending.outcome, ending.reason, ending.cause)
            history.note_end(self._job, ending)
            notices.note_end(self._job, ending)
        event_log.note_end(self._job, "refused")  # of a start that was cancelled before its job

    def note_log(self, mark: str, log: str) -> None:
        """Keep the end of the log of a job that has failed."""
        history.note_log(self._job, mark, log)
