# `make` lists the targets. Each one creates what it needs in .venv; nothing is installed elsewhere.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help run test slow lint format types layers docs bench clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -e .
	@touch $@

$(VENV)/tested: $(VENV)/installed
	$(INSTALL) -e ".[test]"
	@touch $@

$(VENV)/developed: $(VENV)/tested
	$(INSTALL) -e ".[dev,docs]"
	@touch $@

run: $(VENV)/installed  ## train, trace, verify, cleanse and report on embedded data
	$(BIN)/counterplay run

test: $(VENV)/tested  ## the default tests
	$(BIN)/python -m pytest

slow: $(VENV)/tested  ## the slow tests as well
	$(BIN)/python -m pytest -m "slow or not slow"

lint: $(VENV)/developed  ## ruff: style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/developed  ## rewrite files in the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/developed  ## pyright
	$(BIN)/pyright --pythonpath $(BIN)/python

layers: $(VENV)/developed  ## import-linter: who may import whom
	$(BIN)/lint-imports

docs: $(VENV)/developed  ## build the documentation into site/, running its examples
	@# The examples are too small for more than one thread.
	OMP_NUM_THREADS=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/installed  ## the benchmarks that need no other package
	$(BIN)/python benchmarks/trace_cost.py
	$(BIN)/python benchmarks/retrain_cost.py

clean:  ## remove what make created
	rm -rf $(VENV) site build
