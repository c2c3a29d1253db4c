"""A profile: how one provider differs from OpenAI, as data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from attrs import field, frozen

from llmrouter.provider import (
    ErrorRule,
    ModelData,
    check_profile,
    names_in,
    read_data,
    read_yaml,
    rules_of,
    words_of,
)
from llmrouter.types import Card

RESPONSES = "openai.responses"
PATHS: Mapping[str, str] = {
    "openai.chat": "/chat/completions",
    RESPONSES: "/responses",
    "openai.completions": "/completions",
    "openai.embeddings": "/embeddings",
    "rerank": "/rerank",
}
ABOUT_TEXT = ("openai.chat", RESPONSES, "openai.completions")
"""What a model speaks where its description names nothing else."""

Words = frozenset[str]


def _set(value: Iterable[str]) -> Words:
    return frozenset(value)


def _by_role(value: Mapping[str, Iterable[str]]) -> Mapping[str, Words]:
    return {role: frozenset(words) for role, words in value.items()}


def _bend(value: Any) -> Bend:
    return value if isinstance(value, Bend) else Bend(**value)


def _models(value: Any) -> Mapping[str, Model]:
    return {name: Model(**one) for name, one in value.items()}


@frozen(kw_only=True)
class Bend:
    """What is changed in a request body. Empty: nothing, and the bytes go on as they came."""

    rename: Mapping[str, str] = field(factory=dict)
    drop: Words = field(default=frozenset(), converter=_set)
    keep: Words = field(default=frozenset(), converter=_set)  # of a chat; empty keeps all
    roles: Mapping[str, str] = field(factory=dict)
    message_keep: Mapping[str, Words] = field(factory=dict, converter=_by_role)  # by the vendor's roles
    call_ids: int | None = None  # the length of ids of tool calls, which have letters and digits only
    tool_choice: Mapping[str, str | None] = field(factory=dict)  # None leaves the field out
    tool_strip: Words = field(default=frozenset(), converter=_set)  # keys of a function's description
    message_strip: Words = field(default=frozenset(), converter=_set)  # keys of a message
    thoughts: bool = False  # a turn that called tools must tell its thoughts; a blank stands for lost ones
    flatten: bool = False  # a list of text parts becomes one text
    strip_nulls: bool = False  # fields of messages that are null


@frozen(kw_only=True)
class Model(ModelData):
    dialects: tuple[str, ...] = field(default=(), converter=tuple)  # empty: those of the profile about text
    reasons: bool = False  # and gives its reasoning out, encrypted, to who asks in openai.responses


@frozen(kw_only=True)
class Profile:
    """One provider of the family. The keys are described in `profile.schema.json`."""

    about: str
    base_url: str | None = None
    version: str | None = "v1"
    keyless: bool = False
    env: tuple[str, ...] = field(default=(), converter=tuple)
    base_url_env: str | None = None
    headers: Mapping[str, str] = field(factory=dict)
    dialects: tuple[str, ...] = field(default=("openai.chat",), converter=tuple)
    paths: Mapping[str, str] = field(factory=dict)
    models_path: str | None = "/models"
    counts: bool = False  # input tokens, beside its path of openai.responses
    limit_headers: str = "none"
    reset_zone: str | None = None
    strict: bool = False
    keeps: Words = field(default=frozenset(), converter=_set)  # dialects, of all its models, listed or not
    request: Bend = field(default=Bend(), converter=_bend)
    responses: Bend = field(default=Bend(), converter=_bend)  # the same, of openai.responses
    errors: tuple[ErrorRule, ...] = field(default=(), converter=rules_of)
    abilities: Words | None = field(default=None, converter=words_of)
    models: Mapping[str, Model] = field(default={}, converter=_models)

    def path(self, dialect: str) -> str:
        return self.paths.get(dialect, PATHS[dialect])

    def bends(self) -> Mapping[str, Bend]:
        """What is changed in a body, by dialect; those that are left as they are do not stand here."""
        found = {dialect: self.responses if dialect == RESPONSES else self.request for dialect in self.dialects}
        return {dialect: bend for dialect, bend in found.items() if bend != Bend()}

    def dialects_of(self, model: str) -> tuple[str, ...]:
        """What is spoken for a model; of one that is not described, everything."""
        known = self.models.get(model)
        if known is None:
            return self.dialects
        return known.dialects or tuple(one for one in self.dialects if one in ABOUT_TEXT)

    def card(self, model: str) -> Card:
        known = self.models.get(model)
        if known is None:  # a model that the profile does not list may do more than those it lists
            return Card(keeps=self.keeps)
        return known.card(self.abilities, self.keeps | ({RESPONSES} if known.reasons else frozenset()))


def names() -> Sequence[str]:
    """The profiles that come with this plugin."""
    return names_in(__package__, "profiles")


def load(name: str) -> Profile:
    """A profile by name, or from a file of one's own. Raises ValueError that says what is wrong with it."""
    if name.endswith((".yaml", ".yml")):
        return _own(Path(name).expanduser())
    check_profile(name, names(), "; or a path to a .yaml")
    return _shipped(name)


@cache
def _shipped(name: str) -> Profile:
    """Data of this package, which does not change; one configuration asks for it five times for each provider."""
    return structured(read_data(__package__, f"profiles/{name}.yaml"))


def _own(path: Path) -> Profile:
    try:
        return parsed(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the profile {path} cannot be read: {error}") from error


def parsed(text: str, name: str) -> Profile:
    """A profile from its YAML. Raises ValueError that names it and says what is wrong."""
    try:
        value = read_yaml(text)
    except yaml.YAMLError as error:
        raise ValueError(f"the profile {name} cannot be read: {error}") from error
    if problems := complaints(value):
        raise ValueError(f"the profile {name}: {'; '.join(problems)}")
    return structured(value)


def complaints(value: Any) -> list[str]:
    """What is wrong with a profile, by its schema."""
    from jsonschema import Draft202012Validator  # heavy, and only a profile of one's own needs it

    found = Draft202012Validator(read_data(__package__, "profile.schema.json")).iter_errors(value)
    return [f"{'.'.join(map(str, error.absolute_path)) or 'it'}: {error.message}" for error in found]


def structured(value: Mapping[str, Any]) -> Profile:
    """A profile from data that fits the schema, with what the whole family has: errors, and strangers' fields."""
    request = {**value.get("request", {})}
    if value.get("strict"):
        request["drop"] = [*request.get("drop", ()), *read_data(__package__, "foreign.yaml")]
    return Profile(
        **{
            **value,
            "request": request,
            "errors": [*value.get("errors", ()), *read_data(__package__, "errors.yaml")],
        }
    )
