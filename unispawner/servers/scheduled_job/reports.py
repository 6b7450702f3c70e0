"""What a server's job says of itself: that it runs, where its server listens, that it has ended."""

from __future__ import annotations

import time
from functools import partial

from ...errors import InvalidJobError, SchedulerUnavailable, UniSpawnerError
from ...monitor.tracked_job import TrackedJob
from ...web import bookkeeping, words
from ...web.reports import Report, ServerEnd
from .. import event_log
from ..address import ask_for_host, check_address, find_exec_host
from ..node_certificates import NodeCertificates
from ..own_place import OwnPlace
from ..second_job import PairedJob
from .measures import JobMeasures


class JobReports:
    """Takes the reports of a job, each as far as the scheduler confirms it.

    Attributes
    ----------
    own_place
        Where the server listens, if that is on the Hub's own host.
    certificates
        What the job's servers get with ``internal_ssl``.
    """

    def __init__(self, job: PairedJob, measures: JobMeasures) -> None:
        self._job = job
        self._measures = measures
        self.own_place = OwnPlace(job, self._note_refusal)
        self.certificates = NodeCertificates(job, self._is_ending)

    # -- it runs ---------------------------------------------------------------------------------

    async def take_begin(self, host: str, peer: str) -> dict[str, str]:
        """Ask soon about a job that says that it runs; return its certificate, if it needs one."""
        job = self._job.tracked
        if job is not None:  # else it is asked for as soon as it has an id
            job.server_ended = job.had_server = False  # the job was run again
            if find_exec_host(job) is None:
                job.note_begin()
                self._job.monitor.want(job)
        if not self.certificates.needed:
            return {}
        if job is None:
            raise SchedulerUnavailable(words.STILL_SUBMITTING)
        try:
            certificate = await self.certificates.issue(job, self._job.monitor, host, peer)
        except UniSpawnerError as error:
            self._note_failed_report(job, error)
            raise
        job.refusal = ""
        return {"certificate": certificate}

    def _is_ending(self, job: TrackedJob) -> bool:
        """Return whether a job is being ended, or is not this server's any more."""
        return self._job.state.stopping or job.stopping or job.final or not self._follows(job)

    def _follows(self, job: TrackedJob) -> bool:
        return self._job.is_current() and self._job.tracked is job

    # -- its server listens ----------------------------------------------------------------------

    async def take_report(self, report: Report) -> None:
        """Save where the server listens.

        It raises what :meth:`unispawner.web.reports.TakesReports.take_report` says.
        """
        job = self._job.tracked
        if job is None:
            raise SchedulerUnavailable(words.STILL_SUBMITTING)
        if job.being_reported:
            raise SchedulerUnavailable(words.REPORT_UNDER_CHECK)
        job.being_reported = True
        self._job.expect_server()
        try:
            address = await self._check(job, report)
        except UniSpawnerError as error:
            self._note_failed_report(job, error)
            raise
        finally:
            job.being_reported = False
        self._measures.note_reported()
        event_log.note_started(self._job)
        await self._lead_to(job, address, report)

    async def _check(self, job: TrackedJob, report: Report) -> str:
        """Return the address of the job's server; raise what :meth:`take_report` raises."""
        spawner = self._job.spawner
        await ask_for_host(job, self._job.monitor)
        address = await check_address(
            job,
            report.host,
            spawner.host_map,
            self._job.monitor,
            asker=spawner.user.name,
            on_own_host=partial(self.own_place.find, report),
            peer=report.peer,
        )
        await self.certificates.check_server(address, report.port)
        if not self._follows(job) or self._job.has_just_ended(report):
            raise SchedulerUnavailable(words.JOB_MOVED)
        return address

    async def _lead_to(self, job: TrackedJob, address: str, report: Report) -> None:
        """Save the address, and have users sent to it."""
        state = self._job.state
        state.host, state.port = address, report.port
        state.reported_host, state.run_start = report.host or "", None
        job.server_ended, job.had_server = False, True
        job.reported, job.reported_at, job.run_start = True, time.monotonic(), None
        job.refusal = ""
        job.notify()
        if self._job.has_route and bookkeeping.outer(self._job.spawner).ready:
            await self._job.move_route(address, report.port)
            event_log.note_ready(self._job)
            return
        await self._job.commit_soon()  # before the launcher believes that it has reported
        routed = self._job.spawner.server_job
        if self._job.is_second and not routed.state.port:  # the first job has no server any more
            await routed.second.take_over_if_ready()

    # -- its server has ended --------------------------------------------------------------------

    async def note_end(self, job: TrackedJob, end: ServerEnd, *, led_there: bool) -> None:
        """Ask soon whether a job has ended whose server has, now that no user is sent to it.

        Parameters
        ----------
        led_there
            True if users were sent to that server.
        """
        if led_there or job.stopping:
            job.note_server_end(end.status)
        self._job.monitor.want(job)
        if led_there:
            await self._job.second.take_over_if_ready()

    # -- why a report does not count -------------------------------------------------------------

    def _note_failed_report(self, job: TrackedJob, error: UniSpawnerError) -> None:
        """Note why a report did not count, for the job's user, unless it only came too early."""
        if isinstance(error, InvalidJobError):
            self._job.monitor.want(job)  # it may have been run again elsewhere; it reports again
            self._measures.note_refused(error)
            job.note_refusal(error.message)
        elif error.message not in words.REPORT_LATER:
            self._measures.note_refused(error)
            job.note_refusal(error.message)

    def _note_refusal(self, why: str) -> None:
        if self._job.tracked is not None:
            self._job.tracked.note_refusal(why)
