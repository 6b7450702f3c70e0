"""Each request is answered in its reader's language, tested with a real Hub's own application."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import jupyterhub
import pytest
from jupyterhub.handlers.base import BaseHandler
from support.hub_app import Hub, hub_app
from tornado.httpclient import AsyncHTTPClient
from traitlets.config import Config

from unispawner import ProfilesSpawner
from unispawner.web import request_language

errors_of_the_api = pytest.mark.skipif(
    jupyterhub.version_info < (6,), reason="JupyterHub 5 sends the errors of its API in English"
)
pytestmark = [
    pytest.mark.hub,
    pytest.mark.filterwarnings("ignore:The `version` property of an event schema"),
]
NOT_THERE = {
    "": "There is no preset of this name.",
    "de": "Es gibt keine Vorlage mit diesem Namen.",
    "fr": "Il n'y a pas de préréglage de ce nom.",
}


@pytest.fixture(scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hub]:
    config = Config()
    config.JupyterHub.spawner_class = ProfilesSpawner
    config.ProfilesSpawner.profiles = [
        {
            "display_name": "Notebook",
            "slug": "notebook",
            "options": {"cpu_cores_per_process": {"min": 1, "max": 8}},
        }
    ]
    async with hub_app(tmp_path_factory.mktemp("hub"), config) as found:
        yield found


async def send(hub: Hub, language: str, method: str, path: str, **what: Any) -> Any:
    headers = {"Authorization": f"token {hub.user('ada').new_api_token()}"}
    if language:
        headers["Accept-Language"] = language
    return await AsyncHTTPClient().fetch(
        f"{hub.url}/{path}", method=method, headers=headers, raise_error=False, **what
    )


@errors_of_the_api
async def test_many_readers_at_once(hub: Hub) -> None:
    """Requests at the same time each get their own language; without a wish it is English."""
    languages = [*NOT_THERE] * 5
    answers = await asyncio.gather(
        *(send(hub, one, "DELETE", "unispawner/presets/none") for one in languages)
    )
    messages = [json.loads(one.body)["message"] for one in answers]
    assert [NOT_THERE[one] for one in languages] == messages
    assert {404} == {one.code for one in answers}


@errors_of_the_api
async def test_what_is_wrong_with_a_choice(hub: Hub) -> None:
    """The option's name comes first in each language; programs look for it."""
    body = json.dumps({"profile": "notebook", "cpu_cores_per_process": 9})
    found = {}
    for one in ("", "de-CH,fr;q=0.5"):
        answer = await send(hub, one, "PUT", "unispawner/presets/a", body=body)
        found[one] = json.loads(answer.body)["message"]
    assert "cpu_cores_per_process: 9 must be at most 8" == found[""]
    assert "cpu_cores_per_process: 9 darf höchstens 8 sein" == found["de-CH,fr;q=0.5"]


async def test_nothing_of_a_header_comes_back(hub: Hub) -> None:
    """A header that is no list of languages changes nothing."""
    for header in ("<script>", "../../etc/passwd", "de;q=" + "9" * 4000, ";" * 5000):
        answer = await send(hub, header, "DELETE", "unispawner/presets/none")
        message = json.loads(answer.body)["message"]
        assert message in NOT_THERE.values()


@pytest.mark.parametrize("marked", [False, True])
def test_somebody_else_has_extended_the_same_step(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, marked: bool
) -> None:
    """The log says once that another package has extended the step, and ours is added to it. If
    theirs has ours in it, there is nothing to do."""

    async def theirs(handler: Any) -> None:
        """Do nothing."""

    theirs.__wrapped__ = BaseHandler.prepare  # type: ignore[attr-defined] # as functools.wraps does
    if marked:
        setattr(theirs, request_language._OURS, True)
    monkeypatch.setattr(BaseHandler, "prepare", theirs)
    pages = SimpleNamespace(globals={})
    hub = SimpleNamespace(
        config=Config(),
        log=logging.getLogger("the hub"),
        tornado_settings={"jinja2_env": pages, "jinja2_env_sync": pages},
    )
    for _ in range(2):
        request_language.set_up(hub)
    assert marked == (BaseHandler.prepare is theirs)
    assert int(not marked) == caplog.text.count("has extended JupyterHub's BaseHandler.prepare")
