"""What /hub/metrics says of the jobs that are followed, from the monitors' memory."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily

from .. import metrics
from .monitor import monitors


def collect() -> Iterable[GaugeMetricFamily]:
    """Return how many jobs are in which state, and how old the last status of each cluster is."""
    followed = [one for one in monitors() if one.jobs]
    jobs: Counter[tuple[str, ...]] = Counter()
    for monitor in followed:
        for job in monitor.jobs:
            state = job.info.state.name.lower() if job.info else "unknown"
            jobs.update([(*monitor.labels, state)])
    yield metrics.gauge(
        "unispawner_jobs",
        "Jobs of servers that are followed, by their state.",
        ("scheduler", "cluster", "state"),
        jobs.items(),
    )
    now = time.monotonic()
    yield metrics.gauge(
        "unispawner_status_age_seconds",
        "How long ago a scheduler has last answered about all jobs; only while there are jobs.",
        ("scheduler", "cluster"),
        ((one.labels, now - one.answered_at) for one in followed),
    )
