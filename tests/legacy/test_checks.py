"""Checks of a legacy configuration when the Hub starts."""

from __future__ import annotations

from typing import Any

import pytest
from traitlets import Unicode, default
from traitlets.config import Config

import unispawner
from unispawner import TorqueSpawner
from unispawner.errors import InvalidJobError

CLASSES = (
    *("TorqueSpawner", "MoabSpawner", "PBSSpawner", "SlurmSpawner", "MultiSlurmSpawner"),
    *("GridengineSpawner", "CondorSpawner", "LsfSpawner"),
)


async def check(spawner_class: Any, **settings: Any) -> None:
    await spawner_class.check_config(Config({spawner_class.__name__: settings}))


@pytest.mark.parametrize("name", CLASSES)
async def test_defaults_are_right(name: str) -> None:
    """The defaults of every class pass the check."""
    await check(getattr(unispawner, name))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_script": "{cmd} {typo}"}, "batch_script: there is no field 'typo'"),
        ({"batch_script": "{cmd} ${HOME}"}, "field 'HOME'.*only in a Jinja template"),
        ({"batch_script": "{cmd} {"}, "batch_script: the template can't be filled in: ValueError"),
        (
            {"batch_script": "{% if x %}{{cmd}}"},
            "batch_script: the template can't be filled in: TemplateS",
        ),
        ({"batch_submit_cmd": "qsub {nope}"}, "batch_submit_cmd: there is no field 'nope'"),
        ({"batch_query_cmd": "qstat {jobid}"}, "batch_query_cmd: there is no field 'jobid'"),
        ({"exec_prefix": "sudo -u {user}"}, "exec_prefix: there is no field 'user'"),
        ({"state_running_re": "R("}, "state_running_re: 'R\\(' is not a valid regular expression"),
        ({"state_exechost_re": "host"}, "state_exechost_re: 'host' needs a group"),
        (
            {"state_exechost_exp": r"int-\2"},
            "uses the group 2, which state_exechost_re does not have",
        ),
        ({"command_timeout": 0}, "command_timeout"),
    ],
)
async def test_what_can_be_known_at_the_start(settings: dict[str, Any], message: str) -> None:
    """A wrong template, pattern or value is refused; the error names the trait and its text."""
    with pytest.raises(InvalidJobError, match=message) as raised:
        await check(TorqueSpawner, **settings)
    for value in settings.values():
        assert str(value) in str(raised.value).replace("\\\\", "\\")


async def test_what_only_a_user_or_a_subclass_can_give() -> None:
    """A field that the form or a site's own method may add later is not refused; all other
    templates are still checked."""
    await check(TorqueSpawner, batch_script="{cmd} {image}", options_form="<input name=image>")
    await check(TorqueSpawner, batch_script="{cmd} {image}", user_option_keys=["image"])

    class Site(TorqueSpawner):
        req_image = Unicode("x")

        def get_req_subvars(self) -> dict[str, Any]:
            return {**super().get_req_subvars(), "more": "y"}

    await check(Site, batch_script="{cmd} {image} {more}")

    class Own(TorqueSpawner):
        async def _get_batch_script(self, **subvars: Any) -> str:
            return "its own"

    await check(Own, batch_script="{nothing of this}")
    with pytest.raises(InvalidJobError, match="batch_query_cmd"):
        await check(Own, batch_query_cmd="{nothing}")


async def test_a_script_that_needs_a_user() -> None:
    """A property of the site's own that reads the user can't be checked, and all else is."""

    class Site(unispawner.SlurmSpawner):
        @property
        def batch_script(self) -> str:
            return f"#!/bin/sh\n# for {self.user.name}\n{{cmd}}\n"

    await check(Site)
    with pytest.raises(InvalidJobError, match="there is no field 'typo'"):
        await check(Site, batch_query_cmd="squeue {typo}")


async def test_what_a_sites_class_makes_for_each_user() -> None:
    """A property, a method or a default that needs the user is not checked when the Hub starts, and
    is no error; plain text in a class is checked as a setting is."""

    class Site(TorqueSpawner):
        req_queue = Unicode()
        state_pending_re = property(lambda self: self.user.name)

        @property
        def batch_script(self) -> str:
            return f"# {self.user.name} {self.user_options['size']}"

        @property
        def batch_submit_cmd(self) -> str:
            return f"qsub -A {self.user.name}"

        def batch_cancel_cmd(self) -> str:
            return f"qdel {self.user.name}"

        @default("req_queue")
        def _queue(self) -> str:
            return str(self.user.name)

        @default("state_exechost_exp")
        def _host(self) -> str:
            return str(self.user.name)

    await check(Site)

    class Plain(TorqueSpawner):
        batch_query_cmd = "qstat {nothing}"

    with pytest.raises(InvalidJobError, match="batch_query_cmd"):
        await check(Plain)
