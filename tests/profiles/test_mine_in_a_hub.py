"""Options whose choices are what the user may use, in a Hub: the form, the API and the start."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jupyterhub.utils import maybe_future
from support.hub import until
from support.hub_app import FakeSpawner, Hub

from unispawner.errors import AgentError, SubmitError
from unispawner.monitor import usable_cache
from unispawner.schedulers.usable import Entry, make_usable
from unispawner.web.failures import SpawnFailure

pytestmark = pytest.mark.filterwarnings("ignore:The `version` property of an event schema")

PROFILES: list[Any] = [
    {
        "display_name": "Job",
        "slug": "job",
        "spawner": FakeSpawner,
        "options": {
            "account": {"choices": "mine"},
            "qos": {"choices": "mine", "pattern": "[a-z]{1,8}"},
            "memory": {"max": "4G"},
        },
    },
    {"display_name": "Plain", "slug": "plain", "spawner": FakeSpawner, "options": {"memory": {}}},
    {
        "display_name": "Staff",
        "slug": "staff",
        "users": ["bob"],
        "spawner": FakeSpawner,
        "options": {"account": {"choices": "mine"}},
    },
]
USABLE = make_usable(
    {"account": [Entry("chem"), Entry("physics", default=True)], "qos": [Entry("normal")]},
    [
        [
            {"account": frozenset(("physics",)), "qos": frozenset(("", "normal"))},
            {"account": frozenset(("chem",)), "qos": frozenset(("",))},
        ]
    ],
)


@pytest.fixture
async def hub(hub: Hub) -> Hub:
    FakeSpawner.side.usable = USABLE
    return hub


def spawner_of(hub: Hub, **user_options: Any) -> Any:
    spawner = hub.user("ada").spawners[""]
    spawner.user_options = user_options
    return spawner


def asked() -> int:
    """Return how often the scheduler was asked as a user."""
    return len(FakeSpawner.side.asked("usable"))


async def get(hub: Hub, path: str, user: str = "ada") -> tuple[int, dict[str, Any]]:
    response = await hub.get(f"unispawner/{path}", hub.user(user).new_api_token())
    return response.code, dict(json.loads(response.body))


async def mine(hub: Hub) -> dict[str, Any]:
    """Return the answer of the API when the scheduler has answered."""
    answer: dict[str, Any] = {}

    async def there() -> bool:
        answer.update((await get(hub, "mine?profile=job"))[1])
        return answer["refresh_in"] is None

    await until(there, "there is an answer")
    return answer


async def choose(hub: Hub, **fields: str) -> dict[str, Any]:
    """Send the form; return the options, which are checked."""
    form = {"profile": ["job"], **{f"job--{name}": [one] for name, one in fields.items()}}
    return dict(await maybe_future(spawner_of(hub).options_from_form(form)))


# -- the API ------------------------------------------------------------------------------------


async def test_the_api_does_not_wait(hub: Hub) -> None:
    """The first answer says that nothing is known yet and when to ask again; a later one has what
    the user may use. Hundreds of requests are one question."""
    code, first = await get(hub, "mine?profile=job")
    assert (200, {}, []) == (code, first["fields"], first["rules"])
    assert first["refresh_in"] > 0
    found = await mine(hub)
    assert ["chem", "physics"] == [one["name"] for one in found["fields"]["account"]]
    assert found["rules"]
    for _ in range(20):
        await mine(hub)
    assert 1 == asked()


async def test_a_profile_that_offers_nothing_of_this_asks_nobody(hub: Hub) -> None:
    """A profile without such an option causes no question to the scheduler."""
    _, found = await get(hub, "mine?profile=plain")
    assert ({}, None) == (found["fields"], found["refresh_in"])
    assert 0 == asked()


@pytest.mark.threat(
    who="user",
    tries="They read what accounts, queues and reservations another user may use.",
    stopped_by="The answer is for the user, and for whoever may start the user's servers.",
)
async def test_only_ones_own(hub: Hub) -> None:
    """A user can't read what another may use, whatever the other's name is."""
    hub.user("bob")
    for name in ("bob", "nobody"):
        code, _ = await get(hub, f"mine?profile=job&user={name}")
        assert 404 == code
    assert 403 == (await hub.get("unispawner/mine?profile=job", None)).code
    assert 0 == asked()


@pytest.mark.parametrize("slug", ["staff", "gone", "", "%00", "a" * 5000])
async def test_a_profile_that_is_not_offered(hub: Hub, slug: str) -> None:
    """A profile that this user is not offered does not exist here, either."""
    code, _ = await get(hub, f"mine?profile={slug}")
    assert 404 == code or (code == 400 and slug == "%00")


async def test_the_schema_says_what_is_known(hub: Hub) -> None:
    """Before the answer the schema allows each name, and after it those of the user."""
    _, schema = await get(hub, "schema")
    account = schema["oneOf"][0]["properties"]["account"]
    assert ("mine", True) == (account["x-choices"], "pattern" in account)
    await mine(hub)
    _, schema = await get(hub, "schema")
    assert ["chem", "physics"] == schema["oneOf"][0]["properties"]["account"]["enum"]


# -- the form ------------------------------------------------------------------------------------


async def test_the_form_does_not_wait(hub: Hub) -> None:
    """The form is there at once with a text field, and has a menu when the answer is there."""
    spawner = spawner_of(hub)
    assert 'name="job--account"' in await spawner.get_options_form()
    await mine(hub)
    html = await spawner.get_options_form()
    assert '<option value="physics"' in html
    assert "Your default: physics" in html


async def test_what_the_user_may_use_is_accepted(hub: Hub) -> None:
    """A choice of what is the user's passes, also if nobody has asked before."""
    assert {"profile": "job", "account": "physics", "qos": "normal"} == await choose(
        hub, account="physics", qos="normal"
    )
    assert 1 == asked()


