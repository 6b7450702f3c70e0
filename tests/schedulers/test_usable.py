"""What a user may use, from what the schedulers' commands really printed to two users.

Nobody here has PBS, TORQUE or LSF: their texts are written by hand, from the sources of OpenPBS's
pbs_rstat and from IBM's manual pages of LSF 10.1.
"""

from __future__ import annotations

from typing import Any

import pytest
import support
from hypothesis import given
from hypothesis import strategies as st
from support.dialogues import Answer, hold

from unispawner.errors import SchedulerUnavailable
from unispawner.schedulers import NAMES, Scheduler, get_scheduler, lsf_usable, pbs_usable, plain
from unispawner.schedulers.base import Reply
from unispawner.schedulers.gridengine import GridEngine
from unispawner.schedulers.htcondor import HTCondor
from unispawner.schedulers.lsf import Lsf
from unispawner.schedulers.pbs import Pbs
from unispawner.schedulers.slurm import Slurm
from unispawner.schedulers.torque import Torque
from unispawner.schedulers.usable import (
    MOST_ENTRIES,
    MOST_NAMES,
    Entry,
    Usable,
    make_usable,
)
from unispawner.testing import read_saved_reply

ALICE = ("alice", ["alice", "hubusers", "physics"])
BOB = ("bob", ["bob", "hubusers", "gpu-users"])
FAILED = ("", "no answer", 1)


def saved(scheduler: str, name: str) -> Reply:
    return read_saved_reply(support.OUTPUTS / scheduler / name)


def names(usable: Usable) -> dict[str, list[str]]:
    return {field: [one.name for one in found] for field, found in usable.entries.items()}


# -- the rules ----------------------------------------------------------------------------------

RULES = make_usable(
    {
        "account": [Entry("a", default=True), Entry("b")],
        "queue_name": [Entry("short", default=True), Entry("long")],
    },
    [
        [
            {"account": frozenset("a")},
            {"account": frozenset("b"), "queue_name": frozenset(("long",))},
        ]
    ],
)


@pytest.mark.parametrize(
    ("fits", "values"),
    [
        (True, {"account": "a", "queue_name": "short"}),
        (False, {"account": "b", "queue_name": "short"}),
        (True, {"account": "b", "queue_name": "long"}),
        (True, {"account": "b"}),
        (False, {"account": "b", "queue_name": ""}),
        (True, {"account": "", "queue_name": ""}),
        (True, {"account": "b", "queue_name": "hidden"}),
        (True, {}),
    ],
    ids=str,
)
def test_what_goes_together(fits: bool, values: dict[str, str]) -> None:
    """A field that is not set has its default, one that is missing may get any value, and nothing
    is known about a name that the scheduler has not listed."""
    assert fits is RULES.fits(values)


def test_the_choices_depend_on_each_other() -> None:
    """The choices of a field are those that go together with the values of the others."""
    assert ["a"] == RULES.choices("account", {"queue_name": "short"})
    assert ["a", "b"] == RULES.choices("account", {"queue_name": "long"})
    assert [] == RULES.choices("qos", {})


NAMES_OF_A_RULE = st.frozensets(st.sampled_from(["", "a", "b", "c"]))
RULE = st.lists(st.dictionaries(st.sampled_from(["account", "qos", "queue_name"]), NAMES_OF_A_RULE))


@given(
    st.lists(RULE, max_size=4),
    st.dictionaries(st.sampled_from(["qos", "queue_name"]), st.text("abc", max_size=1)),
)
def test_the_choices_are_what_fits(rules: Any, values: dict[str, str]) -> None:
    """The choices of a field are exactly the names that fit the values of the others."""
    entries = {"account": [Entry("a"), Entry("b", default=True)], "qos": [Entry("a"), Entry("c")]}
    found = make_usable(entries, rules)
    fitting = [one for one in ("a", "b") if found.fits({**values, "account": one})]
    assert fitting == found.choices("account", {**values, "account": "c"})


def test_too_much_is_not_known() -> None:
    """A field with too many names, and a rule with too many, are left out; so are odd names."""
    many = [Entry(str(number)) for number in range(MOST_ENTRIES + 1)]
    rule = [{"qos": frozenset(str(number) for number in range(MOST_NAMES))}]
    odd = [Entry(name) for name in ("", "a b", "a,b", "a|b", "a\n", "x" * 300, "good", "good")]
    found = make_usable({"account": many, "qos": odd, "other": [Entry("x")]}, [rule, [], [{}]])
    assert {"qos": ["good"]} == names(found)
    assert (({},),) == found.rules


