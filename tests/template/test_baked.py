"""What comes out of the template is a whole package: it passes its tests and its checks, whatever it is called."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from llmrouter.testing.upstream import Upstream
from llmrouter.testing.upstream_scripts import JSON, answer
from tests.install.building import ROOT

from .baking import KINDS, answered, bake, baked, checked, passed, tried

kinds = pytest.mark.parametrize("kind", KINDS)
LONGEST = "abcdefghijk-lmnopqrstuvw"
KEY = "a-real-key-0123456789"


@kinds
def test_a_package_is_small_and_holds_the_files_of_its_kind(packages: Mapping[str, Path], kind: str) -> None:
    paths = [path.relative_to(packages[kind]) for path in packages[kind].rglob("*.*") if path.is_file()]
    files = {path.as_posix() for path in paths if not re.search(r"(^|/)[._]\w+/|\.pyc$", path.as_posix())}
    own = {"profile": {"profile.yaml"}, "dialect": {"config.py", "dialect.py", "provider.py"}}[kind]
    assert files == {
        "pyproject.toml",
        "README.md",
        "tests/test_acme.py",
        "tests/cassettes/chat.yaml",
        *(f"src/llmrouter_provider_acme/{name}" for name in {"__init__.py", *own}),
    }
    assert len(files) <= 8


@kinds
def test_its_tests_pass_and_most_of_them_are_inherited(packages: Mapping[str, Path], kind: str) -> None:
    tree = ast.parse((packages[kind] / "tests" / "test_acme.py").read_text("utf-8"))
    [contract] = [one for one in tree.body if isinstance(one, ast.ClassDef) and one.name == "TestAcme"]
    own = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef) and one.name.startswith("test_")]
    assert (contract.end_lineno or 0) - contract.lineno < 30
    assert passed(tried(packages[kind], "-q")) >= len(own) + 15


def test_its_types_are_strictly_right(packages: Mapping[str, Path], tmp_path: Path) -> None:
    for kind in KINDS:
        checked(packages[kind], "mypy", "--cache-dir", str(tmp_path))


@kinds
@pytest.mark.parametrize("name", ["x", LONGEST])
def test_it_is_well_formed_whatever_its_name(tmp_path: Path, kind: str, name: str) -> None:
    package = baked(tmp_path, kind=kind, name=name)
    checked(package, "ruff", "format", "--check", "--no-cache")
    checked(package, "ruff", "check", "--no-cache")


def test_it_records_its_vendor_without_the_key(tmp_path: Path) -> None:
    said = {"id": "7", "model": "m", "text": "Good day", "stop": "end", "usage": {"input": 9, "output": 16}}
    with Upstream(answer(200, JSON, said)) as upstream:
        package = baked(tmp_path, kind="dialect", base_url=f"{upstream.base_url}/v1/")
        record = {"LLMROUTER_RECORD": "1", "ACME_API_KEY": KEY}
        assert passed(tried(package, "-k", "answered_once", environ=record)) == 1
        [asked] = upstream.requests
    cassette = (package / "tests" / "cassettes" / "chat.yaml").read_text("utf-8")
    assert KEY in str(asked.headers)
    assert KEY not in cassette
    assert "Good day" in cassette
    assert passed(tried(package, "-k", "answered_once")) == 1, "it replays"


def test_the_command_asks_for_everything(tmp_path: Path) -> None:
    recipe = (ROOT / "Makefile").read_text("utf-8").partition("\nnew-provider:")[2].split("\n\n")[0]
    assert ".venv/bin/cookiecutter cookiecutter-provider -o .. $(ARGS)" in recipe
    done = answered(tmp_path, "talk", "2", "https://talk.example/api", "", "chatty")
    assert done.returncode == 0, done.stdout + done.stderr
    config = tmp_path / "llmrouter-provider-talk" / "src" / "llmrouter_provider_talk" / "config.py"
    assert 'BASE_URL = "https://talk.example/api"\nVARIABLE = "TALK_API_KEY"' in config.read_text("utf-8")


@pytest.mark.parametrize(
    "answers",
    [
        {"name": "Acme", "base_url": "api.acme.example", "key_variable": "acme key", "model": 'a"b'},
        {"name": "../acme", "base_url": "https://me:key@acme.example", "key_variable": ""},
        {"name": '"); import os; ("', "base_url": "https://acme.example/v1?key=k"},
        {"name": LONGEST + "x", "base_url": "ftp://acme.example", "model": "two words"},
        {"base_url": "https://acme.example/v1/chat/completions"},
    ],
)
def test_wrong_answers_are_named_and_nothing_is_left(tmp_path: Path, answers: dict[str, str]) -> None:
    done = bake(tmp_path, **answers)
    assert done.returncode != 0
    for name, wrong in answers.items():
        assert f"{name}: {wrong!r} will not do. " in done.stderr
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".cookiecutter")] == []
