"""The upstream itself: it lets a call in, answers it, and sometimes fails as it was told to."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from attrs import define, field

from llmrouter.errors import TransportError
from llmrouter.protocols import Clock
from llmrouter.types import ANY_MODEL, Call, Endpoint, Verdict

from . import chat, completions, embeddings
from .config import EchoSettings, Fault, endpoints
from .judging import judge
from .quota import Quota
from .refusals import TYPES, Refused
from .reply import EchoReply, plain, streamed
from .requests import ChatBody, CompletionBody, EmbeddingsBody, read
from .wire import JSON, SSE, Answer, Limits, Stamp

FORMATS: Mapping[str, tuple[type[msgspec.Struct], Callable[[Any, Stamp, Limits], Answer]]] = {
    "openai.chat": (ChatBody, chat.answer),
    "openai.completions": (CompletionBody, completions.answer),
    "openai.embeddings": (EmbeddingsBody, embeddings.answer),
}


@define(eq=False)
class Echo:
    """Answers calls in process. Waits are `asyncio.sleep`, chances are drawn from `random`."""

    config: EchoSettings
    clock: Clock = field(repr=False)
    random: random.Random = field(repr=False)
    _endpoints: Mapping[str, Endpoint] = field(init=False, repr=False)
    _quota: Quota | None = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._endpoints = {one.model: one for one in endpoints(self.config)}
        self._quota = Quota(self.config.quota, self.clock) if self.config.quota else None

    async def send(self, call: Call) -> EchoReply:
        fault = self._fault()
        if fault == "connect":
            raise TransportError("connect", f"{self.config.name}: there is nobody at the other end")
        if fault == "hang":
            await asyncio.sleep(call.timeout)
            raise TransportError("timeout_headers", f"{self.config.name}: no answer in {call.timeout:g} s")
        id = f"{self.random.getrandbits(96):024x}"
        headers = {"x-request-id": f"req_{id}"}
        try:
            headers |= self._admit(call)
            if isinstance(fault, int):
                raise self._refusal(fault)
            answer = self._answer(call, id)
        except Refused as refused:
            headers |= {**refused.headers, "content-type": JSON}
            return EchoReply(refused.status, headers, iter([msgspec.json.encode(refused.body())]))
        return await self._reply(answer, headers, str(fault))

    def judge(self, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        keys = [one.api_key for one in self.config.accounts if one.api_key]
        secrets = [key.reveal() for key in (*keys, *self.config.accepted_keys) if key]
        window = self.config.quota.per if self.config.quota else ""
        return judge(status, headers, body, now=self.clock(), window=window, secrets=secrets)

    async def models(self, account: str) -> Sequence[Endpoint]:
        return list(self._endpoints.values())

    # ---- a call

    def _fault(self) -> Fault | str:
        """How this call fails, or "" if it does not."""
        rate = self.config.failure_rate
        return self.config.failure if rate and self.random.random() < rate else ""

    def _admit(self, call: Call) -> Mapping[str, str]:
        """The rate-limit headers. Raises Refused for a key that is not known (401), or a used-up limit (429)."""
        if self.config.accepted_keys:
            key = next((one.api_key for one in self.config.accounts if one.id == call.account.id), None)
            if key not in self.config.accepted_keys:
                raise Refused(401, "Incorrect API key provided.")
        return self._quota.take(call.account.group, call.endpoint.model) if self._quota else {}

    def _refusal(self, status: int) -> Refused:
        wait = self.config.retry_after if status in (429, 503, 529) else None
        return Refused(status, f"This failure was configured: {TYPES[status][1]}.", retry_after=wait)

    def _answer(self, call: Call, id: str) -> Answer:
        """Raises Refused for a body or a model that this upstream does not take."""
        type_, write = FORMATS.get(call.wire.dialect, (None, None))
        if type_ is None or write is None:
            raise Refused(404, f"Unknown request: {call.wire.dialect}.", code="unknown_url")
        body: Any = read(call.fields, type_)
        known = self._endpoints.get(body.model) or self._endpoints.get(ANY_MODEL)
        if known is None or call.wire.dialect not in known.dialects:
            raise Refused(404, f"The model '{body.model[:200]}' does not exist here.", param="model")
        limits = Limits(window=known.card.window, output=known.card.max_output)
        return write(body, Stamp(id, int(self.clock()), body.model), limits)

    async def _reply(self, answer: Answer, headers: Mapping[str, str], fault: str) -> EchoReply:
        """A stream's headers come at once, a plain answer's with its first token."""
        pace, latency = self.config.pace, self.config.latency
        if answer.events is not None:
            steps = streamed(answer, latency, pace, fault)
            return EchoReply(200, {**headers, "content-type": SSE, "cache-control": "no-cache"}, steps)
        await asyncio.sleep(latency)
        return EchoReply(200, {**headers, "content-type": JSON}, plain(answer, pace, fault))
