"""Options whose choices are what the user may use: in the form, the schema and the check."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from traitlets.config import Config

from unispawner import ProfilesSpawner
from unispawner.errors import InvalidJobError
from unispawner.profiles.form import FormContext, FormField, form_profiles, render_form
from unispawner.profiles.mine import Mine, mine_to_dict
from unispawner.profiles.profile import Known, Profile
from unispawner.profiles.reading import read_profiles
from unispawner.profiles.schema import options_schema
from unispawner.schedulers.usable import Entry, Usable, make_usable

ALL: dict[str, Any] = {
    "account": {"choices": "mine"},
    "queue_name": {"choices": "mine"},
    "qos": {"choices": "mine"},
    "reservation_id": {"choices": "mine"},
}
USABLE = make_usable(
    {
        "account": [Entry("chem"), Entry("physics", default=True)],
        "queue_name": [Entry("debug", default=True), Entry("long")],
        "qos": [Entry("normal"), Entry("high"), Entry("long")],
        "reservation_id": [
            Entry("course", begins=0.0, ends=4e9),
            Entry("later", begins=4e9, ends=5e9),
        ],
    },
    [
        [
            {
                "account": frozenset(("chem",)),
                "queue_name": frozenset(("long",)),
                "qos": frozenset(("", "long")),
            },
            {"account": frozenset(("physics",)), "qos": frozenset(("", "normal", "high"))},
        ]
    ],
)


def profile_of(options: dict[str, Any] | None = None, **more: Any) -> Profile:
    (found,) = read_profiles([{"display_name": "One", "options": options or ALL, **more}])
    return found


def mine_of(usable: Usable = USABLE, **configured: str) -> Mine:
    return Mine(usable, configured)


def check(
    chosen: dict[str, Any], mine: Mine | None = None, options: dict[str, Any] | None = None
) -> dict[str, Any]:
    return profile_of(options).check(chosen, Known(mine=mine or mine_of())).fields


# -- what an administrator writes ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (
            {"memory": {"choices": "mine"}},
            'choices: only account, queue_name, .* can have the choices "mine"',
        ),
        ({"own": {"choices": "mine", "override": {"account": "a"}}}, 'can have the choices "mine"'),
        ({"account": {"choices": "yours"}}, 'must be a list, a dictionary, "inventory" or "mine"'),
        ({"account": {"mine": True}}, "unknown key 'mine'"),
        ({"account": {"choices": "mine", "default": "a", "locked": True}}, "can't be locked"),
        ({"account": {"choices": "mine", "default": "a b"}}, "default: 'a b' must be"),
        ({"account": {"choices": "mine", "pattern": "p.*", "default": "a"}}, "default: 'a' must"),
    ],
    ids=str,
)
def test_what_can_not_be_right(options: dict[str, Any], error: str) -> None:
    """A mistake in such an option is found when the Hub starts, and the message names it."""
    with pytest.raises(InvalidJobError, match=error):
        profile_of(options)


async def test_what_the_scheduler_does_not_have() -> None:
    """An option for something that the scheduler does not have is found when the Hub starts."""
    config = Config()
    config.UniSpawner.scheduler = "local"
    config.UniSpawner.run_as = "sudo"
    config.ProfilesSpawner.profiles = [{"display_name": "One", "options": ALL}]
    with pytest.raises(InvalidJobError, match=r"options\.account: .* does not have this; leave"):
        await ProfilesSpawner.check_config(config)


# -- the check on the server ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"account": "physics", "qos": "high"},
        {"account": "chem", "queue_name": "long", "qos": "long"},
        {"account": "chem", "queue_name": "long"},
        {"reservation_id": "course"},
    ],
    ids=str,
)
def test_what_is_the_users(options: dict[str, Any]) -> None:
    """What the user may use, and what goes together, becomes the fields of the job."""
    assert options == check(options)


@pytest.mark.threat(
    who="user",
    tries="They choose the account, queue, QOS or reservation of somebody else.",
    stopped_by="The Hub asks the scheduler as the user, and refuses what is not in the answer. If "
    "nobody can be asked, the scheduler refuses it.",
)
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"account": "biology"}, "account: 'biology' must be one that you may use: chem, physics"),
        ({"queue_name": "root"}, "queue_name: 'root' must be one that you may use: debug, long"),
        ({"qos": "secret"}, "qos: 'secret' must be one that you may use: normal, high, long"),
        ({"reservation_id": "bobs"}, "reservation_id: 'bobs' must be one that you may use: course"),
        (
            {"account": "physics", "qos": "long"},
            "qos: 'long' is not possible with account 'physics'; choose one of normal, high",
        ),
        (
            {"account": "chem"},
            "queue_name: the scheduler's default is not possible with account 'chem'; "
            "choose one of long",
        ),
        (
            {"qos": "long"},
            "qos: 'long' is not possible with account 'physics' and queue_name 'debug'; choose one",
        ),
        ({"account": "a b"}, "account: 'a b' must be up to 64"),
        ({"account": "-x"}, "account: '-x' must be up to 64"),
        ({"account": ["chem"]}, "account: a list must be text"),
        ({"account": "x" * 9999}, "account: .* must have at most"),
    ],
    ids=str,
)
def test_what_is_not_the_users(options: dict[str, Any], error: str) -> None:
    """The message names the option, the value, and what would be right."""
    with pytest.raises(InvalidJobError, match=error):
        check(options)


def test_unknown_is_not_forbidden() -> None:
    """If the scheduler says nothing about a field, or nobody could ask it, the pattern decides."""
    options = {"account": "biology", "qos": "secret"}
    assert options == profile_of().check(options).fields
    some = mine_of(make_usable({"queue_name": [Entry("debug")]}))
    assert options == check(options, some)
    with pytest.raises(InvalidJobError, match="queue_name: 'long' must be one that"):
        check({"queue_name": "long"}, some)


def test_nothing_for_this_user() -> None:
    """If the scheduler has nothing for the user, a name is refused, and without one all is well."""
    none = mine_of(make_usable({"reservation_id": []}))
    assert {} == check({}, none)
    with pytest.raises(InvalidJobError, match="the scheduler offers you nothing here"):
        check({"reservation_id": "course"}, none)


def test_what_the_profile_sets_counts() -> None:
    """An account that is configured, or that a menu sets, limits the other choices as well."""
    qos = {"qos": {"choices": "mine"}}
    assert {"qos": "long"} == check(
        {"qos": "long"}, mine_of(account="chem", queue_name="long"), options=qos
    )
    menu = {"who": {"choices": {"c": {"display_name": "C", "override": {"account": "physics"}}}}}
    with pytest.raises(InvalidJobError, match="qos: 'long' is not possible with account 'physics'"):
        check({"who": "c", "qos": "long"}, options={**menu, **qos})


def test_a_default_that_is_not_the_users() -> None:
    """A default that this user may not use counts for nothing: the scheduler's own default does."""
    options = {"account": {"choices": "mine", "default": "biology"}}
    assert {} == check({}, options=options)
    assert {"account": "biology"} == profile_of(options).check({}).fields


