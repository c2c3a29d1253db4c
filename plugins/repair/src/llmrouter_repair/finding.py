"""The value in a text: in a fence, between words, or all of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from .reading import Reading, Spoiled

MOST_TRIES = 64
"""Brackets at which a value may begin that are tried."""

_FENCE = re.compile(r"^[ \t]*+(`{3,}+|~{3,}+)[ \t]*+([\w+-]*+)[^\n`]*+\n", re.MULTILINE)
_BEGIN = re.compile(r"[{\[]")
_THOUGHTS = "</think>"
_AROUND = " \t\r\n\ufeff;"
"""What may stand around a value that stands alone."""


def strict(text: str) -> str | None:
    """The text, if it is JSON already."""
    try:
        msgspec.json.decode(text.encode())
    except (ValueError, RecursionError):
        return None
    return text.strip()


def whole(text: str) -> str | None:
    """The JSON of a text that is one value and nothing else, mended where need be."""
    if (valid := strict(text)) is not None:
        return valid
    text = text.strip(_AROUND)
    if not _BEGIN.match(text):
        return None
    reading = Reading(text, 0)
    try:
        value = reading.value()
    except Spoiled:
        return None
    return None if text[reading.at :].strip() else strict(value)


def found(text: str) -> str | None:
    """The JSON value that a text is, or that stands in it: in a fence, or between words."""
    if (valid := strict(text)) is not None:
        return valid
    thought, _, said = text.rpartition(_THOUGHTS)
    return (_stands_in(said) if thought else None) or _stands_in(text)


def _stands_in(text: str) -> str | None:
    text = text.strip(_AROUND)
    blocks = [] if _BEGIN.match(text) else [body for _, body in fences(text) if _BEGIN.match(body.lstrip())]
    return _dominant([whole(one) for one in blocks] if blocks else list(_between_words(text)))


def fences(text: str) -> Iterator[tuple[str, str]]:
    """The language and the content of every fenced block; the last one may have lost its end."""
    at = 0
    while opening := _FENCE.search(text, at):
        end = text.find(f"\n{opening[1]}", opening.end() - 1)
        if end < 0:
            yield opening[2], text[opening.end() :]
            return
        yield opening[2], text[opening.end() : max(end, opening.end())]
        at = end + 1 + len(opening[1])


def _between_words(text: str) -> Iterator[str | None]:
    """Values among words; None for one that was begun and is spoiled: what follows may be a piece of it."""
    at = 0
    for _ in range(MOST_TRIES):
        begin = _BEGIN.search(text, at)
        if begin is None:
            return
        reading = Reading(text, begin.start())
        try:
            value = reading.value()
        except Spoiled:
            if reading.meant:
                yield None
                return
            at = begin.end()
            continue
        if _stands_out(text, begin.start(), reading.at, value):
            yield value
        at = reading.at


def _stands_out(text: str, start: int, end: int, value: str) -> bool:
    """Whether brackets are a value and no manner of writing: `[1]`, `{}`, an index, an example in a sentence."""
    if value.startswith("{") and value != "{}":
        return True
    before = text.rfind("\n", 0, start) + 1
    after = text.find("\n", end)
    return not text[before:start].strip() and not text[end : len(text) if after < 0 else after].strip()


def _dominant(values: Sequence[str | None]) -> str | None:
    """The one value, or the one that is longer than all others together; none where one of them is spoiled."""
    sound = [value for value in values if value is not None]
    longest = max(sound, key=len, default="")
    if len(sound) < len(values) or 2 * len(longest) <= sum(map(len, sound)):
        return None
    return strict(longest)
