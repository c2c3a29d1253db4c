"""The plugins that docs/plugins tells how to write: their tests pass, and the router serves with them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from llmrouter.testing.upstream import Upstream
from llmrouter.testing.upstream_openai import TEXT, chat
from tests.harness import serving
from tests.pages.blocks import ROOT, blocks
from tests.template.baking import answered, passed, tried

PAGES = ROOT / "docs" / "plugins"


@pytest.fixture
def written(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The files of a page in a folder, as good as installed: on the path, with their entry point."""
    page, entry = request.param
    for block in blocks(PAGES / page):
        if block.title:
            (tmp_path / block.title).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / block.title).write_text(block.text, "utf-8")
    with installed(tmp_path / "src", entry, monkeypatch):
        yield tmp_path


@contextmanager
def installed(sources: Path, entry: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    package = f"llmrouter_{entry.replace('-', '_')}"
    info = sources / f"{package}-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[llmrouter]\n{entry} = {package}\n")
    monkeypatch.syspath_prepend(str(sources))
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        del sys.modules[name]


POLICY = pytest.mark.parametrize("written", [("write-a-policy.md", "policy-quiet")], indirect=True)
PROVIDER = pytest.mark.parametrize("written", [("write-a-provider.md", "provider-acme")], indirect=True)


def said_by_pytest(folder: Path) -> str:
    """What pytest says of the tests in a folder. It has to be content."""
    environ = {**os.environ, "PYTHONPATH": str(folder / "src")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(folder)]
    done = subprocess.run(
        command, check=False, cwd=folder, env=environ, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def configuration(page: str, containing: str) -> str:
    [text] = [block.text for block in blocks(PAGES / page, "yaml") if containing in block.text]
    return text


@POLICY
def test_the_tests_of_the_policy_pass(written: Path) -> None:
    assert "passed" in said_by_pytest(written)


@POLICY
def test_the_router_decides_by_the_policy(written: Path) -> None:
    with serving(configuration("write-a-policy.md", "quiet")) as router:
        assert router.chat("auto").headers["x-llmrouter-reason"].startswith("balance;")
        [record] = router.get("/admin/requests?limit=1").json["requests"]
    assert record["decision"]["policy"] == "quiet"
    assert [one["parts"] for one in record["decision"]["plan"]] == [{"load": 0}, {"load": 0}]


@PROVIDER
def test_the_tests_of_the_provider_pass(written: Path) -> None:
    assert "passed" in said_by_pytest(written)


@PROVIDER
def test_the_router_serves_through_the_provider(written: Path) -> None:
    config = yaml.safe_load(configuration("write-a-provider.md", "plugin: acme\n"))
    with Upstream(chat()) as upstream:
        config["providers"]["acme"]["base_url"] = upstream.base_url
        with serving(yaml.safe_dump(config), {"ACME_API_KEY": "acme-key"}) as router:
            answer = router.chat("acme/small")
    assert answer.text == TEXT
    [asked] = upstream.requests
    assert asked.path == "/v1/talk"
    assert asked.headers["x-acme-key"] == "acme-key"


def test_the_profile_needs_no_python(tmp_path: Path) -> None:
    profile = configuration("write-a-provider.md", "# acme.yaml\n")
    with Upstream(chat()) as upstream:
        path = tmp_path / "acme.yaml"
        path.write_text(profile.replace("https://api.acme.example", upstream.base_url), "utf-8")
        config = f"providers: {{acme: {{plugin: openai, profile: {path}, api_key: k}}}}"
        with serving(config) as router:
            assert router.chat("acme/acme-large", max_completion_tokens=5).status == 200
    assert upstream.requests[0].json["max_tokens"] == 5


# --- in five minutes

WALK = PAGES / "write-a-provider.md"


def dialogue() -> Mapping[str, str]:
    """Questions of `make new-provider` and what is answered, as the page has them."""
    [text] = [block.text for block in blocks(WALK, "text")]
    return {one[1]: one[2] for one in re.finditer(r"^ +(.+ \(\S+\)):(.*)$", text, re.MULTILINE)}


@pytest.fixture
def zephyr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package that the page begins with: its questions answered, its profile edited, as good as installed."""
    done = answered(tmp_path, *map(str.strip, dialogue().values()))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [question for question in dialogue() if question not in done.stdout] == []
    package = tmp_path / "llmrouter-provider-zephyr"
    [profile] = [
        block for block in blocks(WALK, "yaml") if block.title.startswith("src/llmrouter_provider_zephyr/")
    ]
    assert (package / profile.title).is_file()
    (package / profile.title).write_text(profile.text, "utf-8")
    with installed(package / "src", "provider-zephyr", monkeypatch):
        yield package


def test_the_package_with_a_profile_passes_its_tests(zephyr: Path) -> None:
    commands = "".join([block.text for block in blocks(WALK, "sh")])
    assert f"-m pytest ../{zephyr.name}\n" in commands
    assert passed(tried(zephyr)) > 50
    assert passed(tried(zephyr, *re.findall(r"-k \w+", commands)[0].split())) == 1


def test_the_router_serves_through_the_package_with_a_profile(zephyr: Path) -> None:
    config = yaml.safe_load(configuration(WALK.name, "plugin: zephyr"))
    [asked] = [block.text for block in blocks(WALK, "sh") if "curl" in block.text]
    curl = re.search(r"curl http://127.0.0.1:4000(\S+) -d '(.+)'", asked)
    assert curl
    with Upstream(chat()) as upstream:
        config["providers"]["zephyr"]["base_url"] = upstream.base_url
        with serving(yaml.safe_dump(config), {"ZEPHYR_API_KEY": "zephyr-key"}) as router:
            answer = router.post(curl[1], json.loads(curl[2]))
    assert answer.text == TEXT
    [sent] = upstream.requests
    assert sent.headers["authorization"] == "Bearer zephyr-key"
    assert sent.json["model"] == "zephyr-small"


def test_the_examples_of_testing_pass(tmp_path: Path) -> None:
    for number, block in enumerate(blocks(PAGES / "testing.md", "python")):
        (tmp_path / f"test_{number}.py").write_text(block.text, "utf-8")
    assert "passed" in said_by_pytest(tmp_path)
