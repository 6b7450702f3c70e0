"""Becomes users for a Hub: see :mod:`unispawner.broker`. The Hub starts it, or sudo does."""

from __future__ import annotations

import argparse
import os
import pwd
import sys
from collections.abc import Sequence
from typing import NoReturn

from .accounts import Rules
from .safety import find_unreadable, find_unsafe

_ABOUT = (
    "Become users for a Hub, one for each request. The Hub starts this program itself, or sudo "
    "does; an administrator runs it with --check. docs/broker.md explains it."
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve requests until standard input ends."""
    starter = _find_starter()
    account = _name_of(starter)
    from_elsewhere = any(os.environ.get(name) for name in ("SSH_CONNECTION", "SUDO_UID"))
    os.environ.clear()  # nothing of whoever started the broker reaches a library or a child
    os.environ.update({"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/"})
    os.umask(0o077)
    os.chdir("/")
    options = _parse(arguments)
    rules = Rules(
        uid=os.getuid(),
        starter=starter,
        group=options.group,
        min_uid=options.min_uid,
        path=options.path,
        environment=dict(options.environment),
    )
    if options.check:
        _check()
    if rules.uid == 0:
        _refuse_unsafe()
        if not rules.by_root and not rules.group:
            _fail(
                "--group: it is needed where the broker is started through sudo. It names the "
                "group of the accounts that may have servers."
            )
        if rules.by_root and from_elsewhere:
            _fail(
                "root has started it over ssh or through sudo. The scheduler would be asked as "
                "root, for a Hub on another host. Let the Hub log in as an account of its own, "
                "such as hubsvc@login1, which starts the broker through sudo."
            )
    if os.isatty(0):
        _fail("a Hub starts this program and speaks to it; by hand, try it with --check")
    from .loop import Broker, log
    from .preload import preload

    preload()
    if rules.uid == 0 and (unsafe := find_unsafe()):  # now with all modules
        _fail(*unsafe)
    log(f"serves {account}: accounts of {rules.group or 'every group'} from uid {rules.min_uid}")
    Broker(rules, account).run()


def _find_starter() -> int:
    """Return the uid of the account that started the broker; sudo, pkexec and doas report it."""
    if os.getuid() != os.geteuid():
        _fail("it can't run as a setuid program")
    if os.getuid() != 0:
        return os.getuid()
    for variable in ("SUDO_UID", "PKEXEC_UID"):
        if uid := os.environ.get(variable, ""):
            if not uid.isdecimal():
                _fail(f"{variable}: {uid!r} is not a uid")
            return int(uid)
    if name := os.environ.get("DOAS_USER", ""):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            _fail(f"DOAS_USER: there is no account {name!r}")
    return 0


def _name_of(uid: int) -> str:
    """Return the account's name for the greeting; root's and sudo's need no directory service."""
    if uid == 0:
        return "root"
    if os.getuid() == 0:
        name = os.environ.get("SUDO_USER") or os.environ.get("DOAS_USER")
        return name or str(uid)
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("unispawner-broker", description=_ABOUT, allow_abbrev=False)
    parser.add_argument(
        "--group", default="", help="become only members of this group, also by primary group"
    )
    parser.add_argument(
        "--min-uid", type=_uid, default=1000, help="become no uid below this one (default: 1000)"
    )
    parser.add_argument(
        "--path",
        default="",
        metavar="DIR:DIR",
        help="folders of the scheduler's commands, for the Hub's questions about jobs",
    )
    parser.add_argument(
        "--environment",
        action="append",
        default=[],
        type=_variable,
        metavar="NAME=VALUE",
        help="a variable of those commands, such as SLURM_CONF=/etc/slurm/slurm.conf",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="print which files others than root could change, and end with 1 if there are any",
    )
    return parser.parse_args(arguments)


def _uid(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("it must be at least 1: no job runs as root")
    return value


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} must be NAME=VALUE")
    return name, value


def _check() -> NoReturn:
    from .preload import preload

    preload()
    wrong = find_unsafe() + find_unreadable()
    print("\n".join(wrong) or "Only root can change the broker's Python and its modules.")
    sys.exit(bool(wrong))


def _refuse_unsafe() -> None:
    if unsafe := find_unsafe():
        _fail(*unsafe)


def _fail(*reasons: str) -> NoReturn:
    sys.exit("\n".join(f"unispawner.broker: {reason}" for reason in reasons))


if __name__ == "__main__":
    main()
