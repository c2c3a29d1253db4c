"""Carries calls to Voyage, in its own words.

Sources: the API reference of embeddings and rerankers, the client library, and recorded answers.
"""

from __future__ import annotations

import re

from llmrouter import BuildContext
from llmrouter.provider import URL, ErrorRule, HTTPProvider, base_url_of
from llmrouter.types import Call, Fields

from .config import VoyageSettings, load

PATHS = {"openai.embeddings": "/embeddings", "rerank": "/rerank"}
ATLAS = "al-"
"""How keys of MongoDB Atlas begin, which are good at an address of their own."""

RULES = (
    ErrorRule(
        kind="not_found",
        status=frozenset({400}),
        text=re.compile(r"\bmodel\b.{0,120}\bnot supported", re.IGNORECASE),
    ),
    ErrorRule(
        kind="context_length",
        status=frozenset({400}),
        text=re.compile(r"max(imum)? (allowed |number of )?tokens|context length|too many tokens", re.IGNORECASE),
    ),
    ErrorRule(
        kind="forbidden_model", scope="account", status=frozenset({403})
    ),  # said of an address, not of a model
)


class VoyageProvider(HTTPProvider):
    """Voyage AI. Its answers have the shapes that the dialects read; its requests have words of their own."""

    def __init__(self, config: VoyageSettings, context: BuildContext) -> None:
        known = load()
        self._words = known.request
        self._atlas = {dialect: URL(known.atlas_url + path) for dialect, path in PATHS.items()}
        self._of_atlas = frozenset[str]() if config.base_url else _atlas_accounts(config)
        address = base_url_of(config.base_url or known.base_url)
        super().__init__(config, context, base_url=address, paths=PATHS, rules=RULES)

    def url(self, call: Call) -> URL:
        return self._atlas[call.wire.dialect] if call.account.id in self._of_atlas else super().url(call)

    def bend(self, call: Call) -> Fields:
        """What it does not know is refused; of encodings it knows base64, and floats by no name."""
        words = self._words[call.op]
        fields: Fields = {}
        for name, value in call.fields.items():
            new = words.rename.get(name, name)
            fields[name if new in call.fields else new] = value
        if "encoding_format" in fields and bytes(fields["encoding_format"]) != b'"base64"':
            del fields["encoding_format"]
        return {name: value for name, value in fields.items() if name in words.keep}


def _atlas_accounts(config: VoyageSettings) -> frozenset[str]:
    return frozenset(
        [one.id for one in config.accounts if one.api_key and one.api_key.reveal().strip().startswith(ATLAS)]
    )
