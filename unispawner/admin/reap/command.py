"""``unispawner reap``: the order in which accounts, the Hub and the administrator are asked."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time

from traitlets.config import Config

from ...errors import InvalidJobError, UniSpawnerError
from ...legacy import BatchSpawnerBase
from ...submit_host.host import LONGEST_WAIT
from ...units import parse_duration
from ..configured_spawner import class_or_unispawner, load_config, spawner_for_nobody
from ..secret_files import read_secret
from .accounts import Accounts
from .judge import FoundJob, Judge, Kind
from .known import (
    TOKEN,
    KnowsStarts,
    RunningHub,
    SavedHub,
    check_same_hub,
    find_hub_id,
    find_listener,
    find_url,
    read_hub,
)
from .output import Report
from .places import Place, Problem, find_places, make_names_unique

_SUBMISSION_MARGIN = 60.0
"""Seconds that a submission may take longer than the wait for its turn and ``agent_timeout``."""


def run(options: argparse.Namespace) -> int:
    """List the jobs that no server owns, end them if that is asked for, and report."""
    for logger in ("JupyterHub.unispawner", "traitlets"):  # it is in the report as well
        logging.getLogger(logger).addHandler(logging.NullHandler())
    if options.cancel and options.json and not options.yes:
        raise InvalidJobError("--json: with --cancel it needs --yes, because it asks no question")
    return asyncio.run(_Reaper(options).run())


class _Reaper:
    """One run of the command."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._config: Config = load_config(options.config)
        self._spawner = spawner_for_nobody(
            class_or_unispawner(self._config), self._config, options.config
        )
        if isinstance(self._spawner, BatchSpawnerBase):
            name = type(self._spawner).__name__
            raise InvalidJobError(
                f"c.JupyterHub.spawner_class: jobs of {name} have no marks, so those of this Hub "
                "can't be distinguished from others"
            )
        self._hub = read_hub(self._config, options.config)

    async def run(self) -> int:
        knows = await self._find_hub()
        first = await knows.ask()
        check_same_hub(first, self._hub_id())
        report = Report(first.hub_id, knows.name)
        places = await find_places(self._spawner, report.problems, report.notes)
        places = list(make_names_unique(places))
        oldest = self._find_oldest(places)
        accounts = Accounts(places, self._options.at_once, self._options.timeout)
        accounts.problems = report.problems
        only = self._options.account
        accounts.add_users(first.users, only)
        saved = sorted({one.account for one in first.starts} - {""})
        accounts.add_accounts(only or saved)
        report.jobs = await accounts.list_jobs()
        report.accounts, report.places = accounts.count, [one.name for one in places]
        report.without_account = accounts.without_account
        # Not before: a start that begins between the two is known by the time its job is listed.
        await self._judge(knows, accounts, report.jobs, oldest)
        if not self._options.json:
            print("\n".join(report.table()))
        if self._options.cancel and report.orphans and self._confirm(report.orphans):
            await self._end(knows, accounts, report, oldest)
        self._print(report)
        return report.status

    async def _find_hub(self) -> KnowsStarts:
        """Return who knows the starts."""
        options = self._options
        if options.no_hub:
            await self._check_no_hub()
            return SavedHub(self._hub, self._hub_id())
        token = read_secret(options.token_file, TOKEN, "--token-file")
        return RunningHub(options.hub_url or find_url(self._hub), token)

    def _hub_id(self) -> str:
        return find_hub_id(self._config, self._hub, type(self._spawner))

    async def _check_no_hub(self) -> None:
        url = self._options.hub_url or ""
        found = url if url and await RunningHub(url, "").answers() else ""
        found = found or await find_listener(self._hub)
        if found:
            raise InvalidJobError(
                f"--no-hub: something answers at {found}. A Hub that runs knows more than its "
                "database: leave --no-hub out, or stop the Hub"
            )

    def _find_oldest(self, places: list[Place]) -> float:
        """Return how long (seconds) a start may be in progress.

        Raises
        ------
        InvalidJobError
            If --older-than is less than a submission may take.
        """
        spawners = [one.spawner for one in places] or [self._spawner]
        timeouts = [float(getattr(one, "agent_timeout", 0.0)) for one in spawners]
        least = LONGEST_WAIT + max(timeouts) + _SUBMISSION_MARGIN
        if self._options.older_than is None:
            return max(least, *(float(one.start_timeout) for one in spawners))
        chosen = parse_duration(self._options.older_than, "--older-than").total_seconds()
        if chosen < least:
            raise InvalidJobError(
                f"--older-than: {self._options.older_than!r} is less than the {least:g} s that a "
                "submission may take; choose a longer time"
            )
        return chosen

    async def _judge(
        self, knows: KnowsStarts, accounts: Accounts, jobs: list[FoundJob], oldest: float
    ) -> None:
        Judge(await knows.ask(), accounts.users, time.time(), oldest).judge_all(jobs)

    def _confirm(self, orphans: list[FoundJob]) -> bool:
        """Return whether the administrator wants these jobs ended."""
        if self._options.yes:
            return True
        if not sys.stdin.isatty():
            print("Nothing was ended: add --yes to --cancel.", file=sys.stderr)
            return False
        answer = input(f"\nEnd {len(orphans)} job(s) of kind {Kind.ORPHAN.value}? [y/N] ")
        return answer.strip().lower() in ("y", "yes")

    async def _end(
        self, knows: KnowsStarts, accounts: Accounts, report: Report, oldest: float
    ) -> None:
        """End the orphans that are still orphans: an answer may have taken its time."""
        orphans = report.orphans
        try:
            if self._options.no_hub:
                await self._check_no_hub()
            await self._judge(knows, accounts, report.jobs, oldest)
        except UniSpawnerError as error:
            report.problems.append(Problem(f"Nothing was ended: {error}"))
            return
        await accounts.end([one for one in orphans if one.kind is Kind.ORPHAN])

    def _print(self, report: Report) -> None:
        if self._options.json:
            print(report.to_json())
            return
        if self._options.cancel and any(one.result for one in report.orphans):
            print("")
            for one in report.orphans:
                print(f"{one.place}: job {one.job.job_id} of {one.account}: {one.result}")
        print("\n".join(report.summary()))
        print("".join(f"{line}\n" for line in report.errors()), end="", file=sys.stderr)
