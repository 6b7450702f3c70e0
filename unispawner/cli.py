"""``unispawner demo | doctor | render | migrate``: what an administrator runs by hand."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ._version import __version__
from .errors import UniSpawnerError

if TYPE_CHECKING:  # jupyterhub costs a second: it is imported when it is needed
    from .spawner import UniSpawner


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
    from .run_as.sudo import Sudo
    from .site_config import load_config, spawner_for_nobody
    from .spawner import UniSpawner

    spawner = spawner_for_nobody(UniSpawner, load_config(options.config), options.config)
    if options.sudoers:
        hub_account = options.hub_account or getpass.getuser()
        print(Sudo(spawner.agent_python).sudoers_line(hub_account, options.group))
        return 0
    checks: list[tuple[str, Callable[[], str]]] = [
        ("scheduler", lambda: asyncio.run(_check_scheduler(spawner))),
        ("hub", lambda: _check_hub(spawner)),
        ("job", lambda: _check_job(spawner)),
        ("commands", lambda: _check_commands(spawner)),
        ("query", lambda: asyncio.run(_check_query(spawner))),
        ("agent_python", lambda: _check_python(spawner)),
    ]
    if options.account:
        checks.append(("account", lambda: asyncio.run(_check_account(spawner, options.account))))
    else:
        print("not checked: acting as a user; --account NAME does")
    failed = 0
    for name, check in checks:
        try:
            print(f"ok      {name}: {check()}")
        except UniSpawnerError as error:
            failed = 1
            print(f"WRONG   {name}: {error}")
    return failed


def _check_hub(spawner: UniSpawner) -> str:
    from .errors import InvalidJobError

    hub, unknown = spawner.config.JupyterHub, set(spawner.config.UniSpawner)
    unknown -= set(spawner.class_trait_names(config=True))
    if unknown:
        raise InvalidJobError(f"c.UniSpawner has no {', '.join(sorted(unknown))}")
    if "unispawner" not in str(hub.get("spawner_class", "")).lower():
        raise InvalidJobError('c.JupyterHub.spawner_class is not "unispawner"')
    address = str(hub.get("hub_connect_ip", "") or hub.get("hub_ip", "127.0.0.1"))
    remote = not spawner.get_scheduler().loopback and spawner.hub_connect_url is None
    if remote and address in ("127.0.0.1", "localhost", "::1") and "hub_bind_url" not in hub:
        raise InvalidJobError(
            f"The nodes can't reach the Hub's API at {address}: set c.JupyterHub.hub_ip to an "
            "address of this host that they can reach"
        )
    return f"unispawner, the API at {address}"


async def _check_scheduler(spawner: UniSpawner) -> str:
    from . import detect
    from .scheduler_settings import HOST

    await spawner.find_scheduler()
    scheduler = spawner.get_scheduler()
    how = " (found by itself)" if spawner.scheduler == "auto" else ""
    await detect.check(scheduler, HOST, spawner.command_environment())
    return f"{scheduler.title}{how}"


def _check_job(spawner: UniSpawner) -> str:
    from .script import render_script

    spec = spawner.job_spec("0" * 16, environment={})
    render_script(spec, spawner.get_scheduler(), shell=spawner.job_shell)
    return f"the settings make a job for {spawner.get_scheduler().title}"


def _check_commands(spawner: UniSpawner) -> str:
    from .errors import InvalidJobError

    path = spawner.command_environment()["PATH"]
    found = {
        name: shutil.which(name, path=path) for name in spawner.get_scheduler().needed_commands()
    }
    missing = [name for name, where in found.items() if where is None]
    if missing:
        raise InvalidJobError(
            f"{', '.join(missing)} not found in {path}: set c.UniSpawner.scheduler_path"
        )
    return ", ".join(str(where) for where in found.values()) or "none are needed"


async def _check_query(spawner: UniSpawner) -> str:
    jobs = await spawner.monitor().query()
    owners = {info.owner for info in jobs.values()} - {getpass.getuser()}
    return (
        f"{len(jobs)} jobs of {len(owners)} other accounts are shown to {getpass.getuser()}. If "
        "there should be more, the scheduler hides jobs from the Hub (Slurm: PrivateData=jobs)"
    )


def _check_python(spawner: UniSpawner) -> str:
    from .errors import AgentError

    given = Path(os.path.abspath(spawner.agent_python))
    real = given.resolve()
    for part in (given, *given.parents, real, *real.parents):
        try:
            readable = os.stat(part).st_mode & 0o005 == 0o005
        except OSError:
            readable = False  # not even by us
        if not readable:
            raise AgentError(
                f"Users can't read {part}, so they can't run {spawner.agent_python}: make the "
                "virtual environment elsewhere, with a Python of the system's"
            )
    return f"{spawner.agent_python} is readable by users"


async def _check_account(spawner: UniSpawner, name: str) -> str:
    from .accounts import find_account

    if os.getuid() == 0:
        print("        (you are root: run this as the Hub's account to see what sudo lets it do)")
    account = await find_account(name, spawner.min_uid)
    told = await spawner.agent_client(account).check()
    return ", ".join(f"{key} {value}" for key, value in told.items())
