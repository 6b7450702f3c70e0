"""The form without a browser: its fields and its HTML. In a browser: tests/live/test_pages.py."""

from __future__ import annotations

import json
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
from unispawner.web.summary import describe_moment

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


def context(**changes: Any) -> FormContext:
    defaults = {
        "cluster": "fake",
        "inventory": INVENTORY,
        "as_of": 0.0,
        "stale": False,
        "queue": "",
    }
    return FormContext(availability=Availability(**{**defaults, "refresh_in": 60.0, **changes}))


def form_profile(
    options: dict[str, Any],
    user_options: dict[str, Any] | None = None,
    around: FormContext | None = None,
    **typed: Any,
) -> FormProfile:
    """Return the profile ``one``, of two, as a form shows it."""
    profiles = read_profiles(
        [
            {"display_name": "Other", "options": {"memory": {"default": "3G"}}},
            {"display_name": "One", "options": options, "default": True},
        ]
    )
    fields = {name.replace("__", "--"): [value] for name, value in typed.items()} or None
    return form_profiles(profiles, user_options or {}, {"one": around or FormContext()}, fields)[1]


def field(option: dict[str, Any], name: str = "memory", **more: Any) -> FormField:
    """Return the field of an option."""
    (found,) = form_profile({name: option}, **more).fields
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
    """A field has the control that fits its option, the default as people write it, and its bounds
    in words."""
    found = field(option, name)
    expected = (f"one--{name}", widget, value, hint)
    assert expected == (found.name, found.widget, found.value, found.hint)


def test_bounds_as_numbers() -> None:
    """Bounds are in bytes and seconds, too, for comparing; the browser looks up the queue's
    limit."""
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
    """The hint has the limit of a queue, and the profile shows what is free there: in the queue
    that was chosen the last time for this profile, or else in the queue where its jobs go."""
    options = {"duration": {"max": "queue"}, "queue_name": {}}
    found = form_profile(options, user_options, context())
    assert (hint, words) == (found.fields[0].hint, found.availability_text)


def test_where_jobs_go_by_the_configuration() -> None:
    """Without another choice the form shows what is free in c.UniSpawner.queue_name."""
    assert form_profile({}, around=context(queue="long")).availability_text.startswith(
        "Free: 64 of 64"
    )
    typed = {"profile": "one", "one__queue_name": "short"}
    found = form_profile({"queue_name": {}}, None, context(queue="long"), **typed)
    assert found.availability_text.startswith("Free: 3 of 8")


# -- the last choice ---------------------------------------------------------------------------


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
    """Only the profile of the last choice shows its values, and is selected if it still exists."""
    found = form_profile({"memory": {"default": "1G"}}, user_options)
    assert value == found.fields[0].value
    assert (user_options.get("profile") != "other") == found.selected


TWO = read_profiles(
    [
        {"display_name": name, "options": {"memory": {"max": "8G", "default": "1G"}}}
        for name in ("one", "two")
    ]
)


@pytest.mark.parametrize(
    ("user_options", "last", "selected", "values"),
    [
        ({}, {}, "one", ["1G", "1G"]),
        ({}, {"two": {"profile": "two", "memory": "2G"}}, "two", ["1G", "2G"]),
        (
            {"profile": "one", "memory": "4G"},
            {"two": {"profile": "two", "memory": "2G"}, "one": {"profile": "one", "memory": "3G"}},
            "one",
            ["4G", "2G"],
        ),
        ({}, {"two": {"profile": "two", "memory": "9G", "gone": 1}}, "two", ["1G", "1G"]),
        ({}, {"gone": {"profile": "gone"}}, "one", ["1G", "1G"]),
    ],
)
def test_the_last_choice_of_each_profile(
    user_options: dict[str, Any], last: dict[str, Any], selected: str, values: list[str]
) -> None:
    """A server without an earlier choice begins with the newest choice for any server. Each profile
    shows its own last choice, without what is not offered any more."""
    found = form_profiles(TWO, user_options, last=last)
    assert selected == next(one.profile.slug for one in found if one.selected)
    assert values == [one.fields[0].value for one in found]


def test_a_locked_option() -> None:
    """A locked option shows its default, whatever was chosen the last time."""
    found = field({"default": "1G", "locked": True}, user_options={"profile": "one", "memory": 9})
    assert "1G" == found.value


def test_what_was_typed_stays() -> None:
    """After a refusal each field keeps what was typed, also in profiles that were not chosen; only
    the chosen profile shows the errors."""
    options = {"memory": {"max": "2G"}, "account": {}}
    typed: dict[str, Any] = {"one__memory": "a lot", "one__account": "", "other__memory": "9G"}
    (one, two) = form_profile(options, {"profile": "one"}, profile="one", **typed).fields
    assert ("a lot", "") == (one.value, two.value)
    assert one.error.startswith("'a lot' is not an amount of memory")
    assert "" == two.error
    elsewhere = form_profile(options, {"profile": "one"}, profile="other", **typed).fields
    assert [("a lot", ""), ("", "")] == [(one.value, one.error) for one in elsewhere]
    unknown = form_profile(options, {"profile": "one"}, profile="gone", **typed).fields
    assert {""} == {one.error for one in unknown}


# -- menus --------------------------------------------------------------------------------------


def test_what_a_menus_entry_sets() -> None:
    """A menu's entry has the numbers that it overrides in bytes and seconds, for the summary; other
    fields that it overrides are left out."""
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
    """An option that is on or off has the entries yes and no, and yes has what the option
    overrides; an administrator's own choices replace them."""
    found = field({"override": {"resources": {"memory": "2G"}}}, "big")
    assert [("true", "yes", {"memory": 2**31}), ("false", "no", {})] == [
        (one.value, one.label, one.sets) for one in found.choices
    ]
    found = field({"choices": {"true": "alone"}, "default": True}, "exclusive_node_use")
    assert [("true", "alone")] == [(one.value, one.label) for one in found.choices]
    assert "true" == found.value


