"""What a wheel holds, and that all of them can be installed."""

from __future__ import annotations

import json
import re
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from configparser import ConfigParser
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.install.building import ROOT, UV, Built, Environment, must

pytestmark = pytest.mark.install

PLUGINS = sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))
PACKAGES = ["llmrouter", *(f"llmrouter-{name}" for name in PLUGINS)]


def source_of(distribution: str) -> Path:
    """The folder that becomes the import package."""
    if distribution == "llmrouter":
        return ROOT / "core" / "llmrouter"
    folder = ROOT / "plugins" / distribution.removeprefix("llmrouter-")
    return folder / "src" / distribution.replace("-", "_")


def files_of(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.is_file() and not {"__pycache__", ".mypy_cache"} & {*path.parts}:
            yield f"{folder.name}/{path.relative_to(folder).as_posix()}"


@pytest.mark.parametrize("distribution", PACKAGES)
def test_a_wheel_holds_its_package_whole_and_nothing_else(released: Built, distribution: str) -> None:
    names = set(ZipFile(released.wheel(distribution)).namelist())
    inside = {name for name in names if ".dist-info/" not in name}
    schemas = {f"llmrouter/schemas/{path.name}" for path in ROOT.glob("schemas/*.json")}
    expected = {*files_of(source_of(distribution)), *(schemas if distribution == "llmrouter" else ())}
    assert inside == expected
    assert f"{distribution.replace('-', '_')}/py.typed" in inside
    assert not [name for name in inside if re.search(r"(^|/)tests?(/|_)", name)]


@pytest.mark.parametrize("distribution", PACKAGES)
def test_a_wheel_says_its_licence_its_readme_and_its_entry_points(released: Built, distribution: str) -> None:
    wheel = ZipFile(released.wheel(distribution))
    [place] = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    metadata = Parser().parsestr(wheel.read(f"{place}/METADATA").decode())
    assert metadata["License-Expression"] == "Unlicense"
    assert "# llmrouter" in str(metadata.get_payload())
    entries = ConfigParser()
    entries.read_string(wheel.read(f"{place}/entry_points.txt").decode())
    if distribution == "llmrouter":
        assert entries["console_scripts"]["llmrouter"] == "llmrouter.cli:main"
        return
    name = distribution.removeprefix("llmrouter-")
    assert dict(entries["llmrouter"]) == {name: distribution.replace("-", "_")}
    assert any(line.startswith("llmrouter") for line in metadata.get_all("Requires-Dist", []))


@pytest.mark.parametrize("distribution", PACKAGES)
def test_a_plugin_brings_its_schema_as_data(released: Built, distribution: str) -> None:
    wheel, package = ZipFile(released.wheel(distribution)), distribution.replace("-", "_")
    name = "schemas/config.schema.json" if distribution == "llmrouter" else "schema.json"
    assert json.loads(wheel.read(f"{package}/{name}"))["type"] == "object"


def test_a_source_distribution_holds_what_its_wheel_needs_and_no_other_package(released: Built) -> None:
    with tarfile.open(released.sdist("llmrouter")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "pyproject.toml", "schemas/config.schema.json"} <= names
    assert not [name for name in names if name.startswith(("plugins/", "tests/", "benchmarks/", "docs/"))]


def test_a_wheel_from_the_checkout_is_the_wheel_from_the_source_distribution(
    released: Built, tmp_path: Path
) -> None:
    must(*UV, "build", "--quiet", "--wheel", "--python", sys.executable, "-o", tmp_path, cwd=ROOT)
    ours, theirs = (ZipFile(one.wheel("llmrouter")).namelist() for one in (Built(tmp_path), released))
    assert set(ours) == set(theirs)


def test_all_plugins_are_listed_and_sound(complete: Environment) -> None:
    listed = complete.llmrouter("plugins", "list", "--json")
    assert listed.code == 0, listed.errors
    rows = json.loads(listed.output)["plugins"]
    version = {name: _version(name) for name in PLUGINS}
    assert {row["name"]: (row["distribution"], row["version"]) for row in rows} == {
        name: (f"llmrouter-{name}", version[name]) for name in PLUGINS
    }
    must(*UV, "pip", "check", "--quiet", "--python", complete.folder)
    doctor = complete.llmrouter("plugins", "doctor", "--json")
    assert doctor.code == 0, doctor.output
    assert not [row for row in json.loads(doctor.output)["plugins"] if row["problem"]]


def test_a_wheel_knows_the_schema_that_lies_beside_it(complete: Environment) -> None:
    said = complete.llmrouter("config", "schema")
    assert said.code == 0, said.errors
    assert json.loads(said.output) == json.loads((ROOT / "schemas" / "llmrouter.schema.json").read_text())


def test_the_demonstration_runs_from_wheels(complete: Environment) -> None:
    with complete.serving() as router:
        assert router.chat("cheap/echo-small").text == "it."


def _version(name: str) -> str:
    version: str = tomllib.loads((ROOT / "plugins" / name / "pyproject.toml").read_text())["project"]["version"]
    return version
