"""The command line of an administrator: try UniSpawner, check and translate configurations."""

from __future__ import annotations

import argparse
import sys
import sysconfig
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .._version import __version__
from ..errors import UniSpawnerError

if TYPE_CHECKING:
    # argparse gives its class no public name.
    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["demo"]:  # it parses its own options
        from .demo import main as demo

        return demo(arguments[1:])
    options = _parser().parse_args(arguments)
    try:
        status: int = options.command(options)
    except UniSpawnerError as error:
        print(f"unispawner: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("unispawner: interrupted", file=sys.stderr)
        return 130
    except Exception as error:  # a fault of ours: an administrator needs words, and no traceback
        print(f"unispawner: {_describe_fault(error, options)}", file=sys.stderr)
        return 1
    return status


def _describe_fault(error: Exception, options: argparse.Namespace) -> str:
    """Return what failed and where: in the configuration, in other code and in unispawner's."""
    frames = traceback.extract_tb(error.__traceback__)
    config = Path(getattr(options, "config", "")).absolute()
    of_config = [frame for frame in frames if Path(frame.filename) == config][-1:]
    places = (f"{frame.filename}, line {frame.lineno}" for frame in (*of_config, frames[-1]))
    where = " from ".join(dict.fromkeys(places))
    failed = f"{options.command.__name__} {config.name} failed: {type(error).__name__}: {error}"
    if _is_of_site([frame.filename for frame in frames]):
        return f"{failed} ({where}). Code of the site's own may need a user, or be wrong."
    return (
        f"{failed} ({where}). This is a fault of unispawner: please report this line, with the "
        "part of the configuration that it is about and without its secrets. Without that part "
        "the command may work."
    )


def _is_of_site(files: Sequence[str]) -> bool:
    """Return whether code of the site's own was running, of the files of a traceback."""
    ours = str(Path(__file__).parents[1])
    others = (*map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")), "<")
    own = [file for file in files if file.startswith(ours) or not file.startswith(others)]
    return not own[-1].startswith(ours)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="unispawner", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    commands.add_parser("demo", help="start a Hub on this machine, to try UniSpawner")
    _add_doctor(commands)
    _add_render(commands)
    _add_migrate(commands)
    _add_reap(commands)
    _add_probe(commands)
    return parser


def _add_doctor(commands: _Commands) -> None:
    about = "check on this host whether a Hub's configuration can work"
    sub = commands.add_parser(
        "doctor",
        help=about,
        description=_sentence(about),
        epilog="Exit status: 0 if nothing is wrong; 1 if something is wrong, or could not be read; "
        "2 for a wrong option and, with --strict, if something should be looked at or was skipped; "
        "130 if a signal has ended it.",
    )
    _add_config(sub)
    _add_doctors_probe(sub)
    _add_doctors_output(sub)
    sub.add_argument(
        "--account",
        metavar="NAME",
        help="also run the agent as this account (default: nothing is run as a user)",
    )
    sub.add_argument(
        "--sudoers",
        action="store_true",
        help="only print the line that /etc/sudoers.d needs, and check nothing; comments say what "
        "other lines are for",
    )
    sub.add_argument(
        "--group",
        help="with --sudoers: the group of the accounts that may have servers (default: "
        "c.UniSpawner.broker_group, or jupyterhub-users)",
    )
    sub.add_argument(
        "--hub-account",
        metavar="NAME",
        help="with --sudoers: the account that the Hub runs as (default: your own)",
    )
    sub.set_defaults(command=doctor)


def _add_doctors_probe(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--probe",
        metavar="ACCOUNT",
        help="also submit a real job of this account, which reports what it finds on its node; the "
        "job is always removed (default: no job is submitted)",
    )
    sub.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_positive(float),
        default=300.0,
        help="with --probe: how long the job may take, with its time in the queue (default: "
        "%(default)g)",
    )
    sub.add_argument(
        "--profile",
        metavar="SLUG",
        help="with --probe: the profile whose job is submitted (default: the one that the form "
        "shows first)",
    )
    sub.add_argument(
        "--option",
        metavar="KEY=VALUE",
        type=_option,
        action="append",
        default=[],
        help="with --probe: a choice for an option of the profile; may be repeated (default: the "
        "option's own default)",
    )


def _add_doctors_output(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--json", action="store_true", help="print JSON, and no lines")
    sub.add_argument(
        "--strict",
        action="store_true",
        help="have exit status 2 if something should be looked at or was skipped (default: these "
        "count as all right)",
    )
    sub.add_argument(
        "--bundle",
        metavar="FILE.tar.gz",
        help="also write what somebody who helps needs to know, without secrets: versions, the "
        "configuration, the results, the scheduler (default: no file)",
    )
    sub.add_argument(
        "--log",
        metavar="FILE",
        help="with --bundle: the Hub's log, whose end goes into the bundle, without secrets; - "
        "means the standard input, as from journalctl (default: no log)",
    )


def _add_render(commands: _Commands) -> None:
    about = "print the script and the commands of the job that a start would submit"
    sub = commands.add_parser("render", help=about, description=_sentence(about))
    _add_config(sub)
    sub.add_argument(
        "--profile",
        metavar="SLUG",
        help="the profile whose job to print (default: the one that the form shows first)",
    )
    sub.add_argument(
        "--option",
        metavar="KEY=VALUE",
        type=_option,
        action="append",
        default=[],
        help="a user's choice for an option of the profile, or what a user sends for a field of "
        "the class's own form; may be repeated (default: the option's default, or the field's)",
    )
    sub.add_argument(
        "--user",
        metavar="NAME",
        help="the user whose job to print; no such account needs to exist "
        '(default: nobody, or one called "user" where the class needs a user)',
    )
    sub.set_defaults(command=render)


def _add_migrate(commands: _Commands) -> None:
    about = "write UniSpawner's configuration from one of batchspawner or wrapspawner"
    sub = commands.add_parser("migrate", help=about, description=_sentence(about))
    sub.add_argument(
        "config",
        nargs="?",
        default="jupyterhub_config.py",
        metavar="CONFIG",
        help="the old configuration file, which stays as it is (default: %(default)s)",
    )
    sub.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help='the file to write, or "-" to print it (default: in the same folder, with '
        "a name like jupyterhub_config.unispawner.py)",
    )
    sub.add_argument("--force", action="store_true", help="replace the file if it exists")
    sub.set_defaults(command=migrate)


def _add_reap(commands: _Commands) -> None:
    about = "list the jobs of this Hub that no server owns, and end them with --cancel"
    sub = commands.add_parser(
        "reap",
        help=about,
        description=_sentence(about),
        epilog="Exit status: 0 if no such job is left and everything was asked; 1 if an error made "
        "that impossible; 2 for a wrong option; 3 if such jobs are left; 4 if some accounts or "
        "clusters could not be asked, whatever was found elsewhere.",
    )
    _add_config(sub)
    sub.add_argument("--cancel", action="store_true", help="end the jobs of kind orphan")
    sub.add_argument("--yes", action="store_true", help="with --cancel: ask no question")
    sub.add_argument("--json", action="store_true", help="print JSON, and no table")
    sub.add_argument(
        "--account",
        metavar="NAME",
        action="append",
        default=[],
        help="ask this account only; may be repeated (default: the accounts of all users that "
        "the Hub's database knows)",
    )
    sub.add_argument(
        "--older-than",
        metavar="TIME",
        help="end only jobs whose start began earlier than this: HH:MM:SS, D-HH:MM:SS or minutes "
        "(default: c.Spawner.start_timeout, which is one day)",
    )
    _add_hub(sub)
    _add_limits(sub)
    sub.set_defaults(command=reap)


def _add_limits(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--at-once",
        metavar="N",
        type=_positive(int),
        default=8,
        help="how many accounts are asked at the same time (default: %(default)s)",
    )
    sub.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_positive(float),
        default=60.0,
        help="how long one account may take (default: %(default)g)",
    )


