"""What is fuzzed: each place where text comes in that others have written.

A target takes a value of plain JSON data, so that a case that was found is a file (tests/fuzz/
cases). Bytes are texts in latin-1. Text comes from saved real output (tests/outputs) that is
changed: lines dropped, doubled and cut, words swapped, odd characters and huge numbers put in.

================  ==============================================================================
``mutations``     changes of a text
``clusters``      the dialogues with each scheduler: jobs, accounting, nodes, queues, versions
``messages``      what the agent, the broker and the Hub say to each other, and reports of jobs
``journey``       what the Hub keeps for users, mail, and what JupyterLab's extension is answered
``over_http``     reports of jobs as bytes on a connection
``people``        what users and administrators write: options, amounts, times, names of hosts
================  ==============================================================================
"""

from __future__ import annotations

from collections.abc import Mapping

from . import clusters, journey, messages, over_http, people
from .target import SECRET, Target, check

TARGETS: Mapping[str, Target] = {
    one.name: one
    for part in (clusters, journey, messages, over_http, people)
    for one in part.TARGETS
}

__all__ = ["SECRET", "TARGETS", "Target", "check"]
