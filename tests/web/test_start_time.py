"""``POST /hub/api/unispawner/start-time`` of a Hub's own application: who may ask, and what."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from jupyterhub.spawner import SimpleLocalProcessSpawner
from support.hub_app import FakeSpawner, Hub, hub_app
from support.inventories import GIGABYTE
from traitlets.config import Config

from unispawner import ProfilesSpawner
from unispawner.job import JobInfo, JobState
from unispawner.profiles import start_time as of_profiles
from unispawner.profiles.children import ChildFactory
from unispawner.schedulers.estimate import Outlook, StartEstimate
from unispawner.schedulers.inventory import Inventory, Node, Queue
from unispawner.web import start_time as web_start_time
from unispawner.web.allowance import AllowanceByUser
from unispawner.web.per_hub import PerHub
from unispawner.web.start_time import Sooner, StartAnswer

pytestmark = [
    pytest.mark.hub,
    pytest.mark.filterwarnings("ignore:The `version` property of an event schema"),
]
CORES = "cpu_cores_per_process"
PROFILES: list[dict[str, Any]] = [
    {
        "display_name": "Notebook",
        "slug": "notebook",
        "spawner": FakeSpawner,
        "options": {CORES: {"min": 1, "max": 16, "default": 8}, "memory": {"max": "64G"}},
    },
    {"display_name": "GPU", "slug": "gpu", "groups": ["gpu-users"], "spawner": FakeSpawner},
    {"display_name": "Local", "slug": "local", "spawner": SimpleLocalProcessSpawner},
]
INVENTORY = Inventory(
    queues=(Queue("default", default=True),),
    nodes=(Node("a", True, 16, 5, 0, 0, 64 * GIGABYTE, 64 * GIGABYTE, frozenset({"default"})),),
)
EIGHT = {"user_options": {"profile": "notebook"}}


@pytest.fixture(scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hub]:
    config = Config()
    config.JupyterHub.spawner_class = ProfilesSpawner
    config.ProfilesSpawner.profiles = PROFILES
    config.JupyterHub.services = [{"name": "portal", "api_token": "p" * 32}]
    config.JupyterHub.load_roles = [
        {"name": "portal", "services": ["portal"], "scopes": ["servers", "read:servers"]}
    ]
    async with hub_app(tmp_path_factory.mktemp("hub"), config) as found:
        yield found


def requests(at_once: int, pause: float) -> PerHub[AllowanceByUser]:
    """Return what a Hub allows its users instead."""
    return PerHub(lambda: AllowanceByUser(at_once, pause))


@pytest.fixture(autouse=True)
def known(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the inventory of the fake scheduler be known, and let everybody ask often."""
    monkeypatch.setattr(web_start_time, "REQUESTS", requests(1000, 1.0))
    cache_class = "unispawner.monitor.inventory_cache.InventoryCache"
    monkeypatch.setattr(f"{cache_class}.peek", lambda *_: INVENTORY)


async def ask(hub: Hub, body: Any, path: str = "", code: int = 200, token: str | None = "") -> Any:
    if token == "":
        token = hub.user("ada").new_api_token()
    response = await hub.post(body, token, f"unispawner/start-time{path}")
    assert code == response.code, response.body
    return json.loads(response.body)


async def test_an_estimate_from_the_inventory(hub: Hub) -> None:
    """A scheduler that can't be asked has an estimate, which says so, and a smaller choice."""
    answer = await ask(hub, EIGHT)
    assert ("not_now", True, None) == (answer["outlook"], answer["by_inventory"], answer["start"])
    sooner = answer["sooner"]
    expected = ("4 cores", "now", True)
    assert expected == (sooner["words"], sooner["outlook"], sooner["by_inventory"])
    assert {"profile": "notebook", CORES: 4} == sooner["user_options"]
    four = await ask(hub, {"user_options": sooner["user_options"]})
    assert ("now", None) == (four["outlook"], four["sooner"])
    assert [] == FakeSpawner.side.asked("submit")


@pytest.mark.threat(
    who="user",
    tries="They ask when a choice would start that no profile offers.",
    stopped_by="The Hub checks the choice as at a start, before anybody is asked.",
)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"profile": "gpu"},
        {"profile": "notebook", CORES: 17},
        {"profile": "notebook", "prologue": "id"},
        {"profile": ["notebook"]},
    ],
)
async def test_a_choice_that_is_not_offered(hub: Hub, options: dict[str, Any]) -> None:
    """A choice that a start would refuse is refused with 400."""
    await ask(hub, {"user_options": options}, code=400)


@pytest.mark.parametrize(
    "body", [{}, [], "x", None, {"user_options": 1}, {"server": None}, {**EIGHT, "server": ""}]
)
async def test_a_body_of_another_form(hub: Hub, body: Any) -> None:
    """Any other body is refused with 400."""
    await ask(hub, body, code=400)
    await ask(hub, b"{" * 10, code=400)


