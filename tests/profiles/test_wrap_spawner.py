"""WrapSpawner without a Hub: which hooks are called, which settings count, and what is saved.

With a Hub and a real Slurm: tests/live/test_profiles_on_slurm.py.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from jupyterhub.spawner import Spawner
from support.wrapped import (
    TWO_PROFILES,
    Called,
    Child,
    NewWrapper,
    OtherChild,
    ready,
    saved,
    start,
    stop,
)
from traitlets import directional_link

from unispawner import ProfilesSpawner, WrapSpawner
from unispawner.web.bookkeeping import inner, outer
from unispawner.web.failures import SpawnFailure

pytestmark = pytest.mark.hub  # what it wraps and overrides is JupyterHub's, and changes with it

# -- hooks -----------------------------------------------------------------------------------------


async def live(wrapper: Any) -> Spawner:
    """Start and stop a server as JupyterHub does; return the child that it had."""
    child = await start(wrapper, size="small")
    await ready(wrapper)
    await stop(wrapper)
    return child


@pytest.mark.parametrize("section", ["Spawner", "WrapSpawner"])
async def test_hooks_for_all_spawners_or_for_the_wrapper(new: NewWrapper, section: str) -> None:
    """A hook for all spawners, or for the wrapper, is called once, with the wrapper, which
    JupyterHub knows."""
    called = Called()
    wrapper = new(**{section: called.hooks()})
    await live(wrapper)
    assert called.once_with(wrapper) == called.with_


@pytest.mark.parametrize("where", ["Child", "child_config"])
async def test_hooks_of_the_child(new: NewWrapper, where: str) -> None:
    """A hook in the section of the child's class, or in child_config, is called once, with the
    child."""
    called = Called()
    hooks = called.hooks()
    wrapper = new(
        **({"Child": hooks} if where == "Child" else {"WrapSpawner": {"child_config": hooks}})
    )
    child = await live(wrapper)
    assert called.once_with(child) == called.with_


async def test_hooks_of_both(new: NewWrapper) -> None:
    """With hooks for both, each is called with the spawner it was set for. Group overrides are a
    setting: the child gets the wrapper's, like any setting for the wrapper in particular."""
    of_wrapper, of_child = Called(), Called()
    wrapper = new(WrapSpawner=of_wrapper.hooks(), Child=of_child.hooks())
    child = await live(wrapper)
    assert of_wrapper.once_with(wrapper) == of_wrapper.with_
    assert {**of_child.once_with(child), "group_overrides": []} == of_child.with_


async def test_a_hook_for_all_gives_way_to_the_wrappers(new: NewWrapper) -> None:
    """A hook in the wrapper's own section replaces the one for all spawners."""
    of_all, of_wrapper = Called(), Called()
    wrapper = new(Spawner=of_all.hooks(), WrapSpawner=of_wrapper.hooks())
    await live(wrapper)
    assert of_wrapper.once_with(wrapper) == of_wrapper.with_
    assert of_all.never() == of_all.with_


async def test_hooks_may_be_coroutines(new: NewWrapper) -> None:
    """Hooks may be coroutines, and the wrapper's are awaited before the child's."""
    order: list[str] = []

    def hooks(whose: str) -> dict[str, Any]:
        async def note(*_: Any) -> None:
            await asyncio.sleep(0)
            order.append(whose)

        async def ready(_: Any, event: dict[str, Any]) -> dict[str, Any]:
            await note()
            return {**event, whose: True}

        names = ("auth_state_hook", "apply_user_options", "pre_spawn_hook", "post_stop_hook")
        return {**dict.fromkeys(names, note), "progress_ready_hook": ready}

    wrapper = new(Spawner=hooks("wrapper"), Child=hooks("child"))
    await start(wrapper, size="small")
    assert ["wrapper"] * 3 + ["child"] * 3 == order
    assert {"ready": True, "wrapper": True, "child": True} == await ready(wrapper)
    order.clear()
    await stop(wrapper)
    assert ["wrapper", "child"] == order


