"""Targets: what the Hub keeps for a user, sends and shows, and what JupyterLab is answered."""

from __future__ import annotations

import asyncio
import json
import shlex
import smtplib
from dataclasses import asdict
from email import message_from_bytes, policy
from email.message import EmailMessage
from types import SimpleNamespace
from typing import Any
from unittest import mock

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from unispawner_lab.hub import Hub
from unispawner_lab.time_left import TimeLeft

from unispawner.errors import InvalidJobError
from unispawner.job import CONTROL
from unispawner.profiles.own_value import OwnValue
from unispawner.profiles.reading import find_profile
from unispawner.profiles.saved_choices import _read as read_rows
from unispawner.profiles.saved_choices import keep_preset
from unispawner.servers import history, session_facts
from unispawner.servers.mail import Mail, deliver
from unispawner.settings.mail import MailSettings, is_address

from .mutations import TOKENS, changed, json_values
from .people import PROFILES
from .target import Target

_WORDS = changed(
    st.sampled_from(("/home/alice/envs/torch", "gcc-12.2", "my preset", "a; rm -rf ~", "$(id)")), 2
)

# -- what a user types -----------------------------------------------------------------------------

_OVERRIDE = {
    "prologue": "module load base\nsource {value}/bin/activate x{value}",
    "args": ["--path={value}"],
    "environment": {"CHOSEN": "{value}"},
    "default_url": "/lab/tree{value}",
}
_OWN = (
    OwnValue(example="/home/alice/envs/a"),
    OwnValue(example="gcc-12", kind="text"),
    OwnValue(example="a b", kind="text", pattern=r".+"),
)


for _one in _OWN:
    _one.check_override(_OVERRIDE)  # or the target would show nothing


def run_own_value(value: list[Any]) -> None:
    """Check a text, and put it into a choice: it stays a part of one word everywhere."""
    number, text = value
    own = _OWN[number]
    if own.find_error(text):
        return
    assert not CONTROL.search(text)
    filled = own.fill(_OVERRIDE, text)
    activate = shlex.split(filled["prologue"].splitlines()[1])
    assert activate == ["source", f"{text}/bin/activate", f"x{text}"]
    assert filled["args"] == [f"--path={text}"]
    assert filled["environment"] == {"CHOSEN": text}
    assert filled["default_url"].isascii()
    filled["default_url"].encode()


# -- what the Hub keeps ----------------------------------------------------------------------------


@st.composite
def kept_rows(draw: DrawFn) -> list[Any]:
    """Make the name and the text of rows of the table of choices."""
    options = {"profile": "gpu", "cpu_cores_per_process": "4"}
    right = st.fixed_dictionaries({}, optional=dict.fromkeys(options, json_values()))
    texts = (st.just(options) | right | json_values()).map(json.dumps)
    return [[draw(_WORDS), draw(changed(texts, 2) | texts)] for _ in range(draw(st.integers(1, 3)))]


def run_kept(value: list[Any]) -> None:
    """Read kept choices, and check each as a start does: only InvalidJobError may come out."""
    rows: list[Any] = [SimpleNamespace(name=name, options=text) for name, text in value]
    for options in read_rows(rows).values():
        json.dumps(options)
        try:
            find_profile(PROFILES, options).check(options)
        except InvalidJobError:
            pass


def run_preset_name(value: list[Any]) -> None:
    """Keep a preset without a database: the name is checked before."""
    name, options = value
    spawner = SimpleNamespace(user=SimpleNamespace(name="alice"), orm_spawner=None)
    work = keep_preset(spawner, name, options)
    try:
        work.send(None)
    except StopIteration:
        assert name == name.strip()
        assert not CONTROL.search(name)
    finally:
        work.close()


