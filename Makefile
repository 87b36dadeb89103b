# `make demo` and `make test` each do all their own set-up on a fresh machine (Debian 12 or newer, root).
.PHONY: help setup demo test lint lock bench

help:
	@grep -E '^# |^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/^# //; s/:.*##/ –/'

setup: ## system packages, CRIU, virtual environment, the nodes' init
	@scripts/setup

demo: setup ## a real experiment on nodes in this machine, from one file
	@.venv/bin/swapbed demo

test: ## everything, against real namespaces, stores, databases and Prefect
	@scripts/setup --test
	@.venv/bin/ruff check .
	@.venv/bin/python -m pytest

lint: ## ruff and mypy
	@.venv/bin/ruff check .
	@.venv/bin/mypy

lock: ## requirements.lock anew from pyproject.toml (needs uv)
	uv pip compile --universal --generate-hashes --python-version 3.11 --extra test --extra notebook --no-emit-index-url --no-annotate \
	    --custom-compile-command "make lock" pyproject.toml -o requirements.lock

bench: setup ## the tables of docs/benchmarks.md (quiet machine, about an hour)
	@.venv/bin/python -m benchmarks
