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
SOURCES := layers functions docker infra/local infra/cost tests bench

.DEFAULT_GOAL := help
.PHONY: help setup run demo test test-unit lint checks format bench accuracy cost lock docs deploy destroy push-gpu-image images sbom sam-build sam-local sam-invoke sam-down compose-up compose-demo compose-down clean

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

# --- compose ----------------------------------------------------------------------------------

# With S3_ENDPOINT_URL another store than MinIO; EMULATOR=1 needs no registry; GPU=1 a GPU in place of
# the processor. What else the environment holds is read by the files themselves: docs/compose.md.
COMPOSE = $(shell docker compose version > /dev/null 2>&1 && echo docker compose \
	|| echo .venv-compose/bin/docker-compose) -p $(or $(COMPOSE_PROJECT_NAME),whisperdrop) \
	-f docker/compose.yaml $(if $(EMULATOR),-f docker/compose.emulator.yaml) \
	$(if $(S3_ENDPOINT_URL),-f docker/compose.s3.yaml)
PROFILES = $(if $(filter undefined,$(origin COMPOSE_PROFILES)),$(if \
	$(EMULATOR),,observability),$(COMPOSE_PROFILES))$(if $(GPU),$(comma)gpu)
comma := ,

.PHONY: compose-ready
compose-ready:
	@docker version > /dev/null 2>&1 || { echo "no Docker Engine answers: install and start one" >&2; exit 1; }
	@docker compose version > /dev/null 2>&1 || $(MAKE) --no-print-directory .venv-compose/done

compose-up: compose-ready  ## The service in containers, with MinIO (EMULATOR=1, GPU=1, S3_ENDPOINT_URL=...)
	COMPOSE_PROFILES=$(PROFILES) $(COMPOSE) up -d --build --wait --wait-timeout 900 $(if $(GPU),--scale worker=0)
	@echo "Whisperdrop is ready at http://127.0.0.1:$${PORT:-8000}"
	@echo "  key         Authorization: Bearer $${API_KEY:-change-me}"
	$(if $(S3_ENDPOINT_URL)$(EMULATOR),,@echo "  MinIO       http://127.0.0.1:$${MINIO_CONSOLE_PORT:-9001}")
	$(if $(findstring observability,$(PROFILES)),@echo "  Grafana     http://127.0.0.1:$${GRAFANA_PORT:-3000}")
	$(if $(findstring observability,$(PROFILES)),@echo "  Prometheus  http://127.0.0.1:$${PROMETHEUS_PORT:-9090}")
	@echo "  a sample    make compose-demo"

compose-demo: $(VENV)/run.done  ## Send the sample to the running containers, print what they heard
	@$(BIN)/python -m whisperdrop_local sample

compose-down: compose-ready  ## End the containers (CLEAN=1 removes what they keep)
	COMPOSE_PROFILES=observability,gpu,webhook $(COMPOSE) down --remove-orphans $(if $(CLEAN),--volumes)

# --- quality ----------------------------------------------------------------------------------

# The tests that use the service from outside; half of the time.
OUTSIDE := tests/e2e tests/browser

test: setup $(VENV)/dev.done .venv-sam/done .venv-aws/done .venv-checks/done .venv-compose/done tests/openai_node/node_modules/.package-lock.json lint  ## Lint, types, and every test that this machine can run
	@mkdir -p .local/tmp
	@# Two halves side by side: they wait for processes and containers about as long as they compute.
	@export TMPDIR=$(CURDIR)/.local/tmp; \
	$(BIN)/python -m pytest $(addprefix --ignore=,$(OUTSIDE)) > .local/tmp/inside.log 2>&1 & inside=$$!; \
	trap 'kill $$inside 2> /dev/null; exit 130' INT TERM; \
	$(BIN)/python -m pytest $(OUTSIDE); outside=$$?; \
	echo "the other half, which ran beside it:"; wait $$inside; inside=$$?; \
	cat .local/tmp/inside.log; test $$outside = 0 && test $$inside = 0

test-unit: $(VENV)/dev.done  ## The fast tests alone
	$(BIN)/python -m pytest tests/unit

lint: $(VENV)/dev.done  ## ruff and mypy
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

