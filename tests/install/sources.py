"""Distributions that somebody else might have written: one that works, and many that do not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

PARROT = '''
"""A provider that repeats what it is told."""

import json
from pathlib import Path

import msgspec
from llmrouter import ProviderType, hookimpl
from llmrouter.settings import ProviderSettings
from llmrouter.types import Account, Endpoint, Verdict


class Reply:
    status = 200
    headers = {"content-type": "application/json"}

    def __init__(self, body):
        self.body = body

    async def chunks(self):
        yield self.body

    def close(self):
        pass


class Parrot:
    async def send(self, call):
        said = msgspec.json.decode(call.fields["messages"])[-1]["content"]
        message = {"role": "assistant", "content": said}
        return Reply(msgspec.json.encode({
            "id": "1", "object": "chat.completion", "created": 1, "model": call.endpoint.model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        }))

    def judge(self, status, headers, body):
        return Verdict(None)


def endpoints(config):
    account = Account(config.name, config.name)
    return [Endpoint(provider=config.name, model="grey", dialects=("openai.chat",), accounts=(account,))]


@hookimpl
def llmrouter_register_providers():
    schema = json.loads(Path(__file__).with_name("schema.json").read_text())
    return [ProviderType(
        name="parrot", config=ProviderSettings, schema=schema, build=lambda config, context: Parrot(),
        endpoints=endpoints, demo={"providers": {"bird": {"plugin": "parrot"}}},
    )]
'''
HOOK = """
from llmrouter import ProviderType, hookimpl
from llmrouter.settings import ProviderSettings
from llmrouter.types import Account, Endpoint


def endpoints(config):
    account = Account(config.name, config.name)
    return [Endpoint(provider=config.name, model="m", dialects=("openai.chat",), accounts=(account,))]


def build(config, context):
    raise RuntimeError("the vendor's licence has ended")


@hookimpl
def {hook}():
    {body}
"""
UNBUILT = (
    'return [ProviderType(name="unbuilt", config=ProviderSettings, schema={"type": "object", "properties": {}}, '
    "build=build, endpoints=endpoints)]"
)
COMMAND = """
import click
from llmrouter import hookimpl


@hookimpl
def llmrouter_register_commands(commands):
    {body}
"""
GREET = 'commands.add_command(click.Command("greet", callback=lambda: click.echo("hello")))'


@frozen
class Source:
    """One distribution with one entry point: its name, and the module that it leads to."""

    distribution: str
    entry: str
    module: str
    requires: str = "llmrouter>=0.1,<0.2"

    @property
    def package(self) -> str:
        return self.distribution.replace("-", "_")


def hook(body: str, name: str = "llmrouter_register_providers") -> str:
    return HOOK.replace("{hook}", name).replace("{body}", body)


GOOD = Source("llmrouter-provider-parrot", "provider-parrot", PARROT)
BROKEN: Mapping[str, Sequence[Source]] = {
    "provider-twin": (
        Source("first-twin", "provider-twin", hook("return []")),
        Source("second-twin", "provider-twin", hook("return []")),
    ),
    "provider-unimportable": (Source("nobodys", "provider-unimportable", "import a_library_that_nobody_has"),),
    "provider-raising": (Source("raising", "provider-raising", hook('raise RuntimeError("no such region")')),),
    "provider-slip": (Source("slip", "provider-slip", hook("return []", "llmrouter_register_provider")),),
    "provider-newer": (Source("newer", "provider-newer", hook("return []"), "llmrouter>=9"),),
}
"""By entry point: the distributions that are to blame."""
UNBUILDABLE = Source("unbuilt", "provider-unbuilt", hook(UNBUILT))
SHAKY = Source("shaky", "tokens-shaky", 'raise RuntimeError("no vocabulary")')
GREETING = Source("greeting", "greeting", COMMAND.replace("{body}", GREET))
RUDE = Source("rude", "arude", COMMAND.replace("{body}", 'raise RuntimeError("no words")'))
ALL = (GOOD, *(source for sources in BROKEN.values() for source in sources), UNBUILDABLE, SHAKY, GREETING, RUDE)


def write(folder: Path, sources: Sequence[Source]) -> None:
    """A workspace with all of them, to be built at once."""
    (folder / "pyproject.toml").write_text('[tool.uv.workspace]\nmembers = ["*"]\n')
    for source in sources:
        package = folder / source.distribution / "src" / source.package
        package.mkdir(parents=True)
        (folder / source.distribution / "pyproject.toml").write_text(_pyproject(source))
        (package / "__init__.py").write_text(source.module)
        (package / "schema.json").write_text(json.dumps({"type": "object", "properties": {}}))


def _pyproject(source: Source) -> str:
    return f"""
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{source.distribution}"
version = "1.2.3"
requires-python = ">=3.11"
dependencies = ["{source.requires}"]

[project.entry-points.llmrouter]
{source.entry} = "{source.package}"

[tool.hatch.build.targets.wheel]
packages = ["src/{source.package}"]
"""
