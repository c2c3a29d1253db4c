"""Recorded bodies and streams with a few seeded faults in them, as no vendor promised never to make."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

STRANGE: Sequence[Any] = (
    None,
    True,
    -1,
    3.5,
    "",
    "unheard_of",
    [],
    {},
    [None],
    {"type": "unheard_of"},
    "\ud83d",
    10**30,
)
"""What may stand where something else was."""
_BLANK = re.compile(rb"\r?\n\r?\n")

Place = tuple[Any, Any]
"""A container and a key or an index of it."""


def mutated_body(body: bytes, draw: random.Random) -> bytes:
    """JSON with one to three faults in it."""
    value = json.loads(body)
    for _ in range(draw.randint(1, 3)):
        value = _wrong(value, draw)
    return json.dumps(value).encode()


def mutated_stream(stream: bytes, draw: random.Random) -> bytes:
    """A stream of events of which one to three are wrong, missing, doubled, out of order or of an unknown kind."""
    events = [one for one in _BLANK.split(stream) if one.strip()]
    for _ in range(draw.randint(1, 3)):
        if events:
            draw.choice(_STREAM_FAULTS)(events, draw)
    return b"".join(one + b"\n\n" for one in events)


def _wrong(value: Any, draw: random.Random) -> Any:
    value = copy.deepcopy(value)
    places = list(_places(value))
    if not places:
        return draw.choice(STRANGE)
    draw.choice(_FAULTS)(*draw.choice(places), draw)
    return value


def _places(value: Any) -> Iterator[Place]:
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


# --- faults of a value


def _drop(holder: Any, key: Any, draw: random.Random) -> None:
    del holder[key]


def _replace(holder: Any, key: Any, draw: random.Random) -> None:
    holder[key] = draw.choice(STRANGE)


def _retype(holder: Any, key: Any, draw: random.Random) -> None:
    value = holder[key]
    holder[key] = [value] if draw.random() < 0.5 else {"value": value}


def _add(holder: Any, key: Any, draw: random.Random) -> None:
    if isinstance(holder, dict):
        holder["unheard_of"] = draw.choice(STRANGE)
    else:
        holder.insert(key, draw.choice(STRANGE))


def _reorder(holder: Any, key: Any, draw: random.Random) -> None:
    if isinstance(holder, list):
        draw.shuffle(holder)


_FAULTS: Sequence[Callable[[Any, Any, random.Random], None]] = (_drop, _replace, _replace, _retype, _add, _reorder)

# --- faults of a stream


def _event_wrong(events: list[bytes], draw: random.Random) -> None:
    at = draw.randrange(len(events))
    head, mark, data = events[at].rpartition(b"data:")
    try:
        value = json.loads(data)
    except ValueError:
        return
    events[at] = head + mark + b" " + json.dumps(_wrong(value, draw)).encode()


def _event_gone(events: list[bytes], draw: random.Random) -> None:
    del events[draw.randrange(len(events))]


def _event_twice(events: list[bytes], draw: random.Random) -> None:
    at = draw.randrange(len(events))
    events.insert(at, events[at])


def _events_swapped(events: list[bytes], draw: random.Random) -> None:
    one, other = draw.randrange(len(events)), draw.randrange(len(events))
    events[one], events[other] = events[other], events[one]


def _event_unknown(events: list[bytes], draw: random.Random) -> None:
    said = json.dumps({"type": "unheard_of", "value": draw.choice(STRANGE)}).encode()
    events.insert(draw.randrange(len(events)), b"event: unheard_of\ndata: " + said)


def _event_cut(events: list[bytes], draw: random.Random) -> None:
    at = draw.randrange(len(events))
    events[at] = events[at][: draw.randrange(len(events[at]) + 1)]


_STREAM_FAULTS: Sequence[Callable[[list[bytes], random.Random], None]] = (
    _event_wrong, _event_wrong, _event_wrong, _event_gone, _event_twice, _events_swapped, _event_unknown,
    _event_cut,
)  # fmt: skip
