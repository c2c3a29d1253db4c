"""docs/reference/trace.md: every key of a trace, out of its schema."""

from __future__ import annotations

from llmrouter.config.schema import schema_file

from .configuration import Walk, section
from .markdown import GENERATED

HEAD = f"""# Traces

{GENERATED}

What `llmrouter simulate --trace` plays, as one YAML file: [how it is used](../how-to/simulate.md). Its JSON Schema
is `schemas/trace.schema.json`.
"""


def page() -> str:
    schema = schema_file("trace.schema.json")
    walk = Walk(schema["$defs"])
    return "\n".join([HEAD, *(section(one, walk) for one in [*walk.sections(schema)])])