def test_it_crosses_as_data() -> None:
    """What a user may use is the same after it has crossed the wire."""
    assert RULES == plain.decode(Usable, plain.encode(RULES))


def test_reservations_that_have_ended_are_left_out() -> None:
    """An answer that is some hours old offers no reservation that has ended since."""
    found = make_usable({"reservation_id": [Entry("old", ends=10.0), Entry("new", ends=30.0)]})
    assert {"reservation_id": ["new"]} == names(found.at(20.0))


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"template"}))
def test_a_scheduler_that_does_not_answer(name: str) -> None:
    """A scheduler either raises its error or says that nothing is known, never that nothing is
    allowed."""
    scheduler = get_scheduler(name, {})
    answer = ("", "qstat: Connection refused; unable to contact", 1)
    try:
        asks = type(scheduler).usable is not Scheduler.usable
        found, _ = hold(scheduler.usable(*ALICE), *([answer] if asks else []))
    except SchedulerUnavailable:
        return
    assert {} == found.entries


# -- Slurm ---------------------------------------------------------------------------------------


def slurm_answers(user: str = "alice", **other: Answer) -> list[Answer]:
    answers: dict[str, Answer] = {
        "partitions": saved("slurm", f"scontrol-show-partition-{user}"),
        "reservations": saved("slurm", "scontrol-show-reservation"),
        "config": saved("slurm", "scontrol-show-config-accounting"),
        "associations": saved("slurm", "sacctmgr-show-user"),
        "accounts": saved("slurm", "sacctmgr-show-assoc-accounts"),
    }
    return [one for one in {**answers, **other}.values() if one is not None]


def alice_on_slurm() -> Usable:
    return hold(Slurm().usable(*ALICE), *slurm_answers())[0]


def test_slurm_asks_what_was_captured() -> None:
    """The saved output is that of the commands that are run, and the user's own name is in them."""
    _, commands = hold(Slurm().usable(*ALICE), *slurm_answers())
    wanted = [one.command for one in slurm_answers() if isinstance(one, Reply)]
    assert wanted == [tuple(command) for command in commands]


def test_what_alice_may_use_on_slurm() -> None:
    """Accounts and QOS are those of her associations, with her default account. A partition for
    another group, a hidden one and root's are missing, and so are reservations of others."""
    found = alice_on_slurm()
    partitions = "debug long small physics notphys highonly nolong down elsewhere reqresv"
    assert {
        "account": ["chemistry", "organic", "physics"],
        "qos": ["long", "normal", "high"],
        "queue_name": partitions.split(),
        "reservation_id": ["course", "phys", "notbob"],
    } == names(found)
    assert ("physics", "debug") == (found.default("account"), found.default("queue_name"))
    assert not found.partial


def test_when_a_reservation_ends() -> None:
    """A reservation has the seconds of its begin and its end, whatever the time zone is."""
    course = alice_on_slurm().entries["reservation_id"][0]
    assert course.begins is not None
    assert course.ends == course.begins + 2 * 3600


@pytest.mark.parametrize(
    ("field", "values", "choices"),
    [
        ("qos", {"account": "physics"}, ["normal", "high"]),
        ("qos", {"account": ""}, ["normal", "high"]),
        ("qos", {"account": "chemistry", "queue_name": "long"}, ["long"]),
        ("qos", {"queue_name": "highonly"}, ["high"]),
        ("qos", {"queue_name": "nolong"}, ["normal", "high"]),
        ("queue_name", {"account": "chemistry"}, ["long"]),
        ("account", {"queue_name": "physics"}, ["physics"]),
        ("account", {"queue_name": "notphys"}, ["organic"]),
        ("account", {"reservation_id": "phys"}, ["physics"]),
        ("reservation_id", {"account": "organic"}, ["course", "notbob"]),
    ],
    ids=str,
)
def test_what_goes_together_on_slurm(
    field: str, values: dict[str, str], choices: list[str]
) -> None:
    """An association may be for one partition; partitions name accounts and QOS; a reservation may
    be for accounts."""
    assert choices == alice_on_slurm().choices(field, {"reservation_id": "", **values})[:10]