def test_conditions() -> None:
    """Conditions use the names and the values of the form's fields."""
    options = {
        "software": {"choices": {"a": {"display_name": "A", "override": {"prologue": "x"}}}},
        "exclusive_node_use": {},
        "memory": {"when": {"software": "a", "exclusive_node_use": True}},
    }
    expected = {"one--software": ["a"], "one--exclusive_node_use": ["true"]}
    assert expected == form_profile(options).fields[2].when


def test_the_same_choice_as_fields() -> None:
    """The fields of a choice, sent as a form, make the same choice again."""
    choice = {"profile": "one", "exclusive_node_use": True, "node_count": 2, "memory": "2G"}
    expected = {"profile": "one", "exclusive_node_use": "true", "node_count": "2", "memory": "2G"}
    assert expected == as_fields(choice)
    (one,) = read_profiles(
        [
            {
                "display_name": "One",
                "options": {"exclusive_node_use": {}, "node_count": {}, "memory": {}},
            }
        ]
    )
    form = {name: [value] for name, value in as_fields(choice).items() if name != "profile"}
    assert choice == one.check_form(form).user_options


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
        """Return the values of an attribute."""
        return [str(attributes[name]) for _, attributes in self.found if name in attributes]


def render(*profiles: FormProfile) -> str:
    return render_form(profiles, base_url="/hub/", user="ada")


def test_nothing_is_markup() -> None:
    """Text of an administrator or a user stays text, also in attributes."""
    evil = "\"'><script>x</script>"
    option = {
        "display_name": evil,
        "description": evil,
        "choices": {"a": {"display_name": evil, "description": evil, "override": {"memory": "1G"}}},
    }
    profile = form_profile({"menu": option, "account": {}}, profile="one", one__account=evil)
    presets = {evil: {"profile": "one", "account": evil}}
    elements = Elements(render_form([profile], base_url="/hub/", user="ada", presets=presets))
    folder = "/hub/unispawner/static/"
    assert all(source.startswith(folder) for source in elements.all("src"))
    data = elements.all("type").count(
        "application/json"
    )  # the words of our scripts, which are none
    assert len(elements.all("src")) + data == [tag for tag, _ in elements.found].count("script")
    assert [presets] == [json.loads(str(one)) for one in elements.all("data-presets")]
    assert evil in elements.all("value")
    assert evil in elements.all("data-description")


def test_every_reference_is_to_something() -> None:
    """Each label and description refers to an element of the page, also if descriptions or options
    are missing."""
    profiles = read_profiles(
        [
            {"display_name": "Bare"},
            {"display_name": "Described", "description": "With words", "options": {"memory": {}}},
        ]
    )
    for around in ({}, {"bare": context(), "described": context()}):
        elements = Elements(render(*form_profiles(profiles, {}, around)))
        ids = elements.all("id")
        assert sorted(set(ids)) == sorted(ids)
        of = [one for name in ("for", "aria-describedby") for one in elements.all(name)]
        assert set(" ".join(of).split()) <= set(ids)
        assert len(around) == len([one for one in ids if one.endswith("-free")])


ASKED = 1_700_000_000.0  # another day, which the text names


@pytest.mark.parametrize(
    ("around", "words"),
    [
        (context(), "Free: 3 of 8 cores, 0 of 1 whole node."),
        (
            context(inventory=None, as_of=None, stale=True),
            "What is free is not known at the moment.",
        ),
        (
            context(as_of=ASKED, stale=True),
            "Free: 3 of 8 cores, 0 of 1 whole node. "
            f"As of {describe_moment(ASKED)}; there are no newer figures.",
        ),
        (FormContext(), None),
    ],
)
def test_what_is_free(around: FormContext, words: str | None) -> None:
    """The page shows what is free without JavaScript, with its age if it is old; for a spawner that
    is not a UniSpawner it shows nothing."""
    page = render(form_profile({}, around=around))
    found = re.search(r"data-free>\s*(.*?)\s*</p>", page, re.DOTALL)
    if words is None:
        assert None is found
    else:
        assert found is not None
        assert words == found[1]


def test_a_form_of_a_spawners_own() -> None:
    """In a spawner's own form only the names of its fields change."""
    html = """<p name-is="x">name=a</p><input type=text name=a value="name=b">
        <SELECT class='c' NAME = 'b'></SELECT><textarea name=c></textarea><a name=d>"""
    expected = """<p name-is="x">name=a</p><input type=text name=one--a value="name=b">
        <SELECT class='c' NAME = 'one--b'></SELECT><textarea name=one--c></textarea><a name=d>"""
    assert expected == form_profile({}, around=FormContext(own_form=html)).own_form


def test_fields_of_a_form_of_a_spawners_own() -> None:
    """The fields of a spawner's own form come back under their own names, whatever the profile's
    slug looks like."""
    html = "<input name=\"size\"><input name='shape'>"
    for slug in ("one", "gpu-big", "v1.2", "lab 2--x", r"a\1", "r&d"):
        profiles = read_profiles([("A", slug, "some.Class", {}), ("B", "b", "some.Class", {})])
        one = form_profiles(profiles, {}, {slug: FormContext(own_form=html)})[0]
        names = Elements(one.own_form).all("name")
        fields = {"profile": [slug], "b--size": ["no"], **{name: [name[-4:]] for name in names}}
        expected = {"size": ["size"], "shape": ["hape"]}
        assert expected == read_form(profiles, fields)[1]


def test_no_profile_at_all() -> None:
    """A user without any profile reads that there is none."""
    assert "There is no profile that you may start" in render(*form_profiles([], {}))
