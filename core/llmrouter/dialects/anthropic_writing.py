"""Messages of a conversation → messages of Messages, in the order that the API demands.

Turns alternate, the first is the user's; the outputs of tools stand first in the turn that follows their calls, one
for each call; no text is blank.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, takewhile
from typing import Any

from llmrouter.types import CacheMark, File, Image, Message, Part, Refusal, Text, Thought, ToolCall, ToolOutput

from .anthropic_media import written_file, written_image
from .anthropic_reading import NAME
from .calls import arguments_of

Block = dict[str, Any]
Turn = tuple[str, list[Block]]

MISSING = "There is no result of this call."
NOTHING_SAID = "."
"""Stands for a first word of the user's, where a conversation begins without one."""
_UNMARKED = ("thinking", "redacted_thinking")


class Writing:
    """One conversation. `names` of tools and `ids` of calls are those that had to be made to fit."""

    def __init__(self, names: Mapping[str, str], ids: Mapping[str, str], dropped: list[str]) -> None:
        self._names, self._ids, self._dropped = names, ids, dropped
        self._taken: set[str] = set()  # ids of calls
        self._unanswered: dict[str, list[str]] = {}  # id of a call → under which ids it was written

    def system(self, messages: Sequence[Message]) -> list[Block]:
        """What is said before anybody else speaks."""
        leading = takewhile(_is_system, messages)
        return [block for message in leading for block in self._blocks(message)]

    def turns(self, messages: Sequence[Message]) -> list[Block]:
        """The other messages; what the system says later is said in its place by the user."""
        rest = messages[sum([1 for _ in takewhile(_is_system, messages)]) :]
        turns: list[Turn] = []
        for message in rest:
            _add(turns, "assistant" if message.role == "assistant" else "user", self._blocks(message))
        turns = self._paired(turns)
        if not turns or turns[0][0] != "user":
            turns.insert(0, ("user", [{"type": "text", "text": NOTHING_SAID}]))
        _trim(turns[-1])
        return [{"role": role, "content": blocks} for role, blocks in turns]

    def _paired(self, turns: Iterable[Turn]) -> list[Turn]:
        """Every call with one output, every output with a call."""
        paired: list[Turn] = []
        for role, blocks in turns:
            if role == "user":
                blocks = [*self._outputs(_called(paired), blocks), *_others(blocks)]
            _add(paired, role, blocks)
        _add(paired, "user", list(self._outputs(_called(paired), [])))
        return paired

    def _outputs(self, called: Sequence[str], blocks: Iterable[Block]) -> Iterator[Block]:
        given = [block for block in blocks if block["type"] == "tool_result"]
        by_id = {block["tool_use_id"]: block for block in given}
        for id in called:
            yield by_id.get(id) or _output(id, [{"type": "text", "text": MISSING}], error=True)
        if len(by_id.keys() & set(called)) < len(given):
            self._dropped.append("messages.tool_output")

    def _blocks(self, message: Message) -> list[Block]:
        blocks: list[Block] = []
        for part in message.parts:
            if isinstance(part, CacheMark):
                _mark(blocks, part)
            elif block := self._block(part, message.role):
                blocks.append(block)
        return blocks

    def _block(self, part: Part, role: str) -> Block | None:
        """None for what cannot be said, which is reported, and for blanks, which say nothing."""
        match part:
            case Text(text) | Refusal(text):
                return {"type": "text", "text": text} if text.strip() else None
            case ToolCall(id, name, arguments):
                fit = {"id": self._called(id), "name": self._names.get(name, name)}
                return {"type": "tool_use", **fit, "input": arguments_of(arguments)}
            case ToolOutput(id, content, error):
                inside = [block for one in content if (block := self._block(one, "user"))]
                return _output(self._answered(id), inside, error)
            case Thought() if part.signature and part.source == NAME:
                return written_thought(part)
            case Image() | File() if role != "assistant":
                block = written_image(part) if isinstance(part, Image) else written_file(part)
                if block:
                    return block
        self._dropped.append(f"messages.{type(part).__name__.lower()}")
        return None

    def _called(self, id: str) -> str:
        """An id that no other call has: some vendors count theirs anew in every answer."""
        fit = first = self._ids.get(id, id)
        for number in count(2):
            if fit not in self._taken:
                break
            fit = f"{first}_{number}"
        self._taken.add(fit)
        self._unanswered.setdefault(id, []).append(fit)
        return fit

    def _answered(self, id: str) -> str:
        waiting = self._unanswered.get(id)
        return waiting.pop(0) if waiting else self._ids.get(id, id)


def _is_system(message: Message) -> bool:
    return message.role == "system"


def _add(turns: list[Turn], role: str, blocks: list[Block]) -> None:
    """Another turn, or more of the last one; nothing where there is nothing to say."""
    if not blocks:
        return
    if turns and turns[-1][0] == role:
        turns[-1][1].extend(blocks)
    else:
        turns.append((role, list(blocks)))


def _called(turns: Sequence[Turn]) -> Sequence[str]:
    """The ids of the calls that the next turn must answer."""
    if not turns or turns[-1][0] != "assistant":
        return ()
    return [block["id"] for block in turns[-1][1] if block["type"] == "tool_use"]


def _others(blocks: Iterable[Block]) -> list[Block]:
    return [block for block in blocks if block["type"] != "tool_result"]


def _output(id: str, content: list[Block], error: bool) -> Block:
    block: Block = {"type": "tool_result", "tool_use_id": id}
    if content:
        block["content"] = content
    return block | {"is_error": True} if error else block


def written_thought(thought: Thought) -> Block:
    if thought.redacted:
        return {"type": "redacted_thinking", "data": thought.signature}
    return {"type": "thinking", "thinking": thought.text, "signature": thought.signature}


def _mark(blocks: list[Block], mark: CacheMark) -> None:
    if blocks and blocks[-1]["type"] not in _UNMARKED:
        blocks[-1]["cache_control"] = written_mark(mark.ttl)


def written_mark(ttl: str) -> dict[str, str]:
    return {"type": "ephemeral", "ttl": ttl} if ttl else {"type": "ephemeral"}


def _trim(last: Turn) -> None:
    """A model goes on from its own words, which may not end in a blank."""
    role, blocks = last
    if role == "assistant" and blocks[-1]["type"] == "text":
        blocks[-1]["text"] = blocks[-1]["text"].rstrip()
