"""No run touches anybody: what a configuration becomes before it is played."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import attrs
import pytest

from llmrouter.chaos.pointing import Pace, bare, pointed, settings_of
from llmrouter.errors import TransportError
from llmrouter.http import URL
from llmrouter.http.loopback import open_loopback
from llmrouter.settings import (
    BreakerSettings,
    EngineSettings,
    GroupSettings,
    HedgeSettings,
    Secret,
    TimeoutSettings,
)
from tests.chaos.setups import loaded, tiers

SECRET = "sk-very-real"


def test_no_secret_and_no_address_is_left(tmp_path: Path) -> None:
    document = {
        "providers": {
            "x": {
                "plugin": "openai",
                "accounts": [{"id": "one", "api_key": SECRET, "limits": [{"requests": 1, "per": "day"}]}],
                "limits": [{"requests": 1, "per": "day"}],
                "timeout": "60s",
                "headers": {"x-token": SECRET},
            }
        },
        "server": {"admin_key": SECRET, "keys": [{"name": "dev", "hash": f"sha256:{'0' * 64}"}]},
        "cache": {"plugin": "memory"},
        "quota": {"plugin": "memory", "fail": "closed"},
    }
    base = loaded(tmp_path, json.dumps(document)).settings
    entry = pointed(base.providers["x"], "x--1", "http://127.0.0.1:1/1", Pace(10.0))
    made = settings_of(base, {"x--1": entry}, {}, Pace(10.0))
    revealed = [
        value.reveal()
        for one in entry.accounts
        for value in attrs.asdict(one).values()
        if isinstance(value, Secret)
    ]
    assert revealed == ["chaos-0"]
    assert SECRET not in str(attrs.asdict(entry))
    stand_in = pointed(bare(base.providers["x"], "chaos"), "x--2", "http://127.0.0.1:1/2", Pace(10.0))
    assert [one.api_key and one.api_key.reveal() for one in stand_in.accounts] == ["chaos-0"]
    assert (entry.base_url, entry.timeout, entry.limits, entry.accounts[0].limits) == (
        "http://127.0.0.1:1/1", 6.0, (), (),
    )  # fmt: skip
    assert (made.server.keys, made.server.admin_key, made.cache, made.metrics) == ((), None, None, ())
    assert (made.quota.fail, made.catalogue.refresh) == ("closed", None)


def test_the_ratios_of_time_outs_stay(tmp_path: Path) -> None:
    base = loaded(tmp_path, tiers({"profile": "resilient"})).settings
    pace = Pace.of(base, base.groups.values(), 1)
    times, scaled = base.engine.timeouts, pace.engine(base.engine).timeouts
    for name in ("headers", "ttft_hard", "idle"):
        assert getattr(times, name) / getattr(scaled, name) == pytest.approx(pace.factor)
    assert min(scaled.headers, scaled.idle) >= 0.5
    assert scaled.ttft_soft == pytest.approx(10 / pace.factor)  # what is hedged keeps its place, too


def test_a_crowd_gets_more_time(tmp_path: Path) -> None:
    base = loaded(tmp_path, tiers()).settings
    assert Pace.of(base, base.groups.values(), 20).factor < Pace.of(base, base.groups.values(), 1).factor


def test_short_time_outs_are_not_stretched(tmp_path: Path) -> None:
    base = loaded(tmp_path, tiers({"timeouts": {"idle": "100ms"}, "deadline": "2s"})).settings
    pace = Pace.of(base, base.groups.values(), 1)
    assert pace == Pace(1.0)
    assert pace.engine(base.engine).deadline == 2.0


def test_everything_that_is_a_time_is_scaled() -> None:
    engine = Pace(10.0).engine(EngineSettings(hedge=HedgeSettings(at=2.0), timeouts=TimeoutSettings(ttft_soft=5.0)))
    assert (engine.hedge.at, engine.timeouts.ttft_soft) == (0.2, 0.5)
    assert (engine.deadline, engine.wait_max, engine.queue.max_wait, engine.stream.keep_alive) == (60, 0.3, 0.5, 1)
    breaker = Pace(10.0).breaker(BreakerSettings())
    assert breaker
    assert (breaker.window, breaker.open_for, breaker.max_open, breaker.ramp) == (6.0, 1.5, 30.0, 3.0)
    assert Pace(10.0).breaker(None) is None


@pytest.mark.parametrize("address", ["http://192.0.2.1/v1", "http://[2001:db8::1]/v1", "http://api.example.com/v1"])
def test_no_other_machine_can_be_reached(address: str) -> None:
    async def main() -> None:
        async with open_loopback(1.0) as transport:
            await transport.door(URL(address)).ask(b"GET / HTTP/1.1\r\n", b"")

    with pytest.raises(TransportError, match=r"another machine|not known") as caught:
        asyncio.run(main())
    assert (caught.value.kind, caught.value.sent) == ("connect", False)


def test_groups_keep_what_they_set_themselves(tmp_path: Path) -> None:
    document = json.loads(tiers())
    document["groups"]["own"] = {"members": ["a/m"], "engine": {"profile": "resilient"}}
    base = loaded(tmp_path, json.dumps(document)).settings
    group: GroupSettings = base.groups["own"]
    assert group.engine
    assert Pace.of(base, [group], 1).factor == pytest.approx(15 / 0.55)
