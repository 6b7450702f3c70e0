"""The report of ``unispawner reap``, as text and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from ...errors import clean_output
from ...job import hub_of_mark, start_of_mark
from .judge import MEANINGS, FoundJob, Kind
from .places import Problem

_COLUMNS = ("CLUSTER", "ACCOUNT", "JOB", "STATE", "STARTED", "MARK", "WHAT")
_WIDEST = 40


@dataclass
class Report:
    """What was found and done.

    Attributes
    ----------
    hub_id
        The Hub's id.
    source
        Who said which starts the Hub knows: ``hub`` or ``database``.
    jobs
        All jobs with a mark; only those that no server owns are listed.
    problems, notes
        What could not be asked, and what is never listed.
    accounts, places, without_account
        How many accounts were asked on which clusters, and which names have none.
    """

    hub_id: str
    source: str
    jobs: list[FoundJob] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    accounts: int = 0
    places: list[str] = field(default_factory=list)
    without_account: Collection[str] = ()

    @property
    def listed(self) -> list[FoundJob]:
        """The jobs that no server owns, of this Hub or perhaps of this Hub."""
        return [one for one in self.jobs if one.kind in MEANINGS]

    @property
    def orphans(self) -> list[FoundJob]:
        """The jobs that may be ended."""
        return [one for one in self.jobs if one.kind is Kind.ORPHAN]

    @property
    def status(self) -> int:
        """The exit status: 4 if something could not be asked, 3 if jobs are left, else 0."""
        if self.problems:
            return 4
        return 3 if any(one.result != "ended" for one in self.orphans) else 0

    def to_json(self) -> str:
        """Return the report as JSON."""
        return json.dumps(
            {
                "hub_id": self.hub_id,
                "source": self.source,
                "jobs": [_job_to_dict(one) for one in self.listed],
                "owned": self._count(Kind.OWNED),
                "other_hubs": self._count(Kind.OTHER_HUB),
                "accounts": self.accounts,
                "clusters": self.places,
                "without_account": sorted(self.without_account),
                "errors": [
                    {"cluster": one.place, "account": one.account, "message": one.message}
                    for one in self.problems
                ],
                "notes": self.notes,
            },
            indent=2,
        )

    def _count(self, kind: Kind) -> int:
        return sum(one.kind is kind for one in self.jobs)

    def table(self) -> Iterator[str]:
        """Yield the lines of the table, and what its last column means."""
        rows = [_row(one) for one in self.listed]
        if not rows:
            yield f"No job of Hub {self.hub_id} is without a server."
            return
        widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
        for row in (_COLUMNS, *rows):
            yield "  ".join(map(str.ljust, row, widths)).rstrip()
        yield ""
        for kind, count in Counter(one.kind for one in self.listed).items():
            yield f"{count} {kind.value}: {MEANINGS[kind]}"

    def summary(self) -> Iterator[str]:
        """Yield the lines about what was asked."""
        others, where = self._count(Kind.OTHER_HUB), ", ".join(self.places) or "no cluster"
        yield (
            f"Asked {_count(self.accounts, 'account')} on {where}: "
            f"{_count(self._count(Kind.OWNED), 'job')} of servers"
            + (f", {_count(others, 'job')} of other Hubs, left alone." if others else ".")
        )
        if self.without_account:
            names = ", ".join(clean_output(name, _WIDEST) for name in sorted(self.without_account))
            yield f"Without an account that may have servers: {names}"
        yield from self.notes

    def errors(self) -> Iterator[str]:
        """Yield a line for everything that could not be asked."""
        for one in self.problems:
            where = ", ".join(filter(None, (one.place, clean_output(one.account, _WIDEST))))
            message = clean_output(one.message).replace("\n", "\n  ")
            yield f"error: {where}{': ' if where else ''}{message}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _row(found: FoundJob) -> Sequence[str]:
    job = found.job
    cells = (found.place, found.account, job.job_id, _state(found), _started(job.mark), job.mark)
    what = found.kind.value + (f": {found.result}" if found.result else "")
    return [*(_cell(text, _WIDEST) for text in cells), _cell(what, 200)]


def _cell(text: str, longest: int) -> str:
    """Return foreign text for one cell of the table."""
    return clean_output(text[:longest]).replace("\n", " ")


def _state(found: FoundJob) -> str:
    info = found.job.info
    return f"{info.state.value.lower()}{' on ' + info.exec_host if info.exec_host else ''}"


def _started(mark: str) -> str:
    """Return when a start began, in UTC; marks of older releases do not say it."""
    if not hub_of_mark(mark):
        return "?"
    moment = datetime.fromtimestamp(start_of_mark(mark), timezone.utc)
    return moment.strftime("%Y-%m-%d %H:%MZ")


def _job_to_dict(found: FoundJob) -> dict[str, Any]:
    job = found.job
    return {
        "cluster": found.place,
        "account": found.account,
        "job_id": job.job_id,
        "mark": job.mark,
        "started": start_of_mark(job.mark) if hub_of_mark(job.mark) else None,
        "state": job.info.state.value,
        "exec_host": job.info.exec_host,
        "kind": found.kind.value,
        "result": found.result,
    }
