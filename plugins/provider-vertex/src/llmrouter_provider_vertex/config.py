"""What an entry of `providers` may say, and the endpoints that follow from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from llmrouter.provider import AccountSettings, Catalogue, ProviderSettings, base_url_of, read_data
from llmrouter.types import Endpoint

HOST = "aiplatform.googleapis.com"
VERSION = "v1"
GLOBAL = "global"
SPOKEN = ("gemini.generate",)


@frozen(kw_only=True)
class VertexSettings(ProviderSettings):
    """Raises ValueError for an address that is none, and for an account whose project nobody names."""

    project: str = ""
    location: str = GLOBAL

    def __attrs_post_init__(self) -> None:
        self.address()
        unplaced = [one.id for one in self.accounts if one.enabled and not self.place(one)]
        if unplaced and self.enabled:
            raise ValueError(f"Vertex needs a `project` ({', '.join(unplaced)})")

    def address(self) -> str:
        """Scheme, host and prefix of the upstream, with its version."""
        host = HOST if self.location == GLOBAL else f"{self.location}-{HOST}"
        return base_url_of(self.base_url or f"https://{host}", VERSION)

    def place(self, account: AccountSettings) -> str:
        """What stands between the address and the model; "" where the project is not known.

        A service account knows its project; a key of express mode needs none.
        """
        project = self.project or str(service_account(account).get("project_id") or "")
        if not project:
            return "/publishers/google/models/" if is_key(account) else ""
        return f"/projects/{project}/locations/{self.location}/publishers/google/models/"


def service_account(account: AccountSettings) -> Mapping[str, Any]:
    """The service account that `api_key` holds; empty where it is a plain key or nothing."""
    text = account.api_key.reveal().strip() if account.api_key else ""
    if not text.startswith("{"):
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        raise ValueError(f"the service account of {account.id} is not JSON") from None
    return found if isinstance(found, dict) else {}


def is_key(account: AccountSettings) -> bool:
    """Whether `api_key` is a plain key, which goes along as it is."""
    return bool(account.api_key) and not service_account(account)


def schema() -> Mapping[str, Any]:
    """The keys of an entry, as JSON Schema."""
    fragment: Mapping[str, Any] = read_data(__package__, "schema.json")
    return fragment


def catalogue() -> Catalogue:
    return Catalogue.read(__package__)


def endpoints(config: ProviderSettings) -> Sequence[Endpoint]:
    """The models that are described, those of the configuration, and one endpoint for every other id."""
    return catalogue().endpoints(config, SPOKEN)


def suggest(environ: Mapping[str, str]) -> Mapping[str, Any]:
    """An entry where a project stands in the environment beside the credentials for it."""
    if not (environ.get("GOOGLE_CLOUD_PROJECT") and environ.get("GOOGLE_APPLICATION_CREDENTIALS")):
        return {}
    location = {"location": "${GOOGLE_CLOUD_LOCATION}"} if environ.get("GOOGLE_CLOUD_LOCATION") else {}
    return {"vertex": {"plugin": "vertex", "project": "${GOOGLE_CLOUD_PROJECT}", **location}}
