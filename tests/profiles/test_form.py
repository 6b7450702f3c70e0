"""The form without a browser: what its fields are, say and show. In a browser: test_pages.py."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from unispawner.profiles.form import (
    FormContext,
    FormField,
    FormProfile,
    as_fields,
    form_profiles,
    render_form,
)
from unispawner.profiles.reading import read_form, read_profiles
from unispawner.schedulers.inventory import Inventory, Node, Queue
from unispawner.web.availability import Availability
from unispawner.web.summary import clock

INVENTORY = Inventory(
    queues=(
        Queue("short", default=True, max_duration=timedelta(hours=1)),
        Queue("long", max_duration=timedelta(days=2)),
    ),
    nodes=(
        Node("a", True, 8, 3, queues=frozenset({"short"})),
        Node("b", True, 64, 64, queues=frozenset({"long"})),
    ),
)


def known(**changes: Any) -> FormContext:
    told = {"cluster": "fake", "inventory": INVENTORY, "as_of": 0.0, "stale": False, "queue": ""}
    return FormContext(availability=Availability(**{**told, "refresh_in": 60.0, **changes}))


def shown(
    options: dict[str, Any],
    user_options: dict[str, Any] | None = None,
    around: FormContext | None = None,
    **typed: str,
) -> FormProfile:
    """The profile ``one``, of two, as a form shows it."""
    profiles = read_profiles(
        [
            {"display_name": "Other", "options": {"memory": {"default": "3G"}}},
            {"display_name": "One", "options": options, "default": True},
        ]
    )
    fields = {name.replace("__", "--"): [value] for name, value in typed.items()} or None
    return form_profiles(profiles, user_options or {}, {"one": around or FormContext()}, fields)[1]


def field(option: dict[str, Any], name: str = "memory", **more: Any) -> FormField:
    """The field of an option."""
    (found,) = shown({name: option}, **more).fields
    return found


# -- fields -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "option", "widget", "value", "hint"),
    [
        ("node_count", {}, "number", "", "at least 1"),
        ("gpu_cores_per_process", {}, "number", "", "at least 0"),
        ("node_count", {"min": 2, "max": 8, "default": 4}, "number", "4", "2 to 8"),
        ("node_count", {"min": 2, "step": 2}, "number", "", "at least 2, in steps of 2"),
        ("node_count", {"max": "queue"}, "number", "", "at least 1, up to the queue's limit"),
        ("memory", {}, "text", "", ""),
        ("memory", {"max": "2048M", "default": "1024M"}, "text", "1G", "at most 2G"),
        ("duration", {"max": "queue"}, "text", "", "up to the queue's limit"),
        ("duration", {"min": 30, "max": "8:00:00"}, "text", "", "00:30:00 to 08:00:00"),
        ("account", {"default": "ml"}, "text", "ml", ""),
        ("memory", {"choices": ["1G", "2048M"], "default": "2G"}, "select", "2048M", ""),
        ("exclusive_node_use", {}, "select", "", ""),
        ("exclusive_node_use", {"default": True}, "select", "true", ""),
        ("exclusive_node_use", {"default": False}, "select", "false", ""),
    ],
)
def test_a_field(name: str, option: dict[str, Any], widget: str, value: str, hint: str) -> None:
    """The control that fits, with the default as it is written, and the bounds in words."""
    found = field(option, name)
    expected = (f"one--{name}", widget, value, hint)
    assert expected == (found.name, found.widget, found.value, found.hint)


def test_bounds_as_numbers() -> None:
    """Bytes and seconds, for comparing; the queue's limit is looked up by the browser."""
    found = field({"min": "1G", "max": "queue"}, "memory")
    assert ({"min": 2**30, "max": "queue"}, {"min": "1G"}) == (found.numbers, found.bounds)
    found = field({"min": 30, "max": "08:00:00"}, "duration")
    assert {"min": 1800.0, "max": 28800.0} == found.numbers
    found = field({"choices": ["1G"]}, "memory")
    assert ({}, {}) == (found.numbers, found.bounds), "a menu has none"


@pytest.mark.parametrize(
    ("user_options", "hint", "words"),
    [
        ({}, "at most 01:00:00, the queue's limit", "Free: 3 of 8 cores, 0 of 1 whole node."),
        (
            {"profile": "one", "queue_name": "long"},
            "at most 48:00:00, the queue's limit",
            "Free: 64 of 64 cores, 1 of 1 whole node.",
        ),
        (
            {"profile": "other", "queue_name": "long"},
            "at most 01:00:00, the queue's limit",
            "Free: 3 of 8 cores, 0 of 1 whole node.",
        ),
    ],
)
def test_what_is_known_of_the_queue(user_options: dict[str, Any], hint: str, words: str) -> None:
    """Its limit and what is free in it: of the one that was chosen before of this profile, or of
    that where its jobs go."""
    options = {"duration": {"max": "queue"}, "queue_name": {}}
    found = shown(options, user_options, known())
    assert (hint, words) == (found.fields[0].hint, found.availability_text)


