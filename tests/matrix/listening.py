"""What an application hears of a stream, event by event, up to its end or to the exception that its SDK raises."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from time import monotonic
from typing import Any

import anthropic
import openai
from anthropic.types import RawMessageStreamEvent
from attrs import define, field
from google import genai
from google.genai import errors, types
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from tests.sdk.validating import strict

_messages: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
_responses: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


@define
class Heard:
    """An answer as far as it came. `finish` is "" and `error` set where it broke off."""

    text: str = ""
    thought: str = ""
    calls: list[list[str]] = field(factory=list)  # name, arguments
    output_tokens: int | None = None
    finish: str = ""
    error: Exception | None = None
    waited: float = 0.0  # seconds before the first of it
    ids: set[str] = field(factory=set)  # of the answer: there is one


class Listener(ABC):
    """One SDK. `errors` is what an application catches; anything else that it raises is a bug."""

    errors: type[Exception]

    @abstractmethod
    def __init__(self, base_url: str) -> None: ...

    def listen(self, model: str, text: str) -> Heard:
        heard, events, asked_at = Heard(), list[Any](), monotonic()
        try:
            for event in self._events(model, text):
                heard.waited = heard.waited or monotonic() - asked_at
                events.append(event)
                self._take(event, heard)
        except self.errors as error:
            heard.error = error
        self._check(events, heard)
        assert len(heard.ids) <= 1
        assert bool(heard.finish) is (heard.error is None), "an answer that broke off ended as if it had not"
        return heard

    @abstractmethod
    def close(self) -> None: ...
    @abstractmethod
    def _events(self, model: str, text: str) -> Iterator[Any]: ...
    @abstractmethod
    def _take(self, event: Any, heard: Heard) -> None: ...
    @abstractmethod
    def _check(self, events: list[Any], heard: Heard) -> None:
        """Look strictly at what the SDK lets pass."""


class _OpenAI(Listener):
    errors = openai.APIError

    def __init__(self, base_url: str) -> None:
        self._client = openai.OpenAI(base_url=f"{base_url}/v1", api_key="any", max_retries=0)

    def close(self) -> None:
        self._client.close()


class ChatListener(_OpenAI):
    def _events(self, model: str, text: str) -> Iterator[Any]:
        yield from self._client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": text}],
            stream=True,
            stream_options={"include_usage": True},
        )

    def _take(self, event: Any, heard: Heard) -> None:
        heard.ids.add(event.id)
        if event.usage:
            heard.output_tokens = event.usage.completion_tokens
        for choice in event.choices:
            assert not heard.finish
            heard.text += choice.delta.content or ""
            heard.thought += getattr(choice.delta, "reasoning_content", None) or ""
            heard.finish = choice.finish_reason or ""
            for one in choice.delta.tool_calls or ():
                if one.id:
                    assert one.index == len(heard.calls)
                    heard.calls.append([one.function.name, ""])
                heard.calls[one.index][1] += one.function.arguments or ""

    def _check(self, events: list[Any], heard: Heard) -> None:
        for event in events:
            strict(event)


class ResponsesListener(_OpenAI):
    def _events(self, model: str, text: str) -> Iterator[Any]:
        yield from self._client.responses.create(model=model, input=text, stream=True)

    def _take(self, event: Any, heard: Heard) -> None:
        if response := getattr(event, "response", None):
            heard.ids.add(response.id)
        match event.type:
            case "response.output_text.delta":
                heard.text += event.delta
            case "response.reasoning_summary_text.delta":
                heard.thought += event.delta
            case "response.output_item.added" if event.item.type == "function_call":
                heard.calls.append([event.item.name, ""])
            case "response.function_call_arguments.delta":
                heard.calls[-1][1] += event.delta
            case "response.completed":
                heard.finish, heard.output_tokens = event.response.status, event.response.usage.output_tokens

    def _check(self, events: list[Any], heard: Heard) -> None:
        for event in events:
            _responses.validate_python(event.model_dump(mode="json", exclude_unset=True, by_alias=True))
        assert [event.sequence_number for event in events] == list(range(len(events)))
        open: dict[int, str] = {}  # index → id of an item
        ids: list[str] = []
        for event in events:
            if event.type == "response.output_item.added":
                assert event.output_index == len(ids)
                ids.append(event.item.id)
                open[event.output_index] = event.item.id
            elif event.type == "response.output_item.done":
                assert open.pop(event.output_index) == event.item.id
            elif hasattr(event, "item_id"):
                assert open[event.output_index] == event.item_id
        if heard.finish:
            assert not open
            answer = events[-1].response
            assert [item.id for item in answer.output] == ids
            assert answer.output_text == heard.text
            strict(answer)


class MessagesListener(Listener):
    errors = anthropic.APIError

    def __init__(self, base_url: str) -> None:
        self._client = anthropic.Anthropic(base_url=base_url, api_key="any", max_retries=0)

    def close(self) -> None:
        self._client.close()

    def _events(self, model: str, text: str) -> Iterator[Any]:
        yield from self._client.messages.create(
            model=model,
            max_tokens=4000,
            messages=[{"role": "user", "content": text}],
            thinking={"type": "enabled", "budget_tokens": 1024},
            stream=True,
        )

    def _take(self, event: Any, heard: Heard) -> None:
        match event.type:
            case "message_start":
                heard.ids.add(event.message.id)
            case "content_block_start" if event.content_block.type == "tool_use":
                heard.calls.append([event.content_block.name, ""])
            case "content_block_delta":
                heard.text += getattr(event.delta, "text", "")
                heard.thought += getattr(event.delta, "thinking", "")
                if event.delta.type == "input_json_delta":
                    heard.calls[-1][1] += event.delta.partial_json
            case "message_delta":
                heard.finish, heard.output_tokens = event.delta.stop_reason, event.usage.output_tokens

    def _check(self, events: list[Any], heard: Heard) -> None:
        for event in events:
            _messages.validate_python(event.model_dump(mode="json", exclude_unset=True, by_alias=True))
        kinds = [event.type for event in events]
        assert not kinds or kinds[0] == "message_start"
        blocks = [event for event in events if event.type.startswith("content_block")]
        count, open = 0, False
        for event in blocks:
            if event.type == "content_block_start":
                assert not open
                assert event.index == count
                count, open = count + 1, True
            assert open
            assert event.index == count - 1
            open = event.type != "content_block_stop"
        if heard.finish:
            assert not open
            assert kinds[-2:] == ["message_delta", "message_stop"]
            assert kinds.count("message_stop") == kinds.count("message_start") == 1


class GeminiListener(Listener):
    errors = errors.APIError

    def __init__(self, base_url: str) -> None:
        options = types.HttpOptions(base_url=base_url, api_version="v1beta", timeout=30_000)
        self._client = genai.Client(api_key="any", http_options=options)

    def close(self) -> None:
        self._client.close()

    def _events(self, model: str, text: str) -> Iterator[Any]:
        config = types.GenerateContentConfig(thinking_config=types.ThinkingConfig(include_thoughts=True))
        yield from self._client.models.generate_content_stream(model=model, contents=text, config=config)

    def _take(self, event: Any, heard: Heard) -> None:
        heard.ids.add(event.response_id)
        heard.output_tokens = event.usage_metadata.candidates_token_count if event.usage_metadata else None
        for candidate in event.candidates:
            assert not heard.finish
            heard.finish = candidate.finish_reason.name if candidate.finish_reason else ""
            for part in candidate.content.parts or ():
                if part.function_call:
                    heard.calls.append([part.function_call.name, json.dumps(part.function_call.args)])
                elif part.thought:
                    heard.thought += part.text or ""
                else:
                    heard.text += part.text or ""

    def _check(self, events: list[Any], heard: Heard) -> None:
        for event in events:
            strict(event)


LISTENERS: Mapping[str, type[Listener]] = {
    "openai chat": ChatListener,
    "openai responses": ResponsesListener,
    "anthropic": MessagesListener,
    "google": GeminiListener,
}
