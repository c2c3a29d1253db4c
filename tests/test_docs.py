"""What the documents say is true: names exist, configurations are valid, examples run."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from llmrouter import builtin, cli
from llmrouter.config import core_schema, load
from llmrouter.config.schema import KINDS
from llmrouter.dialects import hints
from llmrouter.server import auth
from llmrouter.simulation import read_trace
from tests import freshness
from tests.harness import serving
from tests.pages import commands, headers
from tests.pages.blocks import ROOT, Block, anchors, blocks, documents, links, prose
from tests.pages.hooks import hooks

README = ROOT / "README.md"
TUTORIAL = ROOT / "docs" / "tutorial" / "first-steps.md"
REFERENCE = ROOT / "docs" / "reference"
DOCUMENTS = documents()
CLIENTS = ROOT / "docs" / "how-to" / "clients"
YAML = [block for path in DOCUMENTS if path.parent != CLIENTS for block in blocks(path, "yaml")]
SHELL = [block for path in DOCUMENTS for block in blocks(path, "sh", "console")]


def text(name: str) -> str:
    return (REFERENCE / name).read_text("utf-8")


# --- generated pages


def test_generated_files_are_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert freshness.main([]) == 0, capsys.readouterr().out


def test_a_stale_file_is_named_and_written_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert freshness.main(["--write"], tmp_path) == 0
    page = tmp_path / "docs" / "reference" / "hooks.md"
    page.write_text(page.read_text("utf-8") + "by hand", "utf-8")
    (tmp_path / "schemas" / "llmrouter.schema.json").unlink()
    assert freshness.main([], tmp_path) == 1
    assert capsys.readouterr().out.splitlines() == [
        "schemas/llmrouter.schema.json is stale: run `make fix`",
        "docs/reference/hooks.md is stale: run `make fix`",
    ]
    assert freshness.main(["--write"], tmp_path) == 0


# --- everything is documented


@pytest.mark.parametrize(("name", "hook"), [*hooks()])
def test_every_hook_is_documented_with_its_arguments(name: str, hook: Any) -> None:
    page = text("hooks.md")
    assert f"## `{name}`" in page
    assert (
        f"def {name}({', '.join(map(str, inspect.signature(hook).parameters.values()))})".replace("'", "") in page
    )
    assert f"`{name}`" in (ROOT / "docs" / "plugins" / "index.md").read_text("utf-8")


def keys(schema: Any) -> Iterator[tuple[str, str]]:
    """Every key anywhere in a schema, with what it means."""
    if isinstance(schema, Mapping):
        for name, key in schema.get("properties", {}).items():
            yield name, key.get("description", "") if isinstance(key, Mapping) else ""
        for value in schema.values():
            yield from keys(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from keys(value)


def test_every_key_of_the_configuration_is_documented_with_its_meaning() -> None:
    page = text("configuration.md")
    paths = [path for kind in KINDS for path in ROOT.glob(f"plugins/{kind}-*/src/*/schema.json")]
    fragments = [json.loads(path.read_text("utf-8")) for path in paths]
    assert fragments
    for schema in (core_schema(), *fragments):
        for name, about in keys(schema):
            assert f"| `{name}` | " in page, name
            assert " ".join(about.replace("|", "\\|").split()) in page, name


def test_every_command_is_documented_with_its_options() -> None:
    page = text("commands.md")
    for path, command in commands.walk(cli.commands):
        assert f"`{path}`" in page
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert all(f"`{name}`" in page for name in option.opts), path


def test_the_headers_of_requests_are_those_that_are_read() -> None:
    known = {f"x-llmrouter-{name}" for name in (*hints.NAMES, "session")}
    known |= {*hints._SESSION_HEADERS, "x-request-timeout", "authorization", *auth.HEADERS}
    assert {*headers.REQUESTS} == known


def test_the_headers_of_answers_are_those_that_are_written() -> None:
    written = "".join(
        (ROOT / "core" / "llmrouter" / name).read_text("utf-8")
        for name in ("engine/headers.py", "server/answers.py", "server/connection.py")
    )
    named = set(re.findall(r'"((?:x-|retry-|server-|anthropic-)[a-z-]*[a-z-])"', written))
    documented = {name.removesuffix("*") for name in headers.ANSWERS}
    assert documented == named - {"x-accel-buffering"}


def test_every_variable_of_the_environment_is_documented() -> None:
    found = {
        name
        for path in (*ROOT.glob("core/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py"))
        for name in re.findall(r"\bLLMROUTER_[A-Z_]+\b", path.read_text("utf-8"))
    }
    said = "".join(path.read_text("utf-8") for path in DOCUMENTS)
    assert not {name for name in found if name not in said}


# --- what is named exists


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for link in links(path):
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
    for place in re.findall(r"`((?:docs|core|schemas|plugins|benchmarks)/[\w./-]+)`", prose(path)):
        assert (ROOT / place).exists(), place


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_documents_exist_with_their_options(path: Path) -> None:
    known = dict(commands.walk(cli.commands))
    for words in _commands_in(path):
        parts = words.split()
        found = next((known[one] for end in (3, 2) if (one := " ".join(parts[:end])) in known), None)
        assert found is not None, words
        assert not isinstance(found, click.Group) or len(parts) == 2, words
        options = {part.partition("=")[0] for part in parts if part.startswith("-")}
        assert options <= {name for one in found.params for name in (*one.opts, "--help")}, words


def _commands_in(path: Path) -> Iterator[str]:
    """Every `llmrouter …` in shell blocks and between backticks; `check|show` are two."""
    shell = [line for block in blocks(path, "sh", "console") for line in block.text.splitlines()]
    for line in [*shell, *re.findall(r"`([^`]+)`", prose(path))]:
        for words in re.findall(r"(?:^|[/ ])llmrouter (?!llmrouter)[a-z].*", line.partition(" #")[0]):
            command = f"llmrouter {words.partition('llmrouter ')[2]}"
            names = command.split()[-1].split("|")
            yield from (f"{command.rpartition(' ')[0]} {name}" for name in names)


def test_make_targets_in_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    used = {name for block in SHELL for name in re.findall(r"^(?:\$ )?make ([a-z-]+)", block.text, re.MULTILINE)}
    used |= {name for path in DOCUMENTS for name in re.findall(r"`make ([a-z-]+)`", prose(path))}
    assert {"serve", "test", "check"} <= used
    assert used <= targets


def test_folders_in_shell_commands_exist() -> None:
    named = {name for block in SHELL for name in re.findall(r"-e ((?:plugins|core)/\S+)", block.text)}
    assert named
    assert all((ROOT / name / "pyproject.toml").is_file() for name in named)


def test_the_plugins_in_the_readme_are_those_in_the_repository() -> None:
    listed = set(re.findall(r"^\| `llmrouter-([a-z-]+)` \|", README.read_text("utf-8"), re.MULTILINE))
    assert listed == {path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml")}


def test_the_quickstart_of_the_readme_is_that_of_the_tutorial() -> None:
    start, _, _ = README.read_text("utf-8").partition("## Use your providers")
    _, _, start = start.partition("make`")
    quickstart = [block.text for block in blocks(README) if block.text in start]
    tutorial = [block.text for block in blocks(TUTORIAL)]
    assert len(quickstart) == 4
    assert quickstart == tutorial[:4]


# --- configurations


@pytest.mark.parametrize("block", YAML, ids=lambda block: block.id)
def test_a_configuration_in_a_document_is_valid(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = yaml.safe_load(block.text)
    if {"arrivals", "upstreams"} <= {*said}:
        (tmp_path / "trace.yaml").write_text(block.text, "utf-8")
        read_trace(tmp_path / "trace.yaml")
        return
    if not {*said} <= {*core_schema()["properties"]}:
        from llmrouter_provider_openai.profile import complaints

        assert complaints(said) == [], "neither a configuration nor a profile"
        return
    monkeypatch.chdir(tmp_path)
    _write_profiles(block, tmp_path)
    path = tmp_path / "llmrouter.yaml"
    path.write_text(block.text if "providers" in said else block.text + _stand_ins(said), "utf-8")
    assert check(path) == []


def _write_profiles(block: Block, folder: Path) -> None:
    """Profiles that stand beside a configuration in the same document begin with their name."""
    for other in blocks(block.path, "yaml"):
        if name := re.match(r"# ([\w-]+\.yaml)\n", other.text):
            (folder / name[1]).write_text(other.text, "utf-8")


def _stand_ins(said: Mapping[str, Any]) -> str:
    """Providers for the names that the groups of a fragment use."""
    used = re.findall(r"[\[ '\"]([a-z]+)/([\w-]+)", json.dumps(said.get("groups", {})))
    models: dict[str, dict[str, Any]] = {}
    for provider, model in used or [("some", "echo-small")]:
        models.setdefault(provider, {})[model] = {}
    return "\n" + yaml.safe_dump(
        {"providers": {name: {"plugin": "echo", "models": m} for name, m in models.items()}}
    )


def check(path: Path) -> list[str]:
    """What `config check` finds, but for what this machine may lack, and what only its owner can know."""
    names = re.findall(r"\$\{([A-Z0-9_]+)", path.read_text("utf-8"))
    loaded = load(path, dict.fromkeys(names, "dummy"), builtins=[(builtin, builtin.NAME)], require_variables=False)
    problems = [str(one) for one in loaded.warnings]
    lacking = ("is installed", "terms allow", "cannot be read")
    return [one for one in problems if not any(words in one for words in lacking)]


def test_the_example_configuration_is_valid() -> None:
    assert check(REFERENCE / "llmrouter.example.yaml") == []


# --- examples run


ECHO = """
providers:
  echo: {plugin: echo}
groups: {default: [echo/echo-small], embeddings: [echo/echo-embed]}
routing: {default: default}
"""


@pytest.mark.parametrize(
    "block",
    [b for path in DOCUMENTS for b in blocks(path, "python") if "import OpenAI" in b.text],
    ids=lambda b: b.id,
)
def test_an_example_with_the_sdk_runs(block: Block, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(ECHO) as router:
        names: dict[str, Any] = {}
        exec(block.text.replace("http://127.0.0.1:4000", router.base_url), names)
        names["client"].close()
    assert capsys.readouterr().out.strip() == "hello."


def test_the_configuration_of_the_tutorial_does_what_the_tutorial_says() -> None:
    [config] = [block.text for block in blocks(TUTORIAL, "yaml") if "echo-large" in block.text]
    with serving(config) as router:
        served = [router.chat("chat").headers["x-llmrouter-provider"] for _ in range(4)]
        assert served == ["small", "small", "small", "large"]
        for name in ("gpt", "auto", "large/echo-large"):
            assert router.chat(name).status == 200
