"""What a configuration says, after it was checked: frozen, and the same for all who read it.

The YAML keys, their defaults and their meaning are in `schemas/config.schema.json`; the defaults here are
the same ones, and a test compares them. Durations are seconds, prices USD per million tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from attrs import field, frozen

from .types import Kind, Price, Scope, Unit


class Secret:
    """A credential. Shown nowhere: not in `repr`, logs, errors or `config show`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)


@frozen(kw_only=True)
class LimitSettings:
    """`{requests: 10, per: minute}`: one unit, one window. `window` is as in `types.Bucket`."""

    unit: Unit
    amount: float
    window: str
    scope: Literal["account_model", "account", "provider"] | None = None


@frozen(kw_only=True)
class AccountSettings:
    id: str
    api_key: Secret | None = None
    quota_group: str = ""  # "" is a group of its own
    weight: float = 1.0
    limits: tuple[LimitSettings, ...] = ()
    enabled: bool = True


@frozen(kw_only=True)
class ModelSettings:
    """What the configuration says of a model; None leaves what the provider plugin knows."""

    price: Price | None = None
    context_window: int | None = None
    max_output: int | None = None
    abilities: frozenset[str] | None = None
    quality: float | None = None


@frozen(kw_only=True)
class Terms:
    """What the provider's terms say of several accounts of one customer."""

    multi_account: Literal["allowed", "unclear", "forbidden"] = "unclear"


Select = Literal["round_robin", "least_used", "random", "weighted", "most_headroom"]


@frozen(kw_only=True)
class ProviderSettings:
    """What every entry of `providers` may say; a plugin's own class extends it."""

    name: str
    plugin: str
    enabled: bool = True
    base_url: str | None = None
    accounts: tuple[AccountSettings, ...] = ()  # `api_key: x` alone is one account named as the provider
    select: Select = "most_headroom"
    models: Mapping[str, ModelSettings] = field(factory=dict)
    limits: tuple[LimitSettings, ...] = ()
    terms: Terms = Terms()
    timeout: float | None = None  # seconds to the headers
    probe: float | None = 300.0  # seconds between two looks at what is left; None never asks


@frozen(kw_only=True)
class PluginSettings:
    """Any other plugin that the configuration names: `config` is an instance of the plugin's own class."""

    plugin: str
    config: Any


@frozen
class Member:
    """A member of a tier: "provider/model", and its share of the tier's traffic."""

    to: str
    weight: float = 1.0


@frozen(kw_only=True)
class GroupSettings:
    """Tiers of peers: the first tier is tried first, the next is a fallback."""

    tiers: tuple[tuple[Member, ...], ...]
    policy: PluginSettings | None = None
    engine: EngineSettings | None = None


@frozen(kw_only=True)
class TaskSettings:
    prefer: tuple[str, ...] = ()  # names of providers
    fallback: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


@frozen(kw_only=True)
class StickySettings:
    session: bool = True


@frozen(kw_only=True)
class RoutingSettings:
    default: str | None = None  # a group, an alias or a provider/model
    policy: PluginSettings | None = None  # None: the order of the configuration
    tasks: Mapping[str, TaskSettings] = field(factory=dict)
    sticky: StickySettings = StickySettings()


@frozen(kw_only=True)
class TimeoutSettings:
    connect: float = 5.0
    headers: float = 30.0
    ttft_soft: float | None = None  # None follows what the endpoint usually takes
    ttft_hard: float = 30.0
    idle: float = 30.0
    min_rate: float | None = None  # characters per second, before anything was written; None asks for none


@frozen(kw_only=True)
class RetryBudgetSettings:
    """Repeats allowed: a share of the requests of the last `ttl` seconds, and a floor."""

    ratio: float = 0.2
    per_second: float = 1.0
    burst: float = 10.0
    ttl: float = 10.0


HedgeAt = float | Literal["off", "soft_ttft"]
"""Seconds, or a word."""


@frozen(kw_only=True)
class HedgeSettings:
    """When a second upstream is asked while the first is silent, and how often that may be."""

    at: HedgeAt = "off"
    budget: float = 0.05  # share of the requests, and of what they cost
    burst: float = 3.0  # that are always affordable, so that the first requests can hedge, too


OnBreak = Literal["error", "verify", "buffer"]


@frozen(kw_only=True)
class StreamSettings:
    on_break: OnBreak = "error"
    on_malformed: Literal["error", "skip"] = "error"
    hold_tool_calls: bool = False
    keep_alive: float = 10.0  # seconds of silence after which a client gets a comment


