"""A text that matches a regular expression, written by reading the expression; it is never executed.

Understood is what people write in schemas: literals, classes, groups, alternatives, repetitions, anchors.
Look-arounds and back-references are not.
"""

from __future__ import annotations

import re

from attrs import define

ESCAPES = {"d": "0", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a", "t": "\t", "n": "\n", "r": "\r"}
NOTHING = "bBAZz"  # escapes that match a place and no character
INSIDE = {"d": "0123456789", "w": "abcdefghijklmnopqrstuvwxyz0123456789_", "s": " \t\n"}
LETTERS = "aA0 -_.,:;/!?#+=~@"


class NoSample(Exception):
    """There is no value under this schema, or none that is found with little effort."""


def matching(pattern: str, least: int, most: int) -> str:
    """A text of `least` to `most` characters that `pattern` is found in. Raises NoSample."""
    for stretch in dict.fromkeys([0, 1, least]):
        text = _Writer(pattern, stretch, most).written()
        if least <= len(text) <= most:
            return text
    raise NoSample(f"no short text fits the pattern {pattern}")


@define
class _Writer:
    pattern: str
    stretch: int  # how often more than needed a repetition is written, where that is open
    most: int
    at: int = 0

    def written(self) -> str:
        text = self.alternatives()
        if self.at < len(self.pattern):
            raise NoSample(f"the pattern {self.pattern} closes a group it did not open")
        return text

    def take(self) -> str:
        if self.at >= len(self.pattern):
            raise NoSample(f"the pattern {self.pattern} ends too early")
        self.at += 1
        return self.pattern[self.at - 1]

    def sees(self, characters: str) -> bool:
        return self.at < len(self.pattern) and self.pattern[self.at] in characters

    def alternatives(self) -> str:
        """The first of them; the others are read over."""
        first = self.sequence()
        while self.sees("|"):
            self.at += 1
            self.sequence()
        return first

    def sequence(self) -> str:
        text = ""
        while self.at < len(self.pattern) and not self.sees("|)"):
            text += self.repeated(self.atom())
            if len(text) > self.most:
                raise NoSample(f"what fits the pattern {self.pattern} is too long")
        return text

    def atom(self) -> str:
        match one := self.take():
            case "^" | "$":
                return ""
            case ".":
                return "a"
            case "(":
                return self.group()
            case "[":
                return self.one_of()
            case "\\":
                return self.escaped()
        return one

    def group(self) -> str:
        if prefix := re.match(r"\?(:|P?<\w+>)", self.pattern[self.at :]):
            self.at += prefix.end()
        elif self.sees("?"):
            raise NoSample(f"the pattern {self.pattern} looks around")
        text = self.alternatives()
        self.take()  # the parenthesis, or an error at the pattern's end
        return text

    def escaped(self) -> str:
        one = self.take()
        if one in NOTHING:
            return ""
        if one.isdigit() or one in "pPkx":
            raise NoSample(f"the pattern {self.pattern} uses an escape that is not understood")
        return ESCAPES.get(one, one)

    def one_of(self) -> str:
        negated = self.sees("^")
        self.at += negated
        found = self.member()
        while not self.sees("]"):
            found += self.member()
        self.at += 1
        choice = next((one for one in LETTERS if one not in found), "") if negated else found[:1]
        if not choice:
            raise NoSample(f"the pattern {self.pattern} leaves no character to choose")
        return choice

    def member(self) -> str:
        """The characters of one member of a class: one, an escape's, or a range's."""
        first = self.take()
        if first == "\\":
            name = self.take()
            return INSIDE.get(name) or ESCAPES.get(name, name)
        if not re.match(r"-[^\]\\]", self.pattern[self.at : self.at + 2]):
            return first
        last = self.pattern[self.at + 1]
        self.at += 2
        return "".join(map(chr, range(ord(first), min(ord(last), ord(first) + 200) + 1)))

    def repeated(self, text: str) -> str:
        times = re.match(r"([?*+])|\{(\d+)(,(\d*))?\}", self.pattern[self.at :])
        if not times:
            return text
        self.at += times.end()
        self.at += self.sees("?+")  # lazy or possessive
        sign, low, comma, high = times.groups()
        least = int(low) if low else int(sign == "+")
        most = (int(high) if high else self.most) if sign in ("*", "+") or comma else least
        count = min(least + self.stretch, 1 if sign == "?" else most)
        if count * len(text) > self.most:
            raise NoSample(f"what fits the pattern {self.pattern} is too long")
        return text * count
