"""Paths that users type, in a Hub's own application: when they are looked at, what is shown."""

from __future__ import annotations

import asyncio
import html
from pathlib import Path
from typing import Any

import pytest
from jupyterhub.utils import maybe_future
from support.hub_app import FakeSpawner, Hub
from support.wrapped import saved

from unispawner.errors import AgentError, SchedulerUnavailable
from unispawner.run_as.client import AgentClient
from unispawner.servers import own_paths
from unispawner.testing import FakeScheduler, fake_client
from unispawner.web.bookkeeping import inner
from unispawner.web.failures import SpawnFailure

pytestmark = [
    pytest.mark.hub,
    pytest.mark.filterwarnings("ignore:The `version` property of an event schema"),
]
PROFILES = [
    {
        "display_name": "Job",
        "slug": "job",
        "spawner": FakeSpawner,
        "options": {
            "software": {
                "choices": {
                    "own": {
                        "display_name": "My own",
                        "value": {
                            "example": "/env",
                            "owners": ["swadmin"],
                            "groups": ["physics"],
                        },
                        "override": {"cmd": "{value}/bin/lab", "default_url": "/lab"},
                    },
                    "module": {
                        "display_name": "A module",
                        "value": {"example": "R", "kind": "text"},
                        "override": {"prologue": "module load {value}"},
                    },
                },
            },
        },
    }
]
CHOICE = {"profile": "job", "software": "own", "software_own": "/home/ada/env"}
FORM = {name: [value] for name, value in CHOICE.items()}


def spawner_of(hub: Hub) -> Any:
    return hub.user("ada").spawners[""]


def asked() -> list[tuple[Any, ...]]:
    """Return the paths that the user's side was asked about, with what came with them."""
    requests = FakeSpawner.side.asked("check_path")
    return [(one["path"], one["kind"], one["owners"], one["groups"]) for one in requests]


async def test_a_path_in_a_form(hub: Hub) -> None:
    """The path in a form is looked at as the user, with the names that the administrator
    trusts."""
    assert CHOICE == await maybe_future(spawner_of(hub).options_from_form(FORM))
    assert [("/home/ada/env", "directory", ["swadmin"], ["physics"])] == asked()


async def test_a_text_that_is_no_path(hub: Hub) -> None:
    """Nobody looks on the cluster for a text that is not a path."""
    module = {"profile": ["job"], "software": ["module"], "software_module": ["R"]}
    await maybe_future(spawner_of(hub).options_from_form(module))
    assert [] == asked()


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        ("missing", "/home/ada/env does not exist."),
        ("owner", "/home/ada/env belongs to owner. It must belong to you"),
        ("writable", "/home/ada/env can be changed by others."),
        ("denied", "you may not read /home/ada/env."),
        ("links", "too many symbolic links"),
        ("hangs", "the file system of /home/ada/env does not answer. Try again later."),
        ("kind", "/home/ada/env is kind, but must be a directory."),
        ("made up {where}", "/home/ada/env can't be read: made up {where}"),
    ],
)
async def test_what_is_wrong_is_beside_the_field(hub: Hub, problem: str, words: str) -> None:
    """A path that is refused stays in its field, with the reason beside it."""
    FakeSpawner.side.path_problem = problem
    spawner = spawner_of(hub)
    with pytest.raises(SpawnFailure) as refused:
        await maybe_future(spawner.options_from_form(FORM))
    assert 400 == refused.value.status_code
    assert words in str(refused.value)
    page = html.unescape(await spawner.get_options_form())
    (field,) = [part for part in page.split("data-option=") if part.startswith('"software_own"')]
    assert words in field
    assert 'value="/home/ada/env"' in field


@pytest.mark.parametrize(
    "error", [SchedulerUnavailable("no connection"), AgentError("action: unknown action")]
)
async def test_nobody_could_look(hub: Hub, error: Any) -> None:
    """If nobody could look at the path, the user is asked to try again."""
    FakeSpawner.side.error = error
    with pytest.raises(SpawnFailure, match=f"could not be checked on the cluster. Try .*{error}"):
        await maybe_future(spawner_of(hub).options_from_form(FORM))


