"""What the router promises, and whether a measurement keeps it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attrs import frozen

from .measure import Results

Figure = Callable[[Results], float | None]
US = "llmrouter"


@frozen
class Goal:
    """A figure and its bounds: `must` is a promise, `goal` what is strived for. `unit` "×" is a ratio."""

    text: str
    figure: Figure
    must: float
    goal: float
    unit: str = "×"
    at_least: bool = False

    def verdict(self, value: float | None) -> str:
        if value is None:
            return "not measured"
        if not self._keeps(value, self.must):
            return "not met"
        return "met, and the goal" if self._keeps(value, self.goal) else "met"

    def _keeps(self, value: float, bound: float) -> bool:
        return value >= bound if self.at_least else value <= bound


def of(peer: str, scenario: str, figure: str, scale: float = 1.0) -> Figure:
    """A figure of a peer, times `scale`."""

    def value(results: Results) -> float | None:
        found = results.get(peer, scenario, figure)
        return None if found is None else found * scale

    return value


def fact(peer: str, name: str) -> Figure:
    return lambda results: results.fact(peer, name)


def less(one: Figure, other: Figure) -> Figure:
    """What one has over the other; never below a microsecond's thousandth, so that it can be divided by."""

    def value(results: Results) -> float | None:
        first, second = one(results), other(results)
        return None if first is None or second is None else max(first - second, 1e-3)

    return value


def ratio(one: Figure, other: Figure) -> Figure:
    def value(results: Results) -> float | None:
        first, second = one(results), other(results)
        return None if first is None or not second else first / second

    return value


def added(peer: str, scenario: str, figure: str, scale: float = 1.0) -> Figure:
    """What a peer adds to asking the upstream directly."""
    return less(of(peer, scenario, figure, scale), of("direct", scenario, figure, scale))


def failover(peer: str, scenario: str) -> Figure:
    """Milliseconds that a failing first target adds to a request."""
    return less(of(peer, scenario, "latency_us.p50", 1e-3), of(peer, "chat-1", "latency_us.p50", 1e-3))


def against(
    text: str, figure: Callable[[str], Figure], bounds: dict[str, tuple[float, float]], at_least: bool = False
) -> Iterator[Goal]:
    """One goal for each peer: our figure divided by the peer's."""
    for peer, (must, goal) in bounds.items():
        yield Goal(f"{text} / {peer}", ratio(figure(US), figure(peer)), must, goal, at_least=at_least)


GOALS = (
    Goal("CPU per request", of(US, "chat-16", "cpu_us"), 150, 120, "µs"),
    *against(
        "CPU per request",
        lambda peer: of(peer, "chat-16", "cpu_us"),
        {"litellm": (1 / 30, 1 / 70), "portkey": (1 / 4, 1 / 8), "nginx": (12, 6)},
    ),
    *against(
        "throughput",
        lambda peer: of(peer, "chat-16", "rate"),
        {"litellm": (30, 70), "portkey": (4, 8)},
        at_least=True,
    ),
    *against(
        "added p50, 1 connection",
        lambda peer: added(peer, "chat-1", "latency_us.p50"),
        {"litellm": (1 / 20, 1 / 50), "portkey": (1 / 2, 1 / 4)},
    ),
    *against(
        "added time to the first event",
        lambda peer: added(peer, "stream-4", "first_event_us.p50"),
        {"litellm": (1 / 15, 1 / 30), "portkey": (1 / 15, 1 / 30)},
    ),
    *against(
        "CPU per event, 64 streams",
        lambda peer: of(peer, "stream-64", "event_cpu_us"),
        {"litellm": (1 / 15, 1 / 22), "portkey": (1 / 2, 1 / 3.5)},
    ),
    Goal("CPU per event, 64 streams", of(US, "stream-64", "event_cpu_us"), 30, 30, "µs"),
    Goal("gap between events, p99, over direct", added(US, "stream-64", "gap_us.p99", 1e-3), 10, 10, "ms"),
    Goal(
        "cached answer, CPU / nginx proxying",
        ratio(of(US, "cached", "cpu_us"), of("nginx", "chat-16", "cpu_us")),
        3,
        2,
    ),
    *against(
        "109 KB prompt, CPU",
        lambda peer: of(peer, "large", "cpu_us"),
        {"portkey": (1 / 4, 1 / 6), "litellm": (1 / 25, 1 / 50)},
    ),
    *against("memory after load", lambda peer: fact(peer, "loaded_mb"), {"litellm": (1 / 4, 1 / 6)}),
    Goal("cold start to the first good answer", fact(US, "cold_s"), 1.0, 0.4, "s"),
    *against("cold start", lambda peer: fact(peer, "cold_s"), {"litellm": (1 / 8, 1 / 8)}),
    *against("failover added, 503", lambda peer: failover(peer, "failover-503"), {"portkey": (1, 1)}),
    *against("failover added, refused", lambda peer: failover(peer, "failover-refused"), {"portkey": (1, 1)}),
    Goal("failover added, 503", failover(US, "failover-503"), 2.6, 1.0, "ms"),
    Goal("failover added, refused", failover(US, "failover-refused"), 2.6, 1.0, "ms"),
)
