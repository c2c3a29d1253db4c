"""What can go wrong, as a value: the upstream's part, and what else has to be arranged for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Literal, TypeVar

from attrs import define, evolve, field, frozen

from llmrouter.router import Router
from llmrouter.settings import EngineSettings, GroupSettings, ProviderSettings, Secret, Settings
from llmrouter.testing.speaker import Speaker
from llmrouter.testing.upstream import Script

from .pointing import bare

Shape = Literal["stream", "plain"]
SHAPES: tuple[Shape, ...] = ("stream", "plain")
Play = Callable[[Speaker], Script]
"""What an upstream does with a request, in the words of the dialect it is asked in."""
Excuse = Literal["", "late", "said", "request", "outage", "keys"]
"""Why an error can be the right answer although others are well; "" where it cannot.

late: a stream breaks off after its first output. said: what is wrong has been written by the time it shows.
"""
Says = Literal["text", "json", "tool"]

_ALWAYS: Mapping[Excuse, str] = {
    "request": "the request itself is refused",
    "outage": "nobody is well",
    "keys": "nobody takes the keys",
}

T = TypeVar("T")


def well(speaker: Speaker) -> Script:
    """The part of an upstream in good health."""
    return speaker.answer()


@frozen(kw_only=True)
class Scenario:
    """A fault. `play` is the part of the first candidate; `arrange` does what no script of an upstream can.

    Without an `arrange` a scenario needs nothing but two upstreams, whatever router stands before them.
    """

    name: str
    about: str  # in one line
    play: Play = well
    arrange: Callable[[Stage], None] | None = None
    shapes: tuple[Shape, ...] = SHAPES
    excuse: Excuse = ""
    says: Says = "text"  # what everybody means to say
    requests: int = 1  # one after the other
    every: float = 0.0  # seconds between them
    flawed: bool = False  # the answer is whole, and worth nothing
    alone: bool = False  # nothing else runs beside it: it is heavy, or changes this process
    unseen: bool = False  # it strikes before an upstream could see a request

    def excused(self, shape: Shape, members: int, engine: EngineSettings) -> str:
        """Why nothing better than an error is to be had here; "" where another upstream can serve."""
        if self.excuse in _ALWAYS:
            return _ALWAYS[self.excuse]
        if members < 2:
            return "the group has one member: nobody can take over"
        if not engine.fallback:
            return "`engine.fallback` is off"
        stream = engine.stream
        written = shape == "stream" and stream.on_break != "buffer"
        if self.excuse == "late" and written and stream.on_break == "error":
            return "output was written, and `on_break` is error"
        if self.excuse == "said" and written and not (self.says == "tool" and stream.hold_tool_calls):
            return "it was written before it was seen to be wrong"
        return ""


@define(eq=False, kw_only=True)
class Stage:
    """One scenario, set up for one group in one shape. All that it arranges is its own, so that no other notices.

    `entries` are the providers of the group by their names in the configuration, each pointed at the upstream that
    plays it; `number` is in the names of all of them and in the paths they are asked by.
    """

    number: int
    scenario: Scenario
    group: str
    tiers: GroupSettings
    shape: Shape
    first: str  # the provider of the first candidate
    model: str  # and its model, where the group has several of that provider
    members: int  # of the group
    entries: dict[str, ProviderSettings]
    resources: ExitStack
    play: Play = field(init=False)
    others: Play = well
    settings: Callable[[Settings], Settings] | None = None  # it gets a router of its own, changed by this
    during: Callable[[], AbstractContextManager[object]] | None = None  # around its requests
    proof: Callable[[Router], bool] = lambda router: True  # that what was arranged has happened, too
    tried: int = 0  # requests that the first candidate was sent, counted by its upstream

    def __attrs_post_init__(self) -> None:
        self.play = self.scenario.play

    @property
    def name(self) -> str:
        """What a client asks for."""
        return f"{self.group}--{self.number}"

    def open(self, resource: AbstractContextManager[T]) -> T:
        """Something that lives as long as the run."""
        return self.resources.enter_context(resource)

    def change(self, **changes: Any) -> None:
        """Change the entry of the first candidate's provider."""
        self.entries[self.first] = evolve(self.entries[self.first], **changes)

    def replace(self, plugin: str) -> None:
        """Let another plugin play the first candidate's provider."""
        self.entries[self.first] = bare(self.entries[self.first], plugin)

    def add_account(self) -> None:
        """One more key for the first candidate's provider."""
        one = self.entries[self.first].accounts[0]
        more = evolve(one, id=f"{one.id}-more", api_key=Secret("chaos-more"), quota_group="")
        self.change(accounts=(*self.entries[self.first].accounts, more))
