"""Finds settings that contradict each other, or that have no effect because of another one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

from traitlets.config import Config

from ...errors import UniSpawnerError
from ...profiles.reading import Profile
from ...servers.spawner import UniSpawner
from ...units import format_duration


def of_profile(profile: Profile, config: Config) -> Iterator[str]:
    """Yield what is contradictory about how many servers of a profile there may be."""
    most, each = profile.max_servers, profile.max_servers_per_user
    for name, number in (("max_servers", most), ("max_servers_per_user", each)):
        if number == 0:
            yield f"{name}: 0 lets nobody start this profile; leave the profile out, or raise it"
    if most and each and each > most:
        yield (
            f"max_servers_per_user: {each} is more than max_servers, {most}, so that nobody can "
            "have so many; lower it, or raise max_servers"
        )
    if each and each > 1 and not config.JupyterHub.get("allow_named_servers"):
        yield (
            f"max_servers_per_user: {each} has no effect, because without "
            "c.JupyterHub.allow_named_servers each user has one server only"
        )


def of_job(spawner: UniSpawner) -> Iterator[str]:
    """Yield what is contradictory about one job's settings of time."""
    report, start = spawner.report_timeout, spawner.start_timeout
    if report is not None and report >= start > 0:
        yield (
            f"report_timeout: {report:g} s is never reached, because the whole start has "
            f"start_timeout, {start:g} s, with the time in the queue; lower it, or raise "
            "start_timeout"
        )
    if spawner.extend_hook is not None and not spawner.continue_window:
        yield (
            "extend_hook: it is never called, because continue_window is 0; set continue_window to "
            "the time before the end at which users may continue"
        )
    try:
        spec = spawner.job_spec("0" * 16, environment={})
    except UniSpawnerError:
        return  # the check of the job or the profile reports it
    signal = spawner.signal_before_end
    if signal and spec.duration and spec.duration <= timedelta(seconds=signal):
        yield (
            f"signal_before_end: {signal} s is not less than the job's time limit, "
            f"{format_duration(spec.duration)}, so that the signal comes at the start; lower it"
        )


def of_pages(config: Config, template_path: str) -> Iterator[str]:
    """Yield why the Hub does not show our pages.

    Parameters
    ----------
    template_path
        The folder with our pages.
    """
    given = config.JupyterHub.get("template_paths", [])
    if hasattr(given, "get_value"):  # c.JupyterHub.template_paths.append(...)
        given = given.get_value([])
    if not isinstance(given, Iterable) or isinstance(given, str):
        return  # JupyterHub itself refuses it
    paths: list[Any] = list(given)
    if os.path.realpath(template_path) not in {os.path.realpath(str(one)) for one in paths}:
        yield (
            "c.JupyterHub.template_paths: it has not unispawner's pages, so users see JupyterHub's "
            "own home and pending pages, without cancel, log and time left; add "
            "unispawner.template_path behind the site's own folders"
        )
    for one in paths:
        if not os.path.isdir(str(one)):
            yield f"c.JupyterHub.template_paths: {one} is not a folder of this host; correct it"
