"""The answers of schedulers about clusters with very many nodes, as their commands print them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from unispawner.testing import read_saved_reply

from . import OUTPUTS


def _saved(name: str) -> str:
    return read_saved_reply(OUTPUTS / name).stdout


def _slurm(count: int) -> list[str]:
    row = (
        "node{n}|debug*|up|mixed|2:00:00|1-infinite|1/3/0/4|8000|1000|gpu:a100:2(S:0)|gpu:a100:1|"
        "rome,avx2|\n"
    )
    nodes = "".join(row.format(n=n) for n in range(count))
    return [nodes, "long,debug|PENDING\nsmall|RUNNING\n" * (count // 2)]


def _gridengine(count: int) -> list[str]:
    text = _saved("gridengine/qhost-F-some-xml")
    start, end = text.index(" <host name='sgenode1."), text.index("</qhost>")
    row = (
        " <host name='node{n}'>\n   <hostvalue name='load_avg'>0.46</hostvalue>\n"
        "   <hostvalue name='mem_total'>23.5G</hostvalue>\n <queue name='all.q'>\n"
        "   <queuevalue qname='all.q' name='slots_used'>1</queuevalue>\n"
        "   <queuevalue qname='all.q' name='slots'>4</queuevalue>\n </queue>\n </host>\n"
    )
    hosts = "".join(row.format(n=n) for n in range(count))
    jobs = _saved("gridengine/qstat-r-xml-states")
    first = jobs.index("    <job_list")
    one = (
        '    <job_list state="running">\n      <JB_job_number>22</JB_job_number>\n'
        "      <state>r</state>\n      <queue_name>all.q@node1</queue_name>\n"
        "      <slots>1</slots>\n    </job_list>\n"
    )
    tail = "  </queue_info>\n</job_info>\n"
    running = f"{jobs[:first]}{one * count}{tail}"
    waiting = one.replace("running", "pending").replace(">r<", ">qw<")
    return [
        f"{text[:start]}{hosts}{text[end:]}",
        _saved("gridengine/qconf-sq-all.q"),
        running,
        f"{jobs[:first]}{waiting * count}{tail}",
    ]


QUEUE = """\
Queue: batch
    queue_type = Execution
    state_count = Transit:0 Queued:6 Held:0 Waiting:0 Running:4 Exiting:0
    resources_max.walltime = 24:00:00
    enabled = True
    started = True

"""
SERVER = "Server: lab\n    server_state = Active\n    default_queue = batch\n\n"


def _pbs(count: int) -> list[str]:
    row = (
        "node{n}\n     Mom = node{n}.lab\n     state = free\n"
        "     resources_available.host = node{n}\n     resources_available.mem = 8009772kb\n"
        "     resources_available.ncpus = 8\n     resources_available.vnode = node{n}\n"
        "     resources_assigned.mem = 1048576kb\n     resources_assigned.ncpus = 4\n\n"
    )
    return [QUEUE, SERVER, "".join(row.format(n=n) for n in range(count))]


def _torque(count: int) -> list[str]:
    row = (
        "node{n}\n     state = free\n     np = 8\n     properties = big\n     ntype = cluster\n"
        "     jobs = 0/{n}.lab, 1/{n}.lab\n     status = ncpus=8,physmem=8009772kb\n\n"
    )
    return [QUEUE, SERVER, "".join(row.format(n=n) for n in range(count))]


def _htcondor(count: int) -> list[str]:
    row = (
        '{{\n  "Cpus": 1,\n  "GPUs": 0,\n  "Machine": "node{n}",\n  "Memory": 7616,\n'
        '  "SlotType": "{kind}",\n  "State": "Unclaimed",\n  "TotalSlotCpus": 4,\n'
        '  "TotalSlotMemory": 8000\n}}\n'
    )
    rows = [row.format(n=n // 2, kind="Static") for n in range(count)]
    counts = '[{"TotalIdleJobs": 1, "TotalRunningJobs": 2}]'
    return ["[\n" + ",\n".join(rows) + "]\n", counts]


def _lsf(count: int) -> list[str]:
    names = [f"node{n}" for n in range(count)]
    queue = (
        "\nQUEUE: normal\n  -- This is the default queue.\n\nPARAMETERS/STATISTICS\n"
        "PRIO NICE STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN SSUSP USUSP  RSV\n"
        " 30    0  Open:Active       -    -    -    -    10     6     4     0     0    0\n\n"
        f"USERS: all\nHOSTS:  {' '.join(names)} half/\n"
    )
    heading = "HOST_NAME STATUS JL/U MAX NJOBS RUN SSUSP USUSP RSV\n"
    hosts = heading + "".join(f"{name} ok - 8 3 2 1 0 0\n" for name in names)
    heading = "HOST_NAME type model cpuf ncpus maxmem maxswp server RESOURCES\n"
    static = heading + "".join(f"{name} X86 Intel 12.5 8 62.3G - Yes (mg)\n" for name in names)
    heading = "HOST_NAME GPU_ID MODEL MUSED MRSV NJOBS RUN SUSP RSV\n"
    gpus = heading + "".join(f"{name} 0 V100 14.5G 0M 1 1 0 0\n" for name in names)
    groups = f"GROUP_NAME HOSTS\nhalf {' '.join(names[::2])}\n"
    return [queue, hosts, static, gpus, groups]


CLUSTERS: Mapping[str, Callable[[int], list[str]]] = {
    "slurm": _slurm,
    "gridengine": _gridengine,
    "pbs": _pbs,
    "torque": _torque,
    "htcondor": _htcondor,
    "lsf": _lsf,
}
"""Return the outputs of the commands of a question for the inventory of that many nodes.

HTCondor's cluster has two slots on each machine.
"""
