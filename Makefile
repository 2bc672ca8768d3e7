# The verbs of this house. `make demo` and `make test` need git, make and Python >= 3.11.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Tests wait for disks and servers about half of their time.
WORKERS ?= $(shell $(PYTHON) -c "import os; print((os.cpu_count() or 1) * 3 // 2)")
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test lint format bench soak clean

demo: $(VENV)/.installed
	$(BIN)/holdfast demo

test: $(VENV)/.installed-dev lint
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/afaces.py --check
	$(BIN)/python tools/reference.py --check

format: $(VENV)/.installed-dev
	$(BIN)/python tools/afaces.py
	$(BIN)/python tools/reference.py
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev
	bench/peers/setup
	$(BIN)/python -m bench

soak: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m soak --timeout 3600

clean:
	rm -rf $(VENV) .bench .bench-venv .mypy_cache .ruff_cache .pytest_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[cli]'
	touch $@

# Claude's SDK is built from its source: its wheel has 170 MB of a program in it.
$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --no-binary claude-agent-sdk --editable '.[dev]'
	touch $@ $(VENV)/.installed
