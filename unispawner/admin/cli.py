"""``unispawner demo | doctor | render | migrate``: what an administrator runs by hand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .._version import __version__
from ..errors import UniSpawnerError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["demo"]:  # it has options of its own
        from .demo import main as demo

        return demo(arguments[1:])
    options = _parser().parse_args(arguments)
    try:
        status: int = options.command(options)
    except UniSpawnerError as error:
        print(f"unispawner: {error}", file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="unispawner", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="demo | doctor | render | migrate")
    commands.add_parser("demo", help="start a Hub on this machine, to try it out")
    for name, command, text in (
        ("doctor", doctor, "check a configuration on this host"),
        ("render", render, "print the script of the job that a start would submit"),
    ):
        sub = commands.add_parser(name, help=text)
        sub.add_argument(
            "-f", "--config", default="jupyterhub_config.py", help="default: %(default)s"
        )
        sub.set_defaults(command=command)
        if name == "render":
            sub.add_argument("--profile", metavar="SLUG", help="default: the one shown at first")
            sub.add_argument(
                "--option",
                metavar="KEY=VALUE",
                type=_option,
                action="append",
                default=[],
                help="what a user would choose of the profile's options; may be repeated",
            )
        if name == "doctor":
            sub.add_argument("--account", help="also check what happens as this account")
            sub.add_argument(
                "--sudoers", action="store_true", help="print the line for /etc/sudoers.d, no more"
            )
            sub.add_argument(
                "--group", default="jupyterhub-users", help="of the accounts; default: %(default)s"
            )
            sub.add_argument("--hub-account", help="what the Hub runs as; default: you")
    sub = commands.add_parser(
        "migrate", help="write UniSpawner's configuration for one of batchspawner's"
    )
    sub.add_argument("config", nargs="?", default="jupyterhub_config.py", help="%(default)s")
    sub.add_argument("-o", "--output", help="default: CONFIG.unispawner.py beside it; - prints it")
    sub.add_argument("--force", action="store_true", help="replace a file that is there")
    sub.set_defaults(command=migrate)
    return parser


def migrate(options: argparse.Namespace) -> int:
    """Write UniSpawner's configuration for one of batchspawner's, and say what was done."""
    from .migrate import migrate as write

    return write(Path(options.config), options.output, force=options.force)


def render(options: argparse.Namespace) -> int:
    """Print the script of the job that a start would submit."""
    from .render import run

    return run(options)


def _option(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r} must be KEY=VALUE")
    return key, value


def doctor(options: argparse.Namespace) -> int:
    """Check one thing after the other; return 1 if any is wrong."""
    from .doctor.checks import run

    return run(options)
