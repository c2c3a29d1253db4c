"""What a plugin is built with, for tests: nothing in it reaches outside."""

from __future__ import annotations

import asyncio
import logging
import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field

from llmrouter.errors import PluginError
from llmrouter.protocols import Clock, Control, Transport
from llmrouter.types import RequestRecord

START = 1_000_000_000.0
"""Where time begins in tests: seconds since the epoch, and the start of `VirtualLoop`."""


def loop_clock() -> float:
    """The running loop's time, which a test moves by sleeping; `START` where no loop runs."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return START


class NoNetwork:
    """A transport for plugins that need none: using it fails the test."""

    async def handle_async_request(self, request: Any) -> Any:
        raise AssertionError(f"no transport was given, and this was sent: {request!r}")


class IdleControl:
    """A router about which there is nothing to tell."""

    def status(self) -> Mapping[str, Any]:
        return {}

    async def records(self, limit: int) -> Sequence[RequestRecord]:
        return []

    def models(self) -> Mapping[str, Any]:
        return {}


@define(eq=False)
class FakeContext:
    """A `BuildContext` whose parts a test may hand in.

    `random` is seeded and `clock` is the loop's time, so what is built does the same in every run.
    `builders` makes plugins inside plugins: {("policy", "order"): lambda settings: Order()}.
    """

    name: str
    clock: Clock = loop_clock
    random: random.Random = field(factory=lambda: random.Random(0))
    transport: Transport = field(factory=NoNetwork)
    _state_dir: Path | None = field(default=None, alias="state_dir")
    control: Control = field(factory=IdleControl)
    logger: logging.Logger = field(factory=lambda: logging.getLogger("llmrouter.testing"))
    builders: Mapping[tuple[str, str], Callable[[Mapping[str, Any]], Any]] = field(factory=dict)

    @property
    def state_dir(self) -> Path:
        if self._state_dir is None:
            self._state_dir = Path(tempfile.mkdtemp(prefix="llmrouter-test-"))
        return self._state_dir

    def build(self, kind: str, settings: Mapping[str, Any]) -> Any:
        name = settings.get("plugin", "")
        if (kind, name) not in self.builders:
            raise PluginError(f"no {kind} plugin {name!r} was given to this context: see `builders`")
        return self.builders[kind, name](settings)