@frozen(kw_only=True)
class QueueSettings:
    """Requests that wait for a limit to pass, of one group."""

    depth: int = 64
    max_wait: float = 5.0


@frozen(kw_only=True)
class MatchSettings:
    """What an operator's rule looks at; what is not given matches everything."""

    provider: str | None = None
    status: tuple[int, ...] = ()
    code: tuple[str, ...] = ()
    body: str | None = None  # a regular expression, searched in what the upstream said


@frozen(kw_only=True)
class RuleSettings:
    """An operator's word on a failure, ahead of what the provider plugin makes of it."""

    match: MatchSettings
    kind: Kind  # `class` in the configuration
    scope: Scope | None = None  # None: that of the class
    then: Literal["next", "larger_window", "stop"] | None = None  # None: that of the class
    hold: float | None = None  # seconds; None: that of the class, 0 holds nothing


Profile = Literal["default", "resilient", "agents", "batch"]


@frozen(kw_only=True)
class EngineSettings:
    profile: Profile = "default"
    fallback: bool = True
    deadline: float = 600.0
    wait_max: float = 3.0
    attempts: int = 6
    timeouts: TimeoutSettings = TimeoutSettings()
    retry_budget: RetryBudgetSettings = RetryBudgetSettings()
    hedge: HedgeSettings = HedgeSettings()
    stream: StreamSettings = StreamSettings()
    queue: QueueSettings = QueueSettings()
    coalesce: bool = True  # identical requests under way share one call
    check_answers: bool = True  # empty turns, loops, broken JSON are failures
    on_content_filter: Literal["stop", "failover"] = "stop"
    rules: tuple[RuleSettings, ...] = ()
    max_answer: int = 64 * 1024 * 1024  # bytes of one plain answer, or of one event


@frozen(kw_only=True)
class BreakerSettings:
    consecutive: int = 5
    failure_ratio: float = 0.5
    min_requests: int = 10
    window: float = 60.0
    open_for: float = 15.0
    max_open: float = 300.0
    ramp: float = 30.0


@frozen(kw_only=True)
class QuotaSettings:
    plugin: str = "memory"
    config: Any = None
    fail: Literal["open", "closed"] = "open"


@frozen(kw_only=True)
class CacheSettings:
    plugin: str = "memory"
    config: Any = None
    ttl: float = 3600.0
    shared: bool = False  # between client keys


@frozen(kw_only=True)
class ClientKeySettings:
    """A client's key, known by its hash only ("sha256:" and 64 hex digits)."""

    name: str
    hash: str
    limits: tuple[LimitSettings, ...] = ()


@frozen(kw_only=True)
class ServerSettings:
    host: str = "127.0.0.1"
    port: int = 4000
    workers: int = 1
    keys: tuple[ClientKeySettings, ...] = ()  # none: everybody on `host` is the client "anonymous"
    admin_key: Secret | None = None
    max_body: int = 32 * 1024 * 1024  # bytes
    max_concurrency: int = 10_000  # requests under way in one process
    drain: float = 30.0  # seconds that running answers get at shutdown


@frozen(kw_only=True)
class LoggingSettings:
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"


@frozen(kw_only=True)
class CatalogueSettings:
    refresh: float | None = 21_600.0  # seconds between two looks at the providers' lists; None never asks


@frozen(kw_only=True)
class LoadSettings:
    """Which installed plugins may be loaded; None allows all."""

    allow: tuple[str, ...] | None = None
    disable: tuple[str, ...] = ()


@frozen(kw_only=True)
class Settings:
    """One whole configuration. `revision` is a short hash of what it was made from."""

    revision: str = ""
    source: str = ""  # the file, or "environment", or "demo"
    providers: Mapping[str, ProviderSettings] = field(factory=dict)
    groups: Mapping[str, GroupSettings] = field(factory=dict)
    aliases: Mapping[str, str] = field(factory=dict)
    routing: RoutingSettings = RoutingSettings()
    engine: EngineSettings = EngineSettings()
    breaker: BreakerSettings | None = BreakerSettings()
    quota: QuotaSettings = QuotaSettings()
    cache: CacheSettings | None = None
    metrics: Sequence[PluginSettings] = ()
    server: ServerSettings = ServerSettings()
    logging: LoggingSettings = LoggingSettings()
    catalogue: CatalogueSettings = CatalogueSettings()
    plugins: LoadSettings = LoadSettings()
