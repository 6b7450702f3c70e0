"""What the Hub keeps of a user's choices, with a Hub's own application and its API."""

from __future__ import annotations

import asyncio
import html
import json
from typing import Any
from urllib.parse import quote

import pytest
from jupyterhub import orm
from jupyterhub.utils import maybe_future
from sqlalchemy.exc import OperationalError
from support.hub import until
from support.hub_app import FakeSpawner, Hub
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from unispawner.profiles import saved_choices
from unispawner.web.failures import SpawnFailure

pytestmark = pytest.mark.filterwarnings("ignore:The `version` property of an event schema")
CHOICE = {"profile": "job", "memory": "2G"}
PROFILES: list[Any] = [
    {
        "display_name": "Job",
        "slug": "job",
        "spawner": FakeSpawner,
        "options": {"memory": {"max": "8G", "default": "1G"}},
    },
    {"display_name": "Staff", "slug": "staff", "users": ["bob"], "spawner": FakeSpawner},
]


async def send(
    hub: Hub, method: str, name: str, body: Any = None, sender: str = "ada", scope: str = ""
) -> HTTPResponse:
    """Send a request about a preset of ada's with a new token of a user."""
    token = hub.user(sender).new_api_token(scopes=[scope] if scope else None)
    return await AsyncHTTPClient().fetch(
        f"{hub.url}/unispawner/presets/{quote(name, safe='')}?user=ada",
        method=method,
        body=json.dumps(body) if method == "PUT" else None,
        headers={"Authorization": f"token {token}"},
        raise_error=False,
    )


async def read(hub: Hub, user: str = "ada") -> dict[str, Any]:
    """Return all that the API tells a user of earlier choices."""
    answer = await hub.get("unispawner/presets", hub.user(user).new_api_token())
    assert 200 == answer.code
    return dict(json.loads(answer.body))


async def test_a_preset_is_kept_replaced_and_deleted(hub: Hub) -> None:
    """A preset is there on each machine, because the Hub keeps it. Its name may have any
    letters."""
    name = "Übung 1/2 <b>"
    assert 204 == (await send(hub, "PUT", name, CHOICE)).code
    assert {name: CHOICE} == (await read(hub))["presets"]
    assert 204 == (await send(hub, "PUT", name, {"profile": "job", "memory": "3G"})).code
    assert {name: {"profile": "job", "memory": "3G"}} == (await read(hub))["presets"]
    assert "<b>" not in await hub.user("ada").spawner.get_options_form()
    assert {} == (await read(hub, "bob"))["presets"]
    assert 204 == (await send(hub, "DELETE", name)).code
    assert 404 == (await send(hub, "DELETE", name)).code
    assert {} == (await read(hub))["presets"]


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("x", {"profile": "job", "memory": "9G"}, "memory: '9G' must be at most 8G"),
        ("x", {"profile": "job", "cmd": "id"}, "'cmd': unknown option of profile 'job'"),
        ("x", {"profile": "staff"}, "profile: 'staff' is not offered"),
        ("x", {}, "profile: no profile is named"),
        ("x", ["job"], "The body must be an object"),
        ("x" * 65, CHOICE, "has 65 characters, and may have 64"),
        (" x", CHOICE, "name: it must be text on one line"),
        ("x\ny", CHOICE, "name: it must be text on one line"),
    ],
)
async def test_what_is_not_kept(hub: Hub, name: str, body: Any, words: str) -> None:
    """A preset is a choice that is offered to its user; its name is short and on one line."""
    answer = await send(hub, "PUT", name, body)
    assert 400 == answer.code
    assert words in json.loads(answer.body)["message"]
    assert {} == (await read(hub))["presets"]