def test_an_option_that_does_not_apply() -> None:
    """An option that does not apply is not refused for what it does not set."""
    options = {
        "account": {"choices": "mine"},
        "advanced": {"override": {"epilogue": "true"}, "default": False},
        "queue_name": {"choices": "mine", "when": {"advanced": True}},
    }
    assert {"account": "physics"} == check({"account": "physics"}, options=options)


def test_a_long_list_is_shortened() -> None:
    """A message does not list hundreds of accounts."""
    many = mine_of(make_usable({"account": [Entry(f"a{number}") for number in range(400)]}))
    with pytest.raises(InvalidJobError, match="a29 and 370 more"):
        check({"account": "b"}, many)


# -- the form -------------------------------------------------------------------------------------


def fields_of(
    mine: Mine | None, user_options: dict[str, Any] | None = None, **more: Any
) -> dict[str, FormField]:
    options = more.pop("options", ALL)
    contexts = {"one": FormContext(mine=mine)}
    (one,) = form_profiles([profile_of(options)], user_options or {}, contexts, **more)
    return {field.option.name: field for field in one.fields}


def test_the_form_offers_what_is_the_users() -> None:
    """Known choices are menus; the first entry leaves the field to the scheduler. A reservation has
    the time that is left."""
    found = fields_of(mine_of())
    assert {"select"} == {field.widget for field in found.values()}
    assert [("", "Your default: physics"), ("chem", "chem"), ("physics", "physics")] == [
        (one.value, one.label) for one in found["account"].choices
    ]
    assert "The scheduler's default" == found["qos"].choices[0].label
    none, course, later = (one.label for one in found["reservation_id"].choices)
    assert "No reservation" == none
    assert "course (" in course
    assert " left, until " in course
    assert "later (from " in later


