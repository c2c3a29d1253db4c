"""What is said to a prompt: something sensible, and always the same."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence

from attrs import frozen

OPENINGS = ("You said", "I read", "You wrote", "I heard")
SHOWN = 120
"""Characters of a prompt, or of a tool's result, that are repeated."""
MOST_WORDS = 2_000
LOOKED_AT = 4_000
"""Characters of a prompt that are searched for what is wanted."""
WORDS = ("the", "router", "sends", "each", "request", "to", "an", "upstream", "that", "can", "answer", "it", "now")

_REFUSE = re.compile(r"\W*(please\s+)?refuse\b", re.I)
_SAY = re.compile(r"\W*(?:please\s+)?(?:say|repeat|reply with|answer with)\b[:\s]*(.+)", re.I | re.S)
_WRITE = re.compile(r"\bwrite\b.{0,80}?\b(\d{1,6})\s+words\b", re.I | re.S)
_COUNT = re.compile(r"\b(?:how many|count(?: the)?) words\b[^:]{0,80}(?::(.*))?", re.I | re.S)
_NUMBER = r"\({0,5}\d{1,15}(?:\.\d{1,15})?\){0,5}"
_SUM = re.compile(rf"(?<![\w.]){_NUMBER}(?: {{0,3}}[-+*/×÷] {{0,3}}{_NUMBER}){{1,20}}(?!\w|\.\d)")

_OPERATIONS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@frozen(kw_only=True)
class Prompt:
    """What an answer depends on."""

    text: str
    images: int = 0
    others: int = 0  # sounds and files
    results: Sequence[tuple[str, str]] = ()  # of tools since the last user message: name and what came back


def refuses(text: str) -> bool:
    """Whether the prompt begins with the wish for a refusal."""
    return bool(_REFUSE.match(text))


def answer(prompt: Prompt, variant: int = 0) -> str:
    """`variant` tells several answers to one prompt apart."""
    if prompt.results:
        told = [f"{name or 'the tool'} returned: {_shown(result)}" for name, result in prompt.results]
        return "; ".join(told)[:1].upper() + "; ".join(told)[1:]
    seen = [f"I see {_several(prompt.images, 'image')}."] if prompt.images else []
    if prompt.others:
        seen.append(f"I got {_several(prompt.others, 'attachment')}.")
    if not prompt.text.strip() and seen:
        return " ".join(seen)
    return " ".join([*seen, _reply(prompt.text, variant)])


def _reply(text: str, variant: int) -> str:
    start = text[:LOOKED_AT]
    if said := _SAY.match(text):
        return said[1].strip().strip("\"'“”") or "Nothing."
    if wanted := _WRITE.search(start):
        return _essay(min(int(wanted[1]), MOST_WORDS))
    if counted := _COUNT.search(start):
        return f"{_several(len((text[counted.start(1) :] if counted[1] else text).split()), 'word')}."
    if (found := _SUM.search(start)) and (result := _result(found[0])):
        return result
    opening = OPENINGS[variant % len(OPENINGS)]
    return f"{opening}: “{_shown(text)}” ({_several(len(text.split()), 'word')})."


def _essay(words: int) -> str:
    text = " ".join(WORDS[number % len(WORDS)] for number in range(words))
    return f"{text[:1].upper()}{text[1:]}."


def _result(sum_: str) -> str:
    """`2+2 = 4`, or nothing for what is no sum after all."""
    try:
        value = _value(ast.parse(sum_.replace("×", "*").replace("÷", "/"), mode="eval").body)
    except (SyntaxError, ZeroDivisionError, OverflowError, ValueError):
        return ""
    return f"{sum_} = {int(value) if value == int(value) else round(value, 6)}"


def _value(node: ast.expr) -> float:
    if isinstance(node, ast.BinOp):
        return _OPERATIONS[type(node.op)](_value(node.left), _value(node.right))
    return float(ast.literal_eval(node))


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}…"


def _several(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
