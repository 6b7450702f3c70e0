"""What JupyterHub's page /hub/metrics says of servers' jobs and of their schedulers.

The metrics are in prometheus_client's own registry, as JupyterHub's are, so that one page has both.
No label has the name of a user or the id of a job: Prometheus keeps a series for each value. A
queue and a profile become labels when a scheduler has run a job with them. One queue may have many
names, such as ``a,b`` and ``b,a`` in Slurm, or ``all.q@node1`` in Grid Engine, and a profile may
let users type the name. A function of the site may make other profiles for each user. So only a
limited number of names become labels. docs/watch.md lists all metrics.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

log = logging.getLogger("JupyterHub.unispawner")  # with the Hub's own handlers

_MINUTE, _HOUR = 60.0, 3600.0
QUEUE_BUCKETS = (
    *(10.0, 30.0, _MINUTE, 2 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 30 * _MINUTE),
    *(_HOUR, 2 * _HOUR, 4 * _HOUR, 8 * _HOUR, 12 * _HOUR, 24 * _HOUR),
)
"""Seconds that a job waits in its queue: from what nobody notices to a day."""
COMMAND_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
PHASE_BUCKETS = (
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, _MINUTE, 2 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE),
    *(_HOUR, 4 * _HOUR, 24 * _HOUR),
)

QUEUE_WAIT = Histogram(
    "unispawner_queue_wait_seconds",
    "How long jobs of servers waited, from their submission until they ran.",
    ("scheduler", "cluster", "queue", "profile"),
    buckets=QUEUE_BUCKETS,
)
START = Histogram(
    "unispawner_start_seconds",
    "How long each phase of a start took: submit (from the click until the scheduler has the job), "
    "queue (until the job runs), boot (until the server has reported where it listens), ready "
    "(until JupyterHub has reached it).",
    ("scheduler", "cluster", "phase"),
    buckets=PHASE_BUCKETS,
)
ENDS = Counter(
    "unispawner_ends",
    "How servers ended: outcome is stopped, ended, failed, refused (there was no job) or unknown; "
    "cause says more, such as time_limit, memory or preempted, where the scheduler does.",
    ("scheduler", "cluster", "outcome", "cause"),
)
REQUEUES = Counter(
    "unispawner_requeues",
    "How often a job with a server was run again elsewhere.",
    ("scheduler", "cluster"),
)
RESUMED = Counter(
    "unispawner_resumed",
    "What a restarted Hub has found again: a server that runs, or a start that goes on.",
    ("scheduler", "cluster", "what"),
)
REPORTS_REFUSED = Counter(
    "unispawner_reports_refused",
    "How many reports of jobs were not accepted: error is InvalidJobError for one that can't be "
    "right, such as that of a host that is not the job's; NotAServer (a token of no server), "
    "BadRequest or TooOften, without a scheduler, for what is refused at once; and otherwise the "
    "kind of what kept the Hub from checking it.",
    ("scheduler", "cluster", "error"),
)
QUESTIONS = Histogram(
    "unispawner_scheduler_question_seconds",
    "How long questions to a scheduler took, with all their commands. The outcome is ok or the "
    "kind of the error.",
    ("scheduler", "question", "outcome"),
    buckets=COMMAND_BUCKETS,
)
AGENT = Histogram(
    "unispawner_agent_seconds",
    "How long actions as a user took: submit, cancel, find and others. The outcome is ok or the "
    "kind of the error.",
    ("scheduler", "action", "outcome"),
    buckets=COMMAND_BUCKETS,
)
BROKER_STARTS = Counter(
    "unispawner_broker_starts", "How often a broker was started, here or at the end of ssh."
)
PROFILES_FILE = Gauge(
    "unispawner_profiles_file_ok",
    "Whether c.ProfilesSpawner.profiles_file was right when it was last read: 1, or 0 while the "
    "Hub goes on with the profiles of before.",
    ("file",),
)

MOST_NAMES = 100
"""How many queues of all clusters, and how many profiles, have labels of their own; what comes
later is OTHER."""
OTHER = "(other)"


class LimitedNames:
    """The names of one kind that are labels: the first ones that are asked for."""

    def __init__(self) -> None:
        self._known: set[tuple[str, ...]] = set()

    def label(self, name: str, *within: str) -> str:
        """Return the label of a name, which is unique within some others."""
        one = (*within, name)
        # A page with half a character could not be sent, and no other metric either.
        if name.isprintable() and one not in self._known and len(self._known) < MOST_NAMES:
            self._known.add(one)
        return name if one in self._known else OTHER


QUEUES = LimitedNames()
"""The queues in which jobs have run."""
PROFILES = LimitedNames()
"""The profiles with which jobs have run."""


@contextmanager
def measured(histogram: Histogram, *labels: str) -> Iterator[None]:
    """Measure some work; the last label is its outcome: ok, or the name of the error's class."""
    began = time.monotonic()
    outcome = "ok"
    try:
        yield
    except BaseException as error:  # also what is cancelled; it is raised again
        outcome = type(error).__name__
        raise
    finally:
        histogram.labels(*labels, outcome).observe(time.monotonic() - began)


class _OfScrapes(Collector):
    """Metrics that are computed when somebody asks for them, from what is in memory."""

    def __init__(self) -> None:
        self.sources: list[Callable[[], Iterable[Metric]]] = []

    def collect(self) -> Iterable[Metric]:
        for source in self.sources:
            try:
                yield from list(source())
            except Exception:  # a bug here must not take all other metrics from the page
                log.exception("Some metrics of /hub/metrics could not be computed")


_SCRAPES = _OfScrapes()
REGISTRY.register(_SCRAPES)


def add_source(source: Callable[[], Iterable[Metric]]) -> None:
    """Have a function called at each scrape. It must answer at once, from memory."""
    _SCRAPES.sources.append(source)


def gauge(
    name: str, text: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    """Return a gauge with its values at this moment."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for of_labels, value in values:
        family.add_metric(of_labels, value)
    return family