async def test_somebody_elses_account(hub: Hub) -> None:
    """An account of somebody else is refused; the form has all that was typed, and says beside the
    field what is wrong."""
    with pytest.raises(SpawnFailure, match="account: 'biology' must be one that you may use"):
        await choose(hub, account="biology", qos="normal", memory="3G")
    html = await spawner_of(hub).get_options_form()
    assert 'value="biology"' in html
    assert 'value="3G"' in html
    assert "must be one that you may use: chem, physics" in html


async def test_a_new_account_is_found_at_once(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the Hub knows may be hours old. A name that is not in it is asked for anew, but a user
    who sends wrong names causes no flood of questions."""
    await mine(hub)
    monkeypatch.setattr("unispawner.servers.usable.PAUSE", 0.0)
    FakeSpawner.side.usable = make_usable({"account": [Entry("new")]})
    assert {"profile": "job", "account": "new"} == await choose(hub, account="new")
    monkeypatch.setattr("unispawner.servers.usable.PAUSE", usable_cache.PAUSE)
    before = asked()
    for _ in range(5):
        with pytest.raises(SpawnFailure):
            await choose(hub, account="wrong")
    assert before == asked()


async def test_what_does_not_go_together(hub: Hub) -> None:
    """An account and a quality of service that the scheduler would refuse together are refused."""
    with pytest.raises(SpawnFailure, match="qos: 'normal' is not possible with account 'chem'"):
        await choose(hub, account="chem", qos="normal")


async def test_unknown_is_not_forbidden(hub: Hub) -> None:
    """If the scheduler can't be asked, a name that matches the pattern goes to the scheduler, and
    another one does not."""
    FakeSpawner.side.error = AgentError("the directory server is down")
    assert {"profile": "job", "account": "biology"} == await choose(hub, account="biology")
    with pytest.raises(SpawnFailure, match="qos: 'NO' must match"):
        await choose(hub, qos="NO")
    _, answer = await get(hub, "mine?profile=job")
    assert {} == answer["fields"]


@pytest.mark.parametrize("value", ["a b", "-x", "x\ny", "'; rm -rf /", "x" * 100, "ä", "$(id)"])
async def test_names_that_no_scheduler_has(hub: Hub, value: str) -> None:
    """A name that could be an option, or several words, never reaches the scheduler."""
    FakeSpawner.side.error = AgentError("down")
    with pytest.raises(SpawnFailure, match="account: "):
        await choose(hub, account=value)


# -- the start -------------------------------------------------------------------------------------


async def test_the_rest_api_is_checked_as_well(hub: Hub) -> None:
    """A body of the REST API that names somebody else's account is refused before the start."""
    with pytest.raises(SpawnFailure, match="account: 'biology' must be one that you may use"):
        await spawner_of(hub, profile="job", account="biology").run_pre_spawn_hook()
    assert [] == FakeSpawner.side.asked("submit")
    await spawner_of(hub, profile="job", account="physics").run_pre_spawn_hook()


async def test_a_refused_job_makes_the_answer_old(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the scheduler refuses a job, the next form asks again what the user may use."""
    await mine(hub)
    child = spawner_of(hub, profile="job", account="physics")
    await child.run_pre_spawn_hook()
    spawner = child.construct_child()

    def refuse(*_: Any) -> Any:
        raise SubmitError("Slurm refused the job:", output="Invalid account")

    monkeypatch.setattr(FakeSpawner.side, "_submit", refuse)
    spawner.api_token = hub.user("ada").new_api_token()
    with pytest.raises(SpawnFailure, match="Invalid account"):
        await spawner.start()
    assert 1 == asked()
    await mine(hub)
    assert 2 == asked()