def test_a_partition_that_needs_a_reservation() -> None:
    """A partition with ReqResv goes together with a reservation of the user's only."""
    found = alice_on_slurm()
    assert not found.fits({"queue_name": "reqresv", "reservation_id": ""})
    assert found.fits({"queue_name": "reqresv", "reservation_id": "course"})


def test_accounts_below_a_named_one() -> None:
    """A reservation for an account is also for the accounts below it."""
    text = saved("slurm", "scontrol-show-reservation").stdout.replace("=physics", "=chemistry")
    found, _ = hold(Slurm().usable(*ALICE), *slurm_answers(reservations=(text, "", 0)))
    assert ["chemistry", "organic"] == found.choices("account", {"reservation_id": "phys"})


def test_what_bob_may_use_on_slurm() -> None:
    """A group's partition and reservation are the members', and one that excludes a user is not."""
    row = saved("slurm", "sacctmgr-show-user").stdout.splitlines()[-1].replace("alice", "bob")
    answers = slurm_answers("bob", associations=(f"{row}\n", "", 0))
    found = names(hold(Slurm().usable(*BOB), *answers)[0])
    assert "gpu" in found["queue_name"]
    assert "notphys" not in found["queue_name"]
    assert ["bobs", "phys", "grp"] == found["reservation_id"]


def test_slurm_without_accounting() -> None:
    """Without slurmdbd accounts and QOS are not known, and nobody asks for them."""
    config = saved("slurm", "scontrol-show-config-accounting").stdout
    config = config.replace("accounting_storage/slurmdbd", "accounting_storage/none")
    none = saved("slurm", "scontrol-show-reservation-none")
    answers = slurm_answers(config=(config, "", 0), reservations=none)[:3]
    found, _ = hold(Slurm().usable(*ALICE), *answers)
    assert {"queue_name", "reservation_id"} == set(found.entries)
    assert () == found.entries["reservation_id"]
    assert not found.partial


def test_slurm_without_slurmdbd_for_a_moment() -> None:
    """If slurmdbd is down, the rest is known, and it is worth asking again soon."""
    down = saved("slurm", "sacctmgr-dbd-down")
    found, _ = hold(Slurm().usable(*ALICE), *slurm_answers(associations=down)[:4])
    assert {"queue_name", "reservation_id"} == set(found.entries)
    assert found.partial


@pytest.mark.parametrize("rows", ["", "bob|physics|unispawner|physics||normal|normal\n", "x\n"])
def test_a_user_without_associations(rows: str) -> None:
    """No association does not mean that no account is allowed: the scheduler decides. Rows of
    somebody else, and lines that are not rows, change nothing."""
    found, _ = hold(Slurm().usable(*ALICE), *slurm_answers(associations=(rows, "", 0))[:4])
    assert {"queue_name", "reservation_id"} == set(found.entries)


def test_a_configured_cluster_of_slurm() -> None:
    """The commands name the cluster that is configured."""
    found, commands = hold(Slurm(slurm_cluster="beta").usable(*ALICE), *slurm_answers())
    assert {"-M"} == {command[1] for command in commands if command[0] == "scontrol"}
    assert found.entries


# -- Grid Engine ---------------------------------------------------------------------------------

PROJECTS = ("nophys", "open", "oth", "phys")


def gridengine_answers(**other: Answer) -> list[Answer]:
    answers: dict[str, Answer] = {
        "queues": saved("gridengine", "qconf-sq-access"),
        "lists": saved("gridengine", "qconf-sul-access"),
        "members": saved("gridengine", "qconf-su-access"),
        "projects": ("\n".join(PROJECTS), "", 0),
        **{name: saved("gridengine", f"qconf-sprj-{name}") for name in PROJECTS},
        "user": saved("gridengine", "qconf-suser-access"),
        "reservations": saved("gridengine", "qrstat-xml-access"),
        "details": saved("gridengine", "qrstat-xml-ar-access"),
    }
    return list({**answers, **other}.values())


def test_what_alice_may_use_on_grid_engine() -> None:
    """Projects, queues and reservations have lists of users; an entry may be a group."""
    found, commands = hold(GridEngine().usable(*ALICE), *gridengine_answers())
    queues = "all.q short.q phy.q onlyprj.q noprj.q host.q"
    assert {
        "account": ["open", "phys"],
        "queue_name": queues.split(),
        "reservation_id": ["1", "2"],
    } == names(found)
    assert "open" == found.default("account")
    assert ["phys"] == found.choices("account", {"queue_name": "onlyprj.q"})
    assert ["open"] == found.choices("account", {"queue_name": "noprj.q"})
    course = found.entries["reservation_id"][0]
    assert (1795794104.0, 1795797704.0) == (course.begins, course.ends)
    assert ("qconf", "-sq", "*") == tuple(commands[0])