def _add_hub(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--hub-url",
        metavar="URL",
        help="the address of the Hub's API, such as https://hub.example.org/hub/api (default: the "
        "configuration's, on this host)",
    )
    sub.add_argument(
        "--token-file",
        metavar="FILE",
        help="a file with an API token of an administrator or of a service (default: the variable "
        "JUPYTERHUB_API_TOKEN)",
    )
    sub.add_argument(
        "--no-hub",
        action="store_true",
        help="no Hub of this configuration runs: ask its database instead",
    )


def _add_probe(commands: _Commands) -> None:
    about = "go the whole way of a user over HTTP: log in, start a server, run 6*7, stop it"
    sub = commands.add_parser(
        "probe",
        help=about,
        description=f"{_sentence(about)} For cron, or for a monitoring system.",
        epilog="Exit status: 0 if all steps worked; 1 if one failed; 2 for a wrong option. What a "
        "probe has started it stops, also when it fails or is ended by a signal.",
    )
    sub.add_argument(
        "--url",
        default="http://127.0.0.1:8000",
        help="the Hub's public address, with its prefix (default: %(default)s)",
    )
    sub.add_argument(
        "--user",
        metavar="NAME",
        required=True,
        help="the user to be, who should be there for the probe alone (default: there is none, so "
        "it must be given)",
    )
    _add_login(sub)
    _add_probed_server(sub)
    sub.add_argument("--json", action="store_true", help="print JSON, and no lines")
    sub.add_argument(
        "--metrics-file",
        metavar="FILE",
        help="also write the result in Prometheus' text format, for the textfile collector of its "
        "node exporter; such a file's name must end in .prom (default: no file)",
    )
    sub.set_defaults(command=probe)


