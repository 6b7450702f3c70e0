"""The warning of lines that do not belong to a scheduler's answer."""

from __future__ import annotations

import pytest

from unispawner.schedulers.questions import Notice
from unispawner.submit_host.notices import MOST_KINDS, Notices


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def notice(*lines: str, command: str = "squeue") -> Notice:
    return Notice(command, lines)


def test_each_kind_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """A notice is quoted once, however often the command prints it, and whatever its numbers."""
    notices = Notices()
    for number in range(3):
        notices.warn(notice(f"Notice {number}\x1b[1m", "CLUSTER: lab"), "here")
    (text,) = warnings(caplog)
    assert "squeue printed lines that do not belong to its answer" in text
    assert "Notice 0\ufffd[1m\nCLUSTER: lab" in text
    notices.warn(notice("CLUSTER: lab", "another"), "here")
    assert warnings(caplog)[1].endswith("\nanother")


def test_other_commands_and_clusters_count_by_themselves(caplog: pytest.LogCaptureFixture) -> None:
    """Another command, and the same command of another cluster, are warned of as well."""
    notices = Notices()
    for command, path in (("squeue", "/a"), ("sinfo", "/a"), ("squeue", "/b"), ("squeue", "/a")):
        notices.warn(notice("Notice", command=command), path)
    assert 3 == len(warnings(caplog))


def test_nobody_can_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A user who can make new kinds of lines gets few of them into the log."""
    notices = Notices()
    for letter in "abcdefghijklmnopqrstuvwxyz":
        notices.warn(notice(letter * 5000), "here")
    assert MOST_KINDS == len(warnings(caplog))
    assert max(map(len, warnings(caplog))) < 600
