"""Answers of commands that no cluster of ours has given, written after manual pages and sources."""

from __future__ import annotations

from collections.abc import Mapping

_QSTAT_QUEUES = """\
Queue: workq
    queue_type = Execution
    total_jobs = 3
    state_count = Transit:0 Queued:1 Held:0 Waiting:0 Running:2 Exiting:0
    resources_max.walltime = 24:00:00
    resources_max.nodect = 4
    resources_max.mem = 64gb
    resources_default.neednodes = fast
    hasnodes = True
    enabled = True
    started = True

Queue: short
    queue_type = Execution
    state_count = Transit:0 Queued:0 Held:0 Waiting:0 Running:0 Exiting:0
    resources_max.walltime = 00:30:00
    enabled = True
    started = False
"""
_QSTAT_SERVER = """\
Server: pbslab
    server_state = Active
    total_jobs = 3
    default_queue = workq
    resources_max.ncpus = 64
"""
_PBSNODES = """\
node1
     Mom = node1
     ntype = PBS
     state = free
     resources_available.host = node1
     resources_available.mem = 3995036kb
     resources_available.ncpus = 4
     resources_available.ngpus = 1
     resources_assigned.mem = 1048576kb
     resources_assigned.ncpus = 1
     queue = workq

node2[0]
     Mom = node2
     state = job-busy
     resources_available.ncpus = 8
     resources_assigned.ncpus = 8

"""
_TORQUE_NODES = """\
node1
     state = free
     np = 4
     properties = fast,big
     ntype = cluster
     jobs = 0/7.torquelab, 1-3/8.torquelab
     status = rectime=1448,jobs=7.torquelab,state=free,ncpus=4,physmem=3995036kb,netload=9
     gpus = 1

node2
     state = down,offline
     np = 8
     ntype = cluster

"""
_BQUEUES = """\

QUEUE: normal
  -- For normal low priority jobs.  This is the default queue.

PARAMETERS/STATISTICS
PRIO NICE STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN SSUSP USUSP  RSV PJOBS
 30    0  Open:Active       -    -    -    -    10     6     4     0     0    0     3

MAXIMUM LIMITS:
 CPULIMIT                 RUNLIMIT                 TASKLIMIT
 90.0 min of n1           1440.0 min of n1         1 2 64

 CORELIMIT MEMLIMIT
      0 M      16 G

USERS: all
HOSTS:  gpus/ n1+2 all
"""
_BHOSTS = """\
HOST_NAME          STATUS          JL/U    MAX  NJOBS    RUN  SSUSP  USUSP    RSV
n1                 ok              -         8      3      2      1      0      0
n2                 closed_Full     -         4      4      4      0      0      0
"""
_LSHOSTS = """\
HOST_NAME                       type       model  cpuf ncpus maxmem maxswp server RESOURCES
n1                            X86_64    Intel_E5  12.5     8  62.3G      -    Yes (mg docker)
n2                            X86_64    Intel_E5  12.5     4  3940M  4094M    Yes ()
"""
_BHOSTS_GPU = """\
HOST_NAME            GPU_ID                MODEL     MUSED      MRSV  NJOBS    RUN   SUSP    RSV
n1                        0  TeslaV100_PCIE_32GB     14.5G        0M      1      1      0      0
                          1  TeslaV100_PCIE_32GB      273M        0M      0      0      0      0
"""
_BMGROUP = """\
GROUP_NAME    HOSTS
gpus          n1 more/
more          n2 gpus/
"""
_BJOBS_PENDING = """\
JOBID   USER    STAT  QUEUE      FROM_HOST   EXEC_HOST   JOB_NAME   SUBMIT_TIME
1000    alice   PEND  normal     login                   jupyter    Nov 22 19:32
 New job is waiting for scheduling;
"""

WRITTEN: Mapping[str, tuple[tuple[str, str], ...]] = {
    "pbs": (
        ("qstat -Q -f", _QSTAT_QUEUES),
        ("qstat -B -f", _QSTAT_SERVER),
        ("pbsnodes -a", _PBSNODES),
        ("pbsnodes -av", _PBSNODES),
        ("qstat --version", "pbs_version = 23.06.06\n"),
    ),
    "torque": (
        ("qstat -Q -f", _QSTAT_QUEUES),
        ("qstat -B -f", _QSTAT_SERVER),
        ("pbsnodes -a", _TORQUE_NODES),
        ("qstat --version", "Version: 4.2.10\nRevision: \n"),
    ),
    "lsf": (
        ("bqueues -l", _BQUEUES),
        ("bhosts -w -X", _BHOSTS),
        ("bhosts -gpu -w", _BHOSTS_GPU),
        ("lshosts -w", _LSHOSTS),
        ("bmgroup -w", _BMGROUP),
        ("bjobs -p -u all", _BJOBS_PENDING),
        ("lsid", "IBM Spectrum LSF Standard 10.1.0.12, Jun 10 2021\nMy cluster name is lab\n"),
        ("bsub", "Job <1000> is submitted to queue <normal>.\n"),
    ),
}
"""For each scheduler, commands and what they print."""