def _add_login(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--password-file",
        metavar="FILE",
        help="a file with the user's password, for a Hub with a login form (default: the variable "
        "UNISPAWNER_PROBE_PASSWORD)",
    )
    sub.add_argument(
        "--token-file",
        metavar="FILE",
        help="a file with an API token of the user, for a Hub that logs in elsewhere (default: the "
        "variable JUPYTERHUB_API_TOKEN)",
    )
    sub.add_argument(
        "--ca-file",
        metavar="FILE",
        help="the certificates of the authorities to trust (default: those of this system)",
    )


def _add_probed_server(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--server",
        metavar="NAME",
        default="",
        help="the name of the server to start, where the Hub permits named servers (default: the "
        "user's default server)",
    )
    sub.add_argument(
        "--profile",
        metavar="SLUG",
        help="the profile to start (default: what the Hub starts without a choice)",
    )
    sub.add_argument(
        "--option",
        metavar="KEY=VALUE",
        type=_option,
        action="append",
        default=[],
        help="a choice for an option of the profile; may be repeated (default: the option's own "
        "default)",
    )
    sub.add_argument(
        "--replace",
        action="store_true",
        help="first stop a server that an earlier probe has left",
    )
    sub.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_positive(float),
        default=300.0,
        help="how long everything before the stop may take; the stop has another 60 s "
        "(default: %(default)g)",
    )


def _positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    """Return the type of an option whose value is a number above zero."""

    def read(text: str) -> float:
        number = kind(text)
        if not 0 < number < 10**6:
            raise argparse.ArgumentTypeError(f"{text!r} must be a number above zero")
        return number

    return read


def _add_config(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "-f",
        "--config",
        default="jupyterhub_config.py",
        metavar="FILE",
        help="the Hub's configuration file (default: %(default)s)",
    )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def migrate(options: argparse.Namespace) -> int:
    """Write UniSpawner's configuration from one of batchspawner's, and print what was changed."""
    from .migrate import migrate as write

    return write(Path(options.config), options.output, force=options.force)


def render(options: argparse.Namespace) -> int:
    """Print the script of the job that a start would submit."""
    from .render import run

    return run(options)


def reap(options: argparse.Namespace) -> int:
    """List the jobs of this Hub that no server owns, and end them if that is asked for."""
    from .reap.command import run

    return run(options)


def probe(options: argparse.Namespace) -> int:
    """Go the whole way of a user over HTTP; return 1 if a step fails."""
    from .probe import run

    return run(options)


def _option(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r} must have the form KEY=VALUE")
    return key, value


def doctor(options: argparse.Namespace) -> int:
    """Check a configuration and print each result; return 1 if something is wrong."""
    from .doctor.command import run

    return run(options)
