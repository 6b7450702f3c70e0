"""The signature of options that a site's own code has made of a form."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from unispawner.web.user_options import SITE, UNKNOWN, OptionsOrigin

OPTIONS = {"queue": "$(id)"}


def spawner(secret: bytes, user: str = "alice", server: str = "") -> Any:
    """Return what the record uses of a spawner."""
    owner = SimpleNamespace(name=user, settings={"cookie_secret": secret})
    return SimpleNamespace(user=owner, name=server, orm_spawner=None)


def load(saved: dict[str, Any]) -> OptionsOrigin:
    """Return the record of a Hub that finds these options and what was saved with them."""
    origin = OptionsOrigin()
    origin.load(saved)
    origin.note_arrival(OPTIONS)
    return origin


@pytest.mark.threat(
    who="user",
    tries="They keep options that were signed before the Hub's secrets were replaced.",
    stopped_by="The signature counts with the Hub's present cookie secret only.",
)
def test_another_cookie_secret() -> None:
    """When the Hub's cookie secret has changed, signed options count as those of the REST API."""
    made = OptionsOrigin()
    made.record(spawner(b"old"), OPTIONS, SITE)
    assert SITE == load(made.to_dict()).kind(spawner(b"old"))
    assert UNKNOWN == load(made.to_dict()).kind(spawner(b"new"))
    assert UNKNOWN == load(made.to_dict()).kind(spawner(b"old", user="bob"))
    assert UNKNOWN == load(made.to_dict()).kind(spawner(b"old", server="other"))
