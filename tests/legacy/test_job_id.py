"""Job ids as a site's parse_job_id returns them, and what of them may reach a shell."""

from __future__ import annotations

import pytest

from unispawner.legacy.job_id import JobId, NoJobId, outputs_for, read_id


@pytest.mark.parametrize(
    ("returned", "output", "words", "quoted"),
    [
        *((text, text, (text,), text) for text in ("12", "12.0", "12.pbs.lab.edu", "12_3", "7+0")),
        ("12[].pbs", "12[].pbs", ("12[].pbs",), "'12[].pbs'"),
        ("12\n", "12", ("12",), "12"),
        (12, "12", ("12",), "12"),
        (("12", "-M", "lab"), "12", ("12", "-M", "lab"), "12 -M lab"),
        (["12 -M lab"], "12", ("12", "-M", "lab"), "12 -M lab"),
        ("12 -M lab", "12;lab", ("12", "-M", "lab"), "12 -M lab"),
        ("-M lab 12", "12", ("-M", "lab", "12"), "-M lab 12"),
        ("12.hpc-Mgmt -M lab", "12.hpc-Mgmt", ("12.hpc-Mgmt", "-M", "lab"), "12.hpc-Mgmt -M lab"),
        ("12 -M 'my lab'", "12", ("12", "-M", "my lab"), "12 -M 'my lab'"),
        ("12 2>/dev/null", "12", ("12", "2>/dev/null"), "12 '2>/dev/null'"),
        (None, "", (), ""),
        ("", "12", (), ""),
        (0, "", (), ""),
    ],
)
def test_ids(returned: object, output: str, words: tuple[str, ...], quoted: str) -> None:
    """An id of any scheduler is taken, in any form; what the output does not have is the site's own
    option, and each word is quoted by itself."""
    found = read_id(returned, output)
    assert (words, quoted) == (found.words, found.quoted)


@pytest.mark.threat(
    who="user",
    tries="Their submit command prints an option or a shell's syntax in place of a job id.",
    stopped_by="A word that the command has printed must look like a job id.",
)
@pytest.mark.parametrize(
    ("returned", "output"),
    [
        ("12 -x", "12 -x"),
        ("12 -x", "12_-x"),  # the site's code splits at other characters
        ("12 -M", "12 -m"),  # ... or changes the case
        ("5 -M --ba5d", "5 on --ba5d"),  # another word is a part of it
        ("-x", "-x"),
        ("12 '-x'", "12 '-x'"),
        ("12;id", "12;id"),
        ("12 $(id)", "12 $(id)"),
        ("warning\n12", "warning\n12"),
        ("12\0", "12\0"),
        ("9" * 256, "9" * 256),
        ("-M " * 1000, "12"),
        (object(), "12"),
        (b"12", "12"),
        (True, "12"),
    ],
)
def test_texts_of_the_user(returned: object, output: str) -> None:
    """What the submit command has printed is its user's word: no option, and nothing that a shell
    reads, comes from it into an id."""
    with pytest.raises(NoJobId):
        read_id(returned, output)


def test_outputs_that_an_id_may_come_from() -> None:
    """An id is tried with its plain words only, as sbatch prints them."""
    assert ["12", "12;lab"] == list(outputs_for(("12", "-M", "lab")))
    assert [] == list(outputs_for(("--evil",)))
    assert "" == str(JobId())
