"""Profiles without a Hub: how they are read, and what a choice makes of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unispawner.errors import InvalidJobError
from unispawner.job import JobSpec, ResourceSpec
from unispawner.profiles.fields import FIELDS
from unispawner.profiles.profile import Known
from unispawner.profiles.reading import Profile, find_profile, read_form, read_profiles
from unispawner.schedulers.base import ALL_FIELDS
from unispawner.schedulers.fitting import Unfit
from unispawner.schedulers.inventory import Inventory, Node, Queue
from unispawner.units import parse_duration

GPU = {
    "display_name": "GPU session",
    "slug": "gpu",
    "groups": ["gpu-users"],
    "config": {"queue_name": "gpu", "account": "ml"},
    "resources": {"memory": "32G"},
    "options": {
        "cpu_cores_per_process": {"display_name": "Cores", "min": 1, "max": 16, "default": 4},
        "gpu_cores_per_process": {"choices": {"1": "one A100", "2": "two"}, "default": "1"},
        "duration": {"min": "00:30:00", "max": "24:00:00", "default": "08:00:00"},
        "account": {"pattern": "[a-z]+"},
        "queue_name": {"default": "gpu", "locked": True},
        "software": {
            "choices": {
                "plain": {"display_name": "System Python", "override": {"prologue": ""}},
                "conda": {
                    "display_name": "Conda",
                    "override": {"prologue": "conda activate x", "resources": {"memory": "64G"}},
                },
            },
            "default": "plain",
        },
        "memory": {"min": "1G", "max": "64G", "step": "1G", "when": {"software": "plain"}},
    },
}


def profile(**changes: Any) -> Profile:
    (found,) = read_profiles([{**GPU, **changes}])
    return found


def test_defaults_make_a_job() -> None:
    """A choice without options has the profile's resources and the defaults of its options."""
    chosen = profile().check({"profile": "gpu"})
    assert {
        "resources": {"memory": "32G", "cpu_cores_per_process": 4, "gpu_cores_per_process": 1},
        "duration": "08:00:00",
        "queue_name": "gpu",
        "prologue": "",
    } == chosen.fields
    assert {"profile": "gpu"} == chosen.user_options


def test_an_option_may_be_any_field_that_a_job_asks_for() -> None:
    """The form knows a label and a kind for each field that a scheduler may support."""
    assert {*ALL_FIELDS, "memory_per_core"} == set(FIELDS)


def test_memory_per_core_overrides_memory() -> None:
    """An option for the memory of each core replaces the profile's memory, and the reverse."""
    options = {"cpu_cores_per_process": {"default": 4}, "memory_per_core": {"max": "8G"}}
    chosen = profile(options=options).check({"memory_per_core": "2G"})
    assert {"cpu_cores_per_process": 4, "memory_per_core": "2G"} == chosen.fields["resources"]
    other = profile(options={"memory": {}}, resources={"memory_per_core": "1G"})
    assert {"memory": "9G"} == other.check({"memory": "9G"}).fields["resources"]


def test_all_memory_is_a_choice_of_the_administrators_only() -> None:
    """All memory of a node can be offered as a choice; nobody can type it into a free field."""
    choices = {"4G": "A little", "all": {"display_name": "All", "override": {"queue_name": "big"}}}
    offered = profile(options={"memory": {"choices": choices, "default": "4G"}})
    chosen = offered.check({"memory": "all"})
    assert ("all", "big") == (chosen.fields["resources"]["memory"], chosen.fields["queue_name"])
    assert "Memory: All" == chosen.in_words()
    for text in ("all", "0"):
        with pytest.raises(InvalidJobError, match=rf"memory: '{text}' is not an amount of memory"):
            profile(options={"memory": {}}).check({"memory": text})


@pytest.mark.parametrize("text", ["16", "4000", 4000])
def test_memory_without_a_unit(text: Any) -> None:
    """A user who types a low number without a unit reads what it would mean."""
    with pytest.raises(InvalidJobError, match=rf"memory: '?{text}'? is {text} bytes; write "):
        profile(options={"memory": {}}).check({"memory": text})


def test_a_choice() -> None:
    """A choice keeps what was chosen, as JSON, and the fields that this sets; a menu's entry sets
    several."""
    choice = {"cpu_cores_per_process": "16", "duration": "1-00:00:00", "software": "conda"}
    chosen = profile().check({"profile": "gpu", **choice})
    assert timedelta(days=1) == parse_duration(chosen.fields["duration"])
    assert 16 == chosen.fields["resources"]["cpu_cores_per_process"]
    assert "conda activate x" == chosen.fields["prologue"]
    assert {"profile", *choice} == set(chosen.user_options)
    assert 16 == chosen.user_options["cpu_cores_per_process"]


