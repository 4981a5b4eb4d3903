# The two commands of a fresh machine are `make quickstart` and `make test`; both create .venv and install on the way.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# The first of these that runs and is new enough: a version manager's shim may stand in the PATH and still not run.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
# Tests are many small runs: one thread each, spread over the cores.
WORKERS ?= 2
# What to run, and further arguments for pytest: make test ARGS=tests/table
ARGS ?=
SELECT ?= not slow and not gpu and not network

.PHONY: help install dev quickstart test test-slow lint format clean

help:
	@echo "make quickstart   install, then fit the embedded model to a real table, sample 1,000 rows and report"
	@echo "make test         install with the tools, then run every test that needs no GPU and no network"
	@echo "make test-slow    the slow tests too"
	@echo "make lint         ruff (lint and format) and mypy"
	@echo "make format       let ruff rewrite the sources"
	@echo "make clean        remove the environment and the caches; runs stay"

install: $(VENV)/.installed
dev: $(VENV)/.installed-dev

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python of version 3.11 or newer was found. Install one, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "Installing harmonic into $(VENV) (some minutes the first time) ..."
	$(PIP) install --quiet --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	@echo "Installing harmonic and its tools into $(VENV) (some minutes the first time) ..."
	$(PIP) install --quiet --editable ".[dev]"
	@touch $(VENV)/.installed $@

quickstart: install
	$(BIN)/python scripts/run.py configs/runs/harmonic/quickstart.toml --resume

test: dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "$(SELECT)" -n $(WORKERS) --dist loadfile $(ARGS)

test-slow: dev
	$(MAKE) test SELECT="not gpu and not network"

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy scripts

format: dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis harmonic.egg-info build
