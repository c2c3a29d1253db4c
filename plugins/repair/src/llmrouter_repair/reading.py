"""A value that is nearly JSON → JSON: one pass, a bounded depth, and nothing that was not written.

Read as well: a comma after the last member, strings in single or typographic quotes, names without quotes,
Python's True, False and None, comments, control characters and unknown escapes inside strings, and an end at which
nothing but closing brackets is missing. Everything else is refused: what a number or a string lacks is not guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import NoReturn

DEEPEST = 100
"""Brackets inside of each other."""

_BLANK = re.compile(r"(?:[ \t\r\n\f\v\u00a0\ufeff]++|//[^\n]*+|#[^\n]*+|/\*.*?\*/)*+", re.DOTALL)
"""White space and comments."""
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_MORE = re.compile(r"[A-Za-z0-9_$.+-]")  # what makes a number another one
_WORD = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*")
_UNICODE = re.compile(r"[0-9a-fA-F]{4}")
_WORDS: Mapping[str, str] = {
    "true": "true", "false": "false", "null": "null", "True": "true", "False": "false", "None": "null",
}  # fmt: skip
_CLOSING: Mapping[str, str] = {'"': '"', "'": "'", "“": "”", "”": "”", "„": "“”", "‘": "’", "’": "’"}
"""Quotes, and those that may close them."""
_PLAIN: Mapping[str, re.Pattern[str]] = {
    quote: re.compile(rf"[^\\{closing}]*") for quote, closing in _CLOSING.items()
}
_ESCAPES: Mapping[str, str] = {
    '"': '"', "'": "'", "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t",
}  # fmt: skip


class Spoiled(Exception):
    """This is no value, and cannot be made one without inventing some of it."""


class Reading:
    """Reads one value of a text, which begins with a bracket at `at`."""

    def __init__(self, text: str, at: int) -> None:
        self.text, self.at = text, at
        self.meant = False  # it was begun like a value: if it is spoiled, then what stands in it is none of its own
        self._written: list[str] = []
        self._open: list[str] = []  # the brackets that will close what is open

    def value(self) -> str:
        """The value as JSON; `at` is behind it then. Raises Spoiled."""
        self._bracket()
        while self._open:
            self._member()
        return "".join(self._written)

    # ---- objects and arrays

    def _bracket(self) -> None:
        if len(self._open) == DEEPEST:
            self._spoiled()
        opening = self.text[self.at]
        self._written.append(opening)
        self._open.append("}" if opening == "{" else "]")
        self.at += 1

    def _member(self) -> None:
        """One more member, or the end of the innermost bracket."""
        sign = self._skip()
        if sign == self._open[-1]:
            self._close()
            return
        if self._open[-1] == "}":
            sign = self._name(sign)
        if sign == "{" or sign == "[":
            self._bracket()
            return
        self._written.append(self._scalar(sign))
        self._separate()

    def _close(self) -> None:
        if self._written[-1] == ",":
            self._written.pop()
        self.at += 1
        self._written.append(self._open.pop())
        if self._open:
            self._separate()

    def _separate(self) -> None:
        """After a member: a comma, the closing bracket, or the end of a text in which the brackets are missing."""
        sign = self._skip()
        if sign == ",":
            self.at += 1
            self.meant = True
            self._written.append(",")
        elif not sign:
            if self._written[-1] not in _ENDED and not self._written[-1].endswith('"'):
                self._spoiled()  # of a number there may be more
            self._written.extend(reversed(self._open))
            self._open.clear()
        elif sign != self._open[-1]:
            self._spoiled()

    def _name(self, sign: str) -> str:
        """The sign that the value after it begins with."""
        if sign in _CLOSING:
            self._written.append(self._string(sign))
        elif found := _WORD.match(self.text, self.at):
            self.at = found.end()
            self._written.append(f'"{found[0]}"')
        else:
            self._spoiled()
        if self._skip() != ":":
            self._spoiled()
        self.at += 1
        self.meant = True
        self._written.append(":")
        return self._skip()

    # ---- scalars

    def _scalar(self, sign: str) -> str:
        if sign in _CLOSING:
            return self._string(sign)
        if found := _NUMBER.match(self.text, self.at):
            self.at = found.end()
            if _MORE.match(self.text, self.at):
                self._spoiled()
            return found[0]
        found = _WORD.match(self.text, self.at)
        if found is None or found[0] not in _WORDS:
            self._spoiled()
        self.at = found.end()
        return _WORDS[found[0]]

    def _string(self, quote: str) -> str:
        if quote == '"' and (found := _STRING.match(self.text, self.at)):
            with suppress(ValueError):  # an escape that JSON does not know
                said = json.dumps(json.loads(found[0], strict=False), ensure_ascii=False)
                self.at = found.end()
                return said
        return self._read_string(_PLAIN[quote], _CLOSING[quote])

    def _read_string(self, plain: re.Pattern[str], closing: str) -> str:
        said: list[str] = []
        self.at += 1
        while True:
            run = plain.match(self.text, self.at)
            assert run is not None  # it may be empty
            said.append(run[0])
            self.at = run.end()
            if not self._next():
                self._spoiled()
            self.at += 1
            if self.text[self.at - 1] in closing:
                return json.dumps("".join(said), ensure_ascii=False)
            said.append(self._escaped())

    def _escaped(self) -> str:
        """What follows a backslash; one that means nothing in JSON is a backslash, as in a pattern."""
        sign = self._next()
        self.at += 1
        if sign == "u":
            return self._unicode()
        if not sign or sign in "x\r\n":
            self._spoiled()
        return _ESCAPES.get(sign, f"\\{sign}")

    def _unicode(self) -> str:
        code = self._code()
        if 0xD800 <= code < 0xDC00 and self.text.startswith("\\u", self.at):
            self.at += 2
            low = self._code()
            if not 0xDC00 <= low < 0xE000:
                self._spoiled()
            return chr(0x10000 + ((code - 0xD800) << 10) + low - 0xDC00)
        return chr(code)

    def _code(self) -> int:
        found = _UNICODE.match(self.text, self.at)
        if found is None:
            self._spoiled()
        self.at = found.end()
        return int(found[0], 16)

    # ---- what comes next

    def _next(self) -> str:
        return self.text[self.at : self.at + 1]

    def _skip(self) -> str:
        """The next sign that is no white space and in no comment."""
        found = _BLANK.match(self.text, self.at)
        assert found is not None  # it may be empty
        self.at = found.end()
        return self._next()

    def _spoiled(self) -> NoReturn:
        raise Spoiled


_ENDED = frozenset({"true", "false", "null", "}", "]"})
"""What is whole wherever a text ends."""
