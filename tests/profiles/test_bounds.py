"""Bounds that depend on another option or on the user's groups, and numbers of servers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from support.wrapped import NewWrapper

from unispawner import ProfilesSpawner
from unispawner.errors import InvalidJobError
from unispawner.profiles.form import FormContext, form_profiles, render_form
from unispawner.profiles.profile import Known, Profile
from unispawner.profiles.reading import read_profiles
from unispawner.profiles.schema import options_schema
from unispawner.profiles.server_limits import count_server
from unispawner.schedulers.inventory import Inventory, Node, Queue
from unispawner.web.availability import Availability

GPU_TYPE = {"choices": {"a100": "A100", "v100": "V100"}, "default": "v100"}
CORES = {"min": 1, "max": {"gpu_type": {"a100": 32, "v100": 16}}, "default": 4}


def profile(**changes: Any) -> Profile:
    base = {
        "display_name": "GPU",
        "resources": {"gpu_cores_per_process": 1},
        "options": {"gpu_type": GPU_TYPE, "cpu_cores_per_process": CORES},
    }
    return read_profiles([{**base, **changes}])[0]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"cpu_cores_per_process": 16}, ""),
        ({"cpu_cores_per_process": 32, "gpu_type": "a100"}, ""),
        (
            {"cpu_cores_per_process": 17},
            "cpu_cores_per_process: 17 must be at most 16 if gpu_type is v100",
        ),
        (
            {"cpu_cores_per_process": 17, "gpu_type": "v100"},
            "cpu_cores_per_process: 17 must be at most 16 if gpu_type is v100",
        ),
        (
            {"cpu_cores_per_process": 33, "gpu_type": "a100"},
            "cpu_cores_per_process: 33 must be at most 32",
        ),
    ],
)
def test_a_bound_by_another_option(options: dict[str, Any], error: str) -> None:
    """The value of the other option decides which bound counts, also if it is its default."""
    if not error:
        profile().check(options)
        return
    with pytest.raises(InvalidJobError) as raised:
        profile().check(options)
    assert error == raised.value.message


def test_without_a_value_the_narrowest_bound_counts() -> None:
    """Nobody gets the most generous bound by leaving the other option out."""
    kind = {"choices": ["a100", "v100"]}
    cores = {"min": {"gpu_type": {"a100": 4, "v100": 2}}, "max": CORES["max"]}
    one = profile(options={"gpu_type": kind, "cpu_cores_per_process": cores})
    one.check({"cpu_cores_per_process": 16})
    for value, words in ((17, "at most 16 while"), (3, "at least 4 while")):
        with pytest.raises(InvalidJobError, match=words):
            one.check({"cpu_cores_per_process": value})
    one.check({"cpu_cores_per_process": 3, "gpu_type": "v100"})


def test_memory_and_times_by_another_option() -> None:
    """Bounds have units, as everywhere."""
    options = {
        "gpu_type": GPU_TYPE,
        "memory": {"max": {"gpu_type": {"a100": "64G", "v100": "32G"}}, "default": "8G"},
        "duration": {"max": {"gpu_type": {"a100": "1-00:00:00", "v100": "04:00:00"}}},
    }
    one = profile(options=options)
    with pytest.raises(InvalidJobError, match=r"memory: '33G' must be at most 32G if .*; duration"):
        one.check({"memory": "33G", "duration": "05:00:00"})
    one.check({"memory": "33G", "duration": "05:00:00", "gpu_type": "a100"})


@pytest.mark.parametrize(
    ("bound", "words"),
    [
        ({}, "max: an object must be a value"),
        ({"gpu_type": 3}, "max: an object must be a value"),
        ({"gpu_type": {}}, "no values of gpu_type"),
        ({"a": {"b": 1}, "c": {"d": 2}}, "must be a value"),
        ({"gpu_type": {"a100": "much", "v100": 1}}, "max.gpu_type.a100: 'much' must be a whole"),
        ({"gpu_type": {"a100": 32}}, "max.gpu_type: it has no bound for 'v100'; add it"),
        ({"gpu_type": {"a100": 32, "v100": 1, "h100": 2}}, "max.gpu_type: gpu_type: 'h100' must"),
        ({"other": {"a100": 32}}, "max.other: it is not another option; these are: gpu_type"),
        ({"cpu_cores_per_process": {"1": 32}}, "it is not another option"),
        ({"gpu_type": {"a100": 3, "v100": 2}}, "default: 4 must be at most 3"),
    ],
)
def test_a_bound_of_another_shape(bound: Any, words: str) -> None:
    """What can't be right is refused when the Hub starts; the message says where it is."""
    cores = {"max": bound, "default": 4}
    with pytest.raises(InvalidJobError, match=words):
        profile(options={"gpu_type": GPU_TYPE, "cpu_cores_per_process": cores})


