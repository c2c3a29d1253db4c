# What a developer does all day. Every target installs what it needs first.
PYTHON ?= python3
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
EDITABLE := -e '.[fast]' $(addprefix -e ,$(PLUGINS))
UV := .venv/bin/uv
# Bytecode is kept, whatever the environment says: without it a start takes more than twice as long.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help serve run test test-clients check fix bench soak live record new-provider clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*## /\t/' | expand -t 14

serve: .venv/serve  ## start the router on http://127.0.0.1:4000 (ARGS are passed on)
	.venv/bin/llmrouter serve $(ARGS)

run: serve  ## the same

test: .venv/dev  ## run all tests, a process on each core (ARGS are passed to pytest)
	.venv/bin/python -m pytest -n auto --dist loadfile -m "not soak and not live and not clients" --cov --cov-report=term $(ARGS)

test-clients: .venv-clients/dev  ## run agent CLIs and frameworks against a router (installs them outside of .venv)
	.venv-clients/bin/python -m tests.clients.installing
	LLMROUTER_REQUIRE_CLIENTS=1 .venv-clients/bin/python -m pytest tests/clients tests/sdk/test_frameworks.py $(ARGS)

check: .venv/dev  ## formatting, lint, types, layers, generated files
	.venv/bin/ruff format --check . && .venv/bin/ruff check . && .venv/bin/mypy && .venv/bin/lint-imports --no-cache
	.venv/bin/python -m tests.freshness

fix: .venv/dev  ## format, mend what can be mended, write generated files
	.venv/bin/ruff format . && .venv/bin/ruff check --fix . && .venv/bin/python -m tests.freshness --write

bench: .venv/dev  ## measure side by side with other gateways (ARGS are passed on)
	.venv/bin/python -m benchmarks $(ARGS)

soak: .venv/dev  ## the long runs under load
	.venv/bin/python -m pytest -m soak $(ARGS)

live: .venv/dev  ## ask real providers, with the keys of the environment (P=openrouter: that one)
	.venv/bin/python -m pytest tests/live -m live -k "$(P)" $(ARGS)

record: .venv/dev  ## the same, and keep what they said, without what is private
	LLMROUTER_RECORD=1 .venv/bin/python -m pytest tests/live -m live -k "$(P)" $(ARGS)

new-provider: .venv/dev  ## begin a package for a new provider, beside this folder (ARGS are passed to cookiecutter)
	.venv/bin/cookiecutter cookiecutter-provider -o .. $(ARGS)

clean:  ## remove the virtual environment and caches
	rm -rf .venv .venv-clients .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/bin/uv: constraints.txt
	$(PYTHON) -m venv .venv && .venv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt uv && touch $@

.venv/serve: $(UV) pyproject.toml constraints.txt $(wildcard plugins/*/pyproject.toml)
	$(UV) pip install -q -p .venv -c constraints.txt $(EDITABLE) && touch $@

.venv/dev: .venv/serve
	$(UV) pip install -q -p .venv -c constraints.txt $(EDITABLE) --group dev && touch $@

.venv-clients/dev: $(UV) pyproject.toml constraints.txt $(wildcard plugins/*/pyproject.toml)
	$(UV) venv -q --allow-existing -p .venv .venv-clients
	$(UV) pip install -q -p .venv-clients -c constraints.txt $(EDITABLE) uv --group test --group frameworks && touch $@
