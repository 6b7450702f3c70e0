"""Listings of very many jobs, as schedulers' commands print them.

Each is made of a job that a real command printed (``tests/outputs``), with other ids and owners.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from unispawner.testing import read_saved_reply

from . import OUTPUTS

SQUEUE = "{n}|user{u}|RUNNING|None|node{u}|debug|4294901712|1795375996|1795376596\n"
LSF_FIELDS = {
    "JOBID": "{n}",
    "USER": "user{u}",
    "STAT": "RUN",
    "QUEUE": "normal",
    "EXEC_HOST": "2*node{u}",
    "PEND_REASON": "",
    "EXIT_CODE": "",
    "EXIT_REASON": "",
    "START_TIME": "Nov 22 19:32",
    "FINISH_TIME": "Nov 22 20:32 L",
    "ESTIMATED_START_TIME": "",
}
LSF_ROW = "{n}     user{u}   RUN   normal     vm          node{u}      jupyter    Nov 22 19:32\n"


def _saved(name: str) -> str:
    return read_saved_reply(OUTPUTS / name).stdout


def _rows(row: str, count: int) -> str:
    """Return a row many times, with {n} for a number of its own and {u} for one of 100 users."""
    parts = re.split(r"(\{[nu]\})", row)
    return "".join(
        "".join({"{n}": str(n), "{u}": str(n % 100)}.get(part, part) for part in parts)
        for n in range(1000, 1000 + count)
    )


def _slurm(count: int) -> str:
    return _rows(SQUEUE, count)


def _gridengine(count: int) -> str:
    text = _saved("gridengine/qstat-xml-all-users")
    match = re.search(r"\s*<job_list.*?</job_list>", text, re.DOTALL)
    assert match
    row = match[0].replace(">30<", ">{n}<").replace("alice", "user{u}")
    return f"{text[: match.start()]}{_rows(row, count)}\n  </queue_info>\n</job_info>\n"


def _torque(count: int) -> str:
    match = re.search(r"<Job>.*?</Job>", _saved("torque/qstat-x-all"))
    assert match
    row = match[0].replace("<Job_Id>2<", "<Job_Id>{n}.torquelab<").replace("alice", "user{u}")
    return f"<Data>{_rows(row, count)}</Data>\n"


def _pbs(count: int) -> str:
    text = _saved("pbs/qstat-f-json-all")
    match = re.search(r'\t\t"1\.pbslab":\t\{.*?\n\t\t\}', text, re.DOTALL)
    assert match
    row = match[0].replace('"1.pbslab"', '"{n}.pbslab"').replace("alice", "user{u}") + ",\n"
    return f"{text[: match.start()]}{_rows(row, count)[:-2]}\n\t}}\n}}\n"


def _htcondor(count: int) -> str:
    match = re.search(r"^\{.*?^\}\n", _saved("htcondor/condor_q-states"), re.DOTALL | re.MULTILINE)
    assert match
    row = match[0].replace('"ClusterId": 1,', '"ClusterId": {n},').replace("alice", "user{u}")
    return f"[\n{_rows(row + ',' + chr(10), count)[:-2]}]\n"


def _lsf(count: int) -> str:
    row = json.dumps(LSF_FIELDS, indent=4).replace("/", "\\/") + ",\n"
    records = _rows(row, count)[:-2]
    return f'{{\n  "COMMAND":"bjobs",\n  "JOBS":{count},\n  "RECORDS":[{records}]\n}}\n'


def _lsf_columns(count: int) -> str:
    heading = _saved("openlava/bjobs-a-w-all-users").partition("\n")[0]
    return f"{heading}\n{_rows(LSF_ROW, count)}"


LISTINGS: Mapping[str, Callable[[int], str]] = {
    "slurm": _slurm,
    "gridengine": _gridengine,
    "torque": _torque,
    "pbs": _pbs,
    "htcondor": _htcondor,
    "lsf": _lsf,
    "lsf columns": _lsf_columns,
}
"""Return the listing of that many jobs, by scheduler; the first job has the id 1000."""


def first_id(name: str) -> str:
    """Return the id of the first job of a listing."""
    return {"torque": "1000.torquelab", "pbs": "1000.pbslab"}.get(name, "1000")
