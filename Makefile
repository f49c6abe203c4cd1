# `make` lists what there is. Everything is installed into this folder, from locks with hashes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# $(call install,ENVIRONMENT,LOCK). uv takes seconds where pip takes a minute; pip does it where uv
# cannot: no wheel for this machine, or an index that only pip is told of. The locks are complete, so
# there is nothing to resolve, and nothing is taken whose hash they do not name.
define install
@$(BIN)/uv pip install --quiet --no-cache --compile-bytecode --python $(1)/bin/python \
  --require-hashes --no-deps -r $(2) \
  || { echo "uv could not; trying pip ..."; $(BIN)/python -m pip --python $(1)/bin/python install \
  --quiet --disable-pip-version-check --require-hashes --no-deps -r $(2); }
endef
SOURCES := layers functions infra/local tests bench

.DEFAULT_GOAL := help
.PHONY: help setup run demo test test-unit lint format bench accuracy lock docs sam-build clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# --- environments -----------------------------------------------------------------------------

setup: $(VENV)/run.done .venv-emulator/done  ## Install what `make run` needs

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Whisperdrop needs Python 3.11 or newer; set PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "installing into $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/uv.done: requirements/uv.txt | $(VENV)/bin/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $< \
	  || echo "there is no uv for this machine: pip installs everything, which takes longer"
	@touch $@

$(VENV)/run.done: requirements/run.txt requirements/samples.txt pyproject.toml $(VENV)/uv.done
	$(call install,$(VENV),requirements/run.txt)
	$(call install,$(VENV),requirements/samples.txt)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.done: requirements/dev.txt $(VENV)/run.done
	@echo "installing the test tools ..."
	$(call install,$(VENV),requirements/dev.txt)
	@touch $@

.venv-emulator/done: requirements/emulator.txt $(VENV)/uv.done
	@$(PYTHON) -m venv --without-pip .venv-emulator
	$(call install,.venv-emulator,$<)
	@touch $@

.venv-sam/done: requirements/sam.txt layers/core/requirements.txt | $(VENV)/run.done
	@echo "installing the SAM CLI ..."
	@$(PYTHON) -m venv --without-pip .venv-sam
	$(call install,.venv-sam,$<)
	@# `sam build` runs pip; with the layer's wheels at hand it needs no network a second time.
	@rm -rf .venv-sam/wheels
	@$(BIN)/python -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps \
	  --only-binary=:all: --dest .venv-sam/wheels -r layers/core/requirements.txt
	@touch $@

# Tools that pin what the service pins otherwise have an environment each.
.venv-checks/done .venv-compose/done .venv-aws/done: .venv-%/done: requirements/%.txt | $(VENV)/run.done
	@echo "installing the tools of $< ..."
	@$(PYTHON) -m venv --without-pip .venv-$*
	$(call install,.venv-$*,$<)
	@touch $@

# OpenAI's JavaScript client, for the tests of that door; without npm they are skipped.
tests/openai_node/node_modules/.package-lock.json: tests/openai_node/package-lock.json
	@if command -v npm > /dev/null; then \
	  echo "installing OpenAI's client for Node.js ..."; \
	  cd tests/openai_node && npm ci --silent --no-audit --no-fund --ignore-scripts; fi

# --- the service ------------------------------------------------------------------------------

run: setup  ## Start everything on this machine, transcribe a sample, serve until Ctrl-C
	@exec $(BIN)/python -m whisperdrop_local run

demo: setup  ## The same on free ports, then exit
	@exec $(BIN)/python -m whisperdrop_local demo

# --- quality ----------------------------------------------------------------------------------

test: setup $(VENV)/dev.done .venv-sam/done tests/openai_node/node_modules/.package-lock.json lint  ## Lint, types, and every test that this machine can run
	@mkdir -p .local/tmp
	TMPDIR=$(CURDIR)/.local/tmp $(BIN)/python -m pytest

test-unit: $(VENV)/dev.done  ## The fast tests alone
	$(BIN)/python -m pytest tests/unit

lint: $(VENV)/dev.done  ## ruff and mypy
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

format: $(VENV)/dev.done  ## Format and fix
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

bench: setup $(VENV)/dev.done  ## Measure speed, latency and memory (BENCH="--only speed --quick")
	@mkdir -p .local/tmp
	TMPDIR=$(CURDIR)/.local/tmp $(BIN)/python -m bench $(BENCH)

accuracy: setup $(VENV)/dev.done  ## Measure error rates beside faster-whisper's (ACCURACY="--sets core")
	@mkdir -p .local/tmp
	TMPDIR=$(CURDIR)/.local/tmp $(BIN)/python -m bench.accuracy $(ACCURACY)

UV := $(VENV)/bin/uv
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-strip-extras --no-annotate --custom-compile-command "make lock"

lock: setup  ## Resolve every lock anew (UPGRADE=1 takes newer versions)
	cd requirements && ../$(COMPILE) $(if $(UPGRADE),--upgrade) dev.in -o dev.txt
	cd requirements && for part in core api worker client models models-base run; do \
	  ../$(COMPILE) -c dev.txt $$part.in -o $$part.txt || exit 1; done
	cd requirements && for tool in uv emulator sam checks compose aws; do \
	  ../$(COMPILE) $(if $(UPGRADE),--upgrade) $$tool.in -o $$tool.txt || exit 1; done
	cd requirements && ../$(COMPILE) --no-deps samples.in -o samples.txt
	@# The layer carries what both zip functions import; a server is none of it.
	cd requirements && grep -v '^uvicorn' api.in | ../$(COMPILE) -c dev.txt - -o ../layers/core/requirements.txt

docs: setup  ## Write docs/settings.md from the settings' docstrings
	$(BIN)/python -m whisperdrop_local.document_settings > docs/settings.md

# --- AWS --------------------------------------------------------------------------------------

# SAM runs the pip of the Python that it finds first, and keeps its own notes in this folder.
SAM := PATH="$(CURDIR)/$(BIN):$$PATH" SAM_CLI_TELEMETRY=0 __SAM_CLI_APP_DIR=$(CURDIR)/.local/sam \
	AWS_DEFAULT_REGION=$${AWS_DEFAULT_REGION:-us-east-1} .venv-sam/bin/sam
RUNTIME = python$(shell $(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')

sam-build: .venv-sam/done  ## Validate the template, build the zip functions and their layer
	@mkdir -p .local/sam
	$(SAM) validate --lint
	$(SAM) build --exclude WorkerFunction --parameter-overrides PythonRuntime=$(RUNTIME)

clean:  ## Remove what was installed and built; data in .local stays
	rm -rf .venv .venv-emulator .venv-sam .venv-checks .venv-compose .venv-aws .aws-sam
