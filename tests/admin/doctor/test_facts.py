"""What the agent reports about an account, as a line of ``unispawner doctor``."""

from __future__ import annotations

import pytest

from unispawner.admin.doctor.facts import format_facts


def test_facts_as_a_line() -> None:
    """The line begins with the account; lists and paths stand without brackets and quotes."""
    facts = {
        "account": "ada",
        "umask": "022",
        "groups": [100, 1000],
        "commands": {"sbatch": "/usr/bin/sbatch", "squeue": ""},
        "executor": "",
    }
    expected = "ada, umask 022, groups 100 1000, commands /usr/bin/sbatch (squeue not found)"
    assert expected == format_facts(facts)


@pytest.mark.threat(
    who="user",
    tries="Their agent replies to doctor with escape sequences and lines that imitate its own.",
    stopped_by="Control characters and line breaks of the reply are replaced.",
)
def test_a_forged_reply_stays_in_its_line() -> None:
    """A reply that its user has written imitates no line of doctor's and moves no cursor."""
    facts = {
        "account": "ada\nok      account: root",
        "groups": ["\x1b[2J"],
        "commands": {"sbatch": "/x\r/y"},
    }
    line = format_facts(facts)
    assert line.isprintable()
    assert line.startswith("ada ok account: root, groups \ufffd[2J")


def test_facts_without_commands() -> None:
    """What is empty is left out."""
    assert "ada" == format_facts({"account": "ada", "commands": {}, "groups": []})
