"""Rules that hold the house together and that no tool of its own looks after."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import llmrouter
from llmrouter import hookspecs
from llmrouter.plugins import HOOKS
from tests.pages.hooks import hooks

ROOT = Path(__file__).parents[1]
CORE = ROOT / "core" / "llmrouter"
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
PUBLIC = ("types", "errors", "protocols", "settings", "provider", "dialects", "quota", "routing.spreading")
"""What a plugin may import of `llmrouter`, beside the names of its front door. Its tests: `testing` as well."""
CONTRACTS = {
    "provider": "ProviderContract",
    "policy": "PolicyContract",
    "quota": "QuotaStoreContract",
    "cache": "CacheContract",
    "metrics": "MetricsSinkContract",
    "tokens": "TokenCounterContract",
    "repair": "RepairContract",
}
LINES = 500
LONGER: Mapping[str, int] = {
    "tests/test_dialects_anthropic_writing.py": 550,
    "core/llmrouter/types.py": 580,  # the vocabulary stands in one place
    "tests/test_dialects_reader.py": 570,
    "tests/test_exchange.py": 700,
    "tests/test_http.py": 520,
    "tests/test_provider.py": 570,
    "tests/test_quota.py": 750,
}
"""Files that are longer, and how long they may be until somebody cuts them."""
OUTSIDE = {"node_modules", "__pycache__", "dist", "build", "htmlcov", "uv.lock", "llmrouter.yaml"}
MUTABLE = {
    "dict",
    "list",
    "set",
    "bytearray",
    "deque",
    "defaultdict",
    "Counter",
    "OrderedDict",
    "WeakKeyDictionary",
}
CHANGES = {
    "add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft", "remove",
    "setdefault", "sort", "update",
}  # fmt: skip
FAMILIES = (
    "gpt", "claude", "gemini", "gemma", "llama", "mistral", "ministral", "mixtral", "codestral", "glm", "kimi",
    "moonshot-v", "qwen", "qwq", "grok", "deepseek", "command", "voyage", "text-embedding", "sonar", "phi",
)  # fmt: skip
SIZES = "flash|pro|mini|nano|small|medium|large|max|turbo|opus|sonnet|haiku|chat|reasoner|coder|instruct"
MODEL = re.compile(rf"\b(?:(?:{'|'.join(FAMILIES)})(?:-?\d|-(?:{SIZES}))|o[1345]-(?:{SIZES}))")
SITES = ("pypi", "pythonhosted", "npmjs", "crates", "rubygems", "files.pythonhosted")
ADDRESS = re.compile(
    rf"(?:{'|'.join(SITES)})\.(?:org|com|io)|(?:extra-)?index-url|find-links|/simple/|\[\[tool\.uv\.index"
)


def python(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(path for path in folder.rglob("*.py") if not _is_outside(path))


def texts() -> Iterator[tuple[str, str]]:
    """Every text of the project: its path, and what stands in it."""
    for path in sorted(ROOT.rglob("*")):
        if path.is_file() and not _is_outside(path) and path != Path(__file__):
            try:
                yield path.relative_to(ROOT).as_posix(), path.read_text("utf-8")
            except UnicodeDecodeError:
                continue


def _is_outside(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    hidden = [part for part in parts if part.startswith(".") and part not in (".ci", ".env.example", ".gitignore")]
    return bool(hidden or OUTSIDE & {*parts})


def sources() -> list[Path]:
    """The code that runs: no tests."""
    return [*python(CORE, ROOT / "benchmarks", *(folder / "src" for folder in PLUGINS))]


def imports(path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Absolute imports anywhere in a file: the module, and the names taken from it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or "", tuple(alias.name for alias in node.names)


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# --- who knows whom


def test_no_model_id_stands_in_code() -> None:
    found = [
        f"{shown(path)}:{number}: {match[0]}"
        for path in sources()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if (match := MODEL.search(line.lower()))
    ]
    assert not found, "models belong into data files"


@pytest.mark.parametrize(
    ("text", "named"),
    [("gpt-5-mini", True), ("claude-4", True), ("glm-4.7", True), ("o3-mini", True), ("x-claude-code-id", False)],
)
def test_the_rule_knows_a_model_when_it_sees_one(text: str, named: bool) -> None:
    assert bool(MODEL.search(text)) is named


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_imports_the_public_surface_only(plugin: Path) -> None:
    own = f"llmrouter_{plugin.name.replace('-', '_')}"
    for path in python(plugin / "src"):
        for module, names in imports(path):
            _is_public(path, module, names, PUBLIC)
            assert not module.startswith("llmrouter_") or module.split(".")[0] == own, f"{shown(path)}: {module}"
            assert module.split(".")[0] != "tests", shown(path)


def _is_public(path: Path, module: str, names: tuple[str, ...], public: tuple[str, ...]) -> None:
    if module == "llmrouter":
        assert {*names} <= {*llmrouter.__all__, *public}, f"{shown(path)} imports {names} from llmrouter"
    elif module.startswith("llmrouter."):
        assert module.removeprefix("llmrouter.") in public, f"{shown(path)} imports {module}"


def test_the_core_imports_no_plugin() -> None:
    for path in python(CORE):
        text = path.read_text("utf-8")
        assert not [module for module, _ in imports(path) if module.startswith("llmrouter_")], shown(path)
        assert not re.search(r"import_module\([\"']llmrouter_", text), shown(path)


CLIENTS = {"httpx", "aiohappyeyeballs", "aiohttp", "requests", "urllib3"}


def test_only_one_room_imports_an_http_client() -> None:
    for path in sources():
        known = {module.split(".")[0] for module, _ in imports(path)} & CLIENTS
        assert not known or path.is_relative_to(CORE / "http"), shown(path)


# --- how code is written


def test_no_module_keeps_state() -> None:
    for path in sources():
        tree = ast.parse(path.read_text("utf-8"))
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Global)], shown(path)
        assert not kept(tree) & changed(tree), shown(path)


def kept(tree: ast.Module) -> set[str]:
    """Names of a module that hold something that can change."""
    found: set[str] = set()
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        value = node.value
        if isinstance(value, ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp | ast.SetComp) or (
            isinstance(value, ast.Call) and _name(value.func) in MUTABLE
        ):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def changed(tree: ast.Module) -> set[str]:
    """Names that are changed where they stand: by a method, by an index, or by an operator."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGES:
            found.add(_name(node.func.value))
        elif isinstance(node, ast.AugAssign):
            found.add(_name(node.target))
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            found.add(_name(node.value))
    return found - {""}


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Subscript):
        return _name(node.value)
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def test_the_rule_sees_state_where_there_is_some() -> None:
    tree = ast.parse("seen = {}\nNAMES = ['a']\ndef f(x):\n    seen[x] = 1\n    seen.get(x)\n")
    assert kept(tree) & changed(tree) == {"seen"}


