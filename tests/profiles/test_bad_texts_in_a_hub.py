"""Texts that no path can have: refused beside the field on every way, and nothing else is lost."""

from __future__ import annotations

import html
import json
from typing import Any

import pytest
from jupyterhub.utils import maybe_future
from support.hub_app import FakeSpawner, Hub
from tornado.httpclient import AsyncHTTPClient

from unispawner.web.failures import SpawnFailure

pytestmark = pytest.mark.filterwarnings("ignore:The `version` property of an event schema")
PROFILES: list[Any] = [
    {
        "display_name": "Job",
        "slug": "job",
        "spawner": FakeSpawner,
        "options": {
            "account": {"pattern": "[a-z]+"},
            "duration": {"max": "08:00:00", "default": "01:00:00"},
            "software": {
                "choices": {
                    "own": {
                        "display_name": "My own",
                        "value": {"example": "/env"},
                        "override": {"cmd": "{value}/bin/lab"},
                    },
                },
            },
        },
    }
]
ONE_LINE, RULE = "must be text on one line", "must be a path of letters, digits and _.@+=/-"
BAD = [
    pytest.param("/a/../b", "must have no '..'", id="parent"),
    pytest.param("/a b", RULE, id="blank"),
    pytest.param("/a'b", RULE, id="quote"),
    pytest.param('/a"b', RULE, id="double quote"),
    pytest.param("/a\nb", ONE_LINE, id="newline"),
    pytest.param("/a\r\nb", ONE_LINE, id="newline of a browser"),
    pytest.param("/" + "x" * 10_240, "must have at most 255 characters", id="10 kB"),
    pytest.param("/a\0b", ONE_LINE, id="NUL"),
    pytest.param("/a\ud800b", ONE_LINE, id="lone surrogate"),
    pytest.param("/a\u2028b", ONE_LINE, id="line separator"),
    pytest.param("/\u202eab", RULE, id="right to left"),
    pytest.param("/a\x1b[31m", ONE_LINE, id="escape"),
    pytest.param("/{username}", "must have no braces", id="placeholder"),
    pytest.param("$(id)", "must be an absolute path", id="command"),
    pytest.param("~root", "must be an absolute path", id="home"),
]


def field_of(page: str, name: str) -> str:
    """Return the part of a form's page that has one option."""
    parts = html.unescape(page).split("data-option=")
    (field,) = [part for part in parts if part.startswith(f'"{name}"')]
    return field


@pytest.mark.threat(
    who="user",
    tries="They type a path with '..', quotes, line breaks, NUL or 10 kB of text.",
    stopped_by="Each is refused beside its field, in the form and in the API.",
)
@pytest.mark.parametrize(("text", "words"), BAD)
async def test_a_bad_text(hub: Hub, text: str, words: str) -> None:
    """The form shows the reason beside the field, and keeps what was typed elsewhere; the API
    refuses a start, an estimate and a preset with the same words."""
    spawner = hub.user("ada").spawners[""]
    form = {
        "profile": ["job"],
        "job--account": ["physics"],
        "job--duration": ["02:00:00"],
        "job--software": ["own"],
        "job--software_own": [text],
    }
    with pytest.raises(SpawnFailure, match="software_own: "):
        await maybe_future(spawner.options_from_form(form))
    page = await spawner.get_options_form()
    page.encode()  # it can be sent
    assert words in field_of(page, "software_own")
    assert 'value="physics"' in field_of(page, "account")
    assert 'value="02:00:00"' in field_of(page, "duration")

    choice = {"profile": "job", "software": "own", "software_own": text}
    headers = {"Authorization": f"token {hub.user('ada').new_api_token()}"}
    for method, path, body in (
        ("POST", "users/ada/server", choice),
        ("POST", "unispawner/start-time", {"user_options": choice}),
        ("PUT", "unispawner/presets/mine", choice),
    ):
        answer = await AsyncHTTPClient().fetch(
            f"{hub.url}/{path}",
            method=method,
            body=json.dumps(body),
            headers=headers,
            raise_error=False,
        )
        assert (400, True) == (answer.code, words in json.loads(answer.body)["message"]), path
    assert [] == FakeSpawner.side.asked("submit")


@pytest.mark.parametrize(
    "choice",
    [
        {"profile": "job", "account": "\ud800"},
        {"profile": "job", "software": "own", "software_own": "/\udfff"},
        {"profile": "\ud800"},
        {"profile": "job", "\ud800": "x"},
        {"profile": "job", "account": ["\ud800"]},
    ],
)
async def test_the_form_after_half_a_character(hub: Hub, choice: dict[str, Any]) -> None:
    """A refused choice with half a surrogate pair stays with the Hub as the last one, and the form
    opens all the same."""
    answer = await AsyncHTTPClient().fetch(
        f"{hub.url}/users/ada/server",
        method="POST",
        body=json.dumps(choice),
        headers={"Authorization": f"token {hub.user('ada').new_api_token()}"},
        raise_error=False,
    )
    assert 400 == answer.code
    page = await hub.user("ada").spawners[""].get_options_form()
    assert "software_own" in page.encode().decode()
