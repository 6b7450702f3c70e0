"""``unispawner migrate``: turns a configuration of batchspawner into UniSpawner's.

The new file is the text of the old file. A setting that UniSpawner has in another form becomes a
comment there, and its successor stands at the end. Everything else (functions, conditions, imports,
values from the environment) stays as its administrator wrote it. Two other ways were rejected: a
file that lists all loaded settings loses that text and holds secrets that the old file reads from
elsewhere, and a file that loads the old one leaves two files to understand.

The modules, in the order in which a configuration passes through them::

    read    load           runs the file; stand-ins take the place of batchspawner
            names          what unispawner has of batchspawner and wrapspawner
            site_files     modules of the site's own that import them
            old_config     which class, and all settings that it reads
            old_file       the text, and changes in it
    decide  plan           the whole configuration: one spawner, or profiles
            translate      one spawner's settings, with
              script_settings  batch_script and the req_ fields:
                batch_script     what a site's script does beyond batchspawner's
                options          a scheduler's options, as directives have them
                fields           req_memory, req_runtime … -> settings
                amounts          memory and time in a scheduler's own units
              command          cmd, args and batchspawner-singleuser
              hooks            whether a function needs batchspawner
            translation    the result: settings, remarks, what can't be translated
            refused        settings of which UniSpawner makes no job
    write   new_file       the new text
            literal        Python's text of a value
            check          loads the new file, and makes a job of it
            stays          checks the classes that stay, as the Hub's start does
            report         what the administrator reads
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
from .check import find_problems
from .load import OldConfig, load_new, load_old
from .new_file import add_origins, write
from .old_file import OldFile
from .plan import Plan, make_plan
from .report import write_report
from .stays import find_warnings


def migrate(path: Path, output: str | None = None, *, force: bool = False) -> int:
    """Write the new configuration and print a report; return 1 if something is wrong with it.

    Parameters
    ----------
    path
        The old file.
    output
        The new file. None puts it beside the old file; ``-`` is standard output, and the report
        goes to standard error.
    force
        Whether an existing file is replaced.

    Raises
    ------
    InvalidJobError
        If there is nothing to migrate, the old file can't be read or the new file can't be written.
    """
    if path.suffix == ".json":
        raise InvalidJobError(f"{path}: only a configuration in Python can be migrated, not JSON")
    target = None if output == "-" else Path(output or path.with_name(f"{path.stem}.unispawner.py"))
    if target is not None:
        _check_target(target, path, force=force)
    text, encoding = _read(path)
    sys.path.append(str(path.absolute().parent))  # modules of the site's are often beside it
    old = load_old(path)
    config = old.config
    plan = make_plan(config, old.patched)
    add_origins(plan, OldFile(text))
    new = write(plan, OldFile(text), config, path.name).encode(encoding)
    if target is None:
        with tempfile.TemporaryDirectory() as folder:
            draft = Path(folder, path.name)
            _create(draft, new, like=path)
            problems, doubts = _check(draft, path.absolute(), plan, old)
        sys.stdout.write(new.decode(encoding))
    else:
        _create(target, new, like=path, force=force)
        problems, doubts = _check(target, target.absolute(), plan, old)
    replaced = OldFile(text).replace_names()
    name = str(target or "the new file")
    report = write_report(plan, old, path.name, name, replaced, problems, doubts)
    print(report, file=sys.stderr if target is None else sys.stdout)
    return 1 if problems else 0


def _check_target(target: Path, old: Path, *, force: bool) -> None:
    if not os.path.lexists(target):
        return
    if old.exists() and target.exists() and old.samefile(target):
        raise InvalidJobError(f"{target} is the old configuration itself: name another file (-o)")
    if not force:
        raise InvalidJobError(f"{target} exists already: name another file (-o), or use --force")


def _read(path: Path) -> tuple[str, str]:
    """Return a file's text and its encoding."""
    try:
        with tokenize.open(path) as file:
            return file.read(), file.encoding
    except OSError as error:
        raise InvalidJobError(f"{path}: {error.strerror}") from None
    except (SyntaxError, UnicodeDecodeError) as error:
        raise InvalidJobError(f"{path}: {error}") from None


def _check(new: Path, place: Path, plan: Plan, old: OldConfig) -> tuple[list[str], list[str]]:
    """Load the new file as a Hub without batchspawner would.

    Returns what is wrong with it, and what an administrator should look at in what stays.

    Parameters
    ----------
    place
        Where the file will be; other files that it loads are beside it.
    """
    try:
        config = load_new(new, place.parent, old.modules, shown_as=str(place))
    except InvalidJobError as error:
        return [f"the file can't be loaded: {error}"], []
    return list(find_problems(config, plan)), list(dict.fromkeys(find_warnings(config)))


def _create(target: Path, text: bytes, *, like: Path, force: bool = False) -> None:
    """Write a file that only those can read or write who can do so with the old file."""
    old = like.stat()
    mode = stat.S_IMODE(old.st_mode) & 0o777
    name = target.with_name(f".{target.name}.{secrets.token_hex(4)}") if force else target
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            try:
                os.fchown(descriptor, old.st_uid if os.getuid() == 0 else -1, old.st_gid)
            except PermissionError:  # the members of another group must not read it
                mode &= ~0o070
            os.fchmod(descriptor, mode)
            file.write(text)
        if force:
            os.replace(name, target)
    except OSError as error:
        raise InvalidJobError(f"{target} can't be written: {error.strerror}") from None
