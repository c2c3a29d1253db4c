"""Messages of a conversation → `contents` and `systemInstruction`.

The API wants roles that alternate, a user first, and no empty parts: so messages of one role are merged, and what
says nothing is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from llmrouter.types import CacheMark, File, Image, Message, Part, Refusal, Text, Thought, ToolCall, ToolOutput

from .calls import arguments_of
from .gemini_common import NAME
from .gemini_media import written_media

UNFIT = re.compile(r"^[^a-zA-Z_]|[^a-zA-Z0-9_.:-]")
LONGEST = 64
"""What a name of a function must not have, and characters it may have."""

OPENING: Mapping[str, Any] = {"role": "user", "parts": [{"text": " "}]}
"""What the user said where a conversation begins with the model: nothing."""

Content = dict[str, Any]


def names_of(messages: Iterable[Message]) -> Iterator[str]:
    """Names of functions that were called."""
    return (part.name for one in messages for part in one.parts if isinstance(part, ToolCall))


class Writing:
    """Writes messages. `renamed` are functions that must be told by another name; what is lost is `dropped`."""

    def __init__(self, renamed: Mapping[str, str], dropped: list[str]) -> None:
        self._renamed, self._dropped = renamed, dropped
        self._names: dict[str, str] = {}  # of calls, by id

    def write(self, messages: Sequence[Message]) -> tuple[list[Content], Content | None]:
        """The contents, and what the system says, if anything."""
        count = next((at for at, one in enumerate(messages) if one.role != "system"), 0)
        system = self._parts([part for one in messages[:count] for part in one.parts])
        contents: list[Content] = []
        for message in messages[count:]:
            role = "model" if message.role == "assistant" else "user"
            if not (parts := self._parts(message.parts)):
                continue
            if contents and contents[-1]["role"] == role:
                contents[-1]["parts"] += parts
            else:
                contents.append({"role": role, "parts": parts})
        if contents and contents[0]["role"] == "model":
            contents.insert(0, {**OPENING})
        return contents, {"parts": system} if system else None

    def _parts(self, parts: Iterable[Part]) -> list[dict[str, Any]]:
        return [written for part in parts for written in self._part(part)]

    def _part(self, part: Part) -> Iterator[dict[str, Any]]:
        match part:
            case Text(text) | Refusal(text):
                yield from [{"text": text}] if text else ()
            case Image() | File():
                yield from self._media(part)
            case Thought():
                yield from self._thought(part)
            case ToolCall():
                yield self._call(part)
            case ToolOutput():
                yield from self._output(part)
            case CacheMark():
                self._dropped.append("messages.cache_control")

    def _media(self, part: Image | File) -> Iterator[dict[str, Any]]:
        written = written_media(part)
        if written is None:
            self._dropped.append(f"messages.{type(part).__name__.lower()}")
            return
        if isinstance(part, Image) and part.detail not in ("", "auto"):
            self._dropped.append("messages.image.detail")
        yield written

    def _thought(self, thought: Thought) -> Iterator[dict[str, Any]]:
        signed = self._signed(thought)
        if thought.text:
            yield {"text": thought.text, "thought": True, **signed}
        elif signed:  # it signs what stands before it
            yield {"text": "", **signed}

    def _call(self, call: ToolCall) -> dict[str, Any]:
        self._names[call.id] = name = self._renamed.get(call.name, call.name)
        return {
            "functionCall": {"id": call.id, "name": name, "args": arguments_of(call.arguments)},
            **self._signed(call),
        }

    def _output(self, output: ToolOutput) -> Iterator[dict[str, Any]]:
        """The response, and beside it what cannot stand in one: no model refuses it there."""
        texts = [part.text for part in output.content if isinstance(part, Text)]
        said: Any = texts[0] if len(texts) == 1 else texts or ""
        yield {
            "functionResponse": {
                "id": output.id,
                "name": self._names.get(output.id) or UNFIT.sub("_", output.id)[:LONGEST],
                "response": {"error" if output.error else "output": said},
            }
        }
        for part in output.content:
            if not isinstance(part, Text):
                yield from self._media(part)

    def _signed(self, part: Thought | ToolCall) -> dict[str, str]:
        if part.signature and part.source == NAME:
            return {"thoughtSignature": part.signature}
        if part.signature:
            self._dropped.append("messages.thought.signature")
        return {}
