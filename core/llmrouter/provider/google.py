"""Google's models, wherever they are served: addresses, deviations and errors that its providers share."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from llmrouter.dialects import bend_to
from llmrouter.http import URL
from llmrouter.protocols import BuildContext
from llmrouter.settings import ProviderSettings
from llmrouter.types import Call, Fields, Verdict

from .base import HTTPProvider
from .google_errors import google_verdict
from .google_models import Catalogue


class GoogleProvider(HTTPProvider):
    """Speaks Google's dialects over one address: the model and the verb are the path."""

    def __init__(
        self, settings: ProviderSettings, context: BuildContext, *, base_url: str, catalogue: Catalogue
    ) -> None:
        super().__init__(settings, context, base_url=base_url, paths={})
        self.catalogue = catalogue
        self._known = frozenset({*catalogue.models, *settings.models})

    def place(self, account: str) -> str:
        """What stands between the address and the model."""
        return "/models/"

    def url(self, call: Call) -> URL:
        """Of models that are known it is made once; clients may think of any number of others."""
        model = call.endpoint.model
        path = f"{self.place(call.account.id)}{_quoted(model)}{_verb(call)}"
        url = self._urls.get(path)
        if url is None:
            url = URL(f"{self.base_url}{path}")
            if model in self._known:
                self._urls[path] = url
        return url

    def bend(self, call: Call) -> Fields:
        generation = self.catalogue.generation(call.endpoint.model) if call.op == "chat" else None
        return bend_to(call.fields, generation) if generation else call.fields

    def judge(self, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        if status < 400 and not body:
            return super().judge(status, headers, body)
        return google_verdict(status, headers, body, self.clock(), self.secrets())


def _quoted(model: str) -> str:
    """A model's id as a part of a path, which says `models/` itself."""
    return quote(model.removeprefix("models/"), safe="/@")


def _verb(call: Call) -> str:
    """What is to be done, as the path says it."""
    if call.op == "count":
        return ":countTokens"
    if call.op == "embed":
        return ":batchEmbedContents" if "requests" in call.fields else ":embedContent"
    return ":streamGenerateContent?alt=sse" if call.wire.stream else ":generateContent"
