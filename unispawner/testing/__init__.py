"""Test without a cluster: a fake scheduler whose queue a test controls, and a fake agent.

:mod:`unispawner.testing.conformance` tests a real scheduler, or a set of templates, on a site's own
cluster; see docs/adding-a-scheduler.md. Names are imported when first asked for (PEP 562): pytest
imports this package to find that plugin, and must not pay for the rest.

unispawner's own tests use the fakes, and so can those of a site's configuration or of an
extension::

    from unispawner import JobSpec, JobState
    from unispawner.monitor.monitor import Monitor
    from unispawner.monitor.tracked_job import TrackedJob
    from unispawner.submit_host.host import SubmitHost
    from unispawner.testing import FakeScheduler, fake_client

    scheduler = FakeScheduler(tmp_path)
    client = fake_client(scheduler, "alice")
    monitor = Monitor(scheduler, SubmitHost(), {}, 15.0)
    job = TrackedJob(await client.submit(JobSpec(), "/bin/sh"), client)
    monitor.track(job, submitted=True)
    scheduler.change(job.job_id, JobState.RUNNING, exec_host="node1")
    await monitor.refresh(10)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .fake import FakeScheduler, FakeUserSide, fake_client
    from .saved import read_saved_reply

_WHERE = {
    "FakeScheduler": ".fake",
    "FakeUserSide": ".fake",
    "fake_client": ".fake",
    "read_saved_reply": ".saved",
}

__all__ = ["FakeScheduler", "FakeUserSide", "fake_client", "read_saved_reply"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