async def test_a_post_stop_hook_that_fails(new: NewWrapper) -> None:
    """The child's post_stop_hook is called even if the wrapper's fails."""
    called = Called()

    async def fail(_: Any) -> None:
        raise OSError("no space")

    wrapper = new(Spawner={"post_stop_hook": fail}, Child=called.hooks())
    child = await start(wrapper)
    with pytest.raises(OSError, match="no space"):
        await stop(wrapper)
    assert [(child,)] == called.with_["post_stop_hook"]


async def test_what_hooks_set(new: NewWrapper) -> None:
    """What a hook sets on the wrapper reaches the child: a setting, an item of a dictionary, and a
    setting that only the child has."""

    def hook(spawner: Any) -> None:
        spawner.mem_limit = "2G"
        spawner.environment["HOOK"] = "yes"
        spawner.queue = "long"

    wrapper = new(Spawner={"pre_spawn_hook": hook, "environment": {"ALL": "yes"}})
    child: Any = await start(wrapper)
    assert (2 * 1024**3, {"ALL": "yes", "HOOK": "yes"}) == (child.mem_limit, child.environment)
    assert "a job in long" == child.job


async def test_group_overrides_are_the_childs(new: NewWrapper) -> None:
    """Group overrides may set what only the child has; they add the items of a dictionary."""
    overrides = {
        "staff": {
            "groups": ["staff"],
            "spawner_override": {"queue": "long", "labels": {"staff": "yes"}, "mem_limit": "1G"},
        },
        "others": {"groups": ["others"], "spawner_override": {"queue": "none"}},
    }
    wrapper = new(Spawner={"group_overrides": overrides}, Child={"labels": {"all": "yes"}})
    child: Any = await start(wrapper)
    assert ("a job in long", 1024**3) == (child.job, child.mem_limit)
    assert {"all": "yes", "staff": "yes"} == child.labels


# -- settings --------------------------------------------------------------------------------------


async def test_whose_settings_count(new: NewWrapper) -> None:
    """child_config counts before the wrapper's section, that before the section of the child's
    class, and that before c.Spawner."""
    wrapper = new(
        Spawner={"cmd": ["all"], "args": ["all"], "default_url": "/all", "notebook_dir": "/all"},
        Child={"args": ["class"], "default_url": "/class", "notebook_dir": "/class"},
        WrapSpawner={
            "default_url": "/wrapper",
            "notebook_dir": "/wrapper",
            "child_config": {"notebook_dir": "/child"},
        },
    )
    child: Any = await start(wrapper)
    expected = (["all"], ["class"], "/wrapper", "/child")
    assert expected == (child.cmd, child.args, child.default_url, child.notebook_dir)
    taken_over = (wrapper.cmd, wrapper.args, wrapper.default_url, wrapper.notebook_dir)
    assert expected == taken_over


async def test_items_of_dictionaries(new: NewWrapper) -> None:
    """The wrapper's environment and the child's are added; for the same variable the wrapper's
    counts."""
    wrapper = new(
        WrapSpawner={
            "environment": {"WRAPPER": "1", "BOTH": "wrapper"},
            "child_config": {"environment": {"CHILD": "1", "BOTH": "child"}},
        },
    )
    child = await start(wrapper)
    assert {"WRAPPER": "1", "CHILD": "1", "BOTH": "wrapper"} == child.environment


async def test_a_configuration_is_not_changed(new: NewWrapper) -> None:
    """A hook's change to a dictionary is gone when the next server starts."""
    given = {"environment": {"SITE": "1"}}
    wrapper = new(WrapSpawner={"child_config": given})
    child = await start(wrapper)
    child.environment["MORE"] = "1"
    assert {"environment": {"SITE": "1"}} == given
    await stop(wrapper)
    assert {"SITE": "1"} == (await start(wrapper)).environment