def test_no_file_is_longer_than_it_may_be() -> None:
    lengths = {path: len(text.splitlines()) for path, text in texts() if path.endswith(".py")}
    assert not {path: count for path, count in lengths.items() if count > LONGER.get(path, LINES)}


# --- the front door


def test_what_the_package_exports_is_sorted_and_there() -> None:
    assert llmrouter.__all__ == sorted(llmrouter.__all__)
    assert len({*llmrouter.__all__}) == len(llmrouter.__all__)
    assert not [name for name in llmrouter.__all__ if getattr(llmrouter, name, None) is None]
    tree = ast.parse((CORE / "__init__.py").read_text("utf-8"))
    typed = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert {*llmrouter.__all__} - {"__version__"} == typed - {
        "annotations",
        "TYPE_CHECKING",
        "Any",
        "import_module",
    }


@pytest.mark.parametrize(
    "module", ["llmrouter.provider", "llmrouter.dialects", "llmrouter.quota", "llmrouter.testing"]
)
def test_what_a_public_package_exports_is_there(module: str) -> None:
    found: Any = importlib.import_module(module)
    assert len({*found.__all__}) == len(found.__all__)
    assert not [name for name in found.__all__ if getattr(found, name, None) is None]


def test_every_hook_says_when_it_is_called_and_shows_how() -> None:
    found = dict(hooks())
    assert {*HOOKS.values()} < {*found}
    for name, hook in found.items():
        assert (hook.__doc__ or "").startswith("Called "), name
        assert re.search(r"\n    Example: `.+`\n", hook.__doc__ or ""), name
        assert getattr(hook, f"{hookspecs.PROJECT}_spec", None) is not None, name


# --- what a plugin brings


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_is_whole(plugin: Path) -> None:
    package = plugin / "src" / f"llmrouter_{plugin.name.replace('-', '_')}"
    assert {"__init__.py", "schema.json", "py.typed"} <= {path.name for path in package.iterdir()}
    project = tomllib.loads((plugin / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["name"] == f"llmrouter-{plugin.name}"
    assert project["license"] == "Unlicense"
    assert project["entry-points"]["llmrouter"] == {plugin.name: package.name}
    assert any(re.match(r"llmrouter>=[\d.]+,<", one) for one in project["dependencies"])
    readme = (plugin / project["readme"]).read_text("utf-8")
    assert f"pip install llmrouter-{plugin.name}" in readme.replace("llmrouter llmrouter-", "llmrouter-")
    assert "```yaml" in readme


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_is_held_to_its_contract(plugin: Path) -> None:
    contract = CONTRACTS[plugin.name.split("-")[0]]
    classes = [
        node
        for path in python(plugin / "tests")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test")
    ]
    bases = {_name(base) for one in classes for base in one.bases}
    assert [base for base in bases if base.endswith(contract)], f"no {contract}"


def test_the_example_of_the_environment_names_what_profiles_read() -> None:
    example = (ROOT / ".env.example").read_text("utf-8")
    named = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", example, re.MULTILINE))
    profiles = [yaml.safe_load(path.read_text("utf-8")) for path in ROOT.glob("plugins/*/src/*/profiles/*.yaml")]
    known = {name for one in profiles for name in [*one.get("env", ()), one.get("base_url_env")] if name}
    assert known
    assert known - named == set(), "not in .env.example"
    sources = "".join(path.read_text("utf-8") for path in ROOT.glob("plugins/*/src/**/*.py"))
    others = {name for name in named - known if not name.startswith("LLMROUTER_")}
    assert {name for name in others if f'"{name}"' not in sources} == set(), "read by nobody"


# --- what project text may say


def test_no_text_names_a_package_index_or_a_place_on_one_machine() -> None:
    for path, text in texts():
        assert not (match := ADDRESS.search(text)), f"{path}: {match[0] if match else ''}"
        assert not (match := re.search(r"(?<![\w.])/(?:work|root)/\w", text)), (
            f"{path}: {match[0] if match else ''}"
        )