@pytest.mark.threat(
    who="user",
    tries="They send the API a choice that no profile offers.",
    stopped_by="The Hub checks every choice against the profile's definition, whoever sends it.",
)
@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("cpu_cores_per_process", 17, "17 must be at most 16"),
        ("cpu_cores_per_process", 0, "0 must be at least 1"),
        ("cpu_cores_per_process", -1, "must be at least 1"),
        ("cpu_cores_per_process", math.nan, "must be a whole number"),
        ("cpu_cores_per_process", math.inf, "must be a whole number"),
        ("cpu_cores_per_process", 1.5, "must be a whole number"),
        ("cpu_cores_per_process", True, "must be a whole number"),
        ("cpu_cores_per_process", None, "must be a whole number"),
        ("cpu_cores_per_process", [4], "must be a whole number"),
        ("cpu_cores_per_process", {"a": 1}, "must be a whole number"),
        pytest.param("cpu_cores_per_process", 10**5000, "must be a whole number", id="huge"),
        pytest.param("cpu_cores_per_process", "9" * 5000, "must be a whole number", id="digits"),
        ("cpu_cores_per_process", "4\n", None),
        ("gpu_cores_per_process", 3, "must be one of 1, 2"),
        ("duration", "25:00:00", "must be at most 24:00:00"),
        ("duration", "00:10:00", "must be at least"),
        ("duration", "for ever", "duration"),
        ("memory", "65G", "must be at most 64G"),
        ("memory", "1.5G", "must be in steps of 1G"),
        ("memory", "0.5T; id", "memory"),
        ("account", "ML", r"must match \[a-z\]\+"),
        ("account", "a\n#SBATCH --uid=0", "must be text on one line"),
        ("queue_name", "other", "is not possible: the option is locked to gpu"),
        ("software", "singularity", "must be one of plain, conda"),
        ("prologue", "id", "unknown option of profile 'gpu'"),
        ("executable", "/bin/sh", "unknown option of profile 'gpu'"),
        ("resources", {"memory": "1T"}, "unknown option of profile 'gpu'"),
    ],
)
def test_what_is_not_offered(option: str, value: Any, words: str | None) -> None:
    """A value that is not offered is refused, and the error names the option and the reason."""
    if words is None:
        assert 4 == profile().check({option: value}).values[option]  # white space around a number
        return
    with pytest.raises(InvalidJobError, match=words) as raised:
        profile().check({option: value})
    assert str(raised.value).removeprefix("'").startswith(option)
    assert len(str(raised.value)) < 500


def test_a_choice_in_words() -> None:
    """The words for a choice use the names of the form, and leave out options that were not set."""
    options = {
        "cpu_cores_per_process": {"default": 4},
        "gpu_cores_per_process": {"choices": {"1": "one A100", "2": "two"}, "default": "1"},
        "memory": {},
        "duration": {"display_name": "Length"},
        "exclusive_node_use": {},
        "debug": {"display_name": "Debugging", "override": {"prologue": "set -x"}},
    }
    one = profile(options=options)
    choice = {
        "gpu_cores_per_process": "2",
        "memory": 2 * 1024**3,
        "duration": 90,
        "exclusive_node_use": True,
        "debug": "false",
    }
    words = "GPUs: two, Memory: 2G, Length: 01:30:00, Whole nodes: yes, Debugging: no"
    assert words == one.check(choice).in_words()
    assert "" == one.check({}).in_words()
    named = {"exclusive_node_use": {"choices": {"true": "alone", "false": "with others"}}}
    chosen = profile(options=named).check({"exclusive_node_use": "true"})
    assert "Whole nodes: alone" == chosen.in_words()


def test_errors_of_a_form() -> None:
    """A form's errors are sorted by option, so that each stands beside its field, and are those of
    the refusal. Fields that do not apply or are empty have none."""
    fields = {"cpu_cores_per_process": ["99"], "memory": ["65G"], "software": ["plain"]}
    expected = {
        "cpu_cores_per_process": "99 must be at most 16",
        "memory": "'65G' must be at most 64G",
    }
    assert expected == profile().form_errors(fields)
    with pytest.raises(InvalidJobError) as raised:
        profile().check_form(fields)
    assert "; ".join(f"{name}: {words}" for name, words in expected.items()) == str(raised.value)
    assert {} == profile().form_errors({"software": ["conda"], "memory": ["much"], "account": [""]})
    assert {} == profile().form_errors({"memory": ["1G", "2G"]}), "no browser has sent that"