async def test_a_user_keeps_a_limited_number_of_presets(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody fills the Hub's database; a preset that exists can still be replaced."""
    monkeypatch.setattr(saved_choices, "MOST_PRESETS", 2)
    codes = [(await send(hub, "PUT", name, CHOICE)).code for name in ("a", "b", "c", "b")]
    assert [204, 204, 400, 204] == codes


@pytest.mark.threat(
    who="user",
    tries="They send many presets at the same moment, to keep more than the Hub allows.",
    stopped_by="Presets are counted where each is written, after those before it.",
)
async def test_many_presets_at_once(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of presets that are sent at the same time only as many are kept as may be."""
    monkeypatch.setattr(saved_choices, "MOST_PRESETS", 2)
    spawner = hub.user("ada").spawner
    names = [f"preset {number}" for number in range(6)]
    found = await asyncio.gather(
        *(spawner.keep_preset(name, CHOICE) for name in names), return_exceptions=True
    )
    assert [None, None, *["you have 2 presets"] * 4] == [one and str(one)[6:24] for one in found]
    assert 2 == len((await read(hub))["presets"])


@pytest.mark.threat(
    who="other user",
    tries="They read, change or delete the presets of somebody else, or use a token for less.",
    stopped_by="Reading needs read:servers for that user, and writing needs servers.",
)
async def test_presets_belong_to_their_user(hub: Hub) -> None:
    """Only who may start a user's servers may change the presets; an admin of all servers may."""
    hub.user("ada")
    assert 404 == (await send(hub, "PUT", "x", CHOICE, "bob")).code
    assert 404 == (await send(hub, "DELETE", "x", None, "bob")).code
    assert 404 == (await send(hub, "PUT", "x", CHOICE, scope="read:servers!user=ada")).code
    assert 204 == (await send(hub, "PUT", "x", CHOICE, scope="servers!user=ada")).code
    other = await hub.get("unispawner/presets?user=ada", hub.user("bob").new_api_token())
    assert 404 == other.code


async def test_the_rows_follow_their_user(hub: Hub) -> None:
    """A user who is renamed keeps the presets. A later user of the old name has none, and
    nothing is left of a user who was deleted."""
    assert 204 == (await send(hub, "PUT", "x", CHOICE)).code
    ada = hub.user("ada").orm_user
    ada.name = "lovelace"
    hub.app.db.commit()
    assert {"x": CHOICE} == (await read(hub, "lovelace"))["presets"]
    assert {} == (await read(hub, "ada"))["presets"]
    hub.app.db.delete(ada)
    hub.app.db.commit()
    assert {} == (await read(hub, "lovelace"))["presets"]


async def test_the_last_choice_is_kept_at_a_start(hub: Hub) -> None:
    """A checked start keeps its choice, as the form of another server of the user shows; a refused
    one does not."""
    spawner = hub.user("ada").spawner
    spawner.user_options = {"profile": "job", "memory": "9G"}
    with pytest.raises(Exception, match="at most 8G"):
        await spawner.run_pre_spawn_hook()
    spawner.user_options = CHOICE
    await spawner.run_pre_spawn_hook()

    async def is_kept() -> bool:
        return bool((await read(hub))["last"])

    await until(is_kept, "the last choice is kept")
    assert [CHOICE] == (await read(hub))["last"]
    hub.app.db.add(orm.Spawner(name="other", user=hub.user("ada").orm_user))
    hub.app.db.commit()
    other = hub.user("ada").spawners["other"]
    assert 'value="2G"' in await other.get_options_form()


async def test_a_damaged_row_costs_nothing_else(hub: Hub) -> None:
    """A row that can't be read is left out, and the form opens."""
    assert 204 == (await send(hub, "PUT", "x", CHOICE)).code
    values = {"user_name": "ada", "kind": "preset", "name": "y", "options": "[", "saved": 0.0}
    hub.app.db.execute(saved_choices._TABLE.insert().values(values))
    hub.app.db.commit()
    assert {"x": CHOICE} == (await read(hub))["presets"]


async def test_without_the_database_the_form_opens(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If our table can't be read, the form shows the defaults, and a preset gets status 503."""
    monkeypatch.setattr(saved_choices, "make_table", _refuse)
    assert "Job" in await hub.user("ada").spawner.get_options_form()
    assert 503 == (await send(hub, "PUT", "x", CHOICE)).code
    assert orm.User.find(hub.app.db, "ada") is not None


def _refuse(_session: Any, _table: Any) -> None:
    raise OperationalError("", {}, Exception("the database is locked"))


async def test_a_preset_that_a_changed_profile_does_not_allow(hub: Hub) -> None:
    """The preset stays, and the form says beside the field what is wrong with it now."""
    assert 204 == (await send(hub, "PUT", "mine", {"profile": "job", "memory": "8G"})).code
    spawner = hub.user("ada").spawner
    spawner.profiles = [{**PROFILES[0], "options": {"memory": {"max": "4G", "default": "1G"}}}]
    spawner.offer.forget()
    assert "mine" in spawner.kept_choices().presets
    with pytest.raises(SpawnFailure, match="memory: '8G' must be at most 4G"):
        await maybe_future(spawner.options_from_form({"profile": ["job"], "job--memory": ["8G"]}))
    page = html.unescape(await spawner.get_options_form())
    assert "mine" in page
    assert "must be at most 4G" in page
    assert 'value="8G"' in page
