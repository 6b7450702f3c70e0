"""ProfilesSpawner with a Hub's own application: what it gives the pages and the API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from jsonschema import Draft202012Validator
from jupyterhub import orm
from jupyterhub.objects import Server
from jupyterhub.spawner import LocalProcessSpawner
from jupyterhub.utils import maybe_future
from support.hub import until
from support.hub_app import NODE, OTHER, PATIENCE, FakeSpawner, Hub, profiles_hub

from unispawner import JobState
from unispawner.monitor import rhythm
from unispawner.profiles.children import ChildFactory
from unispawner.web.failures import SpawnFailure
from unispawner.web.reports import Report

pytestmark = pytest.mark.filterwarnings("ignore:The `version` property of an event schema")


class OwnForm(LocalProcessSpawner):
    """A spawner of another kind, with its own form."""

    options_form = "<input name='size'>"


PROFILES: list[Any] = [
    {
        "display_name": "Job",
        "slug": "job",
        "spawner": FakeSpawner,
        "options": {
            "exclusive_node_use": {},
            "node_count": {"min": 1},
            "software": {
                "choices": {"conda": {"display_name": "Conda", "override": {"prologue": "x"}}}
            },
        },
    },
    ("Here", "here", LocalProcessSpawner, {}),
    ("Plain job", "plain", FakeSpawner, {}),
    ("Own form", "own", OwnForm, {}),
    {"display_name": "Staff", "slug": "staff", "users": ["bob"], "spawner": FakeSpawner},
]
CHOICE: dict[str, Any] = {
    "profile": "job",
    "exclusive_node_use": True,
    "node_count": 2,
    "software": "conda",
}
HubWith = Callable[[Any], AbstractAsyncContextManager[Hub]]


@pytest.fixture
def hub_with(tmp_path: Path) -> HubWith:
    """Return a function that begins a Hub with some profiles."""

    return lambda profiles: profiles_hub(tmp_path, profiles)


def spawner_of(hub: Hub, user: str = "ada", **user_options: Any) -> Any:
    """Return a user's spawner; ``user_options`` were chosen the last time."""
    spawner = hub.user(user).spawners[""]
    spawner.user_options = user_options
    return spawner


async def get(hub: Hub, path: str, code: int = 200) -> dict[str, Any]:
    response = await hub.get(f"unispawner/{path}", hub.user("ada").new_api_token())
    assert code == response.code
    return dict(json.loads(response.body))


# -- the last choice ----------------------------------------------------------------------------


async def test_the_same_choice_again(hub: Hub) -> None:
    """The fields of the last choice, sent as a form, make the same choice; the page shows it in
    words."""
    spawner = spawner_of(hub, **CHOICE)
    fields = spawner.same_choice()
    assert {**CHOICE, "exclusive_node_use": "true", "node_count": "2"} == fields
    form = {name: [value] for name, value in fields.items()}
    assert CHOICE == await maybe_future(spawner.options_from_form(form))
    assert "Job" == spawner.profile_title()
    assert "Whole nodes: yes, Nodes: 2, software: Conda" == spawner.choice_in_words()


@pytest.mark.parametrize(
    ("user_options", "fields", "title"),
    [
        ({"profile": "here"}, {"profile": "here"}, "Here"),
        ({"profile": "own", "size": "7"}, {}, ""),
        ({"profile": "staff"}, {}, ""),
        ({"profile": "gone"}, {}, ""),
        ({"profile": "job", "node_count": 0}, {}, ""),
        ({"profile": "here", "more": "x"}, {}, ""),
        ({}, {}, ""),
    ],
    ids=str,
)
async def test_what_can_not_be_chosen_again(
    hub: Hub, user_options: dict[str, Any], fields: dict[str, str], title: str
) -> None:
    """A choice of a spawner's own form, or that is not offered any more, is not offered again with
    one click."""
    spawner = spawner_of(hub, **user_options)
    assert (fields, title) == (spawner.same_choice(), spawner.profile_title())
    assert "" == spawner.choice_in_words()


# -- what is free -------------------------------------------------------------------------------


async def test_only_jobs_have_a_cluster(hub: Hub) -> None:
    """The API and the form show what is free only for profiles whose servers are jobs."""
    spawner = spawner_of(hub)
    found = {one.slug: ChildFactory(one, spawner).availability() for one in spawner.offer.get()}
    assert {"job": True, "here": False, "plain": True, "own": False} == {
        slug: one is not None for slug, one in found.items()
    }
    assert ["fake"] == list((await get(hub, "inventory"))["clusters"])
    page = await spawner.get_options_form()
    assert 4 == page.count("data-profile=")
    assert 2 == page.count("data-cluster=") == page.count("data-free>")


