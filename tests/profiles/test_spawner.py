"""ProfilesSpawner without a Hub: what a start does with a choice, and what is saved of it."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from support.wrapped import (
    AUTH_STATE,
    TWO_PROFILES,
    URL,
    Called,
    Child,
    NewWrapper,
    OtherChild,
    await_if_needed,
    saved,
    start,
    stop,
)
from tornado import web

from unispawner import ProfilesSpawner, UniSpawner
from unispawner.errors import InvalidJobError
from unispawner.profiles.profile import Profile
from unispawner.web.bookkeeping import inner

pytestmark = pytest.mark.hub  # what it wraps and overrides is JupyterHub's, and changes with it


def edited(queue: str) -> dict[str, Any]:
    return {"ProfilesSpawner": {"profiles": [("One", "one", OtherChild, {"queue": queue})]}}


async def test_a_profile_is_class_and_settings(new: NewWrapper) -> None:
    """Each start has the class and the settings of its own profile, and the wrapper has their
    start_timeout."""
    wrapper = new(ProfilesSpawner, **TWO_PROFILES)
    one: Any = await start(wrapper, profile="one")
    assert (Child, "a job in one", 3000) == (type(one), one.job, wrapper.start_timeout)
    assert "one" == saved(wrapper)["profile"]
    await stop(wrapper)
    two: Any = await start(wrapper, profile="two")
    assert (OtherChild, "a job in two", 60) == (type(two), two.job, wrapper.start_timeout)


def raising(spawner: Any) -> Any:
    """Raise, as an administrator's function that fails."""
    raise KeyError("no such group")


async def raising_later(spawner: Any) -> Any:
    """Raise in a coroutine."""
    raising(spawner)


@pytest.mark.parametrize("function", [raising, raising_later])
async def test_a_function_of_profiles_that_fails(
    new: NewWrapper, caplog: Any, function: Any
) -> None:
    """The user reads what failed, and the log has the traceback, which leads to the place."""
    wrapper = new(ProfilesSpawner, ProfilesSpawner={"profiles": function})
    with pytest.raises(Exception, match="profiles failed: KeyError: 'no such group'"):
        await wrapper.get_options_form()
    (record,) = [one for one in caplog.records if "profiles failed" in one.getMessage()]
    assert "raising" == traceback.extract_tb(record.exc_info[2])[-1].name


async def test_hooks_around_profiles(new: NewWrapper) -> None:
    """Hooks in ProfilesSpawner's section are called with the wrapper, and those of a profile with
    the child."""
    of_wrapper, of_profile = Called(), Called()
    entry = ("One", "one", Child, {**of_profile.hooks(), "queue": "one"})
    wrapper = new(ProfilesSpawner, ProfilesSpawner={**of_wrapper.hooks(), "profiles": [entry]})
    child = await start(wrapper, profile="one")
    await stop(wrapper)
    for name, more in {
        "pre_spawn_hook": (),
        "post_stop_hook": (),
        "auth_state_hook": (AUTH_STATE,),
        "apply_user_options": ({"profile": "one"},),
    }.items():
        assert [(wrapper, *more)] == of_wrapper.with_[name]
        assert [(child, *more)] == of_profile.with_[name]


async def test_an_edited_profile(new: NewWrapper) -> None:
    """A running server keeps the settings it was started with; a new start uses the edited
    profile."""
    before = new(ProfilesSpawner, **TWO_PROFILES)
    await start(before, profile="one")
    wrapper = new(ProfilesSpawner, **edited("edited"))
    wrapper.load_state(saved(before))
    child = inner(wrapper)
    assert (Child, "a job in one", "one") == (type(child), child.job, child.queue)
    assert saved(before) == saved(wrapper)
    await stop(wrapper)
    again: Any = await start(wrapper, profile="one")
    assert (OtherChild, "a job in edited") == (type(again), again.job)


async def test_a_profile_that_is_no_longer_offered(new: NewWrapper) -> None:
    """The server of a profile that is gone runs on; a new start is refused, and the error lists the
    offered profiles."""
    before = new(ProfilesSpawner, **TWO_PROFILES)
    await start(before, profile="two")
    wrapper = new(ProfilesSpawner, **edited("edited"))
    wrapper.load_state(saved(before))
    assert (OtherChild, "a job in two") == (type(inner(wrapper)), inner(wrapper).job)
    await stop(wrapper)
    with pytest.raises(web.HTTPError, match="'two' is not offered; offered profiles: one"):
        await start(wrapper, profile="two")


async def test_wrapspawners_saved_profile(new: NewWrapper) -> None:
    """A state of wrapspawner's gets the class of its profile as it is now, with the saved
    settings."""
    wrapper = new(ProfilesSpawner, **TWO_PROFILES)
    conf, state = {"queue": "as it was"}, {"job": "7"}
    wrapper.load_state({"profile": "two", "child_conf": conf, "child_state": state})
    child = inner(wrapper)
    assert (OtherChild, "7", "as it was") == (type(child), child.job, child.queue)
    assert "two" == saved(wrapper)["profile"]


