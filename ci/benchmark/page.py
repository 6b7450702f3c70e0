"""The tables of docs/performance.md, and how a run writes them between two marks: pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from .figures import Load, Minute, Results, median, percentile, ratio

FLOOR = "floor"
BEGIN = "<!-- {name}: written by {by} -->"
END = "<!-- end of {name} -->"

Rows = Iterable[Sequence[str]]


def replace_between(page: str, name: str, text: str, by: str = "ci/bench") -> str:
    """Return the page with this text between the two marks of a name; `by` is the command.

    Raises
    ------
    ValueError
        If the page does not have each mark once, in this order.
    """
    begin, end = BEGIN.format(name=name, by=by), END.format(name=name)
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(end) < page.index(begin):
        raise ValueError(f"the page must have {begin!r} once, and {end!r} once after it")
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{rest.partition(end)[2]}"


def make_table(head: Sequence[str], rows: Rows) -> str:
    """Return a table in Markdown; all columns but the first are numbers, to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def seconds(value: float, digits: int = 2) -> str:
    """Return seconds as text; empty if they are not known."""
    return "" if math.isnan(value) else f"{value:.{digits}f} s"


def milliseconds(value: float) -> str:
    return "" if math.isnan(value) else f"{1000 * value:.0f} ms"


def against(text: str, value: float, floor: float) -> str:
    """Return the text of a value, with how many times the floor it is."""
    times = ratio(value, floor)
    return text if math.isnan(times) else f"{text} ({times:.2f} ×)"


def load_table(loads: dict[str, Load], titles: dict[str, str]) -> str:
    """Return the table of one number of users, a row for each candidate."""
    floor = loads.get(FLOOR, Load())

    def cell(load: Load, take: Callable[[Load], Sequence[float]]) -> str:
        value = median(take(load))
        times = math.nan if load is floor else median(take(floor))
        return against(seconds(value), value, times)

    head = ["", "ready, API", "ready, proxy", "worst", "stopped", "worst", "CPU start"]
    head += ["CPU stop", "API p50", "API p99", "longest stall"]
    rows = []
    for name, load in loads.items():
        rows.append(
            [
                titles[name],
                cell(load, lambda one: one.api_ready),
                cell(load, lambda one: one.ready),
                seconds(max(load.ready, default=math.nan)),
                cell(load, lambda one: one.stopped),
                seconds(max(load.stopped, default=math.nan)),
                cell(load, lambda one: one.start_cpu),
                cell(load, lambda one: one.stop_cpu),
                milliseconds(percentile(load.api, 50)),
                milliseconds(percentile(load.api, 99)),
                milliseconds(load.stall) if load.api else "",
            ]
        )
    return make_table(head, rows)


def minutes_table(results: Results, titles: dict[str, str]) -> str:
    """Return the table of what a Hub does in a minute."""
    head = ["in one minute", "20 start: listings", "single", "20 held: listings", "single"]
    head += ["processes", "CPU", "50 wait: listings", "single"]

    def questions(minute: Minute | None) -> list[str]:
        return [f"{minute.listings:.0f}", f"{minute.singles:.0f}"] if minute else ["", ""]

    rows = []
    for name in dict.fromkeys([*results.starting, *results.held, *results.waiting]):
        held = results.held.get(name)
        processes = held.processes if held else None
        cpu = held.cpu if held else None
        rows.append(
            [
                titles[name],
                *questions(results.starting.get(name)),
                *questions(held),
                "" if processes is None else f"{processes:.0f}",
                "" if cpu is None else seconds(cpu, 1),
                *questions(results.waiting.get(name)),
            ]
        )
    return make_table(head, rows)


def tables(results: Results, titles: dict[str, str]) -> str:
    """Return all tables, each with its heading."""
    parts = []
    for size, loads in sorted(results.loads.items()):
        users = "1 user" if size == 1 else f"{size} users at once"
        parts += [f"### {users}", load_table(loads, titles)]
    if results.held or results.waiting:
        parts += ["### A minute without starts", minutes_table(results, titles)]
    return "\n\n".join(parts)