async def test_the_childs_start_timeout_is_shown(new: NewWrapper) -> None:
    """The wrapper has the child's start_timeout from start() until the server is stopped, because
    JupyterHub reads it there."""
    wrapper = new(Spawner={"start_timeout": 60}, WrapSpawner={"child_config": {"http_timeout": 7}})
    wrapper.child_config = {**wrapper.child_config, "start_timeout": 3000}
    starting = wrapper.start()
    assert (3000, 7) == (wrapper.start_timeout, wrapper.http_timeout)
    await starting
    await stop(wrapper)
    assert (60, 30) == (wrapper.start_timeout, wrapper.http_timeout)


@pytest.mark.parametrize("section", ["Spawner", "WrapSpawner", "Child"])
async def test_time_limits_reach_the_child(new: NewWrapper, section: str) -> None:
    """Time limits of all spawners, of the wrapper and of the child's class count for the child: a
    child that is a UniSpawner derives from them how long a server may take."""
    child = await start(new(**{section: {"http_timeout": 900, "start_timeout": 3600}}))
    assert (900, 3600) == (child.http_timeout, child.start_timeout)


async def test_what_a_class_does_not_know(new: NewWrapper, caplog: Any) -> None:
    """A setting that the child's class lacks is ignored with a warning, because wrapspawner's
    profiles may have such."""
    wrapper = new(WrapSpawner={"child_config": {"queue": "long", "req_nprocs": "2"}})
    with caplog.at_level("WARNING"):
        child: Any = await start(wrapper)
    assert "long" == child.queue
    assert "ignored, because Child has no such setting: req_nprocs" in caplog.text


async def test_what_jupyterhub_sets_later(new: NewWrapper) -> None:
    """A setting that JupyterHub changes on the wrapper changes on the child, too, and a token that
    the child sets is taken over."""
    wrapper = new()
    child = await start(wrapper)
    wrapper.admin_access = True
    assert child.admin_access
    assert "a token" == child.api_token
    child.api_token = "that of the server that goes on"
    assert child.api_token == wrapper.api_token


async def test_a_wrapper_in_a_wrapper(new: NewWrapper) -> None:
    """In a wrapper of a wrapper, the settings of each reach the innermost child."""
    inner = {"child_class": Child, "child_config": {"queue": "long"}}
    wrapper = new(
        WrapSpawner={"child_class": WrapSpawner, "child_config": inner, "default_url": "/outer"}
    )
    child: Any = await start(wrapper)
    assert ("a job in long", "/outer") == (child.job, child.default_url)
    assert wrapper is outer(child)


async def test_a_site_whose_construct_child_returns_nothing(new: NewWrapper) -> None:
    """A subclass may override construct_child as for wrapspawner, whose own returns nothing."""

    class Site(WrapSpawner):
        def construct_child(self) -> None:
            self.child_class = Child
            self.child_config = {"queue": "of the site"}
            super().construct_child()

    child: Any = await start(new(Site))
    assert "a job in of the site" == child.job


async def test_a_site_that_makes_the_child_itself(new: NewWrapper) -> None:
    """A subclass may make the child as wrapspawner's own construct_child does, once, and link its
    traits: the child has what JupyterHub sets, and its saved state, and the wrapper has its
    settings."""
    made: list[Child] = []

    class Site(WrapSpawner):
        def construct_child(self) -> None:
            child = Child(
                user=self.user,
                hub=self.hub,
                authenticator=self.authenticator,
                oauth_client_id=self.oauth_client_id,
                config=self.config,
                queue="of the site",
                start_timeout=77,
            )
            child.clear_state()
            if self.child_state:
                child.load_state(self.child_state)
            for name in set(self.trait_names()) & set(child.trait_names()) - {"start_timeout"}:
                directional_link((self, name), (child, name))
            made.append(child)
            self.child_spawner = child

    wrapper = new(Site)
    child: Any = await start(wrapper)
    assert ("a job in of the site", "a token") == (child.job, child.api_token)
    assert "a token" == wrapper.api_token
    assert (77, wrapper) == (wrapper.start_timeout, outer(child))
    assert wrapper.child_spawner is wrapper.make_child()
    wrapper.api_token = "another"
    assert "another" == child.api_token
    again = new(Site)
    again.load_state(wrapper.get_state())
    assert "a job in of the site" == made[-1].job
    assert outer(made[-1]) is again
    assert 2 == len(made)


