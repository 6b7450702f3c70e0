"""The checks of ``unispawner doctor`` for batchspawner's classes."""

from __future__ import annotations

import re
from typing import Any

from ...errors import InvalidJobError
from ...legacy import environment, private_files
from ...legacy.checks import COMMANDS
from ...legacy.filling import fill_in, template_fields
from ...legacy.options import quote
from ...run_as.accounts import find_account
from ...submit_host.host import HOST
from .facts import format_facts

TIMEOUT = 10.0
"""How long (seconds) the shell may take to find a program."""


async def check_templates(spawner: Any) -> str:
    """Check that the templates can be filled in and the patterns can be matched.

    Raises
    ------
    InvalidJobError
        For the first that can't, naming its trait.
    """
    await type(spawner).check_config(spawner.config)
    return f"the templates and patterns of {type(spawner).__name__} are valid"


async def check_commands(spawner: Any) -> str:
    """Return the paths of the programs that the commands begin with.

    If ``exec_prefix`` goes to another host, only its own program is checked.

    Raises
    ------
    InvalidJobError
        Naming those that the Hub doesn't find, and their traits.
    """
    programs = {trait: program(getattr(spawner, trait)) for trait in COMMANDS}
    prefix = programs["exec_prefix"].rpartition("/")[2]
    here = prefix == "sudo" or not spawner.exec_prefix.strip()
    variables = environment.of_commands(spawner.public_environment)
    found: dict[str, str] = {}
    missing: dict[str, str] = {}
    for trait, name in programs.items():
        if name and (here or trait == "exec_prefix"):
            where = await _find_program(name, variables)
            (found if where else missing).setdefault(name, where or trait)
    if missing:
        cls = type(spawner).__name__
        traits = ", ".join(f"c.{cls}.{trait}" for trait in missing.values())
        raise InvalidJobError(
            f"{traits}: {', '.join(missing)} not found in {variables.get('PATH')}; write the full "
            "path there, or start the Hub with another PATH"
        )
    rest = "" if here else f"; programs that run behind {prefix or 'exec_prefix'} are not checked"
    return ", ".join(found.values()) + rest


def program(command: str) -> str:
    """Return the program that a shell line begins with; empty if only a shell can find it."""
    words = [word for word in command.split() if not re.match(r"\w+=", word)]
    return words[0] if words and re.fullmatch(r"[\w./+-]+", words[0]) else ""


async def _find_program(name: str, variables: dict[str, str]) -> str:
    """Return what a name means to the shell that runs the commands; empty if nothing."""
    done = await HOST.run(
        ["/bin/sh", "-c", 'command -v "$1"', "sh", name],
        environment=variables,
        timeout=TIMEOUT,
        output_limit=64 * 1024,
    )
    return done.stdout.decode("utf-8", "replace").strip() if done.exit_status == 0 else ""


async def check_account(spawner: Any, name: str) -> str:
    """Return what the agent reports as an account, behind ``exec_prefix`` as for a server.

    Raises
    ------
    AgentError
        If there is no such account, or the prefix does not lead to its agent.
    """
    account = await find_account(name, spawner.min_uid)
    username = quote("username", account.name)
    fields = {**template_fields(spawner), "username": username}

    def fill(trait: str) -> str:
        return fill_in(spawner, trait, fields)

    client = private_files.make_client(spawner, account, fill, spawner.state_dir)
    facts = await client.check()
    return format_facts(facts)


def keeps_environment(spawner: Any) -> bool:
    """Return whether the agent's sudo keeps the environment, which sudoers must allow."""
    run_as = private_files.find_run_as(spawner, lambda trait: str(getattr(spawner, trait)))
    line = run_as.line("true") or ""
    return bool(re.search(r"\bsudo\b.*\s(-[A-Za-z]*E|--preserve-env)(?![\w-])", line))
