"""What each Hub has one of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from unispawner.web.per_hub import PerHub, set_up


def test_each_hub_has_its_own() -> None:
    """All who ask for something of a Hub get the same object, and another Hub has another one."""
    names: PerHub[list[str]] = PerHub(list)
    one, other = dict[str, Any](), dict[str, Any]()
    names.of(one).append("alice")
    assert (["alice"], []) == (names.of(one), names.of(other))


def test_two_things_of_a_hub() -> None:
    """Two things are not confused, although they are made in the same way."""
    settings = dict[str, Any]()
    names, hosts = PerHub[list[str]](list), PerHub[list[str]](list)
    names.of(settings).append("alice")
    assert [] == hosts.of(settings)


def test_handlers_and_users_have_the_same() -> None:
    """Handlers have a copy of the Hub's settings, which is made after the Hub has set them up."""
    hub = SimpleNamespace(tornado_settings=dict[str, Any]())
    set_up(hub)
    of_handlers = {**hub.tornado_settings}
    names = PerHub[list[str]](list)
    assert names.of(hub.tornado_settings) is names.of(of_handlers)
