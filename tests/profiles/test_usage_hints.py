"""What the form says beside a field about the user's last sessions of the same profile."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from unispawner.profiles import usage_hints
from unispawner.profiles.form import FormContext, form_profiles, render_form
from unispawner.profiles.reading import read_profiles
from unispawner.profiles.usage_hints import LEAST_SECONDS, make_hints
from unispawner.servers.history import Session

GIB = 1024**3


def session(memory: float = 3, seconds: float = 3600, **more: Any) -> Session:
    """Return a session that had 64 GiB, 8 cores and 8 hours, and used some GiB of memory."""
    options = {"profile": "gpu", "memory": "64G", **more.pop("options", {})}
    values: dict[str, Any] = {
        "options": options,
        "ended": 1.0,
        "requested": {"memory": 64 * GIB, "cores": 8, "seconds": 8 * 3600},
        "used": {"memory": memory * GIB, "cores": 1.2, "seconds": seconds},
        **more,
    }
    return Session("m", profile="gpu", **values)


def test_the_last_sessions() -> None:
    """The most of each amount counts, of at most five sessions."""
    hints = make_hints([session(1), session(3), session(2), *[session(1)] * 2, session(50)])
    assert {
        "memory": "Your last 5 sessions of this profile used at most 3 of 64 GiB of memory.",
        "cpu_cores_per_process": (
            "Your last 5 sessions of this profile used at most 1.2 of 8 cores on average."
        ),
        "duration": "Your last 5 sessions of this profile ran for at most 1 h of 8 h.",
    } == hints


def test_what_says_nothing() -> None:
    """A short session, one that runs, and one whose usage is not known have no hint."""
    assert {} == make_hints([])
    short = session(seconds=LEAST_SECONDS - 1)
    assert {} == make_hints([short, session(ended=None), session(used={})])
    assert {} == make_hints([session(requested={})])
    assert "Your last session" in make_hints([short, session()])["memory"]


def test_sessions_of_another_kind() -> None:
    """Another application needs other amounts; the newest session's kind counts."""
    lab, rstudio = {"application": "lab"}, {"application": "rstudio"}
    hints = make_hints([session(3, options=lab), session(50, options=rstudio)])
    assert "Your last session of this profile used 3 of 64 GiB of memory." == hints["memory"]
    same = make_hints([session(3, options={"memory": "32G"}), session(5)])
    assert "used at most 5 of 64 GiB" in same["memory"]


def test_without_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """The form opens without hints, and the log says why."""

    def refuse(*_: Any) -> None:
        raise OperationalError("SELECT", {}, Exception("locked"))

    undone: list[bool] = []
    warnings: list[str] = []
    session = SimpleNamespace(rollback=lambda: undone.append(True))
    log = SimpleNamespace(warning=lambda text, *_: warnings.append(text))
    spawner = SimpleNamespace(user=SimpleNamespace(name="ada"), log=log)
    monkeypatch.setattr(usage_hints, "session_of", lambda _: session)
    monkeypatch.setattr(usage_hints, "read_sessions", refuse)
    assert {} == usage_hints.read_hints(spawner)
    assert ([True], 1) == (undone, len(warnings))
    monkeypatch.setattr(usage_hints, "session_of", lambda _: None)
    assert {} == usage_hints.read_hints(spawner)


def render(used: dict[str, str]) -> str:
    profiles = read_profiles(
        [{"display_name": "One", "options": {"memory": {"default": "8G"}, "duration": {}}}]
    )
    rows = form_profiles(profiles, {}, {"one": FormContext(used=used)})
    return render_form(rows, base_url="/hub/", user="ada")


def test_a_hint_in_the_form() -> None:
    """A screen reader reads the hint with its field, and a form without hints names none."""
    html = render({"memory": "Your last session used <3>."})
    found = re.search(r'id="([\w-]+-memory-used)">([^<]*)<', html)
    assert found
    assert "Your last session used &lt;3&gt;." == found[2]
    described = re.search(r'name="one--memory"[^>]*aria-describedby="([^"]*)"', html)
    assert described
    assert found[1] in described[1].split()
    assert 1 == html.count('-used"')
    assert "-used" not in render({})