def test_each_bound_can_be_tried() -> None:
    """The check at the Hub's start tries the highest value with a value that allows it."""
    tried = [one for one in profile().variants() if one.get("cpu_cores_per_process") == 32]
    assert ["a100"] == [one["gpu_type"] for one in tried]
    for one in profile().variants():
        profile().check(one)


@pytest.mark.parametrize(
    ("options", "valid"),
    [
        ({"cpu_cores_per_process": 16}, True),
        ({"cpu_cores_per_process": 17}, False),
        ({"cpu_cores_per_process": 32, "gpu_type": "a100"}, True),
        ({"cpu_cores_per_process": 33, "gpu_type": "a100"}, False),
        ({"cpu_cores_per_process": 17, "gpu_type": "v100"}, False),
    ],
)
@pytest.mark.parametrize("default", [True, False])
def test_the_schema_has_the_bounds(options: dict[str, Any], valid: bool, default: bool) -> None:
    """A client that checks a body against the schema finds what the Hub would refuse."""
    kind = GPU_TYPE if default else {"choices": GPU_TYPE["choices"]}
    one = profile(options={"gpu_type": kind, "cpu_cores_per_process": CORES})
    found = Draft202012Validator(options_schema([one])).is_valid({"profile": "gpu", **options})
    assert valid is found


def test_the_form_has_the_bounds() -> None:
    """The page knows each bound in bytes and seconds, and which field it depends on."""
    memory = {"max": {"gpu_type": {"a100": "64G", "v100": "32G"}}, "default": "8G"}
    one = profile(options={"gpu_type": GPU_TYPE, "memory": memory})
    _, field = form_profiles([one], {})[0].fields
    by = {
        "field": "gpu--gpu_type",
        "label": "GPU type",
        "table": {"a100": 64 * 2**30, "v100": 32 * 2**30},
        "narrowest": 32 * 2**30,
    }
    assert {"max": 64 * 2**30, "by": {"max": by}} == field.numbers
    assert "at most 64G, depending on GPU type" == field.hint


LIMITS = {
    "students": {"duration": {"max": "04:00:00"}},
    "staff": {"duration": {"max": "24:00:00", "default": "10:00:00"}, "memory": {"max": "64G"}},
}
OPTIONS = {
    "duration": {"min": "00:30:00", "max": "08:00:00", "default": "06:00:00"},
    "memory": {"max": "16G", "default": "4G"},
}


@pytest.mark.parametrize(
    ("groups", "duration", "memory", "default"),
    [
        ([], "08:00:00", "16G", "06:00:00"),
        (["others"], "08:00:00", "16G", "06:00:00"),
        (["students"], "04:00:00", "16G", "04:00:00"),
        (["staff"], "24:00:00", "64G", "10:00:00"),
        (["students", "staff", "others"], "24:00:00", "64G", "10:00:00"),
    ],
)
def test_bounds_by_group(groups: list[str], duration: str, memory: str, default: str) -> None:
    """A member of a group has its bounds; of several the most generous count, and without one the
    option's own."""
    one = profile(options=OPTIONS, limits=LIMITS).for_groups(groups)
    found = one.options
    maxima = [found[name].format(found[name].bound("max")) for name in ("duration", "memory")]  # type: ignore[arg-type] # they have one
    assert [duration, memory] == maxima
    assert default == one.check({}).fields["duration"]
    one.check({"duration": duration, "memory": memory})
    with pytest.raises(InvalidJobError, match=r"^duration: .* must be at most "):
        one.check({"duration": "2-00:00:00"})


