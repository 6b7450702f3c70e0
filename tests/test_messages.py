"""docs/troubleshooting.md has an entry for each message of a failure.

tests/test_ci.py checks that its lists are what ci/reference makes of the code.
"""

from __future__ import annotations

import re

from handbook.messages import (
    NO_FAILURES,
    Message,
    choices_of,
    find_messages,
    read_choices,
    share_out,
    with_messages,
)
from support import CHECKOUT

PAGE = (CHECKOUT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")


def test_each_message_of_a_failure_has_an_entry() -> None:
    """Each error, each text about a server and each warning of the log is in an entry: choose a
    new one in the comment of the right entry, and run ci/reference."""
    messages = find_messages()
    assert len(messages) > 700
    _, left = share_out(PAGE, messages)
    none = read_choices(NO_FAILURES)
    assert [] == [one for one in left if not any(choice.takes(one) for choice in none)]


def test_no_message_of_words_or_reasons_is_left_out() -> None:
    """What users read about a start and an end is listed without any exception."""
    _, left = share_out(PAGE, find_messages())
    exact = {"web/words.py", "reasons.py", "web/hosts.py", "launcher.py", "run_as/accounts.py"}
    assert [] == [one for one in left if one.file in exact]


def test_each_entry_has_messages_a_cause_and_a_cure() -> None:
    """No entry has become empty, and each says why it happens and what to do."""
    shares, _ = share_out(PAGE, find_messages())
    assert [] == [number for number, share in enumerate(shares) if not share]
    assert len(shares) == len(choices_of(PAGE))
    for entry in re.split(r"^##+ ", PAGE, flags=re.M):
        if "<!-- messages:" in entry:
            title = entry.partition("\n")[0]
            assert re.search(r"\*\*(Why|What)", entry), title
            assert "**What to do:**" in entry or "and what to do:**" in entry, title


def test_messages_are_found_in_the_code() -> None:
    """Errors, texts, warnings of the log and sentences that are returned are found, with … for
    what is filled in."""
    found = set(find_messages())
    unknown = "There is no account … on …. If accounts have other names than Hub users, the"
    assert any(one.text.startswith(unknown) for one in found)
    assert Message("reasons.py", "texts", "the job was killed by signal …") in found
    kinds = {one.kind for one in found}
    assert {"errors", "texts", "log", "returned"} == kinds


def test_a_message_is_listed_where_the_page_chooses_it_first() -> None:
    """A list is made anew, and a message that two lists choose is in the first of them only."""
    comments = "<!-- messages: reasons.py ~ killed by -->\nold\n<!-- end -->\n"
    comments += "<!-- messages:\nreasons.py texts ~ killed\nreasons.py ~ code\n-->\n<!-- end -->\n"
    made = with_messages(comments)
    assert 1 == made.count("- `the job was killed by signal …`")
    assert "old" not in made
    assert made.index("(code …)") > made.index("signal …")
    assert made == with_messages(made)
