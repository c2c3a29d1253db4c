"""A request cancelled after every loop step at which it is alive, in every state it has: nothing leaks, ever."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from attrs import evolve

from llmrouter.errors import TransportError
from llmrouter.settings import EngineSettings, HedgeSettings, QueueSettings, StreamSettings
from tests.house import Answer, chunk, error, plain, streamed
from tests.sweeping import END, Scene, played
from tests.test_streams import called

SAME = {"temperature": 0, "seed": 1}
CUT = TransportError("truncated", "cut")

Say = Callable[..., list[Any]]


def scenes() -> Iterator[tuple[str, Scene]]:
    for stream in (False, True):
        shape, say = ("stream", streamed) if stream else ("plain", lambda *texts: plain("".join(texts)))
        yield f"failover, {shape}", failover(stream, say)
        yield f"hedged, {shape}", hedged(stream, say)
        yield f"hedge that loses, {shape}", losing(stream, say)
        yield f"covered probe, {shape}", probe(stream, say)
        yield f"waiting, {shape}", waiting(stream, say)
        yield f"following, {shape}", following(stream, say)
        yield f"leading, {shape}", evolve(following(stream, say), ahead=0, behind=3, roles=["turn"])
        yield f"degraded, {shape}", degraded(stream, say)
    yield "verify", verify()
    yield "buffer", held(EngineSettings(stream=StreamSettings(on_break="buffer")), [chunk("o"), CUT])
    calls = [*called("{}"), 0.0, CUT]
    yield "held calls", held(EngineSettings(stream=StreamSettings(hold_tool_calls=True)), calls)
    yield "kept alive", kept_alive()


def failover(stream: bool, say: Say) -> Scene:
    cut = Answer([0.0, *([chunk(), 0.0] if stream else []), CUT])
    answers = {"a/m": [error(503)], "b/m": [cut], "c/m": [Answer([0.0, *say("o", "k")])]}
    return Scene(answers=answers, stream=stream, roles=["turn"] * 3)


def hedged(stream: bool, say: Say) -> Scene:
    answers = {"a/m": [Answer([1_000.0])], "b/m": [Answer([0.1, *say("o", "k")])]}
    engine = EngineSettings(coalesce=False, hedge=HedgeSettings(at=0.2))
    return Scene(answers=answers, stream=stream, roles=["turn", "hedge"], engine=engine)


def losing(stream: bool, say: Say) -> Scene:
    answers = {"a/m": [Answer([0.3, *say("o", "k")])], "b/m": [Answer([1_000.0])]}
    return evolve(hedged(stream, say), answers=answers)


def probe(stream: bool, say: Say) -> Scene:
    """The silence of a probe is half of the usual ten seconds, and there is no usual one yet."""
    answers = {"a/m": [Answer([], wait=1_000.0)], "b/m": [Answer([0.1, *say("o", "k")])]}
    return Scene(answers=answers, stream=stream, roles=["probe", "hedge"], sick=True)


def waiting(stream: bool, say: Say) -> Scene:
    answers = {"a/m": [Answer([0.4, *say("o", "k")])]}
    return Scene(answers=answers, stream=stream, roles=["turn"], concurrent=1, ahead=1, behind=1)


def following(stream: bool, say: Say) -> Scene:
    """The other shape follows, too: its writer is fed by what others were sent."""
    script = [chunk("o"), 0.1, *streamed("k")] if stream else [0.1, *plain("ok")]
    engine = EngineSettings(queue=QueueSettings(max_wait=30.0))
    return Scene(answers={"a/m": [Answer(script)]}, stream=stream, roles=[], engine=engine, body=SAME, ahead=3)


def degraded(stream: bool, say: Say) -> Scene:
    empty = [Answer([0.0, chunk(finish="stop"), 0.0, END] if stream else [0.0, *plain("")])]
    return Scene(answers={"a/m": empty, "b/m": empty}, stream=stream, roles=["turn", "turn"], text="")


def verify() -> Scene:
    answers = {"a/m": [Answer([chunk("o"), 0.0, CUT])], "b/m": [Answer([0.0, chunk("o"), 0.0, *streamed("k")])]}
    engine = EngineSettings(coalesce=False, stream=StreamSettings(on_break="verify"))
    return Scene(answers=answers, stream=True, roles=["turn", "rescue"], engine=engine)


def held(engine: EngineSettings, first: list[Any]) -> Scene:
    answers = {"a/m": [Answer(first)], "b/m": [Answer([chunk("o"), 0.0, *streamed("k")])]}
    return Scene(answers=answers, stream=True, roles=["turn", "turn"], engine=evolve(engine, coalesce=False))


def kept_alive() -> Scene:
    engine = EngineSettings(coalesce=False, stream=StreamSettings(keep_alive=0.1))
    answers = {"a/m": [Answer([0.25, CUT])], "b/m": [Answer([0.25, *streamed("o", "k")])]}
    return Scene(answers=answers, stream=True, roles=["turn", "turn"], engine=engine)


SCENES = dict(scenes())


@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
@pytest.mark.parametrize("name", SCENES)
def test_a_request_cancelled_after_every_step_leaves_nothing(name: str, twice: bool) -> None:
    scene = SCENES[name]
    alive = next(steps for steps in count(1) if not played(scene, steps, twice))
    assert alive > 8, "the sweep must find it in more states than that"