async def test_a_site_whose_construct_child_makes_nothing(new: NewWrapper) -> None:
    """A subclass that makes no child is reported to the user with the method's name."""

    class Site(WrapSpawner):
        def construct_child(self) -> None:
            self.child_class = Child

    with pytest.raises(SpawnFailure, match="Site.construct_child made no child: call the method"):
        await start(new(Site))


# -- progress, poll, stop --------------------------------------------------------------------------


async def test_progress_before_there_is_a_child(new: NewWrapper) -> None:
    """A progress page that is opened before the start waits, and then gets the child's events."""
    wrapper = new(WrapSpawner={"child_config": {"queue": "long"}})

    async def listen() -> list[str]:
        return [event["message"] async for event in wrapper.progress()]

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0.01)
    assert not listening.done()
    await start(wrapper)
    assert ["waits in long", "runs"] == await asyncio.wait_for(listening, 10)


async def test_progress_that_nobody_listens_to_any_more(new: NewWrapper) -> None:
    """When nobody listens to the progress any more, the child's own generator is closed."""
    wrapper = new()
    child: Any = await start(wrapper)
    progress = wrapper.progress()
    assert {"message": "waits in short"} == await anext(progress)
    await progress.aclose()
    assert child.progress_closed


async def test_without_a_child(new: NewWrapper) -> None:
    """Without a child nothing runs, and there is nothing to stop or to save."""
    wrapper = new()
    assert 1 == await wrapper.poll()
    await wrapper.stop()
    assert {} == wrapper.get_state()


async def test_poll_and_stop_are_the_childs(new: NewWrapper) -> None:
    """Polling and stopping are the child's; after a stop there is no child, and the next start
    makes another."""
    wrapper = new()
    first: Any = await start(wrapper)
    assert await wrapper.poll() is None
    await stop(wrapper)
    assert first.stopped
    assert wrapper.child_spawner is None
    assert first is not await start(wrapper)


async def test_a_named_server(new: NewWrapper) -> None:
    """The child of a named server has its name and its row in the database."""
    wrapper = new(server_name="lab")
    child = await start(wrapper)
    assert "lab" == child.name
    assert wrapper.orm_spawner is child.orm_spawner
    other = new()
    assert "" == (await start(other)).name
    await stop(other)
    assert await wrapper.poll() is None


# -- state -----------------------------------------------------------------------------------------


async def test_a_server_is_taken_up_after_a_restart(new: NewWrapper) -> None:
    """After a restart of the Hub a server keeps the class and the settings of its start; functions
    come from the configuration."""
    called = Called()
    settings = {"queue": "long", "start_timeout": 3000, "post_stop_hook": lambda spawner: None}
    before = new(WrapSpawner={"child_class": OtherChild, "child_config": settings})
    await start(before)
    wrapper = new(WrapSpawner={"child_config": {"queue": "edited", **called.hooks()}})
    wrapper.load_state(saved(before))
    child = inner(wrapper)
    assert OtherChild is type(child)
    assert ("a job in long", "long", 3000) == (child.job, child.queue, wrapper.start_timeout)
    assert saved(before) == saved(wrapper)
    await stop(wrapper)
    assert [(child,)] == called.with_["post_stop_hook"]
    again: Any = await start(wrapper)
    assert (Child, "a job in edited") == (type(again), again.job)