def test_where_jobs_go_by_the_configuration() -> None:
    """c.UniSpawner.queue_name, unless the profile says otherwise."""
    assert shown({}, around=known(queue="long")).availability_text.startswith("Free: 64 of 64")
    typed = {"profile": "one", "one__queue_name": "short"}
    found = shown({"queue_name": {}}, None, known(queue="long"), **typed)
    assert found.availability_text.startswith("Free: 3 of 8")


# -- what was said before -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user_options", "value"),
    [
        ({}, "1G"),
        ({"profile": "one", "memory": "2G"}, "2G"),
        ({"profile": "one", "memory": 2**31}, "2G"),
        ({"profile": "other", "memory": "2G"}, "1G"),
        ({"profile": "gone", "memory": "2G"}, "1G"),
        ({"profile": "one", "memory": ["2G"]}, "1G"),
        ({"profile": ["one"], "memory": "2G"}, "1G"),
    ],
)
def test_the_last_choice(user_options: dict[str, Any], value: str) -> None:
    """It is shown in the profile that it is of, and nowhere else; the browser fills in those of
    other profiles."""
    found = shown({"memory": {"default": "1G"}}, user_options)
    assert value == found.fields[0].value
    assert (user_options.get("profile") == "one") == found.filled
    assert (user_options.get("profile") != "other") == found.selected


def test_a_locked_option() -> None:
    """It shows what holds, whatever was said."""
    found = field({"default": "1G", "locked": True}, user_options={"profile": "one", "memory": 9})
    assert "1G" == found.value


def test_what_was_typed_stays() -> None:
    """However wrong, beside what is wrong with it; in cards that were not chosen, too, though
    nothing is told there."""
    options = {"memory": {"max": "2G"}, "account": {}}
    typed = {"one__memory": "a lot", "one__account": "", "other__memory": "9G"}
    (one, two) = shown(options, {"profile": "one"}, profile="one", **typed).fields
    assert ("a lot", "") == (one.value, two.value)
    assert one.error.startswith("'a lot' is no amount of memory")
    assert "" == two.error
    elsewhere = shown(options, {"profile": "one"}, profile="other", **typed).fields
    assert [("a lot", ""), ("", "")] == [(one.value, one.error) for one in elsewhere]
    unknown = shown(options, {"profile": "one"}, profile="gone", **typed).fields
    assert {""} == {one.error for one in unknown}


# -- menus --------------------------------------------------------------------------------------


def test_what_a_menus_entry_sets() -> None:
    """In bytes and seconds, for what is summed up below; what is no number of the job's is not."""
    override = {"memory": "2G", "duration": 90, "prologue": "x", "resources": {"node_count": 2}}
    (on, off) = field(
        {
            "choices": {
                "a": {"display_name": "A", "description": "two nodes", "override": override},
                "b": "B",
            }
        },
        "software",
    ).choices
    assert ("a", "A", "two nodes") == (on.value, on.label, on.description)
    assert {"memory": 2**31, "duration": 5400.0, "node_count": 2} == on.sets
    assert ("b", "B", {}) == (off.value, off.label, off.sets)


def test_yes_or_no() -> None:
    """What an option of that kind sets is summed up if it is on; an administrator's own choices
    are shown as they are."""
    found = field({"override": {"resources": {"memory": "2G"}}}, "big")
    assert [("true", "yes", {"memory": 2**31}), ("false", "no", {})] == [
        (one.value, one.label, one.sets) for one in found.choices
    ]
    found = field({"choices": {"true": "alone"}, "default": True}, "exclusive_node_use")
    assert [("true", "alone")] == [(one.value, one.label) for one in found.choices]
    assert "true" == found.value


def test_conditions() -> None:
    """By the names and values that the form's fields have."""
    options = {
        "software": {"choices": {"a": {"display_name": "A", "override": {"prologue": "x"}}}},
        "exclusive_node_use": {},
        "memory": {"when": {"software": "a", "exclusive_node_use": True}},
    }
    expected = {"one--software": ["a"], "one--exclusive_node_use": ["true"]}
    assert expected == shown(options).fields[2].when


