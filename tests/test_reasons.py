"""Sentences that cross as plain English, and are found again where the Hub shows them."""

from __future__ import annotations

import json

import pytest

from unispawner.errors import SubmitError, error_from_dict
from unispawner.reasons import (
    EXIT_STATUS,
    KILLED,
    REFUSED,
    SOMEBODY_ELSES,
    is_never,
    never_starts,
    recognise,
)
from unispawner.texts import Text, fill, from_data, say, to_data
from unispawner.web.languages import read_languages

DE, FR = read_languages()["de"], read_languages()["fr"]


@pytest.mark.parametrize(
    ("text", "german"),
    [
        ("the job reached its time limit", "der Job hat sein Zeitlimit erreicht"),
        (fill(KILLED, {"number": 9}), "der Job wurde durch das Signal 9 beendet"),
        (fill(EXIT_STATUS, {"number": -1}), "der Job endete mit dem Exit-Status -1"),
        (fill(REFUSED, {"scheduler": "Slurm (big one)"}), "Slurm (big one) hat den Job abgelehnt:"),
        (fill(REFUSED, {"scheduler": "The scheduler"}), "Der Scheduler hat den Job abgelehnt:"),
        (
            fill(SOMEBODY_ELSES, {"scheduler": "PBS", "job": "1.pbs"}),
            "PBS meldet, dass der Job 1.pbs jemand anderem gehört",
        ),
        (
            never_starts("no node has what the job asks for"),
            "kein Knoten hat, was der Job verlangt. So wird er nie starten: Brechen Sie ihn ab, "
            "und ändern Sie die Auswahl",
        ),
        (
            never_starts("Can Never Run: {scheduler} {reason}"),
            "Can Never Run: {scheduler} {reason}. So wird er nie starten: Brechen Sie ihn ab, und "
            "ändern Sie die Auswahl",
        ),
    ],
)
def test_a_sentence_of_ours_is_found_again(text: str, german: str) -> None:
    """A sentence that came as a plain string is shown in the reader's language with its values, and
    its English stays; also after it was kept in the database."""
    found = recognise(text)
    assert (text, german) == (str(found), DE.translate(found))
    assert german == DE.translate(from_data(json.loads(json.dumps(to_data(found)))))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Nodes required for job are DOWN, DRAINED or reserved",
        "the job was killed by signal 9; rm -rf /",
        "the job was killed by signal {number} {__class__}",
        "a\nb refused the job:",
        f"{'x' * 101} refused the job:",
        "the job reached its time limit.",
        "x" * 5000,
    ],
)
def test_foreign_words_stay(text: str) -> None:
    """What is no sentence of ours is shown as it is, in each language; braces mean nothing."""
    assert [text, text] == [one.translate(recognise(text)) for one in (DE, FR)]


def test_a_name_in_braces_stands_for_nothing() -> None:
    """A string that is a message of ours with the name of a value keeps that name."""
    german = DE.translate(recognise("Job {job} is queued"))
    assert "Job {job} wartet" == german


def test_markup_in_a_reason_is_escaped() -> None:
    """A reason with the tags of HTML in it is escaped where a page shows it, as any text is."""
    text = fill(REFUSED, {"scheduler": "<b>x</b>"})
    found = recognise(text)
    assert isinstance(found, Text)
    assert "&lt;b&gt;x&lt;/b&gt; refused the job:" == found.__html__()


def test_a_text_is_not_looked_at_twice() -> None:
    """What is a text already stays the same object."""
    text = say("Job {job} is queued", job=1)
    assert recognise(text) is text


def test_many_sentences_in_each_other_make_no_deep_text() -> None:
    """A reason that repeats our sentence is read once: nothing becomes deeper with its length."""
    text = "x"
    for _ in range(10):
        text = never_starts(text)
    assert is_never(text)
    found = recognise(text)
    assert isinstance(found, Text)
    inner = found.values["reason"]
    assert not getattr(inner, "values", {})


def test_an_error_of_the_users_side_is_in_the_readers_language() -> None:
    """The message of an error that crosses the boundary is found again; its output stays."""
    sent = SubmitError("Slurm refused the job:", output="sbatch: error: invalid partition")
    got = error_from_dict(json.loads(json.dumps(sent.to_dict())))
    assert "Slurm refused the job:\nsbatch: error: invalid partition" == str(got)
    german = "Slurm hat den Job abgelehnt:\nsbatch: error: invalid partition"
    assert german == DE.translate(got.message_and_output())