async def test_wrapspawners_own_state(new: NewWrapper) -> None:
    """A state of wrapspawner's names no class: its class is the configured one, or that of
    load_child_class."""

    class Site(WrapSpawner):
        def load_child_class(self, state: dict[str, Any]) -> None:
            self.child_class = OtherChild

    state = {"child_conf": {"queue": "long"}, "child_state": {"job": "7"}}
    for cls, expected in ((WrapSpawner, Child), (Site, OtherChild)):
        wrapper = new(cls, WrapSpawner={"child_class": Child})
        wrapper.load_state(state)
        child = inner(wrapper)
        assert (expected, "7", "long") == (type(child), child.job, child.queue)
        assert await wrapper.poll() is None


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"job": "of a spawner that there was before"},
        {"child_conf": {"queue": "long"}},  # wrapspawner's, of a server that was stopped
        {"child_state": None, "child_conf": 7},
        {"child_state": ["no", "state"]},
    ],
    ids=str,
)
@pytest.mark.parametrize("cls", [WrapSpawner, ProfilesSpawner])
async def test_a_state_without_a_server(new: NewWrapper, cls: type, state: dict[str, Any]) -> None:
    """A state without a server raises nothing, which would end the Hub, and the next start
    works."""
    wrapper = new(cls, **TWO_PROFILES)
    wrapper.load_state(state)
    assert 1 == await wrapper.poll()
    assert {} == wrapper.get_state()
    child: Any = await start(wrapper, profile="one")
    assert child.job


@pytest.mark.parametrize(
    "state",
    [
        {"child_state": {"job": "7"}, "child_conf": {"queue": 7}},
        {"child_state": {"job": "7"}, "child_class": 7},
        {"child_state": {"job": "7"}, "child_class": "", "child_conf": ["no", "settings"]},
        {"child_state": {"job": "7"}, "child_class": "jupyterhub_config.Gone", "child_conf": {}},
    ],
    ids=str,
)
@pytest.mark.parametrize("cls", [WrapSpawner, ProfilesSpawner])
async def test_a_server_that_can_not_be_taken_up(
    new: NewWrapper, cls: type, state: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A state that can't be loaded raises nothing, which would end the Hub. It is kept, because the
    server may be running, and when it is stopped the log has the job to cancel."""
    state = {**state, "profile": "gone"}
    wrapper = new(cls, **TWO_PROFILES)
    wrapper.load_state(state)
    assert await wrapper.poll() is None
    assert state == wrapper.get_state()
    await wrapper.stop()
    assert "cancel its job by hand: {'job': '7'}\n" in caplog.text
    wrapper.clear_state()
    assert 1 == await wrapper.poll()
    assert {} == wrapper.get_state()
    child: Any = await start(wrapper, profile="one")
    assert child.job


async def test_a_class_of_the_configuration(new: NewWrapper) -> None:
    """A class that the configuration file defines can't be imported; the configured class is used
    if it has the same name."""
    wrapper = new()
    state = {"child_class": "jupyterhub_config.Child", "child_state": {"job": "7"}}
    wrapper.load_state(state)
    assert (Child, "7") == (type(inner(wrapper)), inner(wrapper).job)


# -- internal_ssl ----------------------------------------------------------------------------------


async def test_certificates_are_the_childs(
    new: NewWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JupyterHub asks the wrapper to make and move certificates; the child, which runs the server,
    does both, and has the paths for its server's environment."""
    paths = {"keyfile": "key"}
    monkeypatch.setattr(Child, "create_certs", lambda self: {**paths, "made": self}, raising=False)
    monkeypatch.setattr(Child, "move_certs", lambda self, made: {**made, "moved": self})
    wrapper = new()
    wrapper.user_options = {"profile": "small"}
    made = await wrapper.create_certs()
    child = wrapper.child_spawner
    moved = {**paths, "made": child, "moved": child}
    assert moved == await wrapper.move_certs(made)
    assert moved == child.cert_paths


def test_a_hub_of_wrappers_is_started_like_any_other() -> None:
    """A Hub that knows only WrapSpawner has our routes and the steps of our start: its children may
    be jobs, whose ends go on after a restart."""
    code = """
from jupyterhub.app import JupyterHub
from jupyterhub.handlers import default_handlers
from unispawner import WrapSpawner
print(hasattr(JupyterHub.init_handlers, "__wrapped__"), default_handlers[0][0])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "True /unispawner/history\n" == run.stdout