def test_what_bob_may_use_on_grid_engine() -> None:
    """A user without a default project has none, and a list excludes those that are on it."""
    unknown = saved("gridengine", "qconf-suser-unknown")
    found, _ = hold(GridEngine().usable("bob", ["bob"]), *gridengine_answers(user=unknown))
    assert {
        "account": ["nophys", "open", "oth"],
        "queue_name": ["all.q", "short.q", "nophy.q", "noprj.q", "host.q"],
        "reservation_id": ["3"],
    } == names(found)
    assert "" == found.default("account")


def test_grid_engine_without_projects_and_reservations() -> None:
    """A site without projects has no accounts to choose; a qrstat that fails is asked again."""
    answers = [*gridengine_answers()[:3], FAILED, FAILED, FAILED]
    found, _ = hold(GridEngine().usable(*ALICE), *answers)
    assert {"queue_name"} == set(found.entries)
    assert found.partial


# -- PBS and TORQUE --------------------------------------------------------------------------------

QUEUES = """\
Queue: workq
    queue_type = Execution
    enabled = True

Queue: physics
    queue_type = Execution
    acl_user_enable = True
    acl_users = +alice@*,carol@login1,-dora

Queue: gpu
    queue_type = Execution
    acl_group_enable = True
    acl_groups = gpu-users,staff

Queue: both
    acl_user_enable = True
    acl_users = bob
    acl_group_enable = True
    acl_groups = physics

Queue: fed
    from_route_only = True

Queue: R17
    acl_user_enable = True
    acl_users = alice@login1
"""
SERVER = "Server: pbs\n    default_queue = workq\n"
RSTAT = """\
Resv ID: R17.pbs
Reserve_Name = course
Reserve_Owner = root@pbs
reserve_state = RESV_RUNNING
reserve_start = Fri Nov 27 15:00:00 2026
reserve_end = Fri Nov 27 17:00:00 2026
queue = R17
Authorized_Users = alice@login1,carol@login1

Resv ID: R18.pbs
Reserve_Name = Authorized_Users = alice
reserve_state = RESV_CONFIRMED
Authorized_Users = bob@login1

Resv ID: S19.pbs
reserve_state = RESV_UNCONFIRMED
Authorized_Users = alice@login1

"""


def test_what_alice_may_use_on_pbs() -> None:
    """Queues and reservations have lists of users and groups. A queue that only another queue
    feeds, and the queue of a reservation, can't be chosen. Accounts are not known."""
    found, commands = hold(Pbs().usable(*ALICE), (QUEUES, "", 0), (SERVER, "", 0), (RSTAT, "", 0))
    assert {"queue_name": ["workq", "physics"], "reservation_id": ["R17.pbs"]} == names(found)
    (reservation,) = found.entries["reservation_id"]
    assert (1795791600.0, 1795798800.0) == (reservation.begins, reservation.ends)
    assert "workq" == found.default("queue_name")
    assert ["pbs_rstat", "-f"] == commands[-1]


def test_torque_has_queues_only() -> None:
    """TORQUE is not asked for reservations. A queue may ask for one of its two lists only."""
    logic = QUEUES.replace("acl_groups = physics", "acl_groups = physics\n    acl_logic_or = True")
    found, commands = hold(Torque().usable(*ALICE), (logic, "", 0), (SERVER, "", 0))
    assert {"queue_name": ["workq", "physics", "both"]} == names(found)
    assert 2 == len(commands)


def test_a_list_that_excludes() -> None:
    """A name behind a hyphen is not admitted, whatever else the list says."""
    assert pbs_usable.is_listed("*,-alice@x", ["bob"])
    assert not pbs_usable.is_listed("*,-alice@x", ["alice"])
    assert not pbs_usable.is_listed("", ["alice"])


# -- LSF -------------------------------------------------------------------------------------------

