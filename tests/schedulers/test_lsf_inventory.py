"""LSF's queues and hosts, as bqueues, bhosts, lshosts and bmgroup print them.

The texts are written by hand, from the manual pages of IBM's LSF 10.1 and OpenLava's sources.
"""

from datetime import timedelta

import pytest
from support.dialogues import hold

from unispawner.errors import SchedulerUnavailable
from unispawner.schedulers.base import Reply
from unispawner.schedulers.inventory import Inventory, Node, Queue
from unispawner.schedulers.lsf import Lsf

LSF = Lsf()

# bqueues(1), -l, LSF 10.1.
BQUEUES = """\

QUEUE: normal
  -- For normal low priority jobs.  This is the default queue.

PARAMETERS/STATISTICS
PRIO NICE STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN SSUSP USUSP  RSV PJOBS
 30    0  Open:Active       -    -    -    -    10     6     4     0     0    0     3
Interval for a host to accept two jobs is 0 seconds

DEFAULT LIMITS:
 RUNLIMIT
 60.0 min

MAXIMUM LIMITS:
 CPULIMIT                 RUNLIMIT                 TASKLIMIT
 90.0 min of n1           1440.0 min of n1         1 2 64

 CORELIMIT MEMLIMIT
      0 M      16 G

SCHEDULING PARAMETERS
           r15s   r1m  r15m   ut      pg    io   ls    it    tmp    swp    mem
 loadSched   -     -     -     -       -     -    -     -     -      -      -
 loadStop    -     -     -     -       -     -    -     -     -      -      -

USERS: all
HOSTS:  all

-------------------------------------------------------------------------------

QUEUE: gpu
  -- This is the default queue for nobody

PARAMETERS/STATISTICS
PRIO NICE STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN SSUSP USUSP  RSV PJOBS
 50    0  Open:Inact_Adm    8    -    -    -     0     0     0     0     0    0     0

USERS: all
HOSTS:  gpus/ n1+2
"""

# bhosts(1), -w; lshosts(1), -w; bhosts(1), -gpu -w; bmgroup(1), -w.
BHOSTS = """\
HOST_NAME          STATUS          JL/U    MAX  NJOBS    RUN  SSUSP  USUSP    RSV
n1                 ok              -         8      3      2      1      0      0
n2                 closed_Full     -         4      4      4      0      0      0
n3                 ok              -        16      2      2      0      0      2
n4                 closed_Adm      -         8      0      0      0      0      0
n5                 unavail         -         -      0      0      0      0      0
"""
LSHOSTS = """\
HOST_NAME                       type       model  cpuf ncpus maxmem maxswp server RESOURCES
n1                            X86_64    Intel_E5  12.5     8  62.3G      -    Yes (mg docker)
n2                            X86_64    Intel_E5  12.5     4  3940M  4094M    Yes ()
n3                            X86_64    Intel_E5  12.5    16   1.5T      -    Dyn (gpu)
n5                            X86_64    Intel_E5  12.5     6      -      -    Yes ()
login                         X86_64    Intel_E5  12.5     -      -      -     No ()
"""
BHOSTS_GPU = """\
HOST_NAME            GPU_ID                MODEL     MUSED      MRSV  NJOBS    RUN   SUSP    RSV
n3                        0  TeslaV100_PCIE_32GB     14.5G        0M      1      1      0      0
                          1  TeslaV100_PCIE_32GB      273M        0M      0      0      0      0
n4                        0  TeslaV100_PCIE_32GB      273M        0M      0      0      0      0
"""
V100 = "TeslaV100_PCIE_32GB"
BMGROUP = """\
GROUP_NAME    HOSTS
gpus          n3 more/
more          n4 gpus/
"""


def ok(text: str) -> Reply:
    return Reply(("x",), 0, text)


def fails(text: str) -> Reply:
    return Reply(("x",), 255, "", text)


