"""The report that an administrator reads when a configuration has been migrated."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from traitlets.config import Config

from .literal import WIDTH, literal
from .load import OldConfig
from .names import counterpart
from .new_file import rank
from .plan import Plan
from .translation import AsWritten, NewSetting


def write_report(
    plan: Plan,
    loaded: OldConfig,
    old: str,
    new: str,
    replaced: Sequence[tuple[int, str]],
    problems: Sequence[str],
    doubts: Sequence[str],
) -> str:
    """Return the report.

    Parameters
    ----------
    loaded
        What the old file sets and loads.
    old, new
        The files' names.
    replaced
        Line numbers of the old file, and what stands there after a change of names.
    problems, doubts
        What is wrong with the new file, and what may be, in classes that stay.
    """
    parts: list[tuple[str, Iterable[str]]] = [
        (
            f"You can also keep {old}, with unispawner's classes of the same names. Then change "
            "only these words:",
            [f"line {line}: {text}" for line, text in replaced],
        ),
        ("Change these words in other files, too, whichever you use:", _list_others(loaded)),
        (f"With {new} UniSpawner runs the servers. Its settings are:", _list_settings(plan)),
        ("Please look at these:", _list_choices(plan)),
        (
            "UniSpawner can't replace these, so the old class still runs the servers:",
            _list_untranslatable(plan),
        ),
        ("Look at these in the classes that stay:", doubts),
        ("These need no new setting:", _list_notes(plan)),
        ("No spawner of this configuration reads these; they stay as they are:", plan.unused),
        ("JupyterHub ignores these lines; correct or delete them:", _list_ignored(loaded)),
        ("Everything else stays as it is:", _list_rest(loaded.config)),
        (f"WRONG in {new}:", problems),
        ("Next:", _list_next_steps(plan, new)),
    ]
    blocks = []
    for title, lines in parts:
        if items := [_wrap(line, "  - ") for line in lines]:
            blocks.append("\n".join([_wrap(title), *items]))
    return "\n\n".join(blocks)


def _wrap(text: str, first: str = "") -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _add_label(label: str, origins: Iterable[str]) -> str:
    """Return the names of old settings behind the label of their part, which is written once."""
    return label + ", ".join(origin.removeprefix(label) for origin in origins)


def _write_setting(name: str, setting: NewSetting) -> str:
    if isinstance(setting.value, AsWritten):
        return f"{name} as it was"
    text = literal(setting.value, 4)
    return f"{name} = {text}" if "\n" not in text else f"{name} = (several lines)"


def _list_settings(plan: Plan) -> Iterator[str]:
    if plan.is_translated:
        for part in plan.parts():
            for name in sorted(part.settings, key=rank):
                setting = part.settings[name]
                origins = _add_label("", setting.origins)
                source = f", from {origins.replace(part.label, '')}" if origins else ""
                yield f"{part.label}{_write_setting(name, setting)}{source}"


def _list_choices(plan: Plan) -> Iterator[str]:
    if not plan.is_translated and plan.profiles is None:
        return  # these are about a UniSpawner
    for part in plan.parts():
        for name in sorted(part.settings, key=rank):
            for remark in part.settings[name].notes:
                yield f"{part.label}{name}: {remark}"
        for choice in part.remarks:
            if choice.is_choice:
                name, value = choice.suggestion or ("", None)
                hint = f" {name} = {literal(value, 4)}" if name else ""
                about = _add_label(part.label, choice.origins)
                yield f"{about}: {choice.text}{hint}" if about else f"{choice.text}{hint}"


def _list_untranslatable(plan: Plan) -> Iterator[str]:
    for part in plan.parts():
        for origin, reason in part.untranslatable.items():
            yield f"{_add_label(part.label, [origin])}: {reason}"


def _list_notes(plan: Plan) -> Iterator[str]:
    """Yield the notes of each part; those with the same text are one."""
    for part in plan.parts() if plan.is_translated else ():
        origins: dict[str, list[str]] = {}
        for remark in part.remarks:
            if not remark.is_choice:
                origins.setdefault(remark.text, []).extend(remark.origins)
        yield from (f"{_add_label(part.label, origins[text])}: {text}" for text in origins)


def _list_others(loaded: OldConfig) -> Iterator[str]:
    for file, changes in loaded.others.items():
        yield from (f"{file}, line {line}: {text}" for line, text in changes)


def _list_ignored(loaded: OldConfig) -> Iterator[str]:
    for name in loaded.stray:
        yield f"c.{name}: the name of a class begins with a capital letter"
    for name in loaded.missing:
        yield f"load_subconfig({name!r}): there is no such file"


def _list_rest(config: Config) -> Iterator[str]:
    for section, settings in sorted(config.items()):
        names = [name for name in settings if (section, name) != ("JupyterHub", "spawner_class")]
        if counterpart(section) is None and names:
            yield f"c.{section}: {', '.join(sorted(names))}"


def _list_next_steps(plan: Plan, new: str) -> Iterator[str]:
    file = shlex.quote(new)
    yield f"Read {new}: its comments say where each setting comes from, and what you may decide."
    if plan.is_translated:
        yield (
            "The Hub now runs one command of unispawner as each user, and no longer sbatch, qsub "
            f"and the like. `unispawner doctor --sudoers -f {file}` prints the line for sudo, and "
            f"`unispawner doctor -f {file} --account NAME` tries it."
        )
        yield f"`unispawner render -f {file}` prints the job's script."
    else:
        yield (
            "If the Hub is not root, sudo needs one more line: `unispawner doctor --sudoers -f "
            f"{file}` prints it, and `unispawner doctor -f {file} --account NAME` tries it."
        )
    yield "docs/migrating.md explains what else is different."
