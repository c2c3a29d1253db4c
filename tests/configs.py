"""Small plugins and a shorthand for tests of the configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import field, frozen

from llmrouter import CacheType, MetricsSinkType, PolicyType, ProviderType, QuotaStoreType, hookimpl
from llmrouter.config import Loaded, load
from llmrouter.errors import ConfigError
from llmrouter.plugins import Plugins
from llmrouter.settings import ProviderSettings, Secret
from llmrouter.types import ANY_MODEL, Account, Endpoint


def build(config: Any, context: Any) -> Any:
    return config


def keys(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@frozen(kw_only=True)
class Acme(ProviderSettings):
    region: str = "here"
    patience: float = 1.0
    token: Secret | None = None
    opener: Secret | None = None
    extra: Mapping[str, Any] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if self.region == "nowhere":
            raise ValueError("nobody lives in nowhere")


@frozen(kw_only=True)
class Cheapest:
    mode: str = "balanced"
    within: float = 60.0


@frozen(kw_only=True)
class Shelf:
    path: Path = Path("shelf")


@frozen
class Nothing:
    pass


ACME = keys(
    region={"type": "string", "default": "here", "description": "Where."},
    patience={"$ref": "#/$defs/span", "description": "How long."},
    token={"type": "string", "description": "A second credential."},
    opener={"type": "string", "description": "A credential that is not named as one."},
    extra={"type": "object", "description": "Anything.", "additionalProperties": {"type": "string"}},
) | {"$defs": {"span": {"$ref": "#/$defs/duration"}}}

CHEAPEST = keys(
    mode={"enum": ["balanced", "free"], "default": "balanced", "description": "How."},
    within={"$ref": "#/$defs/duration", "description": "How soon."},
)


def any_model(config: ProviderSettings) -> Sequence[Endpoint]:
    """The models of an entry, and whatever else is asked for."""
    return [*listed(config), _endpoint(config, ANY_MODEL)]


def listed(config: ProviderSettings) -> Sequence[Endpoint]:
    """The models of an entry and no others."""
    return [_endpoint(config, model) for model in config.models]


def _endpoint(config: ProviderSettings, model: str) -> Endpoint:
    account = Account(config.name, config.name)
    return Endpoint(provider=config.name, model=model, dialects=("chat",), accounts=(account,))


class AcmePlugin:
    """A provider, with what it proposes when there is no configuration."""

    def __init__(
        self,
        name: str = "acme",
        suggest: Callable[[Mapping[str, str]], Mapping[str, Any]] = lambda environ: {},
        demo: Mapping[str, Any] | None = None,
        schema: Mapping[str, Any] = ACME,
        config: type = Acme,
        endpoints: Callable[[Any], Sequence[Endpoint]] = any_model,
    ) -> None:
        self.type_ = ProviderType(
            name=name,
            config=config,
            schema=schema,
            build=build,
            endpoints=endpoints,
            suggest=suggest,
            demo=demo,
        )

    @hookimpl
    def llmrouter_register_providers(self) -> Iterable[ProviderType]:
        return [self.type_]


class Others:
    """One small plugin of every other kind."""

    @hookimpl
    def llmrouter_register_policies(self) -> Iterable[PolicyType]:
        return [PolicyType(name="cheapest", config=Cheapest, schema=CHEAPEST, build=build)]

    @hookimpl
    def llmrouter_register_quota_stores(self) -> Iterable[QuotaStoreType]:
        return [QuotaStoreType(name="memory", config=Nothing, schema=keys(), build=build)]

    @hookimpl
    def llmrouter_register_caches(self) -> Iterable[CacheType]:
        shelf = keys(path={"type": "string", "description": "A folder."})
        return [
            CacheType(name="memory", config=Nothing, schema=keys(), build=build),
            CacheType(name="shelf", config=Shelf, schema=shelf, build=build),
        ]

    @hookimpl
    def llmrouter_register_metrics_sinks(self) -> Iterable[MetricsSinkType]:
        return [MetricsSinkType(name="paper", config=Nothing, schema=keys(), build=build)]


def some_plugins() -> Plugins:
    plugins = Plugins()
    plugins.register(AcmePlugin(), "provider-acme")
    plugins.register(Others(), "others")
    return plugins


def write(folder: Path, text: str, name: str = "llmrouter.yaml") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def loaded(folder: Path, text: str, environ: Mapping[str, str] | None = None, **options: Any) -> Loaded:
    options.setdefault("plugins", some_plugins())
    return load(write(folder, text), environ or {}, **options)


def told(folder: Path, text: str, environ: Mapping[str, str] | None = None, **options: Any) -> list[str]:
    """Every problem of a configuration, warnings too, as `line:column path: message`."""
    try:
        problems = loaded(folder, text, environ, **options).warnings
    except ConfigError as error:
        problems = error.problems
    return [str(one).replace(f"{folder}/llmrouter.yaml:", "").replace(f"{folder}/", "") for one in problems]


MINIMAL = "providers: {acme: {plugin: acme}}\n"