def test_the_inventory() -> None:
    """Queues have their limits; hosts have what is free, and the names that EXEC_HOST has."""
    replies = (ok(BQUEUES), ok(BHOSTS), ok(LSHOSTS), ok(BHOSTS_GPU), ok(BMGROUP))
    inventory, asked = hold(LSF.inventory(), *replies)
    assert [
        ["bqueues", "-l"],
        ["bhosts", "-w", "-X"],
        ["lshosts", "-w"],
        ["bhosts", "-gpu", "-w"],
        ["bmgroup", "-w"],
    ] == asked
    normal, both = frozenset({"normal"}), frozenset({"normal", "gpu"})
    expected = Inventory(
        (
            Queue(
                "normal",
                default=True,
                max_duration=timedelta(days=1),
                max_cores=64,
                max_memory=16 * 1024**3,
                waiting=3,
                running=4,
            ),
            Queue("gpu", available=False, waiting=0, running=0),
        ),
        (
            Node(
                "n1",
                True,
                8,
                5,
                0,
                0,
                memory=int(62.3 * 1024**3),
                queues=both,
                gpu_types=(),
                features=frozenset({"mg", "docker", "type=X86_64"}),
            ),
            Node(
                "n2",
                True,
                4,
                0,
                0,
                0,
                memory=3940 * 1024**2,
                queues=normal,
                gpu_types=(),
                features=frozenset({"type=X86_64"}),
            ),
            Node(
                "n3",
                True,
                16,
                12,
                2,
                1,
                memory=int(1.5 * 1024**4),
                queues=both,
                gpu_types=((V100, 2, 1),),
                features=frozenset({"gpu", "type=X86_64"}),
            ),
            Node("n4", False, 8, 0, 1, 0, queues=both, gpu_types=((V100, 1, 0),)),
            Node(
                "n5",
                False,
                6,
                0,
                0,
                0,
                queues=normal,
                gpu_types=(),
                features=frozenset({"type=X86_64"}),
            ),
        ),
    )
    assert expected == inventory


def test_the_inventory_of_an_old_release() -> None:
    """An inventory is read without -X and -gpu, which OpenLava lacks (bqueues.c, bhosts.c)."""
    queues = (
        "\nQUEUE: normal\n  -- For all  This is one of the default queues.\n\n"
        "PARAMETERS/STATISTICS\n"
        "PRIO NICE     STATUS       MAX JL/U JL/P JL/H NJOBS  PEND  RUN  SSUSP USUSP  RSV\n"
        "  30  20    Open:Active     -    -   -    -      1     1     0     0     0    0\n\n"
        " RUNLIMIT                 PROCLIMIT               \n"
        "  480.0 min                8\n\n"
        " FILELIMIT DATALIMIT MEMLIMIT\n"
        "   2000 K   20000 K   8000 K\n\n"
        "SCHEDULING PARAMETERS\n\n"
        "USERS:  all users\n"
        "HOSTS:  all hosts used by the OpenLava system\n"
    )
    usage = "bhosts: invalid option -- 'X'\nUsage:\nbhosts [-h] [-V]"
    hosts = (
        "HOST_NAME          STATUS          JL/U    MAX  NJOBS    RUN  SSUSP  USUSP    RSV\n"
        "vm                 ok               -      4      1      1      0      0      0\n"
    )
    replies = (ok(queues), fails(usage), ok(hosts), SchedulerUnavailable("too slow"), fails(usage))
    inventory, asked = hold(LSF.inventory(), *replies)
    assert ["bhosts", "-w"] == asked[2]
    (queue,) = inventory.queues
    assert (True, timedelta(hours=8), 8) == (queue.default, queue.max_duration, queue.max_cores)
    assert (8000 * 1024, 1) == (queue.max_memory, queue.waiting)
    assert (
        Node("vm", True, 4, 3, 0, 0, queues=frozenset({"normal"}), gpu_types=()),
    ) == inventory.nodes


def test_a_limit_of_each_task_is_none_of_the_job() -> None:
    """A memory limit for each task is not the limit of a job, which may have several tasks."""
    replies = (ok(BQUEUES), ok(BHOSTS), ok(""), ok(""), ok(BMGROUP))
    inventory, _ = hold(Lsf(lsf_memory_limit_per="task").inventory(), *replies)
    assert {None} == {queue.max_memory for queue in inventory.queues}


def test_hosts_that_a_queue_leaves_out() -> None:
    """A queue may exclude hosts (lsb.queues, HOSTS); a group's name stands for its members."""
    text = BQUEUES.replace("HOSTS:  all\n", "HOSTS:  all ~n1 ~gpus/\n")
    replies = (ok(text), ok(BHOSTS), ok(""), ok(""), ok(BMGROUP))
    inventory, _ = hold(LSF.inventory(), *replies)
    assert {"n2", "n5"} == {node.name for node in inventory.nodes if "normal" in node.queues}


@pytest.mark.parametrize("number", range(2))
def test_commands_of_the_inventory_that_fail(number: int) -> None:
    """Queues and hosts are needed; without the other commands the inventory has less."""
    down = fails("LSF is down. Please wait ...")
    for bad in (down, ok("what?\n"), ok("")):
        replies = [ok(BQUEUES), ok(BHOSTS)]
        replies[number] = bad
        with pytest.raises(SchedulerUnavailable):
            hold(LSF.inventory(), *replies)
