# `make` lists what there is. Everything is installed into this folder, from locks with hashes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --require-hashes
SOURCES := layers functions infra/local tests bench

.DEFAULT_GOAL := help
.PHONY: help setup run demo test test-unit lint format bench lock docs sam-build sam-validate key clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# --- environments -----------------------------------------------------------------------------

setup: $(VENV)/run.done .venv-emulator/done  ## Install what `make run` needs

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Whisperdrop needs Python 3.11 or newer; set PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "installing into $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/run.done: requirements/run.txt requirements/samples.txt pyproject.toml | $(VENV)/bin/python
	@$(BIN)/python $(PIP_INSTALL) -r requirements/run.txt
	@$(BIN)/python $(PIP_INSTALL) --no-deps -r requirements/samples.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.done: requirements/dev.txt $(VENV)/run.done
	@echo "installing the test tools ..."
	@$(BIN)/python $(PIP_INSTALL) -r requirements/dev.txt
	@touch $@

.venv-emulator/done: requirements/emulator.txt
	@$(PYTHON) -m venv .venv-emulator
	@.venv-emulator/bin/python $(PIP_INSTALL) -r $<
	@touch $@

.venv-sam/done: requirements/sam.txt
	@echo "installing the SAM CLI ..."
	@$(PYTHON) -m venv .venv-sam
	@.venv-sam/bin/python $(PIP_INSTALL) -r $<
	@touch $@

# --- the service ------------------------------------------------------------------------------

run: setup  ## Start everything on this machine, transcribe a sample, serve until Ctrl-C
	@exec $(BIN)/python -m whisperdrop_local run

demo: setup  ## The same on free ports, then exit
	@exec $(BIN)/python -m whisperdrop_local demo

# --- quality ----------------------------------------------------------------------------------

test: setup $(VENV)/dev.done .venv-sam/done lint  ## Lint, types, and every test that this machine can run
	$(BIN)/python -m pytest

test-unit: $(VENV)/dev.done  ## The fast tests alone
	$(BIN)/python -m pytest tests/unit

lint: $(VENV)/dev.done  ## ruff and mypy
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

format: $(VENV)/dev.done  ## Format and fix
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

bench: setup $(VENV)/dev.done  ## Measure the overhead of the routes on the embedded stack
	$(BIN)/python -m bench.overhead

docs: setup  ## Write docs/settings.md from the settings' docstrings
	$(BIN)/python -m whisperdrop_local.document_settings > docs/settings.md

clean:  ## Remove what was installed and built; data in .local stays
	rm -rf .venv .venv-emulator .venv-sam .aws-sam