BQUEUES = """\

QUEUE: normal
  -- For normal jobs.  This is the default queue.

USERS: all
HOSTS:  all

QUEUE: gpu

USERS: physics/
HOSTS:  all
"""
BRSVS = """\
RSVID       TYPE    USER   NCPUS      RSV_HOSTS           TIME_WINDOW
alice#0     user    alice   0/1024    hostA:0/1024   11/27/6/0-11/27/18/30
bob#0       user    bob    0/1024     hostA:0/1024           12:0-14:0 *
phys#0      group   physics  -/2048     hostA:-/1024         3:0:0-3:3:0 *
                                      hostB:0/1024
system#0    sys     system   1024      hostA:0/1024       5:18:0-5:20:0 *
"""


def test_what_alice_may_use_on_lsf() -> None:
    """LSF itself lists the user's queues; reservations are the user's own and those of groups."""
    answers = [(BQUEUES, "", 0), (BRSVS, "", 0), ("GROUP_NAME USERS\nphysics alice bob\n", "", 0)]
    found, commands = hold(Lsf().usable("alice", []), *answers)
    assert {
        "queue_name": ["normal", "gpu"],
        "reservation_id": ["alice#0", "phys#0"],
    } == names(found)
    assert "normal" == found.default("queue_name")
    assert ["bqueues", "-l", "-u", "alice"] == commands[0]


def test_an_end_without_a_year() -> None:
    """The times of LSF's reservations lack the year: the next one that is not long ago is meant.
    One that comes again every week has no end."""
    now = 1795790000.0  # 27 November 2026
    mine, groups = lsf_usable.read_reservations(BRSVS, "alice", {"physics"}, now)
    assert 1795804200.0 == mine.ends
    assert None is groups.ends
    january = BRSVS.replace("11/27/6/0-11/27/18/30", "12/31/6/0-1/2/6/0")
    one = lsf_usable.read_reservations(january, "alice", (), now)[0]
    assert (1798696800.0, 1798869600.0) == (one.begins, one.ends)


def test_groups_within_groups() -> None:
    """A user group may have other groups as members, also in a circle."""
    text = "GROUP_NAME USERS\nin alice\nout in/ carol\nround out/ round/\nother bob\nany all\n"
    assert {"in", "out", "round", "any"} == lsf_usable.find_groups(text, "alice")


# -- HTCondor --------------------------------------------------------------------------------------


def test_accounting_groups_of_htcondor() -> None:
    """The configured accounting groups are offered; without any, accounts are not known."""
    found, commands = hold(HTCondor().usable(*ALICE), ("group_a, group_b.c group_d\n", "", 0))
    assert {"account": ["group_a", "group_b.c", "group_d"]} == names(found)
    assert [["condor_config_val", "GROUP_NAMES"]] == commands
    assert {} == hold(HTCondor().usable(*ALICE), ("", "Not defined: GROUP_NAMES", 1))[0].entries


# -- whatever they print -------------------------------------------------------------------------


WORDS = [
    *(
        "PartitionName=a",
        "ReservationName=r",
        "StartTime=9",
        "EndTime=x",
        "Users=-alice",
        "QUEUE: ",
    ),
    *(
        "Accounts=a,b",
        "AllowQos=",
        "ClusterName",
        "Queue: ",
        "qname",
        "name",
        "=",
        "acl_users",
        "acl",
    ),
    *(
        "Resv ID: R1",
        "alice",
        "/",
        "11/99/1/1-2/2/2/2",
        "<qrstat>",
        "</qrstat>",
        "<ar_summary/>",
        "@a",
    ),
    *(
        "user",
        "entries",
        " ",
        "\n",
        "\n\n",
        "\\\n",
        "|",
        ",",
        "\x00",
        "[",
        "accounting_storage/slurmdbd",
    ),
]


@given(st.data())
def test_any_output_is_read_or_refused(data: Any) -> None:
    """Whatever the commands print, it is read or refused, and what is read crosses the wire."""
    scheduler = data.draw(
        st.sampled_from([Slurm(), GridEngine(), Pbs(), Torque(), Lsf(), HTCondor()])
    )
    words = st.sampled_from(WORDS)
    text = st.lists(words).map(" ".join)
    dialogue = scheduler.usable("alice", ["alice"])
    try:
        command = next(dialogue)
        while True:
            status = data.draw(st.sampled_from([0, 0, 1]))
            command = dialogue.send(Reply(tuple(command), status, data.draw(text)))
    except StopIteration as stop:
        assert stop.value == plain.decode(Usable, plain.encode(stop.value))
    except SchedulerUnavailable:
        pass