def test_errors_that_depend_on_the_queue() -> None:
    """A value is compared with the limit of the chosen queue, or else of the scheduler's default
    queue."""
    options = {"duration": {"max": "queue"}, "queue_name": {"default": "long"}}
    one = profile(options=options, config={})
    inventory = Inventory(
        queues=(
            Queue("long", max_duration=timedelta(hours=9)),
            Queue("short", default=True, max_duration=timedelta(hours=1)),
        )
    )
    fields = {"duration": ["02:00:00"], "queue_name": ["long"]}
    assert {} == one.form_errors(fields, Known(inventory))
    expected = {"duration": "'02:00:00' must be at most 01:00:00, the queue's limit"}
    assert expected == one.form_errors({**fields, "queue_name": ["short"]}, Known(inventory))
    free = profile(options={"duration": {"max": "queue"}}, config={})
    assert expected == free.form_errors({"duration": ["02:00:00"]}, Known(inventory))
    assert {} == free.form_errors({"duration": ["02:00:00"]}, Known(inventory, "long"))
    assert {} == free.form_errors({"duration": ["02:00:00"]})


def test_what_options_set_together() -> None:
    """Options add items to dictionaries, on top of the profile's own; of other fields the later
    option counts. Options without a value set nothing."""

    def menu(**override: Any) -> dict[str, Any]:
        return {"choices": {"on": {"display_name": "On", "override": override}}, "default": "on"}

    options = {
        "memory": {"default": "1G"},
        "one": menu(environment={"A": "1", "B": "1"}, queue_name="a", memory="2G"),
        "two": menu(environment={"B": "2"}, queue_name="b", resources={"node_count": 2}),
    }
    expected = {
        "resources": {"cpu_cores_per_process": 4, "memory": "2G", "node_count": 2},
        "environment": {"A": "1", "B": "2"},
        "queue_name": "b",
    }
    resources = {"cpu_cores_per_process": 4, "memory": "9G"}
    assert expected == profile(options=options, resources=resources).check({}).fields
    assert {} == profile(options={"memory": {}}, resources={}).check({}).fields


def test_a_million_unknown_options() -> None:
    """The error for a million unknown options is short, because it is saved, logged and sent
    back."""
    with pytest.raises(InvalidJobError, match="unknown option of profile 'gpu'") as raised:
        profile().check({f"option {number}": 1 for number in range(1_000_000)})
    assert len(str(raised.value)) < 5000


@pytest.mark.parametrize(
    "text",
    ["$(id)", "`id`", "a'b", 'a"b', "a b", "{x}", "#SBATCH", "-x", "", "é", "a/b"],
)
def test_names_are_names(text: str) -> None:
    """Without a pattern of the administrator's, a name has plain characters only."""
    with pytest.raises(InvalidJobError, match="account"):
        profile(options={"account": {}}).check({"account": text})


def test_an_option_that_depends_on_another() -> None:
    """An option whose condition does not hold is refused, except in a form: without JavaScript a
    browser sends every field."""
    choice = {"software": "conda", "memory": "8G"}
    with pytest.raises(InvalidJobError, match="memory: can only be set if software is plain"):
        profile().check(choice)
    assert "memory" not in profile().check_form({k: [v] for k, v in choice.items()}).values
    assert 8 * 1024**3 == profile().check({"memory": "8G"}).values["memory"]


