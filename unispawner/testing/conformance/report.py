"""The report at the end: what held, what did not, and what was left out, each in plain words."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from ...errors import InvalidJobError, clean_output
from .choice import make_spawner, read_choice
from .fixtures import LEFT, SITE

_DOC = "doc"
_LONGEST = 500
"""How many characters are shown of what was seen."""


def pytest_configure(config: pytest.Config) -> None:
    """Check the options, and the settings that they mean, before anything runs."""
    try:
        spawner = make_spawner(read_choice(config))
        if spawner.scheduler != "auto":
            spawner.scheduler_named(spawner.scheduler).check_set_up()
    except InvalidJobError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_itemcollected(item: pytest.Item) -> None:
    """Note a check's own words in its report."""
    doc = inspect.getdoc(getattr(item, "obj", None)) or item.name
    item.user_properties.append((_DOC, doc))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the checks of the dialect first: while the first job runs, the list of jobs has one."""
    items.sort(key=lambda item: "test_cluster" in item.nodeid)


def words_of(doc: str) -> tuple[str, str]:
    """Return what a check requires and why, from its docstring."""
    required, _, why = doc.partition("Why:")
    return " ".join(required.split()), " ".join(why.split())


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the report."""
    out = terminalreporter
    stats = out.stats
    passed = [one for one in stats.get("passed", []) if one.when == "call"]
    wrong = [*stats.get("failed", []), *stats.get("error", [])]
    skipped = stats.get("skipped", [])
    out.section("conformance of a scheduler")
    if site := config.stash.get(SITE, None):
        out.write_line(site.title)
        if site.left_over:
            out.write_line(f"{site.left_over} jobs that an earlier run had left were ended first.")
    for one in passed:
        if saw := _saw(one):
            out.write_line(f"held      {words_of(_doc(one))[0]}")
            out.write_line(f"          seen: {saw}")
    for reason, checks in _by_reason(skipped).items():
        out.write_line(f"left out  {reason}:")
        for doc in checks:
            out.write_line(f"          - {words_of(doc)[0]}")
    for one in wrong:
        required, why = words_of(_doc(one))
        out.write_line(f"FAILED    {one.nodeid.rpartition('::')[2]}")
        out.write_line(f"          required: {required}")
        out.write_line(f"          why: {why}")
        out.write_line(f"          seen: {_saw(one) or _crash(one)}")
    left = config.stash.get(LEFT, [])
    for problem in left:
        out.write_line(f"LEFT BEHIND: {problem}")
    total = len(passed) + len(wrong) + len(skipped)
    out.write_line(
        f"{len(passed)} of {total} checks held, {len(wrong)} failed, {len(skipped)} were left out"
        + ("" if left or not site else "; all jobs of the suite are removed")
    )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End with an error if a job could not be removed."""
    if session.config.stash.get(LEFT, []) and session.exitstatus == 0:
        session.exitstatus = 1


def _property(report: Any, name: str) -> str:
    found = [str(value) for key, value in report.user_properties if key == name]
    return "; ".join(found)


def _doc(report: Any) -> str:
    return _property(report, _DOC)


def _saw(report: Any) -> str:
    """Return what a check has seen, which may be the words of a scheduler or of a job."""
    return " ".join(clean_output(_property(report, "saw"), _LONGEST).split())


def _crash(report: Any) -> str:
    """Return the first line of a failure."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else str(report.longrepr)
    return clean_output(text.strip().splitlines()[0], _LONGEST) if text.strip() else "see above"


def _by_reason(reports: list[Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in reports:
        reason = one.longrepr[2] if isinstance(one.longrepr, tuple) else str(one.longrepr)
        reason = str(reason).removeprefix("Skipped: ")
        docs = found.setdefault(reason, [])
        if _doc(one) not in docs:
            docs.append(_doc(one))
    return found