FORM = '<select name="queue"><option>long</option></select>'


async def as_a_coroutine(form: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(0)
    return {"queue": form["queue"][0]}


@pytest.mark.parametrize(
    "form",
    [FORM, lambda spawner: FORM.replace("long", spawner.user.name)],
    ids=["text", "function"],
)
async def test_forms_of_children(new: NewWrapper, form: Any) -> None:
    """The own forms of children are parts of the one form; their fields are named ``slug--
    name``."""
    profiles = [
        ("Form", "form", Child, {"options_form": form}),
        ("Other", "other", Child, {"options_form": "<input name=queue value='x'>"}),
        ("None", "none", Child, {}),
    ]
    page = await new(ProfilesSpawner, ProfilesSpawner={"profiles": profiles}).get_options_form()
    option = "long" if form == FORM else "alice"
    assert f'<select name="form--queue"><option>{option}</option></select>' in page
    assert "<input name=other--queue value='x'>" in page
    assert "none--queue" not in page


async def test_a_form_that_is_none_of_ours(new: NewWrapper) -> None:
    """A form that names two profiles is refused, and the form is shown again."""
    wrapper = new(ProfilesSpawner, ProfilesSpawner={"profiles": [("Form", "form", Child, {})]})
    with pytest.raises(web.HTTPError, match="exactly one value is allowed"):
        wrapper.options_from_form({"profile": ["form", "form"]})
    assert 'value="form"' in await wrapper.get_options_form()


def names_of_fields(page: str) -> set[str]:
    found = set()

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.add(dict(attrs).get("name"))

    Parser().feed(page)
    return {name for name in found if name}


@pytest.mark.parametrize("key", ["two-words", "v1.2", r"a\1", "two words", "<i>", "a'b"])
async def test_fields_of_any_key(new: NewWrapper, key: str) -> None:
    """The fields of a child's own form have the profile's key in front, whatever the key looks
    like."""
    form = "<input name=queue value=x><input name='labels' value=y>"
    profiles = [("Form", key, Child, {"options_form": form})]
    page = await new(ProfilesSpawner, ProfilesSpawner={"profiles": profiles}).get_options_form()
    assert {"profile", f"{key}--queue", f"{key}--labels"} == names_of_fields(page)


@pytest.mark.parametrize(
    ("from_form", "expected"),
    [
        ("passthrough", ["long"]),
        ("simple", "long"),
        (lambda form: {"queue": form["queue"][0]}, "long"),
        (lambda form, spawner: {"queue": spawner.user.name}, "alice"),
        (as_a_coroutine, "long"),
    ],
    ids=["passthrough", "simple", "function", "function with the spawner", "coroutine"],
)
async def test_what_a_childs_form_says(new: NewWrapper, from_form: Any, expected: Any) -> None:
    """The options that a child makes of its own form are saved beside the profile's name, and the
    child gets them."""
    profiles = [
        ("Form", "form", Child, {"options_form": FORM, "options_from_form": from_form}),
        ("Other", "other", Child, {"options_form": FORM}),
    ]
    wrapper = new(ProfilesSpawner, ProfilesSpawner={"profiles": profiles})
    typed = {"profile": ["form"], "form--queue": ["long"], "other--queue": ["no"], "_xsrf": ["x"]}
    options = await await_if_needed(wrapper.run_options_from_form(typed))
    assert {"profile": "form", "queue": expected} == options
    assert options == (await start(wrapper, **options)).user_options


async def test_a_named_server_has_a_profile_of_its_own(new: NewWrapper) -> None:
    """Two servers of a user may have different profiles."""
    unnamed = new(ProfilesSpawner, **TWO_PROFILES)
    named = new(ProfilesSpawner, server_name="lab", **TWO_PROFILES)
    children = [await start(unnamed, profile="one"), await start(named, profile="two")]
    assert [("", Child), ("lab", OtherChild)] == [(one.name, type(one)) for one in children]


async def test_a_server_whose_user_has_lost_its_profile(new: NewWrapper) -> None:
    """A server runs on after a restart though its profile is not offered to its user any more, also
    if only the configuration knows its class; a new start is refused."""
    cls = type("OfTheConfiguration", (Child,), {"__module__": "jupyterhub_config"})
    lost = {"display_name": "Big", "slug": "big", "groups": ["big"], "spawner": cls}
    profiles = {"ProfilesSpawner": {"profiles": [{"display_name": "Small"}, lost]}}
    wrapper = new(ProfilesSpawner, **profiles)
    wrapper.load_state(
        {
            "child_class": "jupyterhub_config.OfTheConfiguration",
            "child_conf": {},
            "child_state": {"job": "7"},
            "profile": "big",
        }
    )
    assert (cls, "7") == (type(inner(wrapper)), inner(wrapper).job)
    assert await wrapper.poll() is None
    await stop(wrapper)
    with pytest.raises(web.HTTPError, match="'big' is not offered"):
        await start(wrapper, profile="big")


# -- the check of a choice -------------------------------------------------------------------------

SIZES = {"display_name": "Sizes", "options": {"memory": {"max": "4G", "default": "1G"}}}


class Job(UniSpawner):
    """A job that starts at once, and counts how often one is made."""

    made = 0

    def __init__(self, **settings: Any) -> None:
        type(self).made += 1
        super().__init__(**settings)

    async def start(self) -> str:
        return URL


@pytest.fixture
def sizes(new: NewWrapper, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return a function that makes a wrapper with a profile and a hook; `checks` lists each
    check."""

    def make(hook: Any = None, **profile: Any) -> Any:
        profiles = [{**SIZES, "spawner": Job, **profile}]
        section = {"profiles": profiles, "pre_spawn_hook": hook}
        wrapper = new(
            ProfilesSpawner, ProfilesSpawner=section, Job={"resources": {"node_count": 1}}
        )
        wrapper.checks = []
        check = Profile.check

        def noting(self: Profile, user_options: Any, *more: Any) -> Any:
            wrapper.checks.append(dict(user_options))
            return check(self, user_options, *more)

        monkeypatch.setattr(Profile, "check", noting)
        return wrapper

    return make


async def test_each_start_checks_its_choice_once(sizes: Callable[..., Any]) -> None:
    """A start checks its choice before the hook, and not again when it makes the child; the next
    start checks anew."""
    wrapper = sizes()
    for memory in ("2G", "3G"):
        child: Any = await start(wrapper, profile="sizes", memory=memory)
        assert {"node_count": 1, "memory": memory} == child.resources
        assert [{"profile": "sizes", "memory": memory}] == wrapper.checks
        wrapper.checks.clear()
        await stop(wrapper)
    with pytest.raises(web.HTTPError, match="'5G' must be at most 4G"):
        await start(wrapper, profile="sizes", memory="5G")


async def test_a_start_makes_few_spawners(sizes: Callable[..., Any]) -> None:
    """A start makes two spawners: the child, and one to read the configured settings."""
    wrapper = sizes(resources={"cpu_cores_per_process": 2}, options={"memory": {"max": "queue"}})
    Job.made = 0
    child: Any = await start(wrapper, profile="sizes", memory="2G")
    assert {"node_count": 1, "cpu_cores_per_process": 2, "memory": "2G"} == child.resources
    assert 2 == Job.made


@pytest.mark.parametrize("in_place", [True, False])
async def test_a_hook_may_change_the_choice(sizes: Callable[..., Any], in_place: bool) -> None:
    """A choice that a hook has changed is checked again, and is what the child gets."""

    def hook(spawner: Any) -> None:
        if in_place:
            spawner.user_options["memory"] = "4G"
        else:
            spawner.user_options = {"profile": "sizes", "memory": "4G"}

    wrapper = sizes(hook)
    child: Any = await start(wrapper, profile="sizes", memory="2G")
    assert "4G" == child.resources["memory"]
    assert ["2G", "4G"] == [one["memory"] for one in wrapper.checks]


async def test_a_hook_may_not_exceed_what_is_offered(sizes: Callable[..., Any]) -> None:
    """A choice that a hook has changed to something else than what is offered is refused."""

    def hook(spawner: Any) -> None:
        spawner.user_options["memory"] = "5G"

    with pytest.raises(web.HTTPError, match="'5G' must be at most 4G"):
        await start(sizes(hook), profile="sizes", memory="2G")


async def test_a_child_without_a_hook_before_it_is_checked(sizes: Callable[..., Any]) -> None:
    """A child is made only from a checked choice, also if nothing has checked it before."""
    wrapper = sizes()
    wrapper.user_options = {"profile": "sizes", "memory": "5G"}
    with pytest.raises(InvalidJobError, match="'5G' must be at most 4G"):
        wrapper.construct_child()


async def test_a_jobs_name_has_the_profile(new: NewWrapper) -> None:
    """{profile} in job_name is the profile of the start."""
    names = [{"display_name": name, "slug": name, "spawner": "unispawner"} for name in ("a", "b")]
    settings = {"scheduler": "slurm", "job_name": "{profile}-{username}"}
    wrapper = new(ProfilesSpawner, ProfilesSpawner={"profiles": names}, UniSpawner=settings)
    wrapper.user_options = {"profile": "b"}
    child: Any = wrapper.construct_child()
    assert f"b-{wrapper.user.name}" == child.fill_job_name()