def test_the_queues_limit() -> None:
    """A limit of the queue is checked once the inventory is known; until then the scheduler checks
    it."""
    one = profile(options={"cpu_cores_per_process": {"min": 1, "max": "queue"}})
    assert 999 == one.check({"cpu_cores_per_process": 999}).values["cpu_cores_per_process"]
    inventory = Inventory(
        queues=(Queue("gpu", max_cores=64),),
        nodes=(Node("n1", cores=32, queues=frozenset({"gpu"})),),
    )
    with pytest.raises(InvalidJobError, match="999 must be at most 32, the queue's limit"):
        one.check({"cpu_cores_per_process": 999}, Known(inventory))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"option": {}}, "option"),
        ({"display_name": ""}, "display_name"),
        ({"slug": "a--b"}, "slug"),
        ({"resources": {"memori": "1G"}}, "memori"),
        (
            {"options": {"executable": {"override": {"prologue": "x"}}}},
            "can't be the name of an option",
        ),
        ({"options": {"name": {}}}, "can't be the name of an option"),
        ({"options": {"own": {}}}, "the option needs an override"),
        ({"options": {"own": {"override": {"executable": "x"}}}}, "can't be overridden"),
        ({"options": {"own": {"override": {"stdout_path": "x"}}}}, "can't be overridden"),
        ({"options": {"memory": {"min": "2G", "max": "1G"}}}, "is more than max"),
        ({"options": {"memory": {"max": "much"}}}, "max"),
        ({"options": {"memory": {"max": "4000"}}}, "max: '4000' is 4000 bytes; write '4000M' or"),
        ({"options": {"memory": {"min": 16}}}, "min: 16 is 16 bytes; write '16M' or '16G'"),
        ({"options": {"memory": {"default": "16"}}}, "default: '16' is 16 bytes"),
        ({"options": {"memory": {"choices": ["16"]}}}, "choices: '16' is 16 bytes"),
        ({"options": {"memory_per_core": {"max": "queue"}}}, "a queue has no limit of memory per"),
        ({"resources": {"memory": "1G", "memory_per_core": "1G"}}, "memory_per_core: '1G', and "),
        ({"options": {"duration": {"max": "30:00"}}}, "write '00:30:00' or '30:00:00'"),
        ({"options": {"duration": {"max": "UNLIMITED"}}}, "the longest one that the queue allows"),
        ({"options": {"memory": {"default": "2G", "max": "1G"}}}, "must be at most 1G"),
        ({"options": {"account": {"max": 3}}}, "max: only numbers, memory and times have bounds"),
        ({"options": {"account": {"pattern": "("}}}, "pattern"),
        (
            {"options": {"memory": {"when": {"nothing": 1}}}},
            "is not an option before this one; these are: none",
        ),
        ({"options": {"memory": {"locked": True}}}, "a locked option needs a default"),
        ({"options": {"node_count": {"step": 0}}}, "step: 0 must be at least 1"),
        ({"options": {"node_count": {"step": -2}}}, "step: -2 must be at least 1"),
        ({"kernel": "R"}, "unknown key 'kernel'; known keys: config, default, "),
        (
            {"options": {"memory": {"maximum": "1G"}}},
            r"memory: unknown key 'maximum'; known keys: choices, .*, max, min, override",
        ),
        (
            {"options": {"own": {"choices": {"a": {}}}}},
            r"own\.choices\.a\.display_name: this key is required",
        ),
        (
            {"options": {"own": {"choices": {"a": {"title": "A"}}}}},
            r"own\.choices\.a: unknown key 'title'; known keys: description, display_name, ",
        ),
        (
            {"options": {"own": {"choices": {"a": {"display_name": "A", "title": "A"}}}}},
            r"a: unknown key 'title'; known keys: description, display_name, override, value$",
        ),
        (
            {"options": {"own": {"choices": "a"}}},
            r"choices: must be a list, a dictionary, \"inventory\" or \"mine\", not 'a'",
        ),
        ({"options": {"memory": "4G"}}, r"options\.memory: must be a dictionary, not '4G'"),
        ({"groups": "staff"}, r"groups: must be a list, not 'staff'"),
        ({"options": {"memory": {"default": "2G", "max": "1G"}}}, r"memory: default: '2G' must be"),
        (
            {"options": {"memory": {"choices": ["1G", "3G"], "max": "2G"}}},
            r"options\.memory: choices: '3G' must be at most 2G",
        ),
        (
            {
                "options": {
                    "own": {"choices": {"a": {"display_name": "A", "override": {"prologue": "x"}}}},
                    "memory": {"when": {"own": "b"}},
                }
            },
            r"options\.memory\.when: own: 'b' must be one of a",
        ),
    ],
)
def test_what_an_administrator_can_get_wrong(changes: dict[str, Any], words: str) -> None:
    """The error for a wrong profile names the profile, the part of it and the rule that it
    breaks."""
    with pytest.raises(InvalidJobError, match=words) as raised:
        profile(**changes)
    assert "profiles[0]" in str(raised.value)


