"""A job's id as a site's ``parse_job_id`` returns it: one word, or several such as ``275 -M lab``.

The commands of later queries have the id in ``{job_id}``. What the submit command has printed may
be its user's word, so a word of it must look like an id. Words that the output does not have are
the site's own: options that each command needs.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_WORD = re.compile(r"(?!-)[\w.@:+/,\[\]-]{1,255}", re.ASCII)
_QUOTES = re.compile(r"['\"\\]")
_LONGEST = 1000
_LONGEST_SHOWN = 300
"""Characters of an id with all its words, and of a text that an error shows."""


class NoJobId(ValueError):
    """A text can't be used as a job's id; the argument says why, and begins with the text."""


@dataclass(frozen=True)
class JobId:
    """The words of a job's id; none if there is no id."""

    words: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join(self.words)

    @property
    def quoted(self) -> str:
        """The id for a shell line, each word quoted by itself."""
        return " ".join(map(shlex.quote, self.words))


def is_plain(word: str) -> bool:
    """Return whether a word looks like an id of any scheduler, and not like an option."""
    return bool(_WORD.fullmatch(word))


def read_id(returned: object, output: str) -> JobId:
    """Return the id that a site's ``parse_job_id`` has returned.

    Parameters
    ----------
    returned
        A text, a number, or several of them in a list or tuple; None for no id.
    output
        What the submit command has printed, and what of it may be in the id.

    Raises
    ------
    NoJobId
        If a word that ``output`` has does not look like an id, or if the text has several lines or
        another control character.
    """
    text = " ".join(part.strip() for part in _texts(returned or ""))
    shown = repr(text[:_LONGEST_SHOWN])
    if len(text) > _LONGEST:
        raise NoJobId(f"{shown} and more, which is too long")
    if not text.isprintable():
        raise NoJobId(f"{shown}, which has several lines or a control character")
    words = _split(text, quotes=not _QUOTES.search(output))
    plain = [word for word in words if is_plain(word)]
    for word in words:
        if not is_plain(word) and _is_printed(word, output, plain):
            why = "begins with a hyphen" if word.startswith("-") else "does not look like a job id"
            raise NoJobId(
                f"{shown}, in which {word[:_LONGEST_SHOWN]!r} {why}; only words that the submit "
                "command has not printed may do so"
            )
    return JobId(tuple(words))


def _is_printed(word: str, output: str, plain: Sequence[str]) -> bool:
    """Return whether a word is in an output, elsewhere than as a part of a plain word."""
    word, rest = word.casefold(), output.casefold()
    for one in map(str.casefold, plain):
        if word in one:
            rest = rest.replace(one, " ")
    return word in rest


def outputs_for(words: Sequence[str]) -> Iterator[str]:
    """Yield outputs of a submit command that may have given an id with these words.

    An id that batchspawner has saved is an id again if the site's ``parse_job_id`` makes it of
    such an output: then the words that look like options are the site's.
    """
    plain = [word for word in words if is_plain(word)]
    for number in plain[:1]:
        yield number
        for cluster in plain[1:]:
            yield f"{number};{cluster}"


def _split(text: str, *, quotes: bool) -> list[str]:
    if quotes and _QUOTES.search(text):
        try:
            return shlex.split(text)
        except ValueError:
            pass
    return text.split()


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)
    elif value is not None:
        raise NoJobId(f"{value!r}, which is not a text")
