"""The official SDKs as one kind of thing: asked the same, telling the same, what they parsed looked at strictly."""

from __future__ import annotations

import base64
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol, TypeVar

import anthropic
import openai
from anthropic.types import RawMessageStreamEvent
from attrs import field, frozen
from google import genai
from google.genai import errors, types
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from tests.sdk.validating import strict

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "born": {"type": "integer"}},
    "required": ["name", "born"],
    "additionalProperties": False,
}
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"place": {"type": "string", "description": "its name"}},
    "required": ["place"],
}
PICTURE = base64.b64encode(bytes.fromhex("89504e470d0a1a0a") + bytes(range(64))).decode()
ABOUT = "The weather of a place."

_messages: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
_responses: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


@frozen(kw_only=True)
class Asking:
    """One turn: what the user says, and what is asked for beside."""

    text: str
    stream: bool
    tools: bool = False
    picture: bool = False
    schema: bool = False


@frozen(kw_only=True)
class Said:
    """What the SDK made of an answer. `turn` is what goes back into the history."""

    text: str
    calls: Sequence[tuple[str, str, Mapping[str, Any]]]  # id, name, arguments
    tokens: tuple[int, int]
    finish: str
    turn: Any = field(repr=False)
    pieces: int = 1


class Refused(Exception):
    """The error as the SDK raised it: its status, and what it says to wait."""

    def __init__(self, status: int, message: str, retry_after: str | None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after


class Closes(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=Closes)


@contextmanager
def opened(kinds: Mapping[str, Callable[[str], C]], base_url: str) -> Iterator[dict[str, C]]:
    """One of each kind, in front of a router, until the block ends."""
    with ExitStack() as stack:
        made = {name: kind(base_url) for name, kind in kinds.items()}
        for one in made.values():
            stack.callback(one.close)
        yield made


class Driver(ABC):
    """One SDK. `stops` is what it calls an answer that is whole, and one that calls tools."""

    stops: tuple[str, str]

    def __init__(self, base_url: str) -> None:
        self._client = self._connect(base_url)

    def ask(self, model: str, asking: Asking) -> Said:
        return self._send(model, asking, [self._user(asking)])

    def close(self) -> None:
        self._client.close()

    @abstractmethod
    def tell(self, model: str, asking: Asking, said: Said, outputs: Sequence[str]) -> Said:
        """The second turn: what the tools put out."""

    @abstractmethod
    def _connect(self, base_url: str) -> Any: ...
    @abstractmethod
    def _user(self, asking: Asking) -> Any: ...
    @abstractmethod
    def _send(self, model: str, asking: Asking, turns: list[Any]) -> Said: ...


class ChatDriver(Driver):
    stops = ("stop", "tool_calls")

    def _connect(self, base_url: str) -> Any:
        return openai.OpenAI(base_url=f"{base_url}/v1", api_key="any", max_retries=0)

    def tell(self, model: str, asking: Asking, said: Said, outputs: Sequence[str]) -> Said:
        results = [
            {"role": "tool", "tool_call_id": id, "content": output}
            for (id, _, _), output in zip(said.calls, outputs, strict=True)
        ]
        return self._send(model, asking, [self._user(asking), said.turn, *results])

    def _user(self, asking: Asking) -> Any:
        if not asking.picture:
            return {"role": "user", "content": asking.text}
        url = f"data:image/png;base64,{PICTURE}"
        shown = {"type": "image_url", "image_url": {"url": url}}
        return {"role": "user", "content": [{"type": "text", "text": asking.text}, shown]}

    def _send(self, model: str, asking: Asking, turns: list[Any]) -> Said:
        more: dict[str, Any] = {}
        if asking.tools:
            function = {"name": "weather", "description": ABOUT, "parameters": PARAMETERS}
            more["tools"] = [{"type": "function", "function": function}]
        if asking.schema:
            more["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "person", "schema": SCHEMA, "strict": True},
            }
        try:
            if asking.stream:
                more["stream_options"] = {"include_usage": True}
                return self._streamed(
                    list(self._client.chat.completions.create(model=model, messages=turns, stream=True, **more))
                )
            answer = self._client.chat.completions.create(model=model, messages=turns, **more)
        except openai.APIStatusError as error:
            raise Refused(error.status_code, str(error), error.response.headers.get("retry-after")) from error
        strict(answer)
        choice, usage = answer.choices[0], answer.usage
        assert usage is not None
        calls = [(one.id, one.function.name, one.function.arguments) for one in choice.message.tool_calls or ()]
        return self._said(choice.message.content or "", calls, usage, str(choice.finish_reason), 1)

    def _streamed(self, chunks: Sequence[Any]) -> Said:
        text, finish, usage = "", "", None
        calls: list[list[str]] = []
        for chunk in chunks:
            strict(chunk)
            usage = chunk.usage or usage
            for choice in chunk.choices:
                text += choice.delta.content or ""
                finish = choice.finish_reason or finish
                for one in choice.delta.tool_calls or ():
                    if one.index == len(calls):
                        calls.append([one.id, one.function.name, ""])
                    calls[one.index][2] += one.function.arguments or ""
        assert len({chunk.id for chunk in chunks}) == 1
        return self._said(text, [tuple(one) for one in calls], usage, finish, len(chunks))  # type: ignore[misc]

    def _said(self, text: str, calls: Sequence[tuple[str, str, str]], usage: Any, finish: str, pieces: int) -> Said:
        turn: dict[str, Any] = {"role": "assistant", "content": text or None}
        if calls:
            turn["tool_calls"] = [
                {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
                for id, name, arguments in calls
            ]
        parsed = [(id, name, json.loads(arguments)) for id, name, arguments in calls]
        tokens = (usage.prompt_tokens, usage.completion_tokens)
        return Said(text=text, calls=parsed, tokens=tokens, finish=finish, turn=turn, pieces=pieces)


class ResponsesDriver(Driver):
    stops = ("completed", "completed")

    def _connect(self, base_url: str) -> Any:
        return openai.OpenAI(base_url=f"{base_url}/v1", api_key="any", max_retries=0)

    def tell(self, model: str, asking: Asking, said: Said, outputs: Sequence[str]) -> Said:
        results = [
            {"type": "function_call_output", "call_id": id, "output": output}
            for (id, _, _), output in zip(said.calls, outputs, strict=True)
        ]
        return self._send(model, asking, [self._user(asking), *said.turn, *results])

    def _user(self, asking: Asking) -> Any:
        if not asking.picture:
            return {"role": "user", "content": asking.text}
        shown = {"type": "input_image", "image_url": f"data:image/png;base64,{PICTURE}", "detail": "auto"}
        return {"role": "user", "content": [{"type": "input_text", "text": asking.text}, shown]}

    def _send(self, model: str, asking: Asking, turns: list[Any]) -> Said:
        more: dict[str, Any] = {}
        if asking.tools:
            function = {"name": "weather", "description": ABOUT, "parameters": PARAMETERS, "strict": False}
            more["tools"] = [{"type": "function", **function}]
        if asking.schema:
            more["text"] = {"format": {"type": "json_schema", "name": "person", "schema": SCHEMA, "strict": True}}
        pieces = 1
        try:
            if asking.stream:
                events = list(self._client.responses.create(model=model, input=turns, stream=True, **more))
                for event in events:
                    _responses.validate_python(event.model_dump(mode="json", exclude_unset=True, by_alias=True))
                pieces, answer = len(events), events[-1].response
                assert "".join(one.delta for one in events if one.type == "response.output_text.delta") == (
                    answer.output_text
                )
            else:
                answer = self._client.responses.create(model=model, input=turns, **more)
        except openai.APIStatusError as error:
            raise Refused(error.status_code, str(error), error.response.headers.get("retry-after")) from error
        strict(answer)
        assert answer.usage is not None
        calls = [
            (one.call_id, one.name, json.loads(one.arguments))
            for one in answer.output
            if one.type == "function_call"
        ]
        return Said(
            text=answer.output_text,
            calls=calls,
            tokens=(answer.usage.input_tokens, answer.usage.output_tokens),
            finish=str(answer.status),
            turn=[one.model_dump(mode="json", exclude_none=True) for one in answer.output],
            pieces=pieces,
        )


class MessagesDriver(Driver):
    stops = ("end_turn", "tool_use")

    def _connect(self, base_url: str) -> Any:
        return anthropic.Anthropic(base_url=base_url, api_key="any", max_retries=0)

    def tell(self, model: str, asking: Asking, said: Said, outputs: Sequence[str]) -> Said:
        results = [
            {"type": "tool_result", "tool_use_id": id, "content": output}
            for (id, _, _), output in zip(said.calls, outputs, strict=True)
        ]
        told = [{"role": "assistant", "content": said.turn}, {"role": "user", "content": results}]
        return self._send(model, asking, [self._user(asking), *told])

    def _user(self, asking: Asking) -> Any:
        if not asking.picture:
            return {"role": "user", "content": asking.text}
        source = {"type": "base64", "media_type": "image/png", "data": PICTURE}
        return {
            "role": "user",
            "content": [{"type": "text", "text": asking.text}, {"type": "image", "source": source}],
        }

    def _send(self, model: str, asking: Asking, turns: list[Any]) -> Said:
        more: dict[str, Any] = {"model": model, "max_tokens": 4000, "messages": turns}
        if asking.tools:
            more["tools"] = [{"name": "weather", "description": ABOUT, "input_schema": PARAMETERS}]
        if asking.schema:
            more["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
        pieces = 1
        try:
            if asking.stream:
                raw = list(self._client.messages.create(stream=True, **more))
                for event in raw:
                    _messages.validate_python(event.model_dump(mode="json", exclude_unset=True, by_alias=True))
                pieces = len(raw)
                with self._client.messages.stream(**more) as stream:
                    answer: Any = stream.get_final_message()
            else:
                answer = self._client.messages.create(**more)
                strict(answer)
        except anthropic.APIStatusError as error:
            raise Refused(error.status_code, str(error), error.response.headers.get("retry-after")) from error
        usage = answer.usage
        cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
        return Said(
            text="".join(block.text for block in answer.content if block.type == "text"),
            calls=[(block.id, block.name, block.input) for block in answer.content if block.type == "tool_use"],
            tokens=(usage.input_tokens + cached, usage.output_tokens),
            finish=str(answer.stop_reason),
            turn=[block.model_dump(mode="json", exclude_none=True) for block in answer.content],
            pieces=pieces,
        )


class GeminiDriver(Driver):
    stops = ("STOP", "STOP")

    def _connect(self, base_url: str) -> Any:
        options = types.HttpOptions(base_url=base_url, api_version="v1beta", timeout=30_000)
        return genai.Client(api_key="any", http_options=options)

    def tell(self, model: str, asking: Asking, said: Said, outputs: Sequence[str]) -> Said:
        results = [
            types.Part(function_response=types.FunctionResponse(id=id, name=name, response={"output": output}))
            for (id, name, _), output in zip(said.calls, outputs, strict=True)
        ]
        return self._send(model, asking, [self._user(asking), said.turn, types.Content(role="user", parts=results)])

    def _user(self, asking: Asking) -> Any:
        parts = [types.Part(text=asking.text)]
        if asking.picture:
            parts.append(types.Part.from_bytes(data=base64.b64decode(PICTURE), mime_type="image/png"))
        return types.Content(role="user", parts=parts)

    def _send(self, model: str, asking: Asking, turns: list[Any]) -> Said:
        config = types.GenerateContentConfig()
        if asking.tools:
            function: Any = {"name": "weather", "description": ABOUT, "parametersJsonSchema": PARAMETERS}
            config.tools = [{"function_declarations": [function]}]
            config.automatic_function_calling = types.AutomaticFunctionCallingConfig(disable=True)
        if asking.schema:
            config.response_mime_type, config.response_json_schema = "application/json", SCHEMA
        try:
            if asking.stream:
                stream = self._client.models.generate_content_stream(model=model, contents=turns, config=config)
                return self._said(list(stream))
            return self._said([self._client.models.generate_content(model=model, contents=turns, config=config)])
        except errors.APIError as error:
            headers = getattr(error.response, "headers", {})
            raise Refused(error.code, str(error), headers.get("retry-after")) from error

    def _said(self, answers: Sequence[types.GenerateContentResponse]) -> Said:
        for answer in answers:
            strict(answer)
        parts = [
            part
            for answer in answers
            for candidate in answer.candidates or ()
            for part in (candidate.content.parts if candidate.content else None) or ()
        ]
        usage = answers[-1].usage_metadata
        finish = answers[-1].candidates[0].finish_reason if answers[-1].candidates else None
        assert usage is not None
        calls = [part.function_call for part in parts if part.function_call]
        return Said(
            text="".join(part.text or "" for part in parts if not part.thought),
            calls=[(str(call.id), str(call.name), call.args or {}) for call in calls],
            tokens=(usage.prompt_token_count or 0, usage.candidates_token_count or 0),
            finish=finish.name if finish else "",
            turn=types.Content(role="model", parts=parts),
            pieces=len(answers),
        )


DRIVERS: Mapping[str, type[Driver]] = {
    "openai chat": ChatDriver,
    "openai responses": ResponsesDriver,
    "anthropic": MessagesDriver,
    "google": GeminiDriver,
}
