"""Google's models, wherever they are served: addresses, deviations and errors that its providers share."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from llmrouter.dialects import bend_thinking
from llmrouter.http import URL
from llmrouter.protocols import BuildContext
from llmrouter.settings import ProviderSettings
from llmrouter.types import Call, Fields, Verdict

from .base import HTTPProvider
from .google_errors import google_verdict
from .google_models import Catalogue

VERBS = (
    ":generateContent",
    ":streamGenerateContent?alt=sse",
    ":countTokens",
    ":embedContent",
    ":batchEmbedContents",
)


class GoogleProvider(HTTPProvider):
    """Speaks Google's dialects over one address: the model and the verb are the path."""

    def __init__(
        self, settings: ProviderSettings, context: BuildContext, *, base_url: str, catalogue: Catalogue, prefix: str
    ) -> None:
        self.catalogue, self._prefix = catalogue, prefix
        paths = {
            f"{name}{verb}": f"{prefix}{_quoted(name)}{verb}"
            for name in (*catalogue.models, *settings.models)
            for verb in VERBS
        }
        super().__init__(settings, context, base_url=base_url, paths=paths)

    def url(self, call: Call) -> URL:
        """Of models that are known it is made once."""
        model, verb = call.endpoint.model, verb_of(call)
        return self._urls.get(model + verb) or URL(f"{self.base_url}{self._prefix}{_quoted(model)}{verb}")

    def bend(self, call: Call) -> Fields:
        thinking = self.catalogue.thinks(call.endpoint.model) if call.op == "chat" else None
        return bend_thinking(call.fields, thinking) if thinking else call.fields

    def judge(self, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        if status < 400 and not body:
            return super().judge(status, headers, body)
        return google_verdict(status, headers, body, self.clock(), self._secrets)


def _quoted(model: str) -> str:
    """A model's id as a part of a path, which says `models/` itself."""
    return quote(model.removeprefix("models/"), safe="/@")


def verb_of(call: Call) -> str:
    """What is to be done, as the path says it."""
    if call.op == "count":
        return ":countTokens"
    if call.op == "embed":
        return ":batchEmbedContents" if "requests" in call.fields else ":embedContent"
    return ":streamGenerateContent?alt=sse" if call.wire.stream else ":generateContent"
