"""Slurm's partitions, nodes and numbers of jobs, from saved output of sinfo and squeue."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
import support

from unispawner.errors import AgentError, SchedulerUnavailable
from unispawner.schedulers.base import QUERY_LIMIT, advance
from unispawner.schedulers.inventory import Inventory, Share
from unispawner.schedulers.slurm import Slurm
from unispawner.schedulers.slurm_inventory import NODES_COMMAND, read_inventory
from unispawner.testing import read_saved_reply

OUTPUTS = support.OUTPUTS / "slurm"


def read(name: str) -> Inventory:
    inventory = read_inventory(read_saved_reply(OUTPUTS / name).stdout)
    assert inventory
    return inventory


def scontrol(name: str) -> list[dict[str, str]]:
    """Return what scontrol printed about the same nodes at the same moment."""
    lines = read_saved_reply(OUTPUTS / name).stdout.splitlines()
    return [dict(re.findall(r"(\w+)=(\S*)", line)) for line in lines]


def test_the_command_is_the_one_that_was_captured() -> None:
    """The saved output is that of the command that is run."""
    command = next(Slurm().inventory())
    for name in ("sinfo-inventory", "sinfo-inventory-busy"):
        assert tuple(command) == read_saved_reply(OUTPUTS / name).command


def test_fifty_thousand_nodes_can_be_read() -> None:
    """sinfo fills its columns with blanks: fifty thousand such rows are not too many bytes."""
    widths = [int(width) for width in re.findall(r":(\d+)\|", " ".join(NODES_COMMAND))]
    assert 12 == len(widths)
    assert 50_000 * (sum(widths) + len(widths) + 1) < QUERY_LIMIT


def test_how_many_jobs_there_are() -> None:
    """Each task of an array counts; a job for several partitions waits in each of them."""
    dialogue = Slurm().inventory()
    next(dialogue)
    asked = dialogue.send(read_saved_reply(OUTPUTS / "sinfo-inventory"))
    reply = read_saved_reply(OUTPUTS / "squeue-inventory")
    assert tuple(asked) == reply.command
    with pytest.raises(StopIteration) as ended:
        dialogue.send(reply)
    found = {queue.name: (queue.waiting, queue.running) for queue in ended.value.value.queues}
    assert {"debug": (3, 0), "long": (3, 0), "small": (1, 1)} == found


def test_nodes_are_known_without_the_jobs() -> None:
    """If squeue fails, only the numbers of jobs are unknown."""
    for answer in (read_saved_reply(OUTPUTS / "squeue-ctld-down"), AgentError("took too long")):
        dialogue = Slurm().inventory()
        next(dialogue)
        dialogue.send(read_saved_reply(OUTPUTS / "sinfo-inventory"))
        with pytest.raises(StopIteration) as ended:
            advance(dialogue, answer)
        assert read("sinfo-inventory") == ended.value.value


@pytest.mark.parametrize("moment", ["", "-busy"])
def test_nodes_are_as_scontrol_has_them(moment: str) -> None:
    """Cores, GPUs, memory, partitions and availability agree with scontrol's."""
    found = {node.name: node for node in read(f"sinfo-inventory{moment}").nodes}
    rows = scontrol(f"scontrol-nodes{moment}")
    assert [row["NodeName"] for row in rows] == list(found)
    for row in rows:
        node = found[row["NodeName"]]
        available = "DRAIN" not in row["State"] and "DOWN" not in row["State"]
        gpus = sum(map(int, re.findall(r"gpu:\w+:(\d+)", row["Gres"])))
        memory, used = int(row["RealMemory"]) * 1024**2, int(row["AllocMem"]) * 1024**2
        assert set(row["Partitions"].split(",")) == node.queues
        assert (available, int(row["CPUTot"])) == (node.available, node.cores)
        assert (gpus, memory) == (node.gpus, node.memory)
        idle = int(row["CPUTot"]) - int(row["CPUAlloc"]) if available else 0
        assert idle == node.idle_cores
        assert (memory - used if available else 0) == node.idle_memory


def test_a_cluster_at_work() -> None:
    """Of node1 one of two GPUs is in use; node2 is down and node4 drained."""
    nodes = {node.name: node for node in read("sinfo-inventory-busy").nodes}
    assert {"node1": True, "node2": False, "node3": True, "node4": False} == {
        name: node.available for name, node in nodes.items()
    }
    assert {"node1": (2, 1), "node2": (2, 0), "node3": (0, 0), "node4": (0, 0)} == {
        name: (node.gpus, node.idle_gpus) for name, node in nodes.items()
    }
    assert 5 == nodes["node1"].idle_cores
    totals = read("sinfo-inventory-busy").totals("small")
    assert (0, 0) == (totals.nodes, totals.idle_cores)


def test_partitions() -> None:
    """Partitions have the default and their time limits; no limit is None."""
    queues = read("sinfo-inventory").queues
    assert [("debug", True), ("long", False), ("small", False)] == [
        (queue.name, queue.default) for queue in queues
    ]
    limits = [timedelta(hours=2), timedelta(days=7), timedelta(minutes=10)]
    assert limits == [queue.max_duration for queue in queues]
    assert [None] * 3 == [queue.max_nodes for queue in queues]
    assert all(queue.available for queue in queues)


