# Everything a contributor or the automated build runs. No step needs root.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
# Tests wait more than they work: for timers, for engines that load, for clients that are slow.
WORKERS ?= $(shell echo $$((2 * $$(nproc))))
# What is written durably costs a disk milliseconds each time; memory does for tests, where there is enough.
SCRATCH := $(shell free=$$(df --output=avail -k /dev/shm 2>/dev/null | tail -1); \
	[ -w /dev/shm ] && [ "$${free:-0}" -gt 6000000 ] && echo /dev/shm || echo "$${TMPDIR:-/tmp}")
# Debian keeps clamd where a user's PATH does not look.
export PATH := $(PATH):/usr/sbin:/sbin

.PHONY: help demo test test-quick check format lint types imports bench deb setup compiled clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: compiled ## the main job, end to end, on loopback in a temporary folder (KEEP=1 keeps it)
	@$(BIN)/python -m tests.demo

test: compiled ## every test; ends with the engines it had to skip
	@TMPDIR=$(SCRATCH) $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(ARGS)

test-quick: compiled ## the tests that take seconds
	@TMPDIR=$(SCRATCH) $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "not slow" $(ARGS)

check: format lint types imports test ## what must hold before every commit

format: setup ## formatted as ruff does it?
	@$(BIN)/ruff format --check .

lint: setup
	@$(BIN)/ruff check .

types: setup
	@$(BIN)/mypy

imports: setup ## layers and forbidden imports
	@$(BIN)/lint-imports

bench: setup ## measure; a table, and JSON rows in benchmarks/results/
	@$(BIN)/python -m benchmarks

deb: ## a Debian package for this machine's release and architecture, in dist/
	@packaging/deb/build dist

setup: .venv/ready ## an environment in .venv, by uv where present, else by venv and pip

.venv/ready: pyproject.toml uv.lock
	@if command -v uv >/dev/null; then \
	  UV_PYTHON_DOWNLOADS=never UV_COMPILE_BYTECODE=1 uv sync --frozen --quiet --all-extras; \
	else \
	  $(PYTHON) -m venv .venv && $(BIN)/pip install --quiet --upgrade 'pip>=25.1' \
	  && $(BIN)/pip install --quiet --editable '.[server,postgres,yara,s3]' --group dev --group chart; \
	fi
	@touch $@

compiled: setup ## bytecode of the checkout, which the many commands that tests start would each make anew
	@$(BIN)/python -m compileall -q keys mirror updater tests

clean: ## remove what this file made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