def test_choices_beyond_a_groups_bounds_are_left_out() -> None:
    """A menu of numbers has the entries that are within the bounds of the user's group."""
    options = {"gpu_cores_per_process": {"choices": {"1": "a", "2": "b", "4": "c"}, "default": "4"}}
    limits = {"students": {"gpu_cores_per_process": {"max": 2}}}
    one = profile(options=options, limits=limits)
    assert ["1", "2", "4"] == list(one.options["gpu_cores_per_process"].choices)
    student = one.for_groups(["students"])
    assert ["1", "2"] == list(student.options["gpu_cores_per_process"].choices)
    assert {"gpu_cores_per_process": 2} == student.check({}).fields["resources"]
    none = {"students": {"gpu_cores_per_process": {"max": 0}}}
    with pytest.raises(InvalidJobError, match="limits.students: .* no choice is within"):
        profile(options=options, limits=none)


def test_a_type_in_the_profile_and_the_number_in_an_option() -> None:
    """The profile's resources need not be complete, because options add to them."""
    options = {"gpu_cores_per_process": {"max": 2, "default": 1}}
    one = profile(options=options, resources={"gpu_type": "a100"})
    resources = one.check({}).fields["resources"]
    assert {"gpu_type": "a100", "gpu_cores_per_process": 1} == resources


def test_a_group_without_an_entry_has_the_options_own_bounds() -> None:
    """A second group never takes something away."""
    limits = {"students": {"duration": {"max": "04:00:00"}}, "staff": {"memory": {"max": "64G"}}}
    one = profile(options=OPTIONS, limits=limits).for_groups(["students", "staff"])
    one.check({"duration": "08:00:00", "memory": "64G"})
    free = {"students": LIMITS["students"], "root": {"duration": {"max": None, "min": 1}}}
    profile(options=OPTIONS, limits=free).for_groups(["students", "root"]).check(
        {"duration": "9-00:00:00"}
    )


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"staff": {"cores": {"max": 1}}}, "limits.staff: 'cores' is not an option"),
        ({"staff": {"memory": {"maximum": "1G"}}}, "limits: staff.memory: unknown key 'maximum'"),
        ({"staff": {"memory": {"max": "much"}}}, "limits.staff: max: 'much'"),
        ({"staff": {"memory": {"min": "32G"}}}, "limits.staff: min: '32G' is more than max"),
        ({"staff": {"memory": 3}}, "limits.staff.memory: must be a dictionary"),
    ],
)
def test_limits_that_can_not_be_right(limits: Any, words: str) -> None:
    """What is wrong is found when the Hub starts, and the message names the group."""
    with pytest.raises(InvalidJobError, match=words):
        profile(options=OPTIONS, limits=limits)


# -- how many servers ------------------------------------------------------------------------------


class _User:
    def __init__(self, name: str, users: dict[str, Any]) -> None:
        self.name, self.settings = name, {"users": users}
        self.spawners: dict[str, Any] = {}
        users[name] = self


class _Server:
    def __init__(self, user: _User, name: str = "") -> None:
        self.user, self.active, self.counted_profile = user, True, ""
        user.spawners[name], self.name = self, name


def test_how_many_servers_a_profile_may_have() -> None:
    """A server counts as long as it runs or waits; the message says whose servers are too many."""
    users: dict[str, Any] = {}
    ada, bob = _User("ada", users), _User("bob", users)
    one = profile(max_servers=3, max_servers_per_user=2)
    servers = [_Server(ada, "a"), _Server(ada, "b"), _Server(ada, "c")]
    for server in servers[:2]:
        count_server(server, one)
        count_server(server, one)  # its own place
    with pytest.raises(
        InvalidJobError, match=r"^profile: GPU allows 2 servers of each user .* 2 a"
    ):
        count_server(servers[2], one)
    count_server(_Server(bob, "a"), one)
    with pytest.raises(InvalidJobError, match=r"^profile: GPU allows 3 servers at a time, .* 3 al"):
        count_server(_Server(bob, "b"), one)
    servers[0].active = False
    count_server(bob.spawners["b"], one)
    count_server(servers[2], profile(slug="other", max_servers=0 + 1))
    with pytest.raises(InvalidJobError, match="allows 0 servers"):
        count_server(servers[2], profile(max_servers=0))


