"""The schema of profiles and what is free, in the API of a Hub's own application."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from support.hub import until
from support.hub_app import FakeSpawner, Hub, hub_app
from tornado.httpclient import AsyncHTTPClient
from traitlets.config import Config

from unispawner import ProfilesSpawner
from unispawner.errors import InvalidJobError
from unispawner.profiles.reading import read_profiles
from unispawner.profiles.schema import options_schema
from unispawner.web.api import ASSETS

pytestmark = [
    pytest.mark.hub,
    pytest.mark.filterwarnings("ignore:The `version` property of an event schema"),
]
PROFILES: list[dict[str, Any]] = [
    {
        "display_name": "Notebook",
        "slug": "notebook",
        "spawner": FakeSpawner,
        "options": {
            "cpu_cores_per_process": {"min": 1, "max": "queue", "default": 2},
            "process_count": {"min": 3, "max": 12, "step": 4},
            "memory": {"min": "1G", "max": "64G", "default": "4G"},
            "duration": {"max": "08:00:00"},
            "account": {"pattern": "[a-z]+"},
            "queue_name": {"default": "default", "locked": True},
            "software": {
                "choices": {
                    "plain": {"display_name": "Python", "override": {"prologue": "true"}},
                    "conda": {"display_name": "Conda", "override": {"prologue": "conda"}},
                },
                "default": "plain",
            },
            "exclusive_node_use": {"when": {"software": "conda"}},
            "gpu_cores_per_process": {
                "choices": {"0": "none", "1": "one"},
                "when": {"exclusive_node_use": True},
            },
        },
    },
    {"display_name": "GPU", "slug": "gpu", "groups": ["gpu-users"], "spawner": FakeSpawner},
]
OFFERED = read_profiles(PROFILES)
SCHEMA = options_schema(OFFERED)


@pytest.fixture(scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hub]:
    config = Config()
    config.JupyterHub.spawner_class = ProfilesSpawner
    config.ProfilesSpawner.profiles = PROFILES
    config.FakeSpawner.inventory_interval = 1
    config.JupyterHub.services = [{"name": "portal", "api_token": "p" * 32}]
    config.JupyterHub.load_roles = [
        {"name": "portal", "services": ["portal"], "scopes": ["read:servers"]}
    ]
    config.JupyterHub.load_groups = {"gpu-users": {"users": ["bob"]}}
    async with hub_app(tmp_path_factory.mktemp("hub"), config) as found:
        yield found


async def get(hub: Hub, path: str, user: str = "ada", code: int = 200) -> dict[str, Any]:
    response = await hub.get(f"unispawner/{path}", hub.user(user).new_api_token())
    assert code == response.code
    return dict(json.loads(response.body))


# -- the schema ---------------------------------------------------------------------------------


async def test_the_schema_is_of_what_is_offered(hub: Hub) -> None:
    """Each user gets a valid schema of the profiles that are offered to this user."""
    ada, bob = await get(hub, "schema"), await get(hub, "schema", "bob")
    assert options_schema(OFFERED[:1]) == ada
    assert json.loads(json.dumps(SCHEMA)) == bob
    Draft202012Validator.check_schema(bob)


@pytest.mark.threat(
    who="user",
    tries="They ask the API about the servers of somebody else.",
    stopped_by="The API answers only those who may read the server, and the server itself.",
)
async def test_who_may_ask(hub: Hub) -> None:
    """A request needs a token; a service names the user; a user whose servers the sender may not
    read is not found."""
    assert 403 == (await hub.get("unispawner/schema", None)).code
    assert 400 == (await hub.get("unispawner/schema", "p" * 32)).code
    of_bob = await hub.get("unispawner/schema?user=bob", "p" * 32)
    assert (200, 2) == (of_bob.code, len(json.loads(of_bob.body)["oneOf"]))
    for path in ("schema", "inventory"):
        await get(hub, f"{path}?user=bob", code=404)
        await get(hub, f"{path}?user=nobody", code=404)
        await get(hub, f"{path}?user=", code=400)
        limited = hub.user("ada").new_api_token(scopes=["read:users:name!user=ada"])
        assert 404 == (await hub.get(f"unispawner/{path}", limited)).code


RIGHT: list[dict[str, Any]] = [
    {},
    {"cpu_cores_per_process": 16, "memory": "64G", "duration": "08:00:00", "account": "physics"},
    {"process_count": 7, "queue_name": "default"},
    {"software": "conda", "exclusive_node_use": True, "gpu_cores_per_process": 1},
    {"software": "conda", "exclusive_node_use": False},
]
WRONG: list[dict[str, Any]] = [
    {"profile": "other"},
    {"prologue": "id"},
    {"cpu_cores_per_process": 0},
    {"cpu_cores_per_process": "many"},
    {"process_count": 8},
    {"memory": "$(id)"},
    {"memory": "4000"},
    {"memory": "all"},
    {"account": "Physics"},
    {"queue_name": "other"},
    {"software": "rust"},
    {"exclusive_node_use": True},
    {"software": "plain", "exclusive_node_use": True},
    {"software": "conda", "gpu_cores_per_process": 1},
    {"software": "conda", "exclusive_node_use": False, "gpu_cores_per_process": 1},
]


@pytest.mark.parametrize("options", RIGHT, ids=str)
def test_what_the_schema_allows(options: dict[str, Any]) -> None:
    """The Hub accepts what the schema allows, and what it saves fits the schema, too."""
    Draft202012Validator(SCHEMA).validate({"profile": "notebook", **options})
    saved = OFFERED[0].check(options).user_options
    Draft202012Validator(SCHEMA).validate(saved)


@pytest.mark.parametrize("options", WRONG, ids=str)
def test_what_the_schema_refuses(options: dict[str, Any]) -> None:
    """The Hub refuses what the schema refuses."""
    assert not Draft202012Validator(SCHEMA).is_valid({"profile": "notebook", **options})


_values = st.one_of(
    st.integers(-5, 20),
    st.booleans(),
    st.none(),
    st.sampled_from(
        [
            "plain",
            "conda",
            "4G",
            "500M",
            "99T",
            "16",
            "4294967296",
            "02:00:00",
            "09:00:00",
            "default",
            "a",
        ]
    ),
    st.text(max_size=5),
)


@given(st.dictionaries(st.sampled_from([*OFFERED[0].options, "other"]), _values, max_size=4))
def test_the_schema_promises_nothing(options: dict[str, Any]) -> None:
    """The Hub refuses only those options allowed by the schema whose memory or time is out of
    bounds."""
    if Draft202012Validator(SCHEMA).is_valid({"profile": "notebook", **options}):
        try:
            OFFERED[0].check(options)
        except InvalidJobError as error:
            refused = {part.partition(":")[0] for part in error.message.split("; ")}
            assert refused <= {"memory", "duration"}


# -- what is free -------------------------------------------------------------------------------


async def get_cluster(hub: Hub) -> dict[str, Any]:
    return dict((await get(hub, "inventory"))["clusters"]["fake"])


async def wait_for_cluster(hub: Hub) -> dict[str, Any]:
    """Return what the API reports, once anything is known."""

    async def find() -> dict[str, Any]:
        found = await get_cluster(hub)
        return found if found["queues"] else {}

    return dict(await until(find, "the nodes are known"))


async def test_nobody_waits_for_the_scheduler(hub: Hub) -> None:
    """The API replies at once with what is known, and refreshes it in the background."""
    nothing: dict[str, Any] = {
        "as_of": None,
        "stale": True,
        "default_queue": "",
        "queues": {},
        "refresh_in": 3,
    }
    assert nothing == await get_cluster(hub)
    found = await wait_for_cluster(hub)
    assert not found["stale"]
    assert found["as_of"] <= time.time()
    names = FakeSpawner.fake.directory.joinpath("nodes").read_text().split()
    queue = found["queues"]["default"]
    assert {"total": len(names), "idle": None} == queue["nodes"], "the fake does not tell"
    assert 8 == queue["limits"]["cpu_cores_per_process"]
    assert queue["words"].startswith(f"There are {8 * len(names)} cores; ")


async def test_a_scheduler_that_does_not_answer(hub: Hub) -> None:
    """If the scheduler does not answer, the API reports the last inventory as stale."""
    before = await wait_for_cluster(hub)
    nodes = FakeSpawner.fake.directory / "nodes"
    hidden = nodes.rename(nodes.with_name("hidden"))
    try:

        async def is_stale() -> bool:
            return bool((await get_cluster(hub))["stale"])

        await until(is_stale, "the inventory is stale")
        assert before["queues"] == (await get_cluster(hub))["queues"]
    finally:
        hidden.rename(nodes)


@pytest.mark.threat(
    who="stranger",
    tries="They ask for files beside the folder of our pages.",
    stopped_by="The Hub serves the files of our pages and nothing else.",
)
async def test_the_files_of_our_pages(hub: Hub) -> None:
    """The Hub serves the files of our pages, and nothing beside their folder."""
    base = hub.url.removesuffix("/api")
    files = list(ASSETS.iterdir())
    assert files
    for path in files:
        response = await AsyncHTTPClient().fetch(f"{base}/unispawner/static/{path.name}")
        assert path.read_bytes() == response.body
    for name in ("..%2Fapi.py", "../api.py", "", "none"):
        response = await AsyncHTTPClient().fetch(
            f"{base}/unispawner/static/{name}", raise_error=False
        )
        assert response.code in (403, 404)


# -- what a hand-written request says ------------------------------------------------------------


@pytest.mark.threat(
    who="user",
    tries="They send the API a choice that no profile offers.",
    stopped_by="The Hub checks every choice against the profile's definition, whoever sends it.",
)
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ('{"profile": "gpu"}', "profile: 'gpu' is not offered; offered profiles: notebook"),
        ('{"profile": ["notebook"]}', "profile: a list is not offered"),
        ('{"profile": {"a": {}}}', "profile: an object is not offered"),
        ('{"profile": null}', "profile: None is not offered"),
        ('{"profil": "notebook"}', "profile: no profile is named"),
        ('{"prologue": "id"}', "'prologue': unknown option of profile 'notebook'"),
        ('{"resources": {"memory": "1T"}}', "'resources': unknown option"),
        (
            '{"queue_name": "other"}',
            "queue_name: 'other' is not possible: the option is locked to default",
        ),
        ('{"cpu_cores_per_process": -1}', "cpu_cores_per_process: -1 must be at least 1"),
        ('{"cpu_cores_per_process": NaN}', "cpu_cores_per_process: nan must be a whole number"),
        ('{"cpu_cores_per_process": Infinity}', "cpu_cores_per_process: inf must be"),
        ('{"cpu_cores_per_process": 1.5}', "cpu_cores_per_process: 1.5 must be a whole number"),
        ('{"cpu_cores_per_process": true}', "cpu_cores_per_process: True must be a whole"),
        ('{"cpu_cores_per_process": [2]}', "cpu_cores_per_process: a list must be a whole number"),
        ('{"cpu_cores_per_process": %s}' % ("9" * 4000), "a number of 13288 bits must be"),
        ('{"memory": "65G"}', "memory: '65G' must be at most 64G"),
        ('{"memory": "1G\\n#SBATCH --uid=0"}', "memory: "),
        ('{"duration": "08:00:01"}', "duration: '08:00:01' must be at most 08:00:00"),
        ('{"account": "a\\nb"}', "account: 'a\\nb' must be text on one line"),
        ('{"account": "$(id)"}', "account: '$(id)' must match [a-z]+"),
        ('{"account": "{{ x }}"}', "account: '{{ x }}' must match"),
        ('{"account": "\\"\'"}', "must match [a-z]+"),
        ('{"account": "#SBATCH"}', "account: '#SBATCH' must match"),
        ('{"software": "rust"}', "software: 'rust' must be one of plain, conda"),
        (
            '{"exclusive_node_use": true}',
            "exclusive_node_use: can only be set if software is conda",
        ),
        (
            '{"memory": "65G", "account": 7}',
            "memory: '65G' must be at most 64G; account: 7 must be",
        ),
    ],
    ids=lambda value: value[:40],
)
async def test_what_is_not_offered(hub: Hub, options: str, reason: str) -> None:
    """A choice that is not offered is refused with 400 and every reason, and no job is
    submitted."""
    if '"profil' not in options:
        options = '{"profile": "notebook", ' + options[1:]
    ada = hub.user("ada")
    response = await hub.post(options.encode(), ada.new_api_token(), "users/ada/server")
    assert 400 == response.code
    assert reason in json.loads(response.body)["message"]
    assert {} == FakeSpawner.fake.jobs
    assert not ada.spawners[""].active


@pytest.mark.threat(
    who="user",
    tries="Their saved options are changed in the database, or the profile has changed since.",
    stopped_by="Options are checked again at each start.",
)
async def test_options_that_were_changed_since(hub: Hub) -> None:
    """A choice that was changed in the database is checked at the start."""
    ada = hub.user("ada")
    ada.spawners[""].orm_spawner.user_options = {"profile": "notebook", "memory": "99T"}
    ada.db.commit()
    ada.spawners.pop("")
    response = await hub.post(b"", ada.new_api_token(), "users/ada/server")
    assert 400 == response.code
    assert {} == FakeSpawner.fake.jobs
