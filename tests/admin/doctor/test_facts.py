"""What the agent reports about an account, as a line of ``unispawner doctor``."""

from __future__ import annotations

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


def test_facts_without_commands() -> None:
    """What is empty is left out."""
    assert "ada" == format_facts({"account": "ada", "commands": {}, "groups": []})
