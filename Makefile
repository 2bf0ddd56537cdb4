# One task vocabulary for people, hooks and CI. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# make demo SOURCE=marketplace runs on a simulated shop; docs/sources.md lists all sources.
SOURCE ?= complete_journey
# Last day the run may know of; empty: the day the source suggests.
AS_OF ?=
# Folder or file the source reads, where it needs one: make demo SOURCE=files DATA=my-shop AS_OF=2026-06-30
DATA ?=
REQUEST := --source $(SOURCE) $(if $(AS_OF),--as-of $(AS_OF)) $(if $(DATA),--path $(DATA))

# Uncompiled libraries start three to five times slower in each of Airflow's processes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## list the tasks
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit("Coldframe needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Set PYTHON=…") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/.runtime: requirements/runtime.txt pyproject.toml | $(BIN)/uv
	@echo "Installing the locked dependencies (byte-compiled) …"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements/runtime.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	@echo "Installing the tools for tests and docs …"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements/dev.txt
	@touch $@

.PHONY: install
install: $(VENV)/.runtime ## install what the product runs on into .venv

.PHONY: install-dev
install-dev: $(VENV)/.dev ## install what tests, linters and docs need too

.PHONY: demo
demo: install ## the whole way on real data, in Airflow; leaves the UI up until Ctrl-C
	$(BIN)/coldframe demo $(REQUEST)

.PHONY: run
run: install ## the same steps without Airflow
	$(BIN)/coldframe run $(REQUEST)

.PHONY: up
up: install ## start Airflow and stay in the foreground
	$(BIN)/coldframe up

.PHONY: down
down: install ## stop what `make up` or `make demo` left running
	$(BIN)/coldframe down

.PHONY: test
test: lint docs unit ## everything CI runs

.PHONY: unit
unit: install-dev ## the tests alone (make unit ARGS="tests/landing -k negative")
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: lint
lint: install-dev ## ruff, mypy, import rules, sqlfluff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint dbt

.PHONY: format
format: install-dev ## rewrite Python and SQL in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/sqlfluff fix dbt

.PHONY: benchmark
benchmark: install-dev ## measure what README and docs state (about 20 minutes)
	$(BIN)/python -m benchmarks

.PHONY: docs
docs: install-dev ## build the documentation site into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

.PHONY: lock
lock: | $(BIN)/uv ## resolve requirements/*.in again
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url requirements/dev.in --output-file requirements/dev.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url requirements/runtime.in --constraint requirements/dev.txt --output-file requirements/runtime.txt

.PHONY: clean
clean: ## delete .venv, caches and everything Coldframe wrote under var/
	rm -rf $(VENV) var site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
