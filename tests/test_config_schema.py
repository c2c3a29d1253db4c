from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import jsonschema
import pytest

from llmrouter import settings
from llmrouter.config import compose, compose_installed, core_schema, load
from llmrouter.config.structure import Structure
from llmrouter.errors import PluginError
from llmrouter.plugins import Plugins
from llmrouter.types import Price
from tests.configs import AcmePlugin, keys, some_plugins

ROOT = Path(__file__).parents[1]
CLASSES: Mapping[str, type] = {
    "account": settings.AccountSettings,
    "price": Price,
    "model": settings.ModelSettings,
    "terms": settings.Terms,
    "provider": settings.ProviderSettings,
    "quota": settings.QuotaSettings,
    "cache": settings.CacheSettings,
    "member": settings.Member,
    "task": settings.TaskSettings,
    "routing": settings.RoutingSettings,
    "engine": settings.EngineSettings,
    "breaker": settings.BreakerSettings,
    "client_key": settings.ClientKeySettings,
    "server": settings.ServerSettings,
    "logging": settings.LoggingSettings,
    "catalogue": settings.CatalogueSettings,
    "plugins": settings.LoadSettings,
}
INSIDE = {
    ("engine", "timeouts"): settings.TimeoutSettings,
    ("engine", "retry_budget"): settings.RetryBudgetSettings,
    ("engine", "hedge"): settings.HedgeSettings,
    ("engine", "stream"): settings.StreamSettings,
    ("engine", "queue"): settings.QueueSettings,
    ("routing", "sticky"): settings.StickySettings,
}
NOT_KEYS = {"config", "name", "revision", "source"}
NO_DEFAULT = {("provider", "accounts"), ("", "providers")}  # written out, or required
SHORT = {("provider", "api_key")}


def objects() -> Iterator[tuple[str, Mapping[str, Any], type]]:
    definitions = core_schema()["$defs"]
    for name, cls in CLASSES.items():
        yield name, definitions[name]["properties"], cls
    for (name, key), cls in INSIDE.items():
        yield f"{name}.{key}", definitions[name]["properties"][key]["properties"], cls
    yield "", core_schema()["properties"], settings.Settings


@pytest.mark.parametrize(("name", "properties", "cls"), list(objects()))
def test_the_schema_has_the_keys_of_the_settings_and_no_others(
    name: str, properties: Mapping[str, Any], cls: type
) -> None:
    own = {one.name for one in attrs.fields(cls)}
    known = {key for key in properties if (name, key) not in SHORT}
    assert known == own - (NOT_KEYS if name != "client_key" else set())


@pytest.mark.parametrize(("name", "properties", "cls"), list(objects()))
def test_the_defaults_in_the_schema_are_those_of_the_settings(
    name: str, properties: Mapping[str, Any], cls: type
) -> None:
    converter = Structure({})._converter
    for one in attrs.fields(attrs.resolve_types(cls)):
        says = properties.get(one.name, {})
        required = one.default is attrs.NOTHING or (name, one.name) in NO_DEFAULT
        if one.name in NOT_KEYS or required or one.default is None:
            assert says.get("default") is None, one.name
            continue
        default = one.default.factory() if isinstance(one.default, attrs.Factory) else one.default  # type: ignore[arg-type]
        assert "default" in says, f"{name}.{one.name}"
        assert converter.structure(says["default"], one.type) == default, f"{name}.{one.name}"


def described(schema: Any, path: str = "") -> Iterator[tuple[str, bool]]:
    if isinstance(schema, list):
        for one in schema:
            yield from described(one, path)
    if isinstance(schema, Mapping):
        for key, one in schema.get("properties", {}).items():
            target = core_schema()["$defs"].get(str(one.get("$ref", "")).removeprefix("#/$defs/"), {})
            yield f"{path}.{key}", bool(one.get("description") or target.get("description"))
        for key, one in schema.items():
            if key not in ("if", "dependentSchemas"):
                yield from described(one, f"{path}.{key}")


def test_every_key_has_a_description() -> None:
    assert [path for path, good in described(core_schema()) if not good] == []


