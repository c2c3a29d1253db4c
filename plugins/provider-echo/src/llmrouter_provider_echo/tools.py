"""Which tools are called, and with what."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from .patterns import NoSample
from .refusals import Refused
from .requests import ChatBody, Tool
from .samples import sample


@frozen(kw_only=True)
class Choice:
    """What `tool_choice` comes to: which tools there are, and whether one of them must be called."""

    tools: Sequence[Tool] = ()
    forced: bool = False


@frozen(kw_only=True)
class Called:
    id: str
    name: str
    arguments: str  # JSON, or a custom tool's input
    custom: bool = False


def calls(body: ChatBody, prompt: str, answered: bool) -> Sequence[Called]:
    """The tools that the prompt names, or one that must be called. `answered`: their results are there."""
    choice = chosen(body)
    wanted = (
        [] if answered and not choice.forced else [tool for tool in choice.tools if _mentions(prompt, tool.name)]
    )
    if not wanted and choice.forced:
        wanted = list(choice.tools[:1])
    if body.parallel_tool_calls is False:
        wanted = wanted[:1]
    return [_called(tool, number, prompt) for number, tool in enumerate(wanted)]


def chosen(body: ChatBody) -> Choice:
    """What may be called. Raises Refused (400) for a choice that the tools do not allow."""
    known = {tool.name: tool for tool in body.tools or () if tool.name}
    wish = body.tool_choice
    if wish is None or wish == "auto":
        return Choice(tools=tuple(known.values()))
    if wish == "none":
        return Choice()
    if not body.tools:
        raise Refused(400, "'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice")
    if wish == "required":
        return Choice(tools=tuple(known.values()), forced=True)
    if isinstance(wish, str):
        raise Refused(400, f"Invalid value: '{wish[:40]}'.", param="tool_choice")
    return _named(wish, known)


def _named(wish: Mapping[str, Any], known: Mapping[str, Tool]) -> Choice:
    """{"type": "function", "function": {"name": …}}, or a list of tools that are allowed."""
    if wish.get("type") == "allowed_tools":
        allowed = wish.get("allowed_tools")
        allowed = allowed if isinstance(allowed, dict) else {}
        names = [_name(one) for one in allowed.get("tools", ()) if isinstance(one, dict)]
        tools = tuple(known[name] for name in names if name in known)
        return Choice(tools=tools, forced=allowed.get("mode") == "required")
    name = _name(wish)
    if name not in known:
        raise Refused(400, f"Tool choice '{name[:80]}' not found in 'tools' parameter.", param="tool_choice")
    return Choice(tools=(known[name],), forced=True)


def _name(wish: Mapping[str, Any]) -> str:
    inner = wish.get(str(wish.get("type")))
    name = inner.get("name") if isinstance(inner, dict) else wish.get("name")
    return name if isinstance(name, str) else ""


def _mentions(prompt: str, name: str) -> bool:
    """`get_weather`, but `get weather` and `Get-Weather` too."""
    spoken = r"[\s_.-]+".join(re.escape(word) for word in re.split(r"[_.-]+", name) if word)
    return bool(spoken) and bool(re.search(rf"(?<!\w){spoken}(?!\w)", prompt, re.I))


def _called(tool: Tool, number: int, prompt: str) -> Called:
    id = "call_" + hashlib.sha256(f"{number} {tool.name} {prompt}".encode(errors="replace")).hexdigest()[:24]
    if tool.function is None:
        return Called(id=id, name=tool.name, arguments=prompt[:200], custom=True)
    return Called(id=id, name=tool.name, arguments=_arguments(tool.function.parameters))


def _arguments(parameters: Mapping[str, Any] | None) -> str:
    """Arguments under the tool's schema; a schema without a sample gets none."""
    try:
        made = sample({"type": "object", **(parameters or {})})
    except NoSample:
        made = {}
    return json.dumps(made, ensure_ascii=False, separators=(",", ":"))
