"""What the command line says about the site, and the Hub's spawner that it means."""

from __future__ import annotations

import ast
import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from ...admin.configured_spawner import load_config, spawner_for_nobody
from ...errors import InvalidJobError
from ...servers.spawner import UniSpawner

_SYSTEM_PATHS = ("/usr/local/bin", "/usr/bin", "/bin")


@dataclass(frozen=True)
class Choice:
    """What the command line says about the site."""

    scheduler: str = ""
    template: str = ""
    config: str = ""
    account: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    start_limit: float = 120.0
    answer_limit: float = 60.0


def read_choice(config: pytest.Config) -> Choice:
    """Return what the command line says about the site.

    Raises
    ------
    pytest.UsageError
        If an option is wrong, or the scheduler is missing.
    """
    option = config.getoption
    if not option("scheduler") and not option("hub_config"):
        raise pytest.UsageError("--scheduler: name the scheduler, or a configuration: --hub-config")
    settings: dict[str, Any] = {}
    for text in option("set"):
        name, equals, value = text.partition("=")
        if not equals:
            raise pytest.UsageError(f"--set: {text!r} must be TRAIT=VALUE")
        settings[name.strip()] = read_literal(value)
    if option("queue"):
        settings["queue_name"] = option("queue")
    environment = {}
    for text in option("environment"):
        name, equals, value = text.partition("=")
        if not equals and name not in os.environ:
            raise pytest.UsageError(f"--environment: your shell has no variable {name}")
        environment[name] = value if equals else os.environ[name]
    return Choice(
        scheduler=option("scheduler") or "",
        template=option("template_file") or "",
        config=option("hub_config") or "",
        account=option("account") or "",
        settings=settings,
        environment=environment,
        start_limit=option("start_limit"),
        answer_limit=option("answer_limit"),
    )


def read_literal(text: str) -> Any:
    """Return the value of a Python literal; other text is itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def template_of(path: str) -> str:
    """Return a value of c.UniSpawner.template: for a dialect.ini, the folder in which it lies."""
    if os.sep not in path and not os.path.exists(path):
        return path
    found = Path(path).absolute()
    return str(found.parent if found.is_file() else found)


def make_spawner(choice: Choice) -> UniSpawner:
    """Return a spawner with the Hub's configuration and what the command line adds to it.

    Without a configuration, the commands of the caller's PATH are used, and the jobs run under the
    caller's own account.

    Raises
    ------
    InvalidJobError
        If a setting is wrong.
    """
    config = load_config(choice.config) if choice.config else Config()
    ours = config.UniSpawner
    account = choice.account or getpass.getuser()
    if not choice.config:
        extra = [one for one in os.environ.get("PATH", "").split(":") if one.startswith("/")]
        ours.scheduler_path = ":".join(one for one in extra if one not in _SYSTEM_PATHS)
        if os.getuid() and account == getpass.getuser():
            ours.run_as = "same_user"
    values: dict[str, Any] = dict(choice.settings)
    if choice.scheduler:
        values["scheduler"] = choice.scheduler
    if choice.template:
        values["template"] = template_of(choice.template)
    if choice.environment:
        known = dict(ours.get("scheduler_environment", {}))
        values["scheduler_environment"] = {**known, **choice.environment}
    unknown = sorted(name for name in values if not UniSpawner.class_traits(config=True).get(name))
    if unknown:
        raise InvalidJobError(f"--set: c.UniSpawner has no setting {unknown[0]!r}")
    for name, value in values.items():
        ours[name] = value
    spawner: UniSpawner = spawner_for_nobody(UniSpawner, config, choice.config or "--set")
    return spawner