def test_the_same_choice_as_fields() -> None:
    """As a browser would send them: a hidden form chooses the same again."""
    said = {"profile": "one", "exclusive_node_use": True, "node_count": 2, "memory": "2G"}
    expected = {"profile": "one", "exclusive_node_use": "true", "node_count": "2", "memory": "2G"}
    assert expected == as_fields(said)
    (one,) = read_profiles(
        [
            {
                "display_name": "One",
                "options": {"exclusive_node_use": {}, "node_count": {}, "memory": {}},
            }
        ]
    )
    form = {name: [value] for name, value in as_fields(said).items() if name != "profile"}
    assert said == one.check_form(form).user_options


# -- HTML ---------------------------------------------------------------------------------------


class Elements(HTMLParser):
    """All elements of a page, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, name: str) -> list[str]:
        """The values of an attribute."""
        return [str(attributes[name]) for _, attributes in self.found if name in attributes]


def render(*profiles: FormProfile) -> str:
    return render_form(profiles, base_url="/hub/", user="ada")


def test_nothing_is_markup() -> None:
    """What an administrator or a user has written is text, in attributes, too."""
    evil = "\"'><script>x</script>"
    option = {
        "display_name": evil,
        "description": evil,
        "choices": {"a": {"display_name": evil, "description": evil, "override": {"memory": 1}}},
    }
    page = render(shown({"menu": option, "account": {}}, profile="one", one__account=evil))
    elements = Elements(page)
    assert ["/hub/unispawner/static/form.js"] == elements.all("src")
    assert 1 == [tag for tag, _ in elements.found].count("script")
    assert evil in elements.all("value")
    assert evil in elements.all("data-description")


def test_every_reference_is_to_something() -> None:
    """Labels and descriptions are of elements that are there, whatever is left out."""
    profiles = read_profiles(
        [
            {"display_name": "Bare"},
            {"display_name": "Told", "description": "With words", "options": {"memory": {}}},
        ]
    )
    for around in ({}, {"bare": known(), "told": known()}):
        elements = Elements(render(*form_profiles(profiles, {}, around)))
        ids = elements.all("id")
        assert sorted(set(ids)) == sorted(ids)
        of = [one for name in ("for", "aria-describedby") for one in elements.all(name)]
        assert set(" ".join(of).split()) <= set(ids)
        assert len(around) == len([one for one in ids if one.endswith("-free")])


ASKED = 1_700_000_000.0  # another day: it is told with that


@pytest.mark.parametrize(
    ("around", "words"),
    [
        (known(), "Free: 3 of 8 cores, 0 of 1 whole node."),
        (known(inventory=None, as_of=None, stale=True), "What is free is not known at the moment."),
        (
            known(as_of=ASKED, stale=True),
            "Free: 3 of 8 cores, 0 of 1 whole node. "
            f"As of {clock(ASKED)}; there are no newer figures.",
        ),
        (FormContext(), None),
    ],
)
def test_what_is_free(around: FormContext, words: str | None) -> None:
    """It is there without JavaScript, with its age if it is old; of a spawner that is not
    UniSpawner's nothing is said."""
    page = render(shown({}, around=around))
    found = re.search(r"data-free>\s*(.*?)\s*</p>", page, re.DOTALL)
    if words is None:
        assert None is found
    else:
        assert found is not None
        assert words == found[1]


def test_a_form_of_a_spawners_own() -> None:
    """Its fields are renamed, and nothing else of it."""
    html = """<p name-is="x">name=a</p><input type=text name=a value="name=b">
        <SELECT class='c' NAME = 'b'></SELECT><textarea name=c></textarea><a name=d>"""
    expected = """<p name-is="x">name=a</p><input type=text name=one--a value="name=b">
        <SELECT class='c' NAME = 'one--b'></SELECT><textarea name=one--c></textarea><a name=d>"""
    assert expected == shown({}, around=FormContext(own_form=html)).own_form


def test_fields_of_a_form_of_a_spawners_own() -> None:
    """They come back under the names that they had, whatever the profile's slug looks like."""
    html = "<input name=\"size\"><input name='shape'>"
    for slug in ("one", "gpu-big", "v1.2", "lab 2--x", r"a\1", "r&d"):
        profiles = read_profiles([("A", slug, "some.Class", {}), ("B", "b", "some.Class", {})])
        shown = form_profiles(profiles, {}, {slug: FormContext(own_form=html)})[0]
        names = Elements(shown.own_form).all("name")
        fields = {"profile": [slug], "b--size": ["no"], **{name: [name[-4:]] for name in names}}
        expected = {"size": ["size"], "shape": ["hape"]}
        assert expected == read_form(profiles, fields)[1]


def test_no_profile_at_all() -> None:
    """Its user is told so."""
    assert "There is no profile that you may start" in render(*form_profiles([], {}))
