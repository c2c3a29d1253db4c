"""What a call costs by the listed price, beside what OpenRouter reported in the recorded answer."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping

import pytest
from attrs import frozen
from llmrouter_provider_openrouter.config import known
from llmrouter_provider_openrouter.listing import read_card
from msgspec.structs import replace

from llmrouter.catalogue.prices import cost
from llmrouter.dialects import builtin
from llmrouter.types import Begin, Card, Spent, Usage
from tests.telling import Tell

from .families import OPENAI, RERANK, RESPONSES, Family
from .library import FOLDER, Exchange, exchanges, require

pytestmark = pytest.mark.recordings

SHEETS = ("openrouter_models_rig_2026-08.json", "openrouter_models_modelsdev_2026-05.json")
"""Lists of models as OpenRouter gave them, the newest first: older ones have models that are gone."""
MODELS = 413  # in the newest
PRECISION = 0.01
LEAST_SHARE = 0.92


@frozen
class Answer:
    exchange: Exchange
    models: tuple[str, str]  # as asked for, and as answered
    usage: Usage


@pytest.fixture(scope="module")
def cards() -> Mapping[str, Card]:
    """By id, and by the name under which a model answers."""
    require()
    found: dict[str, Card] = {}
    for one in (model for sheet in SHEETS for model in listed(sheet)):
        for name in (one["id"], one["canonical_slug"]):
            found.setdefault(name, read_card(one))
    return found


@pytest.fixture(scope="module")
def answers() -> list[Answer]:
    require()
    return [one for family in (OPENAI, RESPONSES, RERANK) for one in told(family)]


def listed(sheet: str) -> list[dict[str, str]]:
    said = json.loads((FOLDER.parent / "prices" / sheet).read_text())
    models: list[dict[str, str]] = said["data"] if isinstance(said, dict) else said
    return models


def told(family: Family) -> Iterator[Answer]:
    """The answers of OpenRouter that tell what they cost."""
    dialects = {dialect.name: dialect for dialect in builtin()}
    for exchange in exchanges(family)[0]:
        if exchange.provider != "openrouter" or exchange.endpoint == family.listed:
            continue
        surface = family.surfaces[exchange.endpoint]
        reader = dialects[surface.dialect].reader(surface.op, exchange.stream)
        frames = [*reader.feed(exchange.body), *reader.end()]
        events = [event for frame in frames for event in frame.events]
        usages = [event.usage for event in events if isinstance(event, Spent)]
        model = next((event.model for event in events if isinstance(event, Begin)), "")
        if usages and usages[-1].cost is not None:
            yield Answer(exchange, (exchange.model, model), usages[-1])


def test_every_listed_model_gets_a_card() -> None:
    require()
    found = [read_card(one) for one in listed(SHEETS[0])]
    assert len(found) == MODELS
    assert all(card.window and card.abilities for card in found)
    without = [card for card in found if card.price is None]
    assert len(without) <= 6, "those that route to others, whose price nobody knows before"
    assert sum(bool(card.price and card.price.tiers) for card in found) == 59


def test_the_listed_price_is_what_was_billed(answers: list[Answer], cards: Mapping[str, Card], tell: Tell) -> None:
    outcomes = [(_outcome(one, cards), one.models[0]) for one in answers]
    counts = Counter(outcome for outcome, _ in outcomes)
    share = counts["equal"] / len(answers)
    different = sorted({model for outcome, model in outcomes if outcome == "another"})
    tell(
        f"OpenRouter: the computed cost is the reported one, ± {PRECISION:.0%}, for {counts['equal']} of "
        f"{len(answers)} answers ({share:.1%}); no listed price: {counts['unknown']}; another figure: "
        f"{counts['another']} ({', '.join(different)})"
    )
    assert len(answers) > 250
    assert share >= LEAST_SHARE


def _outcome(answer: Answer, cards: Mapping[str, Card]) -> str:
    names = [name for name in answer.models if name in cards]
    card = cards[names[0]] if names else known(answer.models[0])
    computed, reported = cost(card.price, replace(answer.usage, cost=None)), answer.usage.cost
    if computed is None or reported is None:
        return "unknown"
    return "equal" if abs(computed - reported) <= PRECISION * reported else "another"
