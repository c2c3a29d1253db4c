"""Expand, reject, rank, gate: all that a decision is made of. Pure: everything it knows is handed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
from attrs import field, frozen

from llmrouter.catalogue.names import Expansion, Place
from llmrouter.catalogue.prices import expected_cost, expected_output
from llmrouter.protocols import Dialect, Policy
from llmrouter.types import Candidate, Card, Decision, Endpoint, Facts, Hold, Op, Ranked, Rejected, Wire

from .reasons import LIMITS

ABILITIES = frozenset({"tools", "vision", "json_schema", "audio", "audio_out", "files", "token_ids"})
"""Needs that are a model's to meet; the others are the wire's."""
UNTRANSLATED = frozenset({"n", "logprobs", "audio_out", "vendor_files"})
"""Needs met in the client's own dialect only: no events tell the answer, or one vendor alone has the file."""
ONE_MODEL_OPS: frozenset[Op] = frozenset({"embed", "rerank"})
"""Operations whose answers of different models cannot stand beside each other."""


class Look(msgspec.Struct, frozen=True):
    """What is known of an endpoint at this moment."""

    ttft: float = 0.0  # seconds to the first output; 0 is unknown
    load: int = 0
    turns: int = 0
    headroom: float = 1.0
    hold: Hold | None = None  # set when every account is held: the earliest end


@frozen(kw_only=True)
class Ranking:
    """The policy that applies to one name, as it is called in a decision."""

    name: str
    policy: Policy
    reason: str | None = field(init=False)  # of decisions that follow it; None: that of what was asked for

    @reason.default
    def _own_reason(self) -> str | None:
        return getattr(self.policy, "reason", None)


def decide(
    facts: Facts,
    expansion: Expansion,
    *,
    dialects: Mapping[str, Dialect],
    look: Callable[[Endpoint], Look],
    ranking: Ranking,
    draw: float,
    revision: str,
    kept: str = "",
) -> Decision:
    """The plan for one request. `kept` is the endpoint that its session is served by, if any."""
    rejected: list[Rejected] = []
    plan: list[Ranked] = []
    any_held, op = False, facts.op
    tokens, most = facts.input_tokens, facts.input_tokens + (facts.max_output or 0)
    output = expected_output(facts) if op == "chat" else 0
    model = _one_model(facts, expansion, dialects) if op in ONE_MODEL_OPS else ""
    wants = bool(facts.needs or model or "budget" in facts.hints)  # more than room in the window
    for number, tier in enumerate(expansion.tiers):
        candidates: list[Candidate] = []
        for place in tier:
            endpoint = place.endpoint
            wire = speak(facts, endpoint, dialects)
            if wire is None:
                rejected.append(Rejected(endpoint.id, "ability", op))
                continue
            cost, window = expected_cost(endpoint.card.price, tokens, output), endpoint.card.window
            in_doubt = wants or (window is not None and most > window)
            if in_doubt and (refusal := _unfit(facts, endpoint, wire, dialects, model, cost)):
                rejected.append(refusal)
                continue
            seen = look(endpoint)
            if seen.hold is not None:
                any_held = True
            candidates.append(_candidate(place, wire, number, cost, seen))
        if candidates:
            ranked = ranking.policy.rank(facts, candidates, draw)
            if len(ranked) < len(candidates):
                rejected += _left_out(candidates, ranked)
            plan += ranked
    first = plan[0].candidate if plan else None
    if any_held:
        plan.sort(key=_held_until)  # stable: what may run now first, then what recovers first
    moved = _keep(plan, kept) if kept else False
    return Decision(
        facts=facts,
        plan=tuple(plan),
        rejected=tuple(rejected),
        policy=ranking.name,
        draw=draw,
        reason="session" if moved else _reason(expansion, plan, first, ranking.reason),
        revision=revision,
    )


def speak(facts: Facts, endpoint: Endpoint, dialects: Mapping[str, Dialect]) -> Wire | None:
    """How an endpoint will be spoken to: in the client's own dialect where possible, so nothing is translated."""
    if endpoint.ops is not None and facts.op not in endpoint.ops:
        return None
    if facts.wire.dialect in endpoint.dialects:
        return facts.wire
    for name in endpoint.dialects:
        if name in dialects and facts.op in dialects[name].ops:
            return Wire(name, facts.wire.stream)
    return None


