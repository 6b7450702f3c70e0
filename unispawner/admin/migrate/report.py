"""What an administrator reads when a configuration has been migrated."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from traitlets.config import Config

from .literal import WIDTH, literal
from .old import legacy
from .plan import Plan
from .translation import Moved, Setting


def report(
    plan: Plan,
    config: Config,
    old: str,
    new: str,
    words: Sequence[tuple[int, str]],
    wrong: Sequence[str],
) -> str:
    """Return the report.

    Parameters
    ----------
    config
        What the old file sets.
    old, new
        The files' names.
    words
        The lines in which a word is to be changed, and what is there then.
    wrong
        What is wrong with the new file.
    """
    parts: list[tuple[str, Iterable[str]]] = [
        (
            f"{old} works as it is, with unispawner's classes of the same names, if these words "
            "are changed and nothing else:",
            [f"line {line}: {text}" for line, text in words],
        ),
        (f"In {new} UniSpawner runs the servers. It says now:", _translated(plan)),
        ("To be looked at:", _choices(plan)),
        ("This stays as it was, on unispawner's class of the same name:", _stays(plan)),
        ("Nothing had to come of these:", _notes(plan)),
        ("No spawner here reads these; they are as they were:", plan.unread),
        ("Everything else is as it was:", _others(config)),
        ("WRONG:", wrong),
        ("Next:", _next(plan, new)),
    ]
    blocks = []
    for title, lines in parts:
        if items := [_wrapped(line, "  - ") for line in lines]:
            blocks.append("\n".join([_wrapped(title), *items]))
    return "\n\n".join(blocks)


def _wrapped(text: str, first: str = "") -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _labelled(label: str, origins: Iterable[str]) -> str:
    """Return old settings' names; those of the profile that is spoken of without its name."""
    return label + ", ".join(origin.removeprefix(label) for origin in origins)


def _value(setting: Setting) -> str:
    value = setting.value
    text = value.found.expression if isinstance(value, Moved) else literal(value, 4)
    return text if "\n" not in text else "(several lines)"


def _translated(plan: Plan) -> Iterator[str]:
    if plan.is_translated:
        for part in plan.parts():
            for name, setting in part.settings.items():
                came = f", from {_labelled('', setting.origins)}" if setting.origins else ""
                came = came.replace(part.label, "") if part.label else came
                yield f"{part.label}{name} = {_value(setting)}{came}"


def _choices(plan: Plan) -> Iterator[str]:
    if not plan.is_translated:
        return
    for part in plan.parts():
        for name, setting in part.settings.items():
            yield from (f"{part.label}{name}: {remark}" for remark in setting.remarks)
        for remark in part.remarks:
            if remark.is_choice:
                name, value = remark.suggestion or ("", None)
                hint = f" {name} = {literal(value, 4)}" if name else ""
                name = _labelled(part.label, remark.origins)
                yield f"{name}: {remark.text}{hint}" if name else f"{remark.text}{hint}"


def _stays(plan: Plan) -> Iterator[str]:
    for part in plan.parts():
        for origin, reason in part.stays.items():
            yield f"{_labelled(part.label, [origin])}: {reason}"


def _notes(plan: Plan) -> Iterator[str]:
    if plan.is_translated:
        for part in plan.parts():
            for remark in part.remarks:
                if not remark.is_choice:
                    yield f"{_labelled(part.label, remark.origins)}: {remark.text}"


def _others(config: Config) -> Iterator[str]:
    for section, settings in sorted(config.items()):
        names = [name for name in settings if (section, name) != ("JupyterHub", "spawner_class")]
        if legacy(section) is None and names:
            yield f"c.{section}: {', '.join(sorted(names))}"


def _next(plan: Plan, new: str) -> Iterator[str]:
    yield f"read {new}; a line of a comment is there for each choice"
    if plan.is_translated:
        yield (
            "sudo: the Hub runs one command of unispawner's as each user, and sbatch, qsub or the "
            f"like no more. `unispawner doctor --sudoers -f {new}` prints the line; `unispawner "
            f"doctor -f {new} --account NAME` tries it"
        )
        yield f"`unispawner render -f {new}` prints the job's script"
    yield "docs/migrating.md says what changes underneath, and how to change over"