def test_the_schemas_are_valid_by_their_own_standard() -> None:
    jsonschema.Draft202012Validator.check_schema(core_schema())
    composed, broken = compose_installed(some_plugins())
    assert broken == []
    jsonschema.Draft202012Validator.check_schema(composed)


def test_each_plugin_has_a_closed_schema_chosen_by_its_name() -> None:
    composed, _ = compose_installed(some_plugins())
    entry = composed["$defs"]["provider-acme"]
    assert entry["additionalProperties"] is False
    assert entry["properties"]["timeout"] == {"$ref": "#/$defs/provider/properties/timeout"}
    assert entry["properties"]["token"]["writeOnly"] is True
    assert entry["properties"]["patience"]["$ref"] == "#/$defs/provider-acme.span"
    assert composed["$defs"]["provider-acme.span"] == {"$ref": "#/$defs/duration"}
    assert composed["$defs"]["provider_entry"]["allOf"][0]["then"] == {"$ref": "#/$defs/provider-acme"}


def test_the_schema_of_a_wheel_lies_inside_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from llmrouter.config import schema

    monkeypatch.setattr(schema, "__file__", str(tmp_path / "llmrouter" / "config" / "schema.py"))
    with pytest.raises(PluginError, match="install llmrouter again"):
        core_schema()
    (tmp_path / "llmrouter" / "schemas").mkdir(parents=True)
    (tmp_path / "llmrouter" / "schemas" / "config.schema.json").write_text('{"title": "of the wheel"}')
    assert core_schema() == {"title": "of the wheel"}


def test_composing_leaves_the_core_schema_as_it_was() -> None:
    core = core_schema()
    before = json.dumps(core)
    compose(core, [("provider", AcmePlugin().type_)])
    assert json.dumps(core) == before


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "array"}, "must be an object schema"),
        ({"type": "object", "properties": 5}, "the schema of plugin provider-acme is not valid"),
        (keys(a={"$ref": "#/$defs/nothing"}), "refers to #/$defs/nothing, which is not there"),
        (keys(a={"$ref": "https://example.org/x"}), "which is not there"),
    ],
)
def test_a_bad_fragment_is_the_plugins_fault(tmp_path: Path, schema: Mapping[str, Any], problem: str) -> None:
    with pytest.raises(PluginError, match="provider-acme") as caught:
        compose(core_schema(), [("provider", AcmePlugin(schema=schema).type_)])
    assert problem in str(caught.value)
    plugins = Plugins()
    plugins.register(AcmePlugin(schema=schema), "provider-acme")
    composed, broken = compose_installed(plugins)
    assert problem in broken[0]
    assert "provider-acme" not in composed["$defs"]


def test_what_a_fragment_requires_is_required(tmp_path: Path) -> None:
    schema = keys(region={"type": "string", "description": "Where."}) | {"required": ["region"]}
    composed = compose(core_schema(), [("provider", AcmePlugin(schema=schema).type_)])
    assert composed["$defs"]["provider-acme"]["required"] == ["plugin", "region"]


def test_the_example_passes() -> None:
    loaded = load(ROOT / "docs/reference/llmrouter.example.yaml", {}, plugins=Plugins(), require_variables=False)
    assert loaded.settings.routing.default == "fast"
    assert len(loaded.settings.providers) == 7
    assert loaded.settings.providers["google"].limits[1].window == "day America/Los_Angeles"


def in_repo_plugins() -> Plugins:
    """The plugins of this checkout, and the core's own. Skips where one is not installed."""
    names = set()
    for path in ROOT.glob("plugins/*/pyproject.toml"):
        names |= set(tomllib.loads(path.read_text())["project"]["entry-points"]["llmrouter"])
    plugins = Plugins.discover(allow=sorted(names), environ={})
    if missing := names - {one.name for one in plugins.installed()}:
        pytest.skip(f"not installed: {', '.join(sorted(missing))}")
    from llmrouter import builtin

    plugins.register(builtin, builtin.NAME)
    return plugins


def test_the_composed_schema_is_fresh() -> None:
    composed, broken = compose_installed(in_repo_plugins())
    assert broken == []
    written = (ROOT / "schemas" / "llmrouter.schema.json").read_text("utf-8")
    assert json.loads(written) == composed, "run: llmrouter config schema > schemas/llmrouter.schema.json"
