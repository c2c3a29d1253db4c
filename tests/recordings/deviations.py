"""What a profile says it changes in a request; everything else must go through as it came."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any

import msgspec
from attrs import frozen

THOUGHTS = frozenset({"reasoning_content", "reasoning_details", "reasoning"})
Change = tuple[bytes | None, bytes | None]


@frozen
class Deviations:
    """`bend` is the `request` part of a profile, `keeps` whether it wants the thoughts of earlier turns back."""

    bend: Any
    keeps: frozenset[str] = frozenset()

    def allows(self, name: str, stream: bool, changed: Mapping[str, Change]) -> bool:
        """Whether the change of a field is one that the router and this profile announce."""
        before, after = changed[name]
        if after is None:
            return self._may_go(name, before, changed)
        if name == "stream_options":
            return stream and _value(after) == {**(_value(before) or {}), "include_usage": True}
        if before is None:
            return any(to == name and changed.get(source, (None, None))[0] == after for source, to in self.renamed)
        if name == "messages":
            said, expected = _value(after), [self._message(one) for one in _value(before)]
            return bool((_without_put_back(said, expected) if self.keeps else said) == expected)
        if name == "tools":
            return bool(_value(after) == [self._tool(one) for one in _value(before)])
        if name == "tool_choice":
            return bool(self.bend.tool_choice.get(_choice(before)) == _value(after))
        return False

    @property
    def renamed(self) -> Sequence[tuple[str, str]]:
        return list(self.bend.rename.items())

    def _may_go(self, name: str, before: bytes | None, changed: Mapping[str, Change]) -> bool:
        if name in self.bend.drop or (self.bend.keep and name not in self.bend.keep):
            return True
        if name == "tool_choice":
            return self.bend.tool_choice.get(_choice(before), "") is None
        target = self.bend.rename.get(name)
        return target is not None and changed.get(target, (None, None))[1] == before

    def _message(self, message: dict[str, Any]) -> dict[str, Any]:
        bent = {**message, "role": self.bend.roles.get(message.get("role"), message.get("role"))}
        if self.bend.strip_nulls:
            bent = {name: value for name, value in bent.items() if value is not None}
        bent = {name: value for name, value in bent.items() if name not in self.bend.message_strip}
        if (kept := self.bend.message_keep.get(bent.get("role"))) is not None:
            bent = {name: value for name, value in bent.items() if name in kept}
        if self.bend.call_ids:
            bent = self._with_short_ids(bent)
        content = bent.get("content")
        if self.bend.flatten and isinstance(content, list) and all(part.get("type") == "text" for part in content):
            bent["content"] = "".join(part["text"] for part in content)
        return bent

    def _with_short_ids(self, message: dict[str, Any]) -> dict[str, Any]:
        """As the adapter changes them: a test of its own says that they fit and belong together."""
        raw: dict[str, msgspec.Raw] = {
            name: msgspec.Raw(json.dumps(value).encode()) for name, value in message.items()
        }
        import_module("llmrouter_provider_openai.bending").refit(raw, self.bend.call_ids)
        return {name: json.loads(bytes(value)) for name, value in raw.items()}

    def _tool(self, tool: dict[str, Any]) -> dict[str, Any]:
        function = tool.get("function")
        if not isinstance(function, dict):
            return tool
        return {
            **tool,
            "function": {name: value for name, value in function.items() if name not in self.bend.tool_strip},
        }


def profiles() -> Sequence[str]:
    """The profiles that there are."""
    names: Sequence[str] = import_module("llmrouter_provider_openai.profile").names()
    return names


def profile_of(provider: str) -> str:
    return provider if provider in profiles() else "custom"


@cache
def deviations(provider: str) -> Deviations:
    """Those of a provider's own profile, or of the one for everybody else."""
    profile = import_module("llmrouter_provider_openai.profile").load(profile_of(provider))
    if provider == "openrouter":  # an adapter of its own, which changes nothing else
        return Deviations(profile.request, import_module("llmrouter_provider_openrouter.config").KEEPS)
    return Deviations(profile.request, profile.keeps)


def _without_put_back(after: list[dict[str, Any]], expected: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages with the thoughts that were sent: only turns that called tools without any may have got some."""
    found = []
    for one, sent in zip(after, expected, strict=True):
        if one.get("tool_calls") and not any(sent.get(name) for name in THOUGHTS):
            kept = {name: value for name, value in one.items() if name not in THOUGHTS}
            one = kept | {name: value for name, value in sent.items() if name in THOUGHTS}
        found.append(one)
    return found


def _value(raw: bytes | None) -> Any:
    return None if raw is None else json.loads(raw)


def _choice(raw: bytes | None) -> str:
    """What a profile calls a choice of tools: a choice that names a tool has no word of its own."""
    value = _value(raw)
    return value if isinstance(value, str) else "named"
