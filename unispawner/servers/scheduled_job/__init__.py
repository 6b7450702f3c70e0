"""The job of a UniSpawner's server: what JupyterHub asks about it, and what becomes of it.

===========  ======================================================================================
``job``      ScheduledJob, which consists of the following parts
``start``    waits until its server has reported, and says why it never will
``reports``  what the job itself says: it runs, its server listens there, its server has ended
``news``     what the scheduler says: the job has ended, or runs again elsewhere
``end``      cancels the job until the scheduler has confirmed its end
``restart``  finds the job again after a restart of the Hub
``record``   what the user's history keeps of it, and which mail the user gets
``measures`` what /hub/metrics learns of it
``log``      the job's log, read as the user
===========  ======================================================================================

Each part is an object with a state of its own. It knows the job as a
:class:`..second_job.PairedJob`, and other parts only if it is made with them.
"""

from __future__ import annotations

from .job import ScheduledJob

__all__ = ["ScheduledJob"]