async def test_two_clicks_at_the_same_time(new: NewWrapper) -> None:
    """Of two starts that are checked side by side, only as many pass as the profile allows."""
    profiles = [
        {
            "display_name": "One",
            "slug": "one",
            "spawner": "jupyterhub.spawner.SimpleLocalProcessSpawner",
            "max_servers_per_user": 1,
        }
    ]
    sections = {"ProfilesSpawner": {"profiles": profiles}}
    first = new(ProfilesSpawner, **sections)
    second = new(ProfilesSpawner, "lab", **sections)
    second.user = first.user
    first.user.spawners.update({"": first, "lab": second})
    for one in (first, second):
        one.user_options = {"profile": "one"}
        one._spawn_pending = True
    ended = await asyncio.gather(
        *(one.run_pre_spawn_hook() for one in (first, second)), return_exceptions=True
    )
    assert [True, False] == [one is None for one in ended]
    assert "allows 1 server of each user" in str(ended[1])
    first._spawn_pending = False
    await second.run_pre_spawn_hook()


# -- choices from the cluster ----------------------------------------------------------------------

CLUSTER = Inventory(
    (Queue("gpu", default=True), Queue("cpu")),
    (
        Node(
            *("g1", True, 32, 8, 4, 1, None, None, frozenset({"gpu"})),
            gpu_types=(("a100", 4, 1),),
            features=frozenset({"rome", "ib"}),
        ),
        Node(
            *("g2", False, 32, 0, 8, 0, None, None, frozenset({"gpu"})),
            gpu_types=(("v100", 8, 0),),
            features=frozenset({"milan"}),
        ),
        Node("c", True, 64, None, queues=frozenset({"cpu"}), features=frozenset({"milan"})),
    ),
)
FROM_CLUSTER = {
    "gpu_type": {"choices": "inventory"},
    "constraint": {"choices": "inventory", "pattern": "rome|milan"},
}


def test_choices_from_the_cluster() -> None:
    """A form shows what the queue's nodes have, and what is free of each."""
    one = profile(options=FROM_CLUSTER)
    assert one.needs_inventory
    known = Availability("slurm", CLUSTER, 1.0, stale=False, queue="", refresh_in=60.0)
    for queue, expected in (
        (
            "gpu",
            [
                {"a100": "a100: 1 of 4 free", "v100": "v100: none is up at the moment"},
                {"milan": "milan: none is up at the moment", "rome": "rome: 8 of 32 cores free"},
            ],
        ),
        ("cpu", [{}, {"milan": "milan: 64 cores"}]),
    ):
        context = FormContext(availability=replace(known, queue=queue))
        fields = form_profiles([one], {}, {"gpu": context})[0].fields
        assert expected == [{one.value: one.label for one in field.choices} for field in fields]
    html = render_form(form_profiles([one], {}, {"gpu": context}), base_url="/", user="ada")
    assert 'data-from-inventory data-pattern="rome|milan"' in html
    unknown = form_profiles([one], {})[0].fields
    assert ["text", "text"] == [field.widget for field in unknown]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"gpu_type": "a100", "constraint": "rome"}, ""),
        ({"gpu_type": "v100"}, ""),
        ({"gpu_type": "h100"}, "gpu_type: 'h100' must be one of a100, v100"),
        ({"constraint": "ib"}, "constraint: 'ib' must match rome|milan"),
        ({"constraint": "rome|milan"}, "constraint: 'rome|milan' must match rome|milan"),
    ],
)
def test_what_the_cluster_does_not_have(options: dict[str, Any], error: str) -> None:
    """Only what the queue's nodes have is offered, and no expression of several features."""
    one = profile(options=FROM_CLUSTER)
    if not error:
        one.check(options, Known(CLUSTER))
        return
    with pytest.raises(InvalidJobError) as raised:
        one.check(options, Known(CLUSTER))
    assert error == raised.value.message


@pytest.mark.parametrize("value", ["a&b", "a b", "a,b", "!a", "a\n", "-a", "(a)", "a*2", ""])
def test_without_the_cluster_only_one_name_is_allowed(value: str) -> None:
    """Nobody can write an expression where one feature is offered, whatever is known."""
    one = profile(options={"constraint": {"choices": "inventory"}})
    one.check({"constraint": "cpu=rome"})
    with pytest.raises(InvalidJobError, match="^constraint: "):
        one.check({"constraint": value})


def test_which_options_can_have_the_clusters_choices() -> None:
    """For all others there is nothing that the cluster could offer."""
    for name in ("account", "cpu_cores_per_process"):
        with pytest.raises(InvalidJobError, match='only gpu_type, .* the choices "inventory"'):
            profile(options={name: {"choices": "inventory"}})
    with pytest.raises(InvalidJobError, match='must be a list, a dictionary, "inventory" or'):
        profile(options={"gpu_type": {"choices": "everything"}})
