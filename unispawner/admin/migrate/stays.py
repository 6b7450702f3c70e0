"""Checks what stays with the legacy classes: the Hub's start would refuse it, or warn of it."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator

from traitlets.config import Config

from ...errors import InvalidJobError, UniSpawnerError
from ...legacy import BatchSpawnerBase
from ...legacy.checks import find_doubts
from ...profiles.check import check_profile
from ...profiles.spawner import ProfilesSpawner
from ...web.typed_form import texts
from ..configured_spawner import spawner_class, spawner_for_nobody
from ..doctor.spawners import find_spawners, listed_profiles
from .plan import Plan

_OLD_CLASS = re.compile(r"(batchspawner|wrapspawner)(\.\w+)+")


def find_errors(config: Config, plan: Plan) -> Iterator[str]:
    """Yield what would end the Hub's start, of the classes that stay."""
    for section, settings in sorted(config.items()):
        for name, value in sorted(settings.items()):
            for text in sorted(set(filter(_OLD_CLASS.fullmatch, texts(value)))):
                yield (
                    f"c.{section}.{name} still has {text!r}, because the file computes this name: "
                    "write unispawner where it does"
                )
    if not _can_be_checked(config):
        return
    cls = spawner_class(config)
    logging.getLogger("traitlets").addHandler(logging.NullHandler())  # warnings are found below
    try:
        if issubclass(cls, BatchSpawnerBase):
            asyncio.run(cls.check_config(config))
    except UniSpawnerError as error:
        yield error.message
    except Exception:  # code of the site needs a user: the Hub starts all the same
        return
    if issubclass(cls, ProfilesSpawner):
        yield from _find_errors_of_profiles(cls, config, plan)


def _find_errors_of_profiles(
    cls: type[ProfilesSpawner], config: Config, plan: Plan
) -> Iterator[str]:
    spawner = spawner_for_nobody(cls, config, "the new file")
    unknown = {one.key for one in plan.profiles or () if one.spawner.cls is None}
    translated = {one.key for one in plan.profiles or () if one.is_translated}
    for profile in listed_profiles(spawner):
        if profile.slug in unknown | translated:  # another package's, or checked as a job
            continue
        try:
            asyncio.run(check_profile(profile, spawner, ask=False))
        except Exception as error:  # or of the site's own code
            if isinstance(error, UniSpawnerError):
                yield f'profile "{profile.slug}": {error.message}'


def find_warnings(config: Config) -> Iterator[str]:
    """Yield what an administrator should look at in the scripts of the classes that stay."""
    if not _can_be_checked(config):
        return
    try:
        spawner = spawner_for_nobody(spawner_class(config), config, "the new file")
        for one in find_spawners(spawner):
            if isinstance(one, BatchSpawnerBase):
                yield from find_doubts(one)
    except InvalidJobError as error:
        yield error.message
    except Exception:  # code of the site needs a user
        return


def _can_be_checked(config: Config) -> bool:
    """Return whether the class is there; a name may be that of a module that is to be changed."""
    given = config.JupyterHub.get("spawner_class")
    return isinstance(given, type) or str(given).startswith("unispawner.")