checks: $(VENV)/dev.done .venv-checks/done lint  ## Look for known faults: templates, images, dependencies, secrets
	@mkdir -p .local/tmp
	TMPDIR=$(CURDIR)/.local/tmp $(BIN)/python -m pytest tests/integration/test_checks.py \
	  tests/integration/test_templates.py tests/integration/test_monitoring.py

format: $(VENV)/dev.done  ## Format and fix
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

bench: setup $(VENV)/dev.done  ## Measure speed, latency and memory (BENCH="--only speed --quick")
	@mkdir -p .local/tmp
	TMPDIR=$(CURDIR)/.local/tmp $(BIN)/python -m bench $(BENCH)

accuracy: setup $(VENV)/dev.done  ## Measure error rates beside faster-whisper's (ACCURACY="--sets core")
	@mkdir -p .local/tmp
	TMPDIR=$(CURDIR)/.local/tmp $(BIN)/python -m bench.accuracy $(ACCURACY)

cost: $(VENV)/run.done  ## What an hour of audio costs, and where from (COST="--speed 40 --price 0.8")
	@$(BIN)/python -m whisperdrop_cost --json .local/cost/cost.json --plot .local/cost/cost.svg $(COST)

UV := $(VENV)/bin/uv
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-strip-extras --no-annotate --custom-compile-command "make lock"

lock: setup  ## Resolve every lock anew (UPGRADE=1 takes newer versions)
	cd requirements && ../$(COMPILE) $(if $(UPGRADE),--upgrade) dev.in -o dev.txt
	cd requirements && for part in core api api-image worker worker-cuda client models models-base \
	  run; do \
	  ../$(COMPILE) -c dev.txt $$part.in -o $$part.txt || exit 1; done
	cd requirements && for tool in uv emulator sam checks compose aws; do \
	  ../$(COMPILE) $(if $(UPGRADE),--upgrade) $$tool.in -o $$tool.txt || exit 1; done
	cd requirements && ../$(COMPILE) --no-deps samples.in -o samples.txt
	@# The layer carries what both zip functions import; a server is none of it.
	cd requirements && grep -v '^uvicorn' api.in | ../$(COMPILE) -c dev.txt - -o ../layers/core/requirements.txt

docs: setup  ## Write docs/settings.md from the settings' docstrings, and Grafana's dashboards
	$(BIN)/python -m whisperdrop_local.document_settings > docs/settings.md
	$(BIN)/python -m whisperdrop_local.dashboards

# --- AWS --------------------------------------------------------------------------------------

# SAM runs the pip of the Python that it finds first, and keeps its own notes in this folder.
SAM := PATH="$(CURDIR)/$(BIN):$$PATH" SAM_CLI_TELEMETRY=0 __SAM_CLI_APP_DIR=$(CURDIR)/.local/sam \
	AWS_DEFAULT_REGION=$${AWS_DEFAULT_REGION:-us-east-1} .venv-sam/bin/sam