@pytest.mark.threat(
    who="user",
    tries="They type a path for which their own side never answers.",
    stopped_by="The Hub waits for some seconds, without a thread or its event loop, and refuses "
    "the choice.",
)
async def test_nobody_answers(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that does not end is given up, and the choice is refused."""

    async def hang(*_: Any) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr(own_paths, "PATIENCE", 0.05)
    monkeypatch.setattr(AgentClient, "check_path", hang)
    with pytest.raises(SpawnFailure, match="Try again later"):
        await maybe_future(spawner_of(hub).options_from_form(FORM))


async def test_a_path_by_the_api(hub: Hub) -> None:
    """A path that comes by the API is looked at before the job is submitted, and so is that of a
    choice that was saved earlier."""
    FakeSpawner.side.path_problem = "owner"
    user = hub.user("ada")
    with pytest.raises(SpawnFailure, match="software_own: /home/ada/env belongs to"):
        await user.spawn("", options=CHOICE)
    assert [] == FakeSpawner.side.asked("submit")


async def test_the_settings_of_a_choice_are_saved(hub: Hub) -> None:
    """What a choice sets of the server stays when the Hub is restarted, and no path is looked at
    then."""
    spawner = spawner_of(hub)
    spawner.user_options = CHOICE
    spawner.select_profile("job")
    spawner.construct_child()
    child: Any = inner(spawner)
    assert ["/home/ada/env/bin/lab"] == child.cmd
    expected = {"option": "software_own", "path": "/home/ada/env", "kind": "directory"}
    assert [{**expected, "owners": ("swadmin",), "groups": ("physics",)}] == child.own_paths
    state = saved(spawner)
    again = hub.user("ada")._new_spawner("")
    again.load_state(state)
    found: Any = inner(again)
    assert (["/home/ada/env/bin/lab"], "/lab") == (found.cmd, found.default_url)
    assert [] == asked()


@pytest.mark.threat(
    who="stranger",
    tries="They write a link that starts a user's server with an environment of theirs.",
    stopped_by="A link can't choose a text of the user's. It fills the form, and the user decides.",
)
async def test_a_link(hub: Hub) -> None:
    """A link can't choose a text of the user's: nothing is looked at, and the form shows it."""
    spawner = spawner_of(hub)
    with pytest.raises(SpawnFailure, match="software_own: a link can't choose this for you"):
        await maybe_future(spawner.options_from_query(FORM))
    assert [] == asked()
    assert 'value="/home/ada/env"' in await spawner.get_options_form()


# -- the user's side ------------------------------------------------------------------------------


@pytest.mark.threat(
    who="user",
    tries="Their own agent replies with values of a wrong type or of endless length.",
    stopped_by="The Hub drops wrong values and cuts long ones.",
)
@pytest.mark.parametrize("answer", [None, [], {}, {"problem": 1}, {"problem": None}, "right"])
async def test_a_forged_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    """An answer of a wrong form is an error."""
    client = fake_client(FakeScheduler(tmp_path))
    monkeypatch.setattr(client.run_as, "_check_path", lambda *_: answer, raising=False)
    with pytest.raises(AgentError, match="no valid answer about a path"):
        await client.check_path("/x", "file")


async def test_a_long_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long texts and control characters of the user's side do not reach a page."""
    client = fake_client(FakeScheduler(tmp_path))
    answer = {"problem": "owner", "where": "/x\x1b[0m" + "y" * 5000, "what": ["a"]}
    monkeypatch.setattr(client.run_as, "_check_path", lambda *_: answer, raising=False)
    found = await client.check_path("/x", "file")
    assert found is not None
    assert len(found.where) <= 300
    assert "\x1b" not in found.where
    assert "belongs to ['a']" in own_paths.explain(found, "file")