def test_the_form_without_an_answer() -> None:
    """As long as nothing is known, and where the scheduler can't know it, a field is free text."""
    assert {"text"} == {field.widget for field in fields_of(None).values()}
    part = fields_of(mine_of(make_usable({"account": [Entry("a")]})))
    assert ("select", "text") == (part["account"].widget, part["qos"].widget)


def test_a_pattern_selects() -> None:
    """Names that the administrator's pattern does not allow are not offered, nor accepted."""
    options = {"account": {"choices": "mine", "pattern": "phys.*"}}
    assert ["", "physics"] == [
        one.value for one in fields_of(mine_of(), options=options)["account"].choices
    ]
    with pytest.raises(InvalidJobError, match="account: 'chem' must match phys"):
        check({"account": "chem"}, options=options)


def test_what_was_typed_stays() -> None:
    """A value that was refused stays in its field, with the error beside it, and so do others."""
    typed = {"profile": ["one"], "one--account": ["biology"], "one--qos": ["high"]}
    found = fields_of(mine_of(), typed=typed)
    assert ("biology", "high") == (found["account"].value, found["qos"].value)
    assert "'biology' must be one that you may use: chem, physics" == found["account"].error
    assert "biology" in [one.value for one in found["account"].choices]
    assert "" == found["qos"].error


def test_an_earlier_choice_that_is_no_longer_the_users() -> None:
    """An account that a user has lost since the last time is not preselected."""
    found = fields_of(mine_of(), {"profile": "one", "account": "gone", "qos": "high"})
    assert ("", "high") == (found["account"].value, found["qos"].value)


def test_the_html_of_such_a_form() -> None:
    """The form's script is loaded only where a profile needs it, and messages are announced."""
    with_mine = form_profiles([profile_of()], {}, {"one": FormContext(mine=mine_of())})
    html = render_form(with_mine, base_url="/hub/", user="ada")
    assert "static/mine.js" in html
    assert 'role="status" data-mine-status' in html
    assert 4 == html.count(" data-mine>")
    plain = form_profiles([profile_of({"memory": {}})], {})
    assert "mine" not in render_form(plain, base_url="/hub/", user="ada")


def test_a_name_is_escaped() -> None:
    """No name that the scheduler prints becomes HTML."""
    options = {"account": {"choices": "mine", "pattern": ".*"}}
    evil = mine_of(make_usable({"account": [Entry("<script>alert(1)</script>")]}))
    rows = form_profiles([profile_of(options)], {}, {"one": FormContext(mine=evil)})
    assert "<script>alert" not in render_form(rows, base_url="/hub/", user="ada")


# -- the API --------------------------------------------------------------------------------------


def test_the_schema_says_what_it_knows() -> None:
    """Known names are an enumeration, and others are text; a program sees where they come from."""
    (known,) = options_schema([profile_of()], find_mine=lambda _: mine_of())["oneOf"]
    assert ["chem", "physics"] == known["properties"]["account"]["enum"]
    (unknown,) = options_schema([profile_of()])["oneOf"]
    assert "pattern" in unknown["properties"]["account"]
    for schema in (known, unknown):
        Draft202012Validator.check_schema(schema)
        assert "mine" == schema["properties"]["account"]["x-choices"]


def test_the_answer_for_the_browser() -> None:
    """The browser gets entries, rules and what is configured as JSON; an empty answer if nothing is
    known."""
    found = json.loads(json.dumps(mine_to_dict(profile_of().options, mine_of(qos="high"))))
    assert {"name": "physics", "default": True, "begins": None, "ends": None} == found["fields"][
        "account"
    ][1]
    assert {"qos": "high"} == found["configured"]
    assert ["chem"] == found["rules"][0][0]["account"]
    assert {"fields": {}, "rules": [], "configured": {}} == mine_to_dict(profile_of().options, None)


def test_the_time_of_the_form_is_now() -> None:
    """A reservation that begins in an hour says when, and one that runs says what is left."""
    now = time.time()
    both = [
        Entry("run", begins=now - 60, ends=now + 5400),
        Entry("wait", begins=now + 60, ends=now + 90),
    ]
    field = fields_of(mine_of(make_usable({"reservation_id": both})))["reservation_id"]
    assert field.choices[1].label.startswith("run (1 hour 30 minutes left, until ")
    assert field.choices[2].label.startswith("wait (from ")
