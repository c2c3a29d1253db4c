"""Scenarios that are a script of one upstream: from resets below HTTP to answers that only look like some."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from attrs import evolve

from llmrouter.testing.speaker import Speaker
from llmrouter.testing.upstream import Line, Script
from llmrouter.testing.upstream_anthropic import Messages
from llmrouter.testing.upstream_faults import faults, named
from llmrouter.testing.upstream_gemini import Generate
from llmrouter.testing.upstream_refusals import Fault
from llmrouter.testing.upstream_scripts import JSON, answer, stream

from .abouts import ABOUT
from .saying import TOOL
from .scenario import SHAPES, Excuse, Play, Says, Scenario, Shape

HEAVY = ("flood", "giant_event")
GOAWAY = bytes.fromhex("000000040000000000" + "0000080700000000000000000000000000")
"""HTTP/2: empty SETTINGS, then GOAWAY with NO_ERROR for the stream 0."""
SLOW = 0.05
"""Seconds between the events of a brown-out: ten times what else lies between them, and more."""
ROUNDS = 400
"""More than a legitimate answer repeats itself."""


def wire() -> Iterator[Scenario]:
    """All of them: the catalogue of the tests, and what it lacks."""
    for fault in faults():
        yield _of(fault)
    for play in (goaway, wrong_content_type, no_end_mark, crumbs, brown_out, daily_quota, insufficient_quota):
        yield Scenario(name=play.__name__, about=ABOUT[play.__name__], play=play)
    yield Scenario(name="content_filter", about=ABOUT["content_filter"], play=content_filter, excuse="request")
    yield from _degraded()


def _of(fault: Fault) -> Scenario:
    excuse: Excuse = "late" if fault.late else "request" if fault.final else ""
    return Scenario(
        name=fault.name,
        about=ABOUT[fault.name],
        play=partial(_play, fault.name),
        shapes=tuple([shape for shape in SHAPES if shape in fault.shapes]),
        excuse=excuse,
        alone=fault.name in HEAVY,
    )


def _play(name: str, speaker: Speaker) -> Script:
    return named(name, speaker).script


def _degraded() -> Iterator[Scenario]:
    """Answers that are well-formed and worth nothing, and a call that is cut."""
    yield Scenario(name="empty_turn", about=ABOUT["empty_turn"], play=empty_turn, flawed=True)
    plays: Iterable[tuple[Play, Says]] = (
        (repetition_loop, "text"),
        (invalid_json, "json"),
        (malformed_arguments, "tool"),
    )
    for play, says in plays:
        name = play.__name__
        yield Scenario(name=name, about=ABOUT[name], play=play, says=says, excuse="said", flawed=True)
    only: tuple[Shape, ...] = ("stream",)
    cut = ABOUT["cut_in_call"]
    yield Scenario(name="cut_in_call", about=cut, play=cut_in_call, says="tool", shapes=only, excuse="said")


# ---- plays


def goaway(speaker: Speaker) -> Script:
    async def script(line: Line) -> None:
        await line.raw(GOAWAY)
        line.close()

    return script


def wrong_content_type(speaker: Speaker) -> Script:
    """A good answer under the name of something else."""
    plain = {"content-type": "text/html; charset=utf-8"}

    async def script(line: Line) -> None:
        if speaker.streams(line.request):
            await stream(speaker.events(line.request), 0.0, plain)(line)
        else:
            await answer(200, plain, speaker.whole(line.request))(line)

    return script


def no_end_mark(speaker: Speaker) -> Script:
    """Everything was said, and the end is only the end of the body."""

    async def script(line: Line) -> None:
        if not speaker.streams(line.request):
            return await speaker.answer()(line)
        events = [one for one in speaker.events(line.request) if one != speaker.mark]
        return await stream(events, 0.0, speaker.media)(line)

    return script


def crumbs(speaker: Speaker) -> Script:
    """A good answer in pieces of seven bytes, cut wherever that falls."""

    async def script(line: Line) -> None:
        streams = speaker.streams(line.request)
        whole = answer(200, JSON, speaker.whole(line.request))
        if not streams:
            return await whole(line)
        data = b"".join(speaker.events(line.request))
        await line.head(200, speaker.media)
        for start in range(0, len(data), 7):
            await line.body(data[start : start + 7])
            await line.pause(0)
        return await line.end()

    return script


def brown_out(speaker: Speaker) -> Script:
    async def script(line: Line) -> None:
        await line.pause(SLOW * 5)
        await evolve(speaker, delay=SLOW).answer()(line)

    return script


def daily_quota(speaker: Speaker) -> Script:
    """The quota of the day, as Google says it; elsewhere in the words of the OpenAI family."""
    if isinstance(speaker, Generate):
        body = speaker.error(429, "You exceeded your current quota.")
        quota = {"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": "250"}
        failure = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [quota]}
        retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}
        return answer(429, JSON, {"error": {**body["error"], "details": [failure, retry]}})
    return speaker.refuse(429, "Rate limit reached for requests per day (RPD): limit 200, used 200.")


def insufficient_quota(speaker: Speaker) -> Script:
    said = {"message": "You exceeded your current quota, please check your plan.", "param": None}
    return answer(429, JSON, {"error": {**said, "type": "insufficient_quota", "code": "insufficient_quota"}})


def content_filter(speaker: Speaker) -> Script:
    said = {"message": "The prompt was refused by the safety system.", "param": "prompt"}
    error = {**said, "type": "invalid_request_error", "code": "content_policy_violation"}
    return answer(400, JSON, {"error": error})


def empty_turn(speaker: Speaker) -> Script:
    return evolve(speaker, text="", tools=()).answer()


def repetition_loop(speaker: Speaker) -> Script:
    return evolve(speaker, text=" ".join(["and so it goes on"] * ROUNDS)).answer()


def invalid_json(speaker: Speaker) -> Script:
    """A sentence, where a schema was asked for."""
    return evolve(speaker, text=f"Here is what you asked for: {speaker.text[:-2]}").answer()


def malformed_arguments(speaker: Speaker) -> Script:
    """Cut in the middle; where the dialect has no text for arguments, without what the schema requires."""
    arguments = "{}" if isinstance(speaker, Messages | Generate) else '{"said": "Sixteen'
    return evolve(speaker, tools=[("call_bad", TOOL, arguments)]).answer()


def cut_in_call(speaker: Speaker) -> Script:
    async def script(line: Line) -> None:
        await line.head(200, speaker.media)
        for one in list(speaker.events(line.request))[: speaker.opening + 2]:
            await line.body(one)
        await line.pause(SLOW)
        line.close()

    return script
