"""The log of a server's job, read as the user."""

from __future__ import annotations

from ...errors import UniSpawnerError
from ...web import words
from ..second_job import PairedJob

_LAST_LINES = 20


class JobLog:
    """The log of a job, which its user's own side may have written."""

    def __init__(self, job: PairedJob) -> None:
        self._job = job

    async def read(self, lines: int) -> tuple[str, int]:
        """Return the last lines of the log, and its size in bytes.

        Raises
        ------
        UniSpawnerError
            If it can't be read now.
        """
        return await (await self._job.client()).log_end(self._job.state.mark, lines)

    async def read_end(self, mark: str = "") -> str:
        """Return the end of the log for an error's message, or why it can't be read.

        Parameters
        ----------
        mark
            The job's mark, if the job may have been forgotten meanwhile. Default: that of now.
        """
        try:
            client = await self._job.client()
            return await client.log_tail(mark or self._job.state.mark, _LAST_LINES)
        except UniSpawnerError as error:
            return words.no_log(error)
