"""The reader's language: which one it is, and how a text looks in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.reasons import reasons_of_schedulers

from unispawner.errors import InvalidJobError
from unispawner.reasons import recognise
from unispawner.texts import join, moment, number, say, say_count
from unispawner.web.languages import Language, choose, read_languages
from unispawner.web.summary import describe_memory

LANGUAGES = read_languages()
DE, FR, EN = LANGUAGES["de"], LANGUAGES["fr"], LANGUAGES["en"]
HEAD = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n'


@pytest.mark.parametrize(
    ("header", "tag"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("nl,fr-CH;q=0.5", "fr"),
        ("en-GB,de;q=0.9", "en"),
        ("fr;q=0.4,de;q=0.6", "de"),
        ("de;q=0,fr;q=0.1", "fr"),
        ("*", "en"),
        ("xx", "en"),
        (";;q=,,=;q=x, de-", "de"),
        ("../../etc", "en"),
        ("de;q=nan", "en"),
        ("a" * 70_000, "en"),
        ("x," * 100 + "de", "en"),
    ],
)
def test_the_language_of_a_request(header: str, tag: str) -> None:
    """A reader gets the language that they wish most and for which there is a catalogue; a header
    that makes no sense means English."""
    assert tag == choose(header, LANGUAGES).tag


def test_sentences_numbers_and_plurals() -> None:
    """A text is translated with the texts in it; each language has its numbers and plurals."""
    text = say("Job {job} is queued", job=71234)
    assert ("Job 71234 wartet", "Job 71234 is queued") == (DE.translate(text), EN.translate(text))
    assert "1,5 Gio" == FR.translate(describe_memory(3 * 2**29))
    assert "1,5" == DE.translate(number(1.5))
    count = [DE.translate(say_count("{count} core", "{count} cores", one)) for one in (0, 1, 2)]
    assert ["0 Kerne", "1 Kern", "2 Kerne"] == count
    assert "0 cœur" == FR.translate(say_count("{count} core", "{count} cores", 0))
    nested = say("{progress}. You go on working meanwhile.", progress=join(": ", [text, "reason"]))
    assert "Job 71234 wartet: reason. Sie arbeiten inzwischen weiter." == DE.translate(nested)
    assert "not in a catalogue 1" == DE.translate(say("not in a catalogue {a}", a=1))
    assert "plain" == DE.translate("plain")


@pytest.mark.parametrize("value", [10**30, -(10**400), 1e308, float("inf"), float("nan")])
def test_numbers_beyond_all_measure(value: float) -> None:
    """A message about what a user has typed is shown as well, whatever the number is."""
    assert f"{value} x" == DE.translate(say("{number} x", number=value))
    if isinstance(value, float):
        assert f"{value:g}" == DE.translate(number(value))


def test_moments() -> None:
    """A moment is a clock time as the language writes it, with the day if it is another one."""
    assert "Jan" in DE.translate(moment(86400 * 3.5))
    assert "janv" in FR.translate(moment(86400 * 3.5))


def test_scripts_get_their_messages_only() -> None:
    """A page carries the messages of our scripts, with plurals by the names that browsers have."""
    page = DE.to_dict()
    assert ("de", "ltr") == (page["language"], page["direction"])
    assert {"one": "{count} Kern", "other": "{count} Kerne"} == page["messages"]["{count} core"]
    assert "Job {job} is queued" not in page["messages"]
    assert {} == EN.to_dict()["messages"]


def test_a_sites_own_catalogues(tmp_path: Path) -> None:
    """A site adds a language, and changes a word, in English, too; the rest stays."""
    for tag, text in (("en", "Lane"), ("de", "Reihe"), ("ar", "طابور")):
        folder = tmp_path / tag / "LC_MESSAGES"
        folder.mkdir(parents=True)
        (folder / "unispawner.po").write_text(f'{HEAD}\nmsgid "Queue"\nmsgstr "{text}"\n')
    found = read_languages(str(tmp_path))
    assert {"en", "de", "fr", "ar"} == set(found)
    words = {tag: one.translate(say("Queue")) for tag, one in found.items()}
    assert {"en": "Lane", "de": "Reihe", "fr": "File d'attente", "ar": "طابور"} == words
    assert "Kerne" == found["de"].translate(say("Cores"))
    assert "rtl" == found["ar"].direction
    assert "3 cores" == found["ar"].translate(say_count("{count} core", "{count} cores", 3))
    assert {"en", "ar"} == set(read_languages(str(tmp_path), ("ar",)))


def test_a_language_without_a_catalogue() -> None:
    """A language that is offered and has no catalogue is refused when the Hub starts."""
    words = "c.UniSpawner.languages: there is no catalogue for 'nl'; there are: de, en, fr"
    with pytest.raises(InvalidJobError, match=words):
        read_languages("", ("nl",))


@pytest.mark.parametrize("content", [b"\xff\xfe", b"nonsense\n"])
def test_a_damaged_catalogue(tmp_path: Path, content: bytes) -> None:
    """A file that can't be read is named."""
    path = tmp_path / "nl" / "LC_MESSAGES" / "unispawner.po"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(InvalidJobError, match="unispawner.po can't be read"):
        read_languages(str(tmp_path))


def test_plural_forms_that_are_no_rule(tmp_path: Path) -> None:
    """The header of a catalogue says which form a number has; what is no such rule is named."""
    path = tmp_path / "nl" / "LC_MESSAGES" / "unispawner.po"
    path.parent.mkdir(parents=True)
    path.write_text(f'{HEAD}"Plural-Forms: nplurals=2; plural=(n @ 1);\\n"\n')
    with pytest.raises(InvalidJobError, match=r"unispawner.po: Plural-Forms|can't be read"):
        read_languages(str(tmp_path))


def test_an_unknown_language(tmp_path: Path) -> None:
    """A folder that is not named after a language is named."""
    path = tmp_path / "klingon-!" / "LC_MESSAGES" / "unispawner.po"
    path.parent.mkdir(parents=True)
    path.write_text(HEAD)
    with pytest.raises(InvalidJobError, match="klingon"):
        read_languages(str(tmp_path))


def test_names_in_a_sites_translation_are_only_names(tmp_path: Path) -> None:
    """A translation with a name that the message does not have shows the name, and nothing else."""
    path = tmp_path / "de" / "LC_MESSAGES" / "unispawner.po"
    path.parent.mkdir(parents=True)
    text = "{job.__class__} {other} {job}"
    path.write_text(f'{HEAD}\nmsgid "Job {{job}} is queued"\nmsgstr "{text}"\n')
    german = read_languages(str(tmp_path))["de"]
    assert "{job.__class__} {other} 7" == german.translate(say("Job {job} is queued", job=7))


@pytest.mark.parametrize("language", [DE, FR], ids=["de", "fr"])
def test_each_reason_of_each_scheduler_has_a_translation(language: Language) -> None:
    """No reason that a scheduler's table has in plain words is shown in English."""
    reasons = reasons_of_schedulers()
    assert len(reasons) > 90
    texts = {one: language.translate(recognise(one)) for one in reasons}
    assert [] == [one for one, text in texts.items() if one == text or one[:20] in text]