RUNTIME = python$(shell $(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')

# The worker's image needs a Docker Engine; the zip functions and their layer need none.
WITHOUT_IMAGE = $(shell docker version > /dev/null 2>&1 || echo --exclude WorkerFunction)

images:  ## Build whisperdrop-api and whisperdrop-worker (TARGET=cuda WITH_WEIGHTS=tiny.en BASE_IMAGE=...)
	docker build -t whisperdrop-api $(IMAGE_ARGS) -f docker/api.Dockerfile .
	docker build -t whisperdrop-worker$(if $(filter cuda,$(TARGET)),:cuda) --target $(or $(TARGET),cpu) \
	  $(IMAGE_ARGS) $(if $(WITH_WEIGHTS),--build-arg WITH_WEIGHTS=$(WITH_WEIGHTS)) -f docker/worker.Dockerfile .

IMAGE_ARGS = $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) \
	--build-arg REVISION=$(shell git rev-parse HEAD 2>/dev/null || echo unknown)

sbom:  ## Print what is in an image, as CycloneDX (IMAGE=whisperdrop-worker)
	@docker run --rm --network none --entrypoint cat $(or $(IMAGE),whisperdrop-worker) \
	  /opt/whisperdrop/sbom.cdx.json

# What SAM has built, half the size and twice as quick to start; see docs/images.md.
SMALLER = PYTHONPATH=docker/image $(BIN)/python -m whisperdrop_image.zips .aws-sam/build

sam-build: .venv-sam/done  ## Validate the template, build every function (BASE_IMAGE=mirror/python:3.13)
	@mkdir -p .local/sam
	$(SAM) validate --lint
	$(if $(WITHOUT_IMAGE),@echo "no Docker Engine answers: WorkerFunction is not built" >&2)
	$(SAM) build $(WITHOUT_IMAGE) --parameter-overrides PythonRuntime=$(RUNTIME) \
	  $(if $(BASE_IMAGE),BaseImage=$(BASE_IMAGE))
	@$(SMALLER)

SAM_SOURCES := $(shell find template.yaml infra/*.yaml layers/core functions docker/*.Dockerfile \
	requirements/*.txt -type f ! -name '*.pyc')
.aws-sam/build/template.yaml: $(SAM_SOURCES)
	@$(MAKE) --no-print-directory sam-build

SAM_LOCAL = $(BIN)/python -m whisperdrop_local.sam
SAM_WHAT = --runtime $(RUNTIME) $(if $(INVOKE_IMAGE),--invoke-image $(INVOKE_IMAGE)) \
	$(if $(ENV),--env "$(ENV)")

sam-local: .aws-sam/build/template.yaml  ## API Gateway, Lambda and storage on this machine (PORT=3000 ENV="LOG_LEVEL=DEBUG" QUEUES=off)
	@exec $(SAM_LOCAL) start-api $(SAM_WHAT) --port $(or $(PORT),3000) $(if $(filter off,$(QUEUES)),--no-queues)

EVENT ?= tests/events/sam/worker_drop.json
FUNCTION ?= WorkerFunction

sam-invoke: .aws-sam/build/template.yaml  ## Hand an event to a function (FUNCTION=WorkerFunction EVENT=file, or JOB=id)
	@exec $(SAM_LOCAL) invoke $(FUNCTION) $(SAM_WHAT) $(if $(JOB),--job $(JOB),--event $(EVENT))

sam-down: $(VENV)/run.done  ## Remove the storage of sam-local and sam-invoke with all that it holds
	@$(SAM_LOCAL) down

# Without the region that SAM is given for its local verbs: a deployment goes where its credentials say.
AT_STAGE = $(BIN)/python -m whisperdrop_local.stage
SAM_AT = PATH="$(CURDIR)/$(BIN):$$PATH" SAM_CLI_TELEMETRY=0 __SAM_CLI_APP_DIR=$(CURDIR)/.local/sam \
	.venv-sam/bin/sam
STAGE ?= dev

deploy: .venv-sam/done  ## Build and deploy to AWS (STAGE=dev PARAMETERS="Workers=gpu ..." GUIDED=1)
	@mkdir -p .local/sam
	@region=$$($(AT_STAGE) ready --stage $(STAGE)) && \
	parameters=$$($(AT_STAGE) --stage $(STAGE) parameters PythonRuntime=$(RUNTIME) $(PARAMETERS)) && \
	$(SAM_AT) build --config-env $(STAGE) --region $$region --parameter-overrides $$parameters && \
	$(SMALLER) && \
	$(SAM_AT) deploy --config-env $(STAGE) --region $$region $(if $(GUIDED),--guided) \
	  --parameter-overrides $$parameters && \
	$(AT_STAGE) outputs --stage $(STAGE)

destroy: $(VENV)/run.done  ## Delete a stage and keep its bucket (STAGE=dev; DELETE_DATA=bucket-name too)
	@$(AT_STAGE) destroy --stage $(STAGE) --confirm "$(CONFIRM)" --delete-data "$(DELETE_DATA)"

TAG ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo local)

push-gpu-image: $(VENV)/run.done  ## Build the CUDA worker, push it to ECR, print GpuImageUri (BUILD="...")
	@$(BIN)/python -m whisperdrop_local.registry --stage $(STAGE) --tag $(TAG) -- $(BUILD)

clean:  ## Remove what was installed and built; data in .local stays
	rm -rf .venv .venv-emulator .venv-sam .venv-checks .venv-compose .venv-aws .aws-sam