@st.composite
def sessions(draw: DrawFn) -> dict[str, Any]:
    """Make a row of the history, with the facts beside it; something of it is damaged."""
    options = draw(st.sampled_from(('{"cores": 4}', "[]", "{", "")) | changed(st.just('{"a": 1}')))
    texts = {
        name: draw(_WORDS) for name in ("mark", "server", "profile", "summary", "reason", "log")
    }
    moments = {name: draw(st.none() | st.floats()) for name in ("started", "ready", "ended")}
    outcome = draw(st.sampled_from(("", "ended", "failed", "stopped", "x")))
    amounts = st.sampled_from(('{"memory": 4e9, "cores": 2}', "{", "[1]", "NaN"))
    facts = draw(amounts | json_values().map(json.dumps))
    row = {"options": options, "outcome": outcome, "asked": draw(st.floats()), **texts, **moments}
    return {"row": row, "amounts": facts}


def run_session(value: dict[str, Any]) -> None:
    """Read a row of the history: what it becomes can be shown."""
    amounts = session_facts._read_amounts(value["amounts"])
    facts = session_facts.Facts(amounts, amounts)
    found = history._read(dict(value["row"]), set(), facts)
    assert isinstance(found.options, dict)
    assert all(isinstance(one, float | int) for one in found.used.values())
    json.dumps(asdict(found))


# -- mail ------------------------------------------------------------------------------------------

_SETTINGS = MailSettings.model_validate(
    {"host": "mail.example.org", "from": "hub@example.org", "to": "{username}@example.org"}
)
_HEADERS = {
    *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted"),
    *("Content-Type", "Content-Transfer-Encoding", "MIME-Version"),
}
_SUBJECTS = changed(st.sampled_from(("Your server is ready", "Your server a\r\nBcc: x", "é\u2028")))
_ADDRESSES = changed(st.sampled_from(("alice@example.org", "a@b\nBcc: x@y", "<a@b>, c@d")), 2)


class _Server:
    """A mail server that keeps the message."""

    sent: EmailMessage

    def __init__(self, *_: Any, **__: Any) -> None:
        """Connect to nothing."""

    def __enter__(self) -> _Server:
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up."""

    def starttls(self, **_: Any) -> None:
        """Do nothing."""

    def send_message(self, message: EmailMessage) -> None:
        """Keep it."""
        type(self).sent = message


def run_mail(value: list[str]) -> None:
    """Make a message: nothing of its text becomes a header, or another receiver."""
    to, subject, body = value
    if not is_address(to):
        return
    with mock.patch.object(smtplib, "SMTP", _Server):
        deliver(_SETTINGS, Mail(to, subject, body))
    read = message_from_bytes(_Server.sent.as_bytes(), policy=policy.default)
    assert set(read.keys()) <= _HEADERS
    assert len(read.get_all("To", [])) == 1
    assert read["To"].addresses[0].addr_spec.lower() == to.lower()


# -- JupyterLab's extension ------------------------------------------------------------------------


class _Hub(Hub):
    def __init__(self, status: Any) -> None:
        self._answer = status

    async def status(self) -> dict[str, Any]:
        """Return any object."""
        found: dict[str, Any] = self._answer
        return found


def run_time_left(value: dict[str, Any]) -> None:
    """Answer JupyterLab with what a Hub has answered, of whatever release it is."""

    async def ask() -> dict[str, Any]:
        return await TimeLeft(_Hub(value)).answer()

    found = asyncio.run(ask())
    json.dumps(found, allow_nan=False)
    assert found["time_left"] is None or found["time_left"] >= 0


_STATUS = st.dictionaries(
    st.sampled_from(("state", "time_left", "ends", "x")),
    json_values() | st.floats() | st.sampled_from(("running", "suspended", 3600, 1e308, -1)),
)

TARGETS = (
    Target("own-value", st.tuples(st.integers(0, 2), _WORDS).map(list), run_own_value),
    Target("kept-choice", kept_rows(), run_kept),
    Target(
        "preset-name",
        st.tuples(_WORDS | st.sampled_from(TOKENS), st.dictionaries(_WORDS, json_values())).map(
            list
        ),
        run_preset_name,
        (InvalidJobError,),
    ),
    Target("history", sessions(), run_session),
    Target(
        "mail",
        st.tuples(_ADDRESSES, _SUBJECTS, _SUBJECTS | _WORDS).map(list),
        run_mail,
        (ValueError,),
    ),
    Target("lab-answer", _STATUS, run_time_left),
)
