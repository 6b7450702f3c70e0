"""``unispawner migrate``: a batchspawner configuration becomes UniSpawner's.

The new file is the old one's own text. What UniSpawner says in another way is a comment in it and
written anew at its end; all else, functions, conditions, imports and what comes from the
environment among it, is there as its administrator wrote it. To write all settings out from what
was loaded would lose that, and put secrets that the old file reads from elsewhere into the new one;
a new file that loads the old one would leave two to be understood.
"""

from __future__ import annotations

import os
import secrets
import stat
import sys
import tempfile
import tokenize
from pathlib import Path

from ...errors import InvalidJobError
from .check import problems
from .old import load
from .plan import Plan, make_plan
from .report import report
from .source import Source
from .write import annotate, write


def migrate(path: Path, output: str | None = None, *, force: bool = False) -> int:
    """Write the new configuration and report; return 1 if something is wrong with it.

    Parameters
    ----------
    path
        The old one.
    output
        Where to write it; None is beside the old one, ``-`` is standard output, where the report
        goes to standard error.
    force
        Whether an existing file is replaced.

    Raises
    ------
    InvalidJobError
        If there is nothing to migrate, or the old file can't be read or the new one written.
    """
    target = None if output == "-" else Path(output or path.with_name(f"{path.stem}.unispawner.py"))
    if target is not None and os.path.lexists(target):
        if path.exists() and target.exists() and path.samefile(target):
            raise InvalidJobError(f"{target} is the old configuration itself")
        if not force:
            raise InvalidJobError(f"{target} is there already; --force replaces it")
    text, encoding = _read(path)
    config = load(path, stand_ins=True)
    plan = make_plan(config)
    annotate(plan, Source(text))
    new = write(plan, Source(text), config, path.name).encode(encoding)
    if target is None:
        with tempfile.TemporaryDirectory() as folder:
            draft = Path(folder, path.name)
            _create(draft, new, like=path)
            wrong = _wrong(draft, path.absolute().parent, plan)
        sys.stdout.write(new.decode(encoding))
    else:
        _create(target, new, like=path, force=force)
        wrong = _wrong(target, target.absolute().parent, plan)
    words = Source(text).change_words()
    told = report(plan, config, path.name, str(target or "the new file"), words, wrong)
    print(told, file=sys.stderr if target is None else sys.stdout)
    return 1 if wrong else 0


def _read(path: Path) -> tuple[str, str]:
    try:
        with tokenize.open(path) as file:
            return file.read(), file.encoding
    except OSError as error:
        raise InvalidJobError(f"{path}: {error.strerror}") from None
    except (SyntaxError, UnicodeDecodeError) as error:
        raise InvalidJobError(f"{path}: {error}") from None


def _wrong(new: Path, beside: Path, plan: Plan) -> list[str]:
    """Load the new file as a Hub without batchspawner would, and return what is wrong with it."""
    try:
        return list(problems(load(new, stand_ins=False, beside=beside), plan))
    except InvalidJobError as error:
        return [f"it does not load: {error}"]


def _create(target: Path, text: bytes, *, like: Path, force: bool = False) -> None:
    """Write a file that nobody can read or write who could not the old one."""
    old = like.stat()
    mode = stat.S_IMODE(old.st_mode) & 0o777
    name = target.with_name(f".{target.name}.{secrets.token_hex(4)}") if force else target
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            try:
                os.fchown(descriptor, old.st_uid if os.getuid() == 0 else -1, old.st_gid)
            except PermissionError:  # another group's members are none of the old one's
                mode &= ~0o070
            os.fchmod(descriptor, mode)
            file.write(text)
        if force:
            os.replace(name, target)
    except OSError as error:
        raise InvalidJobError(f"{target} can't be written: {error.strerror}") from None