def _one_model(facts: Facts, expansion: Expansion, dialects: Mapping[str, Dialect]) -> str:
    """The model that all answers are to come from: that of the first endpoint which can be spoken to."""
    endpoints = (place.endpoint for tier in expansion.tiers for place in tier)
    return next((_family(one) for one in endpoints if speak(facts, one, dialects)), "")


def _unfit(
    facts: Facts, endpoint: Endpoint, wire: Wire, dialects: Mapping[str, Dialect], model: str, cost: float | None
) -> Rejected | None:
    """Why this endpoint can never serve this request, if so."""
    card = endpoint.card
    if facts.needs and (missing := _missing(facts, card, wire, dialects)):
        return Rejected(endpoint.id, "ability", ", ".join(sorted(missing)))
    if model:  # of many texts each has the window for itself
        if _family(endpoint) != model:
            return Rejected(endpoint.id, "policy", f"answers of {model} and of this model do not mix")
    elif card.window is not None and facts.input_tokens + (facts.max_output or 0) > card.window:
        return Rejected(endpoint.id, "context", f"{card.window} tokens")
    return _too_dear(facts, endpoint, cost) if "budget" in facts.hints else None


def _candidate(place: Place, wire: Wire, tier: int, cost: float | None, seen: Look) -> Candidate:
    endpoint, card = place.endpoint, place.endpoint.card
    return Candidate(
        endpoint=endpoint.id,
        provider=endpoint.provider,
        model=endpoint.model,
        wire=wire,
        tier=tier,
        weight=place.weight,
        window=card.window,
        cost=cost,
        quality=card.quality,
        ttft=seen.ttft,
        headroom=seen.headroom,
        load=seen.load,
        turns=seen.turns,
        hold=seen.hold,
    )


def _missing(facts: Facts, card: Card, wire: Wire, dialects: Mapping[str, Dialect]) -> frozenset[str]:
    missing = frozenset[str]()
    if card.abilities is not None:
        missing = (facts.needs & ABILITIES) - card.abilities
    if wire.dialect != facts.wire.dialect:
        missing |= facts.needs - (dialects[wire.dialect].expresses - UNTRANSLATED)
    return missing


def _too_dear(facts: Facts, endpoint: Endpoint, cost: float | None) -> Rejected | None:
    if cost is not None and cost <= float(facts.hints["budget"]):
        return None
    return Rejected(endpoint.id, "price", "no price is known" if cost is None else f"{cost:.6f} USD")


def _left_out(candidates: Sequence[Candidate], ranked: Sequence[Ranked]) -> Sequence[Rejected]:
    kept = {one.candidate.endpoint for one in ranked}
    return [Rejected(one.endpoint, "policy") for one in candidates if one.endpoint not in kept]


def rerank(decision: Decision, policy: Policy) -> tuple[Ranked, ...]:
    """The plan that a policy makes of a recorded decision's candidates."""
    tiers: dict[int, list[Candidate]] = {}
    for one in decision.plan:
        tiers.setdefault(one.candidate.tier, []).append(one.candidate)
    plan: list[Ranked] = []
    for _, candidates in sorted(tiers.items()):
        plan += policy.rank(decision.facts, candidates, decision.draw)
    plan.sort(key=_held_until)
    return tuple(plan)


def _keep(plan: list[Ranked], kept: str) -> bool:
    """Move what serves the session to the front, unless it is held. True if that changed the plan."""
    for place, one in enumerate(plan):
        if one.candidate.endpoint == kept:
            if place and one.candidate.hold is None:
                plan.insert(0, plan.pop(place))
                return True
            return False
    return False


def _reason(expansion: Expansion, plan: Sequence[Ranked], first: Candidate | None, own: str | None) -> str:
    if first is None or not plan:
        return expansion.reason
    if plan[0].candidate is not first and first.hold:
        return "limit" if first.hold.reason in LIMITS else "health"
    if expansion.reason == "asked":
        return "asked"
    if len(plan) == 1:
        return "only"
    return expansion.order or (own if own and expansion.reason == "default" else expansion.reason)


def _held_until(ranked: Ranked) -> float:
    return ranked.candidate.hold.until if ranked.candidate.hold else 0.0


def _family(endpoint: Endpoint) -> str:
    """The model without its vendor's path: deployments of one model share it."""
    return endpoint.model.rsplit("/", 1)[-1].casefold()


def encode(decision: Decision) -> bytes:
    """A decision as JSON: what is stored, shown and replayed."""
    return msgspec.json.encode(decision)
