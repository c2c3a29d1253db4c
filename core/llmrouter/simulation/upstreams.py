"""Upstreams in process: they stand in for every provider of a configuration, and do what a trace says."""

from __future__ import annotations

import asyncio
import math
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import partial

import msgspec
from attrs import define, field
from msgspec.structs import replace

from llmrouter.catalogue.prices import cost
from llmrouter.errors import TransportError
from llmrouter.protocols import Dialect, Reply
from llmrouter.provider import classify, read_error, retry_at
from llmrouter.types import Call, Endpoint, Usage, Verdict

from .replies import Answer, Refused, forever, written
from .script import read_asked
from .trace import ANY, How, Trace, Upstream
from .weather import Episode, Weather, forecast

BYTES = 4
"""Of a token, as the router estimates them."""
QUICK = 0.03
"""Seconds after which an upstream says no, and a connection is refused."""
MESSAGES: Mapping[int, str] = {429: "Rate limit reached", 529: "Overloaded"}


@define
class Billed:
    """What the upstreams of one endpoint have counted themselves."""

    calls: int = 0
    cost: float = 0.0  # USD
    unpriced: int = 0  # calls that nobody knows the price of


@define(eq=False)
class Place:
    """One upstream: a provider, or a model that the trace names by itself."""

    settings: Upstream
    weather: Weather
    random: random.Random
    _windows: dict[str, tuple[int, int]] = field(factory=dict)  # quota group → window and calls in it

    def refuses(self, group: str, now: float) -> int | None:
        """Seconds to wait where the limit of a quota group is reached; else the call is counted."""
        limit = self.settings.limit
        if limit is None:
            return None
        window = int(now // limit.per)
        known, calls = self._windows.get(group, (window, 0))
        calls = calls if known == window else 0
        if calls >= limit.requests:
            return max(1, math.ceil((window + 1) * limit.per - now))
        self._windows[group] = (window, calls + 1)
        return None

    def mishap(self) -> How | None:
        if not self.settings.failures:
            return None
        draw = self.random.random()
        for one in self.settings.failures:
            draw -= one.share
            if draw < 0:
                return one.how
        return None


@define(eq=False)
class Upstreams:
    """The `Provider` of every entry. `dialects` are those of the world that calls it."""

    trace: Trace
    seed: int
    start: float
    dialects: Mapping[str, Dialect] = field(factory=dict)
    billed: defaultdict[str, Billed] = field(factory=lambda: defaultdict(Billed))
    _places: dict[str, Place] = field(factory=dict)
    _variants: int = 0

    def settle(self, providers: Iterable[str]) -> None:
        """Give every provider, and every model that the trace names, a place. Comes before the first call."""
        entries = self.trace.upstreams
        found = {name: entries.get(name) or entries.get(ANY) or Upstream() for name in providers}
        found |= {name: entry for name, entry in entries.items() if name.partition("/")[0] in found}
        weather = forecast(found, self.trace.shared_outages, self.trace.duration, self.seed)
        self._places = {
            name: Place(one, weather[name], random.Random(f"{self.seed}/upstream/{name}"))
            for name, one in found.items()
        }

    async def send(self, call: Call) -> Reply:
        self.billed[call.endpoint.id].calls += 1
        place, now = self._place(call.endpoint), asyncio.get_running_loop().time()
        if outage := place.weather.outage(now - self.start):
            return await self._away(outage, call)
        if wait := place.refuses(call.account.group, now):
            return await self._refused(429, call, {"retry-after": str(wait)})
        how = place.mishap()
        if how == "connect":
            return await self._unreachable()
        if how == "hang":
            await forever()
        if isinstance(how, int):
            return await self._refused(how, call)
        answer = self._answer(call, place, now, how)
        return answer if call.wire.stream else await answer.whole()

    def judge(self, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        if status < 300 and not body:
            return Verdict(None)
        now = asyncio.get_running_loop().time()
        said = read_error(body)
        return Verdict(classify(status, said, now=now, retry_at=retry_at(headers, said.message, now)))

    # ---- ways to answer

    def _place(self, endpoint: Endpoint) -> Place:
        return self._places.get(endpoint.id) or self._places[endpoint.provider]

    def _answer(self, call: Call, place: Place, now: float, how: How | None) -> Answer:
        body = b"".join(map(bytes, call.fields.values()))
        asked, settings, usual = read_asked(body), place.settings, now - self.start
        slow, outage = place.weather.slowness(usual), place.weather.next(usual)
        lasts = asked.seconds or asked.tokens / settings.tokens_per_second
        begins = now + settings.first_output.draw(place.random) * slow
        usage = Usage(input=len(body) // BYTES, output=round(lasts * settings.tokens_per_second))
        self._variants += 1
        return Answer(
            parts=asked.says(0 if asked.fixed else self._variants),
            write=written(call, self.dialects[call.wire.dialect], now, usage),
            begins=begins,
            ends=begins + lasts * slow,
            outage_at=self.start + outage.start if outage else math.inf,
            silent=outage is not None and outage.how == "hang",
            how=how,
            stream=call.wire.stream,
            bill=partial(self._bill, call.endpoint, usage),
        )

    async def _away(self, outage: Episode, call: Call) -> Reply:
        if outage.how == "connect":
            return await self._unreachable()
        if outage.how == "hang":
            await forever()
        assert isinstance(outage.how, int)
        return await self._refused(outage.how, call)

    async def _unreachable(self) -> Reply:
        await asyncio.sleep(QUICK)
        raise TransportError("connect", "connection refused", sent=False)

    async def _refused(self, status: int, call: Call, headers: Mapping[str, str] | None = None) -> Reply:
        await asyncio.sleep(QUICK)
        said = {"error": {"message": MESSAGES.get(status, "scripted"), "type": "scripted"}}
        return Refused(status, headers or {}, msgspec.json.encode(said))

    def _bill(self, endpoint: Endpoint, usage: Usage, share: float) -> None:
        """What was generated is billed, also to a client that has left."""
        billed = self.billed[endpoint.id]
        price = cost(endpoint.card.price, replace(usage, output=round(usage.output * share)))
        billed.cost += price or 0.0
        billed.unpriced += price is None