def changed(*pairs: tuple[str, str]) -> Inventory:
    """Read the saved output with other words in it, which sinfo(1) lists."""
    text = read_saved_reply(OUTPUTS / "sinfo-inventory").stdout
    for old, new in pairs:
        assert old in text
        # The columns keep their width.
        text = re.sub(re.escape(old) + " " * (len(new) - len(old)), new, text)
    inventory = read_inventory(text)
    assert inventory
    return inventory


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        *(("mixed", True), ("allocated", True), ("completing", True), ("planned", True)),
        *(("idle~", True), ("mixed-", True), ("allocated+", True)),
        *(("idle*", False), ("allocated*", False), ("down*", False), ("unknown", False)),
        *(("draining", False), ("drained*", False), ("maint", False), ("reserved", False)),
        *(("fail", False), ("powering_down", False), ("future", False), ("down~", False)),
    ],
)
def test_words_for_a_nodes_state(state: str, expected: bool) -> None:
    """A node's state may have flags; a node that does not answer is not available."""
    assert {expected} == {node.available for node in changed(("idle", state)).nodes}


@pytest.mark.parametrize(
    ("gres", "expected"),
    [
        ("gpu:a100:4(S:0-1)", 4),
        ("gpu:4", 4),
        ("gpu:a100:2,gpu:v100:3", 5),
        ("gpu:a100:2(S:0),gpu:v100:3(S:1)", 5),
        ("license:7,gpu:1,mps:400", 1),
        ("mygpu:3", 0),
        ("(null)", 0),
    ],
)
def test_words_for_gpus(gres: str, expected: int) -> None:
    """GPUs of several types are added; their sockets and other resources are ignored."""
    inventory = changed(("gpu:a100:2", gres))
    assert expected == {node.name: node.gpus for node in inventory.nodes}["node1"]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("infinite", None),
        ("n/a", None),
        ("1-02:03:04", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("12:30:00", timedelta(hours=12, minutes=30)),
        ("30:00", timedelta(minutes=30)),
    ],
)
def test_words_for_a_time_limit(limit: str, expected: timedelta | None) -> None:
    """A time limit has days, hours, minutes and seconds."""
    assert expected == changed(("2:00:00", limit)).queues[0].max_duration


def test_a_partition_with_limits_and_one_that_is_closed() -> None:
    """A partition has its limit of nodes, and is not available if down, drained or inactive."""
    assert 4 == changed(("1-infinite", "1-4")).queues[0].max_nodes
    assert 1 == changed(("1-infinite", "1")).queues[0].max_nodes
    for word in ("down", "drain", "inact"):
        assert {False} == {queue.available for queue in changed(("up", word)).queues}


def test_what_cannot_be_read_is_no_inventory() -> None:
    """Output that can't be read is an error, not half of a cluster."""
    reply = read_saved_reply(OUTPUTS / "sinfo-inventory")
    for text in ("<html>", reply.stdout + "slurm_load_partitions: oops\n"):
        dialogue = Slurm().inventory()
        next(dialogue)
        with pytest.raises(SchedulerUnavailable, match="sinfo could not be read"):
            dialogue.send(replace(reply, stdout=text))
    down = read_saved_reply(OUTPUTS / "sinfo-ctld-down")
    dialogue = Slurm().inventory()
    next(dialogue)
    with pytest.raises(SchedulerUnavailable) as caught:
        dialogue.send(down)
    assert down.text in str(caught.value)


def test_a_cluster_without_nodes() -> None:
    """Output without rows is an empty inventory."""
    assert Inventory() == read_inventory("")


@pytest.mark.parametrize(
    ("gres", "used", "expected"),
    [
        ("gpu:a100:4(S:0-1)", "gpu:a100:1(IDX:0)", (("a100", 4, 3),)),
        (
            "gpu:a100:2(S:0),gpu:v100:3",
            "gpu:v100:3(IDX:0-2),gpu:a100:0(IDX:N/A)",
            (("a100", 2, 2), ("v100", 3, 0)),
        ),
        ("gpu:a100_3g.20gb:2,license:7", "gpu:a100_3g.20gb:1", (("a100_3g.20gb", 2, 1),)),
        (
            "gpu:a100:1,shard:a100:8",
            "gpu:a100:0,shard:a100:2(2/8)",
            (("a100", 1, 1), ("shard", 8, 6), ("shard:a100", 8, 6)),
        ),
        ("shard:8", "shard:8", (("shard", 8, 0),)),
        ("gpu:2", "gpu:1", ()),
        ("(null)", "(null)", ()),
    ],
)
def test_types_of_gpus(gres: str, used: str, expected: tuple[tuple[str, int, int], ...]) -> None:
    """Each type of GPU is counted by itself; shards have the name that a job gives as the type."""
    row = f"n1|debug*|up|idle|1:00:00|1|0/8/0/8|1000|0|{gres}|{used}|rome,avx2|\n"
    inventory = read_inventory(row)
    assert inventory
    (node,) = inventory.nodes
    assert (expected, frozenset({"rome", "avx2"})) == (node.gpu_types, node.features)


def test_features_that_are_cut_off_are_not_known() -> None:
    """sinfo cuts a long list off: no feature is missed then, because none is known."""
    for features, expected in (("a" * 130, None), ("(null)", frozenset())):
        row = f"n1|debug*|up|idle|1:00:00|1|0/8/0/8|1000|0|(null)|(null)|{features}|\n"
        inventory = read_inventory(row)
        assert inventory
        assert expected == inventory.nodes[0].features


def test_what_is_free_of_each_type_and_feature() -> None:
    """The saved cluster has one type of GPU and two features; nodes that are down count as 0."""
    inventory = read("sinfo-inventory")
    assert ["a100"] == list(inventory.gpu_types())
    assert {"a100": Share(4, 4)} == inventory.gpu_types("debug")
    assert {} == inventory.gpu_types("small")
    assert ["milan", "rome"] == list(inventory.features("debug"))
    nodes = tuple(replace(node, available=False) for node in inventory.nodes)
    assert {"a100": Share(0, 0)} == Inventory(inventory.queues, nodes).gpu_types("debug")
