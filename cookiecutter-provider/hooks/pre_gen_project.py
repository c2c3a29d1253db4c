"""Refuses answers that would give a package that cannot work. What was begun is then taken away again."""

import re
import sys

OPERATIONS = ("/completions", "/responses", "/messages", "/embeddings", "/rerank", "/models")
ANSWERS = [
    (
        "name",
        {{ cookiecutter.name | tojson }},
        r"(?=.{1,24}$)[a-z][a-z0-9]*(-[a-z0-9]+)*",
        "at most 24 small letters, digits and single hyphens, beginning with a letter, such as acme or acme-cloud",
    ),
    (
        "base_url",
        {{ cookiecutter.base_url | tojson }},
        r"https?://[A-Za-z0-9.-]+(:\d+)?(/[A-Za-z0-9._~-]+)*/?",
        "http or https, a host and perhaps a path, without user and query, such as https://api.acme.example/v1",
    ),
    ("key_variable", {{ cookiecutter.key_variable | tojson }}, r"[A-Z][A-Z0-9_]*", "such as ACME_API_KEY"),
    ("model", {{ cookiecutter.model | tojson }}, r"[A-Za-z0-9][A-Za-z0-9._:/@-]*", "an id without spaces or quotes"),
]

wrong = [
    f"{name}: {answer!r} will not do. It has to be {wanted}."
    for name, answer, pattern, wanted in ANSWERS
    if not re.fullmatch(pattern, answer)
]
address = {{ cookiecutter.base_url | tojson }}
if address.rstrip("/").endswith(OPERATIONS):
    wrong.append(f"base_url: {address!r} will not do. Leave out the path of the operation: the adapter adds it.")
sys.exit("\n".join(wrong) if wrong else 0)
