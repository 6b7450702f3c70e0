"""When the server of a choice would start, and which smaller choice would start it sooner."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..errors import UniSpawnerError
from ..job import JobState
from ..schedulers.estimate import Outlook, StartEstimate
from ..servers.spawner import UniSpawner
from ..servers.start_time import START_TIMES, estimate_start
from ..web.availability import availability
from ..web.start_time import Sooner, StartAnswer
from .children import ChildFactory
from .profile import Chosen
from .smaller_choices import Variant, smaller_variants

MOST_ASKED = 3
"""About how many smaller choices the scheduler is asked at most."""
SURELY_WAITS = 60.0
"""After so many seconds in the queue a job without an estimated start has to wait for something."""
_FIRST = (Outlook.NOW, Outlook.PERHAPS, Outlook.UNKNOWN, Outlook.NOT_NOW)
"""Smaller choices are asked about in this order of what the inventory says."""


async def find_start_time(factory: ChildFactory, chosen: Chosen) -> StartAnswer:
    """Return when the server of a choice would start, and how it would start sooner.

    Raises
    ------
    UniSpawnerError
        If the choice makes no job.
    """
    child = await _make_child(factory, chosen)
    if child is None:
        return StartAnswer()
    with START_TIMES.of(child.user.settings).request(child.user.name) as is_newest:
        estimate = await estimate_start(child)
        sooner = None
        if estimate.waits_long(time.time()):
            sooner = await _find_sooner(factory, chosen, estimate, is_newest)
        return StartAnswer(estimate, sooner, child.get_scheduler().title)


async def find_sooner_start(factory: ChildFactory, chosen: Chosen, job: Any) -> StartAnswer:
    """Return which smaller choice would start sooner than a job that waits.

    Parameters
    ----------
    chosen
        The choice of which the job was made.
    job
        The :class:`.ScheduledJob`.
    """
    info = job.tracked.info if job.tracked is not None else None
    if info is None or info.state is not JobState.QUEUED:
        return StartAnswer()
    spawner, now = job.spawner, time.time()
    estimate = StartEstimate()
    if info.estimated_start is not None:
        estimate = StartEstimate.at(info.estimated_start, now)
    elif now - (job.state.waiting_since or now) > SURELY_WAITS:
        estimate = StartEstimate(Outlook.NOT_NOW)
    if not spawner.get_scheduler().smaller_may_start(info) or not estimate.waits_long(now):
        return StartAnswer(estimate)
    with START_TIMES.of(spawner.user.settings).request(spawner.user.name) as is_newest:
        return StartAnswer(estimate, await _find_sooner(factory, chosen, estimate, is_newest))


async def _find_sooner(
    factory: ChildFactory, chosen: Chosen, estimate: StartEstimate, is_newest: Callable[[], bool]
) -> Sooner | None:
    """Return the smaller choice that starts first, if that is much sooner."""
    variants = list(smaller_variants(chosen, factory.default_fields()))
    children = [(one, await _make_child(factory, one.chosen)) for one in variants]
    candidates = [(_guess(child), one, child) for one, child in children if child is not None]
    best: Sooner | None = None
    for _, variant, child in sorted(candidates, key=lambda one: _FIRST.index(one[0]))[:MOST_ASKED]:
        if not is_newest():
            return None  # the user looks at another choice by now
        found = await _estimate(variant, child)
        if found.is_much_sooner(best.estimate if best else estimate, time.time()):
            best = Sooner(variant.words, variant.chosen.user_options, found)
        if found.outlook is Outlook.NOW:
            break
    return best


async def _estimate(variant: Variant, child: UniSpawner) -> StartEstimate:
    try:
        return await estimate_start(child)
    except UniSpawnerError:
        return StartEstimate()


def _guess(child: UniSpawner) -> Outlook:
    """Return what the inventory says about a choice, without asking anybody."""
    found = availability(child)
    if found is None:
        return Outlook.UNKNOWN
    spec = child.job_spec("", environment={})
    return found.estimate_start(spec, child.get_scheduler()).outlook


async def _make_child(factory: ChildFactory, chosen: Chosen) -> UniSpawner | None:
    """Return a spawner as a start with this choice would make it; None if it submits no job."""
    child = factory.make_idle(chosen.fields)
    if not isinstance(child, UniSpawner):
        return None
    child.profile_slug = factory.profile.slug
    await child.apply_group_overrides()
    return child
