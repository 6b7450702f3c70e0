"""``cmd``, ``args`` and ``batchspawner_singleuser_cmd`` -> UniSpawner's ``cmd`` and ``args``.

batchspawner's script runs ``batchspawner-singleuser`` with the server's command as its arguments,
all of it as a shell's text. UniSpawner's launcher takes a list of words, and no shell reads it.
"""

from __future__ import annotations

import os
import re
import shlex

from .old_config import OldSetting, SpawnerSettings
from .translation import AsWritten, Translation

TRAITS = ("cmd", "args", "batchspawner_singleuser_cmd")
_DEFAULT = ["jupyterhub-singleuser"]
_WRAPPER = "batchspawner-singleuser"
_FOR_A_SHELL = re.compile(r"[$`;&|<>()\\\n]|(^|\s)~")
"""What a shell would replace or act on."""


def translate_command(old: SpawnerSettings, out: Translation) -> None:
    """Take the wrapper out of the command."""
    cmd, args = old.find("cmd"), old.find("args")
    wrapper = old.recognized.get("batchspawner_singleuser_cmd")
    before = _read_wrapper(wrapper, out) if wrapper else []
    given = (cmd.value if cmd else None) or _DEFAULT
    words = [given] if isinstance(given, str) else [str(word) for word in given]
    if os.path.basename(words[0]) == _WRAPPER:
        words = words[1:] or _DEFAULT
    words = [*before, *words]
    sources = [one for one in (cmd, wrapper if before else None) if one]
    _set_words("cmd", cmd, words, sources, out)
    if not words[0].startswith("/"):
        out.add_remark(
            f"A job looks for {words[0]} on the PATH of a login on its node, changes of the "
            "prologue included; with batchspawner that could be the Hub's PATH. If it is not found "
            "there, give its full path:",
            *(one.origin for one in sources),
            suggestion=("cmd", [f"/opt/hub/bin/{words[0]}"]),
        )
    if args and (args.value or "args" in old.general):
        _set_words("args", args, [str(word) for word in args.value], [args], out)


def _read_wrapper(setting: OldSetting, out: Translation) -> list[str]:
    """Return the words before ``batchspawner-singleuser``."""
    words = str(setting.value).split()
    if not words or os.path.basename(words[-1]) != _WRAPPER:
        out.mark_untranslatable(setting.origin, f"it is not {_WRAPPER} but the site's own program")
        return []
    if len(words) == 1:
        out.add_note("UniSpawner needs no such program on the nodes.", setting.origin)
    return words[:-1]


def _set_words(
    name: str,
    setting: OldSetting | None,
    words: list[str],
    sources: list[OldSetting],
    out: Translation,
) -> None:
    """Set a list of words, unless the old setting (or the default) has the same list."""
    text = " ".join(words)
    try:
        plain = [] if _FOR_A_SHELL.search(text) else shlex.split(text)
    except ValueError:
        plain = []
    origins = [one.origin for one in sources]
    if words and not plain:
        for origin in origins:
            out.mark_untranslatable(
                origin, f"it needs a shell, and UniSpawner starts the server without one: {text}"
            )
    elif setting and plain == setting.value and setting.section != "Spawner":
        out.set(name, AsWritten(setting), *origins)
    elif plain != (setting.value if setting else _DEFAULT):
        note = "batchspawner-singleuser is left out, and no shell reads the words."
        out.set(name, plain, *origins, note=note)
