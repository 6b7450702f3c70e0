"""Reads what PBS's qstat prints about jobs, so that nobody can forge a job or an attribute.

Any user may put quotes, commas and line breaks into an attribute, such as the name of a variable.

Since 23.06 OpenPBS writes JSON with the library cJSON (openpbs#2604), which escapes everything, and
such JSON is read as it is. From PBS 14 until then it wrote JSON by itself: names were never escaped
and values not always, so that the text is often not JSON at all (openpbs#1255, #2049, #2603). In
that case the jobs are asked for in the format "dsv", each on one line, with a random delimiter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from .pbs_job import Row
from .reading import cut_document, keep_unique, split_rows

_Pairs = Iterable[tuple[str, Any]]
_JOB = re.compile(r'\t\t("(?:[^"\\]|\\.)*"):\t\{')


def is_handmade(text: str) -> bool:
    """Return whether PBS wrote this JSON without cJSON: four blanks, and none after a colon."""
    return re.match(r'\{\n {4}"[^"\n]*":\S', text) is not None


def cut_answer(text: str) -> tuple[str, list[str]]:
    """Return the JSON in an answer, and the lines around it, such as a site's notice.

    It begins with a line ``{`` and ends with a line ``}``. No attribute of a job can be such a
    line, or if PBS wrote the JSON by itself, the JSON is not read at all.
    """
    return cut_document(text, r"^\{(?=$|\s*\")", r"^\}\s*$|^\{.*\}\s*$")


def read_json(text: str) -> dict[str, Row] | None:
    """Read ``qstat -f -F json``; return None if the text is something else, or cut off."""
    try:
        answer = _loads(text)
    except (ValueError, RecursionError):
        jobs = _split(text)
    else:
        jobs = _jobs(answer)
    if jobs is None:
        return None
    return keep_unique((job_id, _flatten(job)) for job_id, job in jobs)


def read_dsv(
    text: str, delimiter: str, passed_over: list[str] | None = None
) -> dict[str, Row] | None:
    """Read ``qstat -f -F dsv -D delimiter``: ``Job Id: 1.server``, and then ``name=value``.

    qstat writes a line break in a value as ``\\n``. Return None if the text is something else, or
    cut off.

    Parameters
    ----------
    passed_over
        A list that gets the lines that are no jobs.
    """
    head = "Job Id: "
    if text.rpartition("\n")[2].startswith(head):
        return None
    lines, others = split_rows(text, lambda line: line.startswith(head))
    if others and not lines:
        return None
    if passed_over is not None:
        passed_over += others
    jobs = []
    for line in filter(None, lines):
        head, *parts = line.split(delimiter)
        pairs = [part.partition("=") for part in parts if part]
        jobs.append(
            (head[len("Job Id: ") :], _flatten(tuple((key, value) for key, _, value in pairs)))
        )
    return keep_unique(jobs)


def _loads(text: str) -> Any:
    """Read JSON; objects become tuples of pairs, so that repeated names can be noticed."""
    return json.loads(
        text, object_pairs_hook=tuple, parse_int=str, parse_float=str, parse_constant=str
    )


def _jobs(answer: Any) -> list[tuple[str, Any]] | None:
    if not isinstance(answer, tuple) or "pbs_version" not in dict(answer):
        return None
    jobs = [value for name, value in answer if name == "Jobs"]
    if not all(isinstance(value, tuple) for value in jobs):
        return None
    return [job for value in jobs for job in value]


def _split(text: str) -> list[tuple[str, Any]] | None:
    """Read an answer job by job, if it can't be read as a whole.

    A user may have nested a thousand brackets. cJSON begins each line of a job with at least three
    tabs, and writes no line break within a line.
    """
    lines = text.rstrip("\n").split("\n")
    begin, end = '\t"Jobs":\t{', ("\t}", "\t},")
    if (lines[0], lines[-1]) != ("{", "}") or begin not in lines:
        return None
    if not any(line.startswith('\t"pbs_version":\t"') for line in lines[:8]):
        return None
    jobs: list[tuple[str, Any]] = []
    name, job = "", [""]
    for line in lines[lines.index(begin) + 1 :]:
        if not name and line in end:
            return jobs
        if match := None if name else _JOB.fullmatch(line):
            name, job = _read_or_none(match[1]) or "", ["{"]
        elif not name:
            return None
        elif line in ("\t\t}", "\t\t},"):
            jobs.append((name, _read_or_none("\n".join([*job, "}"]))))
            name = ""
        else:
            job.append(line)
    return None


def _read_or_none(text: str) -> Any:
    try:
        return _loads(text)
    except (ValueError, RecursionError):
        return None


def _flatten(job: Any) -> Row | None:
    """Return a job's attributes; None if it is not an object, or if an attribute comes twice."""
    if not isinstance(job, tuple):
        return None
    row: dict[str, str] = {}
    for name, value in job:
        # In the environment, which is the user's own, a variable may come twice.
        inner: _Pairs = value if isinstance(value, tuple) else ()
        pairs = [(f"{name}.{key}", one) for key, one in inner] or [(name, value)]
        for key, one in pairs:
            if key in row and name != "Variable_List":
                return None
            row[key] = one if isinstance(one, str) else ""  # nothing that is nested deeper is read
    return row
