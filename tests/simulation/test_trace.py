"""Traces as they are written: what may stand in one, and what is said of one that cannot be played."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from llmrouter.config.schema import schema_file
from llmrouter.config.structure import seconds
from llmrouter.errors import ConfigError
from llmrouter.simulation import bundled, read_trace, trace
from tests.simulation.plays import OUTAGES, play

CLASSES: Mapping[str, type] = {
    "": trace.Trace,
    "arrivals": trace.Arrivals,
    "burst": trace.Burst,
    "request": trace.RequestKind,
    "upstream": trace.Upstream,
    "spread": trace.Spread,
    "limit": trace.Limit,
    "failure": trace.Mishap,
    "outage": trace.Outage,
    "shared_outages": trace.Shared,
}
GOOD = """
duration: 1h
arrivals: {every: 10s}
requests: [{}]
upstreams: {"*": {}}
"""


def objects() -> Iterator[tuple[str, Mapping[str, Any], type]]:
    schema = schema_file("trace.schema.json")
    for name, cls in CLASSES.items():
        yield name, schema["$defs"][name] if name else schema, cls


@pytest.mark.parametrize(("name", "schema", "cls"), [*objects()], ids=[name for name, _, _ in objects()])
def test_the_schema_has_the_fields_and_their_defaults(name: str, schema: Mapping[str, Any], cls: type) -> None:
    fields = {one.name: one for one in attrs.fields(cls) if one.name != "document"}
    assert {*schema["properties"]} == {*fields}
    for key, said in schema["properties"].items():
        if "default" in said:
            assert fields[key].default == plain(said["default"]), key


def plain(default: Any) -> Any:
    """A default of the schema as settings hold it."""
    if default == "400ms":
        return trace.Spread(p50=0.4, p95=0.4)
    if isinstance(default, str) and default[0].isdecimal():
        return seconds(default)
    return tuple(default) if isinstance(default, list) else default


def test_every_key_says_what_it_means() -> None:
    schema = schema_file("trace.schema.json")
    for _, one, _ in objects():
        for key, said in one["properties"].items():
            named = schema["$defs"].get(said.get("$ref", "").removeprefix("#/$defs/"), {})
            assert said.get("description") or named.get("description"), key


def test_the_traces_of_the_project_can_be_read() -> None:
    week, outages = read_trace(bundled()), read_trace(OUTAGES)
    assert week.duration == outages.duration == 7 * 86_400
    assert week.upstreams["*"].first_output == trace.Spread(p50=0.5, p95=2.0)
    assert outages.upstreams["*"].outages == (trace.Outage(up=49 * 60.0, down=60.0),)
    assert outages.shared_outages == trace.Shared(share=0.2, hits=2)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("every: 10s", "every: 10", "trace.yaml:3:19 arrivals.every: must be a duration"),
        ("every: 10s", "evry: 10s", 'trace.yaml:3:12 arrivals.evry: unknown key. Did you mean "every"?'),
        ("duration: 1h\n", "", "trace.yaml:2:1 the key “duration” is missing"),
        ("[{}]", "[]", "trace.yaml:4:11 requests: may not be empty"),
        ("[{}]", "[{share: 0}]", "requests[0].share: must be more than 0"),
        ('"*": {}', '"*": {failures: [{share: 0.1, how: 200}]}', "failures[0].how: must be at least 400, not 200"),
        ('"*": {}', '"*": {outages: [{at: 1h}]}', "“at” needs “lasts” beside it"),
        ('"*": {}', '"*": {outages: [{slow: 2}]}', "needs exactly one of at or up"),
        ('"*": {}', '"*": {first_output: 1}', "first_output: must be"),
        ("1h", "1h\nduration: 2h", "duration: is there twice, first in line 2"),
        ("10s}", "10s", "trace.yaml:4:9 is not YAML"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(old: str, new: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.yaml"
    path.write_text(GOOD.replace(old, new, 1), "utf-8")
    with pytest.raises(ConfigError) as caught:
        read_trace(path)
    assert said in str(caught.value)


def test_a_file_that_is_not_there_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.yaml cannot be read"):
        read_trace(tmp_path / "nothing.yaml")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"requests": [{"model": "chatt"}]}, r"trace\.yaml:\d+:\d+ requests\[0\]\.model: .*chatt"),
        ({"requests": [{"dialect": "latin"}]}, r"requests\[0\]\.dialect: latin is no dialect"),
        ({"requests": [{"dialect": "rerank"}]}, r"requests\[0\]\.dialect: rerank is no dialect of clients"),
        ({"upstreams": {"aa": {}}}, r"upstreams\.aa: is no provider of this configuration\. Did you mean \"a\"\?"),
    ],
)
def test_a_trace_for_another_configuration_is_refused(other: Mapping[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        play(tmp_path, other)


def test_a_spread_has_its_percentiles() -> None:
    spread, draw = trace.Spread(p50=0.4, p95=2.0), random.Random(3)
    drawn = sorted(spread.draw(draw) for _ in range(20_000))
    assert drawn[10_000] == pytest.approx(0.4, rel=0.05)
    assert drawn[19_000] == pytest.approx(2.0, rel=0.05)
    assert trace.Spread(p50=0.4, p95=0.4).draw(draw) == 0.4


def test_the_schema_is_valid_by_its_own_standard() -> None:
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(json.loads(json.dumps(schema_file("trace.schema.json"))))
