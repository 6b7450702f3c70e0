"""Which labels the metrics have; no Hub and no scheduler."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from prometheus_client import generate_latest
from prometheus_client.core import Metric

from unispawner import metrics


@pytest.mark.threat(
    who="user",
    tries="They start jobs in one queue under ever new names, so that the Hub and Prometheus keep "
    "a series for each.",
    stopped_by="A limited number of queues have labels of their own.",
)
def test_a_queue_with_many_names() -> None:
    """The first names are labels, and all others share one."""
    found = metrics.LimitedNames()
    names = [",".join(["short"] * number) for number in range(1, 1000)]
    labels = {found.label(name, "slurm", "") for name in names}
    assert metrics.MOST_NAMES + 1 == len(labels)
    assert "short" == found.label("short", "slurm", "")
    assert metrics.OTHER == found.label("new", "slurm", "")
    assert metrics.OTHER == found.label("short", "slurm", "another cluster")


@pytest.mark.parametrize("name", ["\ud800", "a\nb"])
def test_a_queue_with_a_name_that_cannot_be_sent(name: str) -> None:
    """It has no label of its own: the page of the metrics would be refused as a whole."""
    assert metrics.OTHER == metrics.LimitedNames().label(name, "slurm", "")


def test_a_job_without_a_queue() -> None:
    """Its label is empty."""
    assert "" == metrics.LimitedNames().label("", "slurm", "")


def test_metrics_that_cannot_be_computed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The page has all others, and the log says why some are missing."""

    def fail() -> Iterable[Metric]:
        yield metrics.gauge("unispawner_fine", "Fine.", (), [((), 1.0)])
        raise ValueError("a bug")

    monkeypatch.setattr(metrics._SCRAPES, "sources", [fail])
    page = generate_latest()
    assert b"unispawner_broker_starts_total" in page
    assert b"unispawner_fine" not in page
    assert "could not be computed" in caplog.text