@pytest.mark.threat(
    who="user",
    tries="They have the scheduler asked under the account of somebody else.",
    stopped_by="Users can ask when a server starts only for themselves.",
)
async def test_who_may_ask(hub: Hub) -> None:
    """Nobody asks for another user, not even an administrator or a service."""
    await ask(hub, EIGHT, code=403, token=None)
    await ask(hub, EIGHT, code=403, token="p" * 32)
    hub.user("bob")
    await ask(hub, EIGHT, "?user=bob", code=403)
    admin = hub.user("root-of-hub")
    admin.admin = True
    hub.app.db.commit()
    await ask(hub, EIGHT, "?user=bob", code=403, token=admin.new_api_token())
    await ask(hub, EIGHT, "?user=ada")


@pytest.mark.threat(
    who="user",
    tries="They ask the Hub again and again when their server would start.",
    stopped_by="Each user may ask only so often, and the Hub asks few at a time for everybody.",
)
async def test_too_many_requests(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who asks too often is refused with 429, before anything is computed."""
    monkeypatch.setattr(web_start_time, "REQUESTS", requests(2, 3600.0))
    await ask(hub, EIGHT)
    await ask(hub, EIGHT)
    await ask(hub, EIGHT, code=429)
    await ask(hub, EIGHT, token=hub.user("bob").new_api_token())


@pytest.mark.threat(
    who="job",
    tries="It asks the Hub when servers of its user would start, to load the scheduler.",
    stopped_by="The question needs the right to start servers, which a server's token lacks.",
)
async def test_a_servers_token_may_not_ask(hub: Hub) -> None:
    """The token of a server, and any without the scope `servers`, is refused."""
    for scopes in (["users:activity!user=ada"], ["read:servers!user=ada"]):
        token = hub.user("ada").new_api_token(scopes=scopes)
        await ask(hub, EIGHT, code=403, token=token)


async def test_a_spawner_without_a_queue(hub: Hub) -> None:
    """For a profile whose server is not a job, nothing is known."""
    answer = await ask(hub, {"user_options": {"profile": "local"}})
    assert ("unknown", None) == (answer["outlook"], answer["sooner"])


async def test_a_server_that_does_not_wait(hub: Hub) -> None:
    """There is no answer about a server that does not exist or is not active."""
    await ask(hub, {"server": ""}, code=404)
    await ask(hub, {"server": "none"}, code=404)


class Job:
    """A job that waits, as much of it as an answer reads."""

    def __init__(self, spawner: Any, info: JobInfo, waiting_since: float) -> None:
        self.spawner = spawner
        self.tracked = type("Tracked", (), {"info": info})()
        self.state = type("State", (), {"waiting_since": waiting_since})()


@pytest.mark.parametrize(
    ("state", "estimated_start", "waiting_since", "expected", "words"),
    [
        (JobState.QUEUED, 8e9, 8e9, Outlook.LATER, "4 cores"),
        (JobState.QUEUED, 1.0, 0.0, Outlook.NOW, None),
        (JobState.QUEUED, None, 1.0, Outlook.NOT_NOW, "4 cores"),
        (JobState.QUEUED, None, 8e9, Outlook.UNKNOWN, None),
        (JobState.HELD, 8e9, 0.0, Outlook.UNKNOWN, None),
        (JobState.RUNNING, 8e9, 0.0, Outlook.UNKNOWN, None),
    ],
)
async def test_a_server_that_waits(
    hub: Hub,
    state: JobState,
    estimated_start: float | None,
    waiting_since: float,
    expected: Outlook,
    words: str | None,
) -> None:
    """A smaller choice is proposed for a job that waits long, and not for one that is held, runs,
    starts soon or has only just been submitted."""
    wrapper = hub.user("ada").spawner
    factory = ChildFactory(wrapper.offer.get_now()[0], wrapper)
    chosen = factory.profile.check({"profile": "notebook"})
    info = JobInfo("ada", state, estimated_start=estimated_start)
    job = Job(factory.make_idle({}), info, waiting_since)
    answer = await of_profiles.find_sooner_start(factory, chosen, job)
    assert (expected, words) == (answer.estimate.outlook, answer.sooner and answer.sooner.words)


def test_the_answer_as_json() -> None:
    """Moments are written as JupyterHub writes them, and never lie in the past."""
    later = StartEstimate(Outlook.LATER, 4_000_000_000.9)
    answer = StartAnswer(later, Sooner("2 cores", {"a": 1}, StartEstimate.at(5.0, 5.0)), "Slurm")
    data = answer.to_dict()
    assert "2096-10-02T07:06:40Z" == data["start"]
    assert data["sooner"]["start"] > "2026"
    unknown = replace(answer, estimate=StartEstimate(), sooner=None).to_dict()
    assert (None, None, "unknown") == (unknown["start"], unknown["sooner"], unknown["outlook"])
    json.dumps(data)