async def test_other_options(hub: Hub) -> None:
    """The schema allows other options exactly where the Hub accepts them: where the spawner's class
    decides which there are."""
    spawner = spawner_of(hub)
    schema = Draft202012Validator(await get(hub, "schema"))
    taken = {}
    for profile in spawner.offer.get():
        options = {"profile": profile.slug, "more": "x"}
        spawner.user_options = options
        try:
            await spawner.run_pre_spawn_hook()
        except SpawnFailure:
            taken[profile.slug] = False
        else:
            taken[profile.slug] = True
        assert schema.is_valid(options) == taken[profile.slug]
    assert {"job": False, "here": True, "plain": False, "own": True} == taken


# -- profiles of a function ---------------------------------------------------------------------


async def for_user(spawner: Any) -> list[Any]:
    """Return profiles after a moment."""
    await asyncio.sleep(0)
    return [{**PROFILES[0], "display_name": f"Job of {spawner.user.name}"}]


@pytest.mark.parametrize("profiles", [for_user, lambda spawner: for_user(spawner)])
async def test_profiles_that_have_to_be_waited_for(hub_with: HubWith, profiles: Any) -> None:
    """The API and the form wait for an async function of profiles; a page, which can't wait, has no
    last choice until the profiles are known."""
    async with hub_with(profiles) as hub:
        spawner = spawner_of(hub, **CHOICE)
        assert ({}, "") == (spawner.same_choice(), spawner.profile_title())
        (schema,) = (await get(hub, "schema"))["oneOf"]
        assert "Job of ada" == schema["title"]
        assert "Job of ada" == spawner.profile_title()

        async def find_queues() -> Any:
            return (await get(hub, "inventory"))["clusters"]["fake"]["queues"]

        assert ["default"] == list(await until(find_queues, "the nodes are known"))
        page = await spawner.get_options_form()
        assert "Job of ada" in page
        form = {"profile": ["job"], "job--node_count": ["2"]}
        expected = {"profile": "job", "node_count": 2}
        assert expected == await spawner.options_from_form(form)


async def fail(spawner: Any) -> list[Any]:
    await asyncio.sleep(0)
    raise OSError("the directory does not answer")


@pytest.mark.parametrize(
    ("profiles", "words"),
    [
        (fail, "c.ProfilesSpawner.profiles failed: OSError: the directory does not answer"),
        (lambda spawner: [{"slug": "a"}], "display_name: this key is required"),
    ],
)
async def test_profiles_that_can_not_be_read(hub_with: HubWith, profiles: Any, words: str) -> None:
    """If the profiles can't be read, the API replies with the reason, and a page has no last
    choice."""
    async with hub_with(profiles) as hub:
        for path in ("schema", "inventory"):
            assert words in (await get(hub, path, code=424))["message"]
        assert {} == spawner_of(hub, **CHOICE).same_choice()


# -- a job that is run again --------------------------------------------------------------------


async def test_the_route_of_a_job_that_is_run_again(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JupyterHub makes routes of the wrapper's address: it goes to the dead address, and moves on.

    Another user may take the freed port.
    """
    monkeypatch.setattr(rhythm, "FAST_INTERVAL", 0.02)
    monkeypatch.setattr(rhythm, "LARGEST_SHARE", 1.0)
    wrapper, user = spawner_of(hub, profile="plain"), hub.user("ada")
    row = orm.Server(base_url=user.base_url)
    hub.app.db.add(row)
    hub.app.db.commit()
    wrapper.server = Server(orm_server=row)
    wrapper.api_token = user.new_api_token(scopes=["users:activity!user"])
    routes: list[str] = []

    async def add_user(user: Any, name: str) -> None:
        routes.append(user.spawners[name].server.host)

    monkeypatch.setattr(hub.app.proxy, "add_user", add_user)

    async def run(host: str) -> None:
        job_id = wrapper.child_spawner.server_job.state.job_id
        FakeSpawner.fake.change(job_id, JobState.RUNNING, exec_host=host)
        await wrapper.child_spawner.monitor().refresh(PATIENCE)
        await wrapper.child_spawner.take_report(Report(3000, host))

    wrapper._spawn_pending = True
    start = asyncio.ensure_future(wrapper.start())
    await until(lambda: wrapper.child_spawner.server_job.state.job_id, "the job is submitted")
    await run(NODE)
    url = urlsplit(await start)
    wrapper.server.ip, wrapper.server.port = url.hostname, url.port
    wrapper._spawn_pending = False
    job_id = wrapper.child_spawner.server_job.state.job_id
    FakeSpawner.fake.change(job_id, JobState.QUEUED, exec_host="")
    await until(lambda: routes, "the route is moved")
    await run(OTHER)
    await until(lambda: routes[1:], "the route is moved again")
    assert ["http://127.0.0.1:1", f"http://{OTHER}:3000"] == routes
    assert (OTHER, 3000) == (row.ip, row.port)
    await wrapper.stop()
    wrapper.server = None
    wrapper.clear_state()