@pytest.mark.threat(
    who="user",
    tries="They choose a profile that is for the members of another group.",
    stopped_by="A user who is in none of a profile's groups cannot choose it.",
)
def test_who_is_offered_what() -> None:
    """Members of the groups and the named users are offered a profile; without both, everybody
    is."""
    assert not profile().is_for("alice", {"staff"})
    assert profile().is_for("alice", {"gpu-users", "staff"})
    assert profile(users=["alice"]).is_for("alice", set())
    assert profile(groups=None).is_for("anybody", set())
    assert not profile(groups=[]).is_for("anybody", {"gpu-users"})


def test_wrapspawners_tuples() -> None:
    """A tuple gives the display name, key, class and settings, whatever the key looks like."""
    (one,) = read_profiles([("Lab, 2 cores", "lab 2--x", "some.Class", {"req_nprocs": "2"})])
    expected = ("Lab, 2 cores", "lab 2--x", "some.Class", {"req_nprocs": "2"})
    assert expected == (one.display_name, one.slug, one.spawner, one.config)
    with pytest.raises(InvalidJobError, match="a tuple must have four items: display name, key"):
        read_profiles([("too", "short")])
    with pytest.raises(InvalidJobError, match="slug: another profile has 'gpu', too"):
        read_profiles([GPU, GPU])


def test_finding_a_profile() -> None:
    """The error for a missing or unknown profile lists the offered ones."""
    offered = read_profiles([GPU, {"display_name": "Small"}])
    assert "small" == find_profile(offered, {"profile": "small"}).slug
    for options in ({}, {"profile": "root"}, {"profile": ["gpu"]}, {"profile": None}):
        with pytest.raises(InvalidJobError, match="offered profiles: gpu, small"):
            find_profile(offered, options)


def test_fields_of_a_form() -> None:
    """Fields of other profiles, which a form has too, are left out."""
    offered = read_profiles([GPU, {"display_name": "Small", "options": {"memory": {}}}])
    fields = {
        "_xsrf": ["x"],
        "profile": ["gpu"],
        "gpu--account": ["ml"],
        "small--memory": ["1G"],
    }
    found, choice = read_form(offered, fields)
    assert ("gpu", {"account": ["ml"]}) == (found.slug, choice)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*GPU["options"], "profile", "x"]) | st.text(), JSON))
def test_nothing_unchecked_reaches_a_job(options: dict[str, Any]) -> None:
    """Whatever is sent either is refused with a reason, or makes a job within the offered
    bounds."""
    try:
        fields = dict(profile().check(options).fields)
    except InvalidJobError:
        return
    assert set(fields) <= {"resources", "duration", "queue_name", "account", "prologue"}
    resources = ResourceSpec.from_dict(fields.pop("resources"))
    duration = parse_duration(fields.pop("duration"))
    spec = JobSpec(resources=resources, duration=duration, **fields)
    assert 1 <= (spec.resources.cpu_cores_per_process or 0) <= 16
    assert spec.resources.gpu_cores_per_process in (1, 2)
    assert (spec.resources.memory or 0) <= 64 * 1024**3
    assert timedelta(minutes=30) <= duration <= timedelta(days=1)
    assert "gpu" == spec.queue_name
    assert spec.account == "" or spec.account.islower()
    assert spec.prologue in ("", "conda activate x")


def test_what_no_node_can_run_is_an_error_of_its_option() -> None:
    """The whole choice is compared with the nodes, after each option is right by itself."""
    asked: list[dict[str, Any]] = []

    def find(fields: Mapping[str, Any]) -> Unfit:
        asked.append(fields["resources"])
        return Unfit("memory", "no node has 8G")

    one = profile(options={"memory_per_core": {"max": "8G"}, "cpu_cores_per_process": {"max": 4}})
    options = {"memory_per_core": "2G", "cpu_cores_per_process": 4}
    with pytest.raises(InvalidJobError, match=r"^memory_per_core: no node has 8G$"):
        one.check(options, Known(find_misfit=find))
    assert "2G" == asked[0]["memory_per_core"]
    typed = {name: [str(value)] for name, value in options.items()}
    assert {"memory_per_core": "no node has 8G"} == one.form_errors(typed, Known(find_misfit=find))
    with pytest.raises(InvalidJobError, match=r"^cpu_cores_per_process: 5 must"):
        one.check({**options, "cpu_cores_per_process": 5}, Known(find_misfit=find))
    assert 2 == len(asked), "an option that is wrong is enough"
