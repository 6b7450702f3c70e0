"""Leaves out the directives of a script that have lost their value.

batchspawner's own templates write ``--gres={{gres}}`` only if there is a value. A site's template
may write it always; then the scheduler refuses the whole script.
"""

from __future__ import annotations

import re

_LONG = r"--(?!export|exclusive)[a-z][\w-]*="
_EMPTY = {
    # sbatch(1): an empty --export is "NONE", and --exclusive needs no value.
    "#SBATCH": rf"{_LONG}|-[AaCcDdeFGiJLMmNnopqStwx]",
    "#PBS": r"-[AaCcejklMmNopqrSuvWP]|-l\s+[\w.]+=",
    "#$": r"-(?:A|a|ac|ar|ckpt|dc|e|hold_jid|l|M|m|masterq|N|o|P|p|pe|q|S|soft|v|w|wd)",
    "#BSUB": r"-[aCceEfFgGiJkLmMnoPpqRSTuUvwW]",
}
"""What a directive without a value looks like, by the beginning of its line: options that need a
value. qsub of PBS reads ``-l mem=`` as an error, too."""
_LINE = re.compile(
    "|".join(
        rf"^{re.escape(start)}[ \t]+(?:{option})(?:[ \t]*(?:''|\"\")?)[ \t]*$"
        for start, option in _EMPTY.items()
    )
)


def drop_empty(script: str) -> tuple[str, list[str]]:
    """Return a script without directives that have no value, and these directives."""
    lines = script.split("\n")
    empty = [line for line in lines if _LINE.match(line)]
    if not empty:
        return script, []
    return "\n".join(line for line in lines if not _LINE.match(line)), empty
